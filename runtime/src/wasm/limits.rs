//! What an instance may take: memory and time on the processor.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use wasmtime::ResourceLimiter;

/// Bytes that one element of a table takes.
const ELEMENT: usize = size_of::<usize>();

/// Adds up all memories and tables of an instance.
#[derive(Debug)]
pub(super) struct Memory {
    limit: usize,
    used: usize,
    last: usize,
    refused: bool,
}

impl Memory {
    pub(super) fn new(limit: u64) -> Memory {
        Memory { limit: usize::try_from(limit).unwrap_or(usize::MAX), used: 0, last: 0, refused: false }
    }

    /// Whether the guest was refused memory: what it does then (most end in a trap) is because of that.
    pub(super) fn was_refused(&self) -> bool {
        self.refused
    }

    fn grow(&mut self, bytes: usize) -> bool {
        let fits = self.used.checked_add(bytes).is_some_and(|used| used <= self.limit);
        self.last = if fits { bytes } else { 0 };
        self.used += self.last;
        self.refused |= !fits;
        fits
    }

    fn give_back(&mut self) {
        self.used -= std::mem::take(&mut self.last);
    }
}

impl ResourceLimiter for Memory {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(desired.saturating_sub(current)))
    }

    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.give_back();
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(desired.saturating_sub(current).saturating_mul(ELEMENT)))
    }

    fn table_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.give_back();
        Ok(())
    }

    fn instances(&self) -> usize {
        1_000
    }

    fn tables(&self) -> usize {
        1_000
    }

    fn memories(&self) -> usize {
        100
    }
}

/// A call took more time on the processor than it may.
#[derive(Debug, thiserror::Error)]
#[error("the call took more than {} on the processor", crate::units::duration::print(self.0))]
pub(super) struct CpuExceeded(Duration);

/// Time on the processor, charged poll by poll: ticks would also count the time in which a guest only waits.
#[derive(Debug)]
pub(super) struct Cpu {
    limit: Duration,
    spent: AtomicU64,
    /// When the poll that runs began, on its thread's clock.
    since: AtomicU64,
}

impl Cpu {
    pub(super) fn new(limit: Duration) -> Arc<Cpu> {
        Arc::new(Cpu { limit, spent: AtomicU64::new(0), since: AtomicU64::new(0) })
    }

    /// Begins anew: a call starts, or the guest gave way to its other calls.
    pub(super) fn reset(&self) {
        self.spent.store(0, Ordering::Relaxed);
        self.since.store(thread_time(), Ordering::Relaxed);
    }

    /// Looked at while a poll runs, on its thread.
    pub(super) fn check(&self) -> Result<(), CpuExceeded> {
        let running = thread_time().saturating_sub(self.since.load(Ordering::Relaxed));
        let total = Duration::from_nanos(self.spent.load(Ordering::Relaxed) + running);
        if total > self.limit { Err(CpuExceeded(self.limit)) } else { Ok(()) }
    }

    /// Charges every poll of a future.
    pub(super) async fn charge<F: Future>(self: &Arc<Cpu>, future: F) -> F::Output {
        let mut future = pin!(future);
        poll_fn(|context| {
            self.since.store(thread_time(), Ordering::Relaxed);
            let poll = future.as_mut().poll(context);
            let took = thread_time().saturating_sub(self.since.load(Ordering::Relaxed));
            self.spent.fetch_add(took, Ordering::Relaxed);
            poll
        })
        .await
    }
}

/// Nanoseconds that this thread has spent on the processor.
fn thread_time() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_and_tables_count_together() {
        let mut memory = Memory::new(100);
        assert!(memory.memory_growing(0, 40, None).unwrap());
        assert!(memory.memory_growing(0, 40, None).unwrap());
        assert!(!memory.table_growing(0, 3, None).unwrap());
        assert!(memory.was_refused());
        assert!(memory.table_growing(0, 2, None).unwrap());
        memory.table_grow_failed(wasmtime::Error::msg("no")).unwrap();
        assert!(memory.memory_growing(40, 60, None).unwrap());
    }

    #[test]
    fn only_time_on_the_processor_counts() {
        let cpu = Cpu::new(Duration::from_millis(5));
        cpu.reset();
        cpu.check().unwrap();
        let began = thread_time();
        while thread_time() - began < 6_000_000 {}
        assert!(cpu.check().is_err());
        cpu.reset();
        cpu.check().unwrap();
    }
}
