//! What an instance may take: memory and time on the processor.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use wasmtime::ResourceLimiter;

use super::engine::TICK;
use super::stage::Usage;

/// A call that has spent this part of its limit by the wall is metered exactly.
const INEXACT: u32 = 4;
/// Bytes that one element of a table takes.
const ELEMENT: usize = size_of::<usize>();

/// Adds up all memories and tables of an instance.
#[derive(Debug)]
pub(super) struct Memory {
    limit: usize,
    used: usize,
    last: usize,
    refused: bool,
    usage: Option<Arc<Usage>>,
}

impl Memory {
    pub(super) fn new(limit: u64, usage: Option<Arc<Usage>>) -> Memory {
        Memory { limit: usize::try_from(limit).unwrap_or(usize::MAX), used: 0, last: 0, refused: false, usage }
    }

    /// A call begins, or the guest gave way to its other calls: what was refused before has no part in what follows.
    pub(super) fn forget_refusals(&mut self) {
        self.refused = false;
    }

    /// Whether this call was refused memory: what the guest does then (most end in a trap) is because of that.
    pub(super) fn was_refused(&self) -> bool {
        self.refused
    }

    fn grow(&mut self, bytes: usize) -> bool {
        let fits = self.used.checked_add(bytes).is_some_and(|used| used <= self.limit);
        self.last = if fits { bytes } else { 0 };
        self.used += self.last;
        self.refused |= !fits;
        if let Some(usage) = &self.usage {
            usage.note_memory(self.used as u64);
        }
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
///
/// The thread's own clock costs a system call, so it is read from the first tick of a poll on. What a poll took before
/// that, or a poll without a tick took, is measured by the wall and counts as a tick at most. On a busy machine that is too
/// much for a call with thousands of polls, such as one with a request for each event: one that has spent a part of its time
/// is metered exactly from there on.
#[derive(Debug)]
pub(super) struct Cpu {
    limit: Duration,
    /// Only the thread that polls touches it; the lock is never waited for.
    meter: Mutex<Meter>,
}

#[derive(Debug)]
struct Meter {
    spent: Duration,
    /// When the poll that runs began.
    begun: Instant,
    /// The thread's clock at the first tick of that poll.
    ticked: Option<Duration>,
}

impl Meter {
    fn begin(&mut self, limit: Duration) {
        self.begun = Instant::now();
        self.ticked = (self.spent >= limit / INEXACT).then(thread_time);
    }

    fn charge(&mut self) {
        self.spent += self.running();
    }

    /// What the poll that runs has taken.
    fn running(&self) -> Duration {
        match self.ticked {
            Some(ticked) => thread_time().saturating_sub(ticked),
            None => self.begun.elapsed().min(TICK),
        }
    }
}

impl Cpu {
    pub(super) fn new(limit: Duration) -> Arc<Cpu> {
        let meter = Meter { spent: Duration::ZERO, begun: Instant::now(), ticked: None };
        Arc::new(Cpu { limit, meter: Mutex::new(meter) })
    }

    fn meter(&self) -> MutexGuard<'_, Meter> {
        self.meter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins anew within a poll: the guest gave way to its other calls.
    pub(super) fn reset(&self) {
        *self.meter() = Meter { spent: Duration::ZERO, begun: Instant::now(), ticked: None };
    }

    /// Looked at at every tick while a poll runs, on its thread.
    pub(super) fn check(&self) -> Result<(), CpuExceeded> {
        let mut meter = self.meter();
        if meter.ticked.is_none() {
            meter.charge();
            meter.ticked = Some(thread_time());
        }
        if meter.spent + meter.running() > self.limit { Err(CpuExceeded(self.limit)) } else { Ok(()) }
    }

    /// Charges the polls of one call, from nothing.
    pub(super) async fn charge<F: Future>(&self, call: F) -> F::Output {
        let mut call = pin!(call);
        self.meter().spent = Duration::ZERO;
        poll_fn(|context| {
            self.meter().begin(self.limit);
            let poll = call.as_mut().poll(context);
            if poll.is_pending() {
                self.meter().charge();
            }
            poll
        })
        .await
    }
}

/// How long this thread has been on the processor.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let (seconds, nanos) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
    Duration::new(seconds.unwrap_or(0), nanos.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_and_tables_count_together() {
        let mut memory = Memory::new(100, None);
        assert!(memory.memory_growing(0, 40, None).unwrap());
        assert!(memory.memory_growing(0, 40, None).unwrap());
        assert!(!memory.table_growing(0, 3, None).unwrap());
        assert!(memory.was_refused());
        memory.forget_refusals();
        assert!(!memory.was_refused());
        assert!(memory.table_growing(0, 2, None).unwrap());
        memory.table_grow_failed(wasmtime::Error::msg("no")).unwrap();
        assert!(memory.memory_growing(40, 60, None).unwrap());
    }

    /// Keeps the processor busy.
    fn spin(time: Duration) {
        let begun = thread_time();
        while thread_time() - begun < time {}
    }

    #[test]
    fn time_on_the_processor_counts_from_the_first_tick_on() {
        let cpu = Cpu::new(Duration::from_millis(15));
        cpu.reset();
        cpu.check().unwrap();
        spin(Duration::from_millis(16));
        assert!(cpu.check().is_err());
        cpu.reset();
        cpu.check().unwrap();
    }

    #[tokio::test]
    async fn polls_of_a_call_add_up() {
        let cpu = Cpu::new(Duration::from_millis(15));
        for polls in [1, 4] {
            let call = async {
                for _ in 0..polls {
                    spin(Duration::from_millis(5));
                    tokio::task::yield_now().await;
                }
                cpu.check().is_err()
            };
            assert_eq!(cpu.charge(call).await, polls == 4);
        }
    }

    #[tokio::test]
    async fn time_without_the_processor_counts_for_a_part_of_the_limit_at_most() {
        let (_kept, never) = std::sync::mpsc::channel::<()>();
        let cpu = Cpu::new(Duration::from_millis(80));
        let call = async {
            for _ in 0..20 {
                // The thread waits, as it does where others have the processor, and no tick sees it.
                never.recv_timeout(Duration::from_millis(5)).unwrap_err();
                tokio::task::yield_now().await;
            }
            cpu.check()
        };
        cpu.charge(call).await.unwrap();
        assert!(cpu.meter().spent >= Duration::from_millis(20));
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_does_not_count() {
        let cpu = Cpu::new(Duration::from_millis(15));
        let call = async {
            tokio::time::sleep(Duration::from_secs(3600)).await;
            cpu.check()
        };
        cpu.charge(call).await.unwrap();
    }
}
