//! What a sink is told when it is opened and at each write.
use std::time::Duration;

use crate::bindings::plain::sump::sink::events;
use crate::bindings::plain::sump::sink::writing;

/// For whom an instance is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Opening {
    /// Name of the pipeline.
    pub pipeline: String,
    /// Name of the sink in it.
    pub sink: String,
    /// Which of the sink's instances, from 0; one that replaces another takes its number over.
    pub instance: u32,
}

impl Opening {
    pub(crate) fn from_wit(opening: events::Opening) -> (String, Self) {
        let events::Opening { config, pipeline, sink, instance } = opening;
        (config, Self { pipeline, sink, instance })
    }
}

/// The circumstances of one write.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Context {
    /// Name of the pipeline.
    pub pipeline: String,
    /// Name of the sink in it.
    pub sink: String,
    /// The same for every attempt at exactly these events and for no others: an idempotency key.
    pub batch_id: String,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// The call is abandoned, and the instance with it, after this time.
    pub timeout: Duration,
    /// Order was promised. The event level keeps it; a batch sink that sets `STOPS_IN_ORDER` has to.
    pub ordered: bool,
    /// W3C trace context to pass on.
    pub traceparent: Option<String>,
}

impl From<writing::Context> for Context {
    fn from(context: writing::Context) -> Self {
        let writing::Context { pipeline, sink, batch_id, attempt, timeout_ms, ordered, traceparent } = context;
        let timeout = Duration::from_millis(timeout_ms.into());
        Self { pipeline, sink, batch_id, attempt, timeout, ordered, traceparent }
    }
}
