//! What waits for a sink, bounded in bytes.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arrow_schema::ArrowError;
use futures_util::FutureExt;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::buffer::Buffer;
use super::settings::{BufferKind, BufferSettings, WhenFull};
use crate::defect::{self, Defect};
use crate::envelope::{Budget, Charge, Envelope, Final};
use crate::metrics::Stopwatch;

/// Envelopes in the order of their arrival. Cloning gives the same queue.
///
/// In memory, the bound counts an event from here until it is final, wherever it is by then. With a disk buffer, events
/// pass through that before they are in the queue.
#[derive(Clone, Debug)]
pub struct Queue {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    waiting: Mutex<Waiting>,
    arrived: Notify,
    /// Something was taken out, or nothing more comes.
    taken: Notify,
    budget: Budget,
    max_bytes: u64,
    when_full: WhenFull,
    /// While somebody waits for room.
    holding_back: Stopwatch,
    /// For what an encoder makes of events, which is counted beside them.
    encoded: Budget,
    /// Whether there was no room for what came last: no more comes until something is final.
    full: Level,
    /// Whether the encoder, where there is one, has nothing to do before something is final.
    starved: Option<Level>,
    buffer: Option<Buffer>,
    /// How often partitions were taken away.
    revocations: AtomicU64,
    revoked: Notify,
    /// Whether new events go into the buffer too, and not only what is left in it out of it.
    on_disk: bool,
}

#[derive(Debug, Default)]
struct Waiting {
    envelopes: VecDeque<(Instant, Envelope)>,
    /// What came in and was not taken out, as it was then: partitions that are taken away meanwhile make it less.
    bytes: usize,
    /// What came while older events come out of a buffer that an earlier run left.
    held: Option<VecDeque<(Instant, Envelope)>>,
    closed: bool,
    /// Nothing more comes out of the buffer.
    ended: bool,
}

impl Waiting {
    fn pop(&mut self) -> Option<(Instant, Envelope)> {
        let popped = self.envelopes.pop_front();
        let bytes = popped.as_ref().map_or(0, |(_, envelope)| envelope.batch().bytes());
        self.bytes = if self.envelopes.is_empty() { 0 } else { self.bytes.saturating_sub(bytes) };
        popped
    }

    fn has_enough(&self) -> bool {
        self.bytes >= ENOUGH && !self.closed
    }

    fn is_over(&self) -> bool {
        self.closed && self.ended && self.held.is_none()
    }
}

/// Something that holds or does not, and can be waited for.
#[derive(Debug, Default)]
struct Level {
    up: AtomicBool,
    rose: Notify,
}

impl Level {
    fn set(&self, up: bool) {
        if self.up.swap(up, Ordering::Relaxed) != up && up {
            self.rose.notify_waiters();
        }
    }

    /// Returns once it holds.
    async fn wait(&self) {
        loop {
            let rose = self.rose.notified();
            tokio::pin!(rose);
            // Registered before looking: a change between looking and waiting is not missed.
            rose.as_mut().enable();
            if self.up.load(Ordering::Relaxed) {
                return;
            }
            rose.await;
        }
    }
}

/// With so many bytes there is enough for a sink to go on with, while more of them would be brought into memory for
/// nothing.
const ENOUGH: usize = 4 << 20;

/// Bytes of values whose events are in a disk buffer: half of what is read back from one.
const ENCODED_OF_DISK: u64 = 32 << 20;

impl Queue {
    /// An empty queue, behind a disk buffer if there is one, and before an encoder if there is one: it has half of the
    /// memory for what it makes then.
    pub fn new(settings: &BufferSettings, buffer: Option<Buffer>, encoded: bool) -> Queue {
        let of_values = match settings.kind {
            _ if !encoded => 0,
            BufferKind::Memory => settings.bound() / 2,
            BufferKind::Disk => ENCODED_OF_DISK,
        };
        let of_events =
            if settings.kind == BufferKind::Memory { settings.bound() - of_values } else { settings.bound() };
        let budget = Budget::new(of_events);
        let on_disk = settings.kind == BufferKind::Disk && buffer.is_some();
        let held = (buffer.is_some() && !on_disk).then(VecDeque::new);
        let waiting = Waiting { held, ended: buffer.is_none(), ..Waiting::default() };
        let shared = Shared {
            waiting: Mutex::new(waiting),
            arrived: Notify::new(),
            taken: Notify::new(),
            budget,
            max_bytes: settings.bound(),
            when_full: settings.when_full,
            holding_back: Stopwatch::default(),
            encoded: Budget::new(of_values),
            full: Level::default(),
            starved: encoded.then(Level::default),
            buffer,
            revocations: AtomicU64::new(0),
            revoked: Notify::new(),
            on_disk,
        };
        Queue { shared: Arc::new(shared) }
    }

    /// The disk buffer before it.
    pub fn buffer(&self) -> Option<&Buffer> {
        self.shared.buffer.as_ref()
    }

