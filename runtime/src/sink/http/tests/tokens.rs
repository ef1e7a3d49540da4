//! OAuth 2 by client credentials.

use std::time::Duration;

use super::server::{Asked, Does, Server, says, status};
use super::{failed, open, settings, write};
use crate::sink::{FailureKind, Outcome};

/// Gives a token that lasts so long.
fn gives(token: &str, seconds: u32) -> Does {
    let body = format!(r#"{{"access_token":"{token}","token_type":"Bearer","expires_in":{seconds}}}"#);
    says(200, "content-type: application/json\r\n", &body)
}

async fn server(script: Vec<Does>, more: &str) -> (Server, std::sync::Arc<dyn crate::sink::Sink>) {
    let server = Server::new(script).await;
    let auth = format!(
        "[auth]\ntype = 'oauth2'\ntoken_url = '{}/token'\nclient_id = 'me:x'\nclient_secret = 's3cr&t'\nscope = 'a b'\n{more}",
        server.url
    );
    let sink = open(&settings(&format!("{}/in", server.url), &auth)).await;
    (server, sink)
}

/// What was asked for, and as whom.
fn lines(asked: &[Asked]) -> Vec<(&str, &str)> {
    asked.iter().map(Asked::by_whom).collect()
}

#[tokio::test]
async fn a_token_is_got_once_and_used_until_it_ends() {
    let (server, sink) = server(vec![gives("t1", 3600), status(200)], "").await;
    for _ in 0..3 {
        assert_eq!(write(&sink, &["a"]).await, Ok(Outcome::Written));
    }
    let asked = server.asked();
    // `me%3Ax:s3cr%26t`, as RFC 6749 has it in section 2.3.1.
    let basic = "Basic bWUlM0F4OnMzY3IlMjZ0";
    let bearer = ("/in", "Bearer t1");
    assert_eq!(lines(&asked), [("/token", basic), bearer, bearer, bearer]);
    assert_eq!(asked[0].text(), "grant_type=client_credentials&scope=a+b");
    assert_eq!(asked[0].header("content-type"), Some("application/x-www-form-urlencoded"));
}

#[tokio::test]
async fn credentials_may_be_in_the_body() {
    let (server, sink) = server(vec![gives("t1", 3600), status(200)], "credentials_in = 'body'\naudience = 'x'").await;
    assert_eq!(write(&sink, &["a"]).await, Ok(Outcome::Written));
    let asked = server.asked();
    assert_eq!(asked[0].header("authorization"), None);
    let form = "grant_type=client_credentials&scope=a+b&audience=x&client_id=me%3Ax&client_secret=s3cr%26t";
    assert_eq!(asked[0].text(), form);
}

#[tokio::test]
async fn many_writes_wait_for_one_token() {
    let (server, sink) = server(vec![gives("t1", 3600), status(200)], "").await;
    let writes = (0..8).map(|_| write(&sink, &["a"]));
    let outcomes = futures_util::future::join_all(writes).await;
    assert!(outcomes.iter().all(|outcome| *outcome == Ok(Outcome::Written)));
    assert_eq!(server.asked().iter().filter(|asked| asked.line.contains("/token")).count(), 1);
}

#[tokio::test]
async fn a_token_that_is_refused_is_replaced_once() {
    let script = vec![gives("t1", 3600), status(401), gives("t2", 3600), status(200)];
    let (server, sink) = server(script, "").await;
    assert_eq!(write(&sink, &["a"]).await, Ok(Outcome::Written));
    let asked = server.asked();
    let as_whom: Vec<_> = lines(&asked).into_iter().filter(|(path, _)| *path == "/in").collect();
    assert_eq!(as_whom, [("/in", "Bearer t1"), ("/in", "Bearer t2")]);
    let script = vec![gives("t1", 3600), status(401), gives("t2", 3600), status(401)];
    let (server, sink) = self::server(script, "").await;
    let failure = failed(write(&sink, &["a"]).await);
    assert_eq!((failure.kind, &*failure.code), (FailureKind::Halted, "http-401"));
    assert_eq!(server.asked().len(), 4);
}

#[tokio::test]
async fn a_token_that_ends_at_once_is_got_for_each_request() {
    let (server, sink) = server(vec![gives("t1", 0), status(200), gives("t2", 0), status(200)], "").await;
    for _ in 0..2 {
        assert_eq!(write(&sink, &["a"]).await, Ok(Outcome::Written));
    }
    assert_eq!(lines(&server.asked())[3], ("/in", "Bearer t2"));
}

#[tokio::test]
async fn without_a_token_nothing_is_sent() {
    let refused = says(400, "", r#"{"error":"invalid_client","error_description":"no s3cr&t of ours"}"#);
    let (server, sink) = server(vec![refused], "").await;
    let failure = failed(write(&sink, &["a"]).await);
    assert_eq!((failure.kind, &*failure.code), (FailureKind::Halted, "token"));
    assert!(failure.message.contains("invalid_client") && !failure.message.contains("s3cr&t"), "{}", failure.message);
    assert_eq!(server.asked().len(), 1);
    let busy = says(503, "retry-after: 9\r\n", "");
    let (_server, sink) = self::server(vec![busy], "").await;
    let failure = failed(write(&sink, &["a"]).await);
    let advised = FailureKind::Transient { after: Some(Duration::from_secs(9)) };
    assert_eq!((failure.kind, &*failure.code), (advised, "token"));
    let (_server, sink) = self::server(vec![Does::Resets], "").await;
    assert_eq!(failed(write(&sink, &["a"]).await).kind, FailureKind::Transient { after: None });
}
