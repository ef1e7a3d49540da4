//! What a sink knows of its rate: how many events its calls may have had by now.

use std::time::Duration;

use tokio::time::Instant;

use super::world::TICK;
use crate::units::rate::Rate;

/// The calls of a sink in one run.
#[derive(Clone, Debug, Default)]
pub(super) struct RateModel {
    /// The time that the events of all calls take, and those of the largest.
    taken: Duration,
    largest: Duration,
    /// With one call at a time: when the calls so far have had their time.
    next: Option<Instant>,
}

impl RateModel {
    /// A call begins that was let go no earlier than `earliest`, in a run that began at `run`. Whether the rate allows it.
    ///
    /// Calls side by side may begin later than they were let go, so only their sum says something: all but one have had
    /// their time.
    pub(super) fn call(&mut self, rate: Rate, events: usize, run: Instant, earliest: Instant, alone: bool) -> bool {
        let (now, time) = (Instant::now(), rate.time_of(events));
        self.taken += time;
        self.largest = self.largest.max(time);
        let in_sum = self.taken - self.largest <= now - run + TICK;
        let in_time = !alone || self.next.is_none_or(|next| now + TICK >= next);
        self.next = Some(earliest + time);
        in_sum && in_time
    }
}
