//! Whether everything runs, and if not, what does not and why.

use serde::Serialize;

use crate::metrics::SourceState;
use crate::pipeline::{Overview, SinkView};

/// The answer of `/ready`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Readiness {
    /// Every source is open, every gate too, nothing stops, and dead letters have room.
    pub(super) ready: bool,
    /// Why not.
    reasons: Vec<Reason>,
    /// Queues that are full while their source waits. A sink that is slow is no reason not to be ready.
    full: Vec<Full>,
}

/// Why a run is not ready.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
enum Reason {
    /// Components are being compiled, or a source is being opened.
    Starting { source: Option<String> },
    /// What was read is being delivered, and nothing more is read.
    Stopping,
    /// A source can't go on.
    SourceFailed { source: String },
    /// What a source has to reject waits for room.
    DeadLettersFull { source: String },
    /// Events of a sink wait.
    GateClosed { pipeline: String, sink: String, cause: &'static str, code: Option<String>, message: String },
    /// The disk buffer of a sink takes nothing in.
    BufferFailing { pipeline: String, sink: String, message: String },
}

/// A queue that holds its source back.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Full {
    source: String,
    pipeline: String,
    sink: String,
    /// For how long it has been so.
    seconds: f64,
    bytes: u64,
}

impl Readiness {
    /// Before anything was built.
    pub(super) fn starting() -> Readiness {
        Readiness { ready: false, reasons: vec![Reason::Starting { source: None }], full: Vec::new() }
    }

    /// Of what is to be seen now.
    pub(super) fn of(overview: &Overview, stopping: bool) -> Readiness {
        let mut reasons = Vec::new();
        if stopping {
            reasons.push(Reason::Stopping);
        }
        for view in &overview.sources {
            let source = || view.name.to_string();
            match view.metrics.state() {
                SourceState::Starting => reasons.push(Reason::Starting { source: Some(source()) }),
                SourceState::Failed => reasons.push(Reason::SourceFailed { source: source() }),
                SourceState::Reading | SourceState::Held | SourceState::Ended => {}
            }
            if view.metrics.dead_letters_full.running().is_some() {
                reasons.push(Reason::DeadLettersFull { source: source() });
            }
        }
        reasons.extend(overview.sinks.iter().filter_map(closed));
        reasons.extend(overview.sinks.iter().filter_map(failing));
        Readiness { ready: reasons.is_empty(), reasons, full: overview.sinks.iter().filter_map(full).collect() }
    }
}

fn closed(sink: &SinkView) -> Option<Reason> {
    let cause = sink.gate.closed()?;
    let (pipeline, name) = (sink.path.pipeline.to_string(), sink.path.sink.to_string());
    let (code, message) = match cause.failure() {
        Some(failure) => (Some(failure.code.to_string()), failure.message.to_string()),
        None => (None, cause.to_string()),
    };
    Some(Reason::GateClosed { pipeline, sink: name, cause: cause.name(), code, message })
}

fn failing(sink: &SinkView) -> Option<Reason> {
    let message = sink.queue.buffer()?.trouble()?;
    let (pipeline, name) = (sink.path.pipeline.to_string(), sink.path.sink.to_string());
    Some(Reason::BufferFailing { pipeline, sink: name, message })
}

fn full(sink: &SinkView) -> Option<Full> {
    let held = sink.queue.holding_back()?;
    let (pipeline, name) = (sink.path.pipeline.to_string(), sink.path.sink.to_string());
    let (source, bytes) = (sink.source.to_string(), sink.queue.bytes());
    Some(Full { source, pipeline, sink: name, seconds: held.as_secs_f64(), bytes })
}
