//! The columns of a block, filled event by event: no allocation for one, and few for a block.

use arrow_array::{BinaryArray, TimestampMillisecondArray, UInt64Array};
use arrow_buffer::{Buffer, NullBufferBuilder, OffsetBuffer, ScalarBuffer};
use arrow_schema::ArrowError;

use crate::batch::{Batch, Headers, Origin, Partition, Run};
use crate::envelope::Block;

/// What of a message becomes an event.
pub(super) trait Event {
    /// `None` is a tombstone.
    fn payload(&self) -> Option<&[u8]>;
    /// The key.
    fn key(&self) -> Option<&[u8]>;
    /// Milliseconds since the Unix epoch.
    fn timestamp(&self) -> i64;
    /// The offset.
    fn position(&self) -> u64;
    /// Hands each header over, in order.
    fn each_header(&self, each: impl FnMut(&[u8], Option<&[u8]>));
}

/// Byte strings, one for each event.
#[derive(Debug)]
struct Strings {
    bytes: Vec<u8>,
    offsets: Vec<i32>,
    valid: NullBufferBuilder,
}

impl Strings {
    fn new(bytes: Vec<u8>, capacity: usize) -> Strings {
        let mut offsets = Vec::with_capacity(capacity + 1);
        offsets.push(0);
        Strings { bytes, offsets, valid: NullBufferBuilder::new(capacity) }
    }

    /// There is room: see [`Columns::has_room`].
    fn push(&mut self, value: Option<&[u8]>) {
        match value {
            Some(value) => {
                self.bytes.extend_from_slice(value);
                self.valid.append_non_null();
            }
            None => self.valid.append_null(),
        }
        self.offsets.push(self.bytes.len() as i32);
    }

    fn fits(&self, more: usize) -> bool {
        self.bytes.len() + more <= i32::MAX as usize
    }

    fn finish(mut self, column: impl FnOnce(Vec<u8>) -> Buffer) -> Result<BinaryArray, ArrowError> {
        let offsets = OffsetBuffer::new(ScalarBuffer::from(self.offsets));
        BinaryArray::try_new(offsets, column(self.bytes), self.valid.finish())
    }
}

/// Events of any partitions, in the order in which they were pushed.
#[derive(Debug)]
pub(super) struct Columns {
    payload: Strings,
    key: Strings,
    keyed: bool,
    timestamps: Vec<i64>,
    positions: Vec<u64>,
    names: Strings,
    values: Strings,
    /// Where the headers of each event begin.
    pairs: Vec<i32>,
    partitions: Vec<Partition>,
    runs: Vec<Run>,
    /// For each partition, the position after what was pushed of it.
    ends: Vec<u64>,
}

impl Columns {
    /// For about so many events, whose payloads go into `buffer`.
    pub(super) fn new(buffer: Vec<u8>, capacity: usize) -> Columns {
        Columns {
            payload: Strings::new(buffer, capacity),
            key: Strings::new(Vec::new(), capacity),
            keyed: false,
            timestamps: Vec::with_capacity(capacity),
            positions: Vec::with_capacity(capacity),
            names: Strings::new(Vec::new(), 0),
            values: Strings::new(Vec::new(), 0),
            pairs: vec![0],
            partitions: Vec::new(),
            runs: Vec::new(),
            ends: Vec::new(),
        }
    }

    /// Whether nothing was pushed.
    pub(super) fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    /// Bytes of payload, key and headers so far.
    pub(super) fn bytes(&self) -> usize {
        [&self.payload, &self.key, &self.names, &self.values].iter().map(|strings| strings.bytes.len()).sum()
    }

