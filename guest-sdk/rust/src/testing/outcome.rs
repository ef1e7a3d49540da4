//! What became of a batch, for a test to ask.
use crate::error::Error;
use crate::error::Kind;
use crate::report::Report;

/// What became of a batch that a test wrote.
#[derive(Debug, Clone)]
#[must_use = "a test asks what became of its events"]
pub struct Outcome {
    events: Vec<Fate>,
    failure: Option<Error>,
    stopped_at: Option<usize>,
}

#[derive(Debug, Clone)]
enum Fate {
    Written,
    Refused(Error),
    NotTried,
}

impl Outcome {
    /// Reads a report as the runtime does.
    ///
    /// # Panics
    /// When the runtime would not take it: an index is beyond the batch, given twice, or past the stop.
    pub(crate) fn new(len: usize, result: Result<Report, Error>) -> Self {
        let report = match result {
            Ok(report) => report,
            Err(error) => {
                let events = vec![Fate::Refused(error.clone()); len];
                return Self { events, failure: Some(error), stopped_at: None };
            }
        };
        let stop = report.stopped_at().unwrap_or(len);
        assert!(stop <= len, "the report stops at event {stop} of {len}");
        let mut events = vec![Fate::Written; stop];
        for (error, refused) in report.refused() {
            for &index in refused {
                let fate = events.get_mut(index as usize);
                assert!(fate.is_some(), "the report refuses event {index} of {len}, of which {stop} were tried");
                let fate = fate.map(|fate| std::mem::replace(fate, Fate::Refused(error.clone())));
                assert!(matches!(fate, Some(Fate::Written)), "the report refuses event {index} twice");
            }
        }
        events.resize(len, Fate::NotTried);
        Self { events, failure: None, stopped_at: report.stopped_at() }
    }

    /// The events that were written.
    pub fn written(&self) -> Vec<usize> {
        let written = self.events.iter().enumerate().filter(|(_, fate)| matches!(fate, Fate::Written));
        written.map(|(index, _)| index).collect()
    }

    /// The events that were refused, in order, with why.
    pub fn refused(&self) -> Vec<(usize, &Error)> {
        self.events.iter().enumerate().filter_map(|(index, _)| Some((index, self.error(index)?))).collect()
    }

    /// Why event `index` was refused; `None` when it was not.
    pub fn error(&self, index: usize) -> Option<&Error> {
        match self.events.get(index)? {
            Fate::Refused(error) => Some(error),
            Fate::Written | Fate::NotTried => None,
        }
    }

    /// What the refusal of event `index` means; `None` when it was not refused.
    pub fn kind(&self, index: usize) -> Option<Kind> {
        self.error(index).map(Error::kind)
    }

    /// Why the write failed as a whole; `None` when it reported on its events.
    pub fn failure(&self) -> Option<&Error> {
        self.failure.as_ref()
    }

    /// The first event that was not tried; `None` when all were.
    pub fn stopped_at(&self) -> Option<usize> {
        self.stopped_at
    }

    /// Fails the test unless every event was written.
    ///
    /// # Panics
    /// When one was not, naming the first.
    #[track_caller]
    pub fn assert_written(&self) {
        assert!(self.failure.is_none(), "the write failed: {}", self.failure.as_ref().map_or("", Error::message));
        let other = self.events.iter().position(|fate| !matches!(fate, Fate::Written));
        assert!(other.is_none(), "an event was not written: {:?}", other.map(|index| (index, &self.events[index])));
    }
}
