//! What the tests share: guests built once, opened sinks, batches.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use serde_json::Value;
use sump::batch::{Batch, BatchBuilder, Event, Partition};
use sump::sink::{Connect, Failure, Outcome, Sink, WriteContext, WriteError};
use sump::wasm::{Component, Connector, Host, Settings};
use tokio::time::Instant;

pub(crate) use crate::guest::guest;

pub(crate) static HOST: LazyLock<Host> =
    LazyLock::new(|| Host::new(Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache/sump/compiled")).unwrap());

pub(crate) static PLAIN: LazyLock<Component> = LazyLock::new(|| load("guest-plain"));
pub(crate) static CONCURRENT: LazyLock<Component> = LazyLock::new(|| load("guest-concurrent"));

fn load(package: &str) -> Component {
    HOST.load(&guest(package)).unwrap()
}

pub(crate) fn settings(config: Value) -> Settings {
    Settings { config, ..Settings::new("guest.wasm") }
}

pub(crate) fn connect(component: &Component, settings: &Settings) -> Connector {
    let four = NonZeroUsize::new(4).unwrap();
    component.connect("p", "s", settings, &BTreeMap::new(), four).unwrap()
}

/// The plain guest, opened.
pub(crate) async fn open(config: Value) -> Result<Arc<dyn Sink>, Failure> {
    connect(&PLAIN, &settings(config)).open(3).await
}

/// The plain guest, opened to do one thing in every write.
pub(crate) async fn doing(write: &str) -> Arc<dyn Sink> {
    open(serde_json::json!({ "write": write })).await.unwrap()
}

pub(crate) fn batch(payloads: &[&str]) -> Batch {
    let mut builder = BatchBuilder::new();
    for (row, payload) in payloads.iter().enumerate() {
        let event = Event { payload: Some(payload.as_bytes()), position: row as u64, ..Event::default() };
        builder.push(&Partition::from("a"), event);
    }
    builder.finish().unwrap()
}

pub(crate) fn context() -> WriteContext {
    let timeout = Duration::from_secs(30);
    let deadline = Instant::now() + timeout;
    WriteContext {
        pipeline: "p".into(),
        sink: "s".into(),
        attempt: 1,
        deadline,
        timeout,
        ordered: false,
        turn: Default::default(),
        next: None,
    }
}

pub(crate) async fn write(sink: &Arc<dyn Sink>, payloads: &[&str]) -> Result<Outcome, WriteError> {
    sink.write(&batch(payloads), &context()).await
}

/// What a guest says by failing: its code and message.
pub(crate) async fn said(sink: &Arc<dyn Sink>, batch: &Batch) -> String {
    match sink.write(batch, &context()).await {
        Err(WriteError::Failed(failure)) => format!("{}: {}", failure.code, failure.message),
        other => panic!("{other:?}"),
    }
}

/// The failure with which an instance was lost.
pub(crate) async fn lost(sink: &Arc<dyn Sink>, payloads: &[&str]) -> Failure {
    match write(sink, payloads).await {
        Err(WriteError::Lost(failure)) => failure,
        other => panic!("{other:?}"),
    }
}
