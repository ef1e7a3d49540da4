//! Requests of guests, to a server of the test.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::json;
use sump::sink::{Connect, Sink};
use sump::units::Secret;
use sump::wasm::{Allow, AllowHttp, Settings};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::guests::{PLAIN, batch, said, settings};

/// Says in its answer what it was asked.
struct Server {
    port: u16,
    connections: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Server {
    async fn start() -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (connections, mut tasks) = (Arc::new(AtomicUsize::new(0)), JoinSet::new());
        let count = Arc::clone(&connections);
        tasks.spawn(async move {
            let mut served = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                let http = hyper::server::conn::http1::Builder::new();
                served.spawn(async move {
                    drop(http.serve_connection(TokioIo::new(stream), service_fn(echo)).await);
                });
            }
        });
        Server { port, connections, _tasks: tasks }
    }
}

async fn echo(request: Request<Incoming>) -> Result<Response<String>, Infallible> {
    let header = |name: &str| request.headers().get(name).map_or("-", |value| value.to_str().unwrap_or("?")).to_owned();
    let (authorization, proxied) = (header("authorization"), header("x-forwarded-for"));
    let (method, path) = (request.method().clone(), request.uri().to_string());
    let mut response = Response::builder();
    if path.ends_with("/redirect") {
        response = response.status(302).header("location", "/secret");
    }
    let body = request.into_body().collect().await.map_or(0, |body| body.to_bytes().len());
    Ok(response.body(format!("{method} {path} {authorization} {proxied} {body}")).unwrap())
}

fn to(url: String, headers: &[(&str, &str)]) -> AllowHttp {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), Secret::new(*value)));
    AllowHttp { to: url, headers: headers.collect() }
}

async fn sender(method: &str, url: String, allow: Vec<AllowHttp>) -> Arc<dyn Sink> {
    let config = json!({ "write": "http", "method": method, "url": url, "token": "from the guest" });
    let settings = Settings { allow: Allow { http: allow, ..Allow::default() }, ..settings(config) };
    PLAIN.connect("p", "s", &settings, &BTreeMap::new(), NonZeroUsize::MIN).unwrap().open(0).await.unwrap()
}

async fn asked(url: String, allow: Vec<AllowHttp>) -> String {
    said(&sender("GET", url, allow).await, &batch(&["a"])).await
}

#[tokio::test]
async fn requests_reach_what_is_granted_over_a_connection_that_is_kept() {
    let server = Server::start().await;
    let base = format!("http://127.0.0.1:{}", server.port);
    let sink = sender("POST", format!("{base}/api/write?x=1"), vec![to(format!("{base}/api"), &[])]).await;
    let large = "x".repeat(100_000);
    for _ in 0..3 {
        assert_eq!(said(&sink, &batch(&[&large])).await, "http: 200 POST /api/write?x=1 from the guest - 100000");
    }
    assert_eq!(server.connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn granted_headers_replace_those_of_the_guest() {
    let server = Server::start().await;
    let base = format!("http://127.0.0.1:{}", server.port);
    let grant = to(base.clone(), &[("Authorization", "Token secret")]);
    assert_eq!(asked(format!("{base}/a/../b"), vec![grant]).await, "http: 200 GET /b Token secret - 0");
}

#[tokio::test]
async fn everything_else_is_denied() {
    let server = Server::start().await;
    let base = format!("http://127.0.0.1:{}", server.port);
    let denied = "http: ErrorCode::HttpRequestDenied";
    assert_eq!(asked(format!("{base}/"), vec![]).await, denied);
    let grant = || vec![to(format!("{base}/api"), &[])];
    for url in [
        format!("{base}/"),
        format!("{base}/apis"),
        format!("{base}/api/../secret"),
        format!("{base}/api/%2e%2e/secret"),
        format!("https://127.0.0.1:{}/api", server.port),
        format!("http://localhost:{}/api", server.port),
        "http://127.0.0.1:1/api".to_owned(),
    ] {
        assert_eq!(asked(url.clone(), grant()).await, denied, "{url}");
    }
    assert_eq!(server.connections.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let server = Server::start().await;
    let base = format!("http://127.0.0.1:{}", server.port);
    let said = asked(format!("{base}/redirect"), vec![to(base, &[])]).await;
    assert!(said.starts_with("http: 302 "), "{said}");
}

#[tokio::test]
async fn a_name_of_this_host_is_granted_by_name() {
    let server = Server::start().await;
    let base = format!("http://localhost:{}", server.port);
    let said = asked(format!("{base}/x"), vec![to(base, &[])]).await;
    assert!(said.starts_with("http: 200 GET /x"), "{said}");
}

#[tokio::test]
async fn a_connection_that_is_refused_is_told_as_such() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://127.0.0.1:{}", listener.local_addr().unwrap().port());
    drop(listener);
    assert_eq!(asked(format!("{base}/"), vec![to(base, &[])]).await, "http: ErrorCode::ConnectionRefused");
}
