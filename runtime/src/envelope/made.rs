//! What values were made of.

use std::collections::VecDeque;

use arrow_schema::ArrowError;

use super::{Charge, Groups};
use crate::batch::{Batch, RowSet};

/// The events of an envelope whose batch an encoder made, as they were before that: a dead letter has them.
///
/// They are kept as they came, and put together only where somebody wants them.
#[derive(Debug, Default)]
pub(super) struct Made {
    events: VecDeque<Batch>,
    /// For the values. What the events hold is charged apart.
    pub(super) charge: Charge,
    /// Absent where each event has one value.
    pub(super) groups: Option<Groups>,
}

impl Made {
    pub(super) fn new(events: Batch, charge: Charge, groups: Option<Groups>) -> Made {
        Made { events: VecDeque::from([events]), charge, groups }
    }

    /// All events.
    pub(super) fn events(&self) -> Result<Batch, ArrowError> {
        let parts: Vec<Batch> = self.events.iter().cloned().collect();
        if parts.is_empty() { Ok(Batch::default()) } else { Batch::concat(&parts) }
    }

    /// Bytes that the events take.
    pub(super) fn bytes(&self) -> usize {
        self.events.iter().map(Batch::bytes).sum()
    }

    /// How many events the first `values` were made of, which cut no group in two.
    pub(super) fn events_before(&self, values: usize) -> usize {
        self.groups.as_ref().map_or(values, |groups| groups.events_before(values))
    }

    /// The events that some values were made of, which cut no group in two.
    pub(super) fn events_of(&self, values: &RowSet) -> RowSet {
        self.groups.as_ref().map_or_else(|| values.clone(), |groups| groups.events_of(values))
    }

    /// Splits off what belongs to the first `values`, which have `bytes` and cut no group in two.
    pub(super) fn split_front(&mut self, values: usize, bytes: usize) -> Made {
        let mut left = self.events_before(values);
        let mut events = VecDeque::new();
        while left > 0
            && let Some(part) = self.events.pop_front()
        {
            let fits = left.min(part.len());
            if fits < part.len() {
                self.events.push_front(part.slice(fits..part.len()));
            }
            events.push_back(part.slice(0..fits));
            left -= fits;
        }
        let groups = self.groups.as_mut().map(|groups| groups.split_front(values));
        Made { events, charge: self.charge.split(bytes), groups }
    }

    /// What belongs to some values, which have `bytes` and cut no group in two.
    ///
    /// Fails when it can't be copied out.
    pub(super) fn part_of(&mut self, values: &RowSet, bytes: usize) -> Result<Made, ArrowError> {
        let (rows, mut events, mut start) = (self.events_of(values), VecDeque::new(), 0);
        for part in &self.events {
            let within = rows.within(&RowSet::range(start..start + part.len()));
            if !within.is_empty() {
                events.push_back(part.select(&within)?);
            }
            start += part.len();
        }
        let groups = self.groups.as_ref().map(|groups| groups.select(values));
        Ok(Made { events, charge: self.charge.split(bytes), groups })
    }

    /// Lets go of memory that other events hold.
    pub(super) fn compact(self) -> Result<Made, ArrowError> {
        Ok(Made { events: self.events.iter().map(Batch::compact).collect::<Result<_, _>>()?, ..self })
    }

    /// What belongs to several envelopes, with the number of values of each.
    pub(super) fn concat(parts: Vec<(Made, usize)>) -> Made {
        let grouped = parts.iter().any(|(part, _)| part.groups.is_some());
        let groups = |(part, values): &(Made, usize)| match &part.groups {
            Some(groups) => groups.clone(),
            None => Groups::one_to_one(*values),
        };
        let groups = grouped.then(|| Groups::concat(&parts.iter().map(groups).collect::<Vec<_>>()));
        let mut all = Made { groups, ..Made::default() };
        for (part, _) in parts {
            all.events.extend(part.events);
            all.charge.merge(part.charge);
        }
        all
    }
}
