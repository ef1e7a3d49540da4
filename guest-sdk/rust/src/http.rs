//! HTTP for sinks, in whichever world they are: Rust's standard library has none.
//!
//! The runtime lets a request out where the pipeline's configuration grants it (`allow.http`), through its own pooled
//! client. Natively nothing is ever sent: `testing::Endpoint` answers.
//!
//! ```
//! use sump_sdk::{Error, http};
//!
//! fn post(url: &str, body: Vec<u8>) -> Result<(), Error> {
//!     http::Request::post(url).header("content-type", "application/json").body(body).send()?.outcome()
//! }
//! # let endpoint = sump_sdk::testing::Endpoint::answering([http::Response::new(503)]);
//! # assert_eq!(post("http://localhost/", vec![]).unwrap_err().code(), "http-503");
//! ```
use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::error;

#[cfg(target_family = "wasm")]
mod code;
#[cfg(not(target_family = "wasm"))]
pub(crate) mod fake;
#[cfg(target_family = "wasm")]
mod overlapping;
#[cfg(target_family = "wasm")]
mod plain;

/// How much of a response's body is kept, unless the request says otherwise: 1 MiB.
const MAX_BODY: usize = 1 << 20;

/// A request, built step by step and then sent.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a request does nothing until it is sent"]
pub struct Request {
    method: Cow<'static, str>,
    url: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    timeout: Option<Duration>,
    max_body: usize,
}

impl Request {
    /// A request with this method, such as `PATCH`.
    pub fn new(method: impl Into<Cow<'static, str>>, url: impl Into<String>) -> Self {
        let (method, url) = (method.into(), url.into());
        Self { method, url, headers: Vec::new(), body: Vec::new(), timeout: None, max_body: MAX_BODY }
    }

    /// `GET`.
    pub fn get(url: impl Into<String>) -> Self {
        Self::new("GET", url)
    }

    /// `POST`.
    pub fn post(url: impl Into<String>) -> Self {
        Self::new("POST", url)
    }

    /// `PUT`.
    pub fn put(url: impl Into<String>) -> Self {
        Self::new("PUT", url)
    }

    /// `DELETE`.
    pub fn delete(url: impl Into<String>) -> Self {
        Self::new("DELETE", url)
    }

