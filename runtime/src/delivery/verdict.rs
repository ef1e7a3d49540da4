//! Sorts the events of a batch by what became of them. Pure.

use std::ops::Range;

use crate::batch::RowSet;
use crate::defect::{self, Defect};
use crate::envelope::Groups;
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
    /// From a report that was checked, about a batch of `events`. What hangs together shares what becomes of it.
    pub(super) fn new(events: usize, refused: Vec<Refusal>, stopped_at: usize, groups: Option<&Groups>) -> Verdict {
        let stopped_at = if defect::on(Defect::IgnoreStoppedAt) { events } else { stopped_at };
        let (refused, untried) = match groups {
            None => (refused, RowSet::range(stopped_at..events)),
            Some(groups) => by_group(groups, events, &refused, stopped_at),
        };
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

impl Verdict {
    /// Whether no event has come any further.
    pub(super) fn is_idle(&self) -> bool {
        self.written.is_empty() && self.rejected.is_empty() && self.again.is_empty()
    }
}

/// The same with whole groups: each is refused as the worst off of its values is, and else not tried where one of them
/// was not. Its other values come again with them, or are given up with them.
fn by_group(groups: &Groups, rows: usize, refused: &[Refusal], stopped_at: usize) -> (Vec<Refusal>, RowSet) {
    let mut why = vec![None; rows];
    for (number, refusal) in refused.iter().enumerate() {
        refusal.rows.iter().for_each(|row| why[row as usize] = Some(number));
    }
    let (mut whole, mut untried): (Vec<Vec<Range<u32>>>, _) = (vec![Vec::new(); refused.len()], Vec::new());
    for group in groups.iter() {
        let looked_at = if defect::on(Defect::SettleFirstValue) { group.start..group.start + 1 } else { group.clone() };
        // The first of those that are equally bad.
        let worst = why[looked_at].iter().flatten().rev().max_by_key(|why| weight(refused[**why].failure.kind));
        let rows = group.start as u32..group.end as u32;
        match worst {
            Some(worst) => whole[*worst].push(rows),
            None if group.end > stopped_at => untried.push(rows),
            None => {}
        }
    }
    let whole = refused
        .iter()
        .zip(whole)
        .filter(|(_, ranges)| !ranges.is_empty())
        .map(|(refusal, ranges)| Refusal { rows: RowSet::from_ranges(ranges), failure: refusal.failure.clone() });
    (whole.collect(), RowSet::from_ranges(untried))
}

fn weight(kind: FailureKind) -> u8 {
    match kind {
        FailureKind::Transient { .. } => 0,
        FailureKind::Unknown => 1,
        FailureKind::Rejected | FailureKind::Halted => 2,
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
        let verdict = Verdict::new(10, refused, 8, None);
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
        let verdict = Verdict::new(3, refused.clone(), 3, None);
        let again = Again { rows: rows(&[0, 1, 2]), kind: advised(9).kind, each: refused };
        assert_eq!(verdict.again, vec![again]);
    }

    #[test]
    fn what_hangs_together_shares_what_becomes_of_it() {
        // Values 0 and 1, 2 to 4, 5, 6 and 7, 8 and 9, 10 and 11.
        let groups = Groups::new([(2, 1), (3, 2), (1, 1), (2, 1), (2, 1), (2, 1)].into_iter());
        let (bad, busy) = (Failure::rejected("bad", ""), Failure::transient("busy", ""));
        let refused = vec![
            refusal(&[0, 3, 6], busy.clone()),
            refusal(&[4], bad.clone()),
            refusal(&[7], Failure::unknown("lost", "")),
        ];
        let verdict = Verdict::new(12, refused, 9, Some(&groups));
        assert_eq!(verdict.written, rows(&[5]));
        assert_eq!(verdict.rejected, [refusal(&[2, 3, 4], bad)]);
        let again: Vec<_> = verdict.again.iter().map(|again| (again.rows.clone(), again.kind.name())).collect();
        assert_eq!(again, [(rows(&[0, 1]), "transient"), (rows(&[6, 7]), "unknown")]);
        assert_eq!(verdict.again[0].each, [refusal(&[0, 1], busy)]);
        assert_eq!(verdict.untried, rows(&[8, 9, 10, 11]));
        let stopped_within = Verdict::new(2, vec![], 1, Some(&Groups::new([(2, 1)].into_iter())));
        assert!(stopped_within.is_idle());
    }
}
