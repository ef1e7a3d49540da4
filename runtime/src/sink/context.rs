//! What a sink is told beside the events.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use xxhash_rust::xxh3::Xxh3;

use crate::batch::{Origin, Partition};

/// Circumstances of one write.
#[derive(Clone, Debug)]
pub struct WriteContext {
    /// The pipeline's name.
    pub pipeline: Arc<str>,
    /// The sink's name in it.
    pub sink: Arc<str>,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// When the write is given up.
    pub deadline: Instant,
    /// The whole time that an attempt has.
    pub timeout: Duration,
    /// Order was promised: see [`Contract::stops_in_order`](super::Contract::stops_in_order).
    pub ordered: bool,
    /// Is over once the next write may begin: see [`Contract::ahead`](super::Contract::ahead).
    pub turn: Turn,
    /// What has to be stored together with the data of this write, where events are to be in it exactly once: see
    /// [`Connect::stored`](super::Connect::stored).
    pub next: Option<Next>,
}

impl WriteContext {
    /// The identity of a batch in this sink: see [`BatchId`].
    pub fn batch_id(&self, origin: &Origin) -> BatchId {
        BatchId::of(&self.pipeline, &self.sink, origin)
    }
}

/// The turn of one of several writes that begin one after the other. Cloning gives the same turn.
#[derive(Clone, Debug, Default)]
pub struct Turn(Arc<Notify>);

impl Turn {
    /// All events are handed over, in order: the next write may begin.
    pub fn end(&self) {
        self.0.notify_one();
    }

    /// Returns once it has ended. One waits for that.
    pub async fn over(&self) {
        self.0.notified().await;
    }
}

/// Where each partition goes on: what a sink stores together with the data.
///
/// All partitions of the path are named, those without an event in the batch too: what the path does not take, or has
/// among its dead letters, is passed over by it. Cloning is cheap.
#[derive(Clone, Debug, Default)]
pub struct Next(Arc<BTreeMap<Partition, u64>>);

impl Next {
    /// These are the positions once the whole batch is stored.
    pub fn new(after_all: BTreeMap<Partition, u64>) -> Next {
        Next(Arc::new(after_all))
    }

    /// Once the whole batch is stored.
    pub fn after_all(&self) -> &BTreeMap<Partition, u64> {
        &self.0
    }

    /// Once the first `rows` events of the batch are stored, and none of the others. `origin` is the batch's.
    pub fn after(&self, origin: &Origin, rows: usize) -> BTreeMap<Partition, u64> {
        let mut positions = BTreeMap::clone(&self.0);
        // The first of what is left of each partition is what comes next there.
        let left = origin.spans().filter(|(span, _)| span.end > rows).collect::<Vec<_>>();
        for (span, partition) in left.into_iter().rev() {
            let first = origin.positions()[span.start.max(rows)];
            positions.insert(origin.partitions()[partition as usize].clone(), first);
        }
        positions
    }
}

/// The same for every attempt at exactly these events by this sink, and for no others. Prints as 32 hexadecimal digits.
///
/// It is XXH3 with 128 bits and seed 0 over: pipeline and sink; then for each run of events from one partition the
/// partition's name, the number of events as 64 bits, and their positions as 64 bits each. Names are preceded by their
/// length in bytes as 64 bits. All numbers are little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BatchId(u128);

impl BatchId {
    /// Of the events of an origin.
    pub fn of(pipeline: &str, sink: &str, origin: &Origin) -> BatchId {
        let mut hash = Xxh3::new();
        text(&mut hash, pipeline);
        text(&mut hash, sink);
        for (rows, partition) in origin.spans() {
            text(&mut hash, origin.partitions()[partition as usize].as_str());
            hash.update(&(rows.len() as u64).to_le_bytes());
            positions(&mut hash, &origin.positions()[rows]);
        }
        BatchId(hash.digest128())
    }
}

impl fmt::Display for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

fn text(hash: &mut Xxh3, text: &str) {
    hash.update(&(text.len() as u64).to_le_bytes());
    hash.update(text.as_bytes());
}

fn positions(hash: &mut Xxh3, positions: &[u64]) {
    let mut bytes = [0; 8 * 64];
    for some in positions.chunks(64) {
        for (bytes, position) in bytes.chunks_exact_mut(8).zip(some) {
            bytes.copy_from_slice(&position.to_le_bytes());
        }
        hash.update(&bytes[..8 * some.len()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{Batch, BatchBuilder, Event, Partition};

    fn batch(names: &[(&str, u64)]) -> Batch {
        let mut builder = BatchBuilder::new();
        for (name, position) in names {
            builder.push(&Partition::from(*name), Event { position: *position, ..Event::default() });
        }
        builder.finish().unwrap()
    }

    fn id(batch: &Batch) -> String {
        BatchId::of("p", "s", batch.origin()).to_string()
    }

    #[test]
    fn it_depends_on_the_events_and_not_on_how_they_came_together() {
        let whole = batch(&[("a", 1), ("a", 2), ("b", 7)]);
        let parts = Batch::concat(&[batch(&[("a", 1)]), batch(&[("a", 2), ("b", 7)])]).unwrap();
        assert_eq!(id(&whole), id(&parts));
        assert_eq!(id(&whole.slice(1..2)), id(&batch(&[("a", 2)])));
        assert_ne!(id(&whole), id(&whole.slice(0..2)));
        assert_ne!(BatchId::of("p", "s", whole.origin()), BatchId::of("ps", "", whole.origin()));
    }

    #[test]
    fn after_some_events_each_partition_goes_on_at_its_first_that_is_left() {
        let batch = batch(&[("a", 1), ("a", 5), ("b", 7), ("a", 9), ("b", 8)]);
        let next = Next::new([("a", 20), ("b", 30), ("c", 3)].map(|(name, at)| (Partition::from(name), at)).into());
        let after = |rows| next.after(batch.origin(), rows).into_values().collect::<Vec<_>>();
        assert_eq!(after(0), [1, 7, 3]);
        assert_eq!(after(1), [5, 7, 3]);
        assert_eq!(after(3), [9, 8, 3]);
        assert_eq!(after(4), [20, 8, 3]);
        assert_eq!(after(5), [20, 30, 3]);
    }

    #[test]
    fn it_stays_what_the_documentation_says() {
        let mut bytes = Vec::new();
        for name in ["p", "s", "a"] {
            bytes.extend(1u64.to_le_bytes());
            bytes.extend(name.bytes());
        }
        for number in [2u64, 1, 2] {
            bytes.extend(number.to_le_bytes());
        }
        let expected = format!("{:032x}", xxhash_rust::xxh3::xxh3_128(&bytes));
        assert_eq!(id(&batch(&[("a", 1), ("a", 2)])), expected);
        let page = include_str!("../../../docs/identity.md");
        assert!(page.contains(&format!("| `p` | `s` | `a` at 1 and 2 | `{expected}` |")), "{expected}");
    }
}
