//! Each event exactly once: a batch and the positions of the source's group after it are one transaction.
//!
//! The group has the positions, wherever its partitions are. So nothing is stored here: a source begins at what the group
//! has, which waits for the transactions that would change it, and what this sink says that it has is what the group says.
//!
//! Brokers know writers by their transactional id: whoever starts with one ends what was under way under it, so that what a
//! write has left behind, here or in a process that was killed, is over before anything is asked or written. Who may store
//! positions of a partition they know by the group: see [`Membership`].

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::ClientConfig;
use rdkafka::types::RDKafkaErrorCode as Code;
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::KafkaSink;
use super::message::Scratch;
use super::native::{Flight, Handing, Trouble, Unwritten};
use super::outcome::{self, Meaning, meaning};
use super::producer::Producer;
use super::transactional::Transactional;
use crate::batch::{Batch, Partition, RowSet};
use crate::kafka::Membership;
use crate::sink::{Connect, Contract, Failure, FailureKind, Outcome, Refusal, Sink, WriteContext, WriteError};

/// Brokers know no shorter transaction.
const SHORTEST: Duration = Duration::from_secs(1);

/// Writes each batch in a transaction, with the positions of a group.
pub struct KafkaOnce {
    contract: Contract,
    shared: Arc<Shared>,
}

struct Shared {
    sink: KafkaSink,
    /// The configuration's `instance`, which no other process may have.
    instance: String,
    /// The same for this sink wherever the process is started again, and for no other.
    transactional_id: String,
    membership: Arc<Membership>,
    current: Mutex<Current>,
}

/// One transaction at a time.
#[derive(Default)]
struct Current {
    /// Taken out while a transaction is under way, and not put back where it can't be used any more.
    producer: Option<Transactional>,
    scratch: Scratch,
    /// The partitions of which positions were sent last.
    asked: Vec<String>,
}

impl KafkaOnce {
    /// What a sink writes, together with the positions of its source. `instance` tells this process from others that do
    /// the same.
    pub fn new(sink: KafkaSink, instance: &str, membership: Arc<Membership>) -> KafkaOnce {
        let transactional_id = format!("{instance}:{}", sink.name);
        let shared =
            Shared { sink, instance: instance.to_owned(), transactional_id, membership, current: Mutex::default() };
        KafkaOnce { contract: Contract::default(), shared: Arc::new(shared) }
    }
}

#[async_trait]
impl Connect for KafkaOnce {
    fn contract(&self) -> &Contract {
        &self.contract
    }

    /// Connects to nothing, as there is one producer for all instances.
    async fn open(&self, _: u32) -> Result<Arc<dyn Sink>, Failure> {
        Ok(Arc::new(Instance(self.shared.clone())))
    }

    /// A new producer ends what the last one has left. Of partitions of which nothing was written here nothing is said: the
    /// source begins where the group says.
    async fn stored(&self, _: &BTreeMap<Partition, u64>) -> Result<BTreeMap<Partition, u64>, Failure> {
        let (shared, until) = (&self.shared, Instant::now() + self.shared.sink.limits.timeout);
        let mut current = shared.current.lock().await;
        current.producer = None;
        current.producer = Some(shared.start(until).await?);
        if current.asked.is_empty() {
            return Ok(BTreeMap::new());
        }
        let (membership, asked) = (shared.membership.clone(), current.asked.clone());
        let within = until.saturating_duration_since(Instant::now());
        let answer = spawn_blocking(move || membership.committed(&asked, within)).await;
        let failed = |message: String| Failure::transient("positions", message);
        match answer.map_err(|error| failed(error.to_string()))? {
            Some(Ok(committed)) => Ok(committed.into_iter().map(|(name, at)| (Partition::new(name), at)).collect()),
            Some(Err(error)) => Err(failed(format!("the group does not say what it has: {error}"))),
            None => Err(failed("the source is no member of its group at the moment".into())),
        }
    }
}

impl Shared {
    async fn start(&self, until: Instant) -> Result<Transactional, Failure> {
        let timeout = self.sink.limits.timeout.max(SHORTEST);
        let connection = (self.sink.connection)().map_err(|message| Failure::halted("connection", message))?;
        let mut client: ClientConfig = self.sink.client(&connection);
        client
            .set("transactional.id", &self.transactional_id)
            .set("transaction.timeout.ms", timeout.as_millis().to_string());
        Transactional::start(&self.sink.name, &client, timeout, until).await
    }

    fn superseded(&self) -> WriteError {
        let message = format!(
            "another process has begun to write with `instance = \"{}\"`: give each process its own",
            self.instance
        );
        WriteError::Superseded(Failure::halted("superseded", message))
    }
}

struct Instance(Arc<Shared>);

#[async_trait]
impl Sink for Instance {
    async fn write(&self, batch: &Batch, context: &WriteContext) -> Result<Outcome, WriteError> {
        let shared = &*self.0;
        let before_the_end = |most: Duration, share: u32| context.deadline - (context.timeout / share).min(most);
        // Early enough to end what is late, and to hear of that.
        let (until, end) = (before_the_end(Duration::from_secs(5), 4), before_the_end(Duration::from_millis(250), 20));
        let mut current = shared.current.lock().await;
        let Current { producer, scratch, asked } = &mut *current;
        // Whoever drops the write leaves nothing to go on with.
        let mut transactional = match producer.take().filter(|producer| !producer.is_spent()) {
            Some(transactional) => transactional,
            None => shared.start(until).await?,
        };
        let done = Write { shared, batch, context, until, end }.transact(&mut transactional, scratch, asked).await;
        if !transactional.is_spent() {
            *producer = Some(transactional);
        }
        done
    }

    async fn close(&self) -> Result<(), Failure> {
        let producer = self.0.current.lock().await.producer.take();
        if let Some(producer) = producer {
            producer.close().await;
        }
        Ok(())
    }
}

/// One write, which is one transaction.
struct Write<'a> {
    shared: &'a Shared,
    batch: &'a Batch,
    context: &'a WriteContext,
    /// When it is aborted.
    until: Instant,
    /// When nothing more is waited for.
    end: Instant,
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
    async fn transact(
        &self,
        transactional: &mut Transactional,
        scratch: &mut Scratch,
        asked: &mut Vec<String>,
    ) -> Result<Outcome, WriteError> {
        let prepared = match transactional.begin() {
            Ok(()) => self.prepare(transactional, scratch, asked).await,
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
    async fn prepare(
        &self,
        transactional: &Transactional,
        scratch: &mut Scratch,
        asked: &mut Vec<String>,
    ) -> Result<Part, WriteError> {
        let producer = transactional.producer();
        let (flight, (rows, refused)) = self.hand_over(producer, scratch).await?;
        let unwritten = self.land(producer, &flight).await?;
        if let Some(failure) = why(&unwritten, rows, producer.last_error()) {
            return Err(failure.into());
        }
        let Some(next) = &self.context.next else { return Ok((rows, refused)) };
        let origin = self.batch.origin();
        let next = if rows == self.batch.len() { next.after_all().clone() } else { next.after(origin, rows) };
        let events = origin.spans().map(|(rows, partition)| {
            (origin.partitions()[partition as usize].as_str(), origin.positions()[rows.start])
        });
        let after = next.iter().map(|(partition, position)| (partition.as_str(), *position));
        let Some(pledge) = self.shared.membership.pledge(events, after) else {
            return Err(Failure::transient("not-held", "partitions of its events are going to another process").into());
        };
        *asked = next.keys().map(Partition::to_string).collect();
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
            let mut message = match scratch.message(&self.shared.sink.settings, self.batch, row) {
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
