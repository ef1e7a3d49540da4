//! What errors of Kafka mean for events. `docs/kafka.md` has the table.

use rdkafka::types::RDKafkaErrorCode as Code;

use super::native::{Persisted, Unwritten};
use crate::batch::RowSet;
use crate::sink::{Failure, FailureKind, Outcome, Refusal, WriteError};

/// What an error says by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Nothing but that the message was not written: whether a broker may have it is told apart.
    Unwritten,
    /// It will never be written.
    Rejected,
    /// The message, or one that was sent together with it, will never be written.
    Together,
    /// An operator must act.
    Halted,
}

/// What an error says by itself.
pub(super) fn meaning(code: Code) -> Meaning {
    match code {
        Code::MessageSizeTooLarge
        | Code::MessageBatchTooLarge
        | Code::InvalidRecord
        | Code::InvalidDifferentRecord
        | Code::InvalidTimestamp => Meaning::Together,
        Code::InvalidTopic
        | Code::InvalidArgument
        | Code::PolicyViolation
        | Code::UnknownPartition
        | Code::UnsupportedForMessageFormat => Meaning::Rejected,
        Code::Authentication
        | Code::SaslAuthenticationFailed
        | Code::UnsupportedSASLMechanism
        | Code::IllegalSASLState
        | Code::SecurityDisabled
        | Code::TopicAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::TransactionalIdAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::InvalidTransactionTimeout
        | Code::UnsupportedCompressionType
        | Code::UnsupportedVersion => Meaning::Halted,
        _ => Meaning::Unwritten,
    }
}

/// Whether a message is to be sent again, by what is known of it alone.
pub(super) fn comes_again(one: &Unwritten) -> bool {
    one.persisted != Persisted::Yes && matches!(meaning(one.code), Meaning::Unwritten | Meaning::Halted)
}

/// The name of an error in dead letters and metrics: `too-large`, or librdkafka's name in lower case with hyphens.
pub(super) fn code(code: Code) -> String {
    match code {
        Code::MessageSizeTooLarge | Code::MessageBatchTooLarge => "too-large".into(),
        // What was purged was purged because it took too long.
        Code::PurgeQueue | Code::MessageTimedOut => "not-delivered".into(),
        Code::PurgeInflight => "no-answer".into(),
        other => {
            let mut name = String::new();
            for c in format!("{other:?}").chars() {
                if c.is_ascii_uppercase() && name.ends_with(|last: char| !last.is_ascii_uppercase()) {
                    name.push('-');
                }
                name.push(c);
            }
            name.to_ascii_lowercase()
        }
    }
}

/// What was said, and which right the user lacks where that is the reason.
pub(super) fn message(code: Code, said: &str) -> String {
    match code {
        Code::TopicAuthorizationFailed => format!("{said}: give the user the right to WRITE to the topic"),
        Code::ClusterAuthorizationFailed => {
            format!("{said}: give the user the right to IDEMPOTENT_WRITE on the cluster")
        }
        Code::TransactionalIdAuthorizationFailed => {
            format!(
                "{said}: give the user the rights to WRITE and DESCRIBE transactional ids that begin with `instance`"
            )
        }
        Code::GroupAuthorizationFailed => format!("{said}: give the user the right to READ the source's group"),
        Code::InvalidTransactionTimeout => {
            format!("{said}: `timeout` is above the brokers' `transaction.max.timeout.ms`, by default 15 minutes")
        }
        _ => said.to_owned(),
    }
}

/// Why a message was not written.
pub(super) fn failure(kind: FailureKind, code: Code, last_error: Option<&str>) -> Failure {
    let because = match last_error {
        Some(error) if meaning(code) == Meaning::Unwritten => format!("; the client's last error: {error}"),
        _ => String::new(),
    };
    let message = match code {
        Code::PurgeQueue | Code::MessageTimedOut => format!("no broker took it in time{because}"),
        Code::PurgeInflight => format!("no broker answered in time{because}"),
        other => format!("{}{because}", message(other, &other.to_string())),
    };
    Failure::new(kind, self::code(code), message)
}

/// Failures of single events, put together by their reason.
pub(super) struct Failures {
    last_error: Option<String>,
    each: Vec<(Failure, Vec<u32>)>,
}

impl Failures {
    pub(super) fn new() -> Failures {
        Failures { last_error: None, each: Vec::new() }
    }

    /// What the client said last explains why messages are late.
    pub(super) fn because(&mut self, last_error: Option<String>) {
        self.last_error = last_error;
    }

    /// An event failed so.
    pub(super) fn add(&mut self, row: u32, failure: Failure) {
        match self.each.iter_mut().find(|(known, _)| *known == failure) {
            Some((_, rows)) => rows.push(row),
            None => self.each.push((failure, vec![row])),
        }
    }

