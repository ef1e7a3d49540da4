//! Values that grow in one buffer.

use arrow_array::BinaryArray;
use arrow_buffer::{Buffer, OffsetBuffer, ScalarBuffer};

use super::Encoded;
use super::refusals::Refusals;
use crate::batch::Batch;
use crate::sink::{Failure, WriteError};

/// The most bytes that the values of one batch may have: what 32-bit offsets reach.
const MOST: usize = i32::MAX as usize;

/// The values of one batch, and the events that have none.
pub(super) struct Texts {
    offsets: Vec<i32>,
    text: String,
    refused: Refusals,
}

impl Texts {
    /// For so many events.
    pub(super) fn new(events: usize) -> Texts {
        let mut offsets = Vec::with_capacity(events + 1);
        offsets.push(0);
        Texts { offsets, text: String::new(), refused: Refusals::default() }
    }

    /// The value of the next event, of which `row` is the number: what `write` appends. Where it gives a reason instead
    /// there is none, and what it appended is forgotten.
    pub(super) fn push(&mut self, row: usize, write: impl FnOnce(&mut String) -> Result<(), (&'static str, String)>) {
        let start = self.text.len();
        match write(&mut self.text) {
            Ok(()) => self.offsets.push(self.text.len().min(MOST) as i32),
            Err((code, message)) => {
                self.text.truncate(start);
                self.refused.add(row, code, &message);
            }
        }
    }

    /// One value for each event that has one.
    ///
    /// Fails where the values have more bytes than a column can hold.
    pub(super) fn finish(self, events: &Batch) -> Result<Encoded, WriteError> {
        if self.text.len() > MOST {
            return Err(Failure::rejected("too-large", "the values have more than 2 GiB").into());
        }
        let offsets = OffsetBuffer::new(ScalarBuffer::from(self.offsets));
        let bytes = Buffer::from_vec(self.text.into_bytes());
        let payload = BinaryArray::try_new(offsets, bytes, None);
        let encoded = payload.and_then(|payload| Encoded::one_to_one(events, payload, self.refused.into_vec()));
        encoded.map_err(|error| Failure::rejected("columns", error.to_string()).into())
    }
}
