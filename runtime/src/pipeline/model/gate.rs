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
    /// The last call that had begun by then.
    last: usize,
    /// The call that probes.
    probe: Option<usize>,
}

impl GateModel {
    /// The sink said that nothing can be written for so long, when `last` was the last call that had begun.
    pub(super) fn close(&mut self, pause: Duration, last: usize) {
        let since = Instant::now();
        self.closed = Some(Closed { since, until: since + pause, last, probe: None });
    }

    /// Something else became of opening the sink.
    pub(super) fn open(&mut self) {
        self.closed = None;
    }

    /// The sink said anything else to a call. What a call says that had begun before is too late to open the gate.
    /// It may close it anew, which gives it another probe.
    pub(super) fn answered(&mut self, call: usize, may_close: bool) {
        match &mut self.closed {
            Some(closed) if call <= closed.last && may_close => closed.probe = None,
            Some(closed) if call <= closed.last => {}
            _ => self.closed = None,
        }
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
