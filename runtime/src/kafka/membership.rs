//! What a sink has to know of the member of a consumer group whose positions it stores together with its records.
//!
//! A partition may go to another process while a write with its events is under way. So a sink that is about to store
//! positions asks whether the member holds the partitions of its events, and takes along what the brokers know the member
//! by at that moment: they refuse positions of one that has given any partition up since. What they have of a partition
//! is waited for by whoever gets it next.
#![expect(unsafe_code, reason = "rdkafka keeps the C handle of a group's metadata to itself")]

use std::collections::BTreeMap;
use std::ffi::{CStr, c_char};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use rdkafka::bindings as c;
use rdkafka::error::KafkaResult;
use rdkafka::{Offset, TopicPartitionList};

/// A consumer that is a member of a group.
pub trait Consumes: Send + Sync {
    /// The client, which lives as long as this does.
    fn client(&self) -> *mut c::rd_kafka_t;

    /// What the group has of these partitions, whoever has them. What transactions under way would change is waited for.
    fn committed(&self, partitions: TopicPartitionList, within: Duration) -> KafkaResult<TopicPartitionList>;
}

/// Shared by the source that is the member and the sink that stores its positions.
#[derive(Default)]
pub struct Membership {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    member: Option<Weak<dyn Consumes>>,
    /// How often somebody became the member.
    seats: u64,
    /// The partitions that it holds, by name, each with the position at which that began.
    held: BTreeMap<String, u64>,
}

/// The place of the member. Whoever comes later takes it over; dropping it gives all partitions up.
pub struct Seat {
    membership: Arc<Membership>,
    number: u64,
}

/// Positions that may be stored, and what the brokers know the member by that holds their partitions.
pub struct Pledge {
    metadata: Metadata,
    positions: TopicPartitionList,
}

struct Metadata(*mut c::rd_kafka_consumer_group_metadata_t);

// SAFETY: it does not change, and belongs to no thread.
unsafe impl Send for Metadata {}

impl Drop for Metadata {
    fn drop(&mut self) {
        // SAFETY: it is there, and this one's.
        unsafe { c::rd_kafka_consumer_group_metadata_destroy(self.0) }
    }
}

impl Metadata {
    /// None where the client is no member at the moment: brokers take positions of a transaction that names no member
    /// without asking who has the partitions.
    fn of(member: &dyn Consumes) -> Option<Metadata> {
        // SAFETY: the client lives as long as the member. What is given out is ours.
        let metadata = unsafe { c::rd_kafka_consumer_group_metadata(member.client()) };
        if metadata.is_null() {
            return None;
        }
        let metadata = Metadata(metadata);
        // SAFETY: it is there.
        let (generation, id) = unsafe {
            let id = c::rd_kafka_consumer_group_metadata_member_id(metadata.0);
            (c::rd_kafka_consumer_group_metadata_generation_id(metadata.0), is_empty(id))
        };
        (generation >= 0 && !id).then_some(metadata)
    }
}

/// Of a text that is there, or is not.
unsafe fn is_empty(text: *const c_char) -> bool {
    // SAFETY: the caller says that it ends with a zero.
    text.is_null() || unsafe { CStr::from_ptr(text) }.is_empty()
}

impl Pledge {
    /// As C has it, as long as this lives.
    pub fn metadata(&self) -> *const c::rd_kafka_consumer_group_metadata_t {
        self.metadata.0
    }

    /// What is to be stored.
    pub fn positions(&self) -> &TopicPartitionList {
        &self.positions
    }
}

impl Membership {
    /// Somebody becomes the member, without any partition.
    pub fn join(self: &Arc<Membership>, member: Weak<dyn Consumes>) -> Seat {
        let mut state = self.state();
        state.seats += 1;
        state.member = Some(member);
        state.held.clear();
        Seat { membership: self.clone(), number: state.seats }
    }

