//! The encoder, run natively.
#![allow(clippy::unwrap_used, reason = "in a test, it is how a wrong answer is told")]
use quake_records::QuakeRecords;
use serde_json::json;
use sump_sdk::testing;
use sump_sdk::testing::TestEncoder;

fn open(config: serde_json::Value) -> TestEncoder<QuakeRecords> {
    TestEncoder::events::<QuakeRecords>(config).unwrap()
}

fn quake(felt: Option<u32>, status: &str) -> serde_json::Value {
    json!({ "id": "a", "net": "us", "place": "Lima", "status": status, "mag": 4.5, "felt": felt, "depth": 1 })
}

#[test]
fn a_quake_is_a_record_with_key_and_headers() {
    let made = open(json!({})).encode(testing::batch().event(quake(None, "reviewed")));
    let value = &made.values[0];
    assert_eq!(made.texts(), [r#"{"id":"a","place":"Lima","mag":4.5}"#]);
    assert_eq!(value.key.as_deref(), Some(&b"us"[..]));
    let headers: Vec<(&[u8], Option<&[u8]>)> =
        value.headers.iter().map(|(name, value)| (name.as_slice(), value.as_deref())).collect();
    assert_eq!(headers, [(&b"kind"[..], Some(&b"quake"[..])), (b"status", Some(b"reviewed"))]);
}

#[test]
fn one_that_many_felt_is_two_records_of_one_event() {
    let batch = testing::batch().event(quake(Some(100), "reviewed")).event(quake(Some(99), "reviewed"));
    let made = open(json!({ "felt_by": 100 })).encode(batch);
    let events: Vec<_> = made.values.iter().map(|value| value.events[0]).collect();
    assert_eq!(events, [0, 0, 1]);
    assert!(made.texts()[1].ends_with(r#""felt":100}"#));
    assert_eq!(made.values[1].headers[0].1.as_deref(), Some(&b"alert"[..]));
}

#[test]
fn what_nobody_reviewed_is_left_out_and_what_is_no_quake_is_refused() {
    let batch = testing::batch().event(quake(None, "automatic")).event(json!({ "id": "a" })).tombstone();
    let made = open(json!({ "reviewed_only": true })).encode(batch);
    assert!(made.values.is_empty());
    let codes: Vec<_> = made.refused.iter().map(|(event, error)| (*event, error.code())).collect();
    assert_eq!(codes, [(1, "wrong-shape"), (2, "no-payload")]);
}

#[test]
fn every_quake_of_the_real_data_is_a_record() {
    let quakes = include_str!("../../../data/earthquakes.ndjson");
    let made = open(json!({ "felt_by": 1_000_000 })).encode(testing::batch().lines(quakes));
    assert_eq!((made.values.len(), made.refused.len()), (quakes.lines().count(), 0));
    assert!(made.values.iter().all(|value| value.key.is_some() && value.headers.len() == 2));
}
