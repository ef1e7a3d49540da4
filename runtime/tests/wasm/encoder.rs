//! Components of the encoder's world.

use std::time::Duration;

use serde_json::json;
use sump::batch::{Batch, RowSet};
use sump::sink::encode::{Encode, Encoded, Encoder, Sources};
use sump::sink::{FailureKind, WriteError};
use sump::wasm::{Component, ConnectError, EncoderError, EncoderSettings, Limits, World};

use crate::guests::{HOST, PLAIN, batch, guest, settings};

static ENCODER: std::sync::LazyLock<Component> =
    std::sync::LazyLock::new(|| HOST.load(&guest("guest-encoder")).unwrap());

fn encoder(config: serde_json::Value) -> impl Encoder {
    let limits = Limits { memory: 64 << 20, cpu: Duration::from_millis(300) };
    let settings = EncoderSettings { path: "guest.wasm".into(), config, limits };
    ENCODER.encoder("p", "s", &settings).unwrap()
}

async fn open() -> Box<dyn Encode> {
    encoder(json!({})).open().await.unwrap()
}

async fn made(words: &[&str]) -> Result<Encoded, WriteError> {
    open().await.encode(&batch(words)).await
}

fn texts(values: &Batch) -> Vec<String> {
    (0..values.len()).map(|row| String::from_utf8_lossy(values.payload().value(row)).into_owned()).collect()
}

#[tokio::test]
async fn a_component_makes_none_one_or_several_values_of_an_event() {
    let events = batch(&["a", "drop", "two", "null", "refuse", "b"]);
    let encoded = open().await.encode(&events).await.unwrap();
    assert_eq!(encoded.sources(), Some(&Sources { offsets: vec![0, 1, 2, 3, 4, 5], events: vec![0, 2, 2, 3, 5] }));
    let refused = &encoded.refused()[0];
    assert_eq!((refused.rows.clone(), &*refused.failure.code), (RowSet::range(4..5), "odd"));
    let values = encoded.into_values(&events, true).unwrap();
    assert_eq!(texts(&values), ["A", "0 of 2", "1 of 2", "", "B"]);
    assert_eq!(values.origin().positions(), [0, 2, 2, 3, 5]);
    assert_eq!(values.unencoded().value(1), b"two");
    let key = values.key().unwrap();
    assert_eq!((key.value(0), key.value(4)), (&b"k0"[..], &b"k4"[..]));
    let headers: Vec<_> = values.headers().unwrap().of(3).collect();
    assert_eq!(headers, [(&b"h"[..], Some(&b"v"[..]))]);
}

#[tokio::test]
async fn one_value_of_several_events_has_the_origin_of_the_last() {
    let events = batch(&["drop", "all", "drop"]);
    let values = open().await.encode(&events).await.unwrap().into_values(&events, false).unwrap();
    assert_eq!((texts(&values), values.origin().positions()), (vec!["all".to_owned()], &[2][..]));
}

#[tokio::test]
async fn what_it_says_of_its_values_is_checked() {
    for word in ["beyond", "nothing", "twice", "short"] {
        let error = made(&["a", word]).await.unwrap_err();
        assert_eq!(&*error.failure().code, "bad-encoding", "{word}: {error}");
    }
}

#[tokio::test]
async fn the_same_events_give_the_same_values_whenever_and_wherever() {
    let once = |word: &'static str| async move {
        let events = batch(&[word]);
        texts(&open().await.encode(&events).await.unwrap().into_values(&events, false).unwrap())
    };
    assert!(once("told").await[0].starts_with("0 0ns "), "the clocks stand still");
    assert!(once("told").await[0].ends_with(" 0 false false"), "there is nothing outside");
    for word in ["told", "map"] {
        assert_eq!(once(word).await, once(word).await);
    }
}

#[tokio::test]
async fn what_breaks_it_is_told_and_it_is_of_no_more_use() {
    for (word, code) in [("trap", "trap"), ("spin", "cpu-limit"), ("eat", "memory-limit")] {
        match made(&[word]).await {
            Err(WriteError::Lost(failure)) => assert_eq!(&*failure.code, code),
            other => panic!("{word}: {other:?}"),
        }
    }
    match made(&["a", "fail"]).await {
        Err(WriteError::Failed(failure)) => assert_eq!(&*failure.code, "bad-batch"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn it_says_what_it_is_and_is_no_sink() {
    assert_eq!(ENCODER.world(), World::Encoder);
    let contract = encoder(json!({})).contract().clone();
    assert_eq!((contract.content_type.as_deref(), contract.max_events.unwrap().get()), (Some("text/odd"), 5000));
    let one = std::num::NonZeroUsize::MIN;
    let connected = ENCODER.connect("p", "s", &settings(json!({})), &Default::default(), one);
    assert!(matches!(connected.err(), Some(ConnectError::NotASink)));
    let settings = EncoderSettings { path: "guest.wasm".into(), config: json!({}), limits: Limits::default() };
    assert!(matches!(PLAIN.encoder("p", "s", &settings).err(), Some(EncoderError::NotAnEncoder)));
    let failure = encoder(json!({ "open": "fail" })).open().await.err().unwrap();
    assert_eq!((failure.kind, &*failure.code), (FailureKind::Halted, "no-key"));
}

#[tokio::test]
async fn fields_are_taken_out_in_one_pass() {
    let events = batch(&[r#"{"id": "a", "n":1.50,"x":{},"b":true}"#, r#"{"n":2}"#, "{}", "odd"]);
    let mut encoder = encoder(json!({ "fields": ["n", "id", "b"] })).open().await.unwrap();
    let values = encoder.encode(&events).await.unwrap().into_values(&events, false).unwrap();
    assert_eq!(texts(&values), ["1.50,a,true", "2,,", ",,", ",,"]);
}