    /// What may be stored of these next positions: those of partitions that are held, and were at that position. None where
    /// that is not so for one of the events, each told by its partition and position. May wait for the client's own thread.
    pub fn pledge<'a>(
        &self,
        events: impl Iterator<Item = (&'a str, u64)>,
        next: impl Iterator<Item = (&'a str, u64)>,
    ) -> Option<Pledge> {
        // Until the metadata is there nothing is given up.
        let state = self.state();
        let positions = state.positions(events, next)?;
        let member = state.member.as_ref()?.upgrade()?;
        Some(Pledge { metadata: Metadata::of(&*member)?, positions })
    }

    /// What the group has of some partitions, without those of which it has nothing. `None` where there is no member that
    /// could ask. Waits for the brokers.
    pub fn committed(&self, names: &[String], within: Duration) -> Option<KafkaResult<BTreeMap<String, u64>>> {
        let member = self.state().member.as_ref()?.upgrade()?;
        let mut partitions = TopicPartitionList::with_capacity(names.len());
        for (topic, number) in names.iter().filter_map(|name| topic_and_number(name)) {
            partitions.add_partition(topic, number);
        }
        Some(member.committed(partitions, within).and_then(|found| {
            let mut committed = BTreeMap::new();
            for element in found.elements() {
                element.error()?;
                if let Offset::Offset(offset) = element.offset()
                    && let Ok(offset) = u64::try_from(offset)
                {
                    committed.insert(format!("{}/{}", element.topic(), element.partition()), offset);
                }
            }
            Ok(committed)
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// See [`Membership::pledge`].
    fn positions<'a>(
        &self,
        mut events: impl Iterator<Item = (&'a str, u64)>,
        next: impl Iterator<Item = (&'a str, u64)>,
    ) -> Option<TopicPartitionList> {
        let holds = |name: &str, position: u64| self.held.get(name).is_some_and(|begin| *begin <= position);
        if !events.all(|(name, position)| holds(name, position)) {
            return None;
        }
        let mut positions = TopicPartitionList::new();
        for (name, position) in next.filter(|(name, position)| holds(name, *position)) {
            let (topic, number) = topic_and_number(name)?;
            positions.add_partition_offset(topic, number, Offset::Offset(i64::try_from(position).ok()?)).ok()?;
        }
        Some(positions)
    }
}

impl Seat {
    /// A partition is held from a position on.
    pub fn hold(&self, name: &str, begin: u64) {
        self.change(|held| {
            held.insert(name.to_owned(), begin);
        });
    }

    /// A partition is going to be given up: none of its positions is pledged from here on.
    pub fn let_go(&self, name: &str) {
        self.change(|held| {
            held.remove(name);
        });
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<String, u64>)) {
        let mut state = self.membership.state();
        if state.seats == self.number {
            change(&mut state.held);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.change(BTreeMap::clear);
    }
}

/// Of a partition that is called `TOPIC/NUMBER`.
fn topic_and_number(name: &str) -> Option<(&str, i32)> {
    let (topic, number) = name.rsplit_once('/')?;
    Some((topic, number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use rdkafka::ClientConfig;
    use rdkafka::consumer::{BaseConsumer, Consumer};

    use super::*;

    /// A client that has never spoken to a broker.
    struct Alone(BaseConsumer);

    impl Consumes for Alone {
        fn client(&self) -> *mut c::rd_kafka_t {
            self.0.client().native_ptr()
        }

        fn committed(&self, _: TopicPartitionList, _: Duration) -> KafkaResult<TopicPartitionList> {
            Ok(TopicPartitionList::new())
        }
    }

    fn held(membership: &Membership) -> Vec<(String, u64)> {
        membership.state().held.clone().into_iter().collect()
    }

    #[test]
    fn whoever_comes_later_takes_the_seat_over() {
        let membership = Arc::new(Membership::default());
        let nobody: Weak<dyn Consumes> = Weak::<Alone>::new();
        let first = membership.join(nobody.clone());
        first.hold("t/0", 5);
        assert_eq!(held(&membership), [("t/0".to_owned(), 5)]);
        let second = membership.join(nobody);
        first.hold("t/0", 5);
        assert_eq!(held(&membership), []);
        second.hold("t/1", 0);
        drop(first);
        assert_eq!(held(&membership), [("t/1".to_owned(), 0)]);
        second.let_go("t/1");
        assert_eq!(held(&membership), []);
    }

    #[test]
    fn positions_are_those_of_partitions_that_are_held_since_before_them() {
        let membership = Arc::new(Membership::default());
        let seat = membership.join(Weak::<Alone>::new());
        seat.hold("t/0", 5);
        seat.hold("t.u/12", 0);
        seat.hold("t/1", 9);
        let positions = |events: &[(&'static str, u64)]| {
            let next = [("t/0", 9), ("t/1", 8), ("t.u/12", 1), ("t/3", 4)];
            let positions = membership.state().positions(events.iter().copied(), next.into_iter())?;
            let told = |it: &rdkafka::topic_partition_list::TopicPartitionListElem| {
                (it.topic().to_owned(), it.partition(), it.offset().to_raw())
            };
            Some(positions.elements().iter().map(told).collect::<Vec<_>>())
        };
        let held = Some(vec![("t".to_owned(), 0, Some(9)), ("t.u".to_owned(), 12, Some(1))]);
        assert_eq!(positions(&[]), held);
        assert_eq!(positions(&[("t/0", 5), ("t.u/12", 0)]), held);
        assert_eq!(positions(&[("t/0", 4)]), None, "of an assignment before this one");
        assert_eq!(positions(&[("t/0", 5), ("t/3", 0)]), None, "of a partition that is another's");
        seat.let_go("t/0");
        assert_eq!(positions(&[("t/0", 5)]), None);
    }

    #[test]
    fn nothing_is_pledged_by_a_client_that_is_no_member() {
        let membership = Arc::new(Membership::default());
        let client = ClientConfig::new().set("group.id", "g").set("bootstrap.servers", "localhost:1").create();
        let member: Arc<dyn Consumes> = Arc::new(Alone(client.unwrap()));
        let seat = membership.join(Arc::downgrade(&member));
        seat.hold("t/0", 0);
        assert!(membership.pledge([("t/0", 3)].into_iter(), [("t/0", 4)].into_iter()).is_none());
        assert!(Metadata::of(&*member).is_none());
    }
}
