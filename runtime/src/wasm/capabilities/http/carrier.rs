//! What carries a granted request to where it goes.

use std::sync::Arc;

use ::http::{Request, Response};
use bytes::Bytes;
use http_body::Body as _;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use reqwest::{Body, Url};
use wasmtime_wasi_http::{Error, WasiBody};

use super::client;
use crate::wasm::stage::{Endpoint, NoAnswer};

/// The most bytes of a body, in either direction.
pub(super) const MAX_BODY: usize = 64 << 20;

/// The network, or a test in its place. Cloning gives the same one.
#[derive(Clone)]
pub(super) enum Carrier {
    Network(reqwest::Client),
    Stage(Arc<dyn Endpoint>),
}

impl Carrier {
    pub(super) async fn carry(self, url: Url, request: Request<WasiBody>) -> Result<Response<WasiBody>, Error> {
        match self {
            Carrier::Network(client) => send(&client, url, request).await,
            Carrier::Stage(endpoint) => perform(&*endpoint, &url, request).await,
        }
    }
}

async fn send(client: &reqwest::Client, url: Url, request: Request<WasiBody>) -> Result<Response<WasiBody>, Error> {
    let (parts, body) = request.into_parts();
    let mut sent = reqwest::Request::new(parts.method, url);
    *sent.headers_mut() = parts.headers;
    if !body.is_end_stream() {
        let body = Limited::new(body, MAX_BODY).into_data_stream();
        *sent.body_mut() = Some(Body::wrap_stream(body));
    }
    let answer: Response<Body> = client.execute(sent).await.map_err(client::error)?.into();
    Ok(answer.map(|body| Limited::new(body, MAX_BODY).map_err(body_error).boxed_unsync()))
}

fn body_error(error: Box<dyn std::error::Error + Send + Sync>) -> Error {
    if error.is::<LengthLimitError>() {
        return Error::HttpResponseBodySize(Some(MAX_BODY as u64));
    }
    match error.downcast::<reqwest::Error>() {
        Ok(error) if error.is_timeout() => Error::ConnectionReadTimeout,
        _ => Error::HttpResponseIncomplete,
    }
}

/// The same with an endpoint of a test, which gets the body as a whole.
async fn perform(endpoint: &dyn Endpoint, url: &Url, request: Request<WasiBody>) -> Result<Response<WasiBody>, Error> {
    let (mut parts, body) = request.into_parts();
    parts.uri = url.as_str().parse().map_err(|_| Error::HttpRequestUriInvalid)?;
    let body: Bytes = match Limited::new(body, MAX_BODY).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => return Err(Error::HttpRequestBodySize(Some(MAX_BODY as u64))),
        Err(_) => return Err(Error::ConnectionTerminated),
    };
    let answer = endpoint.answer(Request::from_parts(parts, body)).await.map_err(|none| match none {
        NoAnswer::NoHost => Error::DestinationNotFound,
        NoAnswer::Refused => Error::ConnectionRefused,
        NoAnswer::Reset => Error::ConnectionTerminated,
    })?;
    Ok(answer.map(|body| body.map_err(|_| Error::HttpResponseIncomplete).boxed_unsync()))
}
