//! An opened sink under test, of any of the four shapes.
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::task;
use std::task::Poll;
use std::task::Wake;

use serde::Serialize;

use crate::batch::Batch;
use crate::context::Context;
use crate::error::Error;
use crate::level::AsyncBatches;
use crate::level::AsyncEvents;
use crate::level::Batches;
use crate::level::Events;
use crate::level::Overlapping;
use crate::level::Plain;
use crate::report::Report;
use crate::sink::AsyncBatchSink;
use crate::sink::AsyncEventSink;
use crate::sink::BatchSink;
use crate::sink::EventSink;
use crate::testing;
use crate::testing::Outcome;

/// An opened sink, called as the runtime calls it.
#[derive(Debug)]
pub struct Harness<S> {
    sink: S,
    write: fn(&mut S, &Batch, &Context) -> Result<Report, Error>,
    close: fn(&mut S) -> Result<(), Error>,
}

impl Harness<()> {
    /// Opens a sink that takes one event at a time. The configuration is what the pipeline's `config` holds.
    ///
    /// # Errors
    /// As the sink's `open`, or halted with code `config` where the configuration does not fit its type.
    pub fn events<S: EventSink>(config: impl Serialize) -> Result<Harness<S>, Error> {
        plain::<Events<S>>(config)
    }

    /// Opens a sink that takes whole batches.
    ///
    /// # Errors
    /// As for [`events`](Self::events).
    pub fn batches<S: BatchSink>(config: impl Serialize) -> Result<Harness<S>, Error> {
        plain::<Batches<S>>(config)
    }

    /// Opens an async sink that takes one event at a time.
    ///
    /// # Errors
    /// As for [`events`](Self::events).
    pub fn async_events<S: AsyncEventSink>(config: impl Serialize) -> Result<Harness<S>, Error> {
        overlapping::<AsyncEvents<S>>(config)
    }

    /// Opens an async sink that takes whole batches.
    ///
    /// # Errors
    /// As for [`events`](Self::events).
    pub fn async_batches<S: AsyncBatchSink>(config: impl Serialize) -> Result<Harness<S>, Error> {
        overlapping::<AsyncBatches<S>>(config)
    }
}

impl<S> Harness<S> {
    /// Writes a batch in [`testing::context()`].
    pub fn write(&mut self, batch: impl Into<Batch>) -> Outcome {
        self.write_in(&testing::context(), batch)
    }

    /// Writes a batch in circumstances of the test's choice.
    pub fn write_in(&mut self, context: &Context, batch: impl Into<Batch>) -> Outcome {
        let batch = batch.into();
        let result = (self.write)(&mut self.sink, &batch, context);
        Outcome::new(batch.len(), result)
    }

    /// The sink itself.
    pub fn sink(&mut self) -> &mut S {
        &mut self.sink
    }

    /// Makes the last call.
    ///
    /// # Errors
    /// As the sink's `close`.
    pub fn close(mut self) -> Result<(), Error> {
        (self.close)(&mut self.sink)
    }
}

fn plain<L: Plain>(config: impl Serialize) -> Result<Harness<L::Sink>, Error> {
    let sink = L::open(&json(config)?, &testing::opening())?;
    Ok(Harness { sink, write: L::write, close: L::close })
}

fn overlapping<L: Overlapping>(config: impl Serialize) -> Result<Harness<L::Sink>, Error> {
    Ok(Harness {
        sink: block_on(L::open(&json(config)?, &testing::opening()))?,
        write: |sink, batch, context| block_on(L::write(sink, batch, context)),
        close: |sink| block_on(L::close(sink)),
    })
}

fn json(config: impl Serialize) -> Result<String, Error> {
    serde_json::to_string(&config).map_err(|error| Error::halted("config", error.to_string()))
}

/// Runs a future to its end in this thread.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Woken(AtomicBool);
    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let woken = Arc::new(Woken(AtomicBool::new(true)));
    let waker = Arc::clone(&woken).into();
    let mut future = pin!(future);
    while woken.0.swap(false, Ordering::Relaxed) {
        if let Poll::Ready(output) = future.as_mut().poll(&mut task::Context::from_waker(&waker)) {
            return output;
        }
    }
    #[expect(clippy::panic, reason = "the test would hang otherwise")]
    {
        panic!("the sink awaits what nothing in this test will ever wake it for")
    }
}
