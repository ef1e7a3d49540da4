//! What is counted, by every room below: shared counters, one relaxed addition a batch.
//!
//! Names follow the configuration: a source, a pipeline, a sink. Counts are of events unless they say otherwise.

mod codes;
mod stopwatch;
mod times;

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub use codes::{Codes, MOST_CODES, OTHER_CODE};
pub use stopwatch::{Running, Stopwatch};
pub use times::{BOUNDS, Times};

/// A number that only grows, or a level that goes up and down.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds to it.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Takes from it; a level never falls below what was added.
    pub fn sub(&self, n: u64) {
        self.0.fetch_sub(n, Ordering::Relaxed);
    }

    /// What it stands at.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a source is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum SourceState {
    /// It is not open yet.
    Starting,
    /// It is open, and read from.
    Reading,
    /// It is open, and a full queue or full dead letters hold it back.
    Held,
    /// Nothing more is read, because it has ended or was told to stop.
    Ended,
    /// It can't go on.
    Failed,
}

/// What one source did.
#[derive(Debug, Default)]
pub struct SourceMetrics {
    /// Events read.
    pub events: Count,
    /// Bytes of payload read.
    pub bytes: Count,
    /// Events that framing rejected.
    pub rejected: Count,
    /// How long it waited for room among the dead letters, for what framing or routes rejected.
    pub dead_letters_full: Stopwatch,
    state: AtomicU8,
    /// One more than the bytes that there are to be read; 0 where nobody knows.
    behind: AtomicU64,
    lag: Mutex<Vec<(Arc<str>, u64)>>,
}

impl SourceMetrics {
    /// Bytes that there are to be read, where the source knows.
    pub fn behind(&self) -> Option<u64> {
        self.behind.load(Ordering::Relaxed).checked_sub(1)
    }

    /// So many bytes there are to be read from now on.
    pub fn set_behind(&self, bytes: Option<u64>) {
        self.behind.store(bytes.map_or(0, |bytes| bytes.saturating_add(1)), Ordering::Relaxed);
    }

    /// For each topic, events that wait where they come from, from those on that are not final here.
    pub fn lag(&self) -> Vec<(Arc<str>, u64)> {
        self.lag.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// So it is from now on.
    pub fn set_lag(&self, lag: Vec<(Arc<str>, u64)>) {
        *self.lag.lock().unwrap_or_else(PoisonError::into_inner) = lag;
    }

    /// What it is at.
    pub fn state(&self) -> SourceState {
        let all = [SourceState::Reading, SourceState::Held, SourceState::Ended, SourceState::Failed];
        let now = self.state.load(Ordering::Relaxed);
        all.into_iter().find(|state| *state as u8 == now).unwrap_or(SourceState::Starting)
    }

    /// What it is at from now on.
    pub fn set_state(&self, state: SourceState) {
        self.state.store(state as u8, Ordering::Relaxed);
    }
}

/// What one pipeline did before its sinks.
#[derive(Debug, Default)]
pub struct PipelineMetrics {
    /// Conditions that could not be evaluated for an event.
    pub condition_errors: Count,
    /// Events that no sink took.
    pub not_taken: Count,
}

/// What the delivery to one sink did.
#[derive(Debug, Default)]
pub struct SinkMetrics {
    /// Events routed to it.
    pub events: Count,
    /// Events that ended written.
    pub written: Count,
    /// Bytes of payload that ended written.
    pub written_bytes: Count,
    /// Events that ended in the dead letters.
    pub dead_lettered: Count,
    /// Events that `drop_newest` dropped.
    pub dropped: Count,
    /// Events of which the sink's encoder made nothing, on purpose.
    pub left_out: Count,
    /// Events given up without being final.
    pub abandoned: Count,
    /// Events given up because their partition was taken away.
    pub revoked: Count,
    /// Events that became durable in the disk buffer.
    pub buffered: Count,
    /// Events that an earlier run left in the disk buffer.
    pub recovered: Count,
    /// Events of the disk buffer that ended one way or another.
    pub unbuffered: Count,
    /// Events of the disk buffer that were damaged on disk.
    pub buffer_lost: Count,
    /// Events that were tried again, once for each time.
    pub retried: Count,
    /// The same by the failure that made it necessary.
    pub retried_for: Codes,
    /// Events that the sink rejected.
    pub rejected: Count,
    /// Calls of the sink.
    pub attempts: Count,
    /// Microseconds spent in calls of the sink.
    pub attempt_us: Count,
    /// How long calls of the sink took.
    pub attempt_times: Times,
    /// Batches that were put together from several blocks, and so copied.
    pub copied_batches: Count,
    /// Times that an instance was opened.
    pub opened: Count,
}

impl SinkMetrics {
    /// Events on their way: routed, and not yet final.
    pub fn waiting(&self) -> u64 {
        let given_up = self.dropped.get() + self.abandoned.get() + self.revoked.get();
        let done = self.written.get() + self.dead_lettered.get() + self.left_out.get() + given_up;
        (self.events.get() + self.recovered.get()).saturating_sub(done + self.buffer_lost.get())
    }

    /// Events that are durably in the disk buffer, and not final for the sink.
    pub fn in_buffer(&self) -> u64 {
        let came = self.buffered.get() + self.recovered.get();
        came.saturating_sub(self.unbuffered.get() + self.buffer_lost.get())
    }

    /// A call ended.
    pub fn attempted(&self, took: Duration) {
        self.attempts.add(1);
        self.attempt_us.add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        self.attempt_times.observe(took);
    }

    /// So many events are tried again because of a failure.
    pub fn again(&self, events: u64, kind: &'static str, code: &std::sync::Arc<str>) {
        self.retried.add(events);
        self.retried_for.add(kind, code, events);
    }
}
