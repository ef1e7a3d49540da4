//! What waits for a sink, bounded in bytes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::settings::{BufferSettings, WhenFull};
use crate::defect::{self, Defect};
use crate::envelope::{Budget, Charge, Envelope, Final};
use crate::metrics::Stopwatch;

/// Envelopes in the order of their arrival. Cloning gives the same queue.
///
/// The bound counts an event from here until it is final, wherever it is by then.
#[derive(Clone, Debug)]
pub struct Queue {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    waiting: Mutex<Waiting>,
    arrived: Notify,
    budget: Budget,
    max_bytes: u64,
    when_full: WhenFull,
    /// While somebody waits for room.
    holding_back: Stopwatch,
}

#[derive(Debug, Default)]
struct Waiting {
    envelopes: VecDeque<(Instant, Envelope)>,
    closed: bool,
}

impl Queue {
    /// An empty queue.
    pub fn new(settings: &BufferSettings) -> Queue {
        let budget = Budget::new(settings.max_bytes);
        let BufferSettings { max_bytes, when_full, .. } = *settings;
        let (waiting, arrived, holding_back) = Default::default();
        Queue { shared: Arc::new(Shared { waiting, arrived, budget, max_bytes, when_full, holding_back }) }
    }

    /// Waits until there is room for so many bytes. `None` where the newest are to be dropped instead.
    pub async fn room(&self, bytes: usize) -> Option<Charge> {
        match self.shared.when_full {
            WhenFull::DropNewest => self.shared.budget.try_reserve(bytes),
            WhenFull::Block => {
                let room = self.shared.budget.try_reserve(bytes);
                if room.is_some() {
                    return room;
                }
                let _waiting = self.shared.holding_back.run();
                Some(self.shared.budget.reserve(bytes).await)
            }
        }
    }

    /// Adds events at the end, with the room that was made for them; without, they are dropped, as the user asked for.
    /// Into a closed queue nothing goes any more: the events are given up.
    pub fn push(&self, mut envelope: Envelope, room: Option<Charge>) {
        let Some(charge) = room else {
            return envelope.settle(Final::Dropped);
        };
        if !defect::on(Defect::ReleaseEarly) {
            envelope.charge(charge);
        }
        let mut waiting = self.waiting();
        if !waiting.closed {
            waiting.envelopes.push_back((Instant::now(), envelope));
            drop(waiting);
            self.shared.arrived.notify_one();
        }
    }

    /// Nothing more comes.
    pub fn close(&self) {
        self.waiting().closed = true;
        self.shared.arrived.notify_one();
    }

    /// Whether nothing more comes.
    pub fn is_closed(&self) -> bool {
        self.waiting().closed
    }

    /// Bytes on their way to the sink.
    pub fn bytes(&self) -> u64 {
        self.shared.budget.used()
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
        self.waiting().envelopes.pop_front()
    }

    /// Waits for the oldest events. `None` once the queue is closed and empty. One task pops.
    pub(super) async fn pop(&self) -> Option<(Instant, Envelope)> {
        loop {
            let arrived = self.shared.arrived.notified();
            {
                let mut waiting = self.waiting();
                match waiting.envelopes.pop_front() {
                    None if !waiting.closed => {}
                    oldest => return oldest,
                }
            }
            arrived.await;
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // A queue is whole between any two of its operations, whoever panicked.
        self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
