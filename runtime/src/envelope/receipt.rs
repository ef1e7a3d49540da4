//! The duty to account for events.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use super::ledger::Assignment;
use crate::batch::{Partition, RowSet};

/// Why events need no more attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Final {
    /// The sink has them.
    Written,
    /// They are durably in the dead letters.
    DeadLettered,
    /// They are durably in the sink's disk buffer, which accounts for them from then on.
    Buffered,
    /// `when_full = "drop_newest"` gave them up, as its user asked for.
    Dropped,
    /// An encoder made nothing of them, on purpose.
    LeftOut,
}

/// The duty to account for some events, in their order. Dropping it gives them up: it never acknowledges them.
#[must_use]
#[derive(Debug, Default)]
pub struct Receipt {
    parts: VecDeque<Part>,
}

/// Events of one assignment that follow each other in a batch.
#[derive(Debug)]
struct Part {
    assignment: Arc<Assignment>,
    /// Many where the events were scattered over batches or put in another order, else one.
    numbers: VecDeque<Range<u64>>,
}

impl Part {
    fn new(assignment: &Arc<Assignment>) -> Part {
        Part { assignment: assignment.clone(), numbers: VecDeque::new() }
    }

    fn rows(&self) -> usize {
        self.numbers.iter().map(|numbers| (numbers.end - numbers.start) as usize).sum()
    }

    fn push(&mut self, numbers: Range<u64>) {
        match self.numbers.back_mut() {
            Some(last) if last.end == numbers.start => last.end = numbers.end,
            _ => self.numbers.push_back(numbers),
        }
    }
}

/// Events that are with a sink, or on their way to something else that makes them final. Who takes a partition away waits
/// for those of it to come back; dropping this says that they have.
#[must_use]
#[derive(Debug, Default)]
pub struct Flight {
    of: Vec<Arc<Assignment>>,
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.of.iter().for_each(|assignment| assignment.land());
    }
}

impl Receipt {
    /// The events go to their sink. None where the partition of some was taken away.
    pub(super) fn depart(&self) -> Option<Flight> {
        let mut flight = Flight { of: Vec::with_capacity(self.parts.len()) };
        for part in &self.parts {
            if !part.assignment.depart() {
                return None;
            }
            flight.of.push(part.assignment.clone());
        }
        Some(flight)
    }

    /// The rows whose partition was taken away.
    pub(super) fn revoked(&self) -> RowSet {
        let mut row = 0;
        let revoked = self.parts.iter().filter_map(|part| {
            let rows = row..row + part.rows() as u32;
            row = rows.end;
            part.assignment.is_revoked().then_some(rows)
        });
        RowSet::from_ranges(revoked)
    }

    pub(super) fn push(&mut self, assignment: &Arc<Assignment>, numbers: Range<u64>) {
        if numbers.is_empty() {
            return;
        }
        self.part(assignment).push(numbers);
    }

    /// Whether a disk buffer has all of the events.
    pub(super) fn is_buffered(&self) -> bool {
        self.parts.iter().all(|part| part.assignment.is_buffered())
    }

    /// For how many events.
    pub fn rows(&self) -> usize {
        self.parts.iter().map(Part::rows).sum()
    }

    /// Where each partition goes on once these events, and all before them, are final.
    pub(super) fn next(&self) -> impl Iterator<Item = (&Partition, u64)> {
        self.parts.iter().filter_map(|part| Some(part.assignment.position_at(part.numbers.back()?.end)))
    }

    /// They are final.
    pub fn settle(mut self, how: Final) {
        for part in self.parts.drain(..) {
            part.assignment.settle(&part.numbers, how);
        }
    }

    pub(super) fn append(&mut self, mut other: Receipt) {
        if let (Some(last), Some(first)) = (self.parts.back_mut(), other.parts.front_mut())
            && Arc::ptr_eq(&last.assignment, &first.assignment)
        {
            if let Some(numbers) = first.numbers.pop_front() {
                last.push(numbers);
            }
            last.numbers.append(&mut first.numbers);
            other.parts.pop_front();
        }
        self.parts.append(&mut other.parts);
    }

