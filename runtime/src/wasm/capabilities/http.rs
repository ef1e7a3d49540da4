//! Requests over HTTP, by the host's own pooled client, to the destinations that are granted.

mod client;
mod grant;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use ::http::{HeaderMap, Request, Response};
use http_body::Body as _;
use http_body_util::{BodyExt, Limited};
use reqwest::{Body, Url};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use super::{BadGrant, Denials};
use crate::wasm::settings::AllowHttp;
use grant::Grant;

/// The most bytes of a body, in either direction.
const MAX_BODY: usize = 64 << 20;

/// What one sink may reach.
pub(super) struct Http {
    grants: Vec<Grant>,
    /// Absent where nothing is granted.
    client: Option<reqwest::Client>,
    denials: Arc<Denials>,
}

impl Http {
    pub(super) fn new(allow: &[AllowHttp], denials: Arc<Denials>) -> Result<Http, BadGrant> {
        let grants: Vec<Grant> = allow.iter().map(Grant::new).collect::<Result<_, _>>()?;
        let client = match grants.is_empty() {
            true => None,
            false => Some(client::build(&grants, &denials).map_err(BadGrant::Client)?),
        };
        Ok(Http { grants, client, denials })
    }

    /// The client and the headers to add, where a grant covers the request.
    fn granted(&self, method: &::http::Method, url: &Url) -> Result<(reqwest::Client, HeaderMap), Error> {
        let grant = self.grants.iter().filter(|grant| grant.covers(url)).max_by_key(|grant| grant.specificity());
        if let (Some(grant), Some(client)) = (grant, &self.client) {
            return Ok((client.clone(), grant.headers().clone()));
        }
        let origin = url.origin().ascii_serialization();
        let cure = format!("`allow.http = [{{ to = \"{origin}\" }}]` under this sink, or `--allow-http {origin}`");
        self.denials.request(&format!("{method} {origin}{}", shortened(url.path())), &cure);
        Err(Error::HttpRequestDenied)
    }

    async fn send(
        self: Arc<Http>,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
    ) -> Result<Response<WasiBody>, Error> {
        let url = Url::parse(&request.uri().to_string()).map_err(|_| Error::HttpRequestUriInvalid)?;
        let (client, granted) = self.granted(request.method(), &url)?;
        let (parts, body) = request.into_parts();
        let mut sent = reqwest::Request::new(parts.method, url);
        *sent.headers_mut() = headers(parts.headers, granted);
        if !body.is_end_stream() {
            let body = Limited::new(body, MAX_BODY).into_data_stream();
            *sent.body_mut() = Some(Body::wrap_stream(body));
        }
        let answer = client.execute(sent);
        let answer = match options.and_then(|options| options.first_byte_timeout) {
            Some(timeout) => tokio::time::timeout(timeout, answer).await.map_err(|_| Error::ConnectionReadTimeout)?,
            None => answer.await,
        };
        let answer: Response<Body> = answer.map_err(client::error)?.into();
        Ok(answer.map(|body| Limited::new(body, MAX_BODY).map_err(body_error).boxed_unsync()))
    }
}

/// What the guest set, but for what the host sets: granted headers replace, the connection is the host's own.
fn headers(mut guest: HeaderMap, granted: HeaderMap) -> HeaderMap {
    guest.remove(::http::header::HOST);
    for name in granted.keys() {
        guest.remove(name);
    }
    guest.extend(granted);
    guest
}

fn body_error(error: Box<dyn std::error::Error + Send + Sync>) -> Error {
    if error.is::<http_body_util::LengthLimitError>() {
        return Error::HttpResponseBodySize(Some(MAX_BODY as u64));
    }
    match error.downcast::<reqwest::Error>() {
        Ok(error) if error.is_timeout() => Error::ConnectionReadTimeout,
        _ => Error::HttpResponseIncomplete,
    }
}

fn shortened(path: &str) -> String {
    crate::units::text::clean(path, 100)
}

/// What `wasi:http` of both versions calls for each request.
pub(in crate::wasm) struct Hooks {
    http: Arc<Http>,
}

impl Hooks {
    pub(super) fn new(http: Arc<Http>) -> Hooks {
        Hooks { http }
    }
}

type Sent = (Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>);

impl WasiHttpHooks for Hooks {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        // How the guest read the answer; the pool finds out by itself.
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<Sent, Error>> + Send> {
        let sent = Arc::clone(&self.http).send(request, options);
        let sent: Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(sent);
        Box::new(async move { Ok((sent.await?, Box::new(std::future::ready(Ok(()))) as Box<_>)) })
    }
}
