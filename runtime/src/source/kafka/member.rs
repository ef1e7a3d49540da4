//! The member of the group: a thread that polls, whatever becomes of what it reads.
//!
//! It never waits for the delivery. Partitions that are taken away are given up once what was on its way is settled, or
//! after a while; what was read of the others is delivered meanwhile.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use tracing::{debug, info, warn};

use super::begin::{Begin, Beginnings, name};
use super::blocks::Blocks;
use super::context::{Context, Turn, give_up, take_on};
use super::exchange::Exchange;
use super::fetched::Fetched;
use super::lag::Lag;
use super::settings::Topics;
use super::share::Shares;
use super::trouble::Trouble;
use crate::batch::{Batch, Partition};
use crate::envelope::Block;
use crate::kafka::Seat;
use crate::source::{Input, SourceError};

/// How long nothing is looked after where nothing happens.
const IDLE: Duration = Duration::from_millis(100);
/// After so long what failed is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// A feed that waits no longer for what is in flight still has to acknowledge.
const GRACE: Duration = Duration::from_secs(5);
/// How long brokers may take to say which topics there are.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the thread owns.
pub(super) struct Member {
    pub(super) source: String,
    pub(super) topics: Topics,
    pub(super) exchange: Arc<Exchange>,
    /// Dropped before the consumer, whose parts it has.
    pub(super) fetched: Fetched,
    pub(super) consumer: Arc<BaseConsumer<Context>>,
    pub(super) beginnings: Beginnings,
    pub(super) revoke_timeout: Duration,
    /// Where a sink stores the group's positions.
    pub(super) seat: Option<Seat>,
    pub(super) trouble: Trouble,
    pub(super) shares: Shares,
    pub(super) lag: Lag,
    pub(super) blocks: Blocks,
    pub(super) turns: VecDeque<Pending>,
    pub(super) phase: Phase,
}

/// What the member is at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Phase {
    /// It has not found its topics yet, and looks for them again at this time.
    Joining(Instant),
    /// It reads.
    Reading,
    /// Everything was read that was asked for, or nothing can be. It still commits.
    Done,
}

enum Step {
    /// There may be more to do.
    Busy,
    Idle,
    Close,
}

/// What the group decided, and is not done yet.
pub(super) enum Pending {
    /// To be taken on, not before this time.
    Assign(TopicPartitionList, Instant),
    /// Told to nobody yet.
    Revoke(TopicPartitionList),
    /// To be given up once nothing is on its way of what is waited for, or at this time.
    Leave { list: TopicPartitionList, waiting: BTreeSet<Partition>, until: Instant },
}

impl Member {
    /// Until it is told to close.
    pub(super) fn run(mut self) {
        loop {
            match self.step() {
                Ok(Step::Busy) => {}
                Ok(Step::Idle) => thread::park_timeout(IDLE),
                Ok(Step::Close) => break,
                // It is told once. What was read is committed as it becomes final.
                Err(error) => {
                    if self.phase != Phase::Done {
                        self.phase = Phase::Done;
                        self.exchange.hand(Err(error));
                    }
                    thread::park_timeout(IDLE);
                }
            }
        }
        self.close();
    }

    fn step(&mut self) -> Result<Step, SourceError> {
        let asked = self.exchange.asked();
        self.shares.acknowledge(&asked.acknowledged);
        if asked.close {
            return Ok(Step::Close);
        }
        self.listen()?;
        if let Phase::Joining(when) = self.phase {
            let now = Instant::now();
            if now >= when {
                self.phase = if self.join()? { Phase::Reading } else { Phase::Joining(now + AGAIN) };
            }
            return Ok(Step::Idle);
        }
        self.commit();
        self.turn(&asked.released)?;
        let may_read = self.phase == Phase::Reading && self.exchange.has_room();
        let busy = may_read && self.read()?;
        let now = Instant::now();
        if let Some(lag) = self.lag.reckon(now, &self.consumer, &self.fetched, &mut self.shares, !may_read) {
            self.exchange.set_lag(lag);
            if may_read && !busy {
                self.pass_over_markers()?;
            }
        }
        Ok(if busy { Step::Busy } else { Step::Idle })
    }

