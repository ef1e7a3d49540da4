//! Requests signed for Amazon's services: Signature Version 4, as the crate of their own SDK makes it.

use std::time::SystemTime;

use ::http::{HeaderName, HeaderValue};
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings, UriPathNormalizationMode,
    sign,
};
use aws_sigv4::sign::v4::SigningParams;
use bytes::Bytes;
use reqwest::Request;
use serde::Serialize;
use sha2::{Digest, Sha256};
use tokio::task::spawn_blocking;

use crate::sink::Failure;
use crate::sink::http::target::sensitive;
use crate::units::Secret;

/// Hashing more than this takes longer than other tasks of the thread should wait.
const AT_ONCE: usize = 256 << 10;

/// Whose signature it is, and for what.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SigningKey {
    /// Such as `eu-central-1`.
    pub region: String,
    /// The name under which the service checks signatures, such as `es`, `aoss`, `execute-api`, `s3`.
    pub service: String,
    /// The access key's identifier.
    pub access_key: String,
    /// The access key itself.
    pub secret_key: Secret,
    /// What goes with temporary keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_token: Option<Secret>,
}

impl SigningKey {
    /// Signs a request that has all its headers.
    pub(in crate::sink::http) async fn sign(&self, request: &mut Request, body: &Bytes) -> Result<(), Failure> {
        let hash = if body.len() <= AT_ONCE {
            hash(body)
        } else {
            let body = body.clone();
            spawn_blocking(move || hash(&body)).await.map_err(|error| bad(&error))?
        };
        self.sign_at(request, hash, SystemTime::now())
    }

    fn sign_at(&self, request: &mut Request, hash: String, time: SystemTime) -> Result<(), Failure> {
        let token = self.session_token.as_ref().map(|token| token.reveal().to_owned());
        let key = Credentials::new(self.access_key.as_str(), self.secret_key.reveal(), token, None, "configuration");
        let identity = key.into();
        let params = SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(&self.service)
            .time(time)
            .settings(self.settings())
            .build()
            .map_err(|error| bad(&error))?;
        let (method, url) = (request.method().as_str(), request.url().as_str());
        let headers = request.headers().iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        let signable = SignableRequest::new(method, url, headers, SignableBody::Precomputed(hash));
        let signed = sign(signable.map_err(|error| bad(&error))?, &params.into()).map_err(|error| bad(&error))?;
        let (headers, _) = signed.into_parts().0.into_parts();
        for header in headers {
            let name = HeaderName::try_from(header.name()).map_err(|error| bad(&error))?;
            let value = HeaderValue::from_str(header.value()).map_err(|error| bad(&error))?;
            request.headers_mut().insert(name, sensitive(value));
        }
        Ok(())
    }

    /// S3 reads a path as it is written, others decode it first; S3 and serverless OpenSearch want the hash of the body
    /// beside the signature.
    fn settings(&self) -> SigningSettings {
        let mut settings = SigningSettings::default();
        let s3 = self.service == "s3" || self.service.starts_with("s3-");
        if s3 {
            settings.percent_encoding_mode = PercentEncodingMode::Single;
            settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        }
        if s3 || self.service == "aoss" {
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        }
        settings
    }
}

fn hash(body: &[u8]) -> String {
    format!("{:x}", Sha256::digest(body))
}

fn bad(error: &dyn std::error::Error) -> Failure {
    Failure::rejected("sign", format!("the request can't be signed: {error}"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::{Duration, UNIX_EPOCH};

    use serde::Deserialize;

    use super::*;

    /// Requests and what botocore makes of them: see `sigv4/vectors.py`.
    const VECTORS: &str = include_str!("sigv4/vectors.json");

    #[derive(Deserialize)]
    struct Vector {
        service: String,
        session_token: Option<String>,
        method: String,
        url: String,
        headers: BTreeMap<String, String>,
        body: String,
        signed: BTreeMap<String, String>,
    }

    #[derive(Deserialize)]
    struct Vectors {
        region: String,
        access_key: String,
        secret_key: String,
        unix_time: u64,
        requests: Vec<Vector>,
    }

    #[test]
    fn signatures_are_those_of_an_independent_implementation() {
        let vectors: Vectors = serde_json::from_str(VECTORS).unwrap();
        let time = UNIX_EPOCH + Duration::from_secs(vectors.unix_time);
        assert!(vectors.requests.len() >= 10);
        for vector in vectors.requests {
            let key = SigningKey {
                region: vectors.region.clone(),
                service: vector.service,
                access_key: vectors.access_key.clone(),
                secret_key: Secret::new(vectors.secret_key.clone()),
                session_token: vector.session_token.map(Secret::new),
            };
            let mut request = Request::new(vector.method.parse().unwrap(), vector.url.parse().unwrap());
            for (name, value) in &vector.headers {
                let name = HeaderName::try_from(name).unwrap();
                request.headers_mut().insert(name, HeaderValue::from_str(value).unwrap());
            }
            key.sign_at(&mut request, hash(vector.body.as_bytes()), time).unwrap();
            for (name, value) in vector.signed {
                let made = request.headers().get(&name).map(|value| value.to_str().unwrap());
                assert_eq!(made, Some(value.as_str()), "{} {}: {name}", vector.method, vector.url);
            }
        }
    }
}
