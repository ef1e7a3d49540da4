//! Events, column by column: what travels from a source's read buffer to a sink's call.

mod builder;
mod collector;
mod headers;
mod origin;
mod pick;
mod record;
mod rows;

use std::ops::Range;

use arrow_array::{Array, BinaryArray, TimestampMillisecondArray};
use arrow_schema::ArrowError;
use arrow_select::concat::concat;

pub use builder::{BatchBuilder, Event};
pub use collector::Collector;
pub use headers::Headers;
pub use origin::{Origin, Partition, Run};
use pick::Pick;
pub use rows::RowSet;

/// What each event takes beside its payload, key and headers: an offset, a timestamp and a position.
const BYTES_A_ROW: usize = 4 + 8 + 8;

/// Events in columnar form. Cloning and slicing share the columns.
///
/// Every column has one value for each event. `key` and `headers` are absent where no event has any.
#[derive(Clone, Debug)]
pub struct Batch {
    payload: BinaryArray,
    key: Option<BinaryArray>,
    timestamps: TimestampMillisecondArray,
    headers: Option<Headers>,
    origin: Origin,
    unencoded: Option<BinaryArray>,
}

impl Default for Batch {
    /// No events.
    fn default() -> Batch {
        Batch {
            payload: BinaryArray::new_null(0),
            key: None,
            timestamps: TimestampMillisecondArray::new_null(0),
            headers: None,
            origin: Origin::default(),
            unencoded: None,
        }
    }
}

impl Batch {
    /// Payloads (null is a tombstone), event times in milliseconds since the Unix epoch, and where they were read.
    ///
    /// Fails when the columns differ in length.
    pub fn new(payload: BinaryArray, timestamps: TimestampMillisecondArray, origin: Origin) -> Result<Batch, Uneven> {
        let rows = payload.len();
        even("timestamps", rows, timestamps.len())?;
        even("origin", rows, origin.len())?;
        Ok(Batch { payload, key: None, timestamps, headers: None, origin, unencoded: None })
    }

    /// The same events with keys.
    pub fn with_key(self, key: Option<BinaryArray>) -> Result<Batch, Uneven> {
        if let Some(key) = &key {
            even("key", self.len(), key.len())?;
        }
        Ok(Batch { key, ..self })
    }

    /// The same events with headers.
    pub fn with_headers(self, headers: Option<Headers>) -> Result<Batch, Uneven> {
        if let Some(headers) = &headers {
            even("headers", self.len(), headers.len())?;
        }
        Ok(Batch { headers, ..self })
    }

    /// The same events, read elsewhere.
    pub fn with_origin(self, origin: Origin) -> Result<Batch, Uneven> {
        even("origin", self.len(), origin.len())?;
        Ok(Batch { origin, ..self })
    }

    /// The same values with what the events carried that an encoder made them of: see [`unencoded`](Self::unencoded).
    pub fn with_unencoded(self, unencoded: Option<BinaryArray>) -> Result<Batch, Uneven> {
        if let Some(unencoded) = &unencoded {
            even("unencoded", self.len(), unencoded.len())?;
        }
        Ok(Batch { unencoded, ..self })
    }

    /// How many events there are.
    pub fn len(&self) -> usize {
        self.payload.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.payload.is_empty()
    }

    /// What the events carry; null is a tombstone.
    pub fn payload(&self) -> &BinaryArray {
        &self.payload
    }

    /// What the events carried before they were encoded, which is what templates read of them; the payload where nothing
    /// was encoded.
    pub fn unencoded(&self) -> &BinaryArray {
        self.unencoded.as_ref().unwrap_or(&self.payload)
    }

    /// Keys, where any event has one.
    pub fn key(&self) -> Option<&BinaryArray> {
        self.key.as_ref()
    }

    /// Event times in milliseconds since the Unix epoch.
    pub fn timestamps(&self) -> &[i64] {
        self.timestamps.values()
    }

    /// The same, shared.
    pub fn timestamp_array(&self) -> &TimestampMillisecondArray {
        &self.timestamps
    }

    /// Headers, where any event has some.
    pub fn headers(&self) -> Option<&Headers> {
        self.headers.as_ref()
    }

    /// Where the events were read.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Bytes of payload. Takes constant time.
    pub fn payload_bytes(&self) -> usize {
        span(&self.payload, &(0..self.len()))
    }

    /// Bytes that these events take, whatever larger block they are a slice of. Takes constant time.
    pub fn bytes(&self) -> usize {
        self.bytes_in(0..self.len())
    }

    /// Bytes that a range of the events takes. Takes constant time.
    pub fn bytes_in(&self, rows: Range<usize>) -> usize {
        span(&self.payload, &rows)
            + self.key.as_ref().map_or(0, |key| span(key, &rows))
            + self.headers.as_ref().map_or(0, |headers| headers.bytes_in(&rows))
            + BYTES_A_ROW * rows.len()
    }

    /// How many of the first events take at most `bytes` together. Takes logarithmic time.
    pub fn rows_within(&self, bytes: usize) -> usize {
        let (mut fits, mut beyond) = (0, self.len() + 1);
        while fits + 1 < beyond {
            let middle = fits + (beyond - fits) / 2;
            if self.bytes_in(0..middle) <= bytes { fits = middle } else { beyond = middle }
        }
        fits
    }

    /// A range of the events, sharing the columns. The range must lie within the batch.
    pub fn slice(&self, rows: Range<usize>) -> Batch {
        let (start, len) = (rows.start, rows.len());
        Batch {
            payload: self.payload.slice(start, len),
            key: self.key.as_ref().map(|key| key.slice(start, len)),
            timestamps: self.timestamps.slice(start, len),
            headers: self.headers.as_ref().map(|headers| headers.slice(start, len)),
            origin: self.origin.slice(start, len),
            unencoded: self.unencoded.as_ref().map(|payload| payload.slice(start, len)),
        }
    }

