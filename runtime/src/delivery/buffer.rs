//! What waits for a sink on disk.
//!
//! ```text
//! feed ─▶ pending ─▶ committer ─▶ log ─────▶ reader ─▶ queue ─▶ delivery
//!         (memory,   (one sync  │  (segments)   ▲ (memory,    │
//!          bounded)   for all   │      ▲        │  bounded)   │
//!             │       that came)└───── │ ─fresh─┘             │
//!             │                        └──── position ◀───────┘
//!             └─▶ final for the source once durable
//! ```
//!
//! What became durable goes to the reader from memory while that is right behind; else it comes back from the disk.
//!
//! The log numbers events anew: what is read back is accounted for by these numbers, and the position among them says
//! from where on a later run goes on, and which segments are of no more use.

mod disk;
mod fresh;
mod log;
mod numbers;
mod reader;
mod record;
mod recover;
mod serve;

use std::collections::VecDeque;
use std::io;
use std::path::Path as FilePath;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tracing::{error, info, warn};

pub use recover::Again;

use super::settings::{BufferKind, BufferSettings, WhenFull};
use crate::batch::Partition;
use crate::envelope::{Budget, Charge, Envelope, Final, Ledger, Path, PathName};
use crate::metrics::SinkMetrics;
use crate::units;
use disk::{Directory, Disk};
use fresh::Fresh;
use log::{Log, Segment, Segments, locked};
use reader::Reader;

/// Bytes of events that wait to become durable.
const PENDING: u64 = 48 << 20;
/// Bytes of events that were read back and are not final: as much as waits in memory where there is no disk buffer.
const READ_AHEAD: u64 = 64 << 20;
/// Where a segment ends and the next begins, unless the bound on all is small.
const SEGMENT_BYTES: u64 = 64 << 20;
/// What a record takes in a file beside its events, about.
const BESIDE: u64 = 2 << 10;

/// What a disk buffer is made of.
pub struct BufferParts<'a> {
    /// Whose events it has.
    pub path: PathName,
    /// What its user set.
    pub settings: &'a BufferSettings,
    /// What the source gives again.
    pub again: Again,
    /// What it counts.
    pub metrics: Arc<SinkMetrics>,
    /// How often its position is saved.
    pub position_interval: Duration,
    /// Turns true when events are to stay where they are.
    pub stop: watch::Receiver<bool>,
    /// Turns true when no more time is left.
    pub give_up: watch::Receiver<bool>,
}

/// A disk buffer. Cloning gives the same.
#[derive(Clone, Debug)]
pub struct Buffer {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    name: PathName,
    intake: Mutex<Intake>,
    /// Something is to be committed, or nothing more comes.
    arrived: Notify,
    /// Room was made, or waiting for it is of no use.
    freed: Notify,
    /// Something became durable, or nothing more will.
    durable: Notify,
    /// Somebody waits for room.
    wanted: AtomicBool,
    pending: Budget,
    read_ahead: Budget,
    bound: u64,
    when_full: WhenFull,
    log: Arc<Mutex<Log>>,
    /// What is in the log, without waiting for who writes it.
    segments: Segments,
    reader: Arc<Mutex<Reader>>,
    /// What became durable last, while the reader is right behind: that need not be read.
    fresh: Mutex<Fresh>,
    ledger: Ledger,
    path: Path,
    partition: Partition,
    metrics: Arc<SinkMetrics>,
    position_interval: Duration,
    stop: watch::Receiver<bool>,
    give_up: watch::Receiver<bool>,
    trouble: Mutex<Option<String>>,
}

#[derive(Debug, Default)]
struct Intake {
    /// In the order of their arrival.
    pending: VecDeque<Envelope>,
    /// Bytes that these will take in files, about.
    pending_bytes: u64,
    /// Bytes of files.
    bytes: u64,
    closed: bool,
    /// Everything that came is durable, or will not be.
    committed: bool,
}

impl Buffer {
    /// Opens the buffer in a directory, and finds out what an earlier run left there. `None` where the settings ask for
    /// memory and nothing is left. Nothing is written before there are events.
    ///
    /// Fails when what is there can't be read.
    pub fn open(directory: &FilePath, parts: BufferParts) -> io::Result<Option<Buffer>> {
        let disk = Directory::new(directory.to_owned());
        let left = disk.names()?.iter().any(|name| Segment::number_of(name).is_some());
        if parts.settings.kind == BufferKind::Memory && !left {
            return Ok(None);
        }
        let place = directory.display().to_string();
        Buffer::on(Arc::new(disk), parts, &place).map(Some)
    }

