//! What a native sink sends: values, which an encoder makes of events.
//!
//! An encoder is pure: the same events always give the same values. It is asked once for each event, before batches are
//! put together, and never again for a retry. One event may become none, one or several values, and one value may be
//! made of several events.

pub mod csv;
pub mod json;
pub mod raw;
mod refusals;
pub mod template;
mod text;

use std::num::NonZeroUsize;
use std::sync::Arc;

use arrow_array::{Array, BinaryArray, TimestampMillisecondArray};
use arrow_schema::ArrowError;
use async_trait::async_trait;

use super::{Failure, Refusal, WriteError};
use crate::batch::{Batch, Headers, RowSet};

/// What an encoder says about itself, before it is opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contract {
    /// Media type of each value, where it is known.
    pub content_type: Option<Arc<str>>,
    /// Never more events than this in one call.
    pub max_events: Option<NonZeroUsize>,
    /// Never more bytes of events than this in one call, unless one event alone has more.
    pub max_bytes: Option<NonZeroUsize>,
    /// A value may be made from several events. A call has events of one partition then: one that is taken away holds on to
    /// no event of another.
    pub merges: bool,
}

impl Contract {
    fn of_type(content_type: &str) -> Contract {
        Contract { content_type: Some(content_type.into()), ..Contract::default() }
    }
}

/// An encoder that can be opened.
#[async_trait]
pub trait Encoder: Send + Sync {
    /// What holds whenever it is opened.
    fn contract(&self) -> &Contract;

    /// Opens it. A failure that is not transient counts as halted. The future may be dropped at any time.
    async fn open(&self) -> Result<Box<dyn Encode>, Failure>;
}

/// An open encoder.
#[async_trait]
pub trait Encode: Send {
    /// Makes values of events. An error is about all of them: each may be the one at fault. The future may be dropped at
    /// any time; the encoder is not used again then.
    async fn encode(&mut self, events: &Batch) -> Result<Encoded, WriteError>;
}

/// What was made of some events.
#[derive(Clone, Debug)]
pub struct Encoded {
    values: Values,
    sources: Option<Sources>,
    refused: Vec<Refusal>,
}

/// Columns with one entry for each value.
#[derive(Clone, Debug)]
pub struct Values {
    /// Null is a tombstone.
    pub payload: BinaryArray,
    /// Absent where no value has a key.
    pub key: Option<BinaryArray>,
    /// Absent: for each value, the latest of its events.
    pub timestamps: Option<TimestampMillisecondArray>,
    /// Absent where no value has headers.
    pub headers: Option<Headers>,
}

/// Value `i` was made of the events `events[offsets[i]..offsets[i + 1]]`, by row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// One more than there are values.
    pub offsets: Vec<u32>,
    /// Rows.
    pub events: Vec<u32>,
}

impl Sources {
    /// The events of each value.
    pub fn iter(&self) -> impl Iterator<Item = &[u32]> {
        self.offsets.windows(2).map(|pair| &self.events[pair[0] as usize..pair[1] as usize])
    }
}

/// What an encoder says of its values contradicts the events that it was given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadEncoding {
    /// There is not one entry for each value.
    #[error("there are {found} {column} for {values} values")]
    Uneven {
        /// Of what.
        column: &'static str,
        /// How many.
        found: usize,
        /// How many there should be.
        values: usize,
    },
    /// The events of values are no ascending ranges of those that are listed.
    #[error("the offsets of its sources do not ascend from 0 to the {events} that they list")]
    Offsets {
        /// How many are listed.
        events: usize,
    },
    /// An event that is not there.
    #[error("it names event {event} of {events}")]
    NoSuchEvent {
        /// The row.
        event: u32,
        /// How many there are.
        events: usize,
    },
    /// A value that is made of nothing.
    #[error("value {0} is made of no event")]
    NoSource(usize),
    /// An event that is refused, and made something of or refused once more.
    #[error("event {0} is refused, and named a second time")]
    NamedTwice(u32),
}

