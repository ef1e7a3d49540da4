//! A set of rows of one batch.

use std::ops::Range;

use arrow_buffer::{BooleanBuffer, BooleanBufferBuilder};

/// Row numbers of one batch, as ascending ranges that neither overlap nor touch.
///
/// Its cost is the number of ranges: all rows of a batch are one range, however many there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowSet {
    ranges: Vec<Range<u32>>,
}

impl RowSet {
    /// No rows, with room for so many ranges.
    pub fn with_capacity(ranges: usize) -> RowSet {
        RowSet { ranges: Vec::with_capacity(ranges) }
    }

    /// Rows `0..rows`.
    pub fn all(rows: usize) -> RowSet {
        RowSet::range(0..rows)
    }

    /// A range of rows.
    pub fn range(rows: Range<usize>) -> RowSet {
        RowSet::from_ranges(std::iter::once(rows.start as u32..rows.end as u32))
    }

    /// Any row numbers, in any order; one that is named twice counts once.
    pub fn from_rows(mut rows: Vec<u32>) -> RowSet {
        rows.sort_unstable();
        rows.dedup();
        RowSet::from_ranges(rows.into_iter().map(|row| row..row + 1))
    }

    /// Ranges in ascending order that do not overlap; those that touch are joined.
    pub fn from_ranges(ranges: impl IntoIterator<Item = Range<u32>>) -> RowSet {
        let mut joined: Vec<Range<u32>> = Vec::new();
        for range in ranges {
            match joined.last_mut() {
                _ if range.is_empty() => {}
                Some(last) if last.end == range.start => last.end = range.end,
                _ => joined.push(range),
            }
        }
        RowSet { ranges: joined }
    }

    /// Adds a row after all that are in it.
    pub fn push(&mut self, row: u32) {
        match self.ranges.last_mut() {
            Some(last) if last.end == row => last.end = row + 1,
            _ => self.ranges.push(row..row + 1),
        }
    }

    /// The rows whose bit is set.
    pub fn from_mask(mask: &BooleanBuffer) -> RowSet {
        RowSet { ranges: mask.set_slices().map(|(start, end)| start as u32..end as u32).collect() }
    }

    /// A bit for each of `rows` rows.
    pub fn mask(&self, rows: usize) -> BooleanBuffer {
        let mut mask = BooleanBufferBuilder::new(rows);
        for range in &self.ranges {
            mask.append_n(range.start as usize - mask.len(), false);
            mask.append_n(range.len(), true);
        }
        mask.append_n(rows - mask.len(), false);
        mask.finish()
    }

    /// The ranges.
    pub fn ranges(&self) -> &[Range<u32>] {
        &self.ranges
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.ranges.iter().map(|range| range.len()).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Whether these are all rows of a batch of `rows`.
    pub fn is_all(&self, rows: usize) -> bool {
        self.len() == rows
    }

    /// Every row in turn.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.ranges.iter().cloned().flatten()
    }

    /// The rows of a batch of `rows` that are not in this set.
    pub fn complement(&self, rows: usize) -> RowSet {
        let mut gaps = Vec::with_capacity(self.ranges.len() + 1);
        let mut next = 0;
        for range in &self.ranges {
            gaps.push(next..range.start);
            next = range.end;
        }
        gaps.push(next..rows as u32);
        RowSet::from_ranges(gaps)
    }

    /// The rows of this set that are not in the other.
    pub fn without(&self, other: &RowSet) -> RowSet {
        let end = self.ranges.last().map_or(0, |range| range.end) as usize;
        self.intersection(&other.intersection(&RowSet::all(end)).complement(end))
    }

    /// The rows that are in both sets.
    pub fn intersection(&self, other: &RowSet) -> RowSet {
        let (mut a, mut b) = (self.ranges.iter().peekable(), other.ranges.iter().peekable());
        let mut both = Vec::new();
        while let (Some(x), Some(y)) = (a.peek(), b.peek()) {
            both.push(x.start.max(y.start)..x.end.min(y.end).max(x.start.max(y.start)));
            if x.end <= y.end {
                a.next()
            } else {
                b.next()
            };
        }
        RowSet::from_ranges(both)
    }

    /// The rows that are in this set or in the other.
    pub fn union(&self, other: &RowSet) -> RowSet {
        let mut both: Vec<Range<u32>> = self.ranges.iter().chain(&other.ranges).cloned().collect();
        both.sort_unstable_by_key(|range| range.start);
        let mut joined: Vec<Range<u32>> = Vec::with_capacity(both.len());
        for range in both {
            match joined.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => joined.push(range),
            }
        }
        RowSet { ranges: joined }
    }

    /// Where the rows of this set stand among the rows of `whole`, once only those are left.
    pub fn within(&self, whole: &RowSet) -> RowSet {
        let mut ranges = self.ranges.iter().cloned().peekable();
        let (mut before, mut found) = (0, Vec::new());
        for outer in &whole.ranges {
            while let Some(inner) = ranges.peek() {
                let (start, end) = (inner.start.max(outer.start), inner.end.min(outer.end));
                if start < end {
                    found.push(before + start - outer.start..before + end - outer.start);
                }
                if inner.end > outer.end {
                    break;
                }
                ranges.next();
            }
            before += outer.len() as u32;
        }
        RowSet::from_ranges(found)
    }
}

impl FromIterator<u32> for RowSet {
    fn from_iter<I: IntoIterator<Item = u32>>(rows: I) -> RowSet {
        RowSet::from_rows(rows.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const ROWS: usize = 64;

    fn sets() -> impl Strategy<Value = (BTreeSet<u32>, BTreeSet<u32>)> {
        let set = || proptest::collection::btree_set(0..ROWS as u32, 0..ROWS);
        (set(), set())
    }

    fn rows(set: &BTreeSet<u32>) -> RowSet {
        set.iter().copied().collect()
    }

    proptest! {
        #[test]
        fn it_behaves_like_a_set((a, b) in sets()) {
            let (x, y) = (rows(&a), rows(&b));
            prop_assert_eq!(x.iter().collect::<Vec<_>>(), a.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(x.len(), a.len());
            prop_assert_eq!(x.union(&y), rows(&(&a | &b)));
            prop_assert_eq!(x.intersection(&y), rows(&(&a & &b)));
            prop_assert_eq!(x.without(&y), rows(&(&a - &b)));
            prop_assert_eq!(x.complement(ROWS), rows(&(&(0..ROWS as u32).collect() - &a)));
            prop_assert_eq!(RowSet::from_mask(&x.mask(ROWS)), x.clone());
            prop_assert!(x.ranges().windows(2).all(|w| w[0].end < w[1].start), "ranges touch");
            let whole: Vec<u32> = b.iter().copied().collect();
            let within: BTreeSet<u32> = (&a & &b).iter().filter_map(|row| whole.binary_search(row).ok().map(|i| i as u32)).collect();
            prop_assert_eq!(x.within(&y), rows(&within));
        }
    }

    #[test]
    fn all_rows_are_one_range() {
        assert_eq!(RowSet::all(1_000_000).ranges().len(), 1);
        assert!(RowSet::all(0).is_empty());
        assert!(RowSet::from_rows(vec![2, 0, 1, 1]).is_all(3));
    }
}
