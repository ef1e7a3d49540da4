//! What is sent.

use std::io::Read;

use super::server::{Server, status};
use super::{batch, context, open, settings, write};
use crate::batch::{Batch, BatchBuilder, Event, Partition};
use crate::sink::http::HttpSink;
use crate::sink::{Connect, Outcome};

async fn sent(more: &str, payloads: &[&str]) -> Vec<super::server::Asked> {
    let server = Server::new([status(200)]).await;
    let sink = open(&settings(&format!("{}/in?x=1", server.url), more)).await;
    assert_eq!(write(&sink, payloads).await, Ok(Outcome::Written));
    server.asked()
}

#[tokio::test]
async fn a_batch_is_one_request_of_lines() {
    let asked = sent("", &["{\"a\":1}", "{\n}", "b"]).await;
    assert_eq!(asked.len(), 1);
    assert_eq!((asked[0].line.as_str(), asked[0].text()), ("POST /in?x=1 HTTP/1.1", "{\"a\":1}\n{ }\nb\n"));
    assert_eq!(asked[0].header("content-type"), Some("application/x-ndjson"));
    assert_eq!(asked[0].header("content-encoding"), None);
    assert!(asked[0].header("user-agent").unwrap().starts_with("sump/"));
}

#[tokio::test]
async fn a_batch_is_an_array_or_a_request_for_each_event() {
    let asked = sent("body = 'array'\nmethod = 'PUT'", &["1", "[2]"]).await;
    assert_eq!((asked[0].line.as_str(), asked[0].text()), ("PUT /in?x=1 HTTP/1.1", "[1,[2]]"));
    assert_eq!(asked[0].header("content-type"), Some("application/json"));
    let asked = sent("body = 'each'", &["1", "a\nb"]).await;
    assert_eq!(asked.iter().map(|asked| asked.text()).collect::<Vec<_>>(), ["1", "a\nb"]);
    assert!(asked.iter().all(|asked| asked.connection == 0), "one connection for all");
}

#[test]
fn a_body_is_of_the_type_of_its_values_where_that_is_known() {
    let said = |body: &str, values: &str| {
        let body = settings("http://a", &format!("body = {body}")).body;
        body.content_type(Some(values)).map(|said| said.to_str().unwrap().to_owned())
    };
    let cases = [
        ("'ndjson'", "application/json", "application/x-ndjson"),
        ("'ndjson'", "text/csv", "text/csv"),
        ("'array'", "text/csv", "application/json"),
        ("'each'", "text/csv", "text/csv"),
        ("{ separator = ';' }", "text/csv", "text/csv"),
    ];
    for (body, values, expected) in cases {
        assert_eq!(said(body, values).unwrap(), expected, "{body} of {values}");
    }
    let sink = HttpSink::new(&settings("http://a", ""), super::TIMEOUT, Some("text/a\nb: c"));
    assert_eq!(sink.err().unwrap().pointer, "/encoder");
}

#[tokio::test]
async fn bodies_are_compressed_where_that_is_asked_for() {
    let payload = "x".repeat(1000);
    let asked = sent("compression = 'gzip'", &[&payload]).await;
    assert_eq!(asked[0].header("content-encoding"), Some("gzip"));
    let mut text = String::new();
    flate2::read::GzDecoder::new(&*asked[0].body).read_to_string(&mut text).unwrap();
    assert_eq!(text, format!("{payload}\n"));
    let asked = sent("compression = 'zstd'", &[&payload]).await;
    assert_eq!(asked[0].header("content-encoding"), Some("zstd"));
    assert_eq!(zstd::decode_all(&*asked[0].body).unwrap(), text.as_bytes());
}

#[tokio::test]
async fn headers_of_the_user_replace_those_of_the_sink() {
    let asked = sent(
        "headers = { Content-Type = 'text/plain', X-Key = '{key}', User-Agent = 'me' }\n\
         auth = { type = 'basic', user = 'Aladdin', password = 'open sesame' }",
        &["a"],
    )
    .await;
    assert_eq!(asked[0].header("content-type"), Some("text/plain"));
    assert_eq!(asked[0].header("x-key"), Some("k"));
    assert_eq!(asked[0].header("user-agent"), Some("me"));
    assert_eq!(asked[0].header("authorization"), Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="));
}

#[tokio::test]
async fn a_request_says_which_batch_it_is() {
    let key = async |more: &str| {
        let asked = sent(more, &["a", "b"]).await;
        let of = |asked: &super::server::Asked| {
            let names = ["idempotency-key", "x-id"];
            names.iter().find_map(|name| asked.header(name).map(|id| (name.to_string(), id.to_owned())))
        };
        asked.iter().map(of).collect::<Vec<_>>()
    };
    let id = context(super::TIMEOUT).batch_id(batch(&["a", "b"]).origin()).to_string();
    assert_eq!(key("").await, [Some(("idempotency-key".to_owned(), id.clone()))]);
    assert_eq!(key("method = 'PUT'").await, [None]);
    assert_eq!(key("idempotency_key = 'off'").await, [None]);
    assert_eq!(key("method = 'PUT'\nidempotency_key = 'X-Id'").await, [Some(("x-id".into(), id.clone()))]);
    let each = key("body = 'each'").await;
    assert!(each[0] != each[1] && each[0] != Some(("idempotency-key".into(), id)), "events have their own");
}

fn keyed(keys: &[&str]) -> Batch {
    let mut builder = BatchBuilder::new();
    for key in keys {
        let event = Event { payload: Some(b"1"), key: Some(key.as_bytes()), ..Event::default() };
        builder.push(&Partition::from("p"), event);
    }
    builder.finish().unwrap()
}

#[tokio::test]
async fn an_event_says_where_it_goes_and_one_that_can_not_is_rejected() {
    let server = Server::new([status(200)]).await;
    let settings = settings(&format!("{}/{{key}}", server.url), "headers = { X-Tenant = 't{key}' }");
    let sink = HttpSink::new(&settings, super::TIMEOUT, None).unwrap();
    let destination = sink.contract().destination.clone().unwrap();
    let mut text = String::new();
    destination.render(&keyed(&["a/b"]), 0, &mut text).unwrap();
    assert_eq!(text, format!("{}/a%2Fb\nta/b", server.url));
    let sink = sink.open(0).await.unwrap();
    assert_eq!(sink.write(&keyed(&["a/b"]), &context(super::TIMEOUT)).await, Ok(Outcome::Written));
    assert_eq!(server.asked()[0].line, "POST /a%2Fb HTTP/1.1");
    let outcome = sink.write(&keyed(&["..", ".."]), &context(super::TIMEOUT)).await;
    assert_eq!(super::partly(outcome), (vec![("rejected url".into(), vec![0, 1])], 2));
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn events_without_content_send_nothing() {
    let server = Server::new([status(200)]).await;
    let mut builder = BatchBuilder::new();
    builder.push(&Partition::from("p"), Event::default());
    let tombstone = builder.finish().unwrap();
    for body in ["ndjson", "array", "each"] {
        let sink = open(&settings(&server.url, &format!("body = '{body}'"))).await;
        assert_eq!(sink.write(&tombstone, &context(super::TIMEOUT)).await, Ok(Outcome::Written));
    }
    assert!(server.asked().is_empty());
}
