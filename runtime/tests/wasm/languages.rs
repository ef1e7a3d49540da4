//! One guest in every language with an SDK, `tests/guests/words-LANGUAGE`, held to one list: what the vectors of the
//! contract say, and what a guest may cause.

use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use sump::batch::{Batch, BatchBuilder, Event, Partition};
use sump::sink::{Connect, Failure, FailureKind, Outcome, Sink, WriteError};
use sump::wasm::{Component, Settings};

use crate::guests::{HOST, batch, connect, context, guest, settings};

/// Every language's guest, by the folders that there are.
static WORDS: LazyLock<Vec<(String, Component)>> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/guests");
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.starts_with("words-")).collect();
    names.sort();
    names.into_iter().map(|name| (name.clone(), HOST.load(&guest(&name)).unwrap())).collect()
});

fn vectors(file: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit/vectors").join(file);
    let text = std::fs::read_to_string(path).unwrap();
    let mut read: Value = serde_json::from_str(&text).unwrap();
    let cases = read["cases"].take().as_array().unwrap().clone();
    assert!(!cases.is_empty());
    cases
}

async fn open(component: &Component, settings: &Settings) -> std::sync::Arc<dyn Sink> {
    connect(component, settings).open(0).await.unwrap()
}

fn kind(failure: &Failure) -> &'static str {
    match failure.kind {
        FailureKind::Transient { .. } => "transient",
        FailureKind::Rejected => "rejected",
        FailureKind::Unknown => "unknown",
        FailureKind::Halted => "halted",
    }
}

/// An answer as the vectors tell it.
fn told(rows: usize, answer: Result<Outcome, WriteError>) -> Value {
    let (refused, stopped_at) = match answer {
        Ok(Outcome::Written) => (Vec::new(), rows),
        Ok(Outcome::Partial { refused, stopped_at }) => (refused, stopped_at),
        Err(WriteError::Failed(failure)) => {
            let failure = json!({ "kind": kind(&failure), "code": &*failure.code });
            return json!({ "failure": failure, "refused": [], "stopped_at": null });
        }
        Err(WriteError::Lost(failure) | WriteError::Superseded(failure)) => panic!("the instance was lost: {failure}"),
    };
    let mut events: Vec<(usize, Value)> = Vec::new();
    for refusal in &refused {
        for row in refusal.rows.iter() {
            let event = json!({ "event": row, "kind": kind(&refusal.failure), "code": &*refusal.failure.code });
            events.push((row as usize, event));
        }
    }
    events.sort_by_key(|(row, _)| *row);
    let refused: Vec<Value> = events.into_iter().map(|(_, event)| event).collect();
    json!({ "failure": null, "refused": refused, "stopped_at": (stopped_at < rows).then_some(stopped_at) })
}

#[tokio::test]
async fn the_event_level_is_the_same_in_every_language() {
    for (language, component) in WORDS.iter() {
        for case in vectors("events.json") {
            let word = |name: &str| case[name].as_str().unwrap_or("ok");
            let sink = open(component, &settings(json!({ "begin": word("begin"), "flush": word("flush") }))).await;
            let words: Vec<&str> = case["events"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
            let ordered = case["ordered"].as_bool().unwrap();
            let answer = sink.write(&batch(&words), &sump::sink::WriteContext { ordered, ..context() }).await;
            assert_eq!(told(words.len(), answer), case["expect"], "{language}: {}", case["name"]);
        }
    }
}

/// Bytes of a vector, `None` for null.
fn bytes(value: &Value) -> Option<Vec<u8>> {
    value.as_str().map(|text| BASE64_STANDARD.decode(text).unwrap())
}

fn built(events: &[Value]) -> Batch {
    let mut builder = BatchBuilder::new();
    for event in events {
        let (payload, key) = (bytes(&event["payload"]), bytes(&event["key"]));
        let headers: Vec<(Vec<u8>, Vec<u8>)> = event["headers"].as_array().unwrap().iter().map(header).collect();
        let headers: Vec<(&[u8], &[u8])> = headers.iter().map(|(name, value)| (&**name, &**value)).collect();
        builder.push(
            &Partition::from(event["partition"].as_str().unwrap()),
            Event {
                payload: payload.as_deref(),
                key: key.as_deref(),
                timestamp: event["timestamp"].as_i64().unwrap(),
                headers: &headers,
                position: event["position"].as_u64().unwrap(),
            },
        );
    }
    builder.finish().unwrap()
}

/// Name and value of a header. (A source gives none without a value.)
fn header(pair: &Value) -> (Vec<u8>, Vec<u8>) {
    (bytes(&pair[0]).unwrap(), bytes(&pair[1]).unwrap_or_default())
}

fn echo(event: &Value) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let text = |value: &Value| bytes(value).map_or("-".to_owned(), |bytes| hex(&bytes));
    let headers = event["headers"].as_array().unwrap().iter().map(header);
    let headers: Vec<String> = headers.map(|(name, value)| format!("{}:{}", hex(&name), hex(&value))).collect();
    format!(
        "payload={} key={} time={} headers={} at={}/{}",
        text(&event["payload"]),
        text(&event["key"]),
        event["timestamp"],
        headers.join(","),
        event["partition"].as_str().unwrap(),
        event["position"]
    )
}

