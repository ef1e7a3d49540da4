//! A batch as the contract has it: slices of the Arrow buffers wherever they can be passed as they are.

use arrow_array::{Array, BinaryArray};
use arrow_buffer::Buffer;

use crate::batch::{Batch, Headers, Run};

/// A column of byte strings.
#[derive(Clone, Copy)]
pub(super) struct Column<'a> {
    pub(super) offsets: &'a [u32],
    pub(super) bytes: &'a [u8],
    pub(super) validity: Option<&'a [u8]>,
}

/// The headers of all events.
#[derive(Clone, Copy)]
pub(super) struct Pairs<'a> {
    pub(super) offsets: &'a [u32],
    pub(super) names: Column<'a>,
    pub(super) values: Column<'a>,
}

/// A batch.
pub(super) struct Columns<'a> {
    pub(super) payload: Column<'a>,
    pub(super) key: Option<Column<'a>>,
    pub(super) timestamps: &'a [i64],
    pub(super) headers: Option<Pairs<'a>>,
    pub(super) partitions: Vec<&'a str>,
    pub(super) runs: &'a [Run],
    pub(super) positions: &'a [u64],
}

/// Buffers for what must be rewritten, kept from batch to batch.
#[derive(Default)]
pub(super) struct Scratch {
    payload: ColumnScratch,
    key: ColumnScratch,
    names: ColumnScratch,
    values: ColumnScratch,
    pairs: Vec<u32>,
}

#[derive(Default)]
struct ColumnScratch {
    offsets: Vec<u32>,
    validity: Option<Buffer>,
}

impl Scratch {
    /// Of a batch, sliced or not.
    pub(super) fn columns<'a>(&'a mut self, batch: &'a Batch) -> Columns<'a> {
        let Scratch { payload, key, names, values, pairs } = self;
        let origin = batch.origin();
        Columns {
            payload: column(batch.payload(), 0..batch.len(), payload),
            key: batch.key().map(|keys| column(keys, 0..keys.len(), key)),
            timestamps: batch.timestamps(),
            headers: batch.headers().map(|headers| self::pairs(headers, pairs, names, values)),
            partitions: origin.partitions().iter().map(|partition| partition.as_str()).collect(),
            runs: origin.runs(),
            positions: origin.positions(),
        }
    }
}

fn pairs<'a>(
    headers: &'a Headers,
    offsets: &'a mut Vec<u32>,
    names: &'a mut ColumnScratch,
    values: &'a mut ColumnScratch,
) -> Pairs<'a> {
    let all = headers.offsets();
    let (first, last) = (all[0], all[all.len() - 1]);
    rebase(all, first, offsets);
    let range = first as usize..last as usize;
    Pairs {
        offsets,
        names: column(headers.names(), range.clone(), names),
        values: column(headers.values(), range, values),
    }
}

fn column<'a>(array: &'a BinaryArray, rows: std::ops::Range<usize>, scratch: &'a mut ColumnScratch) -> Column<'a> {
    let offsets = &array.value_offsets()[rows.start..=rows.end];
    let (first, last) = (offsets[0], offsets[offsets.len() - 1]);
    let bytes = &array.value_data()[first as usize..last as usize];
    let offsets = if first == 0 {
        // The same bytes, read as unsigned: no offset is negative.
        &array.offsets().inner().inner().typed_data::<u32>()[rows.start..=rows.end]
    } else {
        rebase(offsets, first, &mut scratch.offsets);
        &scratch.offsets
    };
    Column { offsets, bytes, validity: validity(array, rows, &mut scratch.validity) }
}

/// Offsets that begin with 0.
fn rebase(offsets: &[i32], first: i32, rebased: &mut Vec<u32>) {
    rebased.clear();
    rebased.extend(offsets.iter().map(|offset| (offset - first) as u32));
}

