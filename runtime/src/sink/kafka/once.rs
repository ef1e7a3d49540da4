//! Each event exactly once: a batch and the positions of the source's group after it are one transaction.
//!
//! The group has the positions, wherever its partitions are. So nothing is stored here: a source begins at what the group
//! has, which waits for the transactions that would change it, and what this sink says that it has is what the group says.
//!
//! Brokers know writers by their transactional id: whoever starts with one ends what was under way under it, so that what a
//! write has left behind, here or in a process that was killed, is over before anything is asked or written. Who may store
//! positions of a partition they know by the group: see [`Membership`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::ClientConfig;
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::KafkaSink;
use super::front::Front;
use super::message::Scratch;
use super::transact::Write;
use super::transactional::Transactional;
use crate::batch::{Batch, Origin, Partition};
use crate::kafka::Membership;
use crate::sink::{Connect, Contract, Failure, Outcome, Sink, WriteContext, WriteError};

/// Brokers know no shorter transaction.
const SHORTEST: Duration = Duration::from_secs(1);

/// Writes each batch in a transaction, with the positions of a group. Cloning gives the same.
#[derive(Clone)]
pub struct KafkaOnce {
    contract: Contract,
    shared: Arc<Shared>,
}

/// Writes dead letters of such a sink by its producer: each in a transaction that takes the group past its event.
///
/// That is so for the events that the sink was about to write. Others may be passed only later, by the sink itself.
pub struct KafkaLetters {
    contract: Contract,
    sink: Arc<KafkaSink>,
    /// What partitions of letters are called before the name of the event's own.
    prefix: String,
    shared: Arc<Shared>,
}

