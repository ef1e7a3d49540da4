//! Carries one batch after another until every event of it is final.
//!
//! What follows from an answer is in [`judge`](super::judge).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::SystemTime;

use arrow_schema::ArrowError;
use tokio::sync::watch;
use tokio::task::JoinError;
use tokio::time::{Instant, sleep_until};

use super::Stopped;
use super::dead_letters::{DeadLetter, DeadLetters};
use super::gate::{Gate, Pass};
use super::in_flight::InFlight;
use super::instances::{Answer, Instances};
use super::intake::Intake;
use super::pace::Pace;
use super::retry::Tally;
use super::search::Search;
use super::settings::Settings;
use crate::defect::{self, Defect};
use crate::envelope::{Envelope, Final, PathName};
use crate::metrics::SinkMetrics;
use crate::sink::{Contract, Failure, WriteContext};

/// What the lanes of a sink share.
pub(super) struct Shared {
    pub(super) path: PathName,
    pub(super) settings: Settings,
    pub(super) contract: Contract,
    pub(super) gate: Gate,
    pub(super) instances: Instances,
    pub(super) in_flight: InFlight,
    pub(super) pace: Pace,
    pub(super) dead_letters: Arc<dyn DeadLetters>,
    pub(super) metrics: Arc<SinkMetrics>,
    pub(super) keep_unfinished: bool,
    pub(super) give_up: watch::Receiver<bool>,
    pub(super) jitter: fn() -> f64,
}

/// One call at a time.
pub(super) struct Lane {
    pub(super) shared: Arc<Shared>,
    pub(super) number: usize,
}

/// Events of a batch that have the same story, to be written by one call.
pub(super) struct Piece {
    pub(super) envelope: Envelope,
    pub(super) story: Story,
}

/// What happened to some events so far.
#[derive(Clone, Copy, Default)]
pub(super) struct Story {
    pub(super) tally: Tally,
    /// When the first attempt that covered these events began.
    pub(super) began: Option<(Instant, SystemTime)>,
    pub(super) not_before: Option<Instant>,
    /// An instance broke under these events and others: they have to show alone whether they are the cause.
    pub(super) alone: bool,
}

/// The delivery of one batch.
pub(super) struct Round {
    /// In order of the events.
    pub(super) left: VecDeque<Piece>,
    pub(super) search: Search,
    /// How the last attempt got through the gate.
    pub(super) pass: Pass,
}

impl Lane {
    pub(super) fn new(shared: Arc<Shared>, number: usize) -> Lane {
        Lane { shared, number }
    }

    /// Batch after batch, until no more come or time is up.
    pub(super) async fn deliver_all(self, mut intake: Intake) -> Result<(), Stopped> {
        while let Some(batch) = intake.next_batch().await? {
            self.deliver(batch).await?;
        }
        intake.leave_rest().await
    }

    /// Returns once every event is final, or was left because time is up.
    pub(super) async fn deliver(&self, envelope: Envelope) -> Result<(), Stopped> {
        let search = Search::new(envelope.len());
        let piece = Piece { envelope, story: Story::default() };
        let mut round = Round { left: VecDeque::from([piece]), search, pass: Pass::default() };
        while let Some(mut piece) = round.left.pop_front() {
            // A sink that answers at once would never be interrupted.
            if self.shared.is_given_up() && !defect::on(Defect::GoOnAfterTheEnd) {
                round.left.push_front(piece);
                return self.leave(round).await;
            }
            let answer = tokio::select! {
                biased;
                answer = self.attempt(&mut piece, &mut round.pass) => answer,
                () = self.shared.given_up() => {
                    round.left.push_front(piece);
                    return self.leave(round).await;
                }
            };
            self.judge(piece, answer, &mut round).await?;
            self.shared.instances.close_left(self.shared.settings.timeout).await;
        }
        Ok(())
    }

    async fn attempt(&self, piece: &mut Piece, pass: &mut Pass) -> Answer {
        if let Some(time) = piece.story.not_before {
            sleep_until(time).await;
        }
        let Shared { path, settings, gate, instances, in_flight, pace, metrics, .. } = &*self.shared;
        loop {
            *pass = gate.pass().await;
            pace.take(piece.envelope.len()).await;
            // While it waited for its time, another call may have closed the gate.
            if gate.lets_in(*pass) || defect::on(Defect::PassBeforePace) {
                break;
            }
        }
        let now = Instant::now();
        piece.story.began.get_or_insert_with(|| (now, SystemTime::now()));
        let context = WriteContext {
            pipeline: path.pipeline.clone(),
            sink: path.sink.clone(),
            attempt: piece.story.tally.attempts + 1,
            deadline: now + settings.timeout,
            timeout: settings.timeout,
            ordered: settings.is_ordered(),
        };
        let call = in_flight.begin();
        let batch = piece.envelope.batch();
        let answer = match piece.story.alone {
            false => instances.write(self.number, batch, &context).await,
            true => instances.write_alone(self.number, batch, &context).await,
        };
        call.ended(now.elapsed(), answer.is_overload());
        metrics.attempted(now.elapsed());
        answer
    }

    /// Time is up: nothing more is tried.
    async fn leave(&self, round: Round) -> Result<(), Stopped> {
        for piece in round.left {
            self.shared.leave(piece.envelope).await?;
        }
        Ok(())
    }
}

impl Shared {
    /// Whether no more time is left.
    pub(super) fn is_given_up(&self) -> bool {
        *self.give_up.borrow()
    }

    /// Returns once no more time is left.
    pub(super) async fn given_up(&self) {
        let mut give_up = self.give_up.clone();
        if give_up.wait_for(|now| *now).await.is_err() {
            // Nobody is left who could say so.
            std::future::pending().await
        }
    }

    /// Events that nobody will try any more: where they are in no disk buffer and could not be read again they are kept, else
    /// given up.
    pub(super) async fn leave(&self, envelope: Envelope) -> Result<(), Stopped> {
        if !self.keep_unfinished || envelope.is_buffered() {
            return Ok(());
        }
        let failure = Failure::transient("stopped", "the run was stopped before they were delivered");
        let letter = DeadLetter::untried(&self.path, envelope.batch(), &failure);
        match self.dead_letters.put(letter).await {
            Ok(()) => {
                envelope.settle(Final::DeadLettered);
                Ok(())
            }
            Err(unkept) => Err(Stopped::DeadLetters { path: self.path.clone(), message: unkept.to_string() }),
        }
    }

    /// What a lane's task left.
    pub(super) fn rejoin<T>(&self, done: Result<Result<T, Stopped>, JoinError>) -> Result<T, Stopped> {
        done.unwrap_or_else(|error| Err(Stopped::Panicked { path: self.path.clone(), message: error.to_string() }))
    }

    /// Columns could not be put together or taken apart.
    pub(super) fn columns(&self, error: ArrowError) -> Stopped {
        Stopped::Columns { path: self.path.clone(), message: error.to_string() }
    }
}
