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
    pub(super) fn new(limits: Option<Limits>) -> Share {
        Share { waiting: Arc::default(), arrived: Arc::default(), limits }
    }

    /// Takes rows of what is dealt, which arrived at a time.
    ///
    /// Fails when they don't fit one batch; they are given up then.
    pub(super) fn take(&self, since: Instant, deal: &mut Deal, mut rows: &[u32]) -> Result<(), ArrowError> {
        if rows.is_empty() {
            return Ok(());
        }
        let mut waiting = self.waiting();
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
        drop(waiting);
        self.arrived.notify_one();
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
        self.waiting().full.pop_front()
    }

    /// Waits for them. `None` once no more come.
    pub(super) async fn pop(&self) -> Option<(Instant, Envelope)> {
        loop {
            {
                let mut waiting = self.waiting();
                match waiting.full.pop_front() {
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
        if let Some((_, batch)) = waiting.full.pop_front() {
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
