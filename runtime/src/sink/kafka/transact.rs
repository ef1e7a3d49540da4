//! One write, which is one transaction: its records count together with positions of a group, or not at all.

use std::iter::Peekable;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::types::RDKafkaErrorCode as Code;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::message::Scratch;
use super::native::{Flight, Handing, Trouble, Unwritten};
use super::once::{Positions, Shared};
use super::outcome::{self, Meaning, meaning};
use super::producer::Producer;
use super::settings::Settings;
use super::transactional::Transactional;
use crate::batch::{Batch, RowSet};
use crate::sink::{Failure, FailureKind, Outcome, Refusal, WriteContext, WriteError};

/// One write.
pub(super) struct Write<'a> {
    pub(super) shared: &'a Shared,
    /// Where the records go.
    pub(super) settings: &'a Settings,
    pub(super) batch: &'a Batch,
    /// When it is aborted.
    pub(super) until: Instant,
    /// When nothing more is waited for.
    pub(super) end: Instant,
}

impl Write<'_> {
    /// When these are for a write with a deadline.
    pub(super) fn times(context: &WriteContext) -> (Instant, Instant) {
        let before_the_end = |most: Duration, share: u32| context.deadline - (context.timeout / share).min(most);
        // Early enough to end what is late, and to hear of that.
        (before_the_end(Duration::from_secs(5), 4), before_the_end(Duration::from_millis(250), 20))
    }
}

/// The first events, up to one that can't be written, for this reason.
type Part = (usize, Option<Failure>);

/// Why nothing more is handed over for now.
enum Pause {
    Full,
    Done(Part),
    Failed(Code),
}

impl Write<'_> {
    /// `positions` says which count together with the first so many records.
    pub(super) async fn transact<'p>(
        &self,
        transactional: &mut Transactional,
        scratch: &mut Scratch,
        positions: impl FnOnce(usize) -> Option<Positions<'p>>,
    ) -> Result<Outcome, WriteError> {
        let prepared = match transactional.begin() {
            Ok(()) => self.prepare(transactional, scratch, positions).await,
            Err(trouble) => Err(self.failed(transactional, &trouble)),
        };
        let (rows, refused) = match prepared {
            Ok(part) => part,
            Err(error) => return Err(self.abort(transactional, error).await),
        };
        if let Err(trouble) = transactional.commit(self.end).await {
            transactional.give_up();
            if transactional.is_superseded(Some(&trouble)) {
                return Err(self.shared.superseded());
            }
            let message = format!("whether the transaction counts is not known: {}", trouble.message);
            return Err(Failure::unknown("no-answer", message).into());
        }
        let Some(failure) = refused else { return Ok(Outcome::Written) };
        let refusal = Refusal { rows: RowSet::range(rows..rows + 1), failure };
        Ok(Outcome::new(self.batch.len(), vec![refusal], Some(rows as u32 + 1))?)
    }

    /// Everything that is to count. What is in the transaction when it fails may be anything.
    async fn prepare<'p>(
        &self,
        transactional: &Transactional,
        scratch: &mut Scratch,
        positions: impl FnOnce(usize) -> Option<Positions<'p>>,
    ) -> Result<Part, WriteError> {
        let producer = transactional.producer();
        let (flight, (rows, refused)) = self.hand_over(producer, scratch).await?;
        let unwritten = self.land(producer, &flight).await?;
        if let Some(failure) = why(&unwritten, rows, producer.last_error()) {
            return Err(failure.into());
        }
        let Some(Positions { events, next }) = positions(rows) else { return Ok((rows, refused)) };
        let Some(pledge) = self.shared.membership.pledge(events.into_iter(), next.into_iter()) else {
            return Err(Failure::transient("not-held", "partitions of its events are going to another process").into());
        };
        if pledge.positions().count() > 0
            && let Err(trouble) = transactional.store(pledge, self.until).await
        {
            return Err(self.failed(transactional, &trouble));
        }
        Ok((rows, refused))
    }

    /// Hands over what comes before the first event that can't be a message.
    async fn hand_over(&self, producer: &Producer, scratch: &mut Scratch) -> Result<(Arc<Flight>, Part), WriteError> {
        let mut handing = producer.enter(self.batch.clone());
        let mut rows = (0..self.batch.len()).peekable();
        loop {
            match self.hand_over_some(producer, &mut rows, scratch, &mut handing) {
                Pause::Done(part) => return Ok((handing.flight().clone(), part)),
                Pause::Failed(code) => return Err(transient(code, producer.last_error()).into()),
                Pause::Full if timeout_at(self.until, producer.room()).await.is_ok() => {}
                Pause::Full => return Err(transient(Code::PurgeQueue, producer.last_error()).into()),
            }
        }
    }

    fn hand_over_some(
        &self,
        producer: &Producer,
        rows: &mut Peekable<impl Iterator<Item = usize>>,
        scratch: &mut Scratch,
        handing: &mut Handing,
    ) -> Pause {
        let Some(_open) = producer.keep_open() else { return Pause::Failed(Code::PurgeQueue) };
        while let Some(&row) = rows.peek() {
            let mut message = match scratch.message(self.settings, self.batch, row) {
                Ok(message) => message,
                Err(failure) => return Pause::Done((row, Some(failure))),
            };
            match handing.produce(row, &mut message) {
                Ok(()) => {}
                Err(Code::QueueFull) => return Pause::Full,
                Err(code) => match meaning(code) {
                    Meaning::Rejected | Meaning::Together => {
                        let failure = outcome::failure(FailureKind::Rejected, code, None);
                        return Pause::Done((row, Some(failure)));
                    }
                    Meaning::Unwritten | Meaning::Halted => return Pause::Failed(code),
                },
            }
            rows.next();
        }
        Pause::Done((self.batch.len(), None))
    }

    /// Waits until each message is reported, and gives those that are not written.
    async fn land(&self, producer: &Producer, flight: &Flight) -> Result<Vec<Unwritten>, WriteError> {
        tokio::select! {
            biased;
            unwritten = flight.landed() => Ok(unwritten),
            () = producer.halted() => Err(producer.why_halted().unwrap_or_else(|| transient(Code::PurgeQueue, None)).into()),
            () = sleep_until(self.until) => Err(transient(Code::PurgeQueue, producer.last_error()).into()),
        }
    }

    /// Nothing of the transaction counts, for this reason. Its producer is given up: behind messages that failed librdkafka
    /// goes on with numbers that brokers don't expect, which would cost the next transaction too.
    async fn abort(&self, transactional: &Transactional, error: WriteError) -> WriteError {
        let aborted = match transactional.is_spent() || matches!(error, WriteError::Superseded(_)) {
            false => transactional.abort(self.end).await.err(),
            true => None,
        };
        transactional.give_up();
        if let Some(trouble) = &aborted {
            tracing::debug!(client = self.shared.sink.name, ?trouble, "a transaction is left to the next producer");
        }
        match transactional.is_superseded(aborted.as_ref()) {
            true => self.shared.superseded(),
            false => error,
        }
    }

    /// Why a step before the commit failed.
    fn failed(&self, transactional: &Transactional, trouble: &Trouble) -> WriteError {
        match transactional.is_superseded(Some(trouble)) {
            true => self.shared.superseded(),
            false => transactional.failure(trouble).into(),
        }
    }
}

