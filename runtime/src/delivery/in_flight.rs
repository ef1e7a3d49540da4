//! How many calls of a sink are in flight, and how many may be.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::adaptive::Adaptive;
use super::settings::Concurrency;
use crate::defect::{self, Defect};

/// Shared by the lanes of a sink.
#[derive(Debug)]
pub(super) struct InFlight {
    calls: AtomicUsize,
    limit: Limit,
}

#[derive(Debug)]
enum Limit {
    Fixed(usize),
    Adaptive(Mutex<Adaptive>),
}

/// One call. Dropping it without an end, as when time is up, counts for nothing.
pub(super) struct Call<'a> {
    in_flight: &'a InFlight,
}

impl InFlight {
    pub(super) fn new(concurrency: Concurrency) -> InFlight {
        let limit = match concurrency {
            Concurrency::Fixed(writes) => Limit::Fixed(writes.get()),
            Concurrency::Adaptive => Limit::Adaptive(Mutex::new(Adaptive::new())),
        };
        InFlight { calls: AtomicUsize::new(0), limit }
    }

    /// How many may be.
    pub(super) fn limit(&self) -> usize {
        match &self.limit {
            Limit::Fixed(limit) => *limit,
            Limit::Adaptive(_) if defect::on(Defect::IgnoreLimit) => super::adaptive::MOST,
            Limit::Adaptive(adaptive) => adaptive.lock().unwrap_or_else(PoisonError::into_inner).limit(),
        }
    }

    /// One more begins.
    pub(super) fn begin(&self) -> Call<'_> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        Call { in_flight: self }
    }
}

impl Call<'_> {
    /// It ended. `overloaded`: in a way that fewer calls at a time might have avoided.
    pub(super) fn ended(self, latency: Duration, overloaded: bool) {
        if let Limit::Adaptive(adaptive) = &self.in_flight.limit {
            let calls = self.in_flight.calls.load(Ordering::Relaxed);
            adaptive.lock().unwrap_or_else(PoisonError::into_inner).ended(latency, overloaded, calls);
        }
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.in_flight.calls.fetch_sub(1, Ordering::Relaxed);
    }
}