    /// Splits off the first `rows`; this keeps the rest.
    pub(super) fn split_front(&mut self, mut rows: usize) -> Receipt {
        let mut front = Receipt::default();
        while rows > 0
            && let Some(part) = self.parts.front_mut()
        {
            let mut cut = Part::new(&part.assignment);
            while rows > 0
                && let Some(numbers) = part.numbers.front_mut()
            {
                let take = rows.min((numbers.end - numbers.start) as usize);
                let middle = numbers.start + take as u64;
                cut.numbers.push_back(numbers.start..middle);
                numbers.start = middle;
                rows -= take;
                if numbers.is_empty() {
                    part.numbers.pop_front();
                }
            }
            front.parts.push_back(cut);
            if part.numbers.is_empty() {
                self.parts.pop_front();
            }
        }
        front
    }

    /// The duty for some rows, which ascend. The caller sees to it that no row has two owners.
    pub(super) fn deal(&self, mut rows: &[u32], to: &mut Receipt) {
        // The row at which the numbers begin that are looked at.
        let mut row = 0;
        for part in &self.parts {
            for numbers in &part.numbers {
                let after = row + (numbers.end - numbers.start);
                let (here, later) = rows.split_at(rows.partition_point(|row| u64::from(*row) < after));
                if !here.is_empty() {
                    let own = to.part(&part.assignment);
                    own.numbers.reserve(here.len());
                    here.iter().map(|at| numbers.start + (u64::from(*at) - row)).for_each(|n| own.push(n..n + 1));
                }
                (row, rows) = (after, later);
            }
        }
    }

    /// Somebody else has the duty now.
    pub(super) fn hand_over(&mut self) {
        self.parts.clear();
    }

    /// What is last of an assignment.
    fn part(&mut self, assignment: &Arc<Assignment>) -> &mut Part {
        let goes_on = self.parts.back().is_some_and(|part| Arc::ptr_eq(&part.assignment, assignment));
        if !goes_on {
            self.parts.push_back(Part::new(assignment));
        }
        let last = self.parts.len() - 1;
        &mut self.parts[last]
    }

    /// The duty for each of several sets of rows, which do not overlap and are all rows together.
    pub(super) fn scatter(mut self, sets: &[RowSet]) -> Vec<Receipt> {
        let scattered = sets.iter().map(|rows| self.part_of(rows)).collect();
        // Each of them has a new owner.
        self.parts.clear();
        scattered
    }

    /// The same duty in another order: `rows` names each row once.
    pub(super) fn reorder(mut self, rows: &[u32]) -> Receipt {
        let each = self.parts.iter().enumerate().flat_map(|(part, Part { numbers, .. })| {
            numbers.iter().flat_map(Range::clone).map(move |number| (part, number))
        });
        let each: Vec<(usize, u64)> = each.collect();
        let mut reordered = Receipt::default();
        for row in rows {
            let (part, number) = each[*row as usize];
            reordered.push(&self.parts[part].assignment, number..number + 1);
        }
        // Each of them has a new owner.
        self.parts.clear();
        reordered
    }

    /// The numbers of `rows`, as a duty of their own. The caller sees to it that no row has two owners.
    fn part_of(&self, rows: &RowSet) -> Receipt {
        let mut picked = Receipt::default();
        let mut wanted = rows.ranges().iter().map(|range| range.start as u64..range.end as u64);
        let mut want = wanted.next();
        // The row at which the numbers begin that are looked at.
        let mut row = 0;
        for part in &self.parts {
            for numbers in &part.numbers {
                let after = row + (numbers.end - numbers.start);
                while let Some(range) = &mut want
                    && range.start < after
                {
                    let end = range.end.min(after);
                    picked.push(&part.assignment, numbers.start + (range.start - row)..numbers.start + (end - row));
                    range.start = end;
                    if range.is_empty() {
                        want = wanted.next();
                    }
                }
                row = after;
            }
        }
        picked
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        for part in self.parts.drain(..) {
            part.assignment.abandon(part.rows() as u64);
        }
    }
}
