//! What follows from the answer to an attempt: which events are final, which come again, and when.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Stopped;
use super::dead_letters::{DeadLetter, Unkept};
use super::exactly_once::ExactlyOnce;
use super::gate::Cause;
use super::instances::Answer;
use super::lane::{Lane, Piece, Round, Shared, Story};
use super::retry::Decision;
use super::settings::Outage;
use super::verdict::Verdict;
use crate::defect::{self, Defect};
use crate::envelope::{Envelope, Final};
use crate::sink::{Failure, FailureKind, Outcome, Refusal};

impl Lane {
    /// Settles what is final, and puts what comes again in front of what is left, in order.
    pub(super) async fn judge(&self, piece: Piece, answer: Answer, round: &mut Round) -> Result<(), Stopped> {
        let shared = &*self.shared;
        let waits = shared.settings.retry.outage == Outage::Wait;
        match answer {
            Answer::Outcome(Outcome::Written) => {
                shared.gate.open(round.pass);
                round.search.found();
                shared.written(piece.envelope).await?;
            }
            Answer::Outcome(Outcome::Partial { .. }) if defect::on(Defect::RetryWritten) => {
                return self.again(piece, Failure::transient("partial", ""), round).await;
            }
            Answer::Outcome(Outcome::Partial { refused, stopped_at }) => {
                shared.gate.open(round.pass);
                return self.judge_events(piece, refused, stopped_at, round).await;
            }
            Answer::Failed(failure) if failure.kind == FailureKind::Halted => {
                if defect::on(Defect::CloseBeforeGate) {
                    shared.instances.reopen(self.number, shared.settings.timeout).await;
                }
                // First: nobody may pass while the instance closes.
                self.hold(piece, Cause::Halted(failure), round);
                shared.instances.reopen(self.number, shared.settings.timeout).await;
            }
            Answer::Failed(failure) if failure.kind == FailureKind::Rejected => {
                return self.halve(piece, failure, round).await;
            }
            Answer::NotOpened(failure) if failure.kind == FailureKind::Halted => {
                self.hold(piece, Cause::Halted(failure), round);
            }
            // Events of which the sink may have some are no dead letters.
            Answer::NotOpened(failure) if waits || shared.is_unsettled() => {
                self.hold(piece, Cause::Outage(failure), round);
            }
            Answer::Asked => {
                shared.gate.open(round.pass);
                round.left.push_front(piece);
            }
            Answer::Superseded(failure) => return Err(shared.superseded(&failure)),
            Answer::Failed(failure) | Answer::NotOpened(failure) | Answer::TimedOut(failure) => {
                return self.again(piece, failure, round).await;
            }
            Answer::Broke { alone: false, .. } => {
                // Not charged: another call in the same instance may be the cause.
                shared.gate.open(round.pass);
                let story = Story { alone: true, ..piece.story };
                round.left.push_front(Piece { story, ..piece });
            }
            Answer::Broke { failure, alone: true } => return self.halve(piece, failure, round).await,
        }
        Ok(())
    }

    /// Nothing passes until the cause is gone; nothing is charged.
    fn hold(&self, mut piece: Piece, cause: Cause, round: &mut Round) {
        if defect::on(Defect::ChargeHalted) {
            piece.story = piece.story.charged(FailureKind::Halted);
        }
        if self.shared.gate.closed().as_ref() != Some(&cause) {
            tracing::warn!(sink = %self.shared.path, "the gate is closed, events wait: {cause}");
        }
        self.shared.gate.close(cause);
        round.left.push_front(piece);
    }

