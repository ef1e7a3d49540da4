//! Which events and values hang together, and an order in which they stand together. Pure.

use arrow_schema::ArrowError;

use crate::batch::{Batch, RowSet};
use crate::defect::{self, Defect};
use crate::envelope::{Envelope, Groups};
use crate::sink::Sources;

/// Events of one call that values were made of.
#[derive(Debug)]
pub(super) struct Grouping {
    /// All others were left out, or are refused.
    pub(super) named: RowSet,
    /// The order of the named events in which groups stand together, unless they do already.
    events: Option<Vec<u32>>,
    /// The same of the values. Groups come in the order of their first values.
    values: Option<Vec<u32>>,
    /// Absent where each event has one value.
    groups: Option<Groups>,
}

impl Grouping {
    /// Of a call with so many events. The sources were checked.
    pub(super) fn new(events: usize, sources: &Sources) -> Grouping {
        let mut sets = Sets::new(events);
        for rows in sources.iter() {
            rows.windows(2).for_each(|pair| sets.join(pair[0], pair[1]));
        }
        // Numbers of groups, in the order of their first values.
        let (mut numbers, mut sizes): (Vec<Option<u32>>, Vec<(u32, u32)>) = (vec![None; events], Vec::new());
        let mut of_values = Vec::with_capacity(sources.offsets.len());
        for rows in sources.iter() {
            let first = sets.first(rows[0]) as usize;
            let number = *numbers[first].get_or_insert_with(|| {
                sizes.push((0, 0));
                sizes.len() as u32 - 1
            });
            sizes[number as usize].0 += 1;
            of_values.push(number);
        }
        let of_events: Vec<Option<u32>> = (0..events as u32).map(|event| numbers[sets.first(event) as usize]).collect();
        let named: RowSet = (0..events as u32).filter(|event| of_events[*event as usize].is_some()).collect();
        let of_events: Vec<u32> = of_events.into_iter().flatten().collect();
        of_events.iter().for_each(|number| sizes[*number as usize].1 += 1);
        let one_to_one = sizes.iter().all(|size| *size == (1, 1));
        Grouping {
            named,
            events: order(&of_events),
            values: order(&of_values),
            groups: (!one_to_one).then(|| Groups::new(sizes.iter().copied())),
        }
    }

    /// Puts the named events, and the values that were made of them, in the order of their groups.
    ///
    /// Fails when they can't be copied.
    pub(super) fn apply(
        self,
        events: Envelope,
        values: Batch,
    ) -> Result<(Envelope, Batch, Option<Groups>), ArrowError> {
        let events = match self.events {
            None => events,
            Some(order) => events.reorder(order)?,
        };
        let values = match self.values {
            None => values,
            Some(order) => values.gather(order)?,
        };
        if let Some(groups) = &self.groups
            && defect::on(Defect::ForgetValue)
        {
            return forget_one(events, &values, groups);
        }
        Ok((events, values, self.groups))
    }
}

/// Without the last value of the first group that has several.
fn forget_one(
    events: Envelope,
    values: &Batch,
    groups: &Groups,
) -> Result<(Envelope, Batch, Option<Groups>), ArrowError> {
    let mut forgotten = groups.iter().filter(|rows| rows.len() > 1).map(|rows| rows.end as u32 - 1);
    let kept: RowSet = forgotten.next().into_iter().collect();
    let kept = kept.complement(values.len());
    let sizes: Vec<(u32, u32)> = groups.sizes().collect();
    let mut first = true;
    let fewer = sizes.into_iter().map(|(values, events)| {
        let one = u32::from(values > 1 && std::mem::take(&mut first));
        (values - one, events)
    });
    let fewer: Vec<(u32, u32)> = fewer.collect();
    Ok((events, values.select(&kept)?, Some(Groups::new(fewer.into_iter()))))
}

/// The rows by ascending group, those of one group in their order; none where they are so already.
fn order(groups: &[u32]) -> Option<Vec<u32>> {
    if groups.is_sorted() {
        return None;
    }
    let mut rows: Vec<u32> = (0..groups.len() as u32).collect();
    rows.sort_by_key(|row| groups[*row as usize]);
    Some(rows)
}

