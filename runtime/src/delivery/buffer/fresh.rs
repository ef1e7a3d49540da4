//! What became durable last: while the reader is right behind, it need not come back from the disk.

use std::collections::VecDeque;
use std::sync::Arc;

use super::reader::Read;
use super::record::Encoded;
use crate::envelope::{Budget, Charge};

/// Records in an unbroken row from where the reader is.
#[derive(Debug)]
pub(super) struct Fresh {
    /// The number after all that the reader has, while it has handed all of it on.
    read_to: Option<u64>,
    records: VecDeque<Kept>,
}

/// With the room that each takes.
pub(super) type Reads = Vec<(Read, Charge)>;

#[derive(Debug)]
struct Kept {
    record: Arc<Encoded>,
    /// Where it ends: its segment, and the offset there.
    end: (u64, u64),
    charge: Charge,
}

impl Fresh {
    /// For a reader that did not begin.
    pub(super) fn new() -> Fresh {
        Fresh { read_to: None, records: VecDeque::new() }
    }

    /// Records became durable, of which the first is at an offset of a segment. They are kept as long as the reader needs
    /// nothing from before them, and there is room.
    pub(super) fn offer(&mut self, records: &[Arc<Encoded>], (segment, mut offset): (u64, u64), room: &Budget) {
        for record in records {
            offset += record.len;
            let next = self.records.back().map(|last| last.record.end()).or(self.read_to);
            if next != Some(record.first) {
                return;
            }
            let Some(charge) = room.try_reserve(record.batch.bytes()) else { return };
            self.records.push_back(Kept { record: record.clone(), end: (segment, offset), charge });
        }
    }

    /// All that is kept, and where it ends: the number after it, the segment, and the offset there.
    pub(super) fn take(&mut self) -> Option<(Reads, u64, (u64, u64))> {
        let last = self.records.back()?;
        let (number, place) = (last.record.end(), last.end);
        self.read_to = Some(number);
        let reads = self.records.drain(..).map(|Kept { record, charge, .. }| {
            let (first, end) = (record.first, record.end());
            (Read { batch: record.batch.clone(), numbers: (first..end).collect(), end, lost: 0 }, charge)
        });
        Some((reads.collect(), number, place))
    }

    /// The reader has handed everything before a number on.
    pub(super) fn follow(&mut self, number: u64) {
        self.read_to = Some(number);
        self.records.retain(|kept| kept.record.first >= number);
    }

    /// The reader is behind: what it reads from the disk waits for the room that records would take here.
    pub(super) fn stop(&mut self) {
        *self = Fresh::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{Batch, BatchBuilder, Event, Partition};
    use crate::delivery::buffer::record::encode;

    fn batch(events: usize) -> Batch {
        let mut builder = BatchBuilder::new();
        (0..events).for_each(|_| builder.push(&Partition::from("a"), Event::default()));
        builder.finish().unwrap()
    }

    fn record(first: u64, events: usize) -> Arc<Encoded> {
        Arc::new(encode(batch(events), first).unwrap())
    }

    fn numbers(fresh: &mut Fresh) -> Vec<u64> {
        let taken = fresh.take().map(|(reads, ..)| reads).unwrap_or_default();
        taken.iter().flat_map(|(read, _)| read.numbers.to_vec()).collect()
    }

    #[test]
    fn what_follows_on_what_was_read_is_kept_and_nothing_else() {
        let (mut fresh, room) = (Fresh::new(), Budget::new(1 << 20));
        fresh.offer(&[record(0, 5)], (1, 0), &room);
        assert!(fresh.take().is_none(), "nobody follows");
        fresh.follow(5);
        fresh.offer(&[record(7, 2)], (1, 0), &room);
        assert!(fresh.take().is_none(), "5 and 6 have to be read first");
        let records = [record(5, 2), record(7, 1)];
        let end = 100 + records.iter().map(|record| record.len).sum::<u64>();
        fresh.offer(&records, (3, 100), &room);
        let (reads, number, place) = fresh.take().unwrap();
        assert_eq!((reads.len(), number, place), (2, 8, (3, end)));
        fresh.offer(&[record(8, 1), record(9, 1)], (3, end), &room);
        fresh.follow(9);
        assert_eq!(numbers(&mut fresh), [9], "what was read meanwhile is not given twice");
    }

    #[test]
    fn what_there_is_no_room_for_is_left_to_the_disk() {
        let (mut fresh, room) = (Fresh::new(), Budget::new(batch(3).bytes() as u64));
        fresh.follow(0);
        fresh.offer(&[record(0, 2), record(2, 2), record(4, 1)], (1, 0), &room);
        assert_eq!(numbers(&mut fresh), [0, 1], "nothing follows on what is missing");
        fresh.offer(&[record(2, 1)], (1, 0), &room);
        fresh.stop();
        assert!(fresh.take().is_none());
        assert_eq!(room.used(), 0);
    }
}
