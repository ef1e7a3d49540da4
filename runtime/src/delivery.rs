//! From a sink's queue to final: one path for all sinks.
//!
//! ```text
//! queue ─▶ intake ─▶ lane: gate ─▶ attempt ─▶ judge ─┬ written: final
//!                      ▲                             ├ again: after a pause, or once the gate opens
//!                      └──────── pieces left ────────┼ halves, to find the events at fault
//!                                                    └ dead letters: final
//! ```
//!
//! Where the sink has an encoder, it stands between the queue and the intake.
//!
//! In an intake events come together and are cut into batches; in a lane, one batch is one call. A lane holds an
//! envelope until every event of it is final, and is the only one that settles.
//!
//! With one write in flight there is one lane. With more, lanes take batches from one intake in any order; where the
//! order of keys is kept, each lane has an intake of its own, and events are spread over them by key.

mod adaptive;
mod ahead;
mod batcher;
mod buffer;
mod dead_letters;
mod encoding;
mod exactly_once;
mod gate;
mod in_flight;
mod instances;
mod intake;
mod judge;
mod keys;
mod lane;
mod pace;
mod queue;
mod retry;
mod search;
mod settings;
mod share;
mod verdict;

use std::sync::{Arc, OnceLock};

use arrow_schema::ArrowError;
use async_trait::async_trait;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

pub use buffer::{Again, Buffer, BufferParts};
pub use dead_letters::{
    Bytes, Counted, DeadLetter, DeadLetters, Filter, Found, Held, Letter, LetterCounts, Marks, Past, Relay, RelayView,
    ReplayLock, Scan, Segments, Snapshot, Unkept, batch_of, encode, letter_partition, prune,
};
pub use exactly_once::{ExactlyOnce, ExactlyOnceParts};
pub use gate::{Cause, Gate};
pub use queue::Queue;
pub use settings::{
    BufferKind, BufferSettings, Concurrency, GateSettings, Order, Outage, RetrySettings, Settings, WhenFull,
};

use crate::batch::{Batch, RowSet};
use crate::envelope::{Deal, Envelope, PathName};
use crate::metrics::SinkMetrics;
use crate::sink::{Connect, Encoder};
use batcher::{Batcher, Limits};
use encoding::Encoding;
use in_flight::InFlight;
use instances::Instances;
use intake::{Intake, Supply};
use keys::Spread;
use lane::{Batches, Lane, Shared};
use pace::Pace;
use share::Share;

/// Why a delivery ended before its queue did.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Stopped {
    /// Dead letters could not be kept. Their events were given up, not acknowledged.
    #[error("the dead letters of `{path}` can't be written: {message}")]
    DeadLetters {
        /// Whose.
        path: PathName,
        /// Why.
        message: String,
    },
    /// Another process writes in the place of this one. What it had not written was given up, not acknowledged.
    #[error("`{path}` can't go on: {message}")]
    Superseded {
        /// Whose.
        path: PathName,
        /// What the sink said.
        message: String,
    },
    /// A batch could not be put together or taken apart: a defect. Its events were given up, not acknowledged.
    #[error("a batch of `{path}` is beyond what its columns can hold: {message}")]
    Columns {
        /// Whose.
        path: PathName,
        /// What the columns said.
        message: String,
    },
    /// A task of the delivery ended by a panic: a defect. Its events were given up, not acknowledged.
    #[error("the delivery of `{path}` broke down: {message}")]
    Panicked {
        /// Whose.
        path: PathName,
        /// What the task left.
        message: String,
    },
}

/// What a delivery is made of.
pub struct Parts {
    /// Whose events it delivers.
    pub path: PathName,
    /// What its user set.
    pub settings: Settings,
    /// The sink.
    pub connect: Arc<dyn Connect>,
    /// What makes values of events before they are batched, if they don't go as they are.
    pub encoder: Option<Arc<dyn Encoder>>,
    /// Where what can't be delivered goes.
    pub dead_letters: Arc<dyn DeadLetters>,
    /// Where events wait, if not in memory alone.
    pub buffer: Option<Buffer>,
    /// Who is told what the sink has, if anybody is.
    pub witness: Option<Arc<dyn Witness>>,
    /// What it counts.
    pub metrics: Arc<SinkMetrics>,
    /// Whether events that are given up at a stop would be lost: they become dead letters then.
    pub keep_unfinished: bool,
    /// Turns true when no more time is left: calls are given up and the delivery ends.
    pub give_up: watch::Receiver<bool>,
}

