//! What a disk buffer does while its delivery runs: it makes durable what came, reads it back, and keeps the position.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow_schema::ArrowError;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};
use tracing::{error, info, warn};

use super::log::{Log, Written, locked};
use super::reader::{Read, Reader};
use super::record::{Encoded, encode};
use super::{Buffer, set, size};
use crate::batch::Batch;
use crate::delivery::queue::Queue;
use crate::envelope::{Charge, Envelope, Final, Flight};

/// Bytes that become durable together, at most, unless one batch has more.
const TOGETHER: u64 = 8 << 20;
/// So many groups are put together while one is written.
const READY: usize = 4;
/// Batches of fewer bytes than this are put together to records of about that size.
const RECORD: usize = 256 << 10;
/// Bytes that are read at a time.
const READ: usize = 1 << 20;
/// How long to wait before trying again what the disk refused.
const PAUSE: Duration = Duration::from_secs(1);

/// What becomes durable together.
struct Group {
    envelopes: Vec<Envelope>,
    flights: Vec<Option<Flight>>,
    records: Vec<Arc<Encoded>>,
}

/// A group that was written, and where.
type Placed = (Group, Arc<Written>);

impl Group {
    fn bytes(&self) -> u64 {
        self.envelopes.iter().map(size).sum()
    }

    fn append(&mut self, mut next: Group) {
        self.envelopes.append(&mut next.envelopes);
        self.flights.append(&mut next.flights);
        self.records.append(&mut next.records);
    }
}

impl Buffer {
    /// Serves the delivery until it is dropped. What is read back goes into the queue, which is ended when nothing more
    /// comes out: all was read, or the run stops.
    pub(in crate::delivery) async fn serve(&self, queue: &Queue) {
        let passing = async {
            tokio::join!(self.commit_all(), self.read_all(queue));
            // What could not be made durable is the delivery's to keep or give up.
            let rest = std::mem::take(&mut locked(&self.shared.intake).pending);
            rest.into_iter().for_each(|envelope| queue.hand_out(envelope));
            queue.end();
        };
        tokio::join!(passing, self.keep_position());
    }

    /// Saves the position a last time, and removes what is of no more use.
    pub(in crate::delivery) async fn finish(&self) {
        self.reclaim(true).await;
        self.save().await;
    }

    /// While one group is being written and synced, the next one is put together.
    async fn commit_all(&self) {
        let (ready, groups) = mpsc::channel(READY);
        let (unsent, unwritten) = tokio::join!(self.encode_all(ready), self.write_all(groups));
        // Given up: in the order in which they came.
        let mut intake = locked(&self.shared.intake);
        let left = unwritten.into_iter().chain(unsent).flat_map(|group| group.envelopes);
        left.rev().for_each(|envelope| intake.pending.push_front(envelope));
        intake.committed = true;
        drop(intake);
        self.shared.durable.notify_one();
    }

    /// Makes records of what comes. Returns what nobody writes any more.
    async fn encode_all(&self, ready: mpsc::Sender<Group>) -> Option<Group> {
        let mut first = locked(&self.shared.log).end();
        loop {
            let envelopes = tokio::select! {
                envelopes = self.group() => envelopes?,
                () = ready.closed() => return None,
            };
            // A partition that is taken away meanwhile waits until they are durable.
            let flights = envelopes.iter().map(Envelope::depart).collect();
            let batches: Vec<Batch> = envelopes.iter().map(|envelope| envelope.batch().clone()).collect();
            let encoding = tokio::task::spawn_blocking(move || records(&batches, first).map_err(io::Error::other));
            let records = match encoding.await.map_err(io::Error::other).flatten() {
                Ok(records) => records,
                Err(error) => {
                    locked(&self.shared.intake).pending_bytes -= envelopes.iter().map(size).sum::<u64>();
                    error!(path = %self.shared.name, %error, "events can't be put together: they are given up");
                    continue;
                }
            };
            first = records.last().map_or(first, |last| last.end());
            let group = Group { envelopes, flights, records };
            if let Err(mpsc::error::SendError(group)) = ready.send(group).await {
                return Some(group);
            }
        }
    }

    /// Makes records durable: while one group is synced, the next one is written. Returns those for which no time is left.
    async fn write_all(&self, mut groups: mpsc::Receiver<Group>) -> Vec<Group> {
        let (mut written, mut next): (Option<Placed>, Option<Group>) = (None, None);
        loop {
            if next.is_none() {
                next = match &written {
                    None => groups.recv().await,
                    Some(_) => groups.try_recv().ok(),
                };
            }
            // A source may give less at a time than what is worth a sync.
            while let Some(group) = &mut next
                && group.bytes() < TOGETHER
                && let Ok(more) = groups.try_recv()
            {
                group.append(more);
            }
            if written.is_none() && next.is_none() {
                return Vec::new();
            }
            let (synced, appended) = tokio::join!(self.sync(written.take()), self.append(next.take()));
            let mut failed = None;
            match appended {
                Ok(appended) => (written, next) = appended,
                Err((group, error)) => (next, failed) = (Some(group), Some(error)),
            }
            if let Err(((mut group, place), error)) = synced {
                self.with_log(move |log| log.distrust(&place)).await.ok();
                let after = written.take().map(|(after, _)| after).or(next.take());
                after.into_iter().for_each(|after| group.append(after));
                (next, failed) = (Some(group), Some(error));
            }
            if let Some(error) = failed
                && !self.wait_for_disk(&error).await
            {
                groups.close();
                let mut left = Vec::from_iter(next);
                while let Some(group) = groups.recv().await {
                    left.push(group);
                }
                return left;
            }
        }
    }

