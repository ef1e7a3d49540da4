//! What a condition reads of one event: each variable or field once, and only when it is asked for.

use std::borrow::Cow;

use arrow_array::Array;
use chrono::{DateTime, Datelike, Utc};

use super::json::{self, Step, Unreadable};
use super::value::Value;
use crate::batch::Batch;
use crate::batch::Headers;

/// Something that a condition reads of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// A field of the payload; the payload itself where the path is empty.
    Field(Box<[Step]>),
    /// Whether the payload has a field whose parents are there.
    HasField(Box<[Step]>),
    Header(Box<str>),
    HasHeader(Box<str>),
    Headers,
    Key,
    Raw,
    Timestamp,
    Partition,
}

/// One event of a batch. It moves from event to event, so that its memory is taken once for a batch.
pub(super) struct Row<'a> {
    batch: &'a Batch,
    index: usize,
    reads: &'a [Read],
    values: Box<[Option<Result<Value<'a>, Unreadable>>]>,
}

impl<'a> Row<'a> {
    /// The first event of `batch`, of which any of `reads` can be asked for.
    pub(super) fn first(batch: &'a Batch, reads: &'a [Read]) -> Row<'a> {
        Row { batch, index: 0, reads, values: reads.iter().map(|_| None).collect() }
    }

    /// Goes on to another event.
    pub(super) fn move_to(&mut self, index: usize) {
        self.index = index;
        self.values.fill_with(|| None);
    }

    /// What the read with this number gives. It is kept until the row moves on.
    pub(super) fn read(&mut self, read: usize) -> Result<&Value<'a>, Unreadable> {
        if self.values[read].is_none() {
            self.values[read] = Some(self.fetch(&self.reads[read]));
        }
        match &self.values[read] {
            Some(Ok(value)) => Ok(value),
            _ => Err(Unreadable),
        }
    }

    /// The same for the interpreter, which shares the row and so can keep nothing.
    pub(super) fn read_shared(&self, read: usize) -> Result<Value<'a>, Unreadable> {
        match self.values.get(read).ok_or(Unreadable)? {
            Some(value) => value.clone(),
            None => self.fetch(&self.reads[read]),
        }
    }

    fn fetch(&self, read: &Read) -> Result<Value<'a>, Unreadable> {
        let (batch, index) = (self.batch, self.index);
        match read {
            Read::Field(path) => {
                let payload = payload(batch, index).ok_or(Unreadable)?;
                Value::from_json(json::find(payload, path)?.ok_or(Unreadable)?)
            }
            Read::HasField(path) => {
                let payload = payload(batch, index).ok_or(Unreadable)?;
                json::find(payload, path).map(|found| Value::Bool(found.is_some()))
            }
            Read::Header(name) => text_or_null(header(batch.headers(), index, name).ok_or(Unreadable)?),
            Read::HasHeader(name) => Ok(Value::Bool(header(batch.headers(), index, name).is_some())),
            Read::Headers => Ok(batch.headers().map_or(Value::Map(b"{}"), |headers| Value::Headers(headers, index))),
            Read::Key => text_or_null(key(batch, index)),
            Read::Raw => text_or_null(payload(batch, index)),
            Read::Timestamp => time(batch.timestamps()[index]).map(Value::Time).ok_or(Unreadable),
            Read::Partition => Ok(Value::Text(Cow::Borrowed(batch.origin().partition_of(index).as_str()))),
        }
    }
}

/// The payload of an event as it was before any encoder, unless it is a tombstone.
pub(super) fn payload(batch: &Batch, index: usize) -> Option<&[u8]> {
    let payload = batch.unencoded();
    payload.is_valid(index).then(|| payload.value(index))
}

/// The key of an event, if it has one.
pub(super) fn key(batch: &Batch, index: usize) -> Option<&[u8]> {
    batch.key().filter(|keys| Array::is_valid(*keys, index)).map(|keys| keys.value(index))
}

/// The first header of that name. The value may be null.
pub(super) fn header<'a>(headers: Option<&'a Headers>, index: usize, name: &str) -> Option<Option<&'a [u8]>> {
    headers?.of(index).find_map(|(found, value)| (found == name.as_bytes()).then_some(value))
}

/// The time of an event, in the range that CEL knows.
fn time(milliseconds: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_millis(milliseconds).filter(|time| (1..=9999).contains(&time.year()))
}

pub(super) fn text_or_null(bytes: Option<&[u8]>) -> Result<Value<'_>, Unreadable> {
    let Some(bytes) = bytes else { return Ok(Value::Null) };
    std::str::from_utf8(bytes).map(|text| Value::Text(Cow::Borrowed(text))).map_err(|_| Unreadable)
}
