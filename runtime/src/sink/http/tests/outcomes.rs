//! What becomes of a batch.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use super::server::{Does, Server, says, status};
use super::{TIMEOUT, batch, context, failed, open, partly, settings, write};
use crate::sink::http::HttpSink;
use crate::sink::{Connect, FailureKind, Outcome};

/// How a batch of two fails at a server that does this, with its kind and its code.
async fn fails(does: Does, more: &str) -> (String, String) {
    let server = Server::new([does]).await;
    let failure = failed(write(&open(&settings(&server.url, more)).await, &["a", "b"]).await);
    (failure.kind.name().to_owned(), failure.code.to_string())
}

#[tokio::test]
async fn each_status_comes_to_what_it_means() {
    for (number, kind, code) in [
        (408, "transient", "http-408"),
        (425, "transient", "http-425"),
        (429, "transient", "http-429"),
        (500, "transient", "http-500"),
        (502, "transient", "http-502"),
        (501, "rejected", "http-501"),
        (505, "rejected", "http-505"),
        (401, "halted", "http-401"),
        (403, "halted", "http-403"),
        (407, "halted", "http-407"),
        (413, "rejected", "too-large"),
        (400, "rejected", "http-400"),
        (404, "rejected", "http-404"),
        (304, "rejected", "http-304"),
    ] {
        assert_eq!(fails(status(number), "").await, (kind.into(), code.into()), "{number}");
    }
    assert_eq!(fails(status(404), "statuses = { 404 = 'transient' }").await.0, "transient");
    assert_eq!(fails(status(200), "statuses = { 2xx = 'unknown' }").await.0, "unknown");
}

#[tokio::test]
async fn a_redirect_is_an_answer_unless_it_is_followed() {
    let to = |status, place: &str| says(status, &format!("location: {place}\r\n"), "");
    assert_eq!(fails(to(302, "/b"), "").await, ("rejected".into(), "http-302".into()));
    assert_eq!(fails(to(307, "/b"), "").await, ("rejected".into(), "http-307".into()));
    let followed = Server::new([to(307, "/b"), status(200)]).await;
    let sink = open(&settings(&format!("{}/a", followed.url), "redirects = 1")).await;
    assert_eq!(write(&sink, &["a"]).await, Ok(Outcome::Written));
    let asked = followed.asked();
    assert_eq!((asked[1].line.as_str(), asked[1].text()), ("POST /b HTTP/1.1", "a\n"));
    assert_eq!(fails(to(308, "/b"), "redirects = 1").await.1, "http-308", "not a second time");
    assert_eq!(fails(to(302, "/b"), "redirects = 1").await.1, "http-302", "it would become a GET");
    assert_eq!(fails(to(307, "http://b.invalid/"), "redirects = 1").await.1, "http-307", "another host");
}

#[tokio::test]
async fn advice_goes_with_what_is_transient() {
    let after = async |header: &str| {
        let server = Server::new([says(503, header, "")]).await;
        failed(write(&open(&settings(&server.url, "")).await, &["a"]).await).kind
    };
    let advised = |seconds| FailureKind::Transient { after: Some(Duration::from_secs(seconds)) };
    assert_eq!(after("retry-after: 7\r\n").await, advised(7));
    let date = "date: Sun, 06 Nov 1994 08:49:00 GMT\r\nretry-after: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
    assert_eq!(after(date).await, advised(37));
    assert_eq!(after("").await, FailureKind::Transient { after: None });
}

#[tokio::test]
async fn what_was_sent_and_not_answered_is_unknown() {
    let unknown = ("unknown".to_owned(), "no-answer".to_owned());
    for does in [
        Does::Resets,
        Does::Ends(""),
        Does::Ends("HTTP/1.1 200 OK\r\ncont"),
        Does::Ends("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf"),
        Does::Ends("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nha"),
        Does::Ends("nonsense\r\n\r\n"),
    ] {
        assert_eq!(fails(does.clone(), "").await, unknown, "{does:?}");
    }
    let broken = Does::Ends("HTTP/1.1 503 No\r\ncontent-length: 10\r\n\r\nhalf");
    assert_eq!(fails(broken, "").await.0, "transient", "the head said it");
    let slow = Does::Hangs("HTTP/1.1 400 No\r\ncontent-length: 10\r\n\r\nhalf");
    assert_eq!(fails(slow, "").await.0, "rejected", "the head said it");
}

#[tokio::test]
async fn what_can_not_be_reached_is_transient() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let failure = failed(write(&open(&settings(&format!("http://{address}"), "")).await, &["a"]).await);
    assert_eq!((failure.kind.name(), &*failure.code), ("transient", "connect"));
    assert!(failure.message.starts_with(&format!("http://{address}: no connection: ")), "{}", failure.message);
    let failure = failed(write(&open(&settings("http://nowhere.invalid/?token=x", "")).await, &["a"]).await);
    assert_eq!((failure.kind.name(), &*failure.code), ("transient", "dns"));
    assert!(!failure.message.contains("token"), "{}", failure.message);
    let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let sink = open(&settings(&format!("https://{}", plain.local_addr().unwrap()), "")).await;
    let answers = async {
        let (mut stream, _) = plain.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        stream
    };
    let (outcome, _stream) = tokio::join!(write(&sink, &["a"]), answers);
    let failure = failed(outcome);
    assert_eq!((failure.kind.name(), &*failure.code), ("transient", "tls"), "{}", failure.message);
}

