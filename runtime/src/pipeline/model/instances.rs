//! The instances of a sink, as the sink sees them.

use std::sync::Arc;

use tokio::sync::Notify;
use tokio::time::Instant;

/// One instance, from the beginning of its opening.
#[derive(Clone, Debug)]
pub(super) struct Instance {
    pub(super) open_began: Instant,
    pub(super) opened: Option<Instant>,
    pub(super) in_flight: usize,
    /// A call did not return, or the instance broke.
    pub(super) lost: bool,
    pub(super) closed: bool,
    /// It broke: all calls in it end.
    pub(super) broke: Arc<Notify>,
    pub(super) broken: bool,
}

impl Instance {
    pub(super) fn opening() -> Instance {
        Instance {
            open_began: Instant::now(),
            opened: None,
            in_flight: 0,
            lost: false,
            closed: false,
            broke: Arc::new(Notify::new()),
            broken: false,
        }
    }

    /// When a call that begins now passed the gate, at the earliest.
    pub(super) fn passed(&self) -> Instant {
        match self.opened {
            Some(opened) if opened == Instant::now() => self.open_began,
            _ => Instant::now(),
        }
    }
}
