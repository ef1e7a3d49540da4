//! Carries one batch after another until every event of it is final.
//!
//! What follows from an answer is in [`judge`](super::judge).

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use arrow_schema::ArrowError;
use tokio::sync::watch;
use tokio::task::JoinError;
use tokio::time::{Instant, sleep, sleep_until};

use super::dead_letters::{DeadLetter, DeadLetters, Unkept};
use super::exactly_once::ExactlyOnce;
use super::gate::{Gate, Pass};
use super::in_flight::InFlight;
use super::instances::{Answer, Instances};
use super::pace::Pace;
use super::queue::Revocations;
use super::retry::Tally;
use super::search::Search;
use super::settings::Settings;
use super::{Stopped, Witness};
use crate::batch::Batch;
use crate::defect::{self, Defect};
use crate::envelope::{Envelope, Final, Flight, PathName};
use crate::metrics::SinkMetrics;
use crate::sink::{Contract, Failure, FailureKind, Next, Outcome, Turn, WriteContext};

/// What the lanes of a sink share.
pub(super) struct Shared {
    pub(super) path: PathName,
    pub(super) settings: Settings,
    pub(super) contract: Contract,
    pub(super) gate: Gate,
    pub(super) instances: Instances,
    /// Where the sink is to have each event exactly once.
    pub(super) exactly_once: OnceLock<ExactlyOnce>,
    pub(super) in_flight: InFlight,
    pub(super) pace: Pace,
    pub(super) dead_letters: Arc<dyn DeadLetters>,
    pub(super) witness: Option<Arc<dyn Witness>>,
    pub(super) metrics: Arc<SinkMetrics>,
    pub(super) keep_unfinished: bool,
    pub(super) give_up: watch::Receiver<bool>,
    pub(super) revocations: Revocations,
    /// Turns true when a part of the delivery can't go on: nothing more is of use then.
    pub(super) broken_off: watch::Sender<bool>,
    pub(super) jitter: fn() -> f64,
}

/// Where the batches of a lane come from.
pub(super) trait Batches {
    /// The next batch: full, or as old as it may get, or the last. `None` at the end, or when time is up. Nothing is lost
    /// when the future is dropped.
    async fn next_batch(&mut self) -> Result<Option<Envelope>, Stopped>;

    /// What no lane took when time was up; whoever supplies them stops then. Nothing, where the supply was drained.
    async fn leave_rest(&mut self) -> Result<(), Stopped>;
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
    /// What the last attempt came to, where nothing follows from it before the sink has said what it has. It is in flight
    /// until then.
    pub(super) pending: Option<(Answer, Flight)>,
}

impl Piece {
    pub(super) fn new(envelope: Envelope, story: Story) -> Piece {
        Piece { envelope, story, pending: None }
    }
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

impl Round {
    /// Of a batch of so many events, nothing of which is left yet.
    pub(super) fn new(events: usize, pass: Pass) -> Round {
        Round { left: VecDeque::new(), search: Search::new(events), pass }
    }
}

impl Lane {
    pub(super) fn new(shared: Arc<Shared>, number: usize) -> Lane {
        Lane { shared, number }
    }

    /// Batch after batch, until no more come or time is up.
    pub(super) async fn deliver_all(self, mut batches: impl Batches) -> Result<(), Stopped> {
        let ahead = self.ahead();
        match self.shared.exactly_once.get() {
            None if ahead > 1 => self.deliver_ahead(ahead, &mut batches).await?,
            None => {
                while let Some(batch) = batches.next_batch().await? {
                    self.deliver(batch).await?;
                }
            }
            Some(exactly_once) => self.deliver_once(exactly_once, &mut batches).await?,
        }
        batches.leave_rest().await
    }

    /// The same, and has positions stored while there are no events.
    async fn deliver_once(&self, exactly_once: &ExactlyOnce, batches: &mut impl Batches) -> Result<(), Stopped> {
        loop {
            tokio::select! {
                biased;
                batch = batches.next_batch() => match batch? {
                    Some(batch) => self.deliver(batch).await?,
                    None => break,
                },
                () = sleep(exactly_once.interval()) => self.store_positions(exactly_once).await?,
            }
        }
        self.store_positions(exactly_once).await
    }

    /// What was passed over since the last event would have to be passed over again after a restart. That it could not be
    /// stored costs nothing else.
    async fn store_positions(&self, exactly_once: &ExactlyOnce) -> Result<(), Stopped> {
        let Shared { gate, instances, settings, path, .. } = &*self.shared;
        if exactly_once.is_unsettled() || gate.closed().is_some() || self.shared.is_given_up() {
            return Ok(());
        }
        let Some(next) = exactly_once.offer_alone() else { return Ok(()) };
        let context = self.shared.context(1, Some(next));
        let nothing = Batch::default();
        let answer = tokio::select! {
            biased;
            answer = instances.write(self.number, &nothing, &context) => answer,
            () = self.shared.given_up() => return Ok(()),
        };
        match answer {
            Answer::Outcome(Outcome::Written) => exactly_once.have_positions(),
            Answer::Superseded(failure) => return Err(self.shared.superseded(&failure)),
            answer => {
                tracing::debug!(sink = %path, ?answer, "positions were not stored");
                exactly_once.doubt();
                instances.reopen(self.number, settings.timeout).await;
            }
        }
        Ok(())
    }

