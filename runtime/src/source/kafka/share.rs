//! The partitions that this member has.

use std::collections::BTreeMap;
use std::sync::Arc;

use rdkafka::error::KafkaResult;
use rdkafka::{Offset, TopicPartitionList};

use super::begin::{Begin, name};
use crate::batch::Partition;

/// One partition, from being assigned until it is given up.
#[derive(Debug)]
pub(super) struct Share {
    pub(super) topic: Arc<str>,
    pub(super) number: i32,
    pub(super) partition: Partition,
    /// The offset after everything that was read.
    pub(super) next: u64,
    /// Everything before it is final.
    pub(super) acknowledged: u64,
    /// What was last sent to be committed.
    pub(super) sent: u64,
    /// The end of the log, as far as it is known.
    pub(super) log_end: u64,
    /// Where reading it is to end.
    pub(super) until: Option<u64>,
    /// It is about to be given up: nothing more is read of it.
    pub(super) leaving: bool,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Shares(BTreeMap<Partition, Share>);

impl Shares {
    /// Takes a partition on.
    pub(super) fn add(&mut self, begin: &Begin) {
        let share = Share {
            topic: begin.topic.clone(),
            number: begin.number,
            partition: begin.partition.clone(),
            next: begin.offset,
            acknowledged: begin.offset,
            sent: begin.committed.unwrap_or(0),
            log_end: begin.offset,
            until: begin.end,
            leaving: false,
        };
        self.0.insert(begin.partition.clone(), share);
    }

    /// By topic and number.
    pub(super) fn get_mut(&mut self, topic: &str, number: i32) -> Option<&mut Share> {
        self.0.get_mut(&name(topic, number))
    }

    /// By name.
    pub(super) fn of(&mut self, partition: &Partition) -> Option<&mut Share> {
        self.0.get_mut(partition)
    }

    /// Gives a partition up.
    pub(super) fn remove(&mut self, partition: &Partition) -> Option<Share> {
        self.0.remove(partition)
    }

    /// All.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Share> {
        self.0.values_mut()
    }

    /// Everything before these positions is final. What is said of an earlier assignment counts no more.
    pub(super) fn acknowledge(&mut self, positions: &BTreeMap<Partition, u64>) {
        for (partition, position) in positions {
            if let Some(share) = self.0.get_mut(partition)
                && (share.acknowledged..=share.next).contains(position)
            {
                share.acknowledged = *position;
            }
        }
    }

    /// What is final and was not sent to be committed yet. It counts as sent.
    pub(super) fn take_final(&mut self) -> KafkaResult<TopicPartitionList> {
        let mut list = TopicPartitionList::new();
        for share in self.0.values_mut().filter(|share| share.acknowledged > share.sent) {
            list.add_partition_offset(&share.topic, share.number, Offset::Offset(share.acknowledged as i64))?;
            share.sent = share.acknowledged;
        }
        Ok(list)
    }

    /// What was sent may not have been taken: it is to be sent again.
    pub(super) fn send_again(&mut self) {
        self.0.values_mut().for_each(|share| share.sent = 0);
    }

    /// Whether everything was read that was asked for.
    pub(super) fn are_read(&self) -> bool {
        self.0.values().all(|share| share.until.is_some_and(|until| share.next >= until))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(begin: u64) -> Shares {
        let mut shares = Shares::default();
        shares.add(&Begin {
            topic: "t".into(),
            number: 1,
            partition: name("t", 1),
            offset: begin,
            committed: Some(begin),
            rewound: false,
            gone: None,
            end: Some(100),
        });
        shares
    }

    fn commits(shares: &mut Shares) -> Vec<Offset> {
        shares.take_final().unwrap().elements().iter().map(|element| element.offset()).collect()
    }

    #[test]
    fn what_is_final_is_committed_once_and_nothing_that_was_not_read() {
        let mut shares = shares(10);
        assert!(commits(&mut shares).is_empty());
        shares.get_mut("t", 1).unwrap().next = 50;
        shares.acknowledge(&BTreeMap::from([(name("t", 1), 40), (name("t", 2), 7)]));
        assert_eq!(commits(&mut shares), [Offset::Offset(40)]);
        assert!(commits(&mut shares).is_empty());
        for elsewhere in [9, 39, 51] {
            shares.acknowledge(&BTreeMap::from([(name("t", 1), elsewhere)]));
            assert!(commits(&mut shares).is_empty(), "{elsewhere}");
        }
    }

    #[test]
    fn all_is_read_when_each_is() {
        assert!(Shares::default().are_read());
        let mut shares = shares(10);
        assert!(!shares.are_read());
        shares.get_mut("t", 1).unwrap().next = 100;
        assert!(shares.are_read());
    }
}
