//! Requests over HTTP, by the host's own pooled client, to the destinations that are granted.

mod carrier;
mod client;
mod grant;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use ::http::{HeaderMap, Request, Response};
use reqwest::Url;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use super::{BadGrant, Denials};
use crate::wasm::settings::AllowHttp;
use crate::wasm::stage::Stage;
use carrier::Carrier;
use grant::Grant;

/// What one sink may reach.
pub(super) struct Http {
    grants: Vec<Grant>,
    /// Absent where nothing is granted.
    carrier: Option<Carrier>,
    denials: Arc<Denials>,
}

impl Http {
    pub(super) fn new(allow: &[AllowHttp], denials: Arc<Denials>, stage: Option<&Stage>) -> Result<Http, BadGrant> {
        let grants: Vec<Grant> = allow.iter().map(Grant::new).collect::<Result<_, _>>()?;
        let carrier = match (grants.is_empty(), stage) {
            (true, _) => None,
            (false, Some(stage)) => Some(Carrier::Stage(Arc::clone(stage.endpoint()))),
            (false, None) => Some(Carrier::Network(client::build(&grants, &denials).map_err(BadGrant::Client)?)),
        };
        Ok(Http { grants, carrier, denials })
    }

    /// What carries the request and the headers to add, where a grant covers it.
    fn granted(&self, method: &::http::Method, url: &Url) -> Result<(Carrier, HeaderMap), Error> {
        let grant = self.grants.iter().filter(|grant| grant.covers(url)).max_by_key(|grant| grant.specificity());
        if let (Some(grant), Some(carrier)) = (grant, &self.carrier) {
            return Ok((carrier.clone(), grant.headers().clone()));
        }
        let origin = url.origin().ascii_serialization();
        let cure = format!("`allow.http = [{{ to = \"{origin}\" }}]` under this sink, or `--allow-http {origin}`");
        self.denials.request(&format!("{method} {origin}{}", shortened(url.path())), &cure);
        Err(Error::HttpRequestDenied)
    }

    async fn send(
        self: Arc<Http>,
        mut request: Request<WasiBody>,
        options: Option<RequestOptions>,
    ) -> Result<Response<WasiBody>, Error> {
        let url = Url::parse(&request.uri().to_string()).map_err(|_| Error::HttpRequestUriInvalid)?;
        let (carrier, granted) = self.granted(request.method(), &url)?;
        let guest = std::mem::take(request.headers_mut());
        *request.headers_mut() = headers(guest, granted);
        let answer = carrier.carry(url, request);
        match options.and_then(|options| options.first_byte_timeout) {
            Some(timeout) => tokio::time::timeout(timeout, answer).await.map_err(|_| Error::ConnectionReadTimeout)?,
            None => answer.await,
        }
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
