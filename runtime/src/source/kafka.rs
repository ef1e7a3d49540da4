//! Topics of a Kafka cluster, as a member of a consumer group.
//!
//! A thread of our own polls librdkafka, and makes columns of what it has fetched. The group has the positions: what is
//! committed is what every sink is done with, and where a partition goes on, here or elsewhere. What is kept beside it
//! in the data directory lets a sink pass over what it alone had. `docs/kafka.md` says what that means for users.

mod begin;
mod blocks;
mod columns;
mod context;
mod exchange;
mod fetched;
mod lag;
mod member;
mod settings;
mod share;
mod trouble;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::{ClientConfig, TopicPartitionList};

use self::begin::Beginnings;
use self::blocks::Blocks;
use self::context::Context;
use self::exchange::Exchange;
use self::fetched::Fetched;
use self::lag::Lag;
use self::member::{Member, Phase};
use self::share::Shares;
use self::trouble::Trouble;
use super::{Demand, Input, Open, Resume, Source, SourceError};
use crate::batch::Partition;
use crate::kafka::{Connection, Consumes, Membership};

pub use settings::{Protocol, Settings, Start, Topics, Until};

/// How long leaving the group may take. Where it takes longer the brokers notice by themselves.
const LEAVE: Duration = Duration::from_secs(15);

/// Properties that users may set otherwise, and which librdkafka has other defaults for.
const USUAL: &[(&str, &str)] = &[
    // Of all partitions together: what is fetched ahead.
    ("queued.max.messages.kbytes", "32768"),
    // Once that much is there, how long nothing more is fetched.
    ("fetch.queue.backoff.ms", "20"),
];

/// Reads topics. Partitions are named `TOPIC/NUMBER`, and positions are offsets.
pub struct Kafka {
    source: String,
    settings: Settings,
    connection: Option<Connection>,
    /// Where a sink stores the group's positions with its records: nothing is committed here then.
    membership: Option<Arc<Membership>>,
}

impl Kafka {
    /// The source of that name. Nothing is connected yet. Without a connection it can't be opened. With a membership, a sink
    /// stores the group's positions.
    pub fn new(
        source: &str,
        settings: Settings,
        connection: Option<Connection>,
        membership: Option<Arc<Membership>>,
    ) -> Kafka {
        Kafka { source: source.to_owned(), settings, connection, membership }
    }

    fn client(&self, connection: &Connection) -> ClientConfig {
        let mut client = connection.client(&self.settings.properties);
        for (name, value) in USUAL {
            if client.get(name).is_none() {
                client.set(*name, *value);
            }
        }
        if self.settings.protocol == Protocol::Classic && client.get("partition.assignment.strategy").is_none() {
            client.set("partition.assignment.strategy", "cooperative-sticky");
        }
        client.set("group.id", &self.settings.group);
        client.set("group.protocol", self.settings.protocol.name());
        client.set("enable.auto.commit", "false");
        client.set("enable.auto.offset.store", "false");
        // Of a log that does not go back as far any more, or was cut off.
        client.set("auto.offset.reset", "earliest");
        if self.membership.is_some() {
            // Positions of transactions under way are waited for, too.
            client.set("isolation.level", "read_committed");
        }
        client
    }

    fn beginnings(&self, from_start: bool) -> Beginnings {
        Beginnings {
            start: self.settings.start,
            from_start,
            ends: self.settings.until == Until::End,
            known: HashMap::new(),
            begun: HashSet::new(),
        }
    }
}

#[async_trait]
impl Open for Kafka {
    fn replayable(&self) -> bool {
        true
    }

    fn ends(&self) -> bool {
        self.settings.until == Until::End
    }

    fn revoke_timeout(&self) -> Duration {
        self.settings.revoke_timeout
    }

    /// Returns at once: brokers that don't answer are waited for by [`Source::next`].
    async fn open(&self, resume: Resume) -> Result<Box<dyn Source>, SourceError> {
        let failed = |error: String| SourceError { message: format!("no consumer could be made: {error}") };
        let connection = self.connection.as_ref().ok_or_else(|| failed("there is no connection".into()))?;
        let created = self.client(connection).create_with_context(Context::new(&self.source));
        let mut consumer: BaseConsumer<Context> = created.map_err(|error| failed(error.to_string()))?;
        let memo: BTreeMap<String, u64> = serde_json::from_value(resume.memo).unwrap_or_default();
        let memo = memo.into_iter().map(|(partition, position)| (Partition::new(partition), position)).collect();
        let exchange = Arc::new(Exchange::new(memo));
        let (source, topics, ours) = (self.source.clone(), self.settings.topics.clone(), exchange.clone());
        let membership = self.membership.clone();
        let (beginnings, revoke_timeout) = (self.beginnings(resume.from_start), self.settings.revoke_timeout);
        let run = move || {
            let thread = thread::current();
            let waker = thread.clone();
            consumer.set_nonempty_callback(move || waker.unpark());
            let (consumer, now) = (Arc::new(consumer), Instant::now());
            let seat = membership.map(|membership| {
                let member: Arc<dyn Consumes> = consumer.clone();
                membership.join(Arc::downgrade(&member))
            });
            let member = Member {
                fetched: Fetched::new(consumer.clone(), thread),
                trouble: Trouble::new(&source),
                source,
                topics,
                exchange: ours,
                consumer,
                beginnings,
                revoke_timeout,
                seat,
                shares: Shares::default(),
                lag: Lag::new(now),
                blocks: Blocks::new(),
                turns: VecDeque::new(),
                phase: Phase::Joining(now),
            };
            member.run();
        };
        let started = thread::Builder::new().name(format!("kafka {}", self.source)).spawn(run);
        let started = started.map_err(|error| SourceError { message: format!("no thread to read with: {error}") })?;
        exchange.set_thread(started.thread().clone());
        Ok(Box::new(Reading { exchange, revoked: Vec::new() }))
    }
}

impl Consumes for BaseConsumer<Context> {
    fn client(&self) -> *mut rdkafka::bindings::rd_kafka_t {
        Consumer::client(self).native_ptr()
    }

    fn committed(&self, partitions: TopicPartitionList, within: Duration) -> KafkaResult<TopicPartitionList> {
        self.committed_offsets(partitions, within)
    }
}

struct Reading {
    exchange: Arc<Exchange>,
    /// What was told to be taken away. When more is asked for, nothing of it is on its way any more.
    revoked: Vec<Partition>,
}

#[async_trait]
impl Source for Reading {
    async fn next(&mut self, demand: Demand) -> Result<Input, SourceError> {
        self.exchange.release(std::mem::take(&mut self.revoked));
        let input = self.exchange.next(demand).await?;
        if let Input::Revoked(partitions) = &input {
            self.revoked.clone_from(partitions);
        }
        Ok(input)
    }

    /// Committed at once, without waiting for the answer.
    async fn acknowledge(&mut self, positions: &BTreeMap<Partition, u64>) -> Result<(), SourceError> {
        self.exchange.acknowledge(positions);
        Ok(())
    }

    /// What the group was last told of each partition.
    fn memo(&self) -> serde_json::Value {
        let memo = self.exchange.memo();
        memo.into_iter()
            .map(|(partition, offset)| (partition.to_string(), offset.into()))
            .collect::<serde_json::Map<_, _>>()
            .into()
    }

    fn lag(&self) -> Vec<(Arc<str>, u64)> {
        self.exchange.lag()
    }

    async fn close(&mut self) {
        self.exchange.close();
        tokio::time::timeout(LEAVE, self.exchange.ended()).await.ok();
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.exchange.close();
    }
}