/// Positions that count together with records, by partition.
pub(super) struct Positions<'a> {
    /// Those of the records' events.
    pub(super) events: Vec<(&'a str, u64)>,
    /// Where partitions go on.
    pub(super) next: Vec<(&'a str, u64)>,
}

pub(super) struct Shared {
    pub(super) sink: KafkaSink,
    /// The configuration's `instance`, which no other process may have.
    instance: String,
    /// The same for this sink wherever the process is started again, and for no other.
    transactional_id: String,
    pub(super) membership: Arc<Membership>,
    current: Mutex<Current>,
}

/// One transaction at a time.
#[derive(Default)]
struct Current {
    /// Taken out while a transaction is under way, and not put back where it can't be used any more.
    producer: Option<Transactional>,
    scratch: Scratch,
    /// The partitions of which positions were to be stored last.
    asked: Vec<String>,
    front: Front,
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

    /// The same for its dead letters, which are in partitions whose names begin with `prefix`, and go where `sink` says.
    pub fn letters(&self, sink: KafkaSink, prefix: String) -> KafkaLetters {
        KafkaLetters { contract: Contract::default(), sink: Arc::new(sink), prefix, shared: self.shared.clone() }
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
        let asked = current.asked.clone();
        let stored = if asked.is_empty() { BTreeMap::new() } else { shared.committed(asked, until).await? };
        current.front.pass(stored.iter().map(|(name, position)| (name.as_str(), *position)));
        Ok(stored.into_iter().map(|(name, position)| (Partition::new(name), position)).collect())
    }
}

#[async_trait]
impl Connect for KafkaLetters {
    fn contract(&self) -> &Contract {
        &self.contract
    }

    async fn open(&self, _: u32) -> Result<Arc<dyn Sink>, Failure> {
        let (sink, prefix, shared) = (self.sink.clone(), self.prefix.clone(), self.shared.clone());
        Ok(Arc::new(LettersInstance { sink, prefix, shared }))
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
        // A transaction waits for its last records, behind which none come.
        if client.get("linger.ms").is_none() {
            client.set("linger.ms", "1");
        }
        Transactional::start(&self.sink.name, &client, timeout, until).await
    }

    /// What the group has of some partitions.
    async fn committed(&self, names: Vec<String>, until: Instant) -> Result<BTreeMap<String, u64>, Failure> {
        let (membership, within) = (self.membership.clone(), until.saturating_duration_since(Instant::now()));
        let answer = spawn_blocking(move || membership.committed(&names, within)).await;
        let failed = |message: String| Failure::transient("positions", message);
        match answer.map_err(|error| failed(error.to_string()))? {
            Some(Ok(committed)) => Ok(committed),
            Some(Err(error)) => Err(failed(format!("the group does not say what it has: {error}"))),
            None => Err(failed("the source is no member of its group at the moment".into())),
        }
    }

    /// The producer for a transaction. Whoever drops it leaves nothing to go on with.
    async fn producer(&self, kept: &mut Option<Transactional>, until: Instant) -> Result<Transactional, Failure> {
        match kept.take().filter(|producer| !producer.is_spent()) {
            Some(transactional) => Ok(transactional),
            None => self.start(until).await,
        }
    }

    pub(super) fn superseded(&self) -> WriteError {
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
        let (shared, (until, end)) = (&*self.0, Write::times(context));
        let mut current = shared.current.lock().await;
        let Current { producer, scratch, asked, front } = &mut *current;
        front.begin(batch.origin());
        let mut transactional = shared.producer(producer, until).await?;
        let write = Write { shared, settings: &shared.sink.settings, batch, until, end };
        let (mut stored, origin) = (BTreeMap::new(), batch.origin());
        let next = &mut stored;
        let done = write
            .transact(&mut transactional, scratch, move |rows| {
                let after = context.next.as_ref()?;
                *next = if rows == batch.len() { after.after_all().clone() } else { after.after(origin, rows) };
                *asked = next.keys().map(Partition::to_string).collect();
                let next = next.iter().map(|(partition, position)| (partition.as_str(), *position)).collect();
                Some(Positions { events: firsts(origin).collect(), next })
            })
            .await;
        if !transactional.is_spent() {
            *producer = Some(transactional);
        }
        match &done {
            Ok(Outcome::Written) => front.wrote(batch.len()),
            Ok(Outcome::Partial { stopped_at, .. }) => front.wrote(stopped_at.saturating_sub(1)),
            Err(_) => {}
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

/// The first event of each run of one partition.
fn firsts(origin: &Origin) -> impl Iterator<Item = (&str, u64)> {
    let first = |(rows, partition): (std::ops::Range<usize>, u32)| {
        (origin.partitions()[partition as usize].as_str(), origin.positions()[rows.start])
    };
    origin.spans().map(first)
}

struct LettersInstance {
    sink: Arc<KafkaSink>,
    prefix: String,
    shared: Arc<Shared>,
}

impl LettersInstance {
    /// The events of the first letters.
    fn events<'a>(&'a self, letters: &'a Origin, rows: usize) -> impl Iterator<Item = (&'a str, u64)> {
        (0..rows).map(|row| {
            let name = letters.partition_of(row).as_str();
            (name.strip_prefix(&self.prefix).unwrap_or(name), letters.positions()[row])
        })
    }

    /// Whether the group has passed the events of all: then an earlier attempt has done so, with the letters.
    async fn are_kept(&self, letters: &Origin, front: &mut Front, until: Instant) -> Result<bool, Failure> {
        let names = letters.partitions().iter().filter_map(|name| name.as_str().strip_prefix(&self.prefix));
        let committed = self.shared.committed(names.map(str::to_owned).collect(), until).await?;
        let passed = |(name, position)| committed.get(name).is_some_and(|next| *next > position);
        let kept = self.events(letters, letters.len()).all(passed);
        front.pass(committed.iter().map(|(name, position)| (name.as_str(), *position)));
        Ok(kept)
    }
}

#[async_trait]
impl Sink for LettersInstance {
    async fn write(&self, batch: &Batch, context: &WriteContext) -> Result<Outcome, WriteError> {
        let (shared, letters, (until, end)) = (&*self.shared, batch.origin(), Write::times(context));
        let mut current = shared.current.lock().await;
        let Current { producer, scratch, front, .. } = &mut *current;
        let mut transactional = shared.producer(producer, until).await?;
        if context.attempt > 1 && self.are_kept(letters, front, until).await? {
            *producer = Some(transactional);
            return Ok(Outcome::Written);
        }
        let write = Write { shared, settings: &self.sink.settings, batch, until, end };
        let (mut passed, left) = (BTreeMap::new(), &*front);
        let after = &mut passed;
        let done = write
            .transact(&mut transactional, scratch, move |rows| {
                *after = left.after(self.events(letters, rows))?;
                let events = after.iter().map(|(name, (first, _))| (*name, *first)).collect();
                let next = after.iter().map(|(name, (_, next))| (*name, *next)).collect();
                Some(Positions { events, next })
            })
            .await;
        if !transactional.is_spent() {
            *producer = Some(transactional);
        }
        if done.is_ok() {
            front.pass(passed.into_iter().map(|(name, (_, next))| (name, next)));
        }
        done
    }
}
