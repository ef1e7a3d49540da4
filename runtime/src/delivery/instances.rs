//! The open instances of a sink, and one call into them.

use std::num::NonZeroUsize;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use tokio::sync::Mutex;
use tokio::time::{timeout, timeout_at};

use crate::batch::Batch;
use crate::defect::{self, Defect};
use crate::metrics::SinkMetrics;
use crate::sink::{Connect, Failure, FailureKind, Outcome, Sink, WriteContext, WriteError};

/// How one call ended.
#[derive(Debug)]
pub(super) enum Answer {
    /// The sink says what became of each event.
    Outcome(Outcome),
    /// The sink says why nothing is known to be written.
    Failed(Failure),
    /// The sink could not be opened.
    NotOpened(Failure),
    /// The call took too long, and the instance with it.
    TimedOut(Failure),
    /// The instance broke; whether this was the only call in it.
    Broke {
        /// How.
        failure: Failure,
        /// Whether no other call can have been the cause.
        alone: bool,
    },
    /// Another process writes in the place of this one.
    Superseded(Failure),
    /// There was no attempt: the sink said what it has.
    Asked,
}

impl Answer {
    /// Whether some of so many events come again, as far as that follows from the answer alone.
    pub(super) fn comes_again(&self, events: usize) -> bool {
        let again = |failure: &Failure| matches!(failure.kind, FailureKind::Transient { .. } | FailureKind::Unknown);
        match self {
            Answer::Outcome(Outcome::Written) => false,
            Answer::Outcome(Outcome::Partial { refused, stopped_at }) => {
                *stopped_at < events || refused.iter().any(|one| again(&one.failure))
            }
            _ => true,
        }
    }

    /// Whether nothing was written, and the sink can't say more about it.
    pub(super) fn is_in_vain(&self) -> bool {
        let failure = match self {
            Answer::Failed(failure) | Answer::NotOpened(failure) => failure,
            _ => return false,
        };
        failure.kind == FailureKind::Transient { after: None }
    }

    /// Whether fewer calls at a time might have been answered better.
    pub(super) fn is_overload(&self) -> bool {
        let transient = |failure: &Failure| matches!(failure.kind, FailureKind::Transient { .. });
        match self {
            Answer::Failed(failure) | Answer::NotOpened(failure) => transient(failure),
            Answer::Outcome(Outcome::Partial { refused, .. }) => refused.iter().any(|one| transient(&one.failure)),
            Answer::TimedOut(_) => true,
            Answer::Outcome(Outcome::Written) | Answer::Broke { .. } | Answer::Superseded(_) | Answer::Asked => false,
        }
    }
}

/// As many instances as the lanes need, each opened when it is first used. An instance whose call did not return is
/// dropped and never used again.
pub(super) struct Instances {
    connect: Arc<dyn Connect>,
    slots: Vec<Mutex<Option<Arc<Instance>>>>,
    /// To be closed.
    left: std::sync::Mutex<Vec<Arc<dyn Sink>>>,
    overlap: NonZeroUsize,
    metrics: Arc<SinkMetrics>,
}

/// An open instance.
struct Instance {
    sink: Arc<dyn Sink>,
    /// Calls in flight.
    calls: AtomicUsize,
    /// A call did not return.
    lost: AtomicBool,
    /// No new calls: the last one in flight closes it.
    retired: AtomicBool,
}

/// A call in flight. One that is dropped before it returned loses the instance.
struct Call<'a> {
    instance: &'a Instance,
    returned: bool,
}

