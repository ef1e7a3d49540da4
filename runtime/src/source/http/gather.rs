//! Blocks of what requests hold.

use std::fmt;

use arrow_array::builder::{ArrayBuilder, BinaryBuilder};
use arrow_array::{BinaryArray, TimestampMillisecondArray, UInt64Array};
use arrow_buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::ArrowError;
use http::HeaderValue;

use super::body::Share;
use super::frame::{Column, Framed};
use crate::batch::{Batch, Headers, Origin, Partition};
use crate::envelope::{Block, Rejects};
use crate::source::SourceError;

/// What a request holds.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) framed: Framed,
    /// Headers that each event gets.
    pub(super) headers: Pairs,
    /// When it came, in milliseconds since the Unix epoch.
    pub(super) time: i64,
    /// Held until the events are handed over.
    pub(super) share: Share,
}

/// Events of requests that become one block.
#[derive(Debug)]
pub(super) struct Gathered {
    events: Column,
    times: Vec<i64>,
    /// How many events have which headers.
    headers: Vec<(usize, Pairs)>,
    long: Column,
    malformed: Column,
    /// When the last request came.
    time: i64,
    shares: Vec<Share>,
}

/// The headers of a request's events: which of the names that are set, and its value.
pub(super) type Pairs = Vec<(usize, HeaderValue)>;

/// What numbers events get.
pub(super) struct Numbering<'a> {
    pub(super) partition: &'a Partition,
    /// The next one.
    pub(super) next: &'a mut u64,
    /// The names of headers.
    pub(super) names: &'a [String],
    /// The bound that is told of what is beyond it.
    pub(super) most: u64,
}

impl Gathered {
    /// Begins with one request.
    pub(super) fn new(content: Content) -> Gathered {
        let Content { framed: Framed { events, long, malformed, .. }, headers, time, share } = content;
        let times = vec![time; events.len()];
        Gathered { headers: vec![(events.len(), headers)], events, times, long, malformed, time, shares: vec![share] }
    }

    /// Adds another, whose events are all valid.
    pub(super) fn add(&mut self, content: Content) {
        let Content { framed: Framed { events, .. }, headers, time, share } = content;
        self.events.append(&events);
        self.times.resize(self.events.len(), time);
        self.headers.push((events.len(), headers));
        self.time = time;
        self.shares.push(share);
    }

    /// Bytes of payload so far.
    pub(super) fn bytes(&self) -> usize {
        self.events.bytes.len()
    }

    /// How many events there are, rejected ones included.
    pub(super) fn len(&self) -> usize {
        self.events.len() + self.long.len() + self.malformed.len()
    }

    /// Numbers the events and gives them out: in one block, and in a second one where they are rejected for two reasons.
    /// What is rejected comes after what is not.
    ///
    /// Fails only where the columns contradict each other, which is a bug.
    pub(super) fn blocks(self, mut numbering: Numbering) -> Result<Vec<Block>, SourceError> {
        let Gathered { events, times, headers, long, malformed, time, shares } = self;
        let batch = numbering.batch(events, times, &headers)?;
        let mut blocks = vec![Block { batch, ends: numbering.ends(), rejects: None }];
        // Requests that are put together have nothing that is rejected.
        let pairs = headers.into_iter().next().map(|(_, pairs)| pairs).unwrap_or_default();
        let most = numbering.most;
        let rejected = [
            (long, "too-long", format!("it has more bytes than max_event_bytes = {most}; its first {most} are kept")),
            (malformed, "not-json", "it is to be JSON, and is not".to_owned()),
        ];
        for (column, code, message) in rejected.into_iter().filter(|(column, ..)| column.len() > 0) {
            let (times, headers) = (vec![time; column.len()], [(column.len(), pairs.clone())]);
            let rejects = Rejects { batch: numbering.batch(column, times, &headers)?, code, message, range: None };
            match blocks.last_mut().filter(|block| block.rejects.is_none()) {
                Some(block) => (block.ends, block.rejects) = (numbering.ends(), Some(Box::new(rejects))),
                None => blocks.push(Block {
                    batch: Batch::default(),
                    ends: numbering.ends(),
                    rejects: Some(Box::new(rejects)),
                }),
            }
        }
        drop(shares);
        Ok(blocks)
    }
}

impl Numbering<'_> {
    fn ends(&self) -> Vec<(Partition, u64)> {
        vec![(self.partition.clone(), *self.next)]
    }

    fn batch(&mut self, column: Column, times: Vec<i64>, headers: &[(usize, Pairs)]) -> Result<Batch, SourceError> {
        let begin = *self.next;
        *self.next += column.len() as u64;
        let positions: Vec<u64> = (begin..*self.next).collect();
        let Column { mut bytes, offsets } = column;
        if bytes.len() < bytes.capacity() / 2 {
            bytes.shrink_to_fit();
        }
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        let payload = BinaryArray::try_new(offsets, Buffer::from_vec(bytes), None).map_err(contradiction)?;
        let origin = Origin::single(self.partition.clone(), UInt64Array::from(positions));
        let batch = Batch::new(payload, TimestampMillisecondArray::from(times), origin).map_err(contradiction)?;
        batch.with_headers(columns(headers, self.names).map_err(contradiction)?).map_err(contradiction)
    }
}

/// The headers of so many events each.
fn columns(of: &[(usize, Pairs)], names: &[String]) -> Result<Option<Headers>, ArrowError> {
    if of.iter().all(|(_, pairs)| pairs.is_empty()) {
        return Ok(None);
    }
    let (mut offsets, mut all_names, mut all_values) = (vec![0], BinaryBuilder::new(), BinaryBuilder::new());
    for (events, pairs) in of {
        for _ in 0..*events {
            for (name, value) in pairs {
                all_names.append_value(names.get(*name).map_or("", String::as_str));
                all_values.append_value(value.as_bytes());
            }
            offsets.push(all_names.len() as i32);
        }
    }
    Headers::new(offsets, all_names.finish(), all_values.finish()).map(Some)
}

fn contradiction(error: impl fmt::Display) -> SourceError {
    SourceError { message: format!("requests could not be made a batch: {error}") }
}
