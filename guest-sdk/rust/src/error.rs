//! Why an event, a batch or an opening failed, in the four kinds that the runtime acts on.
use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use crate::bindings::plain::sump::sink::events;
use crate::http;

/// What a failure means for the events concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Not written, worth trying again; after this pause at least, where the destination asked for one.
    Transient(Option<Duration>),
    /// Not written, and never will be: the events become dead letters.
    Rejected,
    /// Perhaps written: the answer was lost. Tried again, a bounded number of times.
    Unknown,
    /// Nothing can be written until an operator acts. The sink pauses and its events wait.
    Halted,
}

/// A failure: its kind, a short stable code such as `too-large`, and a message for people.
///
/// Any other error turns into an *unknown* one by `?`, because nobody said what it means for the events. Say it where
/// it arises:
///
/// ```
/// use sump_sdk::Error;
/// # fn parse(text: &str) -> Result<u32, Error> {
/// let count = text.parse().map_err(|error| Error::rejected("not-a-number", format!("{text:?}: {error}")))?;
/// # Ok(count) }
/// # assert_eq!(parse("x").unwrap_err().code(), "not-a-number");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    kind: Kind,
    code: Cow<'static, str>,
    message: String,
}

impl Error {
    /// Not written, worth trying again.
    pub fn transient(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(Kind::Transient(None), code, message)
    }

    /// Not written, and never will be: the events become dead letters.
    pub fn rejected(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(Kind::Rejected, code, message)
    }

    /// Perhaps written: it was sent, and no answer came.
    pub fn unknown(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(Kind::Unknown, code, message)
    }

    /// Nothing can be written until an operator acts: credentials refused, a table missing, a directory not granted.
    pub fn halted(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(Kind::Halted, code, message)
    }

    /// A failure of the given kind.
    pub fn new(kind: Kind, code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { kind, code: code.into(), message: message.into() }
    }

    /// Asks for a pause before the next attempt. Only a transient failure has one; the others stay as they are.
    #[must_use]
    pub fn after(mut self, pause: Duration) -> Self {
        if let Kind::Transient(after) = &mut self.kind {
            *after = Some(pause);
        }
        self
    }

    /// What it means for the events.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The short, stable identifier: a label in metrics, a filter in replays.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The text for people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The same failure for one event that has to come again although its sink stands still.
    pub(crate) fn into_transient(self) -> Self {
        Self { kind: Kind::Transient(None), ..self }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Transient(_) => "transient",
            Kind::Rejected => "rejected",
            Kind::Unknown => "unknown",
            Kind::Halted => "halted",
        };
        write!(f, "{kind} ({}): {}", self.code, self.message)
    }
}

/// An error whose meaning nobody gave is *unknown*; one of [`http`] knows its kind.
impl<E: std::error::Error + 'static> From<E> for Error {
    fn from(error: E) -> Self {
        let any: &(dyn std::error::Error + 'static) = &error;
        if let Some(error) = any.downcast_ref::<http::Error>() {
            return error.outcome();
        }
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            message.push_str(": ");
            message.push_str(&cause.to_string());
            source = cause.source();
        }
        Self::unknown("uncaught", message)
    }
}

impl From<Error> for events::Failure {
    fn from(error: Error) -> Self {
        let kind = match error.kind {
            Kind::Transient(after) => events::FailureKind::Transient(after.map(milliseconds)),
            Kind::Rejected => events::FailureKind::Rejected,
            Kind::Unknown => events::FailureKind::Unknown,
            Kind::Halted => events::FailureKind::Halted,
        };
        Self { kind, code: error.code.into_owned(), message: error.message }
    }
}

fn milliseconds(pause: Duration) -> u32 {
    u32::try_from(pause.as_millis()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_error_is_unknown_and_keeps_its_message() {
        let error: Error = "x".parse::<u32>().unwrap_err().into();
        assert_eq!(error, Error::unknown("uncaught", "invalid digit found in string"));
    }

    #[test]
    fn only_a_transient_failure_takes_a_pause() {
        let pause = Duration::from_secs(3);
        assert_eq!(Error::transient("busy", "").after(pause).kind(), Kind::Transient(Some(pause)));
        assert_eq!(Error::halted("gone", "").after(pause).kind(), Kind::Halted);
    }

    #[test]
    fn a_pause_too_long_for_the_contract_is_its_longest() {
        let failure: events::Failure = Error::transient("busy", "").after(Duration::from_secs(1 << 40)).into();
        assert!(matches!(failure.kind, events::FailureKind::Transient(Some(u32::MAX))));
    }
}
