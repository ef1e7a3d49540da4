//! Calls that begin before those ahead of them have ended: of a sink that keeps their order itself.
//!
//! They stand in a line. Each begins once the sink was handed the events of the one before. When some of one are not
//! written, no other begins: those under way end, what is known of them is judged, and what is left is delivered in
//! order, one call at a time. Then the line goes on.

use std::pin::pin;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{Mutex, watch};

use super::Stopped;
use super::gate::Pass;
use super::instances::Answer;
use super::lane::{Batches, Lane, Piece, Round, Story};
use crate::defect::{self, Defect};
use crate::envelope::Flight;
use crate::sink::{Outcome, Turn};

/// What the calls of a line share.
#[derive(Default)]
struct Line {
    /// Whose turn it is to begin. They get it in the order in which they came.
    turn: Mutex<()>,
    /// Some events are not written: nobody begins before they are final.
    held: watch::Sender<bool>,
}

impl Line {
    fn is_held(&self) -> bool {
        *self.held.borrow()
    }

    async fn held(&self) {
        // It says so itself: there is always somebody who could.
        self.held.subscribe().wait_for(|held| *held).await.ok();
    }

    fn hold(&self) {
        if !defect::on(Defect::AheadGoesOn) {
            self.held.send_replace(true);
        }
    }
}

/// What came of a batch in the line.
struct Ended {
    /// Its place among all.
    number: u64,
    piece: Piece,
    pass: Pass,
    /// None where there was no call, or it was given up.
    attempted: Option<(Answer, Flight)>,
}

impl Ended {
    fn is_written(&self) -> bool {
        matches!(self.attempted, Some((Answer::Outcome(Outcome::Written), _)))
    }
}

impl Lane {
    /// How many calls may be under way in order.
    pub(super) fn ahead(&self) -> usize {
        let contract = &self.shared.contract;
        match self.shared.settings.concurrency.most().get() {
            1 => contract.ahead.min(contract.overlap).get(),
            _ => 1,
        }
    }

    /// Batch after batch, with so many calls under way at most.
    pub(super) async fn deliver_ahead(&self, most: usize, batches: &mut impl Batches) -> Result<(), Stopped> {
        let line = Line::default();
        let mut calls = FuturesUnordered::new();
        let (mut left, mut more, mut number) = (Vec::new(), true, 0);
        loop {
            tokio::select! {
                // Nobody joins the line before those in it have come as far as they get.
                biased;
                Some(ended) = calls.next() => left.extend(self.settle(ended?).await?),
                batch = batches.next_batch(), if more && calls.len() < most && !line.is_held() => match batch? {
                    Some(batch) => {
                        calls.push(self.stand_in_line(&line, number, Piece::new(batch, Story::default())));
                        number += 1;
                    }
                    None => more = false,
                },
                else => return Ok(()),
            }
            if calls.is_empty() && !left.is_empty() {
                self.catch_up(std::mem::take(&mut left)).await?;
                line.held.send_replace(false);
            }
        }
    }

    /// What is written as a whole is final, whatever becomes of what is ahead of it. Gives back what is not.
    async fn settle(&self, mut ended: Ended) -> Result<Option<Ended>, Stopped> {
        if !ended.is_written() {
            return Ok((!ended.piece.envelope.is_empty()).then_some(ended));
        }
        if let Some((answer, flight)) = ended.attempted.take() {
            let mut round = Round::new(ended.piece.envelope.len(), ended.pass);
            self.judge(ended.piece, answer, &mut round).await?;
            drop(flight);
        }
        Ok(None)
    }

    /// Everything that has stood in the line is final afterwards, or was left because time is up.
    async fn catch_up(&self, mut left: Vec<Ended>) -> Result<(), Stopped> {
        left.sort_unstable_by_key(|ended| ended.number);
        let (mut rounds, mut behind) = (Vec::new(), false);
        for Ended { piece, pass, attempted, .. } in left {
            let mut round = Round::new(piece.envelope.len(), pass);
            let is_behind = behind;
            behind |= attempted.as_ref().is_none_or(|(answer, _)| answer.comes_again(piece.envelope.len()));
            match attempted.filter(|(answer, _)| !(is_behind && answer.is_in_vain())) {
                Some((answer, flight)) => {
                    self.judge(piece, answer, &mut round).await?;
                    drop(flight);
                }
                // It did not begin, or the sink left it out because of one ahead of it: that is not charged.
                None => round.left.push_back(Piece::new(piece.envelope, Story::default())),
            }
            rounds.push(round);
        }
        self.shared.instances.close_left(self.shared.settings.timeout).await;
        for round in rounds {
            self.go_on(round).await?;
        }
        Ok(())
    }

    async fn stand_in_line(&self, line: &Line, number: u64, mut piece: Piece) -> Result<Ended, Stopped> {
        let mut pass = Pass::default();
        let attempted = tokio::select! {
            biased;
            attempted = self.attempt_in_turn(line, &mut piece, &mut pass) => attempted?,
            () = self.shared.given_up() => None,
        };
        let ended = Ended { number, piece, pass, attempted };
        if !ended.is_written() && !ended.piece.envelope.is_empty() {
            // At once: whoever has the next turn sees it.
            line.hold();
        }
        Ok(ended)
    }

    /// None where the line is held, or nothing is left of the batch: its partitions were taken away.
    async fn attempt_in_turn(
        &self,
        line: &Line,
        piece: &mut Piece,
        pass: &mut Pass,
    ) -> Result<Option<(Answer, Flight)>, Stopped> {
        let mine = line.turn.lock().await;
        let flight = tokio::select! {
            biased;
            () = line.held() => {
                // It may have been let in already.
                self.shared.gate.forgo(*pass);
                return Ok(None);
            }
            flight = self.turn(piece, pass) => flight?,
        };
        let Some(flight) = flight else { return Ok(None) };
        let handed_over = Turn::default();
        let mut call = pin!(self.call(piece, handed_over.clone()));
        let ended = tokio::select! {
            biased;
            answer = &mut call => Some(answer),
            () = handed_over.over() => None,
        };
        drop(mine);
        let answer = match ended {
            Some(answer) => answer,
            None => call.await,
        };
        Ok(Some((answer, flight)))
    }
}