    /// A message was not written.
    pub(super) fn unwritten(&mut self, Unwritten { row, code, persisted }: Unwritten) {
        let kind = match (meaning(code), persisted) {
            (_, Persisted::Yes) => return,
            (Meaning::Rejected | Meaning::Together, _) => FailureKind::Rejected,
            (Meaning::Halted, _) => FailureKind::Halted,
            (Meaning::Unwritten, Persisted::No) => FailureKind::Transient { after: None },
            (Meaning::Unwritten, Persisted::Perhaps) => FailureKind::Unknown,
        };
        self.add(row, failure(kind, code, self.last_error.as_deref()));
    }

    /// What became of a batch of so many events. `halted` keeps everything from being written until an operator acts.
    pub(super) fn outcome(mut self, rows: usize, halted: Option<Failure>) -> Result<Outcome, WriteError> {
        let failed: usize = self.each.iter().map(|(_, rows)| rows.len()).sum();
        let has_ended = |failure: &Failure| matches!(failure.kind, FailureKind::Rejected | FailureKind::Unknown);
        if failed == rows && !self.each.iter().any(|(failure, _)| has_ended(failure)) {
            let halted = halted.or_else(|| self.of_all(|kind| kind == FailureKind::Halted));
            let of_all = || self.of_all(|kind| matches!(kind, FailureKind::Transient { .. }));
            if let Some(failure) = halted.or_else(of_all) {
                return Err(WriteError::Failed(failure));
            }
        }
        for (failure, _) in &mut self.each {
            // One topic of several can't halt the sink.
            if failure.kind == FailureKind::Halted {
                failure.kind = FailureKind::Rejected;
            }
        }
        let refusal = |(failure, rows)| Refusal { rows: RowSet::from_rows(rows), failure };
        let refused = self.each.into_iter().map(refusal).collect();
        Ok(Outcome::new(rows, refused, None)?)
    }

    /// The failure that all events have in common, if its kind is one of those.
    fn of_all(&self, kind: impl Fn(FailureKind) -> bool) -> Option<Failure> {
        match self.each.as_slice() {
            [(failure, _)] if kind(failure.kind) => Some(failure.clone()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(rows: usize, unwritten: &[(u32, Code, Persisted)]) -> Result<Outcome, WriteError> {
        let mut failures = Failures::new();
        unwritten.iter().for_each(|&(row, code, persisted)| failures.unwritten(Unwritten { row, code, persisted }));
        failures.outcome(rows, None)
    }

    fn kinds(outcome: Result<Outcome, WriteError>) -> Vec<(&'static str, String, Vec<u32>)> {
        match outcome.unwrap() {
            Outcome::Written => Vec::new(),
            Outcome::Partial { refused, .. } => refused
                .iter()
                .map(|one| (one.failure.kind.name(), one.failure.code.to_string(), one.rows.iter().collect()))
                .collect(),
        }
    }

    #[test]
    fn what_a_broker_may_have_is_unknown_and_what_none_has_comes_again() {
        let told = outcome(
            5,
            &[
                (0, Code::PurgeInflight, Persisted::Perhaps),
                (1, Code::PurgeQueue, Persisted::No),
                (2, Code::MessageSizeTooLarge, Persisted::No),
                (3, Code::MessageTimedOut, Persisted::Yes),
            ],
        );
        assert_eq!(
            kinds(told),
            [
                ("unknown", "no-answer".to_owned(), vec![0]),
                ("transient", "not-delivered".to_owned(), vec![1]),
                ("rejected", "too-large".to_owned(), vec![2]),
            ]
        );
        assert_eq!(kinds(outcome(2, &[])), []);
    }

    #[test]
    fn where_nothing_can_be_written_the_sink_itself_failed() {
        let all = |code| outcome(2, &[(0, code, Persisted::No), (1, code, Persisted::No)]).unwrap_err();
        assert_eq!(all(Code::UnknownTopicOrPartition).failure().kind.name(), "transient");
        assert_eq!(all(Code::TopicAuthorizationFailed).failure().kind.name(), "halted");
        let one = outcome(2, &[(0, Code::TopicAuthorizationFailed, Persisted::No)]);
        assert_eq!(kinds(one), [("rejected", "topic-authorization-failed".to_owned(), vec![0])]);
    }

    #[test]
    fn wrong_credentials_halt_unless_something_may_have_been_written() {
        let halted = Failure::halted("authentication", "wrong password");
        let outcome = |persisted| {
            let mut failures = Failures::new();
            failures.unwritten(Unwritten { row: 0, code: Code::PurgeQueue, persisted: Persisted::No });
            failures.unwritten(Unwritten { row: 1, code: Code::PurgeInflight, persisted });
            failures.outcome(2, Some(halted.clone()))
        };
        assert_eq!(outcome(Persisted::No), Err(WriteError::Failed(halted.clone())));
        let kinds: Vec<&str> = kinds(outcome(Persisted::Perhaps)).iter().map(|(kind, ..)| *kind).collect();
        assert_eq!(kinds, ["transient", "unknown"]);
    }

    #[test]
    fn codes_are_librdkafkas_names_in_lower_case() {
        assert_eq!(code(Code::UnknownTopicOrPartition), "unknown-topic-or-partition");
        assert_eq!(code(Code::UnsupportedSASLMechanism), "unsupported-saslmechanism");
    }
}
