//! What an error code of `wasi:http` says of a request. Both versions of the package have the same codes.
use crate::bindings::overlapping::wasi::http0_3_0::types as new;
use crate::bindings::plain::wasi::http0_2_12::types as old;
use crate::http::Error;

macro_rules! from_code {
    ($types:ident) => {
        impl From<$types::ErrorCode> for Error {
            fn from(code: $types::ErrorCode) -> Self {
                use $types::ErrorCode as Code;
                let not_sent = |why: &str| Self::NotSent(why.to_owned());
                let invalid = |why: &str| Self::Invalid(why.to_owned());
                let denied = |why: &str| Self::Denied(why.to_owned());
                let no_answer = |why: &str| Self::NoAnswer(why.to_owned());
                match code {
                    Code::DnsTimeout => not_sent("the name was not resolved in time"),
                    Code::DnsError(_) => not_sent("the name could not be resolved"),
                    Code::DestinationNotFound => not_sent("destination not found"),
                    Code::DestinationUnavailable => not_sent("destination unavailable"),
                    Code::DestinationIpUnroutable => not_sent("no route to the destination"),
                    Code::ConnectionRefused => not_sent("connection refused"),
                    Code::ConnectionTimeout => not_sent("not connected in time"),
                    Code::ConnectionLimitReached => not_sent("too many connections"),
                    Code::TlsProtocolError => not_sent("TLS protocol error"),
                    Code::TlsCertificateError => not_sent("the certificate is not trusted"),
                    Code::TlsAlertReceived(_) => not_sent("the destination ended TLS with an alert"),
                    Code::DestinationIpProhibited => denied("the address is not allowed"),
                    Code::HttpRequestDenied => denied("no `allow.http` covers it"),
                    Code::HttpRequestLengthRequired => invalid("a length is required"),
                    Code::HttpRequestBodySize(_) => invalid("the body is too large"),
                    Code::HttpRequestMethodInvalid => invalid("the method is malformed"),
                    Code::HttpRequestUriInvalid => invalid("the URL is malformed"),
                    Code::HttpRequestUriTooLong => invalid("the URL is too long"),
                    Code::HttpRequestHeaderSectionSize(_) => invalid("the headers are too large"),
                    Code::HttpRequestHeaderSize(_) => invalid("a header is too large"),
                    Code::HttpRequestTrailerSectionSize(_) => invalid("the trailers are too large"),
                    Code::HttpRequestTrailerSize(_) => invalid("a trailer is too large"),
                    Code::ConnectionTerminated => no_answer("connection terminated"),
                    Code::ConnectionReadTimeout => no_answer("the connection stood still while reading"),
                    Code::ConnectionWriteTimeout => no_answer("the connection stood still while writing"),
                    Code::HttpResponseTimeout => no_answer("no answer in time"),
                    Code::HttpResponseIncomplete => no_answer("the answer broke off"),
                    Code::InternalError(Some(why)) => Self::NoAnswer(why),
                    _ => no_answer("the answer was not understood"),
                }
            }
        }
    };
}

from_code!(old);
from_code!(new);
