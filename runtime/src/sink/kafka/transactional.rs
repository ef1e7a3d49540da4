//! A producer whose records count together or not at all.
//!
//! Each step waits for brokers, on a thread that may block.
#![expect(unsafe_code, reason = "the C interface of librdkafka")]

use std::ffi::c_int;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::bindings as c;
use rdkafka::types::RDKafkaErrorCode as Code;
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::native::Trouble;
use super::outcome::{self, Meaning};
use super::producer::Producer;
use crate::kafka::Pledge;
use crate::sink::{Failure, FailureKind};

/// A producer that is ready for a transaction, or has one under way. Dropping it gives it up: whatever it has under way never
/// counts, unless it was told to [commit](Self::commit).
pub(super) struct Transactional {
    producer: Arc<Producer>,
    /// Brokers abort a transaction that takes longer, and refuse whoever goes on with it.
    timeout: Duration,
    began: Option<Instant>,
}

impl Drop for Transactional {
    fn drop(&mut self) {
        self.producer.retire();
    }
}

impl Transactional {
    /// Starts one, in the place of any other with the same transactional id: what that has under way is over then, committed
    /// or aborted.
    pub(super) async fn start(
        name: &str,
        client: &ClientConfig,
        timeout: Duration,
        until: Instant,
    ) -> Result<Transactional, Failure> {
        let producer = Producer::start(name, client, false)?;
        let transactional = Transactional { producer, timeout, began: None };
        // SAFETY: the client is there.
        let init = transactional.step(until, |client, within| unsafe { c::rd_kafka_init_transactions(client, within) });
        tokio::select! {
            biased;
            () = transactional.producer.halted() => {}
            done = init => match done {
                Ok(()) => return Ok(transactional),
                Err(trouble) => return Err(transactional.failure(&trouble)),
            },
        }
        Err(transactional.producer.why_halted().unwrap_or_else(|| Failure::halted("client", "the client can't go on")))
    }

    /// It is not used any more.
    pub(super) fn give_up(&self) {
        self.producer.retire();
    }

    /// What messages are handed over to.
    pub(super) fn producer(&self) -> &Producer {
        &self.producer
    }

    /// Whether it can't be used any more.
    pub(super) fn is_spent(&self) -> bool {
        self.producer.is_spent() || self.producer.native().fatal().is_some()
    }

    /// A transaction begins.
    pub(super) fn begin(&mut self) -> Result<(), Trouble> {
        self.began = Some(Instant::now());
        // SAFETY: the client is there.
        self.producer.native().step(|client| unsafe { c::rd_kafka_begin_transaction(client) })
    }

    /// The positions are to count with the records. Those who have the partitions by then, and nobody else, may say so.
    pub(super) async fn store(&self, pledge: Pledge, until: Instant) -> Result<(), Trouble> {
        let store = move |client, within| {
            let (positions, metadata) = (pledge.positions().ptr(), pledge.metadata());
            // SAFETY: the client is there, and the pledge keeps both.
            unsafe { c::rd_kafka_send_offsets_to_transaction(client, positions, metadata, within) }
        };
        self.step(until, store).await
    }

    /// All of it counts, unless this fails. If it does nobody knows before another one was [started](Self::start).
    pub(super) async fn commit(&self, until: Instant) -> Result<(), Trouble> {
        // SAFETY: the client is there.
        self.step(until, |client, within| unsafe { c::rd_kafka_commit_transaction(client, within) }).await
    }

    /// Nothing of it counts. Where this fails the producer can't be used any more.
    pub(super) async fn abort(&self, until: Instant) -> Result<(), Trouble> {
        // SAFETY: the client is there.
        self.step(until, |client, within| unsafe { c::rd_kafka_abort_transaction(client, within) }).await
    }

    /// Whether another producer has taken its transactional id, by a step that failed so or by what was heard since. Brokers
    /// answer the same where they have ended a transaction that took too long: that is told by its age.
    pub(super) fn is_superseded(&self, failed: Option<&Trouble>) -> bool {
        let codes = failed.map(|trouble| trouble.code).into_iter().chain(self.producer.native().fatal());
        let late = self.began.is_some_and(|began| began.elapsed() >= self.timeout);
        !late
            && codes
                .into_iter()
                .any(|code| matches!(code, Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch))
    }

    /// What a step that failed means, where nothing counts of what was under way.
    pub(super) fn failure(&self, trouble: &Trouble) -> Failure {
        let kind = match outcome::meaning(trouble.code) {
            Meaning::Halted => FailureKind::Halted,
            _ => FailureKind::Transient { after: None },
        };
        let mut message = outcome::message(trouble.code, &trouble.message);
        if let Some(error) = self.producer.last_error().filter(|_| kind != FailureKind::Halted) {
            message = format!("{message}; the client's last error: {error}");
        }
        Failure::new(kind, outcome::code(trouble.code), message)
    }

    /// Ends it, and waits for that.
    pub(super) async fn close(self) {
        let mut ended = self.producer.ended();
        drop(self);
        // Whoever could say so is gone itself.
        ended.wait_for(|ended| *ended).await.ok();
    }

    async fn step(
        &self,
        until: Instant,
        step: impl FnOnce(*mut c::rd_kafka_t, c_int) -> *mut c::rd_kafka_error_t + Send + 'static,
    ) -> Result<(), Trouble> {
        let producer = self.producer.clone();
        let within = until.saturating_duration_since(Instant::now()).as_millis().clamp(1, i32::MAX as u128) as c_int;
        let taken = spawn_blocking(move || producer.native().step(|client| step(client, within))).await;
        taken.unwrap_or_else(|error| Err(Trouble { code: Code::Fail, message: format!("a step broke: {error}") }))
    }
}
