//! The open instances of a sink, and one call into them.

use std::num::NonZeroUsize;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use tokio::sync::Mutex;
use tokio::time::{timeout, timeout_at};

use crate::batch::Batch;
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
}

impl Answer {
    /// Whether fewer calls at a time might have been answered better.
    pub(super) fn is_overload(&self) -> bool {
        let transient = |failure: &Failure| matches!(failure.kind, FailureKind::Transient { .. });
        match self {
            Answer::Failed(failure) | Answer::NotOpened(failure) => transient(failure),
            Answer::Outcome(Outcome::Partial { refused, .. }) => refused.iter().any(|one| transient(&one.failure)),
            Answer::TimedOut(_) => true,
            Answer::Outcome(Outcome::Written) | Answer::Broke { .. } => false,
        }
    }
}

/// As many instances as the lanes need, each opened when it is first used. An instance whose call did not return is
/// dropped and never used again.
pub(super) struct Instances {
    connect: Arc<dyn Connect>,
    slots: Vec<Mutex<Option<Arc<dyn Sink>>>>,
    overlap: NonZeroUsize,
    metrics: Arc<SinkMetrics>,
}

impl Instances {
    /// For so many calls at the same time.
    pub(super) fn new(connect: Arc<dyn Connect>, concurrency: usize, metrics: Arc<SinkMetrics>) -> Instances {
        let overlap = connect.contract().overlap;
        let slots = (0..concurrency.div_ceil(overlap.get())).map(|_| Mutex::default()).collect();
        Instances { connect, slots, overlap, metrics }
    }

    /// One attempt of a lane at a batch, within the context's deadline.
    pub(super) async fn write(&self, lane: usize, batch: &Batch, context: &WriteContext) -> Answer {
        let number = lane / self.overlap;
        let sink = match timeout_at(context.deadline, self.opened(number)).await {
            Ok(Ok(sink)) => sink,
            Ok(Err(failure)) => return Answer::NotOpened(failure),
            Err(_) => return not_opened_in_time(context.timeout),
        };
        let answer = call(&*sink, batch, context, self.overlap.get() == 1).await;
        if matches!(answer, Answer::TimedOut(_) | Answer::Broke { .. }) {
            self.discard(number, &sink).await;
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
            close(&*sink, context.timeout).await;
        }
        answer
    }

    /// Closes the instance of a lane, so that the next call opens it anew: credentials may have changed.
    pub(super) async fn reopen(&self, lane: usize, within: Duration) {
        if let Some(sink) = self.slots[lane / self.overlap].lock().await.take() {
            close(&*sink, within).await;
        }
    }

    /// Closes all instances at the same time, and takes no longer than `within`.
    pub(super) async fn close(&self, within: Duration) {
        let closing = self.slots.iter().map(|slot| async {
            if let Some(sink) = slot.lock().await.take() {
                close(&*sink, within).await;
            }
        });
        join_all(closing).await;
    }

    async fn opened(&self, number: usize) -> Result<Arc<dyn Sink>, Failure> {
        let mut slot = self.slots[number].lock().await;
        match &*slot {
            Some(sink) => Ok(sink.clone()),
            None => {
                let sink = self.open(number).await?;
                *slot = Some(sink.clone());
                Ok(sink)
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

    /// New calls open another instance; those still in flight in this one end on their own.
    async fn discard(&self, number: usize, broken: &Arc<dyn Sink>) {
        let mut slot = self.slots[number].lock().await;
        if slot.as_ref().is_some_and(|sink| Arc::ptr_eq(sink, broken)) {
            *slot = None;
        }
    }
}

async fn call(sink: &dyn Sink, batch: &Batch, context: &WriteContext, alone: bool) -> Answer {
    let write = AssertUnwindSafe(sink.write(batch, context)).catch_unwind();
    match timeout_at(context.deadline, write).await {
        Ok(Ok(Ok(outcome))) => Answer::Outcome(outcome),
        Ok(Ok(Err(WriteError::Failed(failure)))) => Answer::Failed(failure),
        Ok(Ok(Err(WriteError::Lost(failure)))) => Answer::Broke { failure, alone },
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

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without a message".into())
}
