//! The HTTP server: a handful of connections, each with one request at a time.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::debug;

use super::exposition::{CONTENT_TYPE, Seen};
use super::ready::Readiness;
use crate::pipeline::{Overview, Signals};

/// Connections at the same time. Others wait to be accepted.
const MOST_CONNECTIONS: usize = 32;

/// How long a connection may go without a whole request: longer than the usual time between two scrapes.
const IDLE: Duration = Duration::from_secs(90);

/// How long a connection lasts at most, so that those who never read an answer don't take all connections for good.
const LIFETIME: Duration = Duration::from_secs(600);

/// How long requests that are being answered may take at the end.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// How long to wait when the system has no more connections to give.
const NO_MORE: Duration = Duration::from_millis(100);

/// An address can't be listened on.
#[derive(Debug, thiserror::Error)]
#[error("{address} can't be listened on: {error}")]
pub struct BindError {
    /// The address.
    pub address: SocketAddr,
    /// What the system said.
    pub error: io::Error,
}

impl BindError {
    /// What to do about it.
    pub fn remedy(&self) -> &'static str {
        match self.error.kind() {
            io::ErrorKind::AddrInUse => {
                "somebody listens there already: choose another port, or 0 for any that is free"
            }
            io::ErrorKind::AddrNotAvailable => {
                "this machine has no such address: use `127.0.0.1`, or `0.0.0.0` for all that it has"
            }
            io::ErrorKind::PermissionDenied => "choose a port from 1024 on, or let the process use lower ones",
            _ => "choose another address",
        }
    }
}

/// A socket that is listened on. Nobody is answered yet.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    address: SocketAddr,
}

/// Answers until it is dropped.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    running: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    began: SystemTime,
    run: OnceLock<(Overview, Signals)>,
}

impl Listener {
    /// Listens on an address; port 0 is any that is free.
    pub async fn bind(address: SocketAddr) -> Result<Listener, BindError> {
        let failed = |error| BindError { address, error };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Listener { listener, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Begins to answer: that the run is starting, until [`Server::show`] was called.
    pub fn serve(self) -> Server {
        let shared = Arc::new(Shared { began: SystemTime::now(), run: OnceLock::new() });
        let (stop, stopped) = watch::channel(false);
        let mut running = JoinSet::new();
        running.spawn(accept(self.listener, shared.clone(), stopped));
        Server { shared, stop, running }
    }
}

impl Server {
    /// Answers with what is to be seen of this run from now on. A second run is not shown.
    pub fn show(&self, overview: Overview, signals: Signals) {
        drop(self.shared.run.set((overview, signals)));
    }

    /// Accepts no more connections, and lets requests that are being answered end.
    pub async fn close(mut self) {
        self.stop.send_replace(true);
        if timeout(LAST_ANSWERS, self.running.join_next()).await.is_err() {
            debug!("some requests were not answered before the end");
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, mut stopped: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = told(&mut stopped) => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < MOST_CONNECTIONS => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(converse(stream, shared.clone(), stopped.clone()));
                }
                Err(error) => {
                    debug!(%error, "a connection could not be accepted");
                    sleep(NO_MORE).await;
                }
            },
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Returns once it is true, or nobody can say so any more.
async fn told(signal: &mut watch::Receiver<bool>) {
    drop(signal.wait_for(|now| *now).await);
}

async fn converse(stream: TcpStream, shared: Arc<Shared>, mut stopped: watch::Receiver<bool>) {
    let service = service_fn(|request| answer(request, shared.clone()));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => Ok(ended),
        () = told(&mut stopped) => {
            connection.as_mut().graceful_shutdown();
            Ok(connection.await)
        }
        () = sleep(LIFETIME) => {
            connection.as_mut().graceful_shutdown();
            timeout(LAST_ANSWERS, connection).await
        }
    };
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%error, "a connection broke"),
        Err(_) => debug!("an answer was not read"),
    }
}