fn transient(code: Code, last_error: Option<String>) -> Failure {
    outcome::failure(FailureKind::Transient { after: None }, code, last_error.as_deref())
}

/// Why a transaction of so many messages can't be what it should, if some of them are not written.
///
/// Where one of several will never be, they are all refused: the delivery finds it by halves.
fn why(unwritten: &[Unwritten], messages: usize, last_error: Option<String>) -> Option<Failure> {
    let first = unwritten.first()?;
    let of = |meant: &[Meaning]| unwritten.iter().find(|one| meant.contains(&meaning(one.code)));
    let halted = unwritten.iter().filter(|one| meaning(one.code) == Meaning::Halted).count();
    let failure = |kind, code| outcome::failure(kind, code, None);
    Some(match (of(&[Meaning::Rejected, Meaning::Together]), of(&[Meaning::Halted])) {
        (Some(one), _) => failure(FailureKind::Rejected, one.code),
        (None, Some(one)) if halted == messages => failure(FailureKind::Halted, one.code),
        // One topic of several can't halt the sink.
        (None, Some(one)) => failure(FailureKind::Rejected, one.code),
        (None, None) => transient(first.code, last_error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::kafka::native::Persisted;

    fn kind(codes: &[Code], messages: usize) -> Option<&'static str> {
        let one =
            |(row, code): (usize, &Code)| Unwritten { row: row as u32, code: *code, persisted: Persisted::Perhaps };
        let unwritten: Vec<Unwritten> = codes.iter().enumerate().map(one).collect();
        why(&unwritten, messages, None).map(|failure| failure.kind.name())
    }

    #[test]
    fn what_is_aborted_is_never_unknown() {
        assert_eq!(kind(&[], 3), None);
        assert_eq!(kind(&[Code::PurgeInflight], 3), Some("transient"));
        assert_eq!(kind(&[Code::PurgeInflight, Code::MessageSizeTooLarge], 3), Some("rejected"));
    }

    #[test]
    fn one_topic_of_several_does_not_halt_the_sink() {
        assert_eq!(kind(&[Code::TopicAuthorizationFailed; 2], 2), Some("halted"));
        assert_eq!(kind(&[Code::TopicAuthorizationFailed; 2], 3), Some("rejected"));
    }
}
