//! Writes events to topics of Kafka, by one producer that is idempotent.
//!
//! A batch is handed over to librdkafka as a whole, which puts records together by partition, and counts as written once
//! each record is in all replicas that are in sync. Before a write's time is over its producer is given up with all that it
//! has, so that no copy of an event is sent later: what no broker can have comes again, what one may have is unknown.
//!
//! Topics are not grouped by: one producer writes to any number of them at the same time.
//!
//! Several writes are under way on one producer, which keeps their order. Where events of one are to come again, it is given
//! up too, with those of the writes behind it; the next one begins once all of these have returned.

mod front;
mod message;
mod native;
mod once;
mod outcome;
mod producer;
mod settings;
mod transact;
mod transactional;

use std::iter::Peekable;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::ClientConfig;
use rdkafka::types::RDKafkaErrorCode;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{Connect, Contract, Failure, Outcome, Sink, Turn, WriteContext, WriteError};
use crate::batch::Batch;
use crate::kafka::Connection;
use message::Scratch;
use native::{Flight, Handing, Persisted, Unwritten};
use outcome::{Failures, Meaning, comes_again, meaning};
use producer::Producer;

pub use once::{KafkaLetters, KafkaOnce};
pub use settings::{Compression, Partitioner, Settings, Time, TopicTemplate};

/// Gives the settings of a connection as they are now: a file that they refer to may have changed.
pub type CurrentConnection = Box<dyn Fn() -> Result<Connection, String> + Send + Sync>;

/// Writes under way in order. So many usual batches fill the requests that a producer may have in flight.
const AHEAD: NonZeroUsize = const { NonZeroUsize::new(32).unwrap() };

/// What a sink of Kafka needs to know of its delivery.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long one attempt may take.
    pub timeout: Duration,
    /// Bytes of events that may wait for the sink.
    pub buffer: u64,
    /// Whether all events are to keep their order.
    pub ordered: bool,
}

/// Writes to the topics of one cluster.
pub struct KafkaSink {
    contract: Contract,
    /// In the log.
    name: String,
    settings: Arc<Settings>,
    limits: Limits,
    connection: CurrentConnection,
}

impl KafkaSink {
    /// Nothing is opened yet.
    pub fn new(name: &str, settings: &Settings, limits: Limits, connection: CurrentConnection) -> KafkaSink {
        // All lanes share the producer.
        let contract = Contract { overlap: NonZeroUsize::MAX, ahead: AHEAD, ..Contract::default() };
        KafkaSink { contract, name: name.to_owned(), settings: Arc::new(settings.clone()), limits, connection }
    }

    fn client(&self, connection: &Connection) -> ClientConfig {
        let Settings { properties, compression, partitioner, .. } = &*self.settings;
        let mut client = connection.client(properties);
        let millis = |time: Duration| time.as_millis().clamp(1, i32::MAX as u128).to_string();
        // A topic that is not known yet is waited for, and told as that before the time of the write is over.
        if client.get("topic.metadata.propagation.max.ms").is_none() {
            let wait = (self.limits.timeout * 2 / 3).min(Duration::from_secs(30));
            client.set("topic.metadata.propagation.max.ms", millis(wait));
        }
        // Memory is bounded before, by the queue of the sink. One record has room whatever that is.
        let largest = client.get("message.max.bytes").and_then(|bytes| bytes.parse().ok()).unwrap_or(1_000_000);
        let room = self.limits.buffer.max(largest).div_ceil(1024).min(i32::MAX as u64);
        client
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("message.timeout.ms", millis(self.limits.timeout))
            .set("queue.buffering.max.kbytes", room.to_string())
            .set("queue.buffering.max.messages", "0")
            .set("compression.type", compression.property())
            .set("partitioner", partitioner.property());
        client
    }
}

#[async_trait]
impl Connect for KafkaSink {
    fn contract(&self) -> &Contract {
        &self.contract
    }

    /// Connects to nothing: what is wrong with the cluster is told by the first write.
    async fn open(&self, _: u32) -> Result<Arc<dyn Sink>, Failure> {
        let connection = (self.connection)().map_err(|message| Failure::halted("connection", message))?;
        let client = self.client(&connection);
        let (name, settings, ordered) = (self.name.clone(), self.settings.clone(), self.limits.ordered);
        let producer = Mutex::new(Some(Producer::start(&name, &client, ordered)?));
        Ok(Arc::new(Instance { name, settings, client, ordered, producer, turn: tokio::sync::Mutex::default() }))
    }
}

struct Instance {
    name: String,
    settings: Arc<Settings>,
    client: ClientConfig,
    ordered: bool,
    /// None once it was closed.
    producer: Mutex<Option<Arc<Producer>>>,
    /// Writes hand over one after the other, in the order in which they began.
    turn: tokio::sync::Mutex<Scratch>,
}

impl Instance {
    /// The producer for a write that begins. One that is of no use any more is replaced; where order is kept, only once
    /// all that was handed over to it has come back.
    fn producer(&self) -> Result<Arc<Producer>, Failure> {
        let mut current = self.current();
        match &*current {
            Some(producer) if !producer.is_spent() => Ok(producer.clone()),
            Some(spent) if self.ordered && spent.is_in_use() => {
                let behind = || Failure::transient("behind", "a write before this one has failed");
                Err(spent.why_halted().unwrap_or_else(behind))
            }
            _ => {
                if let Some(spent) = current.take() {
                    spent.retire();
                }
                Ok(current.insert(Producer::start(&self.name, &self.client, self.ordered)?).clone())
            }
        }
    }