    /// Whether an event with so many bytes still fits the 32 bits of an offset.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        [&self.payload, &self.key, &self.names, &self.values].iter().all(|strings| strings.fits(bytes))
    }

    /// What is pushed from now on is of this partition.
    pub(super) fn turn_to(&mut self, partition: &Partition) {
        let known = self.partitions.iter().position(|known| known == partition);
        let index = known.unwrap_or_else(|| {
            self.partitions.push(partition.clone());
            self.ends.push(0);
            self.partitions.len() - 1
        });
        let (start, partition) = (self.positions.len() as u32, index as u32);
        match self.runs.last_mut() {
            Some(last) if last.partition == partition => {}
            // Nothing came of the one before.
            Some(last) if last.start == start => last.partition = partition,
            _ => self.runs.push(Run { start, partition }),
        }
    }

    /// Adds an event of the partition that was turned to last.
    pub(super) fn push(&mut self, event: &impl Event) {
        self.payload.push(event.payload());
        let key = event.key();
        self.keyed |= key.is_some();
        self.key.push(key);
        self.timestamps.push(event.timestamp());
        self.positions.push(event.position());
        event.each_header(|name, value| {
            self.names.push(Some(name));
            self.values.push(value);
        });
        self.pairs.push((self.names.offsets.len() - 1) as i32);
        if let Some(end) = self.runs.last().and_then(|run| self.ends.get_mut(run.partition as usize)) {
            *end = event.position() + 1;
        }
    }

    /// The block. `column` makes the payloads a column.
    pub(super) fn finish(mut self, column: impl FnOnce(Vec<u8>) -> Buffer) -> Result<Block, ArrowError> {
        // A partition that was turned to, and of which nothing came.
        self.runs.pop_if(|last| last.start as usize == self.positions.len());
        let ends = self.partitions.iter().cloned().zip(self.ends).filter(|(_, end)| *end > 0).collect();
        let positions = UInt64Array::new(ScalarBuffer::from(self.positions), None);
        let origin = Origin::new(self.partitions, self.runs, positions)?;
        let headers = match self.names.offsets.len() {
            1 => None,
            _ => Some(Headers::new(self.pairs, self.names.finish(Buffer::from)?, self.values.finish(Buffer::from)?)?),
        };
        let key = self.keyed.then(|| self.key.finish(Buffer::from)).transpose()?;
        let timestamps = TimestampMillisecondArray::new(ScalarBuffer::from(self.timestamps), None);
        let batch = Batch::new(self.payload.finish(column)?, timestamps, origin)
            .and_then(|batch| batch.with_key(key))
            .and_then(|batch| batch.with_headers(headers))
            .map_err(|uneven| ArrowError::from_external_error(Box::new(uneven)))?;
        Ok(Block { batch, ends, rejects: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::Array;

    #[derive(Default)]
    struct Told {
        payload: Option<&'static [u8]>,
        key: Option<&'static [u8]>,
        position: u64,
        headers: &'static [(&'static str, Option<&'static [u8]>)],
    }

    impl Event for Told {
        fn payload(&self) -> Option<&[u8]> {
            self.payload
        }

        fn key(&self) -> Option<&[u8]> {
            self.key
        }

        fn timestamp(&self) -> i64 {
            1000 + self.position as i64
        }

        fn position(&self) -> u64 {
            self.position
        }

        fn each_header(&self, mut each: impl FnMut(&[u8], Option<&[u8]>)) {
            self.headers.iter().for_each(|(name, value)| each(name.as_bytes(), *value));
        }
    }

    #[test]
    fn every_part_of_an_event_arrives() {
        let mut columns = Columns::new(Vec::new(), 4);
        let (a, b) = (Partition::from("t/0"), Partition::from("t/1"));
        columns.turn_to(&b);
        columns.turn_to(&a);
        columns.push(&Told { payload: Some(b"one"), position: 7, ..Told::default() });
        columns.push(&Told { key: Some(b"k"), position: 9, ..Told::default() });
        columns.turn_to(&b);
        let headers: &[(&str, Option<&[u8]>)] = &[("x", Some(b"1")), ("x", None)];
        columns.push(&Told { payload: Some(b""), position: 3, headers, ..Told::default() });
        columns.turn_to(&a);
        let block = columns.finish(Buffer::from).unwrap();
        let batch = &block.batch;
        assert_eq!(batch.payload().iter().collect::<Vec<_>>(), [Some(&b"one"[..]), None, Some(b"")]);
        assert_eq!(batch.key().unwrap().iter().collect::<Vec<_>>(), [None, Some(&b"k"[..]), None]);
        assert_eq!(batch.timestamps(), [1007, 1009, 1003]);
        let headers = batch.headers().unwrap();
        assert_eq!(headers.of(2).collect::<Vec<_>>(), [(&b"x"[..], Some(&b"1"[..])), (b"x", None)]);
        assert_eq!((headers.of(0).count(), headers.of(1).count()), (0, 0));
        assert_eq!(batch.origin().positions(), [7, 9, 3]);
        assert_eq!([0, 1, 2].map(|row| batch.origin().partition_of(row).as_str()), ["t/0", "t/0", "t/1"]);
        assert_eq!(block.ends, [(b, 4), (a, 10)]);
    }

    #[test]
    fn columns_that_no_event_needs_are_not_there() {
        let mut columns = Columns::new(Vec::new(), 1);
        columns.turn_to(&Partition::from("t/0"));
        columns.push(&Told { payload: Some(b"x"), ..Told::default() });
        let batch = columns.finish(Buffer::from).unwrap().batch;
        assert!(batch.key().is_none() && batch.headers().is_none() && batch.payload().nulls().is_none());
        let none = Columns::new(Vec::new(), 1).finish(Buffer::from).unwrap();
        assert!(none.batch.is_empty() && none.ends.is_empty());
    }
}