    /// Returns once every event is final, or was left because time is up.
    pub(super) async fn deliver(&self, envelope: Envelope) -> Result<(), Stopped> {
        let mut round = Round::new(envelope.len(), Pass::default());
        round.left.push_back(Piece::new(envelope, Story::default()));
        self.go_on(round).await
    }

    /// Returns once every event of the round is final, or was left because time is up.
    pub(super) async fn go_on(&self, mut round: Round) -> Result<(), Stopped> {
        while let Some(mut piece) = round.left.pop_front() {
            // A sink that answers at once would never be interrupted.
            if self.shared.is_given_up() && !defect::on(Defect::GoOnAfterTheEnd) {
                round.left.push_front(piece);
                return self.leave(round).await;
            }
            if let Some(exactly_once) = self.shared.exactly_once.get() {
                match self.pass_over(exactly_once, piece, &mut round).await? {
                    Some(left) => piece = left,
                    None => continue,
                }
            }
            let answered = tokio::select! {
                biased;
                answered = self.next_answer(&mut piece, &mut round.pass) => answered,
                () = self.shared.given_up() => {
                    round.left.push_front(piece);
                    return self.leave(round).await;
                }
            };
            // In flight until it is judged: what is final by then is acknowledged before a partition goes.
            let Some((answer, flight)) = answered? else { continue };
            self.judge(piece, answer, &mut round).await?;
            drop(flight);
            self.shared.instances.close_left(self.shared.settings.timeout).await;
        }
        Ok(())
    }

    /// What came of the piece, as far as anything can be concluded from it, and its flight, if it was called. `None` where
    /// nothing is left of it.
    async fn next_answer(
        &self,
        piece: &mut Piece,
        pass: &mut Pass,
    ) -> Result<Option<(Answer, Option<Flight>)>, Stopped> {
        let Some(exactly_once) = self.shared.exactly_once.get() else {
            return self
                .attempt(piece, pass)
                .await
                .map(|attempted| attempted.map(|(answer, flight)| (answer, Some(flight))));
        };
        if exactly_once.is_unsettled() {
            *pass = self.shared.gate.pass().await;
            return Ok(Some((self.ask(exactly_once).await, None)));
        }
        if let Some((answer, flight)) = piece.pending.take() {
            return Ok(Some((answer, Some(flight))));
        }
        let Some((answer, flight)) = self.attempt(piece, pass).await? else { return Ok(None) };
        match exactly_once.conclude(answer, piece.envelope.batch().origin()) {
            Ok(answer) => Ok(Some((answer, Some(flight)))),
            Err(open) => {
                piece.pending = Some((open, flight));
                // Whatever it has under way is to come to its end.
                let within = self.shared.settings.timeout;
                self.shared.instances.reopen(self.number, within).await;
                self.shared.instances.close_left(within).await;
                Ok(Some((self.ask(exactly_once).await, None)))
            }
        }
    }

    /// Lets the sink say what it has, or go back to what it should have.
    async fn ask(&self, exactly_once: &ExactlyOnce) -> Answer {
        match exactly_once.settle(Instant::now() + self.shared.settings.timeout).await {
            Ok(None) => Answer::Asked,
            Err(failure) => Answer::NotOpened(failure),
            Ok(Some(back)) => {
                let context = self.shared.context(1, Some(back));
                match self.shared.instances.write(self.number, &Batch::default(), &context).await {
                    Answer::Outcome(Outcome::Written) => {
                        exactly_once.have_positions();
                        Answer::Asked
                    }
                    Answer::Failed(failure) if failure.kind == FailureKind::Halted => Answer::Failed(failure),
                    answer @ (Answer::NotOpened(_) | Answer::Superseded(_)) => answer,
                    answer => {
                        self.shared.instances.reopen(self.number, self.shared.settings.timeout).await;
                        Answer::NotOpened(Failure::transient("positions", format!("not stored: {answer:?}")))
                    }
                }
            }
        }
    }

    /// Leaves what the sink does not have. What comes twice in a batch comes in two pieces.
    async fn pass_over(
        &self,
        exactly_once: &ExactlyOnce,
        piece: Piece,
        round: &mut Round,
    ) -> Result<Option<Piece>, Stopped> {
        let Piece { mut envelope, story, pending } = piece;
        let (had, end) = exactly_once.had(envelope.batch().origin());
        if end < envelope.len() {
            let front = envelope.split_front(end);
            round.left.push_front(Piece::new(envelope, story));
            envelope = front;
        }
        if !had.is_empty() {
            let (had, left) = envelope.select(&had).map_err(|error| self.shared.columns(error))?;
            round.search.found();
            self.shared.written(had).await?;
            envelope = left;
        }
        Ok((!envelope.is_empty()).then_some(Piece { envelope, story, pending }))
    }

