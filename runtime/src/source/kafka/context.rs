//! What librdkafka tells of its own accord. All of it is told to the thread that polls.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};
use rdkafka::{ClientContext, TopicPartitionList};

use crate::kafka;

/// Keeps what was told until it is asked for.
#[derive(Debug)]
pub(super) struct Context {
    /// The name of the source.
    source: String,
    heard: Mutex<Heard>,
    /// Nobody asks any more: partitions are given up as soon as the group wants them.
    closing: AtomicBool,
}

/// What was told.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// Partitions come and go, in this order. The group waits until they are taken on or given up.
    pub(super) turns: Vec<Turn>,
    /// What is wrong, for now or for good.
    pub(super) errors: Vec<(RDKafkaErrorCode, String)>,
    /// Whether anything was told, so that there may be more.
    any: bool,
}

/// What the group decided.
#[derive(Debug)]
pub(super) enum Turn {
    /// These partitions are ours.
    Assign(TopicPartitionList),
    /// These are another's soon.
    Revoke(TopicPartitionList),
}

impl Context {
    /// For the source of that name.
    pub(super) fn new(source: &str) -> Context {
        Context { source: source.to_owned(), heard: Mutex::default(), closing: AtomicBool::new(false) }
    }

    /// What was told since the last time, with whether anything was.
    pub(super) fn heard(&self) -> (Heard, bool) {
        let heard = std::mem::take(&mut *self.lock());
        let any = heard.any;
        (heard, any)
    }

    /// From now on partitions are given up at once.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    fn tell(&self, what: impl FnOnce(&mut Heard)) {
        let mut heard = self.lock();
        heard.any = true;
        what(&mut heard);
    }

    fn lock(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.tell(|_| {});
        kafka::log(&self.source, level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
        self.tell(|heard| heard.errors.push((code, reason.to_owned())));
    }

    fn stats_raw(&self, _: &[u8]) {
        self.tell(|_| {});
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, consumer: &BaseConsumer<Context>, what: RDKafkaRespErr, list: &mut TopicPartitionList) {
        if self.closing.load(Ordering::Relaxed) {
            if let Err(error) = give_up(consumer, list) {
                kafka::log(&self.source, RDKafkaLogLevel::Warning, "CLOSE", &error.to_string());
            }
            return;
        }
        let turn = match what {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => Turn::Assign(list.clone()),
            _ => Turn::Revoke(list.clone()),
        };
        self.tell(|heard| heard.turns.push(turn));
    }
}

/// Takes partitions on, at the offsets of the list.
pub(super) fn take_on(consumer: &BaseConsumer<Context>, list: &TopicPartitionList) -> KafkaResult<()> {
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_assign(list),
        RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.assign(list),
    }
}

/// Gives partitions up. What is being committed is waited for by librdkafka, before the group hears of it.
pub(super) fn give_up(consumer: &BaseConsumer<Context>, list: &TopicPartitionList) -> KafkaResult<()> {
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_unassign(list),
        RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.unassign(),
    }
}
