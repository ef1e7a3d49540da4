//! What the last write has left of its events: the first of each partition that the group has not passed.
//!
//! A dead letter may take the group past its event only where nothing is left before it.

use std::collections::BTreeMap;

use crate::batch::Origin;

/// The events of the last write, without those that the group has passed since.
#[derive(Default)]
pub(super) struct Front {
    origin: Origin,
    /// The rows before it are stored.
    from: usize,
    /// Where partitions go on, as far as that was said since.
    passed: BTreeMap<String, u64>,
}

impl Front {
    /// A write begins.
    pub(super) fn begin(&mut self, origin: &Origin) {
        *self = Front { origin: origin.clone(), ..Front::default() };
    }

    /// The first rows of it are stored.
    pub(super) fn wrote(&mut self, rows: usize) {
        self.from = rows;
    }

    /// Partitions go on there.
    pub(super) fn pass<'a>(&mut self, positions: impl Iterator<Item = (&'a str, u64)>) {
        self.passed.extend(positions.map(|(name, position)| (name.to_owned(), position)));
    }

    /// For each partition of these events its first position, and where it goes on after them. None where others are left
    /// before one of them, or it is not known here.
    pub(super) fn after<'a>(
        &self,
        events: impl Iterator<Item = (&'a str, u64)>,
    ) -> Option<BTreeMap<&'a str, (u64, u64)>> {
        let mut partitions: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
        for (name, position) in events {
            partitions.entry(name).or_default().push(position);
        }
        let after = |(name, positions): (&'a str, Vec<u64>)| {
            let first = self.left(name).take(positions.len()).eq(positions.iter().copied());
            first.then_some((name, (*positions.first()?, positions.last()? + 1)))
        };
        partitions.into_iter().map(after).collect()
    }

    fn left(&self, name: &str) -> impl Iterator<Item = u64> {
        let passed = self.passed.get(name).copied().unwrap_or(0);
        let Front { origin, from, .. } = self;
        let of = origin.spans().filter(move |(_, partition)| origin.partitions()[*partition as usize].as_str() == name);
        of.flat_map(|(rows, _)| rows.filter(|row| row >= from).map(|row| origin.positions()[row]))
            .filter(move |position| *position >= passed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{Batch, BatchBuilder, Event, Partition};

    fn batch(events: &[(&str, u64)]) -> Batch {
        let mut builder = BatchBuilder::new();
        for (name, position) in events {
            builder.push(&Partition::from(*name), Event { position: *position, ..Event::default() });
        }
        builder.finish().unwrap()
    }

    fn after(front: &Front, events: &[(&'static str, u64)]) -> Option<Vec<(&'static str, u64, u64)>> {
        let after = front.after(events.iter().copied())?;
        Some(after.into_iter().map(|(name, (first, next))| (name, first, next)).collect())
    }

    #[test]
    fn letters_pass_over_their_events_where_nothing_is_left_before_them() {
        let mut front = Front::default();
        assert_eq!(after(&front, &[("a", 1)]), None);
        front.begin(batch(&[("a", 1), ("a", 5), ("b", 7), ("a", 9), ("b", 8)]).origin());
        assert_eq!(after(&front, &[("a", 1)]), Some(vec![("a", 1, 2)]));
        assert_eq!(after(&front, &[("b", 7), ("a", 1), ("a", 5)]), Some(vec![("a", 1, 6), ("b", 7, 8)]));
        for behind in
            [&[("a", 5)][..], &[("a", 1), ("a", 9)], &[("a", 1), ("b", 8)], &[("a", 5), ("a", 1)], &[("c", 1)]]
        {
            assert_eq!(after(&front, behind), None, "{behind:?}");
        }
    }

    #[test]
    fn what_was_stored_or_passed_is_not_left() {
        let mut front = Front::default();
        front.begin(batch(&[("a", 1), ("a", 5), ("b", 7), ("a", 9), ("b", 8)]).origin());
        front.wrote(1);
        assert_eq!(after(&front, &[("a", 1)]), None);
        assert_eq!(after(&front, &[("a", 5)]), Some(vec![("a", 5, 6)]));
        front.pass([("a", 6), ("b", 8)].into_iter());
        assert_eq!(after(&front, &[("a", 9), ("b", 8)]), Some(vec![("a", 9, 10), ("b", 8, 9)]));
        front.begin(batch(&[("a", 9)]).origin());
        assert_eq!(after(&front, &[("b", 8)]), None);
    }
}