    /// Calls the sink when its turn comes. `None` where nothing is left: the partitions of all events were taken away.
    async fn attempt(&self, piece: &mut Piece, pass: &mut Pass) -> Result<Option<(Answer, Flight)>, Stopped> {
        let Some(flight) = self.turn(piece, pass).await? else { return Ok(None) };
        let answer = self.call(piece, Turn::default()).await;
        Ok(Some((answer, flight)))
    }

    /// Calls the sink, which says when it is another one's turn.
    pub(super) async fn call(&self, piece: &mut Piece, turn: Turn) -> Answer {
        let Shared { instances, in_flight, metrics, exactly_once, .. } = &*self.shared;
        let now = Instant::now();
        piece.story.began.get_or_insert_with(|| (now, SystemTime::now()));
        let next = exactly_once.get().map(|exactly_once| exactly_once.offer(&piece.envelope));
        let context = WriteContext { turn, ..self.shared.context(piece.story.tally.attempts + 1, next) };
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

    /// Waits until its time has come, the gate is open, and its rate allows it. What is revoked meanwhile is given up.
    pub(super) async fn turn(&self, piece: &mut Piece, pass: &mut Pass) -> Result<Option<Flight>, Stopped> {
        let Shared { gate, pace, .. } = &*self.shared;
        let mut revocations = self.shared.revocations.clone();
        loop {
            let through = async {
                if let Some(time) = piece.story.not_before {
                    sleep_until(time).await;
                }
                gate.pass().await
            };
            tokio::select! {
                biased;
                passed = through => *pass = passed,
                () = revocations.next() => {
                    self.shared.give_up_revoked(&mut piece.envelope)?;
                    if piece.envelope.is_empty() {
                        return Ok(None);
                    }
                    continue;
                }
            }
            pace.take(piece.envelope.len()).await;
            // While it waited for its time, another call may have closed the gate.
            if gate.lets_in(*pass) || defect::on(Defect::PassBeforePace) {
                break;
            }
        }
        loop {
            if let Some(flight) = piece.envelope.depart() {
                return Ok(Some(flight));
            }
            self.shared.give_up_revoked(&mut piece.envelope)?;
            if piece.envelope.is_empty() {
                gate.forgo(*pass);
                return Ok(None);
            }
        }
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
    /// Of an attempt that begins now.
    fn context(&self, attempt: u32, next: Option<Next>) -> WriteContext {
        WriteContext {
            pipeline: self.path.pipeline.clone(),
            sink: self.path.sink.clone(),
            attempt,
            deadline: Instant::now() + self.settings.timeout,
            timeout: self.settings.timeout,
            ordered: self.settings.is_ordered(),
            turn: Turn::default(),
            next,
        }
    }

    /// Whether no more time is left.
    pub(super) fn is_given_up(&self) -> bool {
        *self.give_up.borrow() || *self.broken_off.borrow()
    }

    /// Returns once no more time is left.
    pub(super) async fn given_up(&self) {
        let (mut give_up, mut broken_off) = (self.give_up.clone(), self.broken_off.subscribe());
        let said = tokio::select! {
            biased;
            said = give_up.wait_for(|now| *now) => said.is_ok(),
            said = broken_off.wait_for(|now| *now) => said.is_ok(),
        };
        if !said {
            // Nobody is left who could say so.
            std::future::pending().await
        }
    }

    /// A part of the delivery can't go on: the others give up.
    pub(super) fn break_off(&self) {
        self.broken_off.send_replace(true);
    }

    /// Events that nobody will try any more: where they are in no disk buffer and could not be read again they are kept, else
    /// given up.
    pub(super) async fn leave(&self, envelope: Envelope) -> Result<(), Stopped> {
        if !self.keep_unfinished || envelope.is_buffered() {
            return Ok(());
        }
        let failure = Failure::transient("stopped", "the run was stopped before they were delivered");
        let events = envelope.events().map_err(|error| self.columns(error))?;
        let letter = DeadLetter::untried(&self.path, &events, &failure);
        match self.dead_letters.put(letter).await {
            Ok(()) => {
                envelope.settle(Final::DeadLettered);
                Ok(())
            }
            // There is no time to wait for room. The run tells how many are lost.
            Err(full @ Unkept::Full { .. }) => {
                tracing::error!(sink = %self.path, events = envelope.len(), %full, "events are lost");
                Ok(())
            }
            Err(Unkept::Failed { message }) => Err(Stopped::DeadLetters { path: self.path.clone(), message }),
        }
    }

    /// The sink has them, or is not to have them: they are final.
    pub(super) async fn done(&self, envelope: Envelope, how: Final) -> Result<(), Stopped> {
        if let Some(witness) = &self.witness {
            witness.done(&envelope.events().map_err(|error| self.columns(error))?).await;
        }
        envelope.settle(how);
        Ok(())
    }

    /// Gives up the events whose partition was taken away.
    pub(super) fn give_up_revoked(&self, envelope: &mut Envelope) -> Result<(), Stopped> {
        envelope.give_up_revoked().map_err(|error| self.columns(error))
    }

    /// Another process writes in the place of this one.
    pub(super) fn superseded(&self, failure: &Failure) -> Stopped {
        Stopped::Superseded { path: self.path.clone(), message: failure.message.to_string() }
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
