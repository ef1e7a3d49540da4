//! Guests that take too much.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use sump::sink::{Connect, Outcome, Sink};
use sump::wasm::{Limits, Settings};

use crate::guests::{PLAIN, batch, connect, context, doing, lost, open, said, settings, write};

fn limited(write: &str, limits: Limits) -> Settings {
    Settings { limits, ..settings(json!({ "write": write })) }
}

async fn opened(settings: &Settings) -> Arc<dyn Sink> {
    connect(&PLAIN, settings).open(0).await.unwrap()
}

#[tokio::test]
async fn memory_that_was_refused_in_an_earlier_call_is_not_why_a_guest_traps() {
    let sink = opened(&limited("ask-then-trap", Limits { memory: 16 << 20, ..Limits::default() })).await;
    assert_eq!(said(&sink, &batch(&["a"])).await, "asked: true");
    assert_eq!(&*lost(&sink, &["a"]).await.code, "trap");
}

#[tokio::test]
async fn memory_is_bounded() {
    let sink = opened(&limited("eat", Limits { memory: 16 << 20, ..Limits::default() })).await;
    let failure = lost(&sink, &["a"]).await;
    assert_eq!(&*failure.code, "memory-limit");
    assert!(failure.message.contains("limits.memory"), "{failure}");
}

#[tokio::test]
async fn time_on_the_processor_is_bounded() {
    let sink = opened(&limited("spin", Limits { cpu: Duration::from_millis(50), ..Limits::default() })).await;
    let failure = lost(&sink, &["a"]).await;
    assert_eq!(&*failure.code, "cpu-limit");
    assert!(failure.message.contains("50ms") && failure.message.contains("limits.cpu"), "{failure}");
}

#[tokio::test]
async fn waiting_is_not_time_on_the_processor() {
    let sink = opened(&limited("sleep", Limits { cpu: Duration::from_millis(50), ..Limits::default() })).await;
    let waited = tokio::time::timeout(Duration::from_millis(300), write(&sink, &["a"])).await;
    assert!(waited.is_err(), "{waited:?}");
}

#[tokio::test]
async fn a_guest_that_spins_gives_way_and_is_given_up() {
    for write in ["spin", "sleep"] {
        let sink = opened(&limited(write, Limits { cpu: Duration::from_secs(60), ..Limits::default() })).await;
        // Both are on one thread.
        let (events, context) = (batch(&["a"]), context());
        let waited = tokio::time::timeout(Duration::from_millis(100), sink.write(&events, &context)).await;
        assert!(waited.is_err(), "{waited:?}");
        assert_eq!(&*lost(&sink, &["a"]).await.code, "lost");
    }
}

#[tokio::test]
async fn opening_is_bounded_too() {
    let slow = open(json!({ "open": "spin" }));
    assert!(tokio::time::timeout(Duration::from_millis(100), slow).await.is_err());
    let limits = Limits { cpu: Duration::from_millis(50), ..Limits::default() };
    let settings = Settings { limits, ..settings(json!({ "open": "spin" })) };
    let failure = connect(&PLAIN, &settings).open(0).await.err().unwrap();
    assert_eq!(&*failure.code, "cpu-limit");
}

#[tokio::test]
async fn printing_without_end_is_no_error() {
    let sink = doing("flood").await;
    assert_eq!(write(&sink, &["a"]).await, Ok(Outcome::Written));
}