impl Encoded {
    /// Of a batch of `events`. What an encoder says is checked, and not believed. Without `sources`, value `i` was made
    /// of number `i` of the events that are not refused.
    pub fn new(
        events: usize,
        values: Values,
        sources: Option<Sources>,
        refused: Vec<Refusal>,
    ) -> Result<Encoded, BadEncoding> {
        let count = values.payload.len();
        let even = |column: &'static str, found: Option<usize>, values: usize| match found {
            Some(found) if found != values => Err(BadEncoding::Uneven { column, found, values }),
            _ => Ok(()),
        };
        even("keys", values.key.as_ref().map(|key| key.len()), count)?;
        even("timestamps", values.timestamps.as_ref().map(|times| times.len()), count)?;
        even("lists of headers", values.headers.as_ref().map(Headers::len), count)?;
        let mut named = RowSet::default();
        for refusal in &refused {
            in_range(refusal.rows.ranges().last().map(|range| range.end - 1), events)?;
            if let Some(twice) = named.intersection(&refusal.rows).iter().next() {
                return Err(BadEncoding::NamedTwice(twice));
            }
            named = named.union(&refusal.rows);
        }
        match &sources {
            None => even("values", Some(count), events - named.len())?,
            Some(sources) => check(sources, events, count, &named)?,
        }
        Ok(Encoded { values, sources, refused })
    }

    /// One value for each event but those that are refused, with its key, headers and timestamp.
    ///
    /// Fails where the events can't be copied apart.
    pub fn one_to_one(events: &Batch, payload: BinaryArray, refused: Vec<Refusal>) -> Result<Encoded, ArrowError> {
        let left = match refused.as_slice() {
            [] => events.clone(),
            refused => {
                let all = refused.iter().fold(RowSet::default(), |all, refusal| all.union(&refusal.rows));
                events.select(&all.complement(events.len()))?
            }
        };
        let values = Values { payload, key: left.key().cloned(), timestamps: None, headers: left.headers().cloned() };
        Encoded::new(events.len(), values, None, refused)
            .map_err(|error| ArrowError::from_external_error(Box::new(error)))
    }

    /// What was made.
    pub fn values(&self) -> &Values {
        &self.values
    }

    /// Events that nothing can be made of.
    pub fn refused(&self) -> &[Refusal] {
        &self.refused
    }

    /// Which events each value was made of, unless it is one for each that is not refused.
    pub fn sources(&self) -> Option<&Sources> {
        self.sources.as_ref()
    }

    /// The values as a batch. `events` are those that they were made of: all of the call where the encoder gave sources,
    /// else those that are not refused. Each value has the origin of the last of its events, and what that event carried
    /// goes along where `templates` are to read it.
    ///
    /// Fails where these are other events, or can't be copied.
    pub fn into_values(self, events: &Batch, templates: bool) -> Result<Batch, ArrowError> {
        let Values { payload, key, timestamps, headers } = self.values;
        let (of, latest) = match &self.sources {
            None => (events.clone(), events.timestamp_array().clone()),
            Some(sources) => {
                let last = sources.iter().map(|rows| rows.iter().copied().max().unwrap_or(0)).collect();
                let times = events.timestamps();
                let latest = sources.iter().map(|rows| rows.iter().map(|row| times[*row as usize]).max());
                (events.gather(last)?, latest.collect())
            }
        };
        Batch::new(payload, timestamps.unwrap_or(latest), of.origin().clone())
            .and_then(|values| values.with_key(key))
            .and_then(|values| values.with_headers(headers))
            .and_then(|values| values.with_unencoded(templates.then(|| of.payload().clone())))
            .map_err(|uneven| ArrowError::from_external_error(Box::new(uneven)))
    }
}

fn in_range(event: Option<u32>, events: usize) -> Result<(), BadEncoding> {
    match event {
        Some(event) if event as usize >= events => Err(BadEncoding::NoSuchEvent { event, events }),
        _ => Ok(()),
    }
}

fn check(sources: &Sources, events: usize, values: usize, refused: &RowSet) -> Result<(), BadEncoding> {
    let Sources { offsets, events: listed } = sources;
    if offsets.len() != values + 1 {
        let found = offsets.len().saturating_sub(1);
        return Err(BadEncoding::Uneven { column: "lists of sources", found, values });
    }
    let whole = offsets.first() == Some(&0) && offsets.last().is_some_and(|last| *last as usize == listed.len());
    if !whole || !offsets.is_sorted() {
        return Err(BadEncoding::Offsets { events: listed.len() });
    }
    if let Some(empty) = offsets.windows(2).position(|pair| pair[0] == pair[1]) {
        return Err(BadEncoding::NoSource(empty));
    }
    in_range(listed.iter().max().copied(), events)?;
    let refused = refused.mask(events);
    match listed.iter().find(|event| refused.value(**event as usize)) {
        Some(event) => Err(BadEncoding::NamedTwice(*event)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