#[tokio::test]
async fn messages_say_why_and_keep_secrets() {
    let server = Server::new([says(400, "", "line 1: bad token hunter2\r\n")]).await;
    let url = format!("{}/hooks/s3cret?key=s3cret", server.url);
    let more = "auth = { type = 'bearer', token = 'hunter2' }";
    let failure = failed(write(&open(&settings(&url, more)).await, &["a"]).await);
    assert_eq!(&*failure.message, format!("{} answered 400 Bad Request: line 1: bad token ***", server.url));
}

#[tokio::test]
async fn what_has_no_place_in_a_body_is_rejected_alone() {
    let server = Server::new([status(200)]).await;
    let sink = open(&settings(&server.url, "body = 'array'")).await;
    let refused = partly(write(&sink, &["1", "a", "2"]).await);
    assert_eq!(refused, (vec![("rejected json".into(), vec![1])], 3));
    assert_eq!(server.asked()[0].text(), "[1,2]");
    assert_eq!(partly(write(&sink, &["a"]).await), (vec![("rejected json".into(), vec![0])], 1));
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn an_answer_may_say_what_became_of_each_event() {
    let items = r#"{"errors":true,"items":[{"index":{"status":201}},{"index":{"status":429,"error":{"type":"busy"}}},
        {"index":{"status":400,"error":{"type":"mapping"}}}]}"#;
    let more = r#"body = {}
        [results]
        items = "/items"
        written = "event.index.status < 300"
        transient = "event.index.status == 429"
        code = "{event:/index/error/type}""#;
    let server = Server::new([says(200, "", items), says(200, "", "{}")]).await;
    let settings = settings(&server.url, more);
    assert!(!HttpSink::new(&settings, TIMEOUT, None).unwrap().contract().stops_in_order);
    let sink = open(&settings).await;
    let refused = vec![("rejected mapping".into(), vec![2]), ("transient busy".into(), vec![1])];
    assert_eq!(partly(write(&sink, &["a", "b", "c"]).await), (refused, 3));
    assert_eq!(server.asked()[0].text(), "a\nb\nc\n");
    let failure = failed(write(&sink, &["a"]).await);
    assert_eq!((failure.kind.name(), &*failure.code), ("unknown", "bad-report"));
    let each = super::settings("http://a.example", "body = 'each'\nresults = { items = '', written = 'true' }");
    assert_eq!(HttpSink::new(&each, TIMEOUT, None).unwrap_err().pointer, "/results");
}

#[tokio::test]
async fn a_connection_is_kept_whatever_was_answered() {
    let long = "x".repeat(10_000);
    let server = Server::new([says(200, "", &long), says(400, "", &long), status(503), status(200)]).await;
    let sink = open(&settings(&server.url, "")).await;
    for _ in 0..4 {
        drop(write(&sink, &["a"]).await);
    }
    assert_eq!(server.asked().iter().map(|asked| asked.connection).collect::<Vec<_>>(), [0, 0, 0, 0]);
}

#[tokio::test]
async fn one_event_a_request_has_outcomes_of_its_own_and_stops_in_order() {
    let each = async |script: Vec<Does>| {
        let server = Server::new(script).await;
        let sink = open(&settings(&server.url, "body = 'each'")).await;
        let outcome = write(&sink, &["a", "b", "c"]).await;
        (outcome, server.asked().len())
    };
    let (outcome, asked) = each(vec![status(200), status(400), status(200)]).await;
    assert_eq!((partly(outcome), asked), ((vec![("rejected http-400".into(), vec![1])], 3), 3));
    let (outcome, asked) = each(vec![status(400), status(503)]).await;
    let refused = vec![("rejected http-400".into(), vec![0]), ("transient http-503".into(), vec![1])];
    assert_eq!((partly(outcome), asked), ((refused, 2), 2));
    let (outcome, asked) = each(vec![status(200), Does::Resets]).await;
    assert_eq!((partly(outcome), asked), ((vec![("unknown no-answer".into(), vec![1])], 2), 2));
    let (outcome, asked) = each(vec![status(200), status(401)]).await;
    assert_eq!((partly(outcome), asked), ((vec![], 1), 2), "the rest comes again, and then halts");
    let (outcome, _) = each(vec![status(401)]).await;
    assert_eq!(failed(outcome).kind.name(), "halted");
}

#[tokio::test]
async fn an_event_that_takes_too_long_is_charged_alone() {
    let server = Server::new([status(200), Does::Hangs("")]).await;
    let sink = open(&settings(&server.url, "body = 'each'")).await;
    let outcome = sink.write(&batch(&["a", "b", "c"]), &context(Duration::from_millis(200))).await;
    let (refused, stopped_at) = partly(outcome);
    // A machine that is slow enough stops after the first.
    assert!(stopped_at == 1 || (refused, stopped_at) == (vec![("unknown timeout".into(), vec![1])], 2));
}

#[tokio::test]
async fn half_of_the_time_is_for_what_comes_again() {
    let server = Server::new([status(200)]).await;
    let sink = open(&settings(&server.url, "body = 'each'")).await;
    let mut context = context(TIMEOUT);
    context.deadline -= TIMEOUT / 2;
    assert_eq!(partly(sink.write(&batch(&["a", "b"]), &context).await), (vec![], 1));
}
