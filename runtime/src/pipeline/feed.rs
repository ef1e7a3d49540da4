//! From one source to the queues of all sinks that it feeds, and its acknowledgements back.

mod unrouted;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use arrow_schema::ArrowError;
use futures_util::FutureExt;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, Interval, timeout, timeout_at};
use tracing::{error, warn};

use self::unrouted::take_unrouted;
use super::keys::Keys;
use super::positions::{Store, lowest};
use super::route::{Routed, Router};
use crate::batch::{Partition, RowSet, Uneven};
use crate::defect::{self, Defect};
use crate::delivery::{Cause, DeadLetter, DeadLetters, ExactlyOnce, Gate, Queue, Stopped, Unkept};
use crate::envelope::{Block, Charge, Envelope, Final, Ledger, Path};
use crate::metrics::{SourceMetrics, SourceState};
use crate::sink::Failure;
use crate::source::{Demand, Input, Open, Resume, Source, SourceError};

/// How long to wait before trying again to keep what framing or routes rejected.
const FULL_PAUSE: Duration = Duration::from_secs(1);

/// Why a feed ended before everything was delivered.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// The source can't be opened: what it is told to read is not there.
    #[error("source `{source_name}`: {error}")]
    NotOpened {
        /// Which.
        source_name: Arc<str>,
        /// Why.
        error: SourceError,
    },
    /// The source can't go on. What it had read was delivered.
    #[error("source `{source_name}`: {error}")]
    Source {
        /// Which.
        source_name: Arc<str>,
        /// Why.
        error: SourceError,
    },
    /// A delivery can't go on.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// A task panicked: a defect.
    #[error("a delivery broke down: {0}")]
    Panicked(#[from] JoinError),
    /// Keys don't fit their events: a defect.
    #[error("the keys of a block don't fit its events: {0}")]
    Keys(#[from] Uneven),
    /// Events could not be copied apart: a defect.
    #[error("the events of a block can't be taken apart: {0}")]
    Columns(#[from] ArrowError),
    /// It could not be marked which dead letters were sent again.
    #[error("dead letters were sent again that can't be marked, so that the next replay sends them once more: {0}")]
    Marks(String),
    /// What framing or routes rejected could not be kept.
    #[error("dead letters can't be written: {0}")]
    DeadLetters(String),
}

/// What a feed is made of.
pub(super) struct Feed {
    pub(super) name: Arc<str>,
    pub(super) open: Box<dyn Open>,
    pub(super) resume: Resume,
    pub(super) ledger: Ledger,
    pub(super) fans: Vec<Fan>,
    /// What framing rejects.
    pub(super) framing: Path,
    pub(super) dead_letters: Arc<dyn DeadLetters>,
    pub(super) store: Store,
    pub(super) position_interval: Duration,
    pub(super) metrics: Arc<SourceMetrics>,
    pub(super) deliveries: JoinSet<Result<(), Stopped>>,
    pub(super) signals: FeedSignals,
}

/// One pipeline of a source.
pub(super) struct Fan {
    pub(super) keys: Keys,
    pub(super) router: Router,
    pub(super) sinks: Vec<Outlet>,
    /// What its routes reject.
    pub(super) rejects: Path,
    /// Where that goes.
    pub(super) dead_letters: Arc<dyn DeadLetters>,
}

/// Where the events of one sink go.
pub(super) struct Outlet {
    pub(super) path: Path,
    pub(super) queue: Queue,
    pub(super) gate: Gate,
    /// Whether others wait for it.
    pub(super) required: bool,
    /// What the sink has, where that decides where its path resumes.
    pub(super) exactly_once: Option<ExactlyOnce>,
}

/// Events on their way to the dead letters.
struct Rejected {
    to: Arc<dyn DeadLetters>,
    path: Path,
    envelope: Envelope,
    failure: Failure,
    /// Which bytes of the event are kept, where it is cut.
    range: Option<(u64, u64)>,
}

/// What a queue has for events.
enum Room {
    /// They may go in; with nothing to charge, to be dropped.
    Made(Option<Charge>),
    /// None for now, and nobody is to wait for it.
    Refused(Cause),
}

/// What a feed is told from outside.
#[derive(Clone)]
pub(super) struct FeedSignals {
    /// Read no more; deliver what was read.
    pub(super) stop: watch::Receiver<bool>,
    /// Wait no more.
    pub(super) give_up: watch::Receiver<bool>,
}

impl Feed {
    /// Runs until the source has ended, or a stop, and everything that was read is final, or given up.
    pub(super) async fn run(mut self) -> Result<(), FeedError> {
        if !self.ask_sinks().await {
            return self.end_unread().await;
        }
        let failed = |error| FeedError::NotOpened { source_name: self.name.clone(), error };
        let source = self.open.open(self.resume.clone()).await.map_err(failed)?;
        self.metrics.set_state(SourceState::Reading);
        let (tick, aside) = (ticks(self.position_interval), VecDeque::new());
        let mut running = Running {
            reading: true,
            listening: true,
            tick,
            aside,
            begun: false,
            failed: None,
            leaving: None,
            source,
            feed: self,
        };
        let ended = running.run().await;
        // Whatever happened: what is final is never to be delivered again.
        running.acknowledge().await;
        running.source.close().await;
        running.save().await;
        ended
    }
}

impl Feed {
    /// Lets the sinks that know it say where their paths resume. False at a stop.
    async fn ask_sinks(&mut self) -> bool {
        let sinks: Vec<_> =
            self.fans.iter().flat_map(|fan| &fan.sinks).filter_map(|sink| sink.exactly_once.clone()).collect();
        if sinks.is_empty() {
            return true;
        }
        let answered = futures_util::future::join_all(sinks.iter().map(ExactlyOnce::resume));
        tokio::select! {
            biased;
            () = set(&mut self.signals.stop) => return false,
            () = set(&mut self.signals.give_up) => return false,
            _ = answered => {}
        }
        let positions = self.ledger.positions();
        // Every event passes what framing rejects: of a partition without a position there, the others have seen nothing
        // that was saved, and one sink's word must not keep the beginning from them.
        let seen = positions.get(self.framing.name()).cloned().unwrap_or_default();
        self.resume.positions = lowest(positions.into_values());
        self.resume.positions.retain(|partition, _| seen.contains_key(partition));
        true
    }

    /// A stop came before anything was read.
    async fn end_unread(mut self) -> Result<(), FeedError> {
        self.metrics.set_state(SourceState::Ended);
        self.fans.iter().flat_map(|fan| &fan.sinks).for_each(|sink| sink.queue.close());
        self.fans.clear();
        while let Some(done) = self.deliveries.join_next().await {
            done??;
        }
        Ok(())
    }
}

/// A feed whose source is open.
struct Running {
    feed: Feed,
    source: Box<dyn Source>,
    reading: bool,
    /// Whether the source may still have something to say, such as that a partition is taken away.
    listening: bool,
    /// When positions are saved.
    tick: Interval,
    /// What came while no events could be taken.
    aside: VecDeque<Input>,
    /// Whether an assignment began that may not have been saved yet.
    begun: bool,
    failed: Option<FeedError>,
    leaving: Option<Leaving>,
}

/// Partitions that are being taken away, while events of theirs are in flight. The source is asked for nothing meanwhile.
struct Leaving {
    partitions: Vec<Partition>,
    until: Instant,
}

/// Returns once nothing of these is in flight any more, or is not waited for.
async fn landed(ledger: &Ledger, leaving: Option<&Leaving>) {
    let Some(Leaving { partitions, until }) = leaving else { return std::future::pending().await };
    if timeout_at(*until, ledger.landed(partitions)).await.is_err() {
        warn!(
            ?partitions,
            "calls are still in flight with events of partitions that go to someone else: they may come twice"
        );
    }
}

impl Running {
    async fn run(&mut self) -> Result<(), FeedError> {
        while !self.feed.deliveries.is_empty() {
            self.save_begun().await;
            if let Some(input) = self.aside.pop_front() {
                self.take(input).await?;
                continue;
            }
            let prompt = self.source.acknowledges_promptly();
            let demand = if self.reading { Demand::Events } else { Demand::Nothing };
            tokio::select! {
                biased;
                Some(done) = self.feed.deliveries.join_next() => done??,
                () = set(&mut self.feed.signals.stop), if self.reading => self.stop_reading(),
                _ = self.tick.tick() => {
                    self.save().await;
                    self.reopen_abandoned().await?;
                }
                () = landed(&self.feed.ledger, self.leaving.as_ref()) => self.let_go().await,
                () = self.feed.ledger.changed(), if prompt => self.acknowledge().await,
                input = self.source.next(demand), if self.listening && self.leaving.is_none() => match input {
                    Ok(input) if self.reading => self.take(input).await?,
                    Err(error) if self.reading => self.source_failed(error),
                    Ok(Input::Ended) | Err(_) => self.listening = false,
                    // A block would not be taken, and is not acknowledged.
                    Ok(input) => self.reassign(input)?,
                },
            }
        }
        self.failed.take().map_or(Ok(()), Err)
    }

    async fn take(&mut self, input: Input) -> Result<(), FeedError> {
        match input {
            Input::Assigned(_) | Input::Revoked(_) | Input::Rewound(_) | Input::Finished(_) => self.reassign(input)?,
            Input::Block(block) => self.hand_on(&block).await?,
            Input::Ended => {
                self.listening = false;
                self.stop_reading();
            }
        }
        Ok(())
    }

    fn reassign(&mut self, input: Input) -> Result<(), FeedError> {
        let ledger = &self.feed.ledger;
        match input {
            Input::Assigned(partitions) => {
                partitions.iter().for_each(|(partition, begin)| ledger.assign(partition, *begin));
                self.begun = true;
            }
            Input::Revoked(partitions) => {
                partitions.iter().for_each(|partition| ledger.revoke(partition));
                let until = Instant::now() + self.feed.open.revoke_timeout();
                self.leaving = Some(Leaving { partitions, until });
            }
            Input::Rewound(partitions) => partitions.iter().for_each(|partition| self.rewind(partition)),
            Input::Finished(partitions) => partitions.iter().for_each(|partition| ledger.forget(partition)),
            Input::Block(_) | Input::Ended => return Ok(()),
        }
        // What is queued of an earlier assignment comes again, here or elsewhere.
        self.feed.fans.iter().flat_map(|fan| &fan.sinks).try_for_each(|sink| sink.queue.give_up_revoked())?;
        Ok(())
    }

    /// Whatever sinks had of a partition, they get it.
    fn rewind(&self, partition: &Partition) {
        self.feed.ledger.rewind(partition);
        let sinks = self.feed.fans.iter().flat_map(|fan| &fan.sinks);
        sinks.filter_map(|sink| sink.exactly_once.as_ref()).for_each(|exactly_once| exactly_once.forget(partition));
    }

    /// Partitions that were taken away are no business of this run any more. What is final of them is told first.
    async fn let_go(&mut self) {
        if !defect::on(Defect::LetGoUnacknowledged) {
            self.acknowledge().await;
        }
        let leaving = self.leaving.take();
        for partition in leaving.iter().flat_map(|leaving| &leaving.partitions) {
            if !defect::on(Defect::AcknowledgeRevoked) {
                self.feed.ledger.end(partition);
            }
        }
    }

    fn source_failed(&mut self, error: SourceError) {
        self.listening = false;
        self.failed = Some(FeedError::Source { source_name: self.feed.name.clone(), error });
        self.stop_reading();
    }

    /// What was read is delivered; the deliveries end when their queues are empty.
    fn stop_reading(&mut self) {
        self.reading = false;
        self.source.stop();
        self.feed.metrics.set_state(if self.failed.is_some() { SourceState::Failed } else { SourceState::Ended });
        self.feed.fans.iter().flat_map(|fan| &fan.sinks).for_each(|sink| sink.queue.close());
        for fan in &mut self.feed.fans {
            // A sink for dead letters is closed once nobody is left who could hand it any.
            fan.dead_letters = self.feed.dead_letters.clone();
        }
    }

    /// Where partitions begin is saved before their first event is on its way: after a kill they begin there again, and
    /// what a disk buffer has of them is known to come again.
    async fn save_begun(&mut self) {
        if std::mem::take(&mut self.begun) {
            self.save().await;
        }
    }

    async fn hand_on(&mut self, block: &Block) -> Result<(), FeedError> {
        self.save_begun().await;
        self.feed.metrics.events.add(block.batch.len() as u64);
        self.feed.metrics.bytes.add(block.batch.payload_bytes() as u64);
        let unframed = match &block.rejects {
            None => None,
            Some(rejects) => {
                self.feed.metrics.rejected.add(rejects.batch.len() as u64);
                let failure = Failure::rejected(rejects.code, rejects.message.as_str());
                let envelope = self.feed.framing.take_rejects(&rejects.batch)?;
                envelope.map(|envelope| Rejected {
                    to: self.feed.dead_letters.clone(),
                    path: self.feed.framing.clone(),
                    envelope,
                    failure,
                    range: rejects.range,
                })
            }
        };
        // It wants none of the events, and has seen them all.
        drop(self.feed.framing.take(block, &RowSet::default())?);
        // Every path takes its part before anybody waits: a partition that is revoked meanwhile is revoked for all.
        let (mut queued, mut rejected) = (Vec::new(), Vec::new());
        for (number, fan) in self.feed.fans.iter().enumerate() {
            let keyed = fan.keys.give(block)?;
            let block = keyed.as_ref().unwrap_or(block);
            let Routed { sinks, not_taken, failed } = fan.router.route(&block.batch);
            for (sink, rows) in sinks.iter().enumerate() {
                queued.extend(fan.sinks[sink].path.take(block, rows)?.map(|envelope| (number, sink, envelope)));
            }
            rejected.extend(take_unrouted(fan, block, &not_taken, &failed)?);
        }
        if let Some(unframed) = unframed {
            self.reject(unframed).await?;
        }
        for (fan, sink, envelope) in queued {
            self.enqueue(fan, sink, envelope).await?;
        }
        for rejected in rejected {
            self.reject(rejected).await?;
        }
        Ok(())
    }

    async fn enqueue(&mut self, fan: usize, sink: usize, mut envelope: Envelope) -> Result<(), FeedError> {
        envelope.give_up_revoked()?;
        if envelope.is_empty() {
            return Ok(());
        }
        let Outlet { path, queue, gate, required, .. } = &self.feed.fans[fan].sinks[sink];
        let may_divert = !required || defect::on(Defect::DivertRequired);
        let (path, queue, all) = (path.clone(), queue.clone(), gate.clone());
        let gate = may_divert.then(|| all.clone());
        self.until_wanted(&queue, &all).await?;
        let cause = loop {
            let room = self.room(&queue, gate.clone(), envelope.batch().bytes()).await?;
            // Once more: a partition may have been taken away while there was no room.
            let events = envelope.len();
            envelope.give_up_revoked()?;
            match room {
                _ if envelope.is_empty() => return Ok(()),
                Room::Made(room) => {
                    queue.push(envelope, room);
                    return Ok(());
                }
                // There may be room for what is left.
                Room::Refused(_) if envelope.len() < events => {}
                Room::Refused(cause) => break cause,
            }
        };
        let message = format!("its queue is full, its gate is closed, and it is not required: {cause}");
        let (to, failure) = (self.feed.fans[fan].dead_letters.clone(), Failure::transient("gate-closed", message));
        self.reject(Rejected { to, path, envelope, failure, range: None }).await
    }

    /// Waits with what can be read at any time until its only sink could do with more. While the gate of that is closed it
    /// does not wait: what there is room for is read, so that a source comes to its end.
    async fn until_wanted(&mut self, queue: &Queue, gate: &Gate) -> Result<(), FeedError> {
        let only = self.feed.fans.iter().map(|fan| fan.sinks.len()).sum::<usize>() == 1;
        if !only || !self.feed.open.replayable() || gate.closed().is_some() {
            return Ok(());
        }
        let mut give_up = self.feed.signals.give_up.clone();
        self.wait_for(async {
            tokio::select! {
                biased;
                () = queue.wanting() => {}
                _ = gate.when_closed() => {}
                () = set(&mut give_up) => {}
            }
        })
        .await
    }

    /// Waits for room in a queue, unless a gate is there to say that it is of no use.
    async fn room(&mut self, queue: &Queue, gate: Option<Gate>, bytes: usize) -> Result<Room, FeedError> {
        if let Some(cause) = gate.as_ref().and_then(Gate::closed).filter(|_| defect::on(Defect::DivertEarly)) {
            return Ok(Room::Refused(cause));
        }
        let closed = async {
            match &gate {
                Some(gate) => gate.when_closed().await,
                None => std::future::pending().await,
            }
        };
        let mut give_up = self.feed.signals.give_up.clone();
        self.wait_for(async {
            tokio::select! {
                biased;
                room = queue.room(bytes) => Room::Made(room),
                cause = closed => Room::Refused(cause),
                // The delivery keeps or gives up what it finds in its queue.
                () = set(&mut give_up) => Room::Made(Some(Charge::default())),
            }
        })
        .await
    }

    /// What the source is at, unless that is the end.
    fn set_state(&self, state: SourceState) {
        if self.reading {
            self.feed.metrics.set_state(state);
        }
    }

    /// Waits for something else than events. The source is kept alive meanwhile.
    async fn wait_for<T>(&mut self, what: impl Future<Output = T>) -> Result<T, FeedError> {
        tokio::pin!(what);
        if let Some(done) = what.as_mut().now_or_never() {
            return Ok(done);
        }
        self.set_state(SourceState::Held);
        let (prompt, mut stopped) = (self.source.acknowledges_promptly(), false);
        let done = loop {
            tokio::select! {
                biased;
                done = &mut what => break done,
                Some(done) = self.feed.deliveries.join_next() => done??,
                _ = self.tick.tick() => self.save().await,
                () = set(&mut self.feed.signals.stop), if self.reading && !stopped => {
                    stopped = true;
                    self.source.stop();
                }
                // The wait may last, and whoever waits for an answer does not wait for it.
                () = self.feed.ledger.changed(), if prompt => self.acknowledge().await,
                () = landed(&self.feed.ledger, self.leaving.as_ref()) => self.let_go().await,
                input = self.source.next(Demand::Nothing), if self.reading && self.leaving.is_none() => match input {
                    Ok(
                        input @ (Input::Assigned(_) | Input::Revoked(_) | Input::Rewound(_) | Input::Finished(_)),
                    ) => self.reassign(input)?,
                    // It would say so again and again, and nobody else would get to run.
                    Ok(Input::Ended) => {
                        self.reading = false;
                        self.aside.push_back(Input::Ended);
                    }
                    Ok(input) => self.aside.push_back(input),
                    Err(error) => {
                        self.failed = Some(FeedError::Source { source_name: self.feed.name.clone(), error });
                        self.reading = false;
                        self.aside.push_back(Input::Ended);
                    }
                },
            }
        };
        self.set_state(SourceState::Reading);
        Ok(done)
    }

    async fn reject(&mut self, rejected: Rejected) -> Result<(), FeedError> {
        let Rejected { to, path, mut envelope, failure, range } = rejected;
        loop {
            envelope.give_up_revoked()?;
            if envelope.is_empty() {
                return Ok(());
            }
            let letter = DeadLetter { range, ..DeadLetter::untried(path.name(), envelope.batch(), &failure) };
            match self.wait_for(to.put(letter)).await? {
                Ok(()) => break envelope.settle(Final::DeadLettered),
                Err(Unkept::Failed { message }) => return Err(FeedError::DeadLetters(message)),
                Err(full @ Unkept::Full { .. }) => {
                    warn!(path = %path.name(), %full, "the source waits");
                    let metrics = self.feed.metrics.clone();
                    let _waiting = metrics.dead_letters_full.run();
                    let mut give_up = self.feed.signals.give_up.clone();
                    if self.wait_for(timeout(FULL_PAUSE, set(&mut give_up))).await?.is_ok() {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    async fn acknowledge(&mut self) {
        if let Err(error) = self.source.acknowledge(&self.feed.ledger.acknowledged()).await {
            warn!(source = &*self.feed.name, %error, "an acknowledgement failed: events may come again");
        }
    }

    /// Acknowledges, and saves where everything goes on.
    async fn save(&mut self) {
        self.acknowledge().await;
        self.feed.metrics.set_lag(self.source.lag());
        self.feed.metrics.set_behind(self.source.behind());
        if !self.feed.open.replayable() {
            return;
        }
        let positions = self.feed.ledger.positions();
        if let Err(error) = self.feed.store.save(&self.feed.name, self.source.memo(), &positions).await {
            error!(source = &*self.feed.name, %error, "positions can't be saved: after a crash events come again");
        }
    }

    /// Events were given up while the run goes on: they are read again, from what is final.
    async fn reopen_abandoned(&mut self) -> Result<(), FeedError> {
        let waits = !self.reading || self.leaving.is_some();
        if waits || self.feed.ledger.abandoned().is_empty() {
            return Ok(());
        }
        if !self.feed.open.replayable() {
            self.source.given_up();
            return Ok(());
        }
        warn!(source = &*self.feed.name, "events were given up: the source is opened again where all are final");
        let (positions, memo) = (self.feed.ledger.acknowledged(), self.source.memo());
        let resume = Resume { positions, memo, from_start: false };
        match self.feed.open.open(resume).await {
            Ok(source) => self.source = source,
            Err(error) => self.source_failed(error),
        }
        Ok(())
    }
}

/// Returns once the value is true.
async fn set(signal: &mut watch::Receiver<bool>) {
    if signal.wait_for(|now| *now).await.is_err() {
        // Nobody is left who could say so.
        std::future::pending().await
    }
}

fn ticks(every: Duration) -> Interval {
    let mut tick = tokio::time::interval_at(Instant::now() + every, every);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    tick
}
