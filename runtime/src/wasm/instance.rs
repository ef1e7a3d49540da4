//! An instance of the plain world: one call at a time.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Mutex;
use tokio::time::Instant;
use wasmtime::Store;

use super::columns::Scratch;
use super::limits::Cpu;
use super::state::{self, State};
use super::v0_1::answers::plain as answers;
use super::v0_1::batches::plain as batches;
use super::v0_1::plain::exports::sump::sink::sink::Guest;
use super::v0_1::plain::sump::sink::{events, writing};
use super::v0_1::plain::{SinkComponent, SinkComponentPre};
use crate::batch::Batch;
use crate::sink::{Failure, Outcome, Sink, WriteContext, WriteError};

/// What `open` is told.
pub(super) struct Opening<'a> {
    pub(super) config: &'a str,
    pub(super) pipeline: &'a str,
    pub(super) sink: &'a str,
    pub(super) instance: u32,
}

/// An open instance. What is in it is taken out for a call and put back when the call has returned: a call that traps,
/// or whose future is dropped, takes the store with it.
pub(super) struct PlainInstance(Mutex<Option<Box<Live>>>);

struct Live {
    store: Store<State>,
    guest: SinkComponent,
    cpu: Arc<Cpu>,
    scratch: Scratch,
    runs: Vec<events::Run>,
}

impl PlainInstance {
    /// Instantiates and opens a component.
    pub(super) async fn open(
        pre: &SinkComponentPre<State>,
        (mut store, cpu): (Store<State>, Arc<Cpu>),
        opening: Opening<'_>,
    ) -> Result<PlainInstance, Failure> {
        let Opening { config, pipeline, sink, instance } = opening;
        let opening = events::Opening { config, pipeline, sink, instance };
        let opened = async {
            let guest = pre.instantiate_async(&mut store).await?;
            let answer = guest.sump_sink_sink().call_open(&mut store, opening).await?;
            Ok((guest, answer))
        };
        let (guest, answer) =
            cpu.charge(opened).await.map_err(|error: wasmtime::Error| store.data().failure(&error))?;
        answer.map_err(|failure| explained(&store, failure))?;
        let live = Live { store, guest, cpu, scratch: Scratch::default(), runs: Vec::new() };
        Ok(PlainInstance(Mutex::new(Some(Box::new(live)))))
    }
}

impl Live {
    async fn write(&mut self, batch: &Batch, context: &WriteContext) -> Result<Result<Outcome, WriteError>, Failure> {
        let Live { store, guest, cpu, scratch, runs } = self;
        batches::runs(batch.origin().runs(), runs);
        let columns = scratch.columns(batch);
        let lowered = batches::batch(&columns, runs);
        let batch_id = context.batch_id(batch.origin()).to_string();
        let context = writing::Context {
            pipeline: &context.pipeline,
            sink: &context.sink,
            batch_id: &batch_id,
            attempt: context.attempt,
            timeout_ms: milliseconds_until(context.deadline),
            ordered: context.ordered,
            traceparent: None,
        };
        let guest: &Guest = guest.sump_sink_sink();
        let answer = call(store, cpu, async |store| guest.call_write(store, lowered, context).await).await?;
        Ok(store.data().ungranted().explain(answers::outcome(batch.len(), answer)))
    }
}

/// Makes one call, with the time that one call has.
async fn call<R>(
    store: &mut Store<State>,
    cpu: &Cpu,
    call: impl AsyncFnOnce(&mut Store<State>) -> wasmtime::Result<R>,
) -> Result<R, Failure> {
    store.set_epoch_deadline(1);
    store.data_mut().memory().forget_refusals();
    let answer = cpu.charge(call(store)).await;
    state::note_use(&*store);
    answer.map_err(|error| store.data().failure(&error))
}

fn explained(store: &Store<State>, failure: events::Failure) -> Failure {
    let mut failure = answers::failure(failure);
    store.data().ungranted().explain_failure(&mut failure);
    failure
}

/// What is left of an attempt, at least a millisecond.
pub(super) fn milliseconds_until(deadline: Instant) -> u32 {
    let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
    u32::try_from(left.as_millis()).unwrap_or(u32::MAX)
}

fn lost() -> WriteError {
    WriteError::Lost(Failure::unknown("lost", "an earlier call into this instance did not return"))
}

#[async_trait]
impl Sink for PlainInstance {
    async fn write(&self, batch: &Batch, context: &WriteContext) -> Result<Outcome, WriteError> {
        let mut instance = self.0.lock().await;
        let mut live = instance.take().ok_or_else(lost)?;
        let outcome = live.write(batch, context).await.map_err(WriteError::Lost)?;
        *instance = Some(live);
        outcome
    }

    async fn close(&self) -> Result<(), Failure> {
        let Some(mut live) = self.0.lock().await.take() else { return Ok(()) };
        let guest = live.guest.sump_sink_sink();
        let answer = call(&mut live.store, &live.cpu, async |store| guest.call_close(store).await).await?;
        answer.map_err(|failure| explained(&live.store, failure))
    }
}
