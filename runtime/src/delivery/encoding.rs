//! What a sink's encoder does with events, between the queue and the batcher, in a task of its own.
//!
//! ```text
//! queue ─▶ encode ─┬ values, with their events ─▶ intake
//!   (events)  ▲    ├ left out on purpose: final
//!             │    └ refused: dead letters: final
//!             └ halves, to find the events at fault
//! ```
//!
//! The queue and a disk buffer have events as they were read, so that a slow encoder holds nobody back but its own sink;
//! batches have values. What was encoded is charged beside its events, out of a share of the sink's memory of its own: events
//! that wait can't keep those before them from being encoded.

mod grouping;

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use self::grouping::Grouping;
use super::Stopped;
use super::gate::Cause;
use super::lane::{Piece, Shared, Story};
use super::queue::Queue;
use super::search::Search;
use crate::batch::{Batch, RowSet};
use crate::envelope::{Charge, Envelope, Final, Groups};
use crate::sink::{Encode, Encoded, Encoder, Failure, FailureKind, WriteError};

/// What is encoded ahead of the intake.
const AHEAD: usize = 1;

/// Encoded events, with the time of their arrival.
pub(super) type Supply = mpsc::Receiver<(Instant, Envelope)>;

/// The encoder of one sink at work.
pub(super) struct Encoding {
    encoder: Arc<dyn Encoder>,
    queue: Queue,
    out: mpsc::Sender<(Instant, Envelope)>,
    shared: Arc<Shared>,
    /// Whether templates of the sink read what the events carried.
    templates: bool,
}

impl Encoding {
    /// Between a queue and the supply that it gives.
    pub(super) fn new(encoder: Arc<dyn Encoder>, queue: Queue, shared: Arc<Shared>) -> (Encoding, Supply) {
        let (out, supply) = mpsc::channel(AHEAD);
        let destination = shared.contract.destination.as_ref();
        let templates = shared.contract.reads_events || destination.is_some_and(|template| template.reads_payload());
        (Encoding { encoder, queue, out, shared, templates }, supply)
    }

    /// Until the queue is closed and empty. What comes after time was up is left.
    pub(super) async fn run(self) -> Result<(), Stopped> {
        let ended = self.encode_all().await;
        if ended.is_err() {
            // Nobody would hear of it before the lanes end.
            self.shared.break_off();
        }
        ended
    }

    async fn encode_all(&self) -> Result<(), Stopped> {
        // None before the first events, and after it broke.
        let mut open = None;
        while let Some((since, envelope)) = self.pop().await {
            let mut search = Search::new(envelope.len());
            let mut left = self.in_calls(envelope);
            while let Some(mut events) = left.pop_front() {
                tokio::select! {
                    biased;
                    () = self.shared.given_up() => {}
                    () = make_ready(&*self.encoder, &mut open, &self.shared) => {}
                }
                // While it could not be opened, partitions may have been taken away.
                self.shared.give_up_revoked(&mut events)?;
                if events.is_empty() {
                    continue;
                }
                let encoded = tokio::select! {
                    biased;
                    () = self.shared.given_up() => None,
                    encoded = encode(&*self.encoder, &mut open, &self.shared, events.batch()) => Some(encoded),
                };
                match encoded {
                    None => self.shared.leave(events).await?,
                    Some(Ok(encoded)) => {
                        search.found();
                        self.hand_on(since, events, encoded).await?;
                    }
                    Some(Err(failure)) => self.halve(events, failure, &mut search, &mut left).await?,
                }
            }
        }
        Ok(())
    }

    /// The oldest events. While the queue waits for room and there is nothing to encode, what waits in batches waits for
    /// itself.
    async fn pop(&self) -> Option<(Instant, Envelope)> {
        let oldest = match self.queue.try_pop() {
            None => tokio::select! {
                biased;
                popped = self.queue.pop() => popped,
                () = async {
                    self.queue.full().await;
                    self.queue.starve(true);
                    std::future::pending().await
                } => None,
            },
            oldest => oldest,
        };
        self.queue.starve(false);
        oldest
    }