#[tokio::test]
async fn every_event_is_the_same_in_every_language() {
    for (language, component) in WORDS.iter() {
        let sink = open(component, &settings(json!({ "echo": true }))).await;
        for case in vectors("batches.json") {
            let events = case["events"].as_array().unwrap();
            let mut seen = vec![String::new(); events.len()];
            match sink.write(&built(events), &context()).await {
                Ok(Outcome::Written) => {}
                Ok(Outcome::Partial { refused, .. }) => refused.iter().for_each(|refusal| {
                    refusal.rows.iter().for_each(|row| seen[row as usize] = refusal.failure.message.to_string());
                }),
                Err(error) => panic!("{language}: {error:?}"),
            }
            assert_eq!(seen, events.iter().map(echo).collect::<Vec<_>>(), "{language}: {}", case["name"]);
        }
    }
}

#[tokio::test]
async fn a_large_batch_and_many_events_arrive_in_every_language() {
    for (language, component) in WORDS.iter() {
        let sink = open(component, &settings(json!({}))).await;
        let large = "x".repeat(1 << 20);
        assert_eq!(sink.write(&batch(&[&large]), &context()).await, Ok(Outcome::Written), "{language}");
        let many = vec!["ok"; 100_000];
        assert_eq!(sink.write(&batch(&many), &context()).await, Ok(Outcome::Written), "{language}");
        assert_eq!(sink.close().await, Ok(()), "{language}");
    }
}

#[tokio::test]
async fn memory_is_a_language_s_own() {
    for (language, component) in WORDS.iter() {
        let sink = open(component, &settings(json!({}))).await;
        for _ in 0..2 {
            let answer = sink.write(&batch(&["print", "work", "print"]), &context()).await;
            assert_eq!(answer, Ok(Outcome::Written), "{language}");
        }
    }
}

#[tokio::test]
async fn what_a_guest_may_cause_is_the_same_in_every_language() {
    for (language, component) in WORDS.iter() {
        let mut settings = settings(json!({}));
        settings.limits.cpu = Duration::from_secs(1);
        for (word, codes) in [("exit", &["exit"][..]), ("spin", &["cpu-limit"]), ("eat", &["memory-limit", "trap"])] {
            let sink = open(component, &settings).await;
            match sink.write(&batch(&["ok", word]), &context()).await {
                Err(WriteError::Lost(failure)) => {
                    assert!(codes.contains(&&*failure.code), "{language}: {word}: {failure:?}")
                }
                // Its own exception for it, which kept the instance.
                Ok(Outcome::Partial { refused, .. }) if word == "eat" || word == "exit" && !can_exit(language) => {
                    assert_eq!(kind(&refused[0].failure), "unknown", "{language}");
                }
                other => panic!("{language}: {word}: {other:?}"),
            }
        }
    }
}

/// Whether a sink in the language can end the program that it is.
fn can_exit(language: &str) -> bool {
    language != "words-typescript"
}

#[tokio::test]
async fn a_configuration_or_an_opening_that_fails_is_told_in_every_language() {
    for (language, component) in WORDS.iter() {
        assert!(component.check_config(&json!({ "begin": 1 })).is_err(), "{language}");
        assert!(component.check_config(&json!({ "began": "ok" })).is_err(), "{language}");
        for (word, expected) in [("busy", "transient"), ("halt", "halted"), ("uncaught", "unknown")] {
            let failure = connect(component, &settings(json!({ "open": word }))).open(0).await.err().unwrap();
            assert_eq!(kind(&failure), expected, "{language}: {word}");
        }
    }
}