/// Is told of events that need no more attention, before they are settled.
#[async_trait]
pub trait Witness: Send + Sync {
    /// The sink has them, with all that was made of them, or its encoder left them out.
    async fn done(&self, events: &Batch);
}

/// The delivery to one sink.
pub struct Delivery {
    queue: Queue,
    encoder: Option<Arc<dyn Encoder>>,
    lanes: Arc<Shared>,
}

impl Delivery {
    /// Puts the stages together. Nothing is opened before the first batch.
    pub fn new(parts: Parts) -> Delivery {
        let Parts {
            path,
            settings,
            connect,
            encoder,
            dead_letters,
            buffer,
            witness,
            metrics,
            keep_unfinished,
            give_up,
        } = parts;
        let queue = Queue::new(&settings.buffer, buffer, encoder.is_some());
        let revocations = queue.revocations();
        let lanes = Shared {
            gate: Gate::new(settings.gate.probe),
            contract: connect.contract().clone(),
            exactly_once: OnceLock::new(),
            instances: Instances::new(connect, settings.concurrency.most().get(), metrics.clone()),
            in_flight: InFlight::new(settings.concurrency),
            pace: Pace::new(settings.rate_limit),
            path,
            settings,
            dead_letters,
            witness,
            metrics,
            keep_unfinished,
            give_up,
            revocations,
            broken_off: watch::Sender::new(false),
            jitter: fastrand::f64,
        };
        Delivery { queue, encoder, lanes: Arc::new(lanes) }
    }

    /// The end where events go in. Closing it drains the delivery.
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Lets the sink have each event exactly once. It takes batches that are next to each other, one at a time. Where the
    /// path resumes is the sink's to say then, before anything is read: see [`ExactlyOnce::resume`].
    pub fn exactly_once(&self, parts: ExactlyOnceParts) -> ExactlyOnce {
        let Shared { gate, settings, instances, exactly_once, .. } = &*self.lanes;
        let new = || ExactlyOnce::new(parts, instances.connect().clone(), gate.clone(), settings);
        exactly_once.get_or_init(new).clone()
    }

    /// What holds its events back, if anything does.
    pub fn gate(&self) -> Gate {
        self.lanes.gate.clone()
    }

    /// Delivers until the queue is closed and every event of it is final, or time is up. Closes the sink.
    pub async fn run(self) -> Result<(), Stopped> {
        let queue = self.queue.clone();
        let Some(buffer) = queue.buffer() else { return self.deliver().await };
        let ended = tokio::select! {
            ended = self.deliver() => ended,
            () = buffer.serve(&queue) => Ok(()),
        };
        buffer.finish().await;
        ended
    }

    async fn deliver(self) -> Result<(), Stopped> {
        let Some(encoder) = self.encoder.clone() else {
            let supply = Supply::Queue(self.queue.clone());
            return self.deliver_from(supply).await;
        };
        let (encoding, encoded) = Encoding::new(encoder, self.queue.clone(), self.lanes.clone());
        let lanes = self.lanes.clone();
        over(async |busy| {
            busy.spawn(encoding.run());
            self.deliver_from(Supply::Encoded(encoded)).await?;
            while let Some(done) = busy.join_next().await {
                lanes.rejoin(done)?;
            }
            Ok(())
        })
        .await
    }

    async fn deliver_from(self, supply: Supply) -> Result<(), Stopped> {
        let Settings { concurrency, order, timeout, .. } = self.lanes.settings;
        let ended = match (concurrency.most().get(), order) {
            // One lane needs no task of its own: the batch behind waits for the batch before.
            (1, _) => Lane::new(self.lanes.clone(), 0).deliver_all(self.intake_of(supply)).await,
            (_, Order::None) => {
                let intake = self.intake_of(supply);
                over(async |busy| self.run_lanes(intake, busy).await).await
            }
            (lanes, Order::Key) => over(async |busy| self.run_lanes_by_key(lanes, supply, busy).await).await,
        };
        self.queue.close();
        self.lanes.instances.close(timeout).await;
        ended
    }

