//! How far the group is behind in the partitions of this member.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};

use super::context::Context;
use super::fetched::Fetched;
use super::share::Shares;

/// How often it is reckoned.
const EVERY: Duration = Duration::from_secs(1);
/// Where nothing is fetched nothing is heard of new events: the brokers are asked so often.
const ASK: Duration = Duration::from_secs(15);
/// How long they may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Reckons it now and then.
#[derive(Debug)]
pub(super) struct Lag {
    next: Instant,
    asked: Instant,
}

impl Lag {
    /// Not reckoned yet.
    pub(super) fn new(now: Instant) -> Lag {
        Lag { next: now, asked: now }
    }

    /// For each topic, events from what is final on, to the ends of the logs; none where it is not yet time.
    /// `held` says that nothing is fetched.
    pub(super) fn reckon(
        &mut self,
        now: Instant,
        consumer: &BaseConsumer<Context>,
        fetched: &Fetched,
        shares: &mut Shares,
        held: bool,
    ) -> Option<Vec<(Arc<str>, u64)>> {
        if now < self.next {
            return None;
        }
        self.next = now + EVERY;
        for share in shares.iter_mut() {
            share.log_end = share.log_end.max(fetched.log_end(&share.topic, share.number).unwrap_or(0));
        }
        if !held {
            self.asked = now;
        } else if now.duration_since(self.asked) >= ASK {
            self.asked = now;
            ask(consumer, shares);
        }
        let mut topics: BTreeMap<Arc<str>, u64> = BTreeMap::new();
        for share in shares.iter_mut() {
            *topics.entry(share.topic.clone()).or_default() += share.log_end.saturating_sub(share.acknowledged);
        }
        Some(topics.into_iter().collect())
    }
}

/// Brokers that don't answer are heard of otherwise.
fn ask(consumer: &BaseConsumer<Context>, shares: &mut Shares) {
    let mut list = TopicPartitionList::new();
    for share in shares.iter_mut() {
        if list.add_partition_offset(&share.topic, share.number, Offset::End).is_err() {
            return;
        }
    }
    if list.count() == 0 {
        return;
    }
    let Ok(found) = consumer.offsets_for_times(list, PATIENCE) else { return };
    for share in shares.iter_mut() {
        if let Some(Offset::Offset(end)) =
            found.find_partition(&share.topic, share.number).map(|element| element.offset())
        {
            share.log_end = share.log_end.max(u64::try_from(end).unwrap_or(0));
        }
    }
}