    /// The same events again, unmerged, as long as their attempts last.
    async fn again(&self, piece: Piece, failure: Failure, round: &mut Round) -> Result<(), Stopped> {
        let shared = &*self.shared;
        let charged = piece.story.charged(failure.kind);
        let one = piece.envelope.ceil(1);
        if defect::on(Defect::RepeatInParts) && one < piece.envelope.len() {
            let mut second = piece.envelope;
            let first = second.split_front(one);
            round.left.push_front(Piece::new(second, charged));
            round.left.push_front(Piece::new(first, charged));
            return Ok(());
        }
        match shared.decide(&charged, failure.kind) {
            Decision::Again(pause) => {
                shared.gate.open(round.pass);
                shared.heed(&failure, pause);
                shared.count(piece.envelope.len(), &failure);
                round.left.push_front(shared.later(Piece { story: charged, ..piece }, pause)?);
                Ok(())
            }
            Decision::GiveUp if shared.settings.retry.outage == Outage::Wait => {
                self.hold(piece, Cause::Outage(failure), round);
                Ok(())
            }
            Decision::GiveUp => {
                shared.gate.open(round.pass);
                shared.bury(Piece { story: charged, ..piece }, &failure).await
            }
        }
    }

    /// The events at fault are in one half or the other. A single one is found; too long a search is given up.
    async fn halve(&self, piece: Piece, failure: Failure, round: &mut Round) -> Result<(), Stopped> {
        self.shared.gate.open(round.pass);
        let worth_it = round.search.missed();
        let (story, mut second) = (piece.story.charged(failure.kind), piece.envelope);
        if let Some(middle) = second.middle().filter(|_| worth_it) {
            let mut first = second.split_front(middle);
            if defect::on(Defect::ForgetInSplit) && first.ceil(1) < first.len() {
                first.split_front(first.ceil(1)).settle(Final::Written);
            }
            let story = if defect::on(Defect::FreshHalves) { Story::default() } else { story };
            round.left.push_front(Piece::new(second, story));
            round.left.push_front(Piece::new(first, story));
            return Ok(());
        }
        let piece = Piece::new(second, story);
        match self.shared.decide(&story, failure.kind) {
            Decision::Again(pause) => {
                self.shared.count(piece.envelope.len(), &failure);
                round.left.push_front(self.shared.later(piece, pause)?);
                Ok(())
            }
            Decision::GiveUp => self.shared.bury(piece, &failure).await,
        }
    }

    async fn judge_events(
        &self,
        piece: Piece,
        refused: Vec<Refusal>,
        stopped_at: usize,
        round: &mut Round,
    ) -> Result<(), Stopped> {
        let shared = &*self.shared;
        let verdict = Verdict::new(piece.envelope.len(), refused, stopped_at, piece.envelope.groups());
        if verdict.is_idle() {
            // Uncharged, this would go on for ever.
            let idle = Failure::transient("nothing-tried", "the sink stopped before it was done with the first event");
            return self.again(piece, idle, round).await;
        }
        let Verdict { written, rejected, again, untried } = verdict;
        let (mut later, mut spent) = (Vec::new(), rejected);
        for again in again {
            let story = piece.story.charged(again.kind);
            match shared.decide(&story, again.kind) {
                Decision::Again(pause) => later.push((again, story, pause)),
                Decision::GiveUp => spent.extend(again.each),
            }
        }
        let mut sets = vec![written, untried];
        sets.extend(later.iter().map(|(again, ..)| again.rows.clone()));
        sets.extend(spent.iter().map(|refusal| refusal.rows.clone()));
        let mut parts = piece.envelope.scatter(&sets).map_err(|error| shared.columns(error))?.into_iter();
        let (written, untried) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        if !written.is_empty() {
            round.search.found();
            shared.written(written).await?;
        }
        let (mut next, mut given_up) = (Vec::new(), Vec::new());
        for ((again, story, pause), envelope) in later.into_iter().zip(parts.by_ref()) {
            again.each.iter().for_each(|refusal| shared.count(refusal.rows.len(), &refusal.failure));
            if let Some(longest) = again.each.iter().find(|refusal| refusal.failure.kind == again.kind) {
                shared.heed(&longest.failure, pause);
            }
            next.push(shared.later(Piece::new(envelope, story), pause)?);
        }
        for (envelope, Refusal { failure, .. }) in parts.zip(spent) {
            if defect::on(Defect::RefusedAsWritten) {
                shared.written(envelope).await?;
                continue;
            }
            let failure = if defect::on(Defect::WrongReason) { Failure::rejected("bad", "") } else { failure };
            given_up.push((Piece::new(envelope, piece.story.charged(failure.kind)), failure));
        }
        // At the same time: what is made durable together costs one sync.
        let buried = given_up.into_iter().map(async |(part, failure)| shared.bury(part, &failure).await);
        futures_util::future::try_join_all(buried).await?;
        // What was not tried is not charged.
        if !untried.is_empty() {
            next.push(Piece::new(untried, piece.story));
        }
        if defect::on(Defect::ReversePieces) {
            next.reverse();
        }
        for piece in next.into_iter().rev() {
            round.left.push_front(piece);
        }
        Ok(())
    }
}

