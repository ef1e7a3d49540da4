//! Each defect is found by the model, and by the invariants that it breaks.

use super::draw::Rng;
use super::tests::{of_seed, tell};
use crate::defect::{self, Defect};

/// Schedules that a defect may hide from.
const MOST: u64 = 5000;

/// Which defect breaks which invariants. `docs/model.md` has the same table with the schedules that each took.
#[rustfmt::skip]
const DEFECTS: &[(Defect, &[&str])] = &[
    (Defect::AcknowledgeEarly, &["acknowledged"]),
    (Defect::AcknowledgeHighest, &["acknowledged"]),
    (Defect::SaveAhead, &["saved", "resumes"]),
    (Defect::ResumePast, &["acknowledged", "lost", "stored"]),
    (Defect::ForgetResume, &["duplicates", "dead-letters"]),
    (Defect::CountOldAssignment, &["acknowledged", "saved", "resumes", "breaks"]),
    (Defect::ForgetInSplit, &["acknowledged", "saved", "counts", "lost"]),
    (Defect::ReuseBroken, &["instance"]),
    (Defect::OneInstanceForAll, &["overlap"]),
    (Defect::CloseLost, &["instance"]),
    (Defect::CloseUnderCalls, &["instance"]),
    (Defect::SettleBeforeDurable, &["acknowledged", "saved", "counts", "lost"]),
    (Defect::RefusedAsWritten, &["acknowledged", "saved", "counts", "lost"]),
    (Defect::RetryWritten, &["duplicates", "dead-letters", "unmerged", "budget", "revoked"]),
    (Defect::IgnoreStoppedAt, &["acknowledged", "saved", "counts", "lost"]),
    (Defect::ReversePieces, &["order"]),
    (Defect::RepeatInParts, &["unmerged"]),
    (Defect::OpenUnprobed, &["gate"]),
    (Defect::CloseBeforeGate, &["gate"]),
    (Defect::ChargeHalted, &["dead-letters", "budget"]),
    (Defect::IgnoreAttempts, &["budget"]),
    (Defect::IgnoreUnknownBudget, &["budget"]),
    (Defect::IgnoreDeadline, &["deadline"]),
    (Defect::FreshHalves, &["dead-letters", "budget"]),
    (Defect::EndlessSearch, &["search"]),
    (Defect::GoOnAfterTheEnd, &["ends"]),
    (Defect::DropLastBatch, &["counts", "lost", "dead-letters"]),
    (Defect::LeakCharge, &["memory", "terminates"]),
    (Defect::ReleaseEarly, &["memory"]),
    (Defect::ExceedBatch, &["limits"]),
    (Defect::WrongReason, &["dead-letters"]),
    (Defect::MiscountDropped, &["counts", "acknowledged", "saved"]),
    (Defect::ForgetUnrouted, &["acknowledged", "saved", "lost"]),
    (Defect::SpreadIgnoringKeys, &["order"]),
    (Defect::MixDestinations, &["destination"]),
    (Defect::DivertRequired, &["required"]),
    (Defect::DivertEarly, &["required"]),
    (Defect::OpenLate, &["gate"]),
    (Defect::IgnoreRate, &["rate"]),
    (Defect::IgnoreLimit, &["overlap"]),
    (Defect::PassBeforePace, &["gate"]),
    (Defect::IgnoreStored, &["once", "stored", "lost"]),
    (Defect::RepeatStored, &["once", "dead-letters", "gate"]),
    (Defect::ConcludeUnasked, &["once", "instance"]),
    (Defect::CoverRefused, &["once", "stored", "lost", "counts", "acknowledged", "saved"]),
    (Defect::DeliverRevoked, &["revoked", "dead-letters"]),
    (Defect::ForgetFlights, &["revoked"]),
    (Defect::AcknowledgeRevoked, &["revoked"]),
    (Defect::LetGoUnacknowledged, &["revoked"]),
    (Defect::AheadGoesOn, &["order", "dead-letters"]),
    (Defect::ForgetValue, &["together"]),
    (Defect::SettleFirstValue, &["acknowledged", "saved", "counts", "lost", "dead-letters", "duplicates"]),
    (Defect::CutGroup, &["together", "breaks"]),
];

/// The invariant that a defect broke first, and in which schedule.
fn first_violation(defect: Defect) -> Option<(&'static str, u64)> {
    (1..=MOST).find_map(|number| {
        let ran = defect::with(Some(defect), || of_seed(Rng::new(number).next(), false));
        ran.violation.map(|violation| (violation.rule, number))
    })
}

#[test]
fn every_seeded_defect_is_found() {
    let mut missed = Vec::new();
    for (defect, rules) in DEFECTS {
        let found = first_violation(*defect);
        let row = found.map_or("not found |".into(), |(rule, number)| format!("{rule} | {number} |"));
        tell(&format!("| {defect:?} | {row}"));
        if !found.is_some_and(|(rule, _)| rules.contains(&rule)) {
            missed.push((defect, rules, found));
        }
    }
    assert!(missed.is_empty(), "not found, or by another invariant than expected: {missed:?}");
}
