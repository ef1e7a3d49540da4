//! A web hook on this machine that fails on purpose.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, anyhow};
use tiny_http::{Response, Server};

/// How many requests are told to come again.
const BUSY: usize = 2;

/// A batch with this in it is never accepted.
const REFUSED: &str = "Japan";

/// The endpoint; it answers until the process ends.
pub(super) struct Endpoint {
    url: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

/// What one request brought, and the answer.
#[derive(Clone)]
pub(super) struct Request {
    /// The identity of its batch.
    pub(super) key: String,
    /// How many alerts it held.
    pub(super) alerts: usize,
    /// The status that it was answered with.
    pub(super) status: u16,
}

impl Endpoint {
    /// Listens on a port that is free.
    pub(super) fn start() -> Result<Endpoint> {
        let server = Server::http("127.0.0.1:0").map_err(|error| anyhow!("no port to listen on: {error}"))?;
        let url = format!("http://{}", server.server_addr());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = requests.clone();
        std::thread::spawn(move || {
            for request in server.incoming_requests() {
                answer(request, &seen);
            }
        });
        Ok(Endpoint { url, requests })
    }

    /// Where it listens, such as `http://127.0.0.1:41234`.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// All requests so far, in order.
    pub(super) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Busy first; then what it refuses for good; then thanks.
fn answer(mut request: tiny_http::Request, seen: &Mutex<Vec<Request>>) {
    let mut body = String::new();
    if request.as_reader().read_to_string(&mut body).is_err() {
        return;
    }
    let header = |name: &'static str| {
        let found = request.headers().iter().find(|header| header.field.equiv(name));
        found.map(|header| header.value.to_string()).unwrap_or_default()
    };
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    let status = match () {
        () if !header("authorization").starts_with("Bearer ") => 401,
        () if seen.len() < BUSY => 503,
        () if body.contains(REFUSED) => 422,
        () => 204,
    };
    let alerts = serde_json::from_str::<Vec<serde_json::Value>>(&body).map_or(0, |alerts| alerts.len());
    seen.push(Request { key: header("idempotency-key"), alerts, status });
    drop(seen);
    // A client that has gone needs no answer.
    drop(request.respond(Response::empty(status)));
}