/// Disjoint sets of rows, each told by its lowest.
struct Sets {
    parents: Vec<u32>,
}

impl Sets {
    fn new(rows: usize) -> Sets {
        Sets { parents: (0..rows as u32).collect() }
    }

    fn first(&mut self, row: u32) -> u32 {
        let mut at = row;
        while self.parents[at as usize] != at {
            // Half the way for whoever comes next.
            let parent = self.parents[at as usize];
            self.parents[at as usize] = self.parents[parent as usize];
            at = parent;
        }
        at
    }

    fn join(&mut self, one: u32, other: u32) {
        let (one, other) = (self.first(one), self.first(other));
        self.parents[one.max(other) as usize] = one.min(other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sources(values: &[Vec<u32>]) -> Sources {
        let mut sources = Sources { offsets: vec![0], events: Vec::new() };
        for rows in values {
            sources.events.extend(rows);
            sources.offsets.push(sources.events.len() as u32);
        }
        sources
    }

    fn grouping(events: usize, values: &[Vec<u32>]) -> Grouping {
        Grouping::new(events, &sources(values))
    }

    fn sizes(grouping: &Grouping) -> Option<Vec<(u32, u32)>> {
        grouping.groups.as_ref().map(|groups| groups.sizes().collect())
    }

    #[test]
    fn one_of_each_needs_no_groups_even_where_some_are_left_out() {
        let grouping = grouping(4, &[vec![0], vec![2], vec![3]]);
        assert!(sizes(&grouping).is_none() && grouping.events.is_none() && grouping.values.is_none());
        assert_eq!(grouping.named, RowSet::from_ranges([0..1, 2..4]));
    }

    #[test]
    fn what_stands_together_already_stays_where_it_is() {
        let grouping = grouping(6, &[vec![0], vec![0], vec![1, 2, 3], vec![5]]);
        assert_eq!(sizes(&grouping), Some(vec![(2, 1), (1, 3), (1, 1)]));
        assert!(grouping.events.is_none() && grouping.values.is_none());
    }

    #[test]
    fn groups_that_interleave_are_put_together_by_their_first_values() {
        let grouping = grouping(4, &[vec![2], vec![0, 3], vec![2], vec![1, 0]]);
        assert_eq!(sizes(&grouping), Some(vec![(2, 1), (2, 3)]));
        assert_eq!((grouping.events, grouping.values), (Some(vec![2, 0, 1, 3]), Some(vec![0, 2, 1, 3])));
    }

    proptest! {
        #[test]
        fn every_value_stands_with_its_events(
            values in proptest::collection::vec(proptest::collection::vec(0..12u32, 1..3), 1..12),
        ) {
            let grouping = grouping(12, &values);
            let named: Vec<u32> = grouping.named.iter().collect();
            let mentioned: std::collections::BTreeSet<u32> = values.iter().flatten().copied().collect();
            prop_assert_eq!(&named, &mentioned.into_iter().collect::<Vec<_>>());
            let all = |order: &Option<Vec<u32>>, len: usize| order.clone().unwrap_or_else(|| (0..len as u32).collect());
            let (events, order) = (all(&grouping.events, named.len()), all(&grouping.values, values.len()));
            let sizes = sizes(&grouping).unwrap_or_else(|| vec![(1, 1); values.len()]);
            let (mut value, mut event) = (0, 0);
            for (of_values, of_events) in sizes {
                let (values_end, events_end) = (value + of_values as usize, event + of_events as usize);
                let of_group: Vec<u32> = events[event..events_end].iter().map(|at| named[*at as usize]).collect();
                for at in &order[value..values_end] {
                    prop_assert!(values[*at as usize].iter().all(|source| of_group.contains(source)));
                }
                (value, event) = (values_end, events_end);
            }
            prop_assert_eq!((value, event), (values.len(), named.len()));
        }
    }
}
