//! The server: its connections, from being accepted until they end.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::debug;

use super::request::Shared;
use super::settings::Settings;
use super::tls::Certificates;
use crate::source::SourceError;

/// How long requests that are being answered may take at the end.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// How long to wait when the system has no more connections to give.
const NO_MORE: Duration = Duration::from_millis(100);

/// Bytes of a connection that are read ahead, and so of the longest head.
const READ_AHEAD: usize = 64 << 10;

/// Bytes that an HTTP/2 client may send before they are asked for, in one request and in all.
const WINDOW: u32 = 256 << 10;

/// Requests at the same time on one HTTP/2 connection.
const STREAMS: u32 = 128;

/// Bytes of the head of an HTTP/2 request.
const HEAD: u32 = 16 << 10;

/// Serves until it is dropped.
#[derive(Debug)]
pub(super) struct Server {
    /// Where.
    pub(super) address: SocketAddr,
    stop: watch::Sender<bool>,
    running: JoinSet<()>,
}

/// What all connections share.
struct Connections {
    shared: Shared,
    certificates: Option<Certificates>,
    http: auto::Builder<TokioExecutor>,
    idle_timeout: Duration,
}

impl Server {
    /// Listens, and begins to answer.
    pub(super) async fn start(settings: &Settings, shared: Shared) -> Result<Server, SourceError> {
        let certificates = match &settings.tls {
            None => None,
            Some(tls) => Some(Certificates::read(tls).map_err(|message| SourceError { message })?),
        };
        let failed = |error: io::Error| SourceError {
            message: format!("{} can't be listened on: {error}: choose another address or port", settings.listen),
        };
        let listener = TcpListener::bind(settings.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let idle_timeout = settings.idle_timeout;
        let connections = Arc::new(Connections { shared, certificates, http: http(), idle_timeout });
        let (stop, stopped) = watch::channel(false);
        let mut running = JoinSet::new();
        running.spawn(accept(listener, connections, settings.max_connections as usize, stopped));
        Ok(Server { address, stop, running })
    }

    /// Accepts no more connections. Requests that are being answered go on.
    pub(super) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Returns when it has ended, which it does not before it is told to.
    pub(super) async fn ended(&mut self) {
        self.running.join_next().await;
    }

    /// The same, and lets requests that are being answered end.
    pub(super) async fn close(&mut self) {
        self.stop();
        if timeout(LAST_ANSWERS, self.ended()).await.is_err() {
            debug!("some requests were not answered before the end");
        }
    }
}

/// Connections have a deadline of their own until there is a request: the one for heads would not cover HTTP/2, nor
/// those who say nothing.
fn http() -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1().header_read_timeout(None).max_buf_size(READ_AHEAD);
    http.http2()
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_header_list_size(HEAD);
    http
}

async fn accept(listener: TcpListener, connections: Arc<Connections>, most: usize, mut stopped: watch::Receiver<bool>) {
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            () = told(&mut stopped) => break,
            Some(_) = open.join_next() => {}
            accepted = listener.accept(), if open.len() < most => match accepted {
                Ok((stream, _)) => {
                    open.spawn(welcome(stream, connections.clone(), stopped.clone()));
                }
                Err(error) => {
                    debug!(%error, "a connection could not be accepted");
                    sleep(NO_MORE).await;
                }
            },
        }
    }
    drop(listener);
    while open.join_next().await.is_some() {}
}

/// Returns once it is true, or nobody can say so any more.
async fn told(signal: &mut watch::Receiver<bool>) {
    drop(signal.wait_for(|now| *now).await);
}

async fn welcome(stream: TcpStream, connections: Arc<Connections>, stopped: watch::Receiver<bool>) {
    // Answers are small, and are written at once.
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "a connection broke");
    }
    match &connections.certificates {
        None => converse(stream, connections, stopped).await,
        Some(certificates) => match timeout(connections.idle_timeout, certificates.acceptor().accept(stream)).await {
            Ok(Ok(stream)) => converse(stream, connections, stopped).await,
            Ok(Err(error)) => debug!(%error, "a connection was not encrypted"),
            Err(_) => debug!("a connection was not encrypted in time"),
        },
    }
}

async fn converse<S>(stream: S, connections: Arc<Connections>, mut stopped: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let activity = Arc::new(Activity::default());
    let (all, active) = (connections.clone(), activity.clone());
    let service = service_fn(move |request| {
        let (all, active) = (all.clone(), active.begin());
        async move {
            let answer = all.shared.answer(request).await;
            drop(active);
            Ok::<_, Infallible>(answer)
        }
    });
    let mut connection = pin!(connections.http.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => Ok(ended),
        () = told(&mut stopped) => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection.as_mut() => Ok(ended),
                () = activity.idle_for(LAST_ANSWERS) => timeout(LAST_ANSWERS, connection).await,
            }
        }
        () = activity.idle_for(connections.idle_timeout) => {
            connection.as_mut().graceful_shutdown();
            timeout(LAST_ANSWERS, connection).await
        }
    };
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%error, "a connection broke"),
        Err(_) => debug!("a connection was idle"),
    }
}

/// What happens on a connection.
#[derive(Debug)]
struct Activity(Mutex<Seen>);

#[derive(Debug)]
struct Seen {
    /// Requests that are being answered.
    open: usize,
    /// When the last one ended, or the connection began.
    since: Instant,
}

/// A request that is being answered.
struct Active(Arc<Activity>);

impl Default for Activity {
    fn default() -> Activity {
        Activity(Mutex::new(Seen { open: 0, since: Instant::now() }))
    }
}

impl Activity {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(self: &Arc<Self>) -> Active {
        self.seen().open += 1;
        Active(self.clone())
    }

    /// Returns once there was no request for so long.
    async fn idle_for(&self, long: Duration) {
        loop {
            let until = {
                let seen = self.seen();
                let since = if seen.open > 0 { Instant::now() } else { seen.since };
                since + long
            };
            if until <= Instant::now() {
                return;
            }
            sleep_until(until).await;
        }
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        let mut seen = self.0.seen();
        seen.open -= 1;
        seen.since = Instant::now();
    }
}
