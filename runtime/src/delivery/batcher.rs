//! Cuts what comes out of the queue into batches: by events, by bytes, by time, and by destination.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::time::Duration;

use arrow_schema::ArrowError;
use indexmap::IndexMap;
use tokio::time::Instant;

use super::Settings;
use super::queue::give_up_revoked;
use crate::batch::{Batch, RowSet};
use crate::defect::{self, Defect};
use crate::envelope::{Collection, Envelope};
use crate::expr::Template;
use crate::sink::Contract;

/// Envelopes that are not yet a batch. Batches are filled exactly: an envelope that straddles two is cut.
#[derive(Debug)]
pub(super) struct Batcher {
    limits: Limits,
    timeout: Duration,
    /// Where an event goes, if events say so: a batch has one destination then.
    destination: Option<Template>,
    most_groups: usize,
    /// By destination; one where there is but one destination. None is empty.
    groups: IndexMap<Destination, Group>,
}

/// What the template gives; none where an event lacks what it needs, which is for the sink to reject.
type Destination = Option<Box<str>>;

/// Of a batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    events: usize,
    bytes: usize,
}

impl Limits {
    /// What the user set and what the sink takes, whichever is less.
    pub(super) fn new(settings: &Settings, contract: &Contract) -> Limits {
        let most = |set: usize, takes: Option<NonZeroUsize>| takes.map_or(set, |takes| set.min(takes.get()));
        let batch_bytes = usize::try_from(settings.batch_bytes).unwrap_or(usize::MAX).clamp(1, MOST_BYTES);
        Limits {
            events: most(settings.batch_size.get(), contract.max_events),
            bytes: most(batch_bytes, contract.max_bytes),
        }
    }

    /// How many of these rows go into a batch beside what is there. An event that is larger than a whole batch goes alone.
    pub(super) fn fits(self, open: &Collection, batch: &Batch, rows: &[u32]) -> usize {
        let events = self.events + usize::from(defect::on(Defect::ExceedBatch));
        let most = rows.len().min(events.saturating_sub(open.len()));
        let mut bytes = open.bytes();
        if bytes + batch.bytes() <= self.bytes {
            return most;
        }
        let fit = rows[..most].iter().take_while(|row| {
            bytes += batch.bytes_in(**row as usize..**row as usize + 1);
            bytes <= self.bytes
        });
        fit.count().max(usize::from(open.is_empty()))
    }

    /// Whether no more events are needed for a batch.
    pub(super) fn are_reached(self, open: &Collection) -> bool {
        open.len() >= self.events || open.bytes() >= self.bytes
    }
}

#[derive(Debug, Default)]
struct Group {
    waiting: VecDeque<(Instant, Envelope)>,
    events: usize,
    bytes: usize,
}

/// What to cut next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// This group, at once.
    Now(usize),
    /// This group, when its first event has waited long enough, unless more comes before.
    At(Instant, usize),
    /// Nothing is there.
    Nothing,
}

impl Batcher {
    /// By what the user set and what the sink takes, whichever is less.
    pub(super) fn new(settings: &Settings, contract: &Contract) -> Batcher {
        Batcher {
            limits: Limits::new(settings, contract),
            timeout: settings.batch_timeout,
            // Batches of several destinations would not be next to each other.
            destination: contract.destination.clone().filter(|_| !settings.exactly_once),
            most_groups: settings.max_groups.get(),
            groups: IndexMap::new(),
        }
    }

    /// Adds events that arrived at `since`.
    ///
    /// Fails when events for several destinations can't be copied apart; they are given up then.
    pub(super) fn push(&mut self, since: Instant, envelope: Envelope) -> Result<(), ArrowError> {
        let Some(template) = self.destination.as_ref().filter(|_| !defect::on(Defect::MixDestinations)) else {
            self.groups.entry(None).or_default().push(since, envelope);
            return Ok(());
        };
        let (destinations, sets): (Vec<_>, Vec<_>) = destinations(template, &envelope).into_iter().unzip();
        for (destination, part) in destinations.into_iter().zip(envelope.scatter(&sets)?) {
            self.groups.entry(destination).or_default().push(since, part);
        }
        Ok(())
    }

