//! How far one sink has come in one assignment of one partition.

use std::collections::VecDeque;
use std::ops::Range;

use arrow_buffer::ScalarBuffer;

use crate::defect::{self, Defect};

/// Which events of an assignment are final, and the position up to which all are.
///
/// Events that a path takes are numbered from 0, without gaps, whatever the routes left out between them. What is kept
/// of them are the chunks that they came in, each until all of its events are final: one event that stays open for
/// days keeps its own chunk and no other. Inside a chunk, settling in order moves one number, and settling out of
/// order costs one bit an event.
#[derive(Debug)]
pub(super) struct Progress {
    /// The position after everything that was seen.
    end: u64,
    /// The number that the next event gets.
    next: u64,
    /// What was taken and is not all final, by ascending numbers.
    chunks: VecDeque<Chunk>,
    open: u64,
    abandoned: bool,
    /// The partition was taken away: no call with events of this assignment begins any more.
    revoked: bool,
    /// Calls with events of this assignment, and whatever else may still make some of them final.
    flights: usize,
}

/// Events that were taken together.
#[derive(Debug)]
struct Chunk {
    /// The number of its first event.
    first: u64,
    positions: ScalarBuffer<u64>,
    /// All events before this one are final.
    low: usize,
    /// A bit for each event that became final before its turn; empty until there is one.
    ahead: Vec<u64>,
    open: usize,
}

impl Progress {
    /// An assignment that begins at a position.
    pub(super) fn new(begin: u64) -> Progress {
        Progress { end: begin, next: 0, chunks: VecDeque::new(), open: 0, abandoned: false, revoked: false, flights: 0 }
    }

    /// Numbers events by their positions, which ascend. Returns their numbers.
    pub(super) fn take(&mut self, positions: ScalarBuffer<u64>) -> Range<u64> {
        let (first, open) = (self.next, positions.len());
        self.next += open as u64;
        self.open += open as u64;
        if open > 0 {
            self.chunks.push_back(Chunk { first, positions, low: 0, ahead: Vec::new(), open });
        }
        first..self.next
    }

    /// Everything before `end` has been seen, whether it was taken or not.
    pub(super) fn reach(&mut self, end: u64) {
        self.end = self.end.max(end);
    }

    /// Events with these numbers are final. Each number comes once.
    pub(super) fn settle(&mut self, ranges: impl IntoIterator<Item = Range<u64>>) {
        let mut index = None;
        for mut numbers in ranges {
            self.open -= numbers.end - numbers.start;
            // Most ranges of one call are in the same chunk as the one before, or in the next.
            let near = index.filter(|at| self.chunks.get(*at).is_some_and(|chunk| chunk.first <= numbers.start));
            let mut at = near.unwrap_or_else(|| self.chunks.partition_point(|chunk| chunk.end() <= numbers.start));
            while let Some(chunk) = self.chunks.get_mut(at)
                && numbers.start < numbers.end
            {
                let end = numbers.end.min(chunk.end());
                if numbers.start < end {
                    chunk.settle((numbers.start - chunk.first) as usize..(end - chunk.first) as usize);
                    numbers.start = end;
                }
                match (chunk.open, chunk.end() > end) {
                    (0, _) => drop(self.chunks.remove(at)),
                    (_, true) => break,
                    (_, false) => at += 1,
                }
            }
            index = Some(at);
        }
    }

    /// An event was given up. No position past it is ever reached, because its number is never settled.
    pub(super) fn abandon(&mut self) {
        self.abandoned = true;
    }

    pub(super) fn is_abandoned(&self) -> bool {
        self.abandoned
    }

    /// The partition is taken away.
    pub(super) fn revoke(&mut self) {
        self.revoked = true;
    }

    pub(super) fn is_revoked(&self) -> bool {
        self.revoked
    }

    /// Some of its events go to the sink, unless the partition was taken away.
    pub(super) fn depart(&mut self) -> bool {
        let may = !self.revoked || defect::on(Defect::DeliverRevoked);
        self.flights += usize::from(may);
        may
    }

    /// They came back. Whether somebody may wait for that.
    pub(super) fn land(&mut self) -> bool {
        self.flights -= 1;
        self.revoked && self.flights == 0
    }

    pub(super) fn is_in_flight(&self) -> bool {
        self.flights > 0
    }

    /// Where to go on: everything before it is final.
    pub(super) fn position(&self) -> u64 {
        self.chunks.front().map_or(self.end, |chunk| chunk.positions[chunk.low])
    }

    /// Where to go on once every event before this number is final.
    pub(super) fn position_at(&self, number: u64) -> u64 {
        let at = self.chunks.partition_point(|chunk| chunk.end() <= number);
        self.chunks.get(at).map_or(self.end, |chunk| chunk.positions[number.saturating_sub(chunk.first) as usize])
    }

