//! From a sink's queue to final: one path for all sinks.
//!
//! ```text
//! queue ─▶ batcher ─▶ lane: gate ─▶ attempt ─▶ judge ─┬ written: final
//!                       ▲                             ├ again: after a pause, or once the gate opens
//!                       └──────── pieces left ────────┼ halves, to find the events at fault
//!                                                     └ dead letters: final
//! ```
//!
//! Above the lanes events come together and are cut into batches; below, one batch is one call. A lane holds an
//! envelope until every event of it is final, and is the only one that settles.

mod batcher;
mod buffer;
mod dead_letters;
mod gate;
mod instances;
mod judge;
mod lane;
mod queue;
mod retry;
mod search;
mod settings;
mod verdict;

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

pub use buffer::{Again, Buffer, BufferParts};
pub use dead_letters::{DeadLetter, DeadLetters, Segments, Unkept};
pub use gate::{Cause, Gate};
pub use queue::Queue;
pub use settings::{BufferKind, BufferSettings, GateSettings, Outage, RetrySettings, Settings, WhenFull};

use crate::envelope::{Envelope, PathName};
use crate::metrics::SinkMetrics;
use crate::sink::Connect;
use batcher::Batcher;
use instances::Instances;
use lane::{Lane, Shared};

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
    /// Where what can't be delivered goes.
    pub dead_letters: Arc<dyn DeadLetters>,
    /// Where events wait, if not in memory alone.
    pub buffer: Option<Buffer>,
    /// What it counts.
    pub metrics: Arc<SinkMetrics>,
    /// Whether events that are given up at a stop would be lost: they become dead letters then.
    pub keep_unfinished: bool,
    /// Turns true when no more time is left: calls are given up and the delivery ends.
    pub give_up: watch::Receiver<bool>,
}

/// The delivery to one sink.
pub struct Delivery {
    queue: Queue,
    batcher: Batcher,
    lanes: Arc<Shared>,
    concurrency: usize,
    metrics: Arc<SinkMetrics>,
}

impl Delivery {
    /// Puts the stages together, in the order in which events pass them. Nothing is opened before the first batch.
    pub fn new(parts: Parts) -> Delivery {
        let Parts { path, settings, connect, dead_letters, buffer, metrics, keep_unfinished, give_up } = parts;
        let contract = connect.contract();
        let concurrency = settings.concurrency.get();
        Delivery {
            queue: Queue::new(&settings.buffer, buffer),
            batcher: Batcher::new(&settings, contract),
            lanes: Arc::new(Shared {
                gate: Gate::new(settings.gate.probe),
                instances: Instances::new(connect, concurrency, metrics.clone()),
                ordered: concurrency == 1,
                path,
                settings,
                dead_letters,
                metrics: metrics.clone(),
                keep_unfinished,
                give_up,
                jitter: fastrand::f64,
            }),
            concurrency,
            metrics,
        }
    }

    /// The end where events go in. Closing it drains the delivery.
    pub fn queue(&self) -> &Queue {
        &self.queue
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

    async fn deliver(mut self) -> Result<(), Stopped> {
        let mut ended = match self.concurrency {
            1 => self.run_inline().await,
            _ => self.run_lanes().await,
        };
        if ended.is_ok() {
            ended = self.leave_rest().await;
        }
        self.queue.close();
        self.lanes.instances.close(self.lanes.settings.timeout).await;
        ended
    }

    /// One lane needs no task of its own: the batch behind waits for the batch before.
    async fn run_inline(&mut self) -> Result<(), Stopped> {
        let lane = Lane::new(self.lanes.clone(), 0);
        while let Some(batch) = self.next_batch().await? {
            lane.deliver(batch).await?;
        }
        Ok(())
    }

    async fn run_lanes(&mut self) -> Result<(), Stopped> {
        let mut busy: JoinSet<Result<Lane, Stopped>> = JoinSet::new();
        let mut idle: Vec<Lane> = (0..self.concurrency).map(|number| Lane::new(self.lanes.clone(), number)).collect();
        loop {
            let next = async {
                match idle.is_empty() {
                    true => std::future::pending().await,
                    false => self.next_batch().await,
                }
            };
            tokio::select! {
                Some(done) = busy.join_next() => idle.push(self.lanes.rejoin(done)?),
                batch = next => match (batch?, idle.pop()) {
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
        Ok(())
    }

    /// What no lane took when time was up; whoever fills the queue closes it then. Nothing, where the queue was drained.
    async fn leave_rest(&mut self) -> Result<(), Stopped> {
        while let Some((since, envelope)) = self.queue.pop().await {
            self.batcher.push(since, envelope);
        }
        loop {
            let rest = self.batcher.cut();
            if rest.is_empty() {
                return Ok(());
            }
            for envelope in rest {
                self.lanes.leave(envelope).await?;
            }
        }
    }

    /// The next batch: full, or as old as it may get, or the last. `None` at the end, or when time is up. Nothing is lost when the future
    /// is dropped.
    async fn next_batch(&mut self) -> Result<Option<Envelope>, Stopped> {
        let parts = loop {
            if self.lanes.is_given_up() {
                return Ok(None);
            }
            if self.batcher.is_full() {
                break self.batcher.cut();
            }
            if let Some((since, envelope)) = self.queue.try_pop() {
                self.batcher.push(since, envelope);
                continue;
            }
            let due = self.batcher.due();
            tokio::select! {
                popped = self.queue.pop() => match popped {
                    Some((since, envelope)) => self.batcher.push(since, envelope),
                    None => break self.batcher.cut(),
                },
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => break self.batcher.cut(),
                () = self.lanes.given_up() => return Ok(None),
            }
        };
        if parts.is_empty() {
            return Ok(None);
        }
        self.metrics.copied_batches.add(u64::from(parts.len() > 1));
        let batch = Envelope::concat(parts).map_err(|error| self.lanes.columns(error))?;
        Ok(Some(batch))
    }
}

#[cfg(test)]
mod tests;
