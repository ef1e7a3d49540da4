//! Holds all events of a sink back while trying would be of no use.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::defect::{self, Defect};
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

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    moved: Notify,
    probe: Duration,
}

#[derive(Debug)]
enum State {
    Open,
    Closed { cause: Cause, until: Instant },
    Probing { cause: Cause },
}

impl Gate {
    /// An open gate that is probed so often while it is closed.
    pub fn new(probe: Duration) -> Gate {
        Gate { shared: Arc::new(Shared { state: Mutex::new(State::Open), moved: Notify::new(), probe }) }
    }

    /// Why nothing passes, if nothing does.
    pub fn closed(&self) -> Option<Cause> {
        match &*self.state() {
            State::Open => None,
            State::Closed { cause, .. } | State::Probing { cause } => Some(cause.clone()),
        }
    }

    /// Waits until the caller may try. Whoever passes says afterwards whether the gate is open or closed.
    pub(super) async fn pass(&self) {
        loop {
            let moved = self.shared.moved.notified();
            tokio::pin!(moved);
            // Registered before looking: a move between looking and waiting is not missed.
            moved.as_mut().enable();
            let until = {
                let mut state = self.state();
                match &*state {
                    State::Open => return,
                    _ if defect::on(Defect::OpenUnprobed) => return,
                    State::Closed { cause, until } if *until <= Instant::now() => {
                        *state = State::Probing { cause: cause.clone() };
                        return;
                    }
                    State::Closed { until, .. } => Some(*until),
                    State::Probing { .. } => None,
                }
            };
            match until {
                Some(until) => drop(timeout_at(until, moved.as_mut()).await),
                None => moved.await,
            }
        }
    }

    /// Somebody was let in: all may pass.
    pub(super) fn open(&self) {
        let mut state = self.state();
        if !matches!(*state, State::Open) {
            *state = State::Open;
            drop(state);
            self.shared.moved.notify_waiters();
        }
    }

    /// Nobody may pass until the next probe.
    pub(super) fn close(&self, cause: Cause) {
        self.close_for(cause, self.shared.probe);
    }

    /// Nobody may pass for so long.
    pub(super) fn close_for(&self, cause: Cause, pause: Duration) {
        *self.state() = State::Closed { cause, until: Instant::now() + pause };
        self.shared.moved.notify_waiters();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A state is whole at any time, whoever panicked.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
        gate.open();
        while lanes.join_next().await.is_some() {}
        assert_eq!((began.elapsed().as_secs(), passed.load(Ordering::SeqCst)), (30, 4));
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