    /// In parts of at most as many events and bytes as the encoder takes in one call.
    fn in_calls(&self, mut envelope: Envelope) -> VecDeque<Envelope> {
        let contract = self.encoder.contract();
        let most_events = contract.max_events.map_or(usize::MAX, |most| most.get());
        let most_bytes = contract.max_bytes.map_or(usize::MAX, |most| most.get());
        let mut parts = VecDeque::new();
        loop {
            let alike = match envelope.batch().origin().spans().next() {
                Some((rows, _)) if contract.merges => rows.len(),
                _ => usize::MAX,
            };
            let fits = most_events.min(envelope.batch().rows_within(most_bytes)).min(alike).max(1);
            if fits >= envelope.len() {
                parts.push_back(envelope);
                return parts;
            }
            parts.push_back(envelope.split_front(fits));
        }
    }

    /// The events at fault are in one half or the other. A single one is found; too long a search is given up.
    async fn halve(
        &self,
        mut events: Envelope,
        failure: Failure,
        search: &mut Search,
        left: &mut VecDeque<Envelope>,
    ) -> Result<(), Stopped> {
        let worth_it = search.missed();
        match events.middle().filter(|_| worth_it) {
            Some(middle) => {
                let first = events.split_front(middle);
                left.push_front(events);
                left.push_front(first);
                Ok(())
            }
            None => self.refuse(events, &failure).await,
        }
    }

    /// The same events would be refused again, whatever the encoder calls it. What was taken away meanwhile will be
    /// read again.
    async fn refuse(&self, mut envelope: Envelope, failure: &Failure) -> Result<(), Stopped> {
        self.shared.give_up_revoked(&mut envelope)?;
        if envelope.accounts_for() == 0 {
            return Ok(());
        }
        let failure = Failure { kind: FailureKind::Rejected, ..failure.clone() };
        self.shared.bury(Piece::new(envelope, Story::default()), &failure).await
    }

    /// Values go on with their events; all other events are final.
    async fn hand_on(&self, since: Instant, events: Envelope, encoded: Encoded) -> Result<(), Stopped> {
        let columns = |error| self.shared.columns(error);
        let refused = encoded.refused().to_vec();
        let grouping = encoded.sources().map(|sources| Grouping::new(events.len(), sources));
        let all = RowSet::all(events.len());
        let kept = refused.iter().fold(all, |kept, refusal| kept.without(&refusal.rows));
        let made = grouping.as_ref().map_or_else(|| kept.clone(), |grouping| grouping.named.clone());
        let whole = events.batch().clone();
        let mut sets = vec![made.clone(), kept.without(&made)];
        sets.extend(refused.iter().map(|refusal| refusal.rows.clone()));
        let parts = if made.is_all(events.len()) { vec![events] } else { events.scatter(&sets).map_err(columns)? };
        let mut parts = parts.into_iter();
        let (events, left_out) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        if left_out.accounts_for() > 0 {
            self.shared.done(left_out, Final::LeftOut).await?;
        }
        for (envelope, refusal) in parts.zip(&refused) {
            self.refuse(envelope, &refusal.failure).await?;
        }
        if events.is_empty() {
            return Ok(());
        }
        let of = if grouping.is_some() { &whole } else { events.batch() };
        let values = encoded.into_values(of, self.templates).map_err(columns)?;
        let (events, values, groups) = match grouping {
            None => (events, values, None),
            Some(grouping) => grouping.apply(events, values).map_err(columns)?,
        };
        let divided = groups.as_ref().and_then(|groups| self.divided(groups, &values));
        let Some(charge) = self.room(values.bytes()).await else { return self.shared.leave(events).await };
        let mut envelope = events.encoded(values, groups, charge);
        if let Some((rows, failure)) = divided {
            let (divided, whole) = envelope.select(&rows).map_err(columns)?;
            self.refuse(divided, &failure).await?;
            envelope = whole;
        }
        if envelope.is_empty() {
            return Ok(());
        }
        let values = (since, envelope);
        if let Err(mpsc::error::SendError((_, envelope))) = self.out.send(values).await {
            tracing::debug!(sink = %self.shared.path, "the delivery ended before its encoder");
            self.shared.leave(envelope).await?;
        }
        Ok(())
    }

