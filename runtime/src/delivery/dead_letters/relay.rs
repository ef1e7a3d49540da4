//! Dead letters to a sink of the same pipeline, through its ordinary delivery.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow_array::{BinaryArray, TimestampMillisecondArray, UInt64Array};
use arrow_schema::ArrowError;
use async_trait::async_trait;
use tokio::sync::watch;

use super::record::{self, Past};
use super::{DeadLetter, DeadLetters, Segments, Unkept};
use crate::batch::{Batch, Origin, Partition};
use crate::delivery::{Delivery, Gate, Queue};
use crate::envelope::{Ledger, PathName};
use crate::metrics::SinkMetrics;

/// Hands dead letters to a sink, as the lines that the files would have. When it is dropped nothing more comes, and the
/// delivery of the sink ends.
///
/// A letter is final once the sink has written it. What the sink can't take, and what is left when time is up, goes to
/// the files: the first as the sink's own dead letter, the second as it is.
#[derive(Debug)]
pub struct Relay {
    path: PathName,
    source: Arc<str>,
    queue: Queue,
    gate: Gate,
    metrics: Arc<SinkMetrics>,
    files: Segments,
    waiting: Arc<AtomicUsize>,
    give_up: watch::Receiver<bool>,
}

/// What is to be seen of a relay. It does not keep the relay alive.
#[derive(Clone, Debug)]
pub struct RelayView {
    gate: Gate,
    waiting: Arc<AtomicUsize>,
}

impl RelayView {
    /// Whether somebody waits for a dead letter that a closed gate holds back.
    pub fn is_stuck(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0 && self.gate.closed().is_some()
    }
}

/// Says that somebody waits, until it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Waiting<'a> {
        count.fetch_add(1, Ordering::Relaxed);
        Waiting(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Relay {
    /// To the sink of a delivery, which has to count by the same metrics. `files` takes what is left when time is up.
    pub fn new(
        path: PathName,
        source: Arc<str>,
        delivery: &Delivery,
        metrics: Arc<SinkMetrics>,
        files: Segments,
        give_up: watch::Receiver<bool>,
    ) -> Relay {
        let (queue, gate) = (delivery.queue().clone(), delivery.gate());
        Relay { path, source, queue, gate, metrics, files, waiting: Arc::default(), give_up }
    }

    /// Returns once the sink has the letter: true; or once it is to go to the files.
    async fn relayed(&self, letter: &DeadLetter<'_>) -> Result<bool, ArrowError> {
        let batch = self.batch(letter)?;
        // An account of its own: what is settled or given up here is this letter.
        let (mut ledger, metrics) = (Ledger::new(), Arc::<SinkMetrics>::default());
        let path = ledger.path(self.path.clone(), BTreeMap::new(), metrics.clone());
        let Some(envelope) = path.take_rejects(&batch)? else { return Ok(true) };
        let Some(room) = self.queue.room(envelope.batch().bytes()).await else {
            // The sink drops what is too much for it. A dead letter is not dropped.
            return Ok(false);
        };
        self.queue.push(envelope, Some(room));
        while ledger.open() > 0 {
            if !ledger.abandoned().is_empty() {
                return Ok(false);
            }
            ledger.changed().await;
        }
        self.count(&metrics);
        Ok(true)
    }

    /// Returns once no more time is left.
    async fn given_up(&self) {
        if self.give_up.clone().wait_for(|now| *now).await.is_err() {
            // Nobody is left who could say so.
            std::future::pending().await
        }
    }

    /// What is to be seen of it.
    pub fn view(&self) -> RelayView {
        RelayView { gate: self.gate.clone(), waiting: self.waiting.clone() }
    }

    /// The lines of a letter as payloads, with the keys, headers and timestamps of its events.
    ///
    /// Several sinks may reject one event: the names of the partitions tell their letters apart.
    fn batch(&self, letter: &DeadLetter) -> Result<Batch, ArrowError> {
        let external = |error| ArrowError::from_external_error(error);
        let past = |_| Past { source: Some(self.source.to_string()), ..Past::default() };
        let lines = record::encode(letter, past).map_err(|error| external(Box::new(error)))?;
        let lines = lines.split_inclusive(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\n").unwrap_or(line));
        let origin = letter.batch.origin();
        let name = |partition: &Partition| letter_partition(&letter.path.sink, partition.as_str());
        let partitions = origin.partitions().iter().map(|partition| Partition::new(name(partition))).collect();
        let origin =
            Origin::new(partitions, origin.runs().to_vec(), UInt64Array::new(origin.position_buffer().clone(), None))?;
        let timestamps = TimestampMillisecondArray::from(letter.batch.timestamps().to_vec());
        Batch::new(BinaryArray::from_iter_values(lines), timestamps, origin)
            .and_then(|batch| batch.with_key(letter.batch.key().cloned()))
            .and_then(|batch| batch.with_headers(letter.batch.headers().cloned()))
            .map_err(|uneven| external(Box::new(uneven)))
    }

    /// Adds what became of one letter's events to what the sink counts.
    fn count(&self, of_letter: &SinkMetrics) {
        let SinkMetrics { events, written, dead_lettered, .. } = of_letter;
        self.metrics.events.add(events.get());
        self.metrics.written.add(written.get());
        self.metrics.dead_lettered.add(dead_lettered.get());
    }
}

#[async_trait]
impl DeadLetters for Relay {
    async fn put(&self, letter: DeadLetter<'_>) -> Result<(), Unkept> {
        let _waiting = Waiting::new(&self.waiting);
        let relayed = tokio::select! {
            biased;
            relayed = self.relayed(&letter) => relayed,
            () = self.given_up() => Ok(false),
        };
        match relayed {
            Ok(true) => Ok(()),
            Ok(false) => self.files.put(letter).await,
            Err(error) => Err(Unkept::Failed { message: format!("{}: {error}", self.path) }),
        }
    }
}

/// What the partition of a letter is called, by the sink that the event was for and the event's own partition.
pub fn letter_partition(sink: &str, partition: &str) -> String {
    format!("dead_letters/{sink}/{partition}")
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.queue.close();
    }
}
