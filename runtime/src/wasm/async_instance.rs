//! An instance of the async world: writes overlap in it.
//!
//! One task owns the store and runs the guest's event loop for the store's life. Calls reach it through a bounded
//! channel. A call can't be taken back: when a caller gives up, the instance takes no new calls, the others end by
//! themselves, and a watchdog beside the loop ends it all when the loop stands still.

use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{Mutex, Notify, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use wasmtime::Store;
use wasmtime::component::Accessor;

use super::capabilities::Ungranted;
use super::columns::Scratch;
use super::instance::{Opening, milliseconds_until};
use super::limits::Cpu;
use super::state::{self, State};
use super::v0_1::answers::concurrent as answers;
use super::v0_1::batches::concurrent as batches;
use super::v0_1::concurrent::exports::sump::sink::async_sink::Guest;
use super::v0_1::concurrent::sump::sink::{events, writing};
use super::v0_1::concurrent::{AsyncSinkComponent, AsyncSinkComponentPre};
use crate::batch::Batch;
use crate::sink::{Failure, Outcome, Sink, WriteContext, WriteError};

/// A loop that does not answer for so long stands still.
const PATIENCE: Duration = Duration::from_secs(1);

type Written = Result<writing::Report, events::Failure>;
type Closed = Result<(), events::Failure>;

enum Call {
    Write(Box<events::Batch>, Box<writing::Context>, oneshot::Sender<Written>),
    Close(oneshot::Sender<Closed>),
}

/// An open instance.
pub(super) struct AsyncInstance {
    calls: mpsc::Sender<Call>,
    shared: Arc<Shared>,
    /// Why the loop ended.
    ended: watch::Receiver<Option<Failure>>,
    scratch: Mutex<Scratch>,
    ungranted: Ungranted,
    /// Ends the loop together with the instance.
    _task: JoinSet<()>,
}

/// Between the callers, the loop and the watchdog.
#[derive(Default)]
struct Shared {
    /// A caller gave up: no new calls.
    retired: AtomicBool,
    given_up: Notify,
    /// Counts how often the guest gave way to the loop.
    progress: AtomicU64,
    /// Has the loop show that it goes on.
    nudge: Notify,
}

impl AsyncInstance {
    /// Instantiates and opens a component.
    pub(super) async fn open(
        pre: &AsyncSinkComponentPre<State>,
        (store, cpu): (Store<State>, Arc<Cpu>),
        opening: Opening<'_>,
        overlap: NonZeroUsize,
    ) -> Result<AsyncInstance, Failure> {
        let opening = events::Opening {
            config: opening.config.to_owned(),
            pipeline: opening.pipeline.to_owned(),
            sink: opening.sink.to_owned(),
            instance: opening.instance,
        };
        let shared = Arc::new(Shared::default());
        let ungranted = store.data().ungranted().clone();
        let (calls, queue) = mpsc::channel(overlap.get());
        let (opened, answer) = oneshot::channel();
        let (end, mut ended) = watch::channel(None);
        let mut task = JoinSet::new();
        let owner = Owner { store, cpu, shared: Arc::clone(&shared) };
        let pre = pre.clone();
        task.spawn(async move {
            let failure = owner.run(pre, opening, opened, queue).await;
            end.send_replace(Some(failure));
        });
        match answer.await {
            Ok(answer) => answer.map_err(|failure| explained(&ungranted, failure))?,
            Err(_) => return Err(why(&mut ended).await),
        }
        Ok(AsyncInstance { calls, shared, ended, scratch: Mutex::default(), ungranted, _task: task })
    }

    async fn call<R>(&self, call: Call, answer: oneshot::Receiver<R>) -> Result<R, Failure> {
        if self.shared.retired.load(Ordering::Acquire) {
            return Err(Failure::unknown("lost", "an earlier call into this instance did not return"));
        }
        let mut guard = GivingUp(Some(&self.shared));
        let answer = match self.calls.send(call).await {
            Ok(()) => answer.await.ok(),
            Err(_) => None,
        };
        guard.0 = None;
        match answer {
            Some(answer) => Ok(answer),
            None => Err(why(&mut self.ended.clone()).await),
        }
    }
}

fn explained(ungranted: &Ungranted, failure: events::Failure) -> Failure {
    let mut failure = answers::failure(failure);
    ungranted.explain_failure(&mut failure);
    failure
}

/// Why the loop ended, as soon as that is known.
async fn why(ended: &mut watch::Receiver<Option<Failure>>) -> Failure {
    let known = ended.wait_for(Option::is_some).await.ok().and_then(|failure| failure.clone());
    known.unwrap_or_else(|| Failure::unknown("lost", "the instance ended"))
}

/// Dropped while a call is out: its caller gave up.
struct GivingUp<'a>(Option<&'a Shared>);

