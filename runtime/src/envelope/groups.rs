//! Which values were made of which events, where it is not one of each.

use std::ops::Range;

use arrow_buffer::ScalarBuffer;

use crate::batch::RowSet;

/// Events and the values that were made of them, in groups that hang together: no value was made of events of two groups.
/// Group `g` is neighbours among the values as among the events. A group has at least one of each.
///
/// Slicing shares the bounds, which is why they need not begin with 0.
#[derive(Clone, Debug)]
pub struct Groups {
    /// Where each group begins among the values, and where the last one ends.
    values: ScalarBuffer<u32>,
    /// The same among the events.
    events: ScalarBuffer<u32>,
}

impl Groups {
    /// From the number of values and of events of each group. None of them is 0.
    pub fn new(sizes: impl Iterator<Item = (u32, u32)>) -> Groups {
        let (mut values, mut events) = (vec![0], vec![0]);
        let (mut value, mut event) = (0, 0);
        for (of_values, of_events) in sizes {
            (value, event) = (value + of_values, event + of_events);
            values.push(value);
            events.push(event);
        }
        Groups { values: values.into(), events: events.into() }
    }

    /// One value of each event.
    pub(super) fn one_to_one(rows: usize) -> Groups {
        let bounds: ScalarBuffer<u32> = (0..=rows as u32).collect();
        Groups { values: bounds.clone(), events: bounds }
    }

    /// How many groups there are.
    pub(super) fn len(&self) -> usize {
        self.values.len() - 1
    }

    /// How many values they have.
    pub(super) fn values(&self) -> usize {
        (self.values[self.len()] - self.values[0]) as usize
    }

    /// How many events they have.
    pub(super) fn events(&self) -> usize {
        (self.events[self.len()] - self.events[0]) as usize
    }

    /// The values of each group.
    pub fn iter(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        let base = self.values[0];
        self.values.windows(2).map(move |pair| (pair[0] - base) as usize..(pair[1] - base) as usize)
    }

    /// The number of the group that begins at a value, or of the first one after it.
    fn at(&self, value: usize) -> usize {
        let base = self.values[0];
        self.values.partition_point(|bound| ((bound - base) as usize) < value)
    }

    /// The most values, at most so many, after which no group is cut in two.
    pub(super) fn floor(&self, values: usize) -> usize {
        let group = self.at(values + 1) - 1;
        (self.values[group] - self.values[0]) as usize
    }

    /// The fewest values, at least so many, after which no group is cut in two; all, if there are not so many.
    pub(super) fn ceil(&self, values: usize) -> usize {
        let group = self.at(values).min(self.len());
        (self.values[group] - self.values[0]) as usize
    }

    /// How many events the groups have whose values are the first `values`, which cut no group in two.
    pub(super) fn events_before(&self, values: usize) -> usize {
        (self.events[self.at(values)] - self.events[0]) as usize
    }

    /// The events of some values, which cut no group in two.
    pub(super) fn events_of(&self, values: &RowSet) -> RowSet {
        let range = |range: &Range<u32>| {
            let (start, end) = (self.events_before(range.start as usize), self.events_before(range.end as usize));
            start as u32..end as u32
        };
        RowSet::from_ranges(values.ranges().iter().map(range))
    }

    /// The values of all groups that have some of these events.
    pub(super) fn values_of(&self, events: &RowSet) -> RowSet {
        let (values, base) = (self.values[0], self.events[0]);
        let range = |range: &Range<u32>| {
            let first = self.events.partition_point(|bound| bound - base <= range.start) - 1;
            let last = self.events.partition_point(|bound| bound - base < range.end);
            RowSet::from_ranges(std::iter::once(self.values[first] - values..self.values[last] - values))
        };
        events.ranges().iter().map(range).fold(RowSet::default(), |all, values| all.union(&values))
    }

    /// Splits off the groups whose values are the first `values`, which cut no group in two.
    pub(super) fn split_front(&mut self, values: usize) -> Groups {
        let (middle, len) = (self.at(values), self.len());
        let part = |bounds: &ScalarBuffer<u32>, groups: Range<usize>| bounds.slice(groups.start, groups.len() + 1);
        let of = |groups: Range<usize>| Groups {
            values: part(&self.values, groups.clone()),
            events: part(&self.events, groups),
        };
        let (front, rest) = (of(0..middle), of(middle..len));
        *self = rest;
        front
    }

    /// The groups of some values, which cut no group in two.
    pub(super) fn select(&self, values: &RowSet) -> Groups {
        let groups = values.ranges().iter();
        let groups = groups.flat_map(|range| self.at(range.start as usize)..self.at(range.end as usize));
        Groups::new(groups.map(|group| self.size(group)))
    }

    /// How many values and events each group has.
    pub fn sizes(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        (0..self.len()).map(|group| self.size(group))
    }

    fn size(&self, group: usize) -> (u32, u32) {
        let size = |bounds: &ScalarBuffer<u32>| bounds[group + 1] - bounds[group];
        (size(&self.values), size(&self.events))
    }

    /// All groups of `parts`, in order.
    pub(super) fn concat(parts: &[Groups]) -> Groups {
        Groups::new(parts.iter().flat_map(Groups::sizes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two values of one event, one of three, one of one, three of two.
    fn groups() -> Groups {
        Groups::new([(2, 1), (1, 3), (1, 1), (3, 2)].into_iter())
    }

    fn sizes(groups: &Groups) -> Vec<(u32, u32)> {
        groups.sizes().collect()
    }

    #[test]
    fn no_cut_goes_through_a_group() {
        let groups = groups();
        assert_eq!((0..=8).map(|values| groups.floor(values)).collect::<Vec<_>>(), [0, 0, 2, 3, 4, 4, 4, 7, 7]);
        assert_eq!((0..=8).map(|values| groups.ceil(values)).collect::<Vec<_>>(), [0, 2, 2, 3, 4, 7, 7, 7, 7]);
        assert_eq!([0, 2, 3, 4, 7].map(|values| groups.events_before(values)), [0, 1, 4, 5, 7]);
    }

    #[test]
    fn parts_have_what_belongs_to_their_values() {
        let mut rest = groups();
        let front = rest.split_front(3);
        assert_eq!((sizes(&front), sizes(&rest)), (vec![(2, 1), (1, 3)], vec![(1, 1), (3, 2)]));
        assert_eq!((rest.values(), rest.events(), rest.floor(3), rest.ceil(3), rest.events_before(1)), (4, 3, 1, 4, 1));
        assert_eq!(rest.iter().collect::<Vec<_>>(), [0..1, 1..4]);
        let both = Groups::concat(&[front, rest]);
        assert_eq!(sizes(&both), sizes(&groups()));
        let some = RowSet::from_ranges([2..3, 4..7]);
        assert_eq!(both.events_of(&some), RowSet::from_ranges([1..4, 5..7]));
        assert_eq!(sizes(&both.select(&some)), [(1, 3), (3, 2)]);
        assert_eq!(both.values_of(&RowSet::from_ranges([2..3, 6..7])), some);
    }
}
