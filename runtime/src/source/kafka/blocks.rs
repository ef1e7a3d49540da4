//! From messages to blocks.

use super::columns::{Columns, Event};
use super::exchange::Exchange;
use super::fetched::{Fetched, Message, Token};
use super::share::Shares;
use super::trouble::Trouble;
use crate::batch::Partition;
use crate::envelope::Block;
use crate::kafka::Seat;
use crate::source::framing::Pool;
use crate::source::{Input, SourceError};

/// Bytes of a block, about.
const BYTES: usize = 1 << 20;
/// Events of a block, about.
const EVENTS: usize = 4096;

/// Makes blocks, in buffers that are used again.
#[derive(Debug)]
pub(super) struct Blocks {
    pool: Pool,
}

/// A partition of which messages are read.
struct Place {
    token: Token,
    /// None where they are of no use.
    partition: Option<Partition>,
    next: u64,
}

impl Blocks {
    /// None was made yet.
    pub(super) fn new() -> Blocks {
        // A last event may go beyond.
        Blocks { pool: Pool::new(BYTES + (BYTES >> 2)) }
    }

    /// The next block of what was taken; none where it is of no use. What went into it is used.
    pub(super) fn next(
        &mut self,
        fetched: &mut Fetched,
        shares: &mut Shares,
        exchange: &Exchange,
        trouble: &mut Trouble,
        seat: Option<&Seat>,
    ) -> Result<Option<Block>, SourceError> {
        let mut columns = Columns::new(self.pool.buffer(0), EVENTS);
        let (mut used, mut place): (usize, Option<Place>) = (0, None);
        for message in fetched.left() {
            if columns.bytes() >= BYTES || !columns.has_room(message.bytes()) {
                break;
            }
            if let Some((code, reason)) = message.error() {
                trouble.meet(code, &format!("{}/{}: {reason}", message.topic(), message.number()))?;
                used += 1;
                continue;
            }
            if place.as_ref().is_none_or(|place| place.token != message.token()) {
                place.take().into_iter().for_each(|place| place.leave(shares));
                let new = Place::of(message, shares);
                new.partition.iter().for_each(|partition| columns.turn_to(partition));
                place = Some(new);
            }
            let Some(place) = &mut place else { break };
            if let Some(partition) = &place.partition {
                if message.position() < place.next {
                    // The log was cut off behind what was read. What was read before comes first.
                    if !columns.is_empty() {
                        break;
                    }
                    if let Some(seat) = seat {
                        seat.hold(partition.as_str(), message.position());
                    }
                    exchange.hand(Ok(Input::Rewound(vec![partition.clone()])));
                    exchange.hand(Ok(Input::Assigned(vec![(partition.clone(), message.position())])));
                }
                place.next = message.position() + 1;
                columns.push(&message);
            }
            used += 1;
        }
        place.into_iter().for_each(|place| place.leave(shares));
        fetched.used(used);
        if columns.is_empty() {
            return Ok(None);
        }
        let block = columns.finish(|bytes| self.pool.column(bytes));
        block.map(Some).map_err(|error| SourceError { message: format!("events could not be put together: {error}") })
    }
}

impl Place {
    /// That of a message.
    fn of(message: Message, shares: &mut Shares) -> Place {
        let share = shares.get_mut(message.topic(), message.number()).filter(|share| !share.leaving);
        let next = share.as_ref().map_or(0, |share| share.next);
        let partition = share.map(|share| share.partition.clone());
        Place { token: message.token(), partition, next }
    }

    /// So far it was read.
    fn leave(self, shares: &mut Shares) {
        if let Some(share) = self.partition.and_then(|partition| shares.of(&partition)) {
            share.next = self.next;
        }
    }
}