impl Story {
    /// After one more attempt that counts.
    fn charged(self, kind: FailureKind) -> Story {
        Story { tally: self.tally.charged(kind), ..self }
    }
}

impl Shared {
    fn decide(&self, story: &Story, kind: FailureKind) -> Decision {
        let elapsed = story.began.map(|(began, _)| began.elapsed()).unwrap_or_default();
        self.settings.retry.decide(kind, story.tally, elapsed, (self.jitter)())
    }

    /// Where the destination itself asked for the pause, nobody passes meanwhile.
    fn heed(&self, failure: &Failure, pause: Duration) {
        if matches!(failure.kind, FailureKind::Transient { after: Some(_) }) {
            self.gate.close_for(Cause::Advice(failure.clone()), pause);
        }
    }

    /// So many events are tried again, because they failed so.
    fn count(&self, events: usize, failure: &Failure) {
        self.metrics.again(events as u64, failure.kind.name(), &failure.code);
    }

    /// Tried again after a pause, for which it holds no memory but its own.
    fn later(&self, piece: Piece, pause: Duration) -> Result<Piece, Stopped> {
        let envelope = piece.envelope.compact().map_err(|error| self.columns(error))?;
        Ok(Piece::new(envelope, Story { not_before: Some(Instant::now() + pause), ..piece.story }))
    }

    /// Whether nothing may be concluded before the sink has said what it has.
    fn is_unsettled(&self) -> bool {
        self.exactly_once.get().is_some_and(ExactlyOnce::is_unsettled)
    }

    pub(super) async fn written(&self, envelope: Envelope) -> Result<(), Stopped> {
        self.metrics.written_bytes.add(envelope.batch().payload_bytes() as u64);
        self.done(envelope, Final::Written).await
    }

    /// Into the dead letters, durably, before anything is settled. Waits where they are full.
    pub(super) async fn bury(&self, mut piece: Piece, failure: &Failure) -> Result<(), Stopped> {
        if matches!(failure.kind, FailureKind::Rejected | FailureKind::Halted) {
            self.metrics.rejected.add(piece.envelope.accounts_for() as u64);
        }
        let (mut closed, mut revocations) = (None, self.revocations.clone());
        while !piece.envelope.is_empty() {
            let events = piece.envelope.events().map_err(|error| self.columns(error))?;
            let letter = DeadLetter {
                path: &self.path,
                batch: &events,
                failure,
                attempts: piece.story.tally.attempts,
                since: piece.story.began.map(|(_, began)| began),
                range: None,
            };
            match self.dead_letters.put(letter).await {
                Ok(()) => break,
                Err(Unkept::Full { .. }) if defect::on(Defect::SettleBeforeDurable) => break,
                Err(Unkept::Full { .. }) => {
                    // What closed it before holds longer.
                    if self.gate.closed().is_none() {
                        closed = Some(self.gate.close(Cause::DeadLettersFull));
                    }
                    tokio::select! {
                        biased;
                        () = sleep(self.settings.gate.probe) => {}
                        () = revocations.next() => self.give_up_revoked(&mut piece.envelope)?,
                        // Given up, to be read again.
                        () = self.given_up() => return Ok(()),
                    }
                }
                Err(Unkept::Failed { message }) => {
                    return Err(Stopped::DeadLetters { path: self.path.clone(), message });
                }
            }
        }
        if let Some(closed) = closed {
            self.gate.open(closed);
        }
        piece.envelope.settle(Final::DeadLettered);
        Ok(())
    }
}
