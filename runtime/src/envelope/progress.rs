//! How far one sink has come in one assignment of one partition.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use arrow_buffer::ScalarBuffer;

/// Which events of an assignment are final, and the position up to which all are.
///
/// Events that a path takes are numbered from 0, without gaps, whatever the routes left out between them: so what is
/// settled in order is one number, and what is settled out of order a few ranges, never a set of events.
#[derive(Debug)]
pub(super) struct Progress {
    /// The position after everything that was seen.
    end: u64,
    /// The number that the next event gets.
    next: u64,
    /// All numbers below are final.
    floor: u64,
    /// Final numbers above the floor: start to end, neither overlapping nor touching.
    ahead: BTreeMap<u64, u64>,
    /// What was taken and is not all final, oldest first: the first number, and the position of each event.
    taken: VecDeque<(u64, ScalarBuffer<u64>)>,
    abandoned: bool,
}

impl Progress {
    /// An assignment that begins at a position.
    pub(super) fn new(begin: u64) -> Progress {
        Progress { end: begin, next: 0, floor: 0, ahead: BTreeMap::new(), taken: VecDeque::new(), abandoned: false }
    }

    /// Numbers events by their positions, which ascend. Returns their numbers.
    pub(super) fn take(&mut self, positions: ScalarBuffer<u64>) -> Range<u64> {
        let first = self.next;
        self.next += positions.len() as u64;
        if !positions.is_empty() {
            self.taken.push_back((first, positions));
        }
        first..self.next
    }

    /// Everything before `end` has been seen, whether it was taken or not.
    pub(super) fn reach(&mut self, end: u64) {
        self.end = self.end.max(end);
    }

    /// Events with these numbers are final. Each number comes once.
    pub(super) fn settle(&mut self, mut numbers: Range<u64>) {
        if numbers.start == self.floor {
            self.floor = numbers.end;
            if let Some(end) = self.ahead.remove(&self.floor) {
                self.floor = end;
            }
            while self.taken.front().is_some_and(|(first, events)| first + events.len() as u64 <= self.floor) {
                self.taken.pop_front();
            }
            return;
        }
        if let Some(end) = self.ahead.remove(&numbers.end) {
            numbers.end = end;
        }
        match self.ahead.range_mut(..numbers.start).next_back() {
            Some((_, end)) if *end == numbers.start => *end = numbers.end,
            _ => {
                self.ahead.insert(numbers.start, numbers.end);
            }
        }
    }

    /// An event was given up. No position past it is ever reached, because its number is never settled.
    pub(super) fn abandon(&mut self) {
        self.abandoned = true;
    }

    pub(super) fn is_abandoned(&self) -> bool {
        self.abandoned
    }

    /// Where to go on: everything before it is final.
    pub(super) fn position(&self) -> u64 {
        match self.taken.front() {
            Some((first, events)) => events[(self.floor - first) as usize],
            None => self.end,
        }
    }

    /// The position after everything that was seen.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Events that are taken and not final.
    pub(super) fn open(&self) -> u64 {
        self.next - self.floor - self.ahead.iter().map(|(start, end)| end - start).sum::<u64>()
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
        progress.settle(1..3);
        assert_eq!((progress.position(), progress.open()), (10, 1));
        progress.settle(0..1);
        assert_eq!((progress.position(), progress.open()), (40, 0));
    }

    #[test]
    fn what_no_route_takes_moves_the_position_once_nothing_is_open() {
        let mut progress = taking(&[10], 20);
        progress.reach(500);
        assert_eq!(progress.position(), 10);
        progress.settle(0..1);
        assert_eq!(progress.position(), 500);
    }

    #[test]
    fn a_million_events_settled_in_order_are_kept_as_one_number() {
        let mut progress = taking(&(0..1_000_000).collect::<Vec<_>>(), 1_000_000);
        for number in 0..1_000_000 {
            progress.settle(number..number + 1);
            assert!(progress.ahead.is_empty());
        }
        assert_eq!(progress.position(), 1_000_000);
    }

    proptest! {
        #[test]
        fn any_order_of_settling_gives_the_longest_final_prefix(
            sizes in proptest::collection::vec(0..6usize, 1..8),
            order in Just((0..40u64).collect::<Vec<_>>()).prop_shuffle(),
        ) {
            let mut progress = Progress::new(0);
            let mut total = 0;
            for size in &sizes {
                let positions: Vec<u64> = (total..total + *size as u64).map(|n| n * 10).collect();
                progress.take(ScalarBuffer::from(positions));
                total += *size as u64;
                progress.reach(total * 10);
            }
            let mut settled = std::collections::BTreeSet::new();
            for number in order.into_iter().filter(|number| *number < total) {
                progress.settle(number..number + 1);
                settled.insert(number);
                let first_open = (0..=total).find(|n| !settled.contains(n)).unwrap();
                prop_assert_eq!(progress.position(), first_open * 10);
                prop_assert_eq!(progress.open(), total - settled.len() as u64);
            }
        }
    }
}
