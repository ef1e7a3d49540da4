//! What is wrong with a cluster: what ends the source, and what is waited for and told now and then.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rdkafka::types::RDKafkaErrorCode;
use tracing::warn;

use crate::source::SourceError;

/// The same is told so often.
const PERIOD: Duration = Duration::from_secs(30);

/// Tells what is wrong, each thing once a period.
#[derive(Debug)]
pub(super) struct Trouble {
    source: String,
    /// By code, when.
    told: HashMap<i32, Instant>,
    /// Whether it ever worked. From then on nothing that a broker says is for good.
    worked: bool,
}

impl Trouble {
    /// Of the source of that name. It has not worked yet.
    pub(super) fn new(source: &str) -> Trouble {
        Trouble { source: source.to_owned(), told: HashMap::new(), worked: false }
    }

    /// The group gave us partitions: settings and rights are as they have to be.
    pub(super) fn over(&mut self) {
        self.worked = true;
    }

    /// Whether it ever worked.
    pub(super) fn is_over(&self) -> bool {
        self.worked
    }

    /// Something is wrong. The error says what ends the source.
    pub(super) fn meet(&mut self, code: RDKafkaErrorCode, reason: &str) -> Result<(), SourceError> {
        if let Some(remedy) = remedy(code).filter(|_| !self.worked) {
            return Err(SourceError { message: format!("{reason} ({code}): {remedy}") });
        }
        let now = Instant::now();
        let told = self.told.get(&(code as i32)).is_some_and(|told| now.duration_since(*told) < PERIOD);
        if !told && !expected(code) {
            self.told.insert(code as i32, now);
            warn!(source = self.source, code = %code, "{reason}: the source goes on trying");
        }
        Ok(())
    }
}

/// What to do about what trying again does not help.
fn remedy(code: RDKafkaErrorCode) -> Option<&'static str> {
    Some(match code {
        RDKafkaErrorCode::Authentication
        | RDKafkaErrorCode::SaslAuthenticationFailed
        | RDKafkaErrorCode::UnsupportedSASLMechanism => "check `sasl` of the connection",
        RDKafkaErrorCode::GroupAuthorizationFailed => "give the user the right to READ the group",
        RDKafkaErrorCode::TopicAuthorizationFailed => "give the user the rights to READ and DESCRIBE the topic",
        RDKafkaErrorCode::ClusterAuthorizationFailed => "give the user the right that it lacks on the cluster",
        RDKafkaErrorCode::InconsistentGroupProtocol => {
            "the group has members that share partitions in another way: stop them, or use another `group`"
        }
        RDKafkaErrorCode::UnsupportedVersion | RDKafkaErrorCode::UnsupportedFeature => {
            "the brokers don't know it: `protocol = \"consumer\"` needs Kafka 4.0"
        }
        RDKafkaErrorCode::InvalidGroupId => "choose another `group`",
        RDKafkaErrorCode::InvalidSessionTimeout => "set `session.timeout.ms` to what the brokers allow",
        _ => return None,
    })
}

/// What happens where nothing is wrong.
fn expected(code: RDKafkaErrorCode) -> bool {
    matches!(code, RDKafkaErrorCode::PartitionEOF | RDKafkaErrorCode::NoOffset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_not_work_ends_the_source_and_what_has_worked_is_waited_for() {
        let mut trouble = Trouble::new("quakes");
        trouble.meet(RDKafkaErrorCode::AllBrokersDown, "1/1 brokers are down").unwrap();
        let error = trouble.meet(RDKafkaErrorCode::Authentication, "SASL PLAIN failed").unwrap_err();
        assert!(error.message.contains("SASL PLAIN failed") && error.message.contains("`sasl` of the"), "{error}");
        trouble.over();
        trouble.meet(RDKafkaErrorCode::Authentication, "SASL PLAIN failed").unwrap();
        assert_eq!(trouble.told.len(), 2);
    }
}
