//! Holds all events of a sink back while trying would be of no use.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::defect::{self, Defect};
use crate::metrics::Stopwatch;
use crate::sink::Failure;

/// Why a gate is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The sink can't write until an operator acts.
    Halted(Failure),
    /// The destination asked for time.
    Advice(Failure),
    /// Nothing can be written, and the user wants that waited out.
    Outage(Failure),
    /// There is no room for more dead letters.
    DeadLettersFull,
}

impl Cause {
    /// What [`name`](Self::name) may give.
    pub const NAMES: [&str; 4] = ["halted", "advice", "outage", "dead_letters_full"];

    /// Its kind, in metrics and answers.
    pub fn name(&self) -> &'static str {
        Cause::NAMES[self.number()]
    }

    /// What the sink said, where it was the sink.
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Cause::Halted(failure) | Cause::Advice(failure) | Cause::Outage(failure) => Some(failure),
            Cause::DeadLettersFull => None,
        }
    }

    fn number(&self) -> usize {
        match self {
            Cause::Halted(_) => 0,
            Cause::Advice(_) => 1,
            Cause::Outage(_) => 2,
            Cause::DeadLettersFull => 3,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Cause::Halted(failure) | Cause::Advice(failure) | Cause::Outage(failure) => failure.fmt(f),
            Cause::DeadLettersFull => f.write_str("the dead letters are full"),
        }
    }
}

/// One for each sink, shared by its lanes. Cloning gives the same gate.
///
/// While it is closed nobody passes. When its time is over, one batch goes through as a probe: what becomes of it
/// opens the gate or closes it again.
#[derive(Clone, Debug)]
pub struct Gate {
    shared: Arc<Shared>,
}

/// Somebody passed, or closed: what comes of it says something about the gate as long as nobody closed it since.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pass {
    closings: u64,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    moved: Notify,
    probe: Duration,
    /// How long it was closed by each cause.
    closed: [Stopwatch; Cause::NAMES.len()],
}

#[derive(Debug)]
struct State {
    at: At,
    /// How often it was closed.
    closings: u64,
}

#[derive(Debug)]
enum At {
    Open,
    Closed { cause: Cause, until: Instant },
    Probing { cause: Cause },
}

impl Gate {
    /// An open gate that is probed so often while it is closed.
    pub fn new(probe: Duration) -> Gate {
        let (moved, closed) = (Notify::new(), Default::default());
        let state = Mutex::new(State { at: At::Open, closings: 0 });
        Gate { shared: Arc::new(Shared { state, moved, probe, closed }) }
    }

    /// Why nothing passes, if nothing does.
    pub fn closed(&self) -> Option<Cause> {
        match &self.state().at {
            At::Open => None,
            At::Closed { cause, .. } | At::Probing { cause } => Some(cause.clone()),
        }
    }

    /// Waits until nothing passes, and says why.
    pub async fn when_closed(&self) -> Cause {
        loop {
            let moved = self.shared.moved.notified();
            tokio::pin!(moved);
            // Registered before looking: a move between looking and waiting is not missed.
            moved.as_mut().enable();
            if let Some(cause) = self.closed() {
                return cause;
            }
            moved.await;
        }
    }

