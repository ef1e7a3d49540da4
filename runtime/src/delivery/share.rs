//! One lane's share of the events, where each lane keeps the order of its keys: batches in the making.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow_schema::ArrowError;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::Stopped;
use super::batcher::Limits;
use super::lane::{Batches, Shared};
use super::queue::{Queue, Revocations, give_up_revoked};
use crate::defect::{self, Defect};
use crate::envelope::{Collection, Deal, Envelope};

/// What waits for a lane. Cloning gives the same. The sink's queue bounds what is in all shares together.
///
/// Events are copied into the batch that they will be in, and only there: it is filled exactly. Where batches go by
/// destination they are cut later, and all that comes together stays so.
#[derive(Clone, Debug)]
pub(super) struct Share {
    waiting: Arc<Mutex<Waiting>>,
    arrived: Arc<Notify>,
    /// A share was emptied: the same for all of a sink.
    emptied: Arc<Notify>,
    /// Of a batch; none where somebody else cuts batches.
    limits: Option<Limits>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// Full batches, with the time of the arrival of their first event.
    full: VecDeque<(Instant, Envelope)>,
    /// The next one.
    open: Collection,
    /// When its first event arrived.
    since: Option<Instant>,
    closed: bool,
}

impl Waiting {
    fn seal(&mut self) -> Result<(), ArrowError> {
        if let Some(since) = self.since.take() {
            self.full.push_back((since, self.open.take()?));
        }
        Ok(())
    }
}

impl Share {
    /// One for each of so many lanes.
    pub(super) fn for_lanes(lanes: usize, limits: Option<Limits>) -> Vec<Share> {
        let emptied = Arc::<Notify>::default();
        let share = |_| Share { waiting: Arc::default(), arrived: Arc::default(), emptied: emptied.clone(), limits };
        (0..lanes).map(share).collect()
    }

    /// Returns once a lane has no batch that it could go on with. What no lane waits for is better left where it is: as
    /// part of its block, which costs nothing, until its copy is soon to be read.
    pub(super) async fn one_is_empty(shares: &[Share]) {
        let Some(first) = shares.first() else { return };
        loop {
            let emptied = first.emptied.notified();
            tokio::pin!(emptied);
            // Registered before looking: what is emptied between looking and waiting is not missed.
            emptied.as_mut().enable();
            if shares.iter().any(|share| share.waiting().full.is_empty()) {
                return;
            }
            emptied.await;
        }
    }

    /// Takes rows of what is dealt, which arrived at a time.
    ///
    /// Fails when they don't fit one batch; they are given up then.
    pub(super) fn take(&self, since: Instant, deal: &mut Deal, mut rows: &[u32]) -> Result<(), ArrowError> {
        if rows.is_empty() {
            return Ok(());
        }
        let mut waiting = self.waiting();
        let before = (waiting.since, waiting.full.len());
        while !rows.is_empty() {
            let fits = self.limits.map_or(rows.len(), |limits| limits.fits(&waiting.open, deal.batch(), rows));
            let (now, later) = rows.split_at(fits);
            if !now.is_empty() {
                waiting.since.get_or_insert(since);
                deal.give(now, &mut waiting.open)?;
            }
            if !later.is_empty() || self.limits.is_none_or(|limits| limits.are_reached(&waiting.open)) {
                waiting.seal()?;
            }
            rows = later;
        }
        // A lane that waits for its batch to fill knows already when it is due.
        let is_news = before != (waiting.since, waiting.full.len());
        drop(waiting);
        if is_news {
            self.arrived.notify_one();
        }
        Ok(())
    }

    /// Takes events with what an encoder made of them, which arrived at a time: somebody else cuts batches.
    pub(super) fn take_whole(&self, since: Instant, envelope: Envelope) {
        if !envelope.is_empty() {
            self.waiting().full.push_back((since, envelope));
            self.arrived.notify_one();
        }
    }

    /// Nothing more comes.
    pub(super) fn close(&self) {
        self.waiting().closed = true;
        self.arrived.notify_one();
    }

    /// The oldest events, as they were sealed, and the time of their arrival.
    pub(super) fn try_pop(&self) -> Option<(Instant, Envelope)> {
        self.pop_of(&mut self.waiting())
    }

    fn pop_of(&self, waiting: &mut Waiting) -> Option<(Instant, Envelope)> {
        let oldest = waiting.full.pop_front();
        if waiting.full.is_empty() {
            self.emptied.notify_one();
        }
        oldest
    }

    /// Waits for them. `None` once no more come.
    pub(super) async fn pop(&self) -> Option<(Instant, Envelope)> {
        loop {
            {
                let mut waiting = self.waiting();
                match self.pop_of(&mut waiting) {
                    None if !waiting.closed => {}
                    oldest => return oldest,
                }
            }
            self.arrived.notified().await;
        }
    }

