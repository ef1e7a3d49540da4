//! The sink, run natively against an endpoint of the test's own.
use serde_json::json;
use sump_sdk::Kind;
use sump_sdk::http::Response;
use sump_sdk::testing::{self, Endpoint, Harness};
use {{module}}::Sink;

fn open() -> Harness<Sink> {
    Harness::async_events::<Sink>(json!({ "url": "https://example.com/events" })).unwrap()
}

#[test]
fn each_event_is_a_request() {
    let endpoint = Endpoint::answering([Response::new(204), Response::new(204)]);
    open().write(testing::batch().event(json!({ "id": 1 })).event(json!({ "id": 2 }))).assert_written();
    let bodies: Vec<_> = endpoint.requests().iter().map(|request| request.body_bytes().to_vec()).collect();
    assert_eq!(bodies, [br#"{"id":1}"#, br#"{"id":2}"#]);
}

#[test]
fn what_the_endpoint_refuses_is_rejected_and_no_other() {
    let _endpoint = Endpoint::answering([Response::new(422), Response::new(204)]);
    let outcome = open().write(testing::batch().event(json!({ "id": 1 })).event(json!({ "id": 2 })));
    assert_eq!(outcome.kind(0), Some(Kind::Rejected));
    assert_eq!(outcome.written(), [1]);
}
