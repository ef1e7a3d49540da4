//! One event of a batch, looked at without copies.
use serde::Deserialize;

use crate::batch::Batch;
use crate::context::Context;
use crate::error::Error;

/// One event of a batch.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    batch: &'a Batch,
    index: usize,
}

impl<'a> Event<'a> {
    pub(crate) fn new(batch: &'a Batch, index: usize) -> Self {
        Self { batch, index }
    }

    /// Its index in the batch, which a [`Report`](crate::Report) refers to.
    pub fn index(&self) -> usize {
        self.index
    }

    /// The payload; `None` is a Kafka tombstone.
    pub fn payload(&self) -> Option<&'a [u8]> {
        self.batch.payload().get(self.index)
    }

    /// The payload of an event that has to have one.
    ///
    /// # Errors
    /// A tombstone is rejected, code `no-payload`.
    pub fn bytes(&self) -> Result<&'a [u8], Error> {
        self.payload().ok_or_else(|| Error::rejected("no-payload", "the event has no payload (a tombstone)"))
    }

    /// The payload as text.
    ///
    /// # Errors
    /// A tombstone is rejected, code `no-payload`; bytes that are not UTF-8 as well, code `not-utf8`.
    pub fn text(&self) -> Result<&'a str, Error> {
        str::from_utf8(self.bytes()?).map_err(|error| Error::rejected("not-utf8", error.to_string()))
    }

    /// The payload as JSON, in a type of one's own, which may borrow from it.
    ///
    /// # Errors
    /// A tombstone is rejected, code `no-payload`; so is one that is not JSON, code `not-json`, or does not fit the
    /// type, code `wrong-shape`.
    pub fn json<T: Deserialize<'a>>(&self) -> Result<T, Error> {
        serde_json::from_slice(self.bytes()?).map_err(|error| {
            let code = if error.is_data() { "wrong-shape" } else { "not-json" };
            Error::rejected(code, error.to_string())
        })
    }

    /// The key, where it has one.
    pub fn key(&self) -> Option<&'a [u8]> {
        self.batch.key()?.get(self.index)
    }

    /// Event time in milliseconds since the Unix epoch: the time at which it was read, where its source gives none.
    pub fn timestamp(&self) -> i64 {
        self.batch.timestamps()[self.index]
    }

    /// Name and value of each header; a value may be absent.
    pub fn headers(&self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + use<'a> {
        let index = self.index;
        self.batch.headers().into_iter().flat_map(move |headers| headers.of(index))
    }

    /// The value of the first header of this name.
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.headers().find(|(n, _)| *n == name.as_bytes()).and_then(|(_, value)| value)
    }

    /// Where it was read: one partition of a Kafka topic, one file.
    pub fn partition(&self) -> &'a str {
        self.batch.partition(self.index)
    }

    /// Where in its partition: an offset, the byte at which a line starts, a running number.
    pub fn position(&self) -> u64 {
        self.batch.positions()[self.index]
    }

    /// A key that only this event has in this sink, the same after every retry, replay and restart of a source that can
    /// be read again: pipeline, sink, partition and position. Destinations use it to write each event once.
    pub fn idempotency_key(&self, context: &Context) -> String {
        format!("{}/{}/{}/{}", context.pipeline, context.sink, self.partition(), self.position())
    }
}
