//! What the sinks know of their gate: when they may be called.

use std::time::Duration;

use tokio::time::Instant;

use super::world::TICK;

/// A gate as seen from the sink. What it does not know for sure it takes as open.
#[derive(Clone, Debug, Default)]
pub(super) struct GateModel {
    closed: Option<Closed>,
}

#[derive(Clone, Debug)]
struct Closed {
    since: Instant,
    until: Instant,
    /// The call that probes.
    probe: Option<usize>,
}

impl GateModel {
    /// The sink said that nothing can be written for so long.
    pub(super) fn close(&mut self, pause: Duration) {
        let since = Instant::now();
        self.closed = Some(Closed { since, until: since + pause, probe: None });
    }

    /// The sink was called and said anything else.
    pub(super) fn open(&mut self) {
        self.closed = None;
    }

    /// A call begins that passed the gate at some time; what is wrong with that.
    pub(super) fn pass(&mut self, call: usize, passed: Instant) -> Option<&'static str> {
        let closed = self.closed.as_mut().filter(|closed| passed > closed.since)?;
        if passed + TICK < closed.until {
            return Some("while the gate is closed");
        }
        match closed.probe.replace(call) {
            None => None,
            Some(_) => Some("beside the probe"),
        }
    }
}