    fn current(&self) -> MutexGuard<'_, Option<Arc<Producer>>> {
        self.producer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Sink for Instance {
    async fn write(&self, batch: &Batch, context: &WriteContext) -> Result<Outcome, WriteError> {
        let producer = self.producer()?;
        // Whoever drops the write leaves nothing in the producer.
        let unfinished = RetireOnDrop(&producer);
        // Early enough to hear what became of each event.
        let until = context.deadline - (context.timeout / 10).min(Duration::from_secs(1));
        let (failures, parts) = (Failures::new(), Vec::new());
        let turn = &context.turn;
        let mut write = Write { instance: self, producer: &producer, batch, until, turn, failures, parts };
        write.send(0..batch.len() as u32).await;
        while let Some(part) = write.parts.pop() {
            write.send(part.iter().copied()).await;
        }
        std::mem::forget(unfinished);
        write.failures.outcome(batch.len(), producer.why_halted())
    }

    async fn close(&self) -> Result<(), Failure> {
        let Some(producer) = self.current().take() else { return Ok(()) };
        let mut ended = producer.ended();
        producer.retire();
        drop(producer);
        // Whoever could say so is gone itself.
        ended.wait_for(|ended| *ended).await.ok();
        Ok(())
    }
}

impl Drop for Instance {
    /// Not closed: it was lost.
    fn drop(&mut self) {
        if let Some(producer) = self.current().take() {
            producer.retire();
        }
    }
}

struct RetireOnDrop<'a>(&'a Producer);

impl Drop for RetireOnDrop<'_> {
    fn drop(&mut self) {
        self.0.retire();
    }
}

/// One write, until it is known what became of each event.
struct Write<'a> {
    instance: &'a Instance,
    producer: &'a Producer,
    batch: &'a Batch,
    /// When the producer is given up.
    until: Instant,
    /// To end once all is handed over.
    turn: &'a Turn,
    failures: Failures,
    /// Events to be sent again, by themselves.
    parts: Vec<Vec<u32>>,
}

impl Write<'_> {
    /// Hands events over, and waits until each is reported.
    async fn send(&mut self, rows: impl Iterator<Item = u32>) {
        let mut rows = rows.peekable();
        let mut unwritten = Vec::new();
        let flight = self.hand_over(&mut rows, &mut unwritten).await;
        self.turn.end();
        if let Some(flight) = flight {
            unwritten.extend(self.land(&flight).await);
        }
        // There was no room for them.
        unwritten.extend(rows.map(|row| Unwritten {
            row,
            code: RDKafkaErrorCode::PurgeQueue,
            persisted: Persisted::No,
        }));
        self.failures.because(self.producer.last_error());
        let mut together = Vec::new();
        for one in unwritten {
            match meaning(one.code) {
                Meaning::Together => together.push(one),
                _ => self.failures.unwritten(one),
            }
        }
        match together.as_slice() {
            &[alone] => self.failures.unwritten(alone),
            // A broker refuses all that it got together, because of one: that one is found by halves.
            several => {
                let halves = several.split_at(several.len() / 2);
                let parts = [halves.1, halves.0].into_iter().filter(|half| !half.is_empty());
                self.parts.extend(parts.map(|half| half.iter().map(|one| one.row).collect()));
            }
        }
    }

    /// Leaves those for which there is no room within the time, or no producer.
    async fn hand_over(
        &mut self,
        rows: &mut Peekable<impl Iterator<Item = u32>>,
        unwritten: &mut Vec<Unwritten>,
    ) -> Option<Arc<Flight>> {
        let mut scratch = timeout_at(self.until, self.instance.turn.lock()).await.ok()?;
        if self.producer.is_spent() {
            return None;
        }
        let mut handing = self.producer.enter(self.batch.clone());
        while self.hand_over_some(rows, unwritten, &mut scratch, &mut handing) {
            if timeout_at(self.until, self.producer.room()).await.is_err() {
                break;
            }
        }
        if self.instance.ordered && (rows.peek().is_some() || unwritten.iter().any(comes_again)) {
            // Before anybody else has the turn.
            self.producer.retire();
        }
        Some(handing.flight().clone())
    }

    /// Hands over while there is room; whether that is missing.
    fn hand_over_some(
        &mut self,
        rows: &mut Peekable<impl Iterator<Item = u32>>,
        unwritten: &mut Vec<Unwritten>,
        scratch: &mut Scratch,
        handing: &mut Handing,
    ) -> bool {
        let Some(_open) = self.producer.keep_open() else { return false };
        while let Some(&row) = rows.peek() {
            match scratch.message(&self.instance.settings, self.batch, row as usize) {
                Ok(mut message) => match handing.produce(row as usize, &mut message) {
                    Ok(()) => {}
                    Err(RDKafkaErrorCode::QueueFull) => return true,
                    Err(code) => unwritten.push(Unwritten { row, code, persisted: Persisted::No }),
                },
                Err(failure) => self.failures.add(row, failure),
            }
            rows.next();
        }
        false
    }

    /// Waits until each message is reported. When time is up, or nothing can be written, the producer is given up.
    async fn land(&self, flight: &Flight) -> Vec<Unwritten> {
        tokio::select! {
            biased;
            unwritten = flight.landed() => return unwritten,
            _ = self.producer.halted() => {}
            () = sleep_until(self.until) => {
                tracing::warn!(client = self.instance.name, "events are late: the producer is given up with all it has");
            }
        }
        self.producer.retire();
        flight.landed().await
    }
}