    /// Gives up the events whose partition was taken away.
    ///
    /// Fails when they can't be copied apart from others; those are given up too then.
    pub(super) fn give_up_revoked(&mut self) -> Result<(), ArrowError> {
        for group in self.groups.values_mut() {
            give_up_revoked(&mut group.waiting)?;
            group.events = group.waiting.iter().map(|(_, envelope)| envelope.len()).sum();
            group.bytes = group.waiting.iter().map(|(_, envelope)| envelope.batch().bytes()).sum();
        }
        self.groups.retain(|_, group| !group.waiting.is_empty());
        Ok(())
    }

    /// Which group is full, too old, or one too many; else the oldest.
    pub(super) fn next(&self) -> Next {
        let (mut full, mut oldest) = (None, None);
        for (index, group) in self.groups.values().enumerate() {
            if full.is_none() && group.is_full(self.limits) {
                full = Some(index);
            }
            let since = group.waiting.front().map(|(since, _)| *since);
            oldest = match (oldest, since) {
                (Some((least, _)), Some(since)) if since >= least => oldest,
                (_, Some(since)) => Some((since, index)),
                (_, None) => oldest,
            };
        }
        let Some((since, index)) = oldest else { return Next::Nothing };
        let due = since + self.timeout;
        match full {
            // Groups that fill again and again must not keep one from its time.
            Some(full) if self.groups.len() == 1 || Instant::now() < due => Next::Now(full),
            Some(_) => Next::Now(index),
            None if self.groups.len() > self.most_groups => Next::Now(index),
            None => Next::At(due, index),
        }
    }

    /// The parts of the next batch of a group, as many events as fit one.
    pub(super) fn cut(&mut self, index: usize) -> Vec<Envelope> {
        let Some((_, group)) = self.groups.get_index_mut(index) else { return Vec::new() };
        let parts = group.cut(self.limits);
        if group.waiting.is_empty() {
            self.groups.swap_remove_index(index);
        }
        parts
    }
}

impl Group {
    fn push(&mut self, since: Instant, envelope: Envelope) {
        self.events += envelope.len();
        self.bytes += envelope.batch().bytes();
        self.waiting.push_back((since, envelope));
    }

    /// Whether no more events are needed for a batch.
    fn is_full(&self, limits: Limits) -> bool {
        self.events >= limits.events || self.bytes >= limits.bytes
    }

    fn cut(&mut self, limits: Limits) -> Vec<Envelope> {
        let (mut events, mut bytes) = (limits.events + usize::from(defect::on(Defect::ExceedBatch)), limits.bytes);
        let mut parts: Vec<Envelope> = Vec::new();
        while let Some((_, front)) = self.waiting.front_mut() {
            let fits = front.floor(events.min(front.batch().rows_within(bytes)));
            // An event that is larger than a whole batch goes alone, or with those that it hangs together with.
            let fits = if parts.is_empty() && fits == 0 { front.ceil(1) } else { fits };
            let part = match fits {
                0 => break,
                _ if fits < front.len() => front.split_front(fits),
                _ => match self.waiting.pop_front() {
                    Some((_, whole)) => whole,
                    None => break,
                },
            };
            let size = part.batch().bytes();
            (events, bytes) = (events.saturating_sub(fits), bytes.saturating_sub(size));
            (self.events, self.bytes) = (self.events - fits, self.bytes - size);
            parts.push(part);
            if events == 0 || bytes == 0 {
                break;
            }
        }
        parts
    }
}

/// The rows of an envelope by destination, in the order in which destinations come first. What hangs together goes where
/// the first of it goes.
fn destinations(template: &Template, envelope: &Envelope) -> Vec<(Destination, RowSet)> {
    let mut found: IndexMap<Destination, RowSet> = IndexMap::new();
    let mut text = String::new();
    envelope.for_each_whole(|rows| {
        text.clear();
        let rendered = template.render(envelope.batch(), rows.start, &mut text).is_ok();
        let destination = rendered.then(|| Box::from(text.as_str()));
        let found = found.entry(destination).or_default();
        rows.for_each(|row| found.push(row as u32));
    });
    found.into_iter().collect()
}

