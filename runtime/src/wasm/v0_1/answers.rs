//! What guests of the 0.1 contract answer, checked and put into the runtime's own types.

use std::time::Duration;

use crate::batch::RowSet;
use crate::sink::{Failure, FailureKind, Outcome, Refusal, WriteError};
use crate::units::text;

/// Makes the conversion of failures for the types of one world: each world has types of its own, with the same fields.
macro_rules! failures {
    ($events:path) => {
        use $events as events;

        /// A failure, its text bounded and cleaned.
        pub(in crate::wasm) fn failure(failure: events::Failure) -> Failure {
            let kind = match failure.kind {
                events::FailureKind::Transient(after) => super::transient(after),
                events::FailureKind::Rejected => FailureKind::Rejected,
                events::FailureKind::Unknown => FailureKind::Unknown,
                events::FailureKind::Halted => FailureKind::Halted,
            };
            let message = text::clean(&failure.message, text::MAX_MESSAGE);
            Failure::new(kind, text::code(&failure.code), message)
        }
    };
}

/// The same for a world whose calls answer with reports.
macro_rules! answers {
    ($module:ident, $events:path, $writing:path) => {
        pub(in crate::wasm) mod $module {
            use $writing as writing;

            use super::*;

            failures!($events);

            /// What became of a batch of `rows` events.
            pub(in crate::wasm) fn outcome(
                rows: usize,
                answer: Result<writing::Report, events::Failure>,
            ) -> Result<Outcome, WriteError> {
                let report = answer.map_err(|error| WriteError::Failed(failure(error)))?;
                let refused = report.refused.into_iter().map(|refusal| (refusal.events, failure(refusal.failure)));
                super::outcome(rows, refused, report.stopped_at)
            }
        }
    };
}

answers!(plain, crate::wasm::v0_1::plain::sump::sink::events, crate::wasm::v0_1::plain::sump::sink::writing);
answers!(
    concurrent,
    crate::wasm::v0_1::concurrent::sump::sink::events,
    crate::wasm::v0_1::concurrent::sump::sink::writing
);

pub(in crate::wasm) mod encoder {
    use super::*;

    failures!(crate::wasm::v0_1::encoder::sump::sink::events);
}

fn transient(after: Option<u32>) -> FailureKind {
    FailureKind::Transient { after: after.map(|after| Duration::from_millis(after.into())) }
}

fn outcome(
    rows: usize,
    refused: impl Iterator<Item = (Vec<u32>, Failure)>,
    stopped_at: Option<u32>,
) -> Result<Outcome, WriteError> {
    let mut refusals = Vec::new();
    for (events, failure) in refused {
        refusals.push(refusal(events, failure)?);
    }
    Ok(Outcome::new(rows, refusals, stopped_at)?)
}

/// A set of rows would hide that an event is named twice in one refusal.
fn refusal(events: Vec<u32>, failure: Failure) -> Result<Refusal, WriteError> {
    let named = events.len();
    let rows = RowSet::from_rows(events);
    if rows.len() != named {
        let message = "the report names an event twice";
        return Err(WriteError::Failed(Failure::unknown("bad-report", message)));
    }
    Ok(Refusal { rows, failure })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wasm::v0_1::plain::sump::sink::{events, writing};

    fn no() -> events::Failure {
        events::Failure { kind: events::FailureKind::Rejected, code: "n o".into(), message: "a\nb\u{1b}".into() }
    }

    fn outcome_of(refused: Vec<Vec<u32>>, stopped_at: Option<u32>) -> Result<Outcome, WriteError> {
        let refused = refused.into_iter().map(|events| writing::Refusal { events, failure: no() }).collect();
        plain::outcome(3, Ok(writing::Report { refused, stopped_at }))
    }

    #[test]
    fn text_of_a_failure_is_cleaned() {
        assert_eq!(plain::failure(no()), Failure::rejected("n-o", "a b"));
    }

    #[test]
    fn what_a_report_says_is_checked() {
        for (refused, stopped_at) in [
            (vec![vec![3]], None),
            (vec![vec![1, 1]], None),
            (vec![vec![0], vec![1, 0]], None),
            (vec![vec![2]], Some(2)),
            (vec![], Some(4)),
        ] {
            let error = outcome_of(refused, stopped_at).unwrap_err();
            assert_eq!(&*error.failure().code, "bad-report");
        }
        assert_eq!(outcome_of(vec![], None), Ok(Outcome::Written));
        let refused = vec![Refusal { rows: RowSet::from_rows(vec![0, 2]), failure: Failure::rejected("n-o", "a b") }];
        assert_eq!(outcome_of(vec![vec![2, 0]], None), Ok(Outcome::Partial { refused, stopped_at: 3 }));
    }

    #[test]
    fn advice_is_in_milliseconds() {
        let kind = FailureKind::Transient { after: Some(Duration::from_millis(1500)) };
        assert_eq!(transient(Some(1500)), kind);
    }
}