    /// The position after everything that was seen.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Events that are taken and not final.
    pub(super) fn open(&self) -> u64 {
        self.open
    }
}

impl Chunk {
    fn end(&self) -> u64 {
        self.first + self.positions.len() as u64
    }

    fn settle(&mut self, rows: Range<usize>) {
        self.open -= rows.len();
        if rows.start > self.low {
            if self.ahead.is_empty() {
                self.ahead = vec![0; self.positions.len().div_ceil(64)];
            }
            set(&mut self.ahead, rows);
            return;
        }
        self.low = rows.end;
        while let Some(word) = self.ahead.get(self.low / 64) {
            // Bits from here on that follow each other without a gap.
            let run = (word >> (self.low % 64)).trailing_ones() as usize;
            self.low += run;
            if run == 0 || !self.low.is_multiple_of(64) {
                break;
            }
        }
    }
}

/// Sets a range of bits.
fn set(words: &mut [u64], bits: Range<usize>) {
    let mut bit = bits.start;
    while bit < bits.end {
        let end = bits.end.min((bit / 64 + 1) * 64);
        words[bit / 64] |= (u64::MAX >> (64 - (end - bit))) << (bit % 64);
        bit = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn taking(positions: &[u64], end: u64) -> Progress {
        let mut progress = Progress::new(0);
        progress.take(ScalarBuffer::from(positions.to_vec()));
        progress.reach(end);
        progress
    }

    #[test]
    fn the_position_is_that_of_the_first_event_that_is_not_final() {
        let mut progress = taking(&[10, 20, 30], 40);
        assert_eq!((progress.position(), progress.open()), (10, 3));
        progress.settle(Some(1..3));
        assert_eq!((progress.position(), progress.open()), (10, 1));
        progress.settle(Some(0..1));
        assert_eq!((progress.position(), progress.open()), (40, 0));
    }

    #[test]
    fn what_no_route_takes_moves_the_position_once_nothing_is_open() {
        let mut progress = taking(&[10], 20);
        progress.reach(500);
        assert_eq!(progress.position(), 10);
        progress.settle(Some(0..1));
        assert_eq!(progress.position(), 500);
    }

    #[test]
    fn a_million_events_settled_in_order_are_kept_as_one_number() {
        let mut progress = taking(&(0..1_000_000).collect::<Vec<_>>(), 1_000_000);
        for number in 0..999_999 {
            progress.settle(Some(number..number + 1));
            assert!(progress.chunks[0].ahead.is_empty());
        }
        progress.settle(Some(999_999..1_000_000));
        assert_eq!(progress.position(), 1_000_000);
    }

    #[test]
    fn an_event_that_stays_open_keeps_its_own_chunk_and_no_other() {
        let mut progress = taking(&[7], 8);
        for chunk in 0..10_000u64 {
            progress.take(ScalarBuffer::from(vec![10 + 2 * chunk, 11 + 2 * chunk]));
            progress.settle(Some(1 + 2 * chunk..3 + 2 * chunk));
        }
        assert_eq!((progress.chunks.len(), progress.position(), progress.open()), (1, 7, 1));
    }

    proptest! {
        #[test]
        fn any_order_of_settling_gives_the_longest_final_prefix(
            sizes in proptest::collection::vec(0..200usize, 1..5),
            cuts in proptest::collection::btree_set(1..800u64, 0..60),
            shuffled in any::<u64>(),
        ) {
            let mut progress = Progress::new(0);
            let mut total = 0;
            for size in &sizes {
                let positions: Vec<u64> = (total..total + *size as u64).map(|n| n * 10).collect();
                progress.take(ScalarBuffer::from(positions));
                total += *size as u64;
                progress.reach(total * 10);
            }
            // Ranges that may reach over several chunks, in any order.
            let bounds: Vec<u64> = [0].into_iter().chain(cuts.into_iter().filter(|cut| *cut < total)).chain([total]).collect();
            let mut ranges: Vec<Range<u64>> = bounds.windows(2).map(|pair| pair[0]..pair[1]).collect();
            fastrand::Rng::with_seed(shuffled).shuffle(&mut ranges);
            let mut open: std::collections::BTreeSet<u64> = (0..total).collect();
            for range in ranges {
                open.retain(|number| !range.contains(number));
                progress.settle(Some(range));
                prop_assert_eq!(progress.position(), open.first().unwrap_or(&total) * 10);
                prop_assert_eq!(progress.open(), open.len() as u64);
            }
            prop_assert!(progress.chunks.is_empty());
        }
    }
}