    fn intake_of(&self, supply: Supply) -> Intake {
        let batcher = Batcher::new(&self.lanes.settings, &self.lanes.contract);
        Intake::new(supply, batcher, self.lanes.clone(), self.queue.clone())
    }

    /// Whichever lane is free takes the next batch.
    async fn run_lanes(&self, mut intake: Intake, busy: &mut JoinSet<Result<Lane, Stopped>>) -> Result<(), Stopped> {
        let most = self.lanes.settings.concurrency.most().get();
        let mut idle: Vec<Lane> = (0..most).rev().map(|number| Lane::new(self.lanes.clone(), number)).collect();
        loop {
            let may_start = busy.len() < self.lanes.in_flight.limit();
            tokio::select! {
                biased;
                Some(done) = busy.join_next() => idle.push(self.lanes.rejoin(done)?),
                batch = intake.next_batch(), if may_start => match (batch?, idle.pop()) {
                    (Some(batch), Some(lane)) => {
                        busy.spawn(async move { lane.deliver(batch).await.map(|()| lane) });
                    }
                    _ => break,
                },
            }
        }
        while let Some(done) = busy.join_next().await {
            self.lanes.rejoin(done)?;
        }
        intake.leave_rest().await
    }

    /// Each lane keeps the order of the events whose keys belong to it.
    async fn run_lanes_by_key(
        &self,
        lanes: usize,
        mut events: Supply,
        busy: &mut JoinSet<Result<(), Stopped>>,
    ) -> Result<(), Stopped> {
        // Where batches go by destination, or what was made of events hangs together, they are brought together once more.
        let limits = self.lanes.contract.destination.is_none() && self.encoder.is_none();
        let limits = limits.then(|| Limits::new(&self.lanes.settings, &self.lanes.contract));
        let shares = Share::for_lanes(lanes, limits);
        for (number, share) in shares.iter().cloned().enumerate() {
            let lane = Lane::new(self.lanes.clone(), number);
            match limits {
                None => busy.spawn(lane.deliver_all(self.intake_of(Supply::Share(share)))),
                Some(_) => {
                    let supply = share::Supply::new(share, self.lanes.clone(), self.queue.clone());
                    busy.spawn(lane.deliver_all(supply))
                }
            };
        }
        let mut spread = Spread::new(lanes);
        loop {
            let next = async {
                Share::one_is_empty(&shares).await;
                events.pop().await
            };
            let popped = tokio::select! {
                biased;
                popped = next => popped,
                // Lanes end before their supply does only when they can't go on, or when time is up.
                Some(done) = busy.join_next() => {
                    self.lanes.rejoin(done)?;
                    break;
                }
            };
            let Some((since, envelope)) = popped else { break };
            let rows = spread.rows(&envelope);
            self.share_out(since, envelope, rows, &shares).map_err(|error| self.lanes.columns(error))?;
        }
        shares.iter().for_each(Share::close);
        while let Some(done) = busy.join_next().await {
            self.lanes.rejoin(done)?;
        }
        self.intake_of(events).leave_rest().await
    }
}

impl Delivery {
    /// Gives each share its rows.
    fn share_out(
        &self,
        since: Instant,
        envelope: Envelope,
        rows: &[Vec<u32>],
        shares: &[Share],
    ) -> Result<(), ArrowError> {
        if self.encoder.is_some() {
            let sets: Vec<RowSet> = rows.iter().map(|rows| rows.iter().copied().collect()).collect();
            let parts = envelope.scatter(&sets)?;
            parts.into_iter().zip(shares).for_each(|(part, share)| share.take_whole(since, part));
            return Ok(());
        }
        let mut deal = Deal::new(envelope);
        shares.iter().zip(rows).try_for_each(|(share, rows)| share.take(since, &mut deal, rows))
    }
}

/// Runs lanes in tasks, which are over afterwards. After an error calls may be in flight: they end before their instances
/// are closed.
async fn over<T: Send + 'static>(
    run: impl AsyncFnOnce(&mut JoinSet<Result<T, Stopped>>) -> Result<(), Stopped>,
) -> Result<(), Stopped> {
    let mut busy = JoinSet::new();
    let ended = run(&mut busy).await;
    busy.shutdown().await;
    ended
}

#[cfg(test)]
mod tests;