    /// Looks for the topics, and asks the group for partitions. Whether that was possible.
    fn join(&mut self) -> Result<bool, SourceError> {
        for topic in self.topics.iter() {
            let pattern = topic.starts_with('^');
            let found = self.consumer.fetch_metadata((!pattern).then_some(topic), PATIENCE);
            let metadata = match found {
                Ok(metadata) => metadata,
                Err(error) => {
                    let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
                    self.trouble.meet(code, &format!("topics can't be looked for: {error}"))?;
                    return Ok(false);
                }
            };
            for found in metadata.topics() {
                match found.error().map(RDKafkaErrorCode::from) {
                    None => self.beginnings.know(found.name(), found.partitions().len()),
                    Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) if !pattern => {
                        let message = format!("there is no topic `{topic}`: create it, or name another in `topics`");
                        return Err(SourceError { message });
                    }
                    Some(_) if pattern => {}
                    Some(code) => {
                        self.trouble.meet(code, &format!("topic `{topic}` can't be read"))?;
                        return Ok(false);
                    }
                }
            }
        }
        let topics: Vec<&str> = self.topics.iter().collect();
        self.consumer.subscribe(&topics).map_err(broken)?;
        Ok(true)
    }

    /// Takes what librdkafka has to tell.
    fn listen(&mut self) -> Result<(), SourceError> {
        loop {
            match self.consumer.poll(Duration::ZERO) {
                Some(Err(KafkaError::MessageConsumptionFatal(code))) => return Err(self.fatal(code)),
                Some(Ok(message)) => {
                    let message =
                        format!("an event of {} came by another way: a defect", rdkafka::Message::topic(&message));
                    return Err(SourceError { message });
                }
                Some(Err(_)) | None => {}
            }
            let (heard, any) = self.consumer.context().heard();
            let pending = |turn| match turn {
                Turn::Assign(list) => Pending::Assign(list, Instant::now()),
                Turn::Revoke(list) => Pending::Revoke(list),
            };
            self.turns.extend(heard.turns.into_iter().map(pending));
            for (code, reason) in heard.errors {
                if code == RDKafkaErrorCode::Fatal {
                    return Err(self.fatal(code));
                }
                self.trouble.meet(code, &reason)?;
            }
            if !any {
                return Ok(());
            }
        }
    }

    fn fatal(&self, code: RDKafkaErrorCode) -> SourceError {
        let (code, reason) = self.consumer.client().fatal_error().unwrap_or((code, "it can't go on".into()));
        SourceError { message: format!("the group has no place for this process any more: {reason} ({code})") }
    }

    /// Goes on with what the group decided.
    fn turn(&mut self, released: &BTreeSet<Partition>) -> Result<(), SourceError> {
        while let Some(turn) = self.turns.pop_front() {
            let now = Instant::now();
            match turn {
                Pending::Assign(list, when) if now >= when => self.assign(list)?,
                Pending::Revoke(list) => self.revoke(list)?,
                Pending::Leave { list, mut waiting, until } => {
                    waiting.retain(|partition| !released.contains(partition));
                    if waiting.is_empty() || now >= until || self.consumer.assignment_lost() {
                        self.leave(&list, &waiting);
                    } else {
                        self.turns.push_front(Pending::Leave { list, waiting, until });
                        break;
                    }
                }
                later @ Pending::Assign(..) => {
                    self.turns.push_front(later);
                    break;
                }
            }
        }
        Ok(())
    }

    fn assign(&mut self, list: TopicPartitionList) -> Result<(), SourceError> {
        // A group in the making may have refused what was sent meanwhile.
        self.shares.send_again();
        let begins = match self.beginnings.find(&self.consumer, &list, &self.exchange.memo()) {
            Ok(begins) => begins,
            Err(error) => {
                let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
                self.trouble.meet(code, &format!("where partitions begin can't be found out: {error}"))?;
                self.turns.push_front(Pending::Assign(list, Instant::now() + AGAIN));
                return Ok(());
            }
        };
        self.trouble.over();
        let mut offsets = TopicPartitionList::with_capacity(begins.len());
        for begin in &begins {
            let offset = rdkafka::Offset::Offset(begin.offset as i64);
            offsets.add_partition_offset(&begin.topic, begin.number, offset).map_err(broken)?;
            if !self.fetched.attach(&begin.topic, begin.number) {
                return Err(SourceError { message: format!("{} can't be read: a defect", begin.partition) });
            }
            self.exchange.remember(&begin.partition, begin.committed);
            self.shares.add(begin);
        }
        self.announce(&begins);
        take_on(&self.consumer, &offsets).map_err(broken)
    }

    fn announce(&self, begins: &[Begin]) {
        // Where a sink stores them, the group's positions say all that it has: nothing else is known of a partition.
        let forgotten = |begin: &&Begin| begin.rewound || self.seat.is_some();
        let rewound: Vec<Partition> = begins.iter().filter(forgotten).map(|begin| begin.partition.clone()).collect();
        if let Some(seat) = &self.seat {
            begins.iter().for_each(|begin| seat.hold(begin.partition.as_str(), begin.offset));
        }
        for begin in begins.iter().filter(|begin| begin.rewound) {
            info!(source = self.source, partition = %begin.partition, offset = begin.offset, "read again from here on");
        }
        for begin in begins {
            if let Some(gone) = &begin.gone {
                let (partition, offset) = (&begin.partition, begin.offset);
                warn!(source = self.source, %partition, ?gone, offset, "the brokers have removed events before they were read");
            }
        }
        if !rewound.is_empty() {
            self.exchange.hand(Ok(Input::Rewound(rewound)));
        }
        debug!(source = self.source, partitions = begins.len(), "assigned");
        let assigned = begins.iter().map(|begin| (begin.partition.clone(), begin.offset)).collect();
        self.exchange.hand(Ok(Input::Assigned(assigned)));
    }

    fn revoke(&mut self, list: TopicPartitionList) -> Result<(), SourceError> {
        let mut waiting = BTreeSet::new();
        for element in list.elements() {
            if let Some(share) = self.shares.get_mut(element.topic(), element.partition()) {
                share.leaving = true;
                waiting.insert(share.partition.clone());
            }
        }
        debug!(source = self.source, partitions = waiting.len(), "taken away");
        if !waiting.is_empty() {
            self.exchange.revoke(waiting.iter().cloned().collect()).map_err(broken)?;
        }
        // The feed waits for so long, and asks for more then. What it does in between is no reason to hold up the group.
        let until = Instant::now() + self.revoke_timeout + GRACE;
        self.turns.push_front(Pending::Leave { list, waiting, until });
        Ok(())
    }

    /// Commits what is final of some partitions, and gives them up.
    fn leave(&mut self, list: &TopicPartitionList, waiting: &BTreeSet<Partition>) {
        if !waiting.is_empty() {
            let partitions = waiting.len();
            info!(source = self.source, partitions, "given up with events on their way: they come again elsewhere");
        }
        // Whoever has them now has gone on from what was committed before.
        if !self.consumer.assignment_lost() {
            self.commit_all();
        }
        for element in list.elements() {
            if let Some(share) = self.shares.remove(&name(element.topic(), element.partition())) {
                self.seat.iter().for_each(|seat| seat.let_go(share.partition.as_str()));
                self.fetched.detach(&share.topic, share.number);
            }
        }
        if let Err(error) = give_up(&self.consumer, list) {
            warn!(source = self.source, %error, "partitions could not be given up");
        }
    }

    /// Sends what is final to be committed, unless a sink stores it. librdkafka gives no answer to that, and logs what was
    /// refused.
    fn commit(&mut self) {
        if self.seat.is_some() {
            return;
        }
        let sent = self.shares.take_final().and_then(|list| match list.count() {
            0 => Ok(()),
            _ => self.consumer.commit(&list, CommitMode::Async),
        });
        if let Err(error) = sent {
            warn!(source = self.source, %error, "what is final could not be committed: it may come again");
        }
    }

    /// Commits all that is final, and waits for the answer: who gets a partition next begins there. What was sent before
    /// is sent again, as the group may have refused it while it made up its mind. What a sink stores is not committed here.
    fn commit_all(&mut self) {
        if self.seat.is_some() {
            return;
        }
        self.shares.send_again();
        let committed = self.shares.take_final().and_then(|list| match list.count() {
            0 => Ok(list),
            _ => self.consumer.commit(&list, CommitMode::Sync).map(|()| list),
        });
        match committed {
            Ok(list) => {
                for element in list.elements() {
                    if let rdkafka::Offset::Offset(offset) = element.offset() {
                        let partition = name(element.topic(), element.partition());
                        self.exchange.remember(&partition, u64::try_from(offset).ok());
                    }
                }
            }
            Err(error) => {
                warn!(source = self.source, %error, "what is final could not be committed: it may come again");
            }
        }
        // What is not taken away is sent once more when the group is settled.
        self.shares.send_again();
    }

    /// Reads a block, if something has come. Whether it has.
    fn read(&mut self) -> Result<bool, SourceError> {
        let had = self.fetched.take();
        if had {
            let Member { fetched, shares, exchange, trouble, .. } = self;
            if let Some(block) = self.blocks.next(fetched, shares, exchange, trouble, self.seat.as_ref())? {
                self.exchange.hand(Ok(Input::Block(Box::new(block))));
            }
        }
        if self.beginnings.ends && self.turns.is_empty() && self.trouble.is_over() && self.shares.are_read() {
            self.phase = Phase::Done;
            self.exchange.hand(Ok(Input::Ended));
        }
        Ok(had)
    }

    /// Where nothing has come the position may still have moved, over the markers of transactions.
    fn pass_over_markers(&mut self) -> Result<(), SourceError> {
        let positions = self.consumer.position().map_err(broken)?;
        let mut ends = Vec::new();
        for element in positions.elements() {
            if let rdkafka::Offset::Offset(offset) = element.offset()
                && let Some(share) = self.shares.get_mut(element.topic(), element.partition())
                && !share.leaving
                && offset as u64 > share.next
            {
                share.next = offset as u64;
                ends.push((share.partition.clone(), share.next));
            }
        }
        if !ends.is_empty() {
            let block = Block { batch: Batch::default(), ends, rejects: None };
            self.exchange.hand(Ok(Input::Block(Box::new(block))));
        }
        Ok(())
    }

    /// Commits what is final, and leaves the group.
    fn close(mut self) {
        let context = self.consumer.context().clone();
        self.commit_all();
        self.seat = None;
        context.close();
        // The group may wait for us to answer it.
        for turn in self.turns.drain(..) {
            let answered = match turn {
                Pending::Assign(list, _) => take_on(&self.consumer, &list),
                Pending::Revoke(list) | Pending::Leave { list, .. } => give_up(&self.consumer, &list),
            };
            if let Err(error) = answered {
                debug!(source = self.source, %error, "the group was not answered");
            }
        }
        let exchange = self.exchange.clone();
        // Dropping it leaves the group.
        drop(self);
        exchange.set_ended();
    }
}

fn broken(error: impl std::fmt::Display) -> SourceError {
    SourceError { message: error.to_string() }
}
