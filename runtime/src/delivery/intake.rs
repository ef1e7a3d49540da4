//! Where a lane's events come from, until they are a batch.

use std::sync::Arc;

use tokio::time::{Instant, sleep_until};

use super::Stopped;
use super::batcher::{Batcher, Next};
use super::encoding;
use super::lane::{Batches, Shared};
use super::queue::{Queue, Revocations};
use super::share::Share;
use crate::defect::{self, Defect};
use crate::envelope::Envelope;

/// What comes in, and what is not yet a batch.
pub(super) struct Intake {
    supply: Supply,
    batcher: Batcher,
    shared: Arc<Shared>,
    /// While it is full nothing comes before something is final.
    queue: Queue,
    revocations: Revocations,
}

/// Envelopes with the time of their arrival.
pub(super) enum Supply {
    /// All of the sink.
    Queue(Queue),
    /// All of the sink, with what its encoder made of them.
    Encoded(encoding::Supply),
    /// One lane's share of them.
    Share(Share),
}

impl Supply {
    fn try_pop(&mut self) -> Option<(Instant, Envelope)> {
        match self {
            Supply::Queue(queue) => queue.try_pop(),
            Supply::Encoded(encoded) => encoded.try_recv().ok(),
            Supply::Share(share) => share.try_pop(),
        }
    }

    /// Waits for the oldest events. `None` once no more come. Nothing is lost when the future is dropped.
    pub(super) async fn pop(&mut self) -> Option<(Instant, Envelope)> {
        match self {
            Supply::Queue(queue) => queue.pop().await,
            Supply::Encoded(encoded) => encoded.recv().await,
            Supply::Share(share) => share.pop().await,
        }
    }
}

impl Intake {
    pub(super) fn new(supply: Supply, batcher: Batcher, shared: Arc<Shared>, queue: Queue) -> Intake {
        let revocations = queue.revocations();
        Intake { supply, batcher, shared, queue, revocations }
    }
}

impl Batches for Intake {
    async fn next_batch(&mut self) -> Result<Option<Envelope>, Stopped> {
        let group = loop {
            if self.shared.is_given_up() {
                return Ok(None);
            }
            if self.revocations.are_new() {
                self.give_up_revoked()?;
            }
            let next = self.batcher.next();
            if let Next::Now(group) = next {
                break group;
            }
            if let Some((since, envelope)) = self.supply.try_pop() {
                self.push(since, envelope)?;
                continue;
            }
            let (due, group) = match next {
                Next::At(due, group) => (Some(due), group),
                _ => (None, 0),
            };
            tokio::select! {
                biased;
                popped = self.supply.pop() => match popped {
                    Some((since, envelope)) => self.push(since, envelope)?,
                    None if defect::on(Defect::DropLastBatch) => return Ok(None),
                    None => break group,
                },
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => break group,
                // What waits for more would wait for itself.
                () = self.queue.stuck(), if due.is_some() => break group,
                () = self.shared.given_up() => return Ok(None),
                () = self.revocations.next() => self.give_up_revoked()?,
            }
        };
        let parts = self.batcher.cut(group);
        if parts.is_empty() {
            return Ok(None);
        }
        self.shared.metrics.copied_batches.add(u64::from(parts.len() > 1));
        let batch = Envelope::concat(parts).map_err(|error| self.shared.columns(error))?;
        Ok(Some(batch))
    }

    async fn leave_rest(&mut self) -> Result<(), Stopped> {
        while let Some((since, envelope)) = self.supply.pop().await {
            self.push(since, envelope)?;
        }
        loop {
            let rest = self.batcher.cut(0);
            if rest.is_empty() {
                return Ok(());
            }
            for envelope in rest {
                self.shared.leave(envelope).await?;
            }
        }
    }
}

impl Intake {
    /// Of what is not yet a batch.
    fn give_up_revoked(&mut self) -> Result<(), Stopped> {
        self.batcher.give_up_revoked().map_err(|error| self.shared.columns(error))
    }

    fn push(&mut self, since: Instant, envelope: Envelope) -> Result<(), Stopped> {
        self.batcher.push(since, envelope).map_err(|error| self.shared.columns(error))
    }
}