    fn on(disk: Arc<dyn Disk>, parts: BufferParts, place: &str) -> io::Result<Buffer> {
        let BufferParts { path: name, settings, again, metrics, position_interval, stop, give_up } = parts;
        let bound = settings.bound();
        let segment_bytes = (bound / 8).clamp(16 << 10, SEGMENT_BYTES);
        let (log, found) = recover::recover(disk, &again, segment_bytes)?;
        report(&name, settings, &found, place);
        metrics.recovered.add(found.events + found.lost);
        metrics.buffer_lost.add(found.lost);
        let mut ledger = Ledger::new();
        let path = ledger.path_of_buffer(name.clone(), metrics.clone());
        let partition = Partition::from("buffer");
        ledger.assign(&partition, found.position);
        let shared = Shared {
            name,
            intake: Mutex::new(Intake { bytes: log.bytes(), ..Intake::default() }),
            arrived: Notify::new(),
            freed: Notify::new(),
            durable: Notify::new(),
            wanted: AtomicBool::new(false),
            pending: Budget::new(PENDING),
            read_ahead: Budget::new(READ_AHEAD),
            bound,
            when_full: settings.when_full,
            reader: Arc::new(Mutex::new(Reader::new(&log, found.position))),
            fresh: Mutex::new(Fresh::new()),
            segments: log.segments.clone(),
            log: Arc::new(Mutex::new(log)),
            ledger,
            path,
            partition,
            metrics,
            position_interval,
            stop,
            give_up,
            trouble: Mutex::default(),
        };
        Ok(Buffer { shared: Arc::new(shared) })
    }

    /// What keeps it from taking events in, if anything does.
    pub fn trouble(&self) -> Option<String> {
        locked(&self.shared.trouble).clone()
    }

    /// Bytes of its files and of what will be in them.
    pub(super) fn bytes(&self) -> u64 {
        let intake = locked(&self.shared.intake);
        intake.bytes + intake.pending_bytes
    }

    /// Waits until there is room for so many bytes. `None` where the newest are to be dropped instead.
    pub(super) async fn room(&self, bytes: usize) -> Option<Charge> {
        let shared = &*self.shared;
        let room = async {
            while !self.fits(bytes) {
                if shared.when_full == WhenFull::DropNewest {
                    return None;
                }
                shared.wanted.store(true, Ordering::Relaxed);
                shared.arrived.notify_one();
                shared.freed.notified().await;
            }
            match shared.when_full {
                WhenFull::Block => Some(shared.pending.reserve(bytes).await),
                WhenFull::DropNewest => shared.pending.try_reserve(bytes),
            }
        };
        tokio::select! {
            biased;
            room = room => room,
            // The run can't end before what was read is durable: it is taken in beyond the bound.
            () = set(&shared.stop) => Some(Charge::default()),
        }
    }

    /// Whether so many bytes fit the bound. What is larger than all of it passes alone.
    fn fits(&self, bytes: usize) -> bool {
        let used = self.bytes();
        used == 0 || used + bytes as u64 + BESIDE <= self.shared.bound
    }

    /// Takes events in, with the room that was made for them; without, they are dropped, as the user asked for.
    pub(super) fn push(&self, mut envelope: Envelope, room: Option<Charge>) {
        let Some(charge) = room else {
            return envelope.settle(Final::Dropped);
        };
        envelope.charge(charge);
        let mut intake = locked(&self.shared.intake);
        if !intake.closed {
            intake.pending_bytes += size(&envelope);
            intake.pending.push_back(envelope);
            drop(intake);
            self.shared.arrived.notify_one();
        }
    }

    /// Nothing more comes.
    pub(super) fn close(&self) {
        locked(&self.shared.intake).closed = true;
        self.shared.arrived.notify_one();
    }
}

/// Bytes that the events will take in files, about.
fn size(envelope: &Envelope) -> u64 {
    envelope.batch().bytes() as u64 + BESIDE
}

fn report(path: &PathName, settings: &BufferSettings, found: &recover::Found, place: &str) {
    if found.events > 0 && settings.kind == BufferKind::Memory {
        warn!(
            %path, events = found.events,
            "an earlier run left events in {place}: they are delivered first. With `buffer.type = \"disk\"` new ones go there too"
        );
    } else if found.events + found.discarded > 0 {
        info!(
            %path, events = found.events, read_again = found.discarded,
            "the disk buffer holds events of an earlier run; those that the source gives again are left out"
        );
    }
    if found.lost > 0 {
        error!(
            %path, events = found.lost,
            "the disk buffer in {place} is damaged: these events are lost, all others are delivered"
        );
    } else if found.torn > 0 {
        warn!(
            %path, size = units::size::about(found.torn),
            "the end of the disk buffer is not whole, as a crash in the middle of a write leaves it"
        );
    }
}

/// Returns once the value is true.
async fn set(signal: &watch::Receiver<bool>) {
    if signal.clone().wait_for(|now| *now).await.is_err() {
        // Nobody is left who could say so.
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests;
