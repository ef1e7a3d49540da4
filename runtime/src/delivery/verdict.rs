//! Sorts the events of a batch by what became of them. Pure.

use crate::batch::RowSet;
use crate::sink::{Failure, FailureKind, Refusal};

/// Every event of a batch stands in one of these.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Final.
    pub(super) written: RowSet,
    /// Never to be written.
    pub(super) rejected: Vec<Refusal>,
    /// To be tried again; those that may be written apart from those that are not.
    pub(super) again: Vec<Refusal>,
    /// Not tried at all.
    pub(super) untried: RowSet,
}

impl Verdict {
    /// From a report that was checked, about a batch of `events`.
    pub(super) fn new(events: usize, refused: Vec<Refusal>, stopped_at: usize) -> Verdict {
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
        let mut again: Vec<Refusal> = transient.into_iter().chain(unknown).collect();
        again.sort_by_key(|refusal| refusal.rows.ranges().first().map(|range| range.start));
        Verdict { written: left.complement(events), rejected, again, untried }
    }
}

/// Events to be tried again together; the longest advice stands for all.
fn merge(all: &mut Option<Refusal>, one: Refusal) {
    match all {
        None => *all = Some(one),
        Some(all) => {
            all.rows = all.rows.union(&one.rows);
            if advice(&one.failure) > advice(&all.failure) {
                all.failure = one.failure;
            }
        }
    }
}

fn advice(failure: &Failure) -> Option<std::time::Duration> {
    match failure.kind {
        FailureKind::Transient { after } => after,
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
    fn transient_failures_are_repeated_together_by_the_longest_advice() {
        let advised =
            |seconds| Failure::new(FailureKind::Transient { after: Some(Duration::from_secs(seconds)) }, "busy", "");
        let refused = vec![refusal(&[0], advised(1)), refusal(&[1], advised(9)), refusal(&[2], advised(2))];
        let verdict = Verdict::new(3, refused, 3);
        assert_eq!(verdict.again, vec![refusal(&[0, 1, 2], advised(9))]);
    }
}
