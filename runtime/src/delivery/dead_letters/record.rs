//! One dead letter as one line of JSON, as it is written. `docs/dead-letters.md` fixes the fields.

use std::time::{SystemTime, UNIX_EPOCH};

use arrow_array::Array;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::DeadLetter;
use crate::batch::Batch;

/// What is known of an event from before it failed: where it came from, and how it fared when it was given up before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Past {
    /// The name of its source, where it is known.
    pub source: Option<String>,
    /// Attempts before it was sent again.
    pub attempts: u32,
    /// When the first of all attempts began, in milliseconds since the Unix epoch.
    pub first_attempt: Option<u64>,
    /// How many times it was sent again.
    pub replays: u32,
}

/// The fields, in the order in which they are written.
#[derive(Serialize)]
struct Record<'a> {
    pipeline: &'a str,
    sink: &'a str,
    source: Option<&'a str>,
    kind: &'static str,
    code: &'a str,
    message: &'a str,
    attempts: u32,
    /// Milliseconds since the Unix epoch, as all times.
    first_attempt: Option<u64>,
    time: u64,
    replays: u32,
    partition: &'a str,
    position: u64,
    range: Option<(u64, u64)>,
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

/// A line for each event of a letter. `past` says what is known of the event in a row.
///
/// Fails only where a line can't be held in memory.
pub fn encode(letter: &DeadLetter, past: impl Fn(usize) -> Past) -> Result<Vec<u8>, serde_json::Error> {
    let (now, mut lines) = (SystemTime::now(), Vec::new());
    for row in 0..letter.batch.len() {
        serde_json::to_writer(&mut lines, &record(letter, &past(row), now, row))?;
        lines.push(b'\n');
    }
    Ok(lines)
}

fn record<'a>(letter: &DeadLetter<'a>, past: &'a Past, now: SystemTime, row: usize) -> Record<'a> {
    let batch: &Batch = letter.batch;
    let value = |column: &'a arrow_array::BinaryArray| column.is_valid(row).then(|| column.value(row).into());
    Record {
        pipeline: &letter.path.pipeline,
        sink: &letter.path.sink,
        source: past.source.as_deref(),
        kind: letter.failure.kind.name(),
        code: &letter.failure.code,
        message: &letter.failure.message,
        attempts: past.attempts.saturating_add(letter.attempts),
        first_attempt: past.first_attempt.or_else(|| letter.since.map(millis)),
        time: millis(now),
        replays: past.replays,
        partition: batch.origin().partition_of(row).as_str(),
        position: batch.origin().positions()[row],
        range: letter.range,
        timestamp: batch.timestamps()[row],
        key: batch.key().and_then(value),
        headers: match batch.headers() {
            Some(headers) => headers.of(row).map(|(name, value)| (name.into(), value.map(Bytes::from))).collect(),
            None => Vec::new(),
        },
        payload: value(batch.payload()),
    }
}

/// Milliseconds since the Unix epoch.
pub(super) fn millis(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