    /// The same events, copied out where they are less than half of the payload that they keep in memory.
    ///
    /// Fails as [`select`](Self::select) does.
    pub fn compact(&self) -> Result<Batch, ArrowError> {
        if 2 * self.payload_bytes() >= self.payload.values().len() {
            return Ok(self.clone());
        }
        // Putting parts together copies.
        let middle = self.len() / 2;
        Batch::concat(&[self.slice(0..middle), self.slice(middle..self.len())])
    }

    /// The events of `rows`: shared where they are neighbours and at least half of this batch; copied where they are
    /// not, so that few events don't keep the memory of many.
    ///
    /// Fails when the copies would not fit Arrow's 32-bit offsets, which no part of one batch can cause.
    pub fn select(&self, rows: &RowSet) -> Result<Batch, ArrowError> {
        match rows.ranges() {
            [] => Ok(Batch::default()),
            [one] if one.len() * 2 >= self.len() => Ok(self.slice(one.start as usize..one.end as usize)),
            _ => self.copy_out(rows),
        }
    }

    /// The events of these rows in this order, copied; one may come several times. Each must be there.
    ///
    /// Fails when a column would exceed 2³¹ − 1 bytes.
    pub fn gather(&self, rows: Vec<u32>) -> Result<Batch, ArrowError> {
        let origin = self.origin.gather(&rows);
        let pick = Pick::Rows(rows.into());
        Ok(Batch {
            payload: pick.of(&self.payload)?,
            key: self.key.as_ref().map(|key| pick.of(key)).transpose()?,
            timestamps: pick.of(&self.timestamps)?,
            headers: self.headers.as_ref().map(|headers| headers.copy_out(&pick)).transpose()?,
            origin,
            unencoded: self.unencoded.as_ref().map(|payload| pick.of(payload)).transpose()?,
        })
    }

    fn copy_out(&self, rows: &RowSet) -> Result<Batch, ArrowError> {
        let pick = Pick::new(rows, self.len());
        Ok(Batch {
            payload: pick.of(&self.payload)?,
            key: self.key.as_ref().map(|key| pick.of(key)).transpose()?,
            timestamps: pick.of(&self.timestamps)?,
            headers: self.headers.as_ref().map(|headers| headers.copy_out(&pick)).transpose()?,
            origin: self.origin.copy_out(rows, &pick)?,
            unencoded: self.unencoded.as_ref().map(|payload| pick.of(payload)).transpose()?,
        })
    }

    /// All events of `batches`, in order, copied unless there is only one batch.
    ///
    /// Fails when there is no batch, or a column would exceed 2³¹ − 1 bytes.
    pub fn concat(batches: &[Batch]) -> Result<Batch, ArrowError> {
        if let [one] = batches {
            return Ok(one.clone());
        }
        let payloads: Vec<&dyn Array> = batches.iter().map(|batch| &batch.payload as &dyn Array).collect();
        let timestamps: Vec<&dyn Array> = batches.iter().map(|batch| &batch.timestamps as &dyn Array).collect();
        Ok(Batch {
            payload: concat_as(&payloads)?,
            key: concat_keys(batches)?,
            timestamps: concat_as(&timestamps)?,
            headers: Headers::concat(batches)?,
            origin: Origin::concat(batches)?,
            unencoded: concat_unencoded(batches)?,
        })
    }
}

/// Two columns of one batch differ in length.
#[derive(Debug, thiserror::Error)]
#[error("the column `{column}` has {found} values for {expected} events")]
pub struct Uneven {
    column: &'static str,
    expected: usize,
    found: usize,
}

fn even(column: &'static str, expected: usize, found: usize) -> Result<(), Uneven> {
    if expected == found { Ok(()) } else { Err(Uneven { column, expected, found }) }
}

/// Bytes between the offsets of a range of rows.
fn span(column: &BinaryArray, rows: &Range<usize>) -> usize {
    let offsets = column.value_offsets();
    (offsets[rows.end] - offsets[rows.start]) as usize
}

/// A kernel gives back the type that it was given; were it ever otherwise, that is an error and not a panic.
fn same_type<A: Array + Clone + 'static>(array: &dyn Array) -> Result<A, ArrowError> {
    let same = array.as_any().downcast_ref::<A>().cloned();
    same.ok_or_else(|| ArrowError::CastError("a kernel changed the type of a column".into()))
}

fn concat_as<A: Array + Clone + 'static>(columns: &[&dyn Array]) -> Result<A, ArrowError> {
    same_type(&concat(columns)?)
}

fn concat_keys(batches: &[Batch]) -> Result<Option<BinaryArray>, ArrowError> {
    if batches.iter().all(|batch| batch.key.is_none()) {
        return Ok(None);
    }
    let keys: Vec<BinaryArray> =
        batches.iter().map(|batch| batch.key.clone().unwrap_or_else(|| BinaryArray::new_null(batch.len()))).collect();
    let keys: Vec<&dyn Array> = keys.iter().map(|key| key as &dyn Array).collect();
    concat_as(&keys).map(Some)
}

fn concat_unencoded(batches: &[Batch]) -> Result<Option<BinaryArray>, ArrowError> {
    if batches.iter().all(|batch| batch.unencoded.is_none()) {
        return Ok(None);
    }
    let payloads: Vec<&dyn Array> = batches.iter().map(|batch| batch.unencoded() as &dyn Array).collect();
    concat_as(&payloads).map(Some)
}

#[cfg(test)]
mod tests;
