//! The sink, run natively.
use serde_json::json;
use sump_sdk::Kind;
use sump_sdk::testing::{self, Harness};
use {{module}}::Sink;

#[test]
fn an_event_with_an_id_is_written() {
    let mut sink = Harness::events::<Sink>(json!({ "prefix": "quake" })).unwrap();
    sink.write(testing::batch().event(json!({ "id": 1 })).event(json!({ "id": "b" }))).assert_written();
}

#[test]
fn what_has_no_id_is_rejected_alone() {
    let mut sink = Harness::events::<Sink>(json!({})).unwrap();
    let outcome = sink.write(testing::batch().event(json!({ "id": 1 })).text("no json").tombstone());
    assert_eq!(outcome.written(), [0]);
    assert_eq!(outcome.kind(1), Some(Kind::Rejected));
    assert_eq!(outcome.error(2).map(|error| error.code()), Some("no-payload"));
}
