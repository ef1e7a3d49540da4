//! What became of a batch.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::batch::RowSet;

/// What a failure means for the events concerned. Named where the failure arises, never guessed afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// Not reported written, worth trying again; not before `after`, where the destination says so.
    Transient {
        /// The destination's advice.
        after: Option<Duration>,
    },
    /// Sent, and the answer was lost: perhaps written.
    Unknown,
    /// Not written, and never will be.
    Rejected,
    /// Nothing can be written until an operator acts.
    Halted,
}

impl FailureKind {
    /// The name in dead letters, metrics and messages.
    pub fn name(self) -> &'static str {
        match self {
            FailureKind::Transient { .. } => "transient",
            FailureKind::Unknown => "unknown",
            FailureKind::Rejected => "rejected",
            FailureKind::Halted => "halted",
        }
    }
}

/// Why events were not written. Cloning is cheap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What it means.
    pub kind: FailureKind,
    /// A short, stable identifier such as `too-large`: a label in metrics, a filter in replays.
    pub code: Arc<str>,
    /// For people.
    pub message: Arc<str>,
}

impl Failure {
    /// Of any kind.
    pub fn new(kind: FailureKind, code: impl Into<Arc<str>>, message: impl Into<Arc<str>>) -> Failure {
        Failure { kind, code: code.into(), message: message.into() }
    }

    /// Worth trying again.
    pub fn transient(code: impl Into<Arc<str>>, message: impl Into<Arc<str>>) -> Failure {
        Failure::new(FailureKind::Transient { after: None }, code, message)
    }

    /// Perhaps written.
    pub fn unknown(code: impl Into<Arc<str>>, message: impl Into<Arc<str>>) -> Failure {
        Failure::new(FailureKind::Unknown, code, message)
    }

    /// Never to be written.
    pub fn rejected(code: impl Into<Arc<str>>, message: impl Into<Arc<str>>) -> Failure {
        Failure::new(FailureKind::Rejected, code, message)
    }

    /// An operator must act.
    pub fn halted(code: impl Into<Arc<str>>, message: impl Into<Arc<str>>) -> Failure {
        Failure::new(FailureKind::Halted, code, message)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} ({}): {}", self.kind.name(), self.code, self.message)
    }
}

/// Events of a batch that failed alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Which.
    pub rows: RowSet,
    /// Why.
    pub failure: Failure,
}

/// Refusals as they arise, event by event: alike ones are kept together.
#[derive(Debug, Default)]
pub(super) struct Refusals(Vec<(Failure, Vec<u32>)>);

impl Refusals {
    pub(super) fn add(&mut self, row: u32, failure: Failure) {
        match self.0.iter_mut().find(|(known, _)| *known == failure) {
            Some((_, rows)) => rows.push(row),
            None => self.0.push((failure, vec![row])),
        }
    }

    pub(super) fn finish(self) -> Vec<Refusal> {
        self.0.into_iter().map(|(failure, rows)| Refusal { rows: RowSet::from_rows(rows), failure }).collect()
    }
}

/// What became of each event of a batch that was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All are written.
    Written,
    /// Those before `stopped_at` are written, unless they are refused; those from there on were not tried.
    Partial {
        /// No event twice, none at or after `stopped_at`.
        refused: Vec<Refusal>,
        /// The number of events where all were tried.
        stopped_at: usize,
    },
}

/// A sink named an event that is not there, one twice, or one that it says it did not try.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the report names event {row}, which is not in the batch, not tried, or named before")]
pub struct BadReport {
    /// The event.
    pub row: u32,
}

impl Outcome {
    /// From what a sink reports about a batch of `rows` events, which is checked and not believed.
    pub fn new(rows: usize, refused: Vec<Refusal>, stopped_at: Option<u32>) -> Result<Outcome, BadReport> {
        let stopped_at = match stopped_at {
            Some(row) if row as usize > rows => return Err(BadReport { row }),
            Some(row) => row as usize,
            None => rows,
        };
        let mut named = RowSet::default();
        for refusal in &refused {
            let last = refusal.rows.ranges().last().map_or(0, |range| range.end);
            if last as usize > stopped_at {
                return Err(BadReport { row: last - 1 });
            }
            if let Some(twice) = named.intersection(&refusal.rows).iter().next() {
                return Err(BadReport { row: twice });
            }
            named = named.union(&refusal.rows);
        }
        if named.is_empty() && stopped_at == rows {
            return Ok(Outcome::Written);
        }
        Ok(Outcome::Partial { refused, stopped_at })
    }
}

/// A write that says nothing about single events.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// None of the events is known to be written. The instance is as good as before.
    #[error("{0}")]
    Failed(Failure),
    /// The instance broke and must not be used again: all its writes in flight end like this.
    #[error("{0}")]
    Lost(Failure),
    /// Another process writes in the place of this one, which has to end: to go on would be to take turns for ever.
    #[error("{0}")]
    Superseded(Failure),
}

impl WriteError {
    /// Why.
    pub fn failure(&self) -> &Failure {
        match self {
            WriteError::Failed(failure) | WriteError::Lost(failure) | WriteError::Superseded(failure) => failure,
        }
    }
}

impl From<Failure> for WriteError {
    fn from(failure: Failure) -> WriteError {
        WriteError::Failed(failure)
    }
}

impl From<BadReport> for WriteError {
    /// Whoever lies about one event can't be believed about the others: perhaps they are written.
    fn from(bad: BadReport) -> WriteError {
        WriteError::Failed(Failure::unknown("bad-report", bad.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(rows: &[u32]) -> Refusal {
        Refusal { rows: RowSet::from_rows(rows.to_vec()), failure: Failure::rejected("no", "") }
    }

    #[test]
    fn a_report_can_not_lie_about_events() {
        let bad = |rows, refused, stopped| Outcome::new(rows, refused, stopped).unwrap_err().row;
        assert_eq!(bad(2, vec![refusal(&[2])], None), 2);
        assert_eq!(bad(3, vec![refusal(&[0, 1]), refusal(&[1, 2])], None), 1);
        assert_eq!(bad(2, vec![refusal(&[1])], Some(1)), 1);
        assert_eq!(bad(2, vec![], Some(3)), 3);
    }

    #[test]
    fn a_report_without_refusals_is_all_written_unless_it_stopped() {
        assert_eq!(Outcome::new(2, vec![], None), Ok(Outcome::Written));
        assert_eq!(Outcome::new(2, vec![], Some(2)), Ok(Outcome::Written));
        assert_eq!(Outcome::new(2, vec![], Some(1)), Ok(Outcome::Partial { refused: vec![], stopped_at: 1 }));
        assert!(Outcome::new(2, vec![refusal(&[1]), refusal(&[0])], None).is_ok());
    }
}