    /// The disk buffer that new events go into.
    fn intake(&self) -> Option<&Buffer> {
        self.shared.buffer.as_ref().filter(|_| self.shared.on_disk)
    }

    /// Waits until there is room for so many bytes. `None` where the newest are to be dropped instead.
    pub async fn room(&self, bytes: usize) -> Option<Charge> {
        if let Some(buffer) = self.intake() {
            let room = buffer.room(bytes);
            tokio::pin!(room);
            if let Some(room) = room.as_mut().now_or_never() {
                return room;
            }
            let _waiting = self.shared.holding_back.run();
            return room.await;
        }
        let room = self.shared.budget.try_reserve(bytes);
        self.shared.full.set(room.is_none());
        if room.is_some() || self.shared.when_full == WhenFull::DropNewest {
            return room;
        }
        let _waiting = self.shared.holding_back.run();
        let room = self.shared.budget.reserve(bytes).await;
        self.shared.full.set(false);
        Some(room)
    }

    /// Returns once the sink could do with more. What can be read at any time need not wait here, as long as the sink takes
    /// what does; in front of a disk buffer, and where the newest are dropped, that is always so.
    pub async fn wanting(&self) {
        if self.shared.buffer.is_some() || self.shared.when_full == WhenFull::DropNewest {
            return;
        }
        let mut waiting = None;
        loop {
            let taken = self.shared.taken.notified();
            tokio::pin!(taken);
            // Registered before looking: what is taken out between looking and waiting is not missed.
            taken.as_mut().enable();
            if !self.waiting().has_enough() {
                return;
            }
            waiting.get_or_insert_with(|| self.shared.holding_back.run());
            taken.await;
        }
    }

    /// Returns once there is no room for what comes.
    pub(super) async fn full(&self) {
        self.shared.full.wait().await;
    }

    /// Returns once no more comes out of it before something is final.
    pub(super) async fn stuck(&self) {
        self.shared.starved.as_ref().unwrap_or(&self.shared.full).wait().await;
    }

    /// The encoder has nothing to do, or no memory to do it in, until something is final; or has again.
    pub(super) fn starve(&self, starved: bool) {
        if let Some(level) = &self.shared.starved {
            level.set(starved);
        }
    }

    /// For what an encoder makes of the events.
    pub(super) fn encoded(&self) -> &Budget {
        &self.shared.encoded
    }

    /// Adds events at the end, with the room that was made for them; without, they are dropped, as the user asked for.
    /// Into a closed queue nothing goes any more: the events are given up.
    pub fn push(&self, mut envelope: Envelope, room: Option<Charge>) {
        if let Some(buffer) = self.intake() {
            return buffer.push(envelope, room);
        }
        let Some(charge) = room else {
            return envelope.settle(Final::Dropped);
        };
        if !defect::on(Defect::ReleaseEarly) {
            envelope.charge(charge);
        }
        let mut waiting = self.waiting();
        if waiting.closed {
            return;
        }
        waiting.bytes += envelope.batch().bytes();
        let arrival = (Instant::now(), envelope);
        match &mut waiting.held {
            Some(held) => held.push_back(arrival),
            None => waiting.envelopes.push_back(arrival),
        }
        drop(waiting);
        self.shared.arrived.notify_one();
    }

    /// Gives up the events here whose partition was taken away, and lets everybody know who took some out.
    ///
    /// Fails when they can't be copied apart from others; those are given up too then.
    pub fn give_up_revoked(&self) -> Result<(), ArrowError> {
        let mut waiting = self.waiting();
        give_up_revoked(&mut waiting.envelopes)?;
        waiting.held.as_mut().map_or(Ok(()), give_up_revoked)?;
        waiting.bytes = waiting.envelopes.iter().map(|(_, envelope)| envelope.batch().bytes()).sum();
        drop(waiting);
        self.shared.taken.notify_one();
        self.shared.revocations.fetch_add(1, Ordering::Relaxed);
        self.shared.revoked.notify_waiters();
        Ok(())
    }

    /// Tells when partitions were taken away from now on.
    pub(super) fn revocations(&self) -> Revocations {
        Revocations { queue: self.clone(), seen: self.shared.revocations.load(Ordering::Relaxed) }
    }

    /// Nothing more comes.
    pub fn close(&self) {
        self.waiting().closed = true;
        self.shared.taken.notify_one();
        if let Some(buffer) = &self.shared.buffer {
            buffer.close();
        }
        self.shared.arrived.notify_one();
    }

    /// Bytes on their way to the sink.
    pub fn bytes(&self) -> u64 {
        self.intake().map_or_else(|| self.shared.budget.used() + self.shared.encoded.used(), Buffer::bytes)
    }

    /// How many there may be, unless one event alone has more.
    pub fn max_bytes(&self) -> u64 {
        self.shared.max_bytes
    }

    /// How long it let whoever fills it wait, in all.
    pub fn held_back(&self) -> Duration {
        self.shared.holding_back.read()
    }

    /// For how long it has been full now with somebody waiting, if it is.
    pub fn holding_back(&self) -> Option<Duration> {
        self.shared.holding_back.running()
    }