    /// Gives up what is of partitions that were taken away.
    fn give_up_revoked(&self) -> Result<(), ArrowError> {
        let mut waiting = self.waiting();
        waiting.seal()?;
        self.emptied.notify_one();
        give_up_revoked(&mut waiting.full)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // A share is whole between any two of its operations, whoever panicked.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The batches of a share.
pub(super) struct Supply {
    share: Share,
    shared: Arc<Shared>,
    /// While it is full nothing comes before something is final.
    queue: Queue,
    revocations: Revocations,
}

impl Supply {
    pub(super) fn new(share: Share, shared: Arc<Shared>, queue: Queue) -> Supply {
        let revocations = queue.revocations();
        Supply { share, shared, queue, revocations }
    }

    /// A batch that is full, or old enough, or the last; or else when the next one is old enough, if anything is there.
    fn ready(&self, at_once: bool) -> Result<Ready, ArrowError> {
        let mut waiting = self.share.waiting();
        if let Some((_, batch)) = self.share.pop_of(&mut waiting) {
            return Ok(Ready::Batch(batch));
        }
        let Some(since) = waiting.since else {
            return Ok(if waiting.closed { Ready::Never } else { Ready::Later(None) });
        };
        let due = since + self.shared.settings.batch_timeout;
        if waiting.closed && defect::on(Defect::DropLastBatch) {
            return Ok(Ready::Never);
        }
        if at_once || waiting.closed || due <= Instant::now() {
            waiting.since = None;
            return Ok(Ready::Batch(waiting.open.take()?));
        }
        Ok(Ready::Later(Some(due)))
    }
}

/// What there is for a lane.
#[expect(clippy::large_enum_variant, reason = "it lives no longer than the call that gives it")]
enum Ready {
    Batch(Envelope),
    /// At this time, or when something comes.
    Later(Option<Instant>),
    Never,
}

impl Batches for Supply {
    async fn next_batch(&mut self) -> Result<Option<Envelope>, Stopped> {
        let mut at_once = false;
        loop {
            if self.shared.is_given_up() {
                return Ok(None);
            }
            if self.revocations.are_new() {
                self.share.give_up_revoked().map_err(|error| self.shared.columns(error))?;
            }
            let due = match self.ready(at_once).map_err(|error| self.shared.columns(error))? {
                Ready::Batch(batch) => {
                    self.shared.metrics.copied_batches.add(1);
                    return Ok(Some(batch));
                }
                Ready::Never => return Ok(None),
                Ready::Later(due) => due,
            };
            tokio::select! {
                biased;
                () = self.share.arrived.notified() => {}
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => at_once = true,
                // What waits for more would wait for itself.
                () = self.queue.full(), if due.is_some() => at_once = true,
                () = self.shared.given_up() => return Ok(None),
                () = self.revocations.next() => {
                    self.share.give_up_revoked().map_err(|error| self.shared.columns(error))?;
                }
            }
        }
    }

    async fn leave_rest(&mut self) -> Result<(), Stopped> {
        loop {
            while let Some((_, envelope)) = self.share.pop().await {
                self.shared.leave(envelope).await?;
            }
            let mut waiting = self.share.waiting();
            if waiting.since.is_none() {
                return Ok(());
            }
            waiting.seal().map_err(|error| self.shared.columns(error))?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{BatchBuilder, Event, Partition, RowSet};
    use crate::delivery::Settings;
    use crate::envelope::{Block, Ledger, PathName};
    use crate::sink::Contract;
    use futures_util::FutureExt;
    use std::collections::BTreeMap;
    use std::num::NonZeroUsize;

    /// Events for a share.
    fn deal(events: usize) -> Deal {
        let (mut builder, partition) = (BatchBuilder::new(), Partition::from("a"));
        (0..events as u64).for_each(|position| builder.push(&partition, Event { position, ..Event::default() }));
        let block = Block { batch: builder.finish().unwrap(), ends: vec![], rejects: None };
        let name = PathName { pipeline: "p".into(), sink: "s".into() };
        let path = Ledger::new().path(name, BTreeMap::new(), Arc::default());
        Deal::new(path.take(&block, &RowSet::all(events)).unwrap().unwrap())
    }

    #[tokio::test]
    async fn nothing_is_wanted_while_every_lane_has_a_batch_and_again_once_one_took_it() {
        let settings = Settings { batch_size: NonZeroUsize::new(2).unwrap(), ..Settings::default() };
        let shares = Share::for_lanes(2, Some(Limits::new(&settings, &Contract::default())));
        let take = |share: usize| shares[share].take(Instant::now(), &mut deal(3), &[0, 1, 2]).unwrap();
        let is_wanted = || Share::one_is_empty(&shares).now_or_never().is_some();
        take(0);
        assert!(is_wanted(), "the other lane has none");
        take(1);
        assert!(!is_wanted());
        let mut wanted = std::pin::pin!(Share::one_is_empty(&shares));
        assert!(wanted.as_mut().now_or_never().is_none());
        assert_eq!(shares[1].pop().await.unwrap().1.len(), 2);
        wanted.await;
    }

    #[tokio::test]
    async fn a_lane_hears_of_a_batch_that_begins_and_of_one_that_is_full_and_not_between() {
        let settings = Settings { batch_size: NonZeroUsize::new(3).unwrap(), ..Settings::default() };
        let shares = Share::for_lanes(1, Some(Limits::new(&settings, &Contract::default())));
        for heard in [true, false, true] {
            shares[0].take(Instant::now(), &mut deal(1), &[0]).unwrap();
            assert_eq!(shares[0].arrived.notified().now_or_never().is_some(), heard);
        }
    }
}
