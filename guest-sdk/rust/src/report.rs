//! What became of the events of a batch.
use crate::bindings::plain::sump::sink::events;
use crate::bindings::plain::sump::sink::writing;
use crate::error::Error;

/// How many groups of equal failures are searched for one to join.
const LATEST: usize = 32;

/// What became of a batch: an event that is neither refused nor past the stop is written.
///
/// ```
/// use sump_sdk::{Error, Report};
/// let mut report = Report::written();
/// report.refuse(3, Error::rejected("too-large", "the destination takes 1 MiB"));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use = "what became of the events is what a write returns"]
pub struct Report {
    refused: Vec<(Error, Vec<u32>)>,
    stopped_at: Option<u32>,
}

impl Report {
    /// All events are written, until one is refused.
    pub fn written() -> Self {
        Self::default()
    }

    /// Event `index` failed. Events that failed alike are reported together.
    ///
    /// [`Error::halted`] is about the sink and belongs into the result of the whole write: for one event the runtime
    /// takes it as rejected.
    pub fn refuse(&mut self, index: usize, error: impl Into<Error>) {
        let (error, index) = (error.into(), narrow(index));
        // Looks at the latest groups only: a batch whose every event fails differently costs no more than others.
        let latest = self.refused.iter_mut().rev().take(LATEST).find(|(known, _)| *known == error);
        match latest {
            Some((_, events)) => events.push(index),
            None => self.refused.push((error, vec![index])),
        }
    }

    /// Events from `index` on were not tried. They come again, in order, at no cost in attempts.
    pub fn stop_at(&mut self, index: usize) {
        self.stopped_at = Some(narrow(index));
    }

    /// The first event that was not tried; `None` when all were.
    pub fn stopped_at(&self) -> Option<usize> {
        self.stopped_at.map(|index| index as usize)
    }

    /// Each failure with the events that it befell.
    pub fn refused(&self) -> impl Iterator<Item = (&Error, &[u32])> {
        self.refused.iter().map(|(error, events)| (error, events.as_slice()))
    }
}

// A batch has fewer events than bytes of payload offsets, which are `u32`.
fn narrow(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

impl Report {
    pub(crate) fn into_refusals(self) -> Vec<events::Refusal> {
        let refused = self.refused.into_iter();
        refused.map(|(error, events)| events::Refusal { events, failure: error.into() }).collect()
    }
}

impl From<Report> for writing::Report {
    fn from(report: Report) -> Self {
        let stopped_at = report.stopped_at;
        Self { refused: report.into_refusals(), stopped_at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_that_failed_alike_are_reported_together() {
        let mut report = Report::written();
        for (index, code) in ["a", "b", "a", "a"].into_iter().enumerate() {
            report.refuse(index, Error::rejected(code, ""));
        }
        let groups: Vec<_> = report.refused().map(|(error, events)| (error.code(), events)).collect();
        assert_eq!(groups, [("a", &[0, 2, 3][..]), ("b", &[1])]);
    }

    #[test]
    fn any_number_of_different_failures_is_reported() {
        let mut report = Report::written();
        (0..100).for_each(|index| report.refuse(index, Error::rejected("bad", index.to_string())));
        assert_eq!(report.refused().count(), 100);
    }
}