    /// Adds a header.
    pub fn header(mut self, name: impl Into<String>, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.into(), value.as_ref().to_vec()));
        self
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Gives up after this time, counted from sending to the end of the answer. The runtime abandons a write after
    /// [`Context::timeout`](crate::Context::timeout) in any case.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Keeps this many bytes of the answer's body, 1 MiB by default, and leaves the rest unread.
    pub fn max_body(mut self, bytes: usize) -> Self {
        self.max_body = bytes;
        self
    }

    /// Its method.
    pub fn method(&self) -> &str {
        &self.method
    }

    /// Its URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The value of the first header of this name, in any case.
    pub fn header_value(&self, name: &str) -> Option<&[u8]> {
        find(&self.headers, name)
    }

    /// Its body.
    pub fn body_bytes(&self) -> &[u8] {
        &self.body
    }

    /// Sends it and waits for the whole answer. In an async sink this holds up every write of the instance: use
    /// [`send_async`](Self::send_async) there.
    ///
    /// # Errors
    /// Whether it was sent, and whether it ever can be: see [`Error`]. Any status is an answer, not an error.
    pub fn send(self) -> Result<Response, Error> {
        #[cfg(target_family = "wasm")]
        let answer = plain::send(&self);
        #[cfg(not(target_family = "wasm"))]
        let answer = fake::send(self);
        answer
    }

    /// Sends it from an async sink, whose other writes go on meanwhile.
    ///
    /// # Errors
    /// Whether it was sent, and whether it ever can be: see [`Error`]. Any status is an answer, not an error.
    pub async fn send_async(self) -> Result<Response, Error> {
        #[cfg(target_family = "wasm")]
        let answer = overlapping::send(self).await;
        #[cfg(not(target_family = "wasm"))]
        let answer = fake::send(self);
        answer
    }

    /// The headers to send, with the length of the body where the method has one.
    #[cfg(target_family = "wasm")]
    fn all_headers(&self) -> Vec<(String, Vec<u8>)> {
        let mut headers = self.headers.clone();
        if !self.body.is_empty() || matches!(&*self.method, "POST" | "PUT" | "PATCH") {
            headers.push(("content-length".to_owned(), self.body.len().to_string().into_bytes()));
        }
        headers
    }

    /// What the runtime says of a part of the request that it does not take.
    #[cfg(target_family = "wasm")]
    fn malformed(&self, part: &str) -> Error {
        Error::Invalid(format!("the {part} of {} {} is malformed", self.method, self.url))
    }

    /// Scheme, authority, path with query.
    #[cfg_attr(not(target_family = "wasm"), allow(dead_code, reason = "sends nothing"))]
    fn target(&self) -> Result<(&str, &str, Cow<'_, str>), Error> {
        let invalid = || Error::Invalid(format!("`{}` is not an http or https URL", self.url));
        let (scheme, rest) = self.url.split_once("://").ok_or_else(invalid)?;
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.is_empty() || !matches!(scheme, "http" | "https") {
            return Err(invalid());
        }
        let path = if path.starts_with('/') { Cow::Borrowed(path) } else { Cow::Owned(format!("/{path}")) };
        Ok((scheme, authority, path))
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    status: u16,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl Response {
    /// An answer for tests to give.
    pub fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new() }
    }

    /// Adds a header.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<String>, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.into(), value.as_ref().to_vec()));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Its status code.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The value of the first header of this name, in any case.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        find(&self.headers, name)
    }

    /// Its body, cut at the request's `max_body`.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Its body as text.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }

    /// Its body as JSON.
    ///
    /// # Errors
    /// The destination answered something else: what it did with the events is unknown, code `bad-answer`.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, error::Error> {
        serde_json::from_slice(&self.body).map_err(|error| error::Error::unknown("bad-answer", error.to_string()))
    }

    /// The pause that `Retry-After` asks for, given in seconds. (The runtime's own HTTP sink also reads dates.)
    pub fn retry_after(&self) -> Option<Duration> {
        let seconds = str::from_utf8(self.header("retry-after")?).ok()?.trim().parse().ok()?;
        Some(Duration::from_secs(seconds))
    }

    /// What the status says of what was sent, as the runtime's own HTTP sink takes it: 2xx is written; 408, 425, 429 and
    /// 5xx but 501 and 505 are transient, after `Retry-After`; 401, 403 and 407 halt the sink; others are rejected. The
    /// code is `http-` and the status.
    ///
    /// A request with several events that is answered 413 is rejected too: the runtime then splits the batch.
    ///
    /// # Errors
    /// Every status but 2xx.
    pub fn outcome(&self) -> Result<(), error::Error> {
        let status = self.status;
        if (200..300).contains(&status) {
            return Ok(());
        }
        let (code, message) = (format!("http-{status}"), format!("status {status}{}", self.excerpt()));
        Err(match status {
            408 | 425 | 429 | 500 | 502..=504 | 506..=599 => {
                let error = error::Error::transient(code, message);
                match self.retry_after() {
                    Some(pause) => error.after(pause),
                    None => error,
                }
            }
            401 | 403 | 407 => error::Error::halted(code, message),
            _ => error::Error::rejected(code, message),
        })
    }

    /// The beginning of the body, for messages.
    fn excerpt(&self) -> String {
        const LONGEST: usize = 200;
        let text = String::from_utf8_lossy(&self.body[..self.body.len().min(LONGEST)]);
        let text = text.trim();
        if text.is_empty() { String::new() } else { format!(": {text}") }
    }
}

/// Why there is no answer. By `?` it becomes the failure that fits.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// This request can never be sent: its URL or a header is malformed. Rejected, code `http-invalid`.
    Invalid(String),
    /// The runtime's configuration does not allow it. Halted, code `http-denied`.
    Denied(String),
    /// It was not sent: no such name, connection refused, TLS failed. Transient, code `http-not-sent`.
    NotSent(String),
    /// It was sent, at least in part, and no complete answer came. Unknown, code `http-no-answer`.
    NoAnswer(String),
}

impl Error {
    /// What it means for the events of the request.
    pub fn outcome(&self) -> error::Error {
        match self {
            Self::Invalid(why) => error::Error::rejected("http-invalid", why),
            Self::Denied(why) => error::Error::halted("http-denied", why),
            Self::NotSent(why) => error::Error::transient("http-not-sent", why),
            Self::NoAnswer(why) => error::Error::unknown("http-no-answer", why),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(why) => write!(f, "invalid request: {why}"),
            Self::Denied(why) => write!(f, "request denied: {why}"),
            Self::NotSent(why) => write!(f, "request not sent: {why}"),
            Self::NoAnswer(why) => write!(f, "no answer: {why}"),
        }
    }
}

impl std::error::Error for Error {}

fn find<'a>(headers: &'a [(String, Vec<u8>)], name: &str) -> Option<&'a [u8]> {
    headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_slice())
}

#[cfg(test)]
mod tests;
