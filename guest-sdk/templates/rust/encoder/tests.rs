//! The encoder, run natively.
use serde_json::json;
use sump_sdk::testing::{self, TestEncoder};
use {{module}}::Shape;

fn open() -> TestEncoder<Shape> {
    TestEncoder::events::<Shape>(json!({ "kind": "quake" })).unwrap()
}

#[test]
fn an_event_becomes_a_record() {
    let made = open().encode(testing::batch().event(json!({ "id": 1, "more": true })));
    assert_eq!(made.texts(), [r#"{"kind":"quake","id":1}"#]);
}

#[test]
fn what_has_no_id_is_refused() {
    let made = open().encode(testing::batch().event(json!({})).tombstone());
    let codes: Vec<_> = made.refused.iter().map(|(event, error)| (*event, error.code())).collect();
    assert_eq!(codes, [(0, "wrong-shape"), (1, "no-payload")]);
}
