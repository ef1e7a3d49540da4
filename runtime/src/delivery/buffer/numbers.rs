//! Ranges of event numbers.

use std::ops::Range;

/// Numbers, as ranges that ascend and neither overlap nor touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Numbers(Vec<Range<u64>>);

impl Numbers {
    pub(super) fn from_ranges(ranges: impl IntoIterator<Item = Range<u64>>) -> Numbers {
        let mut sorted: Vec<Range<u64>> = ranges.into_iter().filter(|range| range.start < range.end).collect();
        sorted.sort_unstable_by_key(|range| range.start);
        let mut merged: Vec<Range<u64>> = Vec::new();
        for range in sorted {
            match merged.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => merged.push(range),
            }
        }
        Numbers(merged)
    }

    pub(super) fn ranges(&self) -> &[Range<u64>] {
        &self.0
    }

    /// How many there are from `start` on.
    pub(super) fn count_from(&self, start: u64) -> u64 {
        self.0.iter().map(|range| range.end.saturating_sub(range.start.max(start))).sum()
    }

    /// What of a range is not among them.
    pub(super) fn missing_in(&self, within: Range<u64>) -> Vec<Range<u64>> {
        let mut missing = Vec::new();
        let mut from = within.start;
        let first = self.0.partition_point(|range| range.end <= from);
        for range in &self.0[first..] {
            if range.start >= within.end {
                break;
            }
            if from < range.start {
                missing.push(from..range.start);
            }
            from = from.max(range.end);
        }
        if from < within.end {
            missing.push(from..within.end);
        }
        missing
    }

    /// Those from `start` on.
    pub(super) fn from(&self, start: u64) -> Numbers {
        Numbers::from_ranges(self.0.iter().map(|range| range.start.max(start)..range.end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_merged_and_cut() {
        let numbers = Numbers::from_ranges([8..9, 1..3, 3..5, 4..4]);
        assert_eq!(numbers.ranges(), [1..5, 8..9]);
        assert_eq!(numbers.missing_in(0..10), [0..1, 5..8, 9..10]);
        assert_eq!(numbers.missing_in(2..4), []);
        assert_eq!((numbers.count_from(4), numbers.from(4).ranges()), (2, &[4..5, 8..9][..]));
    }
}
