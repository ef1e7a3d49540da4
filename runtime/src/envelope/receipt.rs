//! The duty to account for events.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use super::ledger::Assignment;
use crate::batch::RowSet;

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
}

/// The duty to account for some events, in their order. Dropping it gives them up: it never acknowledges them.
#[must_use]
#[derive(Debug, Default)]
pub struct Receipt {
    spans: VecDeque<Span>,
}

/// Neighbouring numbers of one assignment.
#[derive(Debug)]
struct Span {
    assignment: Arc<Assignment>,
    numbers: Range<u64>,
}

impl Span {
    fn len(&self) -> usize {
        (self.numbers.end - self.numbers.start) as usize
    }

    /// Cuts off the first `rows`.
    fn split_front(&mut self, rows: usize) -> Span {
        let cut = self.numbers.start + rows as u64;
        let front = Span { assignment: self.assignment.clone(), numbers: self.numbers.start..cut };
        self.numbers.start = cut;
        front
    }
}

impl Receipt {
    pub(super) fn push(&mut self, assignment: Arc<Assignment>, numbers: Range<u64>) {
        self.join(Span { assignment, numbers });
    }

    fn join(&mut self, span: Span) {
        match self.spans.back_mut() {
            _ if span.numbers.is_empty() => {}
            Some(last) if last.numbers.end == span.numbers.start && Arc::ptr_eq(&last.assignment, &span.assignment) => {
                last.numbers.end = span.numbers.end;
            }
            _ => self.spans.push_back(span),
        }
    }

    /// Whether a disk buffer has all of the events.
    pub(super) fn is_buffered(&self) -> bool {
        self.spans.iter().all(|span| span.assignment.is_buffered())
    }

    /// For how many events.
    pub fn rows(&self) -> usize {
        self.spans.iter().map(Span::len).sum()
    }

    /// They are final.
    pub fn settle(mut self, how: Final) {
        for span in self.spans.drain(..) {
            span.assignment.settle(span.numbers, how);
        }
    }

    pub(super) fn append(&mut self, mut other: Receipt) {
        for span in other.spans.drain(..) {
            self.join(span);
        }
    }

    /// Splits off the first `rows`; this keeps the rest.
    pub(super) fn split_front(&mut self, mut rows: usize) -> Receipt {
        let mut front = Receipt::default();
        while rows > 0
            && let Some(span) = self.spans.front_mut()
        {
            if span.len() > rows {
                front.join(span.split_front(rows));
                return front;
            }
            rows -= span.len();
            front.spans.extend(self.spans.pop_front());
        }
        front
    }

    /// The duty for `rows`, and the duty for the others.
    pub(super) fn select(mut self, rows: &RowSet) -> (Receipt, Receipt) {
        let (mut picked, mut others) = (Receipt::default(), Receipt::default());
        let mut row = 0;
        for range in rows.ranges() {
            others.append(self.split_front((range.start - row) as usize));
            picked.append(self.split_front(range.len()));
            row = range.end;
        }
        others.append(self);
        (picked, others)
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        for span in self.spans.drain(..) {
            span.assignment.abandon(span.numbers);
        }
    }
}