    /// Makes what was written durable, which is final for its source then. Gives it back where that fails.
    async fn sync(&self, written: Option<Placed>) -> Result<(), (Placed, io::Error)> {
        let Some((group, place)) = written else { return Ok(()) };
        let syncing = place.clone();
        let synced = tokio::task::spawn_blocking(move || syncing.sync()).await.map_err(io::Error::other).flatten();
        let shared = &*self.shared;
        let durable = place.clone();
        let told = match synced {
            Ok(()) => self.with_log(move |log| log.made_durable(&durable)).await,
            Err(error) => Err(error),
        };
        if let Err(error) = told {
            return Err(((group, place), error));
        }
        locked(&shared.fresh).offer(&group.records, place.first(), &shared.read_ahead);
        if locked(&shared.trouble).take().is_some() {
            info!(path = %shared.name, "the disk buffer takes events in again");
        }
        let bytes = group.bytes();
        group.envelopes.into_iter().for_each(|envelope| envelope.settle(Final::Buffered));
        drop(group.flights);
        let mut intake = locked(&shared.intake);
        intake.pending_bytes -= bytes;
        intake.bytes = self.file_bytes();
        drop(intake);
        shared.durable.notify_one();
        shared.freed.notify_one();
        Ok(())
    }

    /// Writes a group behind all others: what is written by then, and what has to wait for a new segment.
    async fn append(&self, group: Option<Group>) -> Result<(Option<Placed>, Option<Group>), (Group, io::Error)> {
        let Some(group) = group else { return Ok((None, None)) };
        let records = group.records.clone();
        match self.with_log(move |log| log.append(&records)).await.flatten() {
            Ok(Some(place)) => Ok((Some((group, Arc::new(place))), None)),
            Ok(None) => Ok((None, Some(group))),
            Err(error) => Err((group, error)),
        }
    }

    /// What came since the last time; `None` at the end.
    async fn group(&self) -> Option<Vec<Envelope>> {
        loop {
            let arrived = self.shared.arrived.notified();
            {
                let mut intake = locked(&self.shared.intake);
                let (mut group, mut bytes) = (Vec::new(), 0);
                while bytes < TOGETHER
                    && let Some(mut envelope) = intake.pending.pop_front()
                {
                    let came = size(&envelope);
                    if let Err(error) = envelope.give_up_revoked() {
                        error!(path = %self.shared.name, %error, "events can't be taken apart: they are given up");
                    }
                    if envelope.is_empty() {
                        intake.pending_bytes -= came;
                        continue;
                    }
                    intake.pending_bytes -= came - size(&envelope);
                    bytes += size(&envelope);
                    group.push(envelope);
                }
                if !group.is_empty() {
                    return Some(group);
                }
                if intake.closed {
                    return None;
                }
            }
            if self.shared.wanted.load(Ordering::Relaxed) {
                self.reclaim(false).await;
            }
            arrived.await;
        }
    }

    /// Waits before what the disk refused is tried again; false when no time is left.
    async fn wait_for_disk(&self, error: &io::Error) -> bool {
        if locked(&self.shared.trouble).replace(error.to_string()).is_none() {
            error!(
                path = %self.shared.name, %error,
                "the disk buffer can't be written: it takes nothing in until there is room, and goes on draining"
            );
        }
        // What is delivered makes room.
        self.reclaim(true).await;
        tokio::select! {
            () = sleep(PAUSE) => true,
            () = set(&self.shared.give_up) => false,
        }
    }

