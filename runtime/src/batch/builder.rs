//! Makes a batch event by event, where no read buffer can become one as it is: generated events, replays, tests.

use std::sync::Arc;

use arrow_array::builder::{ArrayBuilder, BinaryBuilder, UInt64Builder};
use arrow_array::{Array, TimestampMillisecondArray};
use arrow_schema::ArrowError;

use super::{Batch, Headers, Origin, Partition, Run};

/// One event, as it goes into a batch.
#[derive(Clone, Copy, Debug, Default)]
pub struct Event<'a> {
    /// `None` is a tombstone.
    pub payload: Option<&'a [u8]>,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// Milliseconds since the Unix epoch.
    pub timestamp: i64,
    /// Names and values.
    pub headers: &'a [(&'a [u8], &'a [u8])],
    /// Where in its partition it was read.
    pub position: u64,
}

/// Collects events.
#[derive(Debug, Default)]
pub struct BatchBuilder {
    payload: BinaryBuilder,
    key: BinaryBuilder,
    keyed: bool,
    timestamps: Vec<i64>,
    names: BinaryBuilder,
    values: BinaryBuilder,
    pairs: Vec<i32>,
    partitions: Vec<Partition>,
    runs: Vec<Run>,
    positions: UInt64Builder,
}

impl BatchBuilder {
    /// Nothing yet.
    pub fn new() -> BatchBuilder {
        BatchBuilder { pairs: vec![0], ..BatchBuilder::default() }
    }

    /// How many events there are so far.
    pub fn len(&self) -> usize {
        self.timestamps.len()
    }

    /// Whether there are none so far.
    pub fn is_empty(&self) -> bool {
        self.timestamps.is_empty()
    }

    /// Adds an event of a partition.
    pub fn push(&mut self, partition: &Partition, event: Event) {
        let index = self.partitions.iter().position(|known| known == partition).unwrap_or_else(|| {
            self.partitions.push(partition.clone());
            self.partitions.len() - 1
        }) as u32;
        if self.runs.last().is_none_or(|run| run.partition != index) {
            self.runs.push(Run { start: self.len() as u32, partition: index });
        }
        self.payload.append_option(event.payload);
        self.key.append_option(event.key);
        self.keyed |= event.key.is_some();
        self.timestamps.push(event.timestamp);
        for (name, value) in event.headers {
            self.names.append_value(name);
            self.values.append_value(value);
        }
        self.pairs.push(self.names.len() as i32);
        self.positions.append_value(event.position);
    }

    /// The batch.
    ///
    /// Fails only if a column exceeds 2³¹ − 1 values.
    pub fn finish(mut self) -> Result<Batch, ArrowError> {
        let origin = Origin::new(self.partitions, self.runs, self.positions.finish())?;
        let names = self.names.finish();
        let headers = match names.len() {
            0 => None,
            _ => Some(Headers::new(self.pairs, names, self.values.finish())?),
        };
        let key = self.keyed.then(|| self.key.finish());
        Batch::new(self.payload.finish(), TimestampMillisecondArray::from(self.timestamps), origin)
            .and_then(|batch| batch.with_key(key))
            .and_then(|batch| batch.with_headers(headers))
            .map_err(|uneven| ArrowError::from_external_error(Box::new(uneven)))
    }
}

impl From<&str> for Partition {
    fn from(name: &str) -> Partition {
        Partition::new(Arc::from(name))
    }
}