/// What one column can hold, with room for the event that fills it.
const MOST_BYTES: usize = 1 << 30;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{BatchBuilder, Event, Partition};
    use crate::envelope::{Block, Ledger, PathName};
    use crate::metrics::SinkMetrics;
    use std::collections::BTreeMap;
    use std::sync::Arc;

    const TIMEOUT: Duration = Duration::from_secs(10);

    /// Two destinations at most; a batch of three events is full.
    fn batcher() -> Batcher {
        let settings = Settings {
            batch_size: NonZeroUsize::new(3).unwrap(),
            batch_timeout: TIMEOUT,
            max_groups: NonZeroUsize::new(2).unwrap(),
            ..Settings::default()
        };
        let destination = Some(Template::parse("{key}").unwrap());
        Batcher::new(&settings, &Contract { destination, ..Contract::default() })
    }

    /// Events with these keys, which arrive now.
    fn push(batcher: &mut Batcher, keys: &[&str]) -> Instant {
        let (mut builder, partition) = (BatchBuilder::new(), Partition::from("a"));
        for (position, key) in (0..).zip(keys) {
            builder.push(&partition, Event { key: Some(key.as_bytes()), position, ..Event::default() });
        }
        let block = Block { batch: builder.finish().unwrap(), ends: vec![], rejects: None };
        let name = PathName { pipeline: "p".into(), sink: "s".into() };
        let path = Ledger::new().path(name, BTreeMap::new(), Arc::new(SinkMetrics::default()));
        let envelope = path.take(&block, &RowSet::all(keys.len())).unwrap().unwrap();
        batcher.push(Instant::now(), envelope).unwrap();
        Instant::now()
    }

    #[tokio::test(start_paused = true)]
    async fn the_group_that_waits_the_longest_says_when_to_cut() {
        let mut batcher = batcher();
        assert_eq!(batcher.next(), Next::Nothing);
        let first = push(&mut batcher, &["a"]);
        tokio::time::advance(Duration::from_secs(1)).await;
        let second = push(&mut batcher, &["b"]);
        tokio::time::advance(Duration::from_secs(1)).await;
        push(&mut batcher, &["a"]);
        assert_eq!(batcher.next(), Next::At(first + TIMEOUT, 0));
        assert_eq!(batcher.cut(0).iter().map(Envelope::len).sum::<usize>(), 2);
        assert_eq!(batcher.next(), Next::At(second + TIMEOUT, 0));
        push(&mut batcher, &["a"]);
        assert_eq!(batcher.next(), Next::At(second + TIMEOUT, 0), "what came first, wherever it stands");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_left_after_a_cut_is_counted_anew() {
        let mut one = batcher();
        push(&mut one, &["k"]);
        let by_bytes = Settings { batch_bytes: 3 * one.groups[0].bytes as u64, ..Settings::default() };
        let by_events = Settings { batch_size: NonZeroUsize::new(3).unwrap(), ..Settings::default() };
        for settings in [by_bytes, by_events] {
            let settings = Settings { batch_timeout: TIMEOUT, ..settings };
            let mut batcher = Batcher::new(&settings, &Contract::default());
            let since = push(&mut batcher, &["a", "b", "c", "d", "e", "f", "g"]);
            for _ in 0..2 {
                assert_eq!(batcher.next(), Next::Now(0));
                assert_eq!(batcher.cut(0).iter().map(Envelope::len).sum::<usize>(), 3);
            }
            assert_eq!(batcher.next(), Next::At(since + TIMEOUT, 0));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_group_goes_first_until_another_is_due() {
        let mut batcher = batcher();
        push(&mut batcher, &["a", "b", "b", "b"]);
        tokio::time::advance(TIMEOUT - Duration::from_millis(1)).await;
        assert_eq!(batcher.next(), Next::Now(1));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(batcher.next(), Next::Now(0));
    }

    #[tokio::test(start_paused = true)]
    async fn one_group_too_many_sends_the_oldest_at_once() {
        let mut batcher = batcher();
        let first = push(&mut batcher, &["a", "b"]);
        assert_eq!(batcher.next(), Next::At(first + TIMEOUT, 0));
        push(&mut batcher, &["c"]);
        assert_eq!(batcher.next(), Next::Now(0));
        let oldest = batcher.cut(0);
        assert_eq!(oldest[0].batch().key().unwrap().value(0), b"a");
        assert!(matches!(batcher.next(), Next::At(due, _) if due == first + TIMEOUT));
    }
}
