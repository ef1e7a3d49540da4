//! An HTTP server that answers as a test wants.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

/// A request that came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
}

/// What to answer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    Status(u16),
    /// 503, with `Retry-After` in seconds.
    Later(u64),
    /// 200, after a while.
    Slowly(Duration),
    /// 413 for a body with more bytes, else 200.
    AtMost(usize),
    /// The connection ends without an answer.
    Nothing,
}

/// It listens until it is dropped.
pub(crate) struct Endpoint {
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    // Dropping it ends all connections.
    _runtime: Runtime,
}

impl Endpoint {
    /// Answers the n-th request, counted from 0, as `answer` says.
    pub(crate) fn new(answer: impl Fn(usize) -> Answer + Send + Sync + 'static) -> Endpoint {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let (asked, answer) = (Arc::<Mutex<Vec<Asked>>>::default(), Arc::new(answer));
        let all = asked.clone();
        runtime.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (asked, answer) = (asked.clone(), answer.clone());
                connections.spawn(async move {
                    let service = service_fn(move |request| respond(request, asked.clone(), answer.clone()));
                    let http = hyper::server::conn::http1::Builder::new();
                    drop(http.serve_connection(TokioIo::new(stream), service).await);
                });
            }
        });
        Endpoint { url: format!("http://{address}"), asked: all, _runtime: runtime }
    }

    pub(crate) fn always(answer: Answer) -> Endpoint {
        Endpoint::new(move |_| answer)
    }

    /// All requests so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

async fn respond(
    request: Request<Incoming>,
    asked: Arc<Mutex<Vec<Asked>>>,
    answer: Arc<impl Fn(usize) -> Answer>,
) -> Result<Response<String>, Closed> {
    let text = |value: &hyper::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = request.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    let path = request.uri().to_string();
    let body = request.into_body().collect().await.map(|body| body.to_bytes().to_vec()).unwrap_or_default();
    let length = body.len();
    let number = {
        let mut asked = asked.lock().unwrap();
        asked.push(Asked { path, headers, body });
        asked.len() - 1
    };
    let response = Response::builder();
    let response = match answer(number) {
        Answer::Status(status) => response.status(status),
        Answer::Later(seconds) => response.status(503).header("retry-after", seconds),
        Answer::AtMost(bytes) => response.status(if length > bytes { 413 } else { 200 }),
        Answer::Slowly(pause) => {
            tokio::time::sleep(pause).await;
            response
        }
        Answer::Nothing => return Err(Closed),
    };
    Ok(response.body(String::new()).unwrap())
}

/// The connection is closed without an answer.
#[derive(Debug)]
struct Closed;

impl std::fmt::Display for Closed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("closed on purpose")
    }
}

impl std::error::Error for Closed {}