    /// The oldest events and the time of their arrival, if there are any.
    pub(super) fn try_pop(&self) -> Option<(Instant, Envelope)> {
        self.take(&mut self.waiting())
    }

    fn take(&self, waiting: &mut Waiting) -> Option<(Instant, Envelope)> {
        let had_enough = waiting.has_enough();
        let popped = waiting.pop();
        if had_enough && !waiting.has_enough() {
            self.shared.taken.notify_one();
        }
        popped
    }

    /// Waits for the oldest events. `None` once the queue is closed and empty. One task pops.
    pub(super) async fn pop(&self) -> Option<(Instant, Envelope)> {
        loop {
            let arrived = self.shared.arrived.notified();
            {
                let mut waiting = self.waiting();
                match self.take(&mut waiting) {
                    None if !waiting.is_over() => {}
                    oldest => return oldest,
                }
            }
            arrived.await;
        }
    }

    /// Events come out of the buffer.
    pub(super) fn hand_out(&self, envelope: Envelope) {
        self.waiting().envelopes.push_back((Instant::now(), envelope));
        self.shared.arrived.notify_one();
    }

    /// What an earlier run left in the buffer has come out: what came meanwhile follows.
    pub(super) fn let_in(&self) {
        let mut waiting = self.waiting();
        let held = waiting.held.take();
        waiting.envelopes.extend(held.into_iter().flatten());
        drop(waiting);
        self.shared.arrived.notify_one();
    }

    /// What the buffer has stays there.
    pub(super) fn take_back(&self) {
        let back: VecDeque<(Instant, Envelope)> = {
            let mut waiting = self.waiting();
            let (back, others) = waiting.envelopes.drain(..).partition(|(_, envelope)| envelope.is_buffered());
            waiting.envelopes = others;
            back
        };
        drop(back);
    }

    /// Nothing more comes out of the buffer.
    pub(super) fn end(&self) {
        self.let_in();
        self.waiting().ended = true;
        self.shared.arrived.notify_one();
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // A queue is whole between any two of its operations, whoever panicked.
        self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells somebody who holds events when partitions were taken away. Whoever waits hears of it in turn: the same schedule
/// is always the same.
#[derive(Clone, Debug)]
pub(super) struct Revocations {
    queue: Queue,
    seen: u64,
}

impl Revocations {
    /// Whether there were any since this was asked last.
    pub(super) fn are_new(&mut self) -> bool {
        let now = self.queue.shared.revocations.load(Ordering::Relaxed);
        std::mem::replace(&mut self.seen, now) != now
    }

    /// Waits for the next.
    pub(super) async fn next(&mut self) {
        loop {
            let revoked = self.queue.shared.revoked.notified();
            tokio::pin!(revoked);
            // Registered before looking: one between looking and waiting is not missed.
            revoked.as_mut().enable();
            let now = self.queue.shared.revocations.load(Ordering::Relaxed);
            if std::mem::replace(&mut self.seen, now) != now {
                return;
            }
            revoked.await;
        }
    }
}

/// Of envelopes with the time of their arrival, those whose partition was taken away are given up.
pub(super) fn give_up_revoked(waiting: &mut VecDeque<(Instant, Envelope)>) -> Result<(), ArrowError> {
    for (_, envelope) in &mut *waiting {
        envelope.give_up_revoked()?;
    }
    waiting.retain(|(_, envelope)| !envelope.is_empty());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{BatchBuilder, Event, Partition, RowSet};
    use crate::envelope::{Block, Ledger, PathName};
    use std::collections::BTreeMap;

    #[tokio::test]
    async fn more_is_wanted_once_little_is_left_to_take() {
        let queue = Queue::new(&BufferSettings::default(), None, false);
        let path = PathName { pipeline: "p".into(), sink: "s".into() };
        let way = Ledger::new().path(path, BTreeMap::new(), Arc::default());
        let fill = async || {
            let mut builder = BatchBuilder::new();
            builder.push(&Partition::from("p"), Event { payload: Some(&[b'x'; ENOUGH]), ..Event::default() });
            let block = Block { batch: builder.finish().unwrap(), ends: Vec::new(), rejects: None };
            let envelope = way.take(&block, &RowSet::all(1)).unwrap().unwrap();
            let room = queue.room(ENOUGH).await;
            queue.push(envelope, room);
        };
        assert!(queue.wanting().now_or_never().is_some());
        fill().await;
        let mut wanting = std::pin::pin!(queue.wanting());
        assert!(wanting.as_mut().now_or_never().is_none() && queue.holding_back().is_some());
        let popped = queue.try_pop();
        assert!(wanting.now_or_never().is_some() && popped.is_some() && queue.holding_back().is_none());
        fill().await;
        let mut wanting = std::pin::pin!(queue.wanting());
        assert!(wanting.as_mut().now_or_never().is_none());
        queue.close();
        assert!(wanting.now_or_never().is_some());
    }
}
