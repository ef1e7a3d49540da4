//! Pipelines that run, and how they end.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::feed::{Feed, FeedError};
use super::overview::Overview;

/// Everything that a plan asks for, built and not yet started.
pub struct Pipelines {
    pub(super) feeds: Vec<Feed>,
    pub(super) overview: Overview,
    pub(super) signals: Signals,
    /// What nobody else may use meanwhile.
    pub(super) held: Box<dyn Send + Sync>,
    /// Says afterwards why a replay had to stop, if it had.
    pub(super) failed: Option<Arc<Mutex<Option<String>>>>,
}

/// What a run is told from outside. Cloning gives the same.
#[derive(Clone, Debug)]
pub struct Signals {
    pub(super) stop: watch::Sender<bool>,
    pub(super) give_up: watch::Sender<bool>,
}

impl Signals {
    pub(super) fn new() -> Signals {
        Signals { stop: watch::Sender::new(false), give_up: watch::Sender::new(false) }
    }

    /// Read no more. What was read is delivered.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Whether nothing more is read.
    pub fn is_stopping(&self) -> bool {
        *self.stop.borrow()
    }

    /// Wait no more: what is not delivered by now is given up, or kept where it could not be read again.
    pub fn give_up(&self) {
        self.stop();
        self.give_up.send_replace(true);
    }
}

/// How a run ended.
#[derive(Debug)]
pub struct Ended {
    /// What went wrong, if anything did.
    pub errors: Vec<FeedError>,
    /// Events that were read and are not final.
    pub undelivered: u64,
    /// Events that became dead letters.
    pub dead_lettered: u64,
}

impl Pipelines {
    /// What there is to see while they run.
    pub fn overview(&self) -> Overview {
        self.overview.clone()
    }

    /// How to stop them.
    pub fn signals(&self) -> Signals {
        self.signals.clone()
    }

    /// Runs until every source has ended and what was read is delivered, or a stop. From a stop on, or from the end of
    /// all sources while gates are closed, deliveries have `drain_timeout` left.
    pub async fn run(self, drain_timeout: Duration) -> Ended {
        let Pipelines { feeds, overview, signals, held, failed } = self;
        let mut running: JoinSet<Result<(), FeedError>> = JoinSet::new();
        for feed in feeds {
            running.spawn(feed.run());
        }
        let mut errors = Vec::new();
        let deadline = drain_deadline(&overview, &signals, drain_timeout);
        tokio::pin!(deadline);
        let mut waiting = true;
        loop {
            tokio::select! {
                done = running.join_next() => match done {
                    None => break,
                    Some(Ok(Ok(()))) => {}
                    Some(Ok(Err(error))) => {
                        // One feed that fails ends the run: the others deliver what they have read.
                        signals.stop();
                        errors.push(error);
                    }
                    Some(Err(panic)) => {
                        signals.stop();
                        errors.push(FeedError::Panicked(panic));
                    }
                },
                () = &mut deadline, if waiting => {
                    waiting = false;
                    signals.give_up();
                }
            }
        }
        if let Some(failed) = failed {
            let message = failed.lock().unwrap_or_else(PoisonError::into_inner).take();
            errors.extend(message.map(FeedError::Marks));
        }
        drop(held);
        Ended { errors, undelivered: overview.undelivered(), dead_lettered: overview.dead_lettered() }
    }
}

/// Returns when no more time is to be spent: so long after a stop, or so long after only closed gates were left.
async fn drain_deadline(overview: &Overview, signals: &Signals, drain_timeout: Duration) {
    let mut stop = signals.stop.subscribe();
    let stopped = async {
        // The sender lives as long as this.
        drop(stop.wait_for(|now| *now).await);
        tokio::time::sleep(drain_timeout).await;
    };
    let stuck = async {
        let mut stuck = Duration::ZERO;
        while stuck < drain_timeout {
            tokio::time::sleep(LOOK).await;
            stuck = if overview.only_closed_gates_are_left() { stuck + LOOK } else { Duration::ZERO };
        }
    };
    tokio::select! {
        () = stopped => {}
        () = stuck => {}
    }
}

/// How often to look whether anything still moves.
const LOOK: Duration = Duration::from_millis(250);
