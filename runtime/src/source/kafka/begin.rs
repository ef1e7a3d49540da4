//! Where the partitions begin that the group gives to this member.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::{Offset, TopicPartitionList};

use super::Start;
use super::context::Context;
use crate::batch::Partition;

/// How long a broker may take to answer. The group waits meanwhile.
const PATIENCE: Duration = Duration::from_secs(10);

/// A partition that is assigned, and where it begins.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Begin {
    pub(super) topic: Arc<str>,
    pub(super) number: i32,
    pub(super) partition: Partition,
    pub(super) offset: u64,
    /// What the group has; none where `start` decides.
    pub(super) committed: Option<u64>,
    /// Before what the group had when it last heard of us: sinks must not pass over what they had.
    pub(super) rewound: bool,
    /// What the group would have gone on with, and brokers have removed.
    pub(super) gone: Option<Range<u64>>,
    /// The end of its log, where that is asked for.
    pub(super) end: Option<u64>,
}

/// What decides it.
#[derive(Debug)]
pub(super) struct Beginnings {
    pub(super) start: Start,
    /// Whatever the group has, what is kept is read again, each partition once.
    pub(super) from_start: bool,
    /// Whether the ends of the logs are asked for.
    pub(super) ends: bool,
    /// How many partitions each topic had when the source was opened: others were added since, and are read as a whole.
    pub(super) known: HashMap<Arc<str>, i32>,
    /// Those that `from_start` has begun.
    pub(super) begun: HashSet<Partition>,
}

impl Beginnings {
    /// A topic has so many partitions as the source is opened.
    pub(super) fn know(&mut self, topic: &str, partitions: usize) {
        self.known.insert(topic.into(), partitions as i32);
    }

    /// Where each partition of the list begins. Asks the brokers. `memo` is what we committed last.
    pub(super) fn find(
        &mut self,
        consumer: &BaseConsumer<Context>,
        list: &TopicPartitionList,
        memo: &BTreeMap<Partition, u64>,
    ) -> KafkaResult<Vec<Begin>> {
        if list.count() == 0 {
            return Ok(Vec::new());
        }
        let committed = consumer.committed_offsets(list.clone(), PATIENCE)?;
        let (mut begins, mut open) = (Vec::new(), Vec::new());
        for element in committed.elements() {
            element.error()?;
            let partition = name(element.topic(), element.partition());
            let offset = match element.offset() {
                Offset::Offset(offset) => u64::try_from(offset).ok(),
                _ => None,
            };
            let last = memo.get(&partition);
            let again = self.from_start && !self.begun.contains(&partition);
            let committed = offset.filter(|_| !again);
            if committed.is_none() {
                open.push(begins.len());
            }
            begins.push(Begin {
                topic: element.topic().into(),
                number: element.partition(),
                rewound: again || last.is_some_and(|last| offset.is_none_or(|offset| offset < *last)),
                partition,
                offset: committed.unwrap_or(0),
                committed,
                gone: None,
                end: None,
            });
        }
        self.start(consumer, &mut begins, &open)?;
        forward(consumer, &mut begins)?;
        if self.ends {
            let all: Vec<usize> = (0..begins.len()).collect();
            let ends = ask(consumer, &begins, &all, |_| Offset::End)?;
            all.iter().zip(ends).for_each(|(at, end)| begins[*at].end = end);
        }
        if self.from_start {
            self.begun.extend(begins.iter().map(|begin| begin.partition.clone()));
        }
        Ok(begins)
    }

    /// Those of which the group has nothing. What was found is committed where asking again would find something else,
    /// so that no kill makes the source pass over what came meanwhile.
    fn start(&self, consumer: &BaseConsumer<Context>, begins: &mut [Begin], open: &[usize]) -> KafkaResult<()> {
        if open.is_empty() {
            return Ok(());
        }
        let start = |begin: &Begin| {
            let known = self.known.get(&begin.topic).is_some_and(|known| begin.number < *known);
            match self.start {
                Start::Latest if known && !self.from_start => Offset::End,
                Start::Time(millis) if !self.from_start => Offset::Offset(millis),
                Start::Earliest | Start::Latest | Start::Time(_) => Offset::Beginning,
            }
        };
        let mut found = ask(consumer, begins, open, start)?;
        // Nothing is as young as the time that was asked for.
        let later: Vec<usize> = (0..open.len()).filter(|at| found[*at].is_none()).collect();
        if !later.is_empty() {
            let those: Vec<usize> = later.iter().map(|at| open[*at]).collect();
            let ends = ask(consumer, begins, &those, |_| Offset::End)?;
            later.iter().zip(ends).for_each(|(at, end)| found[*at] = end);
        }
        let mut commits = TopicPartitionList::with_capacity(open.len());
        for (at, offset) in open.iter().zip(found) {
            let begin = &mut begins[*at];
            begin.offset = offset.unwrap_or(0);
            commits.add_partition_offset(&begin.topic, begin.number, Offset::Offset(begin.offset as i64))?;
        }
        match self.start {
            Start::Latest | Start::Time(_) => consumer.commit(&commits, CommitMode::Sync),
            Start::Earliest => Ok(()),
        }
    }
}

/// Moves those forward whose log does not go back to what the group has any more. By itself a client would only find out when
/// the next event comes.
fn forward(consumer: &BaseConsumer<Context>, begins: &mut [Begin]) -> KafkaResult<()> {
    let known: Vec<usize> = (0..begins.len()).filter(|at| begins[*at].committed.is_some()).collect();
    if known.is_empty() {
        return Ok(());
    }
    for (at, oldest) in known.iter().zip(ask(consumer, begins, &known, |_| Offset::Beginning)?) {
        let begin = &mut begins[*at];
        if let Some(oldest) = oldest.filter(|oldest| *oldest > begin.offset) {
            begin.gone = Some(begin.offset..oldest);
            begin.offset = oldest;
        }
    }
    Ok(())
}

/// Asks where in some of the partitions something is; none where it is nowhere.
fn ask(
    consumer: &BaseConsumer<Context>,
    begins: &[Begin],
    which: &[usize],
    what: impl Fn(&Begin) -> Offset,
) -> KafkaResult<Vec<Option<u64>>> {
    let mut list = TopicPartitionList::with_capacity(which.len());
    for begin in which.iter().map(|at| &begins[*at]) {
        list.add_partition_offset(&begin.topic, begin.number, what(begin))?;
    }
    let found = consumer.offsets_for_times(list, PATIENCE)?;
    let offset = |begin: &Begin| {
        let element = found.find_partition(&begin.topic, begin.number).ok_or(KafkaError::NoMessageReceived)?;
        element.error()?;
        Ok(match element.offset() {
            Offset::Offset(offset) => u64::try_from(offset).ok(),
            _ => None,
        })
    };
    which.iter().map(|at| offset(&begins[*at])).collect()
}

/// The name of a partition.
pub(super) fn name(topic: &str, number: i32) -> Partition {
    Partition::new(format!("{topic}/{number}"))
}
