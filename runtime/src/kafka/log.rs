//! Where librdkafka's own log goes.

use rdkafka::config::RDKafkaLogLevel;

/// Passes a line of librdkafka's log on, `client` being the name of the sink or source that it is about.
///
/// What it calls an error is a warning here: it goes on by itself, and what becomes of events is said by their outcomes.
pub fn log(client: &str, level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
            tracing::error!(client, facility, "{message}");
        }
        RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => tracing::warn!(client, facility, "{message}"),
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => tracing::debug!(client, facility, "{message}"),
        RDKafkaLogLevel::Debug => tracing::trace!(client, facility, "{message}"),
    }
}