    /// Memory for values. `None` once time is up.
    async fn room(&self, bytes: usize) -> Option<Charge> {
        let budget = self.queue.encoded();
        if let Some(room) = budget.try_reserve(bytes) {
            return Some(room);
        }
        self.queue.starve(true);
        let room = tokio::select! {
            biased;
            () = self.shared.given_up() => None,
            room = budget.reserve(bytes) => Some(room),
        };
        self.queue.starve(false);
        room
    }
}

impl Encoding {
    /// Why events can't be delivered together whose values go to several destinations: a batch has one.
    fn divided(&self, groups: &Groups, values: &Batch) -> Option<(RowSet, Failure)> {
        let template = self.shared.contract.destination.as_ref()?;
        let of = |row: usize| {
            let mut text = String::new();
            template.render(values, row, &mut text).is_ok().then_some(text)
        };
        let divided =
            |rows: &std::ops::Range<usize>| rows.len() > 1 && rows.clone().skip(1).any(|row| of(row) != of(rows.start));
        let rows = RowSet::from_ranges(groups.iter().filter(divided).map(|rows| rows.start as u32..rows.end as u32));
        let message = "its values go to several destinations, and the values of one event go together";
        (!rows.is_empty()).then(|| (rows, Failure::rejected("several-destinations", message)))
    }
}

/// Opens the encoder before it is asked first, and after it broke.
async fn make_ready(encoder: &dyn Encoder, open: &mut Option<Box<dyn Encode>>, shared: &Shared) {
    if open.is_none() {
        *open = Some(opened(encoder, shared).await);
    }
}

/// Asks the encoder.
async fn encode(
    encoder: &dyn Encoder,
    open: &mut Option<Box<dyn Encode>>,
    shared: &Shared,
    events: &Batch,
) -> Result<Encoded, Failure> {
    let limit = shared.settings.timeout;
    let mut working = match open.take() {
        Some(working) => working,
        None => opened(encoder, shared).await,
    };
    match timeout(limit, working.encode(events)).await {
        Ok(Ok(encoded)) => {
            *open = Some(working);
            Ok(encoded)
        }
        Ok(Err(WriteError::Failed(failure))) => {
            *open = Some(working);
            Err(failure)
        }
        Ok(Err(WriteError::Lost(failure) | WriteError::Superseded(failure))) => Err(failure),
        Err(_) => Err(Failure::rejected("timeout", "the encoder did not return in time: raise `timeout`")),
    }
}

/// Tries until it can be opened. The gate is closed meanwhile, and says why.
async fn opened(encoder: &dyn Encoder, shared: &Shared) -> Box<dyn Encode> {
    let mut closed = None;
    loop {
        let failure = match timeout(shared.settings.timeout, encoder.open()).await {
            Ok(Ok(working)) => {
                if let Some(closed) = closed {
                    shared.gate.open(closed);
                }
                return working;
            }
            Ok(Err(failure)) => failure,
            Err(_) => Failure::halted("timeout", "the encoder was not opened in time"),
        };
        // What closed it before holds longer.
        if shared.gate.closed().is_none() {
            let cause = Cause::Halted(failure);
            tracing::warn!(sink = %shared.path, "the gate is closed, events wait for the encoder: {cause}");
            closed = Some(shared.gate.close(cause));
        }
        sleep(shared.settings.gate.probe).await;
    }
}
