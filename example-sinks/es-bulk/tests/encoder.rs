//! The encoder, run natively.
#![allow(clippy::unwrap_used, reason = "in a test, it is how a wrong answer is told")]
use es_bulk::EsBulk;
use serde_json::json;
use sump_sdk::testing;
use sump_sdk::testing::TestEncoder;

fn open(config: serde_json::Value) -> TestEncoder<EsBulk> {
    TestEncoder::events::<EsBulk>(config).unwrap()
}

#[test]
fn an_event_is_an_action_and_its_document() {
    let batch = testing::batch().text("{\"id\": \"a\\\"b\",\n \"mag\": 4.50}").text("{\"id\": 7}");
    let made = open(json!({ "index": "quakes", "id": "/id" })).encode(batch);
    assert_eq!(
        made.texts(),
        [
            "{\"index\":{\"_index\":\"quakes\",\"_id\":\"a\\\"b\"}}\n{\"id\": \"a\\\"b\",  \"mag\": 4.50}",
            "{\"index\":{\"_index\":\"quakes\",\"_id\":\"7\"}}\n{\"id\": 7}",
        ]
    );
}

#[test]
fn without_a_field_the_id_is_where_the_event_was_read() {
    let batch = testing::batch().text("{}").origin("q@1", 70);
    let made = open(json!({ "index": "q", "action": "create" })).encode(batch);
    assert_eq!(made.texts(), ["{\"create\":{\"_index\":\"q\",\"_id\":\"q@1/70\"}}\n{}"]);
}

#[test]
fn a_tombstone_deletes_the_document_of_its_key() {
    let batch = testing::batch().tombstone().key("a").tombstone();
    let made = open(json!({ "index": "q" })).encode(batch);
    assert_eq!(made.texts(), ["{\"delete\":{\"_index\":\"q\",\"_id\":\"a\"}}"]);
    assert_eq!((made.refused[0].0, made.refused[0].1.code()), (1, "no-id"));
}

#[test]
fn what_is_no_document_is_refused_and_leaves_nothing() {
    let batch = testing::batch().text("no JSON").text("[1]").text("{\"id\":null}").text("{\"id\":1}");
    let made = open(json!({ "index": "q", "id": "/id" })).encode(batch);
    let codes: Vec<_> = made.refused.iter().map(|(event, error)| (*event, error.code())).collect();
    assert_eq!(codes, [(0, "not-json"), (1, "no-object"), (2, "no-id")]);
    assert_eq!(made.values.iter().map(|value| value.events.as_slice()).collect::<Vec<_>>(), [[3]]);
}

#[test]
fn an_id_that_is_no_pointer_is_told_before_anything_is_sent() {
    let error = TestEncoder::events::<EsBulk>(json!({ "index": "q", "id": "id" })).err().unwrap();
    assert!(error.message().contains("write `/id`"), "{error}");
}