fn validity<'a>(
    array: &'a BinaryArray,
    rows: std::ops::Range<usize>,
    packed: &'a mut Option<Buffer>,
) -> Option<&'a [u8]> {
    let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0)?;
    let bits = nulls.inner();
    let (start, len) = (bits.offset() + rows.start, rows.len());
    if start.is_multiple_of(8) {
        return Some(&bits.values()[start / 8..(start + len).div_ceil(8)]);
    }
    let bits = bits.slice(rows.start, len).sliced();
    Some(&packed.insert(bits).as_slice()[..len.div_ceil(8)])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::batch::{BatchBuilder, Event, Partition};

    type Pair = (Vec<u8>, Vec<u8>);
    /// Payload, key and headers.
    type Plain = (Option<Vec<u8>>, Option<Vec<u8>>, Vec<Pair>);

    fn batch(events: &[Plain]) -> Batch {
        let mut builder = BatchBuilder::new();
        for (row, (payload, key, headers)) in events.iter().enumerate() {
            let headers: Vec<(&[u8], &[u8])> = headers.iter().map(|(n, v)| (n.as_slice(), v.as_slice())).collect();
            let partition = Partition::from(if row % 3 == 0 { "a" } else { "b" });
            builder.push(
                &partition,
                Event {
                    payload: payload.as_deref(),
                    key: key.as_deref(),
                    timestamp: row as i64,
                    headers: &headers,
                    position: row as u64 * 10,
                },
            );
        }
        builder.finish().unwrap()
    }

    fn values(column: &Column) -> Vec<Option<Vec<u8>>> {
        assert_eq!(column.offsets[0], 0);
        assert_eq!(column.offsets[column.offsets.len() - 1] as usize, column.bytes.len());
        let rows = column.offsets.len() - 1;
        if let Some(bits) = column.validity {
            assert_eq!(bits.len(), rows.div_ceil(8));
        }
        let valid = |row: usize| column.validity.is_none_or(|bits| bits[row / 8] >> (row % 8) & 1 == 1);
        (0..rows)
            .map(|row| {
                let bytes = column.offsets[row] as usize..column.offsets[row + 1] as usize;
                valid(row).then(|| column.bytes[bytes].to_vec())
            })
            .collect()
    }

    #[test]
    fn a_whole_batch_is_not_copied() {
        let batch = batch(&[(Some(b"one".to_vec()), None, vec![]), (Some(b"two".to_vec()), None, vec![])]);
        let mut scratch = Scratch::default();
        let columns = scratch.columns(&batch);
        assert_eq!(columns.payload.bytes.as_ptr(), batch.payload().value_data().as_ptr());
        assert_eq!(columns.payload.offsets.as_ptr().cast(), batch.payload().value_offsets().as_ptr());
        assert!(columns.key.is_none() && columns.headers.is_none() && columns.payload.validity.is_none());
    }

    proptest! {
        #[test]
        fn a_slice_says_what_the_batch_says(
            events in prop::collection::vec(
                (
                    prop::option::of(prop::collection::vec(any::<u8>(), 0..5)),
                    prop::option::of(prop::collection::vec(any::<u8>(), 0..3)),
                    prop::collection::vec((prop::collection::vec(any::<u8>(), 0..3), prop::collection::vec(any::<u8>(), 0..3)), 0..3),
                ),
                1..40,
            ),
            cut in (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
        ) {
            let (a, b) = (cut.0.index(events.len() + 1), cut.1.index(events.len() + 1));
            let rows = a.min(b)..a.max(b);
            let sliced = batch(&events).slice(rows.clone());
            let mut scratch = Scratch::default();
            // A second use finds the buffers as the first one left them.
            scratch.columns(&batch(&events).slice(0..events.len() / 2));
            let columns = scratch.columns(&sliced);
            let expected = &events[rows.clone()];
            let payloads: Vec<_> = expected.iter().map(|event| event.0.clone()).collect();
            prop_assert_eq!(values(&columns.payload), payloads);
            if let Some(key) = &columns.key {
                prop_assert_eq!(values(key), expected.iter().map(|event| event.1.clone()).collect::<Vec<_>>());
            }
            if let Some(headers) = &columns.headers {
                let (names, values) = (values(&headers.names), values(&headers.values));
                for (row, event) in expected.iter().enumerate() {
                    let pairs = headers.offsets[row] as usize..headers.offsets[row + 1] as usize;
                    let found: Vec<Pair> = pairs.map(|i| (names[i].clone().unwrap(), values[i].clone().unwrap())).collect();
                    prop_assert_eq!(&found, &event.2);
                }
            }
            prop_assert_eq!(columns.positions.len(), rows.len());
        }
    }
}