impl<'a> Call<'a> {
    fn new(instance: &'a Instance) -> Call<'a> {
        instance.calls.fetch_add(1, Ordering::Relaxed);
        Call { instance, returned: false }
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if !self.returned && !defect::on(Defect::ReuseBroken) {
            self.instance.lost.store(true, Ordering::Relaxed);
        }
        self.instance.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Instance {
    /// Whether nobody will call it any more, and it has to be closed.
    fn is_left(&self) -> bool {
        self.retired.load(Ordering::Relaxed) && self.is_idle() && !self.lost.load(Ordering::Relaxed)
    }

    fn is_idle(&self) -> bool {
        self.calls.load(Ordering::Relaxed) == 0
    }

    /// Unless it is lost.
    async fn close(&self, within: Duration) {
        if !self.lost.load(Ordering::Relaxed) || defect::on(Defect::CloseLost) {
            close(&*self.sink, within).await;
        }
    }
}

impl Instances {
    /// For so many calls at the same time.
    pub(super) fn new(connect: Arc<dyn Connect>, concurrency: usize, metrics: Arc<SinkMetrics>) -> Instances {
        let overlap = connect.contract().overlap;
        let slots = (0..concurrency.div_ceil(overlap.get())).map(|_| Mutex::default()).collect();
        Instances { connect, slots, left: std::sync::Mutex::default(), overlap, metrics }
    }

    /// What opens them.
    pub(super) fn connect(&self) -> &Arc<dyn Connect> {
        &self.connect
    }

    /// One attempt of a lane at a batch, within the context's deadline.
    pub(super) async fn write(&self, lane: usize, batch: &Batch, context: &WriteContext) -> Answer {
        let number = if defect::on(Defect::OneInstanceForAll) { 0 } else { lane / self.overlap };
        let instance = match timeout_at(context.deadline, self.opened(number)).await {
            Ok(Ok(instance)) => instance,
            Ok(Err(failure)) => return Answer::NotOpened(failure),
            Err(_) => return not_opened_in_time(context.timeout),
        };
        let mut in_flight = Call::new(&instance);
        let answer = call(&*instance.sink, batch, context, self.overlap.get() == 1).await;
        in_flight.returned = !matches!(answer, Answer::TimedOut(_) | Answer::Broke { .. });
        let returned = in_flight.returned;
        drop(in_flight);
        if !returned && !defect::on(Defect::ReuseBroken) {
            self.discard(number, &instance);
        } else if instance.is_left() {
            self.leave(instance.sink.clone());
        }
        answer
    }

    /// One attempt in an instance that is opened for it and closed after it, so that nobody else can break it.
    pub(super) async fn write_alone(&self, lane: usize, batch: &Batch, context: &WriteContext) -> Answer {
        let sink = match timeout_at(context.deadline, self.open(lane / self.overlap)).await {
            Ok(Ok(sink)) => sink,
            Ok(Err(failure)) => return Answer::NotOpened(failure),
            Err(_) => return not_opened_in_time(context.timeout),
        };
        let answer = call(&*sink, batch, context, true).await;
        if matches!(answer, Answer::Outcome(_) | Answer::Failed(_)) {
            self.leave(sink);
        }
        answer
    }

    /// Nobody calls it any more. It is closed once its last answer was judged: what is written is final first.
    fn leave(&self, sink: Arc<dyn Sink>) {
        self.left.lock().unwrap_or_else(PoisonError::into_inner).push(sink);
    }

    /// Closes the instances that calls have left behind, each within a time.
    pub(super) async fn close_left(&self, within: Duration) {
        loop {
            let left = self.left.lock().unwrap_or_else(PoisonError::into_inner).pop();
            match left {
                Some(sink) => close(&*sink, within).await,
                None => return,
            }
        }
    }

    /// Closes the instance of a lane once no call is in flight in it. The next call opens another: credentials may have
    /// changed.
    pub(super) async fn reopen(&self, lane: usize, within: Duration) {
        // Nobody waits for the slot while the instance closes: that would look like an outage.
        let instance = self.slots[lane / self.overlap].lock().await.take();
        if let Some(instance) = instance {
            instance.retired.store(true, Ordering::Relaxed);
            if instance.is_idle() || defect::on(Defect::CloseUnderCalls) {
                instance.close(within).await;
            }
        }
    }

    /// Closes all instances at the same time, and takes no longer than `within`.
    pub(super) async fn close(&self, within: Duration) {
        self.close_left(within).await;
        let closing = self.slots.iter().map(|slot| async {
            if let Some(instance) = slot.lock().await.take() {
                instance.close(within).await;
            }
        });
        join_all(closing).await;
    }

    async fn opened(&self, number: usize) -> Result<Arc<Instance>, Failure> {
        let mut slot = self.slots[number].lock().await;
        match &*slot {
            Some(instance) if !instance.lost.load(Ordering::Relaxed) => Ok(instance.clone()),
            _ => {
                *slot = None;
                let sink = self.open(number).await?;
                let (calls, lost, retired) = (AtomicUsize::new(0), AtomicBool::new(false), AtomicBool::new(false));
                let instance = Arc::new(Instance { sink, calls, lost, retired });
                *slot = Some(instance.clone());
                Ok(instance)
            }
        }
    }

    async fn open(&self, number: usize) -> Result<Arc<dyn Sink>, Failure> {
        self.metrics.opened.add(1);
        match AssertUnwindSafe(self.connect.open(number as u32)).catch_unwind().await {
            Ok(Ok(sink)) => Ok(sink),
            Ok(Err(failure)) if matches!(failure.kind, FailureKind::Transient { .. }) => Err(failure),
            // Opening knows nothing of events: what is not worth repeating needs an operator.
            Ok(Err(failure)) => Err(Failure { kind: FailureKind::Halted, ..failure }),
            Err(panic) => Err(Failure::halted("panic", panic_message(&*panic))),
        }
    }

    /// New calls open another instance; those still in flight in this one end on their own. Whoever holds the slot sees
    /// that the instance is lost: to wait for that would keep the answer back, until it says what is no longer so.
    fn discard(&self, number: usize, broken: &Arc<Instance>) {
        if let Ok(mut slot) = self.slots[number].try_lock()
            && slot.as_ref().is_some_and(|instance| Arc::ptr_eq(instance, broken))
        {
            *slot = None;
        }
    }
}

async fn call(sink: &dyn Sink, batch: &Batch, context: &WriteContext, alone: bool) -> Answer {
    let write = AssertUnwindSafe(sink.write(batch, context)).catch_unwind();
    let late = if defect::on(Defect::IgnoreDeadline) { context.timeout } else { Duration::ZERO };
    match timeout_at(context.deadline + late, write).await {
        Ok(Ok(Ok(outcome))) => Answer::Outcome(outcome),
        Ok(Ok(Err(WriteError::Failed(failure)))) => Answer::Failed(failure),
        Ok(Ok(Err(WriteError::Lost(failure)))) => Answer::Broke { failure, alone },
        Ok(Ok(Err(WriteError::Superseded(failure)))) => Answer::Superseded(failure),
        Ok(Err(panic)) => Answer::Broke { failure: Failure::unknown("panic", panic_message(&*panic)), alone },
        Err(_) => {
            let message = format!("no answer within {}", crate::units::duration::print(context.timeout));
            Answer::TimedOut(Failure::unknown("timeout", message))
        }
    }
}

async fn close(sink: &dyn Sink, within: Duration) {
    match timeout(within, AssertUnwindSafe(sink.close()).catch_unwind()).await {
        Ok(Ok(Ok(()))) => {}
        Ok(Ok(Err(failure))) => tracing::warn!(%failure, "the sink did not close well"),
        Ok(Err(panic)) => tracing::error!(panic = panic_message(&*panic), "closing the sink panicked"),
        Err(_) => tracing::warn!(?within, "the sink did not close in time"),
    }
}

fn not_opened_in_time(timeout: Duration) -> Answer {
    let message = format!("not opened within {}", crate::units::duration::print(timeout));
    Answer::NotOpened(Failure::transient("open-timeout", message))
}

pub(super) fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without a message".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::RowSet;
    use crate::sink::Refusal;

    #[test]
    fn what_is_written_or_rejected_does_not_come_again() {
        let partial = |failure: Failure, stopped_at| {
            let refused = vec![Refusal { rows: RowSet::from_rows(vec![1]), failure }];
            Answer::Outcome(Outcome::Partial { refused, stopped_at }).comes_again(3)
        };
        assert!(!Answer::Outcome(Outcome::Written).comes_again(3));
        assert!(!partial(Failure::rejected("bad", ""), 3));
        assert!(partial(Failure::rejected("bad", ""), 2), "what was not tried");
        assert!(partial(Failure::transient("busy", ""), 3) && partial(Failure::unknown("lost", ""), 3));
        assert!(Answer::Failed(Failure::rejected("bad", "")).comes_again(3), "in halves");
    }
}
