//! The whole sink, against servers that answer byte by byte what a test wants.

mod outcomes;
mod requests;
mod server;
mod tokens;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{HttpSink, Settings};
use crate::batch::{Batch, BatchBuilder, Event, Partition};
use crate::sink::{Connect, Failure, Outcome, Sink, WriteContext, WriteError};

const TIMEOUT: Duration = Duration::from_secs(30);

/// Settings as they are written, `url` aside.
fn settings(url: &str, more: &str) -> Settings {
    toml::from_str(&format!("url = '{url}'\n{more}")).unwrap()
}

async fn open(settings: &Settings) -> Arc<dyn Sink> {
    HttpSink::new(settings, TIMEOUT, None).unwrap().open(0).await.unwrap()
}

fn batch(payloads: &[&str]) -> Batch {
    let mut builder = BatchBuilder::new();
    for (position, payload) in (0..).zip(payloads) {
        let event = Event { payload: Some(payload.as_bytes()), key: Some(b"k"), position, ..Event::default() };
        builder.push(&Partition::from("p"), event);
    }
    builder.finish().unwrap()
}

fn context(timeout: Duration) -> WriteContext {
    WriteContext {
        pipeline: "pipe".into(),
        sink: "sink".into(),
        attempt: 1,
        deadline: Instant::now() + timeout,
        timeout,
        ordered: true,
        turn: Default::default(),
        next: None,
    }
}

async fn write(sink: &Arc<dyn Sink>, payloads: &[&str]) -> Result<Outcome, WriteError> {
    sink.write(&batch(payloads), &context(TIMEOUT)).await
}

/// How the whole batch failed.
#[track_caller]
fn failed(outcome: Result<Outcome, WriteError>) -> Failure {
    match outcome {
        Err(WriteError::Failed(failure)) => failure,
        other => panic!("{other:?}"),
    }
}

/// The code and the rows of each refusal, and where the write stopped.
#[track_caller]
fn partly(outcome: Result<Outcome, WriteError>) -> (Vec<(String, Vec<u32>)>, usize) {
    match outcome {
        Ok(Outcome::Partial { refused, stopped_at }) => {
            let of = |refusal: crate::sink::Refusal| {
                (format!("{} {}", refusal.failure.kind.name(), refusal.failure.code), refusal.rows.iter().collect())
            };
            (refused.into_iter().map(of).collect(), stopped_at)
        }
        other => panic!("{other:?}"),
    }
}
