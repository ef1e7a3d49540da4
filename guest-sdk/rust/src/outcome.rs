//! From the results of single events to the report of their batch.
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use crate::batch::Batch;
use crate::context::Context;
use crate::error::Error;
use crate::error::Kind;
use crate::report::Report;
use crate::sink::AsyncEventSink;
use crate::sink::EventSink;

/// Writes a batch event by event.
pub(crate) fn write<S: EventSink>(sink: &mut S, batch: &Batch, context: &Context) -> Result<Report, Error> {
    sink.begin(context)?;
    let mut tally = Tally::new(context.ordered);
    for event in batch.events() {
        tally.tried += 1;
        if let Err(error) = sink.process(context, event) {
            tally.failed(event.index(), error);
            if tally.stopping {
                break;
            }
        }
    }
    let flushed = sink.flush(context);
    tally.report(batch.len(), flushed)
}

/// Writes a batch event by event, several at a time where order does not matter.
pub(crate) async fn write_async<S: AsyncEventSink>(
    sink: &S,
    batch: &Batch,
    context: &Context,
) -> Result<Report, Error> {
    let width = if context.ordered { 1 } else { S::IN_FLIGHT.max(1) };
    let mut tally = Tally::new(context.ordered);
    let mut events = batch.events();
    let mut running = FuturesUnordered::new();
    loop {
        while running.len() < width && !tally.stopping {
            let Some(event) = events.next() else { break };
            tally.tried += 1;
            running.push(async move { (event.index(), sink.process(context, event).await) });
        }
        match running.next().await {
            Some((index, Err(error))) => tally.failed(index, error),
            Some((_, Ok(()))) => {}
            None => return tally.report(batch.len(), Ok(())),
        }
    }
}

/// What happened to the events tried so far.
struct Tally {
    ordered: bool,
    report: Report,
    /// Events `0..tried` were begun.
    tried: usize,
    /// Which of them failed.
    failed: Vec<usize>,
    /// Events at which the sink came to a halt, with why.
    halted: Vec<(usize, Error)>,
    /// No further event is to be begun.
    stopping: bool,
}

impl Tally {
    fn new(ordered: bool) -> Self {
        let (failed, halted) = (Vec::new(), Vec::new());
        Self { ordered, report: Report::written(), tried: 0, failed, halted, stopping: false }
    }

    fn failed(&mut self, index: usize, error: Error) {
        self.failed.push(index);
        if error.kind() == Kind::Halted {
            self.stopping = true;
            self.halted.push((index, error));
        } else {
            self.stopping |= self.ordered && error.kind() != Kind::Rejected;
            self.report.refuse(index, error);
        }
    }

    /// The report on a batch of `len` events, given how flushing went.
    fn report(mut self, len: usize, flushed: Result<(), Error>) -> Result<Report, Error> {
        let written = self.tried - self.failed.len();
        self.halted.sort_by_key(|(index, _)| *index);
        if written == 0 && !self.halted.is_empty() {
            return Err(self.halted.swap_remove(0).1);
        }
        match flushed {
            Ok(()) => {}
            // The sink stands still, and nothing that it took is written.
            Err(error) if error.kind() == Kind::Halted => return Err(error),
            Err(error) => {
                self.failed.sort_unstable();
                let written = (0..self.tried).filter(|index| self.failed.binary_search(index).is_err());
                written.for_each(|index| self.report.refuse(index, error.clone()));
            }
        }
        // A halt says nothing about its event, which counts as not tried: it comes again, and then as the first one the
        // halt is about the whole batch. Where later events were written meanwhile, it comes again as one to retry.
        let mut stop = self.tried;
        while let Some((index, error)) = self.halted.pop() {
            if index + 1 == stop {
                stop = index;
            } else {
                self.report.refuse(index, error.into_transient());
            }
        }
        if stop < len {
            self.report.stop_at(stop);
        }
        Ok(self.report)
    }
}
