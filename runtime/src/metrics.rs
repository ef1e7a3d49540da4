//! What is counted, by every room below: shared counters, one relaxed addition a batch.
//!
//! Names follow the configuration: a source, a pipeline, a sink. Counts are of events unless they say otherwise.

use std::sync::atomic::{AtomicU64, Ordering};

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

/// What one source did.
#[derive(Debug, Default)]
pub struct SourceMetrics {
    /// Events read.
    pub events: Count,
    /// Bytes of payload read.
    pub bytes: Count,
    /// Events that framing rejected.
    pub rejected: Count,
    /// Microseconds for which a full queue kept it from reading.
    pub backpressure_us: Count,
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
    /// Events given up without being final.
    pub abandoned: Count,
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
    /// Events that the sink rejected.
    pub rejected: Count,
    /// Calls of the sink.
    pub attempts: Count,
    /// Microseconds spent in calls of the sink.
    pub attempt_us: Count,
    /// Batches that were put together from several blocks, and so copied.
    pub copied_batches: Count,
    /// Times that an instance was opened.
    pub opened: Count,
}

impl SinkMetrics {
    /// Events on their way: routed, and not yet final.
    pub fn waiting(&self) -> u64 {
        let done = self.written.get() + self.dead_lettered.get() + self.dropped.get() + self.abandoned.get();
        (self.events.get() + self.recovered.get()).saturating_sub(done + self.buffer_lost.get())
    }

    /// Events that are durably in the disk buffer, and not final for the sink.
    pub fn in_buffer(&self) -> u64 {
        let came = self.buffered.get() + self.recovered.get();
        came.saturating_sub(self.unbuffered.get() + self.buffer_lost.get())
    }
}
