//! The headers of a batch.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::{Array, BinaryArray, ListArray, StructArray};
use arrow_buffer::{OffsetBuffer, ScalarBuffer};
use arrow_schema::{ArrowError, DataType, Field, Fields};

use super::pick::Pick;
use super::{Batch, concat_as, same_type};

/// Names and values, of which each event has any number: a list of pairs of byte strings. A value may be null.
#[derive(Clone, Debug)]
pub struct Headers {
    list: ListArray,
    names: BinaryArray,
    values: BinaryArray,
}

impl Headers {
    /// Those of event `i` are the pairs `offsets[i]..offsets[i + 1]`.
    ///
    /// Fails when the offsets do not fit the pairs, or names and values differ in number.
    pub fn new(offsets: Vec<i32>, names: BinaryArray, values: BinaryArray) -> Result<Headers, ArrowError> {
        if !offsets.is_sorted() || offsets.first().is_none_or(|first| *first < 0) {
            return Err(ArrowError::InvalidArgumentError("header offsets do not ascend from 0".into()));
        }
        let pairs = StructArray::try_new(fields(), vec![Arc::new(names), Arc::new(values)], None)?;
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        let item = Arc::new(Field::new_list_field(DataType::Struct(fields()), false));
        Headers::from_list(ListArray::try_new(item, offsets, Arc::new(pairs), None)?)
    }

    pub(super) fn list(&self) -> &ListArray {
        &self.list
    }

    pub(super) fn from_list(list: ListArray) -> Result<Headers, ArrowError> {
        let pairs: StructArray = same_type(list.values())?;
        Ok(Headers { names: same_type(pairs.column(0))?, values: same_type(pairs.column(1))?, list })
    }

    fn none(events: usize) -> Result<Headers, ArrowError> {
        let nothing = || BinaryArray::new_null(0);
        Headers::new(vec![0; events + 1], nothing(), nothing())
    }

    /// How many events there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are no events.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Event `i` has the pairs `offsets[i]..offsets[i + 1]` of [`names`](Self::names) and [`values`](Self::values).
    pub fn offsets(&self) -> &[i32] {
        self.list.value_offsets()
    }

    /// The names of all pairs, of these events and perhaps of others around them.
    pub fn names(&self) -> &BinaryArray {
        &self.names
    }

    /// The values of all pairs, of these events and perhaps of others around them.
    pub fn values(&self) -> &BinaryArray {
        &self.values
    }

    /// The pairs of one event, in order. The event must be there.
    pub fn of(&self, event: usize) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        let pairs = self.offsets()[event] as usize..self.offsets()[event + 1] as usize;
        pairs.map(|pair| (self.names.value(pair), self.values.is_valid(pair).then(|| self.values.value(pair))))
    }

    pub(super) fn bytes_in(&self, rows: &Range<usize>) -> usize {
        let offsets = self.offsets();
        let pairs = offsets[rows.start] as usize..offsets[rows.end] as usize;
        super::span(&self.names, &pairs) + super::span(&self.values, &pairs) + 8 * pairs.len() + 4 * rows.len()
    }

    pub(super) fn slice(&self, start: usize, len: usize) -> Headers {
        Headers { list: self.list.slice(start, len), names: self.names.clone(), values: self.values.clone() }
    }

    pub(super) fn copy_out(&self, pick: &Pick) -> Result<Headers, ArrowError> {
        Headers::from_list(pick.of(&self.list)?)
    }

    pub(super) fn concat(batches: &[Batch]) -> Result<Option<Headers>, ArrowError> {
        if batches.iter().all(|batch| batch.headers.is_none()) {
            return Ok(None);
        }
        let all: Vec<Headers> = batches
            .iter()
            .map(|batch| batch.headers.clone().map_or_else(|| Headers::none(batch.len()), Ok))
            .collect::<Result<_, _>>()?;
        let lists: Vec<&dyn Array> = all.iter().map(|headers| &headers.list as &dyn Array).collect();
        Headers::from_list(concat_as(&lists)?).map(Some)
    }
}

fn fields() -> Fields {
    Fields::from(vec![Field::new("name", DataType::Binary, true), Field::new("value", DataType::Binary, true)])
}