/// What [`answer`] gives.
type Answer = Response<Full<Bytes>>;

async fn answer<B>(request: Request<B>, shared: Arc<Shared>) -> Result<Answer, Infallible> {
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        let mut refused = plain(StatusCode::METHOD_NOT_ALLOWED, "GET and HEAD are answered\n");
        refused.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return Ok(refused);
    }
    Ok(match request.uri().path() {
        "/metrics" => metrics(&shared).await,
        "/ready" => ready(&shared),
        "/live" => plain(StatusCode::OK, "live\n"),
        _ => plain(StatusCode::NOT_FOUND, "there are /metrics, /ready and /live\n"),
    })
}

async fn metrics(shared: &Shared) -> Answer {
    let seen = Seen { began: shared.began, run: shared.run.get().cloned() };
    match tokio::task::spawn_blocking(|| seen.text()).await {
        Ok(Ok(text)) => with_type(StatusCode::OK, CONTENT_TYPE, text),
        failed => {
            debug!(?failed, "metrics could not be written");
            plain(StatusCode::INTERNAL_SERVER_ERROR, "metrics could not be written\n")
        }
    }
}

fn ready(shared: &Shared) -> Answer {
    let readiness = match shared.run.get() {
        Some((overview, signals)) => Readiness::of(overview, signals.is_stopping()),
        None => Readiness::starting(),
    };
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    match serde_json::to_string(&readiness) {
        Ok(text) => with_type(status, "application/json", text + "\n"),
        Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

fn plain(status: StatusCode, text: impl Into<String>) -> Answer {
    with_type(status, "text/plain; charset=utf-8", text)
}

fn with_type(status: StatusCode, media_type: &'static str, text: impl Into<String>) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(text.into())));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    // What was so a moment ago is of no use.
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn ask(address: SocketAddr, method: &str, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("{method} {path} HTTP/1.1\r\nhost: sump\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn before_there_is_a_run_it_lives_and_is_not_ready() {
        let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let address = listener.address();
        let server = listener.serve();
        for (method, path, status, part) in [
            ("GET", "/live", 200, "live"),
            ("GET", "/ready", 503, r#""reasons":[{"reason":"starting","source":null}]"#),
            ("GET", "/metrics", 200, "sump_ready 0\n"),
            ("GET", "/", 404, "/metrics"),
            ("POST", "/metrics", 405, "allow: GET, HEAD"),
        ] {
            let answer = ask(address, method, path).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains(part), "{answer}");
        }
        let answer = ask(address, "HEAD", "/live").await;
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\n"), "{answer}");
        server.close().await;
        assert!(TcpStream::connect(address).await.is_err());
    }

    #[tokio::test]
    async fn whoever_never_ends_a_request_does_not_keep_the_connection() {
        let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let address = listener.address();
        let server = listener.serve();
        let mut slow = TcpStream::connect(address).await.unwrap();
        slow.write_all(b"GET /live HTTP/1.1\r\nhost:").await.unwrap();
        // It has begun to be read before time passes.
        assert!(ask(address, "GET", "/live").await.ends_with("live\n"));
        tokio::time::pause();
        let mut answer = String::new();
        let ended = timeout(2 * IDLE, slow.read_to_string(&mut answer)).await;
        assert!(ended.is_ok_and(|read| read.is_ok()), "it is open still");
        server.close().await;
    }

    #[tokio::test]
    async fn more_connections_than_are_taken_wait_for_others_to_end() {
        let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let address = listener.address();
        let server = listener.serve();
        let mut silent = Vec::new();
        for _ in 0..MOST_CONNECTIONS {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        let waits = ask(address, "GET", "/live");
        tokio::pin!(waits);
        assert!(timeout(Duration::from_millis(50), waits.as_mut()).await.is_err());
        drop(silent.pop());
        assert!(waits.await.ends_with("live\n"));
        server.close().await;
    }
}