    /// How long it was closed by each cause in all, probes included.
    pub fn closed_for(&self) -> [(&'static str, Duration); Cause::NAMES.len()] {
        std::array::from_fn(|cause| (Cause::NAMES[cause], self.shared.closed[cause].read()))
    }

    /// Waits until the caller may try. Whoever passes says afterwards whether the gate is open or closed.
    pub(super) async fn pass(&self) -> Pass {
        loop {
            let moved = self.shared.moved.notified();
            tokio::pin!(moved);
            // Registered before looking: a move between looking and waiting is not missed.
            moved.as_mut().enable();
            let until = {
                let mut state = self.state();
                let pass = Pass { closings: state.closings };
                match &state.at {
                    At::Open => return pass,
                    _ if defect::on(Defect::OpenUnprobed) => return pass,
                    At::Closed { cause, until } if *until <= Instant::now() => {
                        state.at = At::Probing { cause: cause.clone() };
                        return pass;
                    }
                    At::Closed { until, .. } => Some(*until),
                    At::Probing { .. } => None,
                }
            };
            match until {
                Some(until) => drop(timeout_at(until, moved.as_mut()).await),
                None => moved.await,
            }
        }
    }

    /// Whether nobody has closed it since somebody passed.
    pub(super) fn lets_in(&self, pass: Pass) -> bool {
        self.state().closings == pass.closings || defect::on(Defect::OpenUnprobed)
    }

    /// Whoever passed was let in: all may pass, unless somebody who passed later was not.
    pub(super) fn open(&self, pass: Pass) {
        let mut state = self.state();
        if (state.closings == pass.closings || defect::on(Defect::OpenLate)) && !matches!(state.at, At::Open) {
            state.at = At::Open;
            self.time(None);
            drop(state);
            self.shared.moved.notify_waiters();
        }
    }

    /// Whoever passed has nothing to try after all: if that was to be the probe, another may be it at once.
    pub(super) fn forgo(&self, pass: Pass) {
        let mut state = self.state();
        if state.closings == pass.closings
            && let At::Probing { cause } = &state.at
        {
            state.at = At::Closed { cause: cause.clone(), until: Instant::now() };
            drop(state);
            self.shared.moved.notify_waiters();
        }
    }

    /// Nobody may pass until the next probe.
    pub(super) fn close(&self, cause: Cause) -> Pass {
        self.close_for(cause, self.shared.probe)
    }

    /// Nobody may pass for so long, or longer where that was said before.
    pub(super) fn close_for(&self, cause: Cause, pause: Duration) -> Pass {
        let mut state = self.state();
        self.time(Some(&cause));
        let mut until = Instant::now() + pause;
        if let At::Closed { until: before, .. } = state.at {
            until = until.max(before);
        }
        let closings = state.closings + 1;
        *state = State { at: At::Closed { cause, until }, closings };
        drop(state);
        self.shared.moved.notify_waiters();
        Pass { closings }
    }

    /// From now on it is closed by this cause, and by no other.
    fn time(&self, cause: Option<&Cause>) {
        let now = cause.map(Cause::number);
        self.shared.closed.iter().enumerate().filter(|(number, _)| Some(*number) != now).for_each(|(_, by)| by.stop());
        now.into_iter().for_each(|number| self.shared.closed[number].start());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A state is whole at any time, whoever panicked.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn halted() -> Cause {
        Cause::Halted(Failure::halted("401", ""))
    }

    #[tokio::test(start_paused = true)]
    async fn one_probes_and_the_others_wait_for_what_becomes_of_it() {
        let gate = Gate::new(Duration::from_secs(30));
        gate.close(halted());
        let began = Instant::now();
        let passed = Arc::new(AtomicUsize::new(0));
        let mut lanes = tokio::task::JoinSet::new();
        for _ in 0..4 {
            let (gate, passed) = (gate.clone(), passed.clone());
            lanes.spawn(async move {
                gate.pass().await;
                passed.fetch_add(1, Ordering::SeqCst);
            });
        }
        lanes.join_next().await;
        assert_eq!((began.elapsed().as_secs(), passed.load(Ordering::SeqCst)), (30, 1));
        assert_eq!(gate.closed(), Some(halted()));
        gate.open(Pass { closings: 1 });
        while lanes.join_next().await.is_some() {}
        assert_eq!((began.elapsed().as_secs(), passed.load(Ordering::SeqCst)), (30, 4));
        assert_eq!(gate.closed(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn who_passed_before_it_was_closed_does_not_open_it() {
        let gate = Gate::new(Duration::from_secs(30));
        let (early, later) = (gate.pass().await, gate.pass().await);
        assert_eq!(early, later);
        gate.close_for(halted(), Duration::from_secs(60));
        gate.open(early);
        assert_eq!(gate.closed(), Some(halted()));
        let began = Instant::now();
        gate.close_for(halted(), Duration::from_secs(1));
        let probe = gate.pass().await;
        assert_eq!(began.elapsed().as_secs(), 60, "what was said first holds");
        gate.open(probe);
        assert_eq!(gate.closed(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_for_which_it_is_closed_is_told_by_cause() {
        let gate = Gate::new(Duration::from_secs(30));
        gate.close(halted());
        gate.pass().await;
        tokio::time::advance(Duration::from_secs(1)).await;
        gate.close_for(Cause::Advice(Failure::transient("429", "")), Duration::from_secs(5));
        let probe = gate.pass().await;
        let seconds = || gate.closed_for().map(|(_, time)| time.as_secs());
        assert_eq!(seconds(), [31, 5, 0, 0], "also while it is closed");
        gate.open(probe);
        gate.open(probe);
        tokio::time::advance(Duration::from_secs(9)).await;
        assert_eq!(seconds(), [31, 5, 0, 0]);
        gate.close(Cause::DeadLettersFull);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(seconds(), [31, 5, 0, 2]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_is_forgone_is_another_ones_at_once() {
        let gate = Gate::new(Duration::from_secs(30));
        let early = gate.pass().await;
        gate.close(halted());
        let began = Instant::now();
        let probe = gate.pass().await;
        gate.forgo(early);
        assert!(gate.pass().now_or_never().is_none(), "one probes");
        gate.forgo(probe);
        assert_eq!(gate.closed(), Some(halted()));
        let other = gate.pass().await;
        assert_eq!(began.elapsed().as_secs(), 30);
        gate.open(other);
        gate.forgo(other);
        assert_eq!(gate.closed(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_fails_closes_it_again() {
        let gate = Gate::new(Duration::from_secs(30));
        let began = Instant::now();
        for probes in 1..=3 {
            gate.close(halted());
            gate.pass().await;
            assert_eq!(began.elapsed().as_secs(), 30 * probes);
        }
    }
}
