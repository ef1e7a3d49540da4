//! Puts chosen rows of several batches together, column by column: each is copied once.

use arrow_array::{Array, BinaryArray, TimestampMillisecondArray};
use arrow_buffer::{BooleanBufferBuilder, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::ArrowError;

use super::{BYTES_A_ROW, Batch, Headers, Origin, Partition, Run};

/// Rows so far. Its memory is that of the rows, and grows as they come.
#[derive(Debug, Default)]
pub struct Collector {
    payload: Values,
    /// Absent while no batch had keys.
    key: Option<Values>,
    headers: Option<Pairs>,
    timestamps: Vec<i64>,
    positions: Vec<u64>,
    partitions: Vec<Partition>,
    runs: Vec<Run>,
    /// Bytes of keys to make room for.
    key_bytes: usize,
}

/// A column of byte strings.
#[derive(Debug)]
struct Values {
    offsets: Vec<i32>,
    bytes: Vec<u8>,
    /// A bit for each, once one is null.
    valid: Option<BooleanBufferBuilder>,
}

/// A column of headers.
#[derive(Debug)]
struct Pairs {
    offsets: Vec<i32>,
    names: Values,
    values: Values,
}

impl Default for Values {
    fn default() -> Values {
        Values { offsets: vec![0], bytes: Vec::new(), valid: None }
    }
}

impl Values {
    fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// None yet, with room for so many.
    fn with_capacity(rows: usize, bytes: usize) -> Values {
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        Values { offsets, bytes: Vec::with_capacity(bytes), valid: None }
    }

    /// The bits of the first `rows`, which were valid as long as there were none.
    fn validity(&mut self, rows: usize) -> &mut BooleanBufferBuilder {
        self.valid.get_or_insert_with(|| {
            let mut valid = BooleanBufferBuilder::new(rows);
            valid.append_n(rows, true);
            valid
        })
    }

    fn extend(&mut self, column: &BinaryArray, rows: impl ExactSizeIterator<Item = usize> + Clone) {
        let before = self.len();
        let (offsets, bytes) = (column.value_offsets(), column.value_data());
        self.offsets.reserve(rows.len());
        for row in rows.clone() {
            self.bytes.extend_from_slice(&bytes[offsets[row] as usize..offsets[row + 1] as usize]);
            self.offsets.push(self.bytes.len() as i32);
        }
        match column.nulls().filter(|nulls| nulls.null_count() > 0) {
            Some(nulls) => {
                let valid = self.validity(before);
                rows.for_each(|row| valid.append(nulls.is_valid(row)));
            }
            None => {
                if let Some(valid) = &mut self.valid {
                    valid.append_n(rows.len(), true);
                }
            }
        }
    }

    fn extend_nulls(&mut self, rows: usize) {
        let before = self.len();
        self.offsets.resize(before + rows + 1, self.bytes.len() as i32);
        self.validity(before).append_n(rows, false);
    }

    fn finish(self) -> Result<BinaryArray, ArrowError> {
        let nulls = self.valid.map(|mut valid| NullBuffer::new(valid.finish()));
        let offsets = OffsetBuffer::new(ScalarBuffer::from(self.offsets));
        BinaryArray::try_new(offsets, Buffer::from_vec(self.bytes), nulls)
    }
}

impl Pairs {
    fn none(rows: usize) -> Pairs {
        Pairs { offsets: vec![0; rows + 1], names: Values::default(), values: Values::default() }
    }

    fn extend(&mut self, headers: &Headers, rows: impl Iterator<Item = usize>) {
        let offsets = headers.offsets();
        for row in rows {
            let pairs = offsets[row] as usize..offsets[row + 1] as usize;
            self.names.extend(headers.names(), pairs.clone());
            self.values.extend(headers.values(), pairs);
            self.offsets.push(self.names.len() as i32);
        }
    }

    fn bytes(&self) -> usize {
        let pairs = self.names.len();
        self.names.bytes.len() + self.values.bytes.len() + 8 * pairs + 4 * (self.offsets.len() - 1)
    }
}

impl Collector {
    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.positions.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    /// What [`Batch::bytes`] will say of them.
    pub fn bytes(&self) -> usize {
        let key = self.key.as_ref().map_or(0, |key| key.bytes.len());
        self.payload.bytes.len() + key + self.headers.as_ref().map_or(0, Pairs::bytes) + BYTES_A_ROW * self.len()
    }

    /// Adds rows of a batch, in ascending order. They must be there.
    ///
    /// Fails, and adds nothing, when a column could exceed 2³¹ − 1 bytes.
    pub fn extend(&mut self, batch: &Batch, rows: &[u32]) -> Result<(), ArrowError> {
        let mut most = self.bytes() + batch.bytes();
        if i32::try_from(most).is_err() {
            most = self.bytes() + rows.iter().map(|row| bytes_of(batch, *row)).sum::<usize>();
        }
        if i32::try_from(most).is_err() {
            return Err(ArrowError::OffsetOverflowError(most));
        }
        let (before, each) = (self.len(), rows.iter().map(|row| *row as usize));
        self.payload.extend(batch.payload(), each.clone());
        match (batch.key(), &mut self.key) {
            (Some(key), own) => {
                let (room, bytes) = (self.timestamps.capacity(), self.key_bytes);
                let own = own.get_or_insert_with(|| {
                    let mut none = Values::with_capacity(room, bytes);
                    if before > 0 {
                        none.extend_nulls(before);
                    }
                    none
                });
                own.extend(key, each.clone());
            }
            (None, Some(own)) => own.extend_nulls(rows.len()),
            (None, None) => {}
        }
        match (batch.headers(), &mut self.headers) {
            (Some(headers), own) => own.get_or_insert_with(|| Pairs::none(before)).extend(headers, each.clone()),
            (None, Some(own)) => own.offsets.resize(before + rows.len() + 1, own.names.len() as i32),
            (None, None) => {}
        }
        self.timestamps.extend(each.clone().map(|row| batch.timestamps()[row]));
        self.extend_origin(batch.origin(), rows);
        Ok(())
    }

    fn extend_origin(&mut self, origin: &Origin, mut rows: &[u32]) {
        for (span, partition) in origin.spans() {
            let (here, after) = rows.split_at(rows.partition_point(|row| (*row as usize) < span.end));
            rows = after;
            if here.is_empty() {
                continue;
            }
            let name = &origin.partitions()[partition as usize];
            let partition = self.partitions.iter().position(|known| known == name).unwrap_or_else(|| {
                self.partitions.push(name.clone());
                self.partitions.len() - 1
            }) as u32;
            if self.runs.last().is_none_or(|last| last.partition != partition) {
                self.runs.push(Run { start: self.positions.len() as u32, partition });
            }
            let positions = origin.positions();
            self.positions.extend(here.iter().map(|row| positions[*row as usize]));
        }
    }

    /// All rows as a batch. What comes next goes into memory of the same size.
    ///
    /// Fails only where columns contradict each other, which this rules out.
    pub fn take(&mut self) -> Result<Batch, ArrowError> {
        let next = Collector {
            payload: Values::with_capacity(self.len(), self.payload.bytes.len()),
            key_bytes: self.key.as_ref().map_or(0, |key| key.bytes.len()),
            timestamps: Vec::with_capacity(self.len()),
            positions: Vec::with_capacity(self.len()),
            ..Collector::default()
        };
        let Collector { payload, key, headers, timestamps, positions, partitions, runs, .. } =
            std::mem::replace(self, next);
        let uneven = |error: super::Uneven| ArrowError::InvalidArgumentError(error.to_string());
        let origin = Origin::new(partitions, runs, positions.into())?;
        let headers = match headers {
            Some(Pairs { offsets, names, values }) => Some(Headers::new(offsets, names.finish()?, values.finish()?)?),
            None => None,
        };
        let batch =
            Batch::new(payload.finish()?, TimestampMillisecondArray::from(timestamps), origin).map_err(uneven)?;
        let key = key.map(Values::finish).transpose()?;
        batch.with_key(key).and_then(|batch| batch.with_headers(headers)).map_err(uneven)
    }
}

/// Bytes that one row takes.
fn bytes_of(batch: &Batch, row: u32) -> usize {
    batch.bytes_in(row as usize..row as usize + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{BatchBuilder, Event, RowSet};
    use proptest::prelude::*;

    /// What some events have: a payload, a key, a header, and their partition.
    type Drawn = (Option<Vec<u8>>, Option<Vec<u8>>, bool, bool);

    fn batches() -> impl Strategy<Value = Vec<Vec<(Drawn, bool)>>> {
        let bytes = || proptest::option::of(proptest::collection::vec(any::<u8>(), 0..5));
        let event = (bytes(), bytes(), any::<bool>(), any::<bool>());
        proptest::collection::vec(proptest::collection::vec((event, any::<bool>()), 1..12), 1..5)
    }

    fn batch(events: &[(Drawn, bool)], keyed: bool, headed: bool) -> Batch {
        let mut builder = BatchBuilder::new();
        for (position, ((payload, key, header, other), _)) in (0..).zip(events) {
            let headers: &[(&[u8], &[u8])] = if *header && headed { &[(b"h", b"v"), (b"i", b"")] } else { &[] };
            let (payload, key) = (payload.as_deref(), key.as_deref().filter(|_| keyed));
            let event = Event { payload, key, timestamp: position as i64 * 3, headers, position };
            builder.push(&Partition::from(if *other { "a" } else { "b" }), event);
        }
        builder.finish().unwrap()
    }

    proptest! {
        #[test]
        fn it_gives_what_was_chosen_of_each(drawn in batches(), keyed in any::<u8>(), headed in any::<u8>()) {
            let (mut collector, mut parts) = (Collector::default(), Vec::new());
            for (number, events) in drawn.iter().enumerate() {
                let batch = batch(events, keyed >> number & 1 == 1, headed >> number & 1 == 1);
                let batch = batch.slice(batch.len() / 4..batch.len());
                let rows: Vec<u32> = (0..batch.len() as u32).filter(|row| events[*row as usize].1).collect();
                collector.extend(&batch, &rows).unwrap();
                parts.push(batch.select(&RowSet::from_rows(rows)).unwrap());
            }
            let expected = Batch::concat(&parts).unwrap();
            let bytes = collector.bytes();
            let got = collector.take().unwrap();
            prop_assert!(collector.is_empty());
            prop_assert_eq!((got.len(), got.bytes()), (expected.len(), bytes));
            prop_assert_eq!(got.payload(), expected.payload());
            prop_assert_eq!(got.timestamps(), expected.timestamps());
            prop_assert_eq!(got.origin().positions(), expected.origin().positions());
            for row in 0..got.len() {
                prop_assert_eq!(got.origin().partition_of(row), expected.origin().partition_of(row));
                let key = |batch: &Batch| batch.key().filter(|key| key.is_valid(row)).map(|key| key.value(row).to_vec());
                prop_assert_eq!(key(&got), key(&expected));
                let headers = |batch: &Batch| batch.headers().map(|headers| {
                    headers.of(row).map(|(name, value)| (name.to_vec(), value.map(<[u8]>::to_vec))).collect::<Vec<_>>()
                }).unwrap_or_default();
                prop_assert_eq!(headers(&got), headers(&expected));
            }
        }
    }
}