impl Drop for GivingUp<'_> {
    fn drop(&mut self) {
        if let Some(shared) = self.0 {
            shared.retired.store(true, Ordering::Release);
            shared.given_up.notify_one();
        }
    }
}

#[async_trait]
impl Sink for AsyncInstance {
    async fn write(&self, batch: &Batch, context: &WriteContext) -> Result<Outcome, WriteError> {
        let lowered = batches::batch(&self.scratch.lock().await.columns(batch));
        let context = writing::Context {
            pipeline: context.pipeline.to_string(),
            sink: context.sink.to_string(),
            batch_id: context.batch_id(batch.origin()).to_string(),
            attempt: context.attempt,
            timeout_ms: milliseconds_until(context.deadline),
            ordered: context.ordered,
            traceparent: None,
        };
        let (reply, answer) = oneshot::channel();
        let call = Call::Write(Box::new(lowered), Box::new(context), reply);
        let answer = self.call(call, answer).await.map_err(WriteError::Lost)?;
        self.ungranted.explain(answers::outcome(batch.len(), answer))
    }

    async fn close(&self) -> Result<(), Failure> {
        let (reply, answer) = oneshot::channel();
        let closed = self.call(Call::Close(reply), answer).await?;
        closed.map_err(|failure| explained(&self.ungranted, failure))
    }
}

/// What the task owns.
struct Owner {
    store: Store<State>,
    cpu: Arc<Cpu>,
    shared: Arc<Shared>,
}

impl Owner {
    /// Until nobody calls any more, the guest traps, or its loop stands still. Says why.
    async fn run(
        self,
        pre: AsyncSinkComponentPre<State>,
        opening: events::Opening,
        opened: oneshot::Sender<Closed>,
        queue: mpsc::Receiver<Call>,
    ) -> Failure {
        let Owner { mut store, cpu, shared } = self;
        let life = async {
            let component = pre.instantiate_async(&mut store).await?;
            let (cpu, shared) = (&*cpu, &*shared);
            store
                .run_concurrent(async move |accessor| {
                    serve(accessor, component, opening, opened, queue, cpu, shared).await
                })
                .await?
        };
        let ended = {
            let mut life = pin!(cpu.charge(life));
            tokio::select! {
                biased;
                ended = &mut life => Some(ended),
                () = stands_still(&shared) => None,
            }
        };
        match ended {
            Some(Ok(())) => Failure::unknown("lost", "the instance was closed"),
            Some(Err(error)) => store.data().failure(&error),
            None => Failure::unknown("stuck", "its event loop stood still: a call blocks, or computes without end"),
        }
    }
}

/// The loop: takes calls as they come, and answers them as they end.
async fn serve(
    accessor: &Accessor<State>,
    component: AsyncSinkComponent,
    opening: events::Opening,
    opened: oneshot::Sender<Closed>,
    mut queue: mpsc::Receiver<Call>,
    cpu: &Cpu,
    shared: &Shared,
) -> wasmtime::Result<()> {
    let guest = component.sump_sink_async_sink();
    let serving = async {
        let answer = guest.call_open(accessor, opening).await?;
        let is_open = answer.is_ok();
        if opened.send(answer).is_err() || !is_open {
            return Ok(());
        }
        let mut calls = FuturesUnordered::new();
        let mut more = true;
        while more || !calls.is_empty() {
            tokio::select! {
                call = queue.recv(), if more => match call {
                    Some(call) => calls.push(answer_call(accessor, guest, call)),
                    None => more = false,
                },
                Some(answered) = calls.next() => answered?,
                () = shared.nudge.notified() => {}
            }
        }
        Ok(())
    };
    let mut serving = pin!(serving);
    std::future::poll_fn(|context| {
        // The guest gave way.
        shared.progress.fetch_add(1, Ordering::Relaxed);
        cpu.reset();
        accessor.with(|mut access| access.get().memory().forget_refusals());
        let poll: Poll<wasmtime::Result<()>> = serving.as_mut().poll(context);
        poll
    })
    .await
}

/// A caller that gave up is no error.
async fn answer_call(accessor: &Accessor<State>, guest: &Guest, call: Call) -> wasmtime::Result<()> {
    match call {
        Call::Write(batch, context, reply) => {
            let answer = guest.call_write(accessor, *batch, *context).await?;
            accessor.with(|access| state::note_use(access));
            drop(reply.send(answer));
        }
        Call::Close(reply) => drop(reply.send(guest.call_close(accessor).await?)),
    }
    Ok(())
}

/// Ends when a caller gave up and the loop makes no progress.
async fn stands_still(shared: &Shared) {
    loop {
        shared.given_up.notified().await;
        let seen = shared.progress.load(Ordering::Relaxed);
        shared.nudge.notify_one();
        tokio::time::sleep(PATIENCE).await;
        if shared.progress.load(Ordering::Relaxed) == seen {
            return;
        }
    }
}
