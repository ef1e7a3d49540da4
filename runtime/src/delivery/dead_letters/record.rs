//! One dead letter as one line of JSON. `docs/dead-letters.md` fixes the fields.

use std::time::{SystemTime, UNIX_EPOCH};

use arrow_array::Array;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::DeadLetter;
use crate::batch::Batch;

/// The fields, in the order in which they are written.
#[derive(Serialize)]
struct Record<'a> {
    pipeline: &'a str,
    sink: &'a str,
    kind: &'static str,
    code: &'a str,
    message: &'a str,
    attempts: u32,
    /// Milliseconds since the Unix epoch, as all times.
    first_attempt: Option<u64>,
    time: u64,
    partition: &'a str,
    position: u64,
    timestamp: i64,
    key: Option<Bytes<'a>>,
    headers: Vec<(Bytes<'a>, Option<Bytes<'a>>)>,
    payload: Option<Bytes<'a>>,
}

/// Text as it is; other bytes as `{"base64": "…"}`.
#[derive(Serialize)]
#[serde(untagged)]
enum Bytes<'a> {
    Text(&'a str),
    Other { base64: String },
}

impl<'a> From<&'a [u8]> for Bytes<'a> {
    fn from(bytes: &'a [u8]) -> Bytes<'a> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Bytes::Text(text),
            Err(_) => Bytes::Other { base64: STANDARD.encode(bytes) },
        }
    }
}

/// Appends a line for each event.
pub(super) fn write(letter: &DeadLetter, now: SystemTime, lines: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    for row in 0..letter.batch.len() {
        serde_json::to_writer(&mut *lines, &record(letter, now, row))?;
        lines.push(b'\n');
    }
    Ok(())
}

fn record<'a>(letter: &DeadLetter<'a>, now: SystemTime, row: usize) -> Record<'a> {
    let batch: &Batch = letter.batch;
    let value = |column: &'a arrow_array::BinaryArray| column.is_valid(row).then(|| column.value(row).into());
    Record {
        pipeline: &letter.path.pipeline,
        sink: &letter.path.sink,
        kind: letter.failure.kind.name(),
        code: &letter.failure.code,
        message: &letter.failure.message,
        attempts: letter.attempts,
        first_attempt: letter.since.map(millis),
        time: millis(now),
        partition: batch.origin().partition_of(row).as_str(),
        position: batch.origin().positions()[row],
        timestamp: batch.timestamps()[row],
        key: batch.key().and_then(value),
        headers: match batch.headers() {
            Some(headers) => headers.of(row).map(|(name, value)| (name.into(), value.map(Bytes::from))).collect(),
            None => Vec::new(),
        },
        payload: value(batch.payload()),
    }
}

fn millis(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