    async fn read_all(&self, queue: &Queue) {
        let shared = &*self.shared;
        'reading: loop {
            let durable = shared.durable.notified();
            // Before reading: what is durable by then is found.
            let last = locked(&shared.intake).committed;
            let reads = tokio::select! {
                reads = self.read() => reads,
                () = set(&shared.stop) => break,
            };
            if reads.is_empty() && last {
                return;
            }
            let waits = reads.is_empty();
            for (read, charge) in reads {
                tokio::select! {
                    () = self.hand_out(read, charge, queue) => {}
                    // Nothing may follow what is left out here: the position would pass it.
                    () = set(&shared.stop) => break 'reading,
                }
            }
            if waits {
                // All that an earlier run left has come out.
                if !self.has_more() {
                    queue.let_in();
                }
                tokio::select! {
                    () = durable => {}
                    () = set(&shared.stop) => break,
                }
            }
        }
        queue.take_back();
    }

    fn has_more(&self) -> bool {
        let last = locked(&self.shared.segments).back().map(|last| last.end);
        last.is_some_and(|end| end > locked(&self.shared.reader).expected())
    }

    fn file_bytes(&self) -> u64 {
        locked(&self.shared.segments).iter().map(|segment| segment.len).sum()
    }

    /// What is next, with the room that was made for it if there is some.
    async fn read(&self) -> Vec<(Read, Option<Charge>)> {
        if let Some((reads, end, place)) = locked(&self.shared.fresh).take() {
            locked(&self.shared.reader).pass(end, place);
            return reads.into_iter().map(|(read, charge)| (read, Some(charge))).collect();
        }
        let mut told = false;
        loop {
            if !self.has_more() {
                let expected = locked(&self.shared.reader).expected();
                locked(&self.shared.fresh).follow(expected);
                return Vec::new();
            }
            let reader: Arc<Mutex<Reader>> = self.shared.reader.clone();
            let reading = tokio::task::spawn_blocking(move || locked(&reader).read(READ));
            let error = match reading.await {
                Ok(Ok(reads)) => {
                    locked(&self.shared.fresh).stop();
                    return reads.into_iter().map(|read| (read, None)).collect();
                }
                Ok(Err(error)) => error.to_string(),
                Err(panic) => panic.to_string(),
            };
            if !std::mem::replace(&mut told, true) {
                error!(path = %self.shared.name, error, "the disk buffer can't be read: delivery waits until it can");
            }
            sleep(PAUSE).await;
        }
    }

    async fn hand_out(&self, read: Read, charge: Option<Charge>, queue: &Queue) {
        let shared = &*self.shared;
        if read.lost > 0 {
            shared.metrics.buffer_lost.add(read.lost);
            error!(path = %shared.name, events = read.lost, "the disk buffer is damaged: these events are lost");
        }
        let charge = match charge {
            None if !read.batch.is_empty() => Some(shared.read_ahead.reserve(read.batch.bytes()).await),
            made => made,
        };
        let mut envelope = shared.path.take_as(read.batch, &shared.partition, read.numbers, read.end);
        if let Some(charge) = charge {
            envelope.charge(charge);
            queue.hand_out(envelope);
        }
    }

    /// Saves the position every so often, and makes room as soon as somebody waits for it.
    async fn keep_position(&self) {
        let every = self.shared.position_interval;
        let mut tick = interval_at(Instant::now() + every, every);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => {
                    self.reclaim(false).await;
                    self.save().await;
                }
                () = self.shared.ledger.changed() => if self.shared.wanted.load(Ordering::Relaxed) {
                    self.reclaim(false).await;
                },
            }
        }
    }

    /// Events before are final.
    fn position(&self) -> u64 {
        self.shared.ledger.acknowledged().get(&self.shared.partition).copied().unwrap_or(0)
    }

    async fn save(&self) {
        let position = self.position();
        if let Err(error) = self.with_log(move |log| log.save(position)).await.flatten() {
            warn!(
                path = %self.shared.name, %error,
                "the position in the disk buffer can't be saved: after a crash events come again"
            );
        }
    }

    /// Removes segments that are delivered.
    async fn reclaim(&self, all: bool) {
        let shared = &*self.shared;
        let position = self.position();
        let wanted = shared.wanted.load(Ordering::Relaxed);
        if locked(&shared.segments).front().is_none_or(|first| first.end > position) {
            return;
        }
        let reclaimed = self.with_log(move |log| {
            let before = log.bytes();
            log.reclaim(position, all || wanted || before > log.most_idle());
            (before, log.bytes())
        });
        if let Ok((before, after)) = reclaimed.await
            && after < before
        {
            locked(&shared.intake).bytes = after;
            shared.wanted.store(false, Ordering::Relaxed);
            shared.freed.notify_one();
        }
    }

    /// Does what may block where it may.
    async fn with_log<T: Send + 'static>(&self, what: impl FnOnce(&mut Log) -> T + Send + 'static) -> io::Result<T> {
        let log = self.shared.log.clone();
        tokio::task::spawn_blocking(move || what(&mut locked(&log))).await.map_err(io::Error::other)
    }
}

/// Small batches are put together, for what a record takes beside its events.
pub(super) fn records(batches: &[Batch], mut first: u64) -> Result<Vec<Arc<Encoded>>, ArrowError> {
    let (mut records, mut from) = (Vec::new(), 0);
    while from < batches.len() {
        let (mut to, mut bytes) = (from + 1, batches[from].bytes());
        while to < batches.len() && bytes + batches[to].bytes() <= RECORD {
            bytes += batches[to].bytes();
            to += 1;
        }
        let record = encode(Batch::concat(&batches[from..to])?, first)?;
        first = record.end();
        records.push(Arc::new(record));
        from = to;
    }
    Ok(records)
}
