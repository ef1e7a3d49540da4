//! Sorts the events of a batch by what became of them. Pure.

use crate::batch::RowSet;
use crate::defect::{self, Defect};
use crate::sink::{FailureKind, Refusal};

/// Every event of a batch stands in one of these.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Final.
    pub(super) written: RowSet,
    /// Never to be written.
    pub(super) rejected: Vec<Refusal>,
    /// To be tried again; those that may be written apart from those that are not.
    pub(super) again: Vec<Again>,
    /// Not tried at all.
    pub(super) untried: RowSet,
}

/// Events that are tried again together.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Again {
    /// All of them.
    pub(super) rows: RowSet,
    /// The failure with the longest advice, which stands for all.
    pub(super) kind: FailureKind,
    /// Why each of them failed.
    pub(super) each: Vec<Refusal>,
}

impl Verdict {
    /// From a report that was checked, about a batch of `events`.
    pub(super) fn new(events: usize, refused: Vec<Refusal>, stopped_at: usize) -> Verdict {
        let stopped_at = if defect::on(Defect::IgnoreStoppedAt) { events } else { stopped_at };
        let untried = RowSet::range(stopped_at..events);
        let mut left = untried.clone();
        let (mut rejected, mut transient, mut unknown) = (Vec::new(), None, None);
        for refusal in refused {
            left = left.union(&refusal.rows);
            match refusal.failure.kind {
                FailureKind::Rejected => rejected.push(refusal),
                // One event can't halt a sink: it is that event which can't be written.
                FailureKind::Halted => rejected.push(refusal),
                FailureKind::Transient { .. } => merge(&mut transient, refusal),
                FailureKind::Unknown => merge(&mut unknown, refusal),
            }
        }
        let mut again: Vec<Again> = transient.into_iter().chain(unknown).collect();
        again.sort_by_key(|again| again.rows.ranges().first().map(|range| range.start));
        Verdict { written: left.complement(events), rejected, again, untried }
    }
}

fn merge(all: &mut Option<Again>, one: Refusal) {
    match all {
        None => *all = Some(Again { rows: one.rows.clone(), kind: one.failure.kind, each: vec![one] }),
        Some(all) => {
            all.rows = all.rows.union(&one.rows);
            if advice(one.failure.kind) > advice(all.kind) {
                all.kind = one.failure.kind;
            }
            all.each.push(one);
        }
    }
}

fn advice(kind: FailureKind) -> Option<std::time::Duration> {
    match kind {
        FailureKind::Transient { after } => after,
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::Failure;
    use std::time::Duration;

    fn rows(rows: &[u32]) -> RowSet {
        RowSet::from_rows(rows.to_vec())
    }

    fn refusal(numbers: &[u32], failure: Failure) -> Refusal {
        Refusal { rows: rows(numbers), failure }
    }

    #[test]
    fn every_event_stands_in_one_place() {
        let refused = vec![
            refusal(&[1], Failure::rejected("bad", "")),
            refusal(&[2, 4], Failure::transient("busy", "")),
            refusal(&[5], Failure::unknown("lost", "")),
            refusal(&[6], Failure::halted("401", "")),
        ];
        let verdict = Verdict::new(10, refused, 8);
        assert_eq!(verdict.written, rows(&[0, 3, 7]));
        assert_eq!(verdict.rejected.iter().map(|r| r.rows.clone()).collect::<Vec<_>>(), [rows(&[1]), rows(&[6])]);
        assert_eq!(verdict.again.iter().map(|r| r.rows.clone()).collect::<Vec<_>>(), [rows(&[2, 4]), rows(&[5])]);
        assert_eq!(verdict.untried, rows(&[8, 9]));
    }

    #[test]
    fn transient_failures_are_repeated_together_by_the_longest_advice_and_each_keeps_its_reason() {
        let advised =
            |seconds| Failure::new(FailureKind::Transient { after: Some(Duration::from_secs(seconds)) }, "busy", "");
        let refused = vec![refusal(&[0], advised(1)), refusal(&[1], advised(9)), refusal(&[2], advised(2))];
        let verdict = Verdict::new(3, refused.clone(), 3);
        let again = Again { rows: rows(&[0, 1, 2]), kind: advised(9).kind, each: refused };
        assert_eq!(verdict.again, vec![again]);
    }
}
