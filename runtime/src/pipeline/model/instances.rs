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

/// Instances that are opened at the same time, or one right after the other: calls wait for that.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Openings {
    since: Option<Instant>,
    until: Option<Instant>,
    now: usize,
}

impl Openings {
    pub(super) fn begin(&mut self) {
        let goes_on = self.now > 0 || self.until == Some(Instant::now());
        self.since = self.since.filter(|_| goes_on).or(Some(Instant::now()));
        self.now += 1;
    }

    pub(super) fn end(&mut self) {
        self.now = self.now.saturating_sub(1);
        self.until = Some(Instant::now());
    }

    /// Whether a call that begins now may have waited for them since then.
    pub(super) fn lasted_at(&self, then: Instant) -> bool {
        self.until == Some(Instant::now()) && self.since.is_some_and(|since| since <= then)
    }
}
