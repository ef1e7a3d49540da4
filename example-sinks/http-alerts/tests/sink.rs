//! The sink, run natively against an endpoint of the test's own.
#![allow(clippy::unwrap_used, reason = "in a test, it is how a wrong answer is told")]
use std::time::Duration;

use http_alerts::Alerts;
use serde_json::Value;
use serde_json::json;
use sump_sdk::Kind;
use sump_sdk::http;
use sump_sdk::http::Response;
use sump_sdk::testing;
use sump_sdk::testing::BatchBuilder;
use sump_sdk::testing::Endpoint;
use sump_sdk::testing::Harness;
use sump_sdk::testing::Outcome;

fn quakes() -> BatchBuilder {
    let quake = |mag: f64| json!({ "mag": mag, "place": "Amboy" });
    testing::batch().event(quake(4.5)).event(quake(1.0)).event(quake(7.25))
}

fn write(batch: BatchBuilder) -> Outcome {
    Harness::async_batches::<Alerts>(json!({ "url": "https://hooks.example.com/quakes" })).unwrap().write(batch)
}

#[test]
fn strong_quakes_go_out_in_one_request_under_the_batch_id() {
    let endpoint = Endpoint::answering([Response::new(204)]);
    write(quakes()).assert_written();

    let [request] = &endpoint.requests()[..] else { panic!("one request: {:?}", endpoint.requests()) };
    assert_eq!((request.method(), request.url()), ("POST", "https://hooks.example.com/quakes"));
    assert_eq!(request.header_value("Idempotency-Key"), Some(testing::context().batch_id.as_bytes()));
    let alerts: Value = serde_json::from_slice(request.body_bytes()).unwrap();
    assert_eq!(alerts, json!([{ "mag": 4.5, "place": "Amboy" }, { "mag": 7.25, "place": "Amboy" }]));
}

#[test]
fn a_batch_without_strong_quakes_makes_no_request() {
    let endpoint = Endpoint::answering::<Response>([]);
    write(testing::batch().event(json!({ "mag": 4.4 }))).assert_written();
    assert!(endpoint.requests().is_empty());
}

#[test]
fn an_event_that_is_no_quake_is_rejected_and_the_others_go_out() {
    let endpoint = Endpoint::answering([Response::new(200)]);
    let outcome = write(quakes().text("no json"));
    assert_eq!(outcome.written(), [0, 1, 2]);
    assert_eq!(outcome.kind(3), Some(Kind::Rejected));
    assert_eq!(endpoint.requests().len(), 1);
}

#[test]
fn what_the_endpoint_answers_decides_about_the_batch() {
    let failure = |answer: Result<Response, http::Error>| {
        let _endpoint = Endpoint::answering([answer]);
        let outcome = write(quakes());
        outcome.failure().map(|error| (error.kind(), error.code().to_owned()))
    };
    let busy = Response::new(503).with_header("retry-after", "2");
    let pause = Kind::Transient(Some(Duration::from_secs(2)));
    assert_eq!(failure(Ok(busy)), Some((pause, "http-503".to_owned())));
    assert_eq!(failure(Ok(Response::new(401))), Some((Kind::Halted, "http-401".to_owned())));
    assert_eq!(failure(Ok(Response::new(413))), Some((Kind::Rejected, "http-413".to_owned())));
    let lost = http::Error::NoAnswer("connection reset".to_owned());
    assert_eq!(failure(Err(lost)), Some((Kind::Unknown, "http-no-answer".to_owned())));
    let refused = http::Error::NotSent("connection refused".to_owned());
    assert_eq!(failure(Err(refused)), Some((Kind::Transient(None), "http-not-sent".to_owned())));
}

#[test]
fn alerts_that_the_endpoint_rejects_leave_the_weak_quakes_done() {
    let _endpoint = Endpoint::answering([Response::new(422)]);
    let outcome = write(quakes());
    assert_eq!(outcome.written(), [1]);
    assert_eq!(outcome.error(2).map(|error| error.code()), Some("http-422"));
}
