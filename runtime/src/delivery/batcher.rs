//! Cuts what comes out of the queue into batches: by events, by bytes, by time.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::Settings;
use crate::defect::{self, Defect};
use crate::envelope::Envelope;
use crate::sink::Contract;

/// Envelopes that are not yet a batch. Batches are filled exactly: an envelope that straddles two is cut.
#[derive(Debug)]
pub(super) struct Batcher {
    max_events: usize,
    max_bytes: usize,
    timeout: Duration,
    waiting: VecDeque<(Instant, Envelope)>,
    events: usize,
    bytes: usize,
}

impl Batcher {
    /// By what the user set and what the sink takes, whichever is less.
    pub(super) fn new(settings: &Settings, contract: &Contract) -> Batcher {
        let most = |set: usize, takes: Option<std::num::NonZeroUsize>| takes.map_or(set, |takes| set.min(takes.get()));
        let batch_bytes = usize::try_from(settings.batch_bytes).unwrap_or(usize::MAX).clamp(1, MOST_BYTES);
        Batcher {
            max_events: most(settings.batch_size.get(), contract.max_events),
            max_bytes: most(batch_bytes, contract.max_bytes),
            timeout: settings.batch_timeout,
            waiting: VecDeque::new(),
            events: 0,
            bytes: 0,
        }
    }

    /// Adds events that arrived at `since`.
    pub(super) fn push(&mut self, since: Instant, envelope: Envelope) {
        self.events += envelope.len();
        self.bytes += envelope.batch().bytes();
        self.waiting.push_back((since, envelope));
    }

    /// Whether no more events are needed for a batch.
    pub(super) fn is_full(&self) -> bool {
        self.events >= self.max_events || self.bytes >= self.max_bytes
    }

    /// When the first event has waited long enough.
    pub(super) fn due(&self) -> Option<Instant> {
        self.waiting.front().map(|(since, _)| *since + self.timeout)
    }

    /// The parts of the next batch, as many events as fit one; empty if none wait.
    pub(super) fn cut(&mut self) -> Vec<Envelope> {
        let (mut events, mut bytes) = (self.max_events + usize::from(defect::on(Defect::ExceedBatch)), self.max_bytes);
        let mut parts: Vec<Envelope> = Vec::new();
        while let Some((_, front)) = self.waiting.front_mut() {
            let fits = front.len().min(events).min(front.batch().rows_within(bytes));
            // An event that is larger than a whole batch goes alone.
            let fits = if parts.is_empty() { fits.max(1) } else { fits };
            let part = match fits {
                0 => break,
                _ if fits < front.len() => front.split_front(fits),
                _ => match self.waiting.pop_front() {
                    Some((_, whole)) => whole,
                    None => break,
                },
            };
            let size = part.batch().bytes();
            (events, bytes) = (events - fits, bytes.saturating_sub(size));
            (self.events, self.bytes) = (self.events - fits, self.bytes - size);
            parts.push(part);
            if events == 0 || bytes == 0 {
                break;
            }
        }
        parts
    }
}

/// What one column can hold, with room for the event that fills it.
const MOST_BYTES: usize = 1 << 30;
