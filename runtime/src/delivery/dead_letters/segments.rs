//! Dead letters in files of a directory: lines of JSON, in segments that are appended to by one process each.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use memchr::{memchr, memrchr};
use tokio::sync::oneshot;
use tracing::{info, warn};

use super::directory::{self, ReplayLock, Segment};
use super::medium::{Disk, Log, Medium};
use super::record::{self, Past};
use super::{DeadLetter, DeadLetters, Unkept};
use crate::units;

/// A segment ends before the line that would make it longer than this, unless that is its first.
pub(super) const SEGMENT_BYTES: usize = 16 << 20;

/// What a replay may exceed the bound by: what fails again of a segment is kept before that can be removed.
const HEADROOM: u64 = 2 * SEGMENT_BYTES as u64;

/// A directory of segments `00000001.ndjson`, `00000002.ndjson`, …, together at most so large. Cloning gives the same.
///
/// A process never appends to a segment of another, whose last line a kill may have torn, nor to one of its own that it
/// failed to write.
#[derive(Clone, Debug)]
pub struct Segments {
    shared: Arc<Shared>,
    source: Option<Arc<str>>,
}

#[derive(Debug)]
struct Shared {
    directory: PathBuf,
    max_size: u64,
    /// Held by a replay, as long as it goes on.
    lock: Option<Arc<ReplayLock>>,
    medium: Arc<dyn Medium>,
    waiting: Mutex<Waiting>,
    current: Mutex<Option<Open>>,
    /// The number of the last segment that was begun here. A replay may still know one that is gone by its number.
    last: AtomicU64,
}

/// What is to be written with the next sync.
#[derive(Debug, Default)]
struct Waiting {
    puts: Vec<Put>,
    /// Somebody writes, and looks for more before ending.
    writing: bool,
}

/// Lines that somebody waits for.
#[derive(Debug)]
struct Put {
    lines: Vec<u8>,
    done: oneshot::Sender<Result<(), Unkept>>,
}

/// A segment that is appended to.
#[derive(Debug)]
struct Open {
    path: PathBuf,
    log: Box<dyn Log>,
    len: usize,
    /// How long it was when it was synced last.
    synced: usize,
}

impl Segments {
    /// In a directory, which is created with the first dead letter.
    pub fn new(directory: PathBuf, max_size: u64) -> Segments {
        Segments::on(Arc::new(Disk), directory, max_size, None)
    }

    /// The same for a replay, which may exceed the bound by two segments: otherwise nothing that fails again could be
    /// kept while there is no room.
    pub fn for_replay(directory: PathBuf, max_size: u64, lock: Arc<ReplayLock>) -> Segments {
        Segments::on(Arc::new(Disk), directory, max_size.saturating_add(HEADROOM), Some(lock))
    }

    fn on(medium: Arc<dyn Medium>, directory: PathBuf, max_size: u64, lock: Option<Arc<ReplayLock>>) -> Segments {
        let (waiting, current, last) = (Mutex::default(), Mutex::default(), AtomicU64::new(0));
        Segments {
            shared: Arc::new(Shared { directory, max_size, lock, medium, waiting, current, last }),
            source: None,
        }
    }

    /// The same, for what was read from a source.
    pub fn of(&self, source: &Arc<str>) -> Segments {
        Segments { source: Some(source.clone()), ..self.clone() }
    }

    /// The directory.
    pub fn directory(&self) -> &Path {
        &self.shared.directory
    }

    /// How many bytes they have together. Asks the directory, and blocks for that.
    pub fn kept_bytes(&self) -> io::Result<u64> {
        match directory::size(&self.shared.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            size => size,
        }
    }

    /// How many they may have.
    pub fn max_bytes(&self) -> u64 {
        self.shared.max_size
    }

    /// Keeps whole lines. Returns once they are durable: all of them, or none where it fails.
    ///
    /// What comes at the same time is written with one sync.
    pub async fn keep(&self, lines: Vec<u8>) -> Result<(), Unkept> {
        let (done, kept) = oneshot::channel();
        let idle = {
            let mut waiting = locked(&self.shared.waiting);
            waiting.puts.push(Put { lines, done });
            !std::mem::replace(&mut waiting.writing, true)
        };
        if idle {
            let writer = Writer(self.shared.clone());
            // Whoever waits is answered by it, or by its end.
            drop(tokio::task::spawn_blocking(move || writer.run()));
        }
        kept.await.map_err(failed)?
    }
}

/// Writes until nothing waits.
struct Writer(Arc<Shared>);

impl Writer {
    fn run(self) {
        let mut current = locked(&self.0.current);
        while let Some(puts) = self.0.next() {
            self.0.write(&mut current, puts);
        }
    }
}

impl Drop for Writer {
    /// Ended by a panic it leaves nobody waiting.
    fn drop(&mut self) {
        let mut waiting = locked(&self.0.waiting);
        if waiting.writing && std::thread::panicking() {
            *waiting = Waiting::default();
        }
    }
}

#[async_trait]
impl DeadLetters for Segments {
    async fn put(&self, letter: DeadLetter<'_>) -> Result<(), Unkept> {
        let source = self.source.as_deref().map(str::to_owned);
        let past = |_| Past { source: source.clone(), ..Past::default() };
        self.keep(record::encode(&letter, past).map_err(failed)?).await
    }
}

impl Shared {
    /// What waits; nothing, if the caller is to end.
    fn next(&self) -> Option<Vec<Put>> {
        let mut waiting = locked(&self.waiting);
        waiting.writing = !waiting.puts.is_empty();
        waiting.writing.then(|| std::mem::take(&mut waiting.puts))
    }

    fn write(&self, current: &mut Option<Open>, puts: Vec<Put>) {
        let wanted = puts.iter().map(|put| put.lines.len() as u64).sum();
        let mut size = match self.size(wanted) {
            Ok(size) => size,
            Err(error) => return answer(puts, &Err(self.unkept(&error))),
        };
        let (mut fitting, mut full) = (Vec::new(), Vec::new());
        for put in puts {
            let with = size + put.lines.len() as u64;
            // Where there is nothing else, even more than the bound passes: it would wait for ever.
            if with <= self.max_size || size == 0 {
                size = with;
                fitting.push(put);
            } else {
                full.push(put);
            }
        }
        let max_size = format!("`dead_letters.max_size` is {}", units::size::print(self.max_size));
        answer(full, &Err(Unkept::Full { max_size, place: self.directory.display().to_string() }));
        let mut written = self.append(current, &fitting).map_err(|error| self.unkept(&error));
        if matches!(written, Err(Unkept::Full { .. })) && self.prune() {
            written = self.append(current, &fitting).map_err(|error| self.unkept(&error));
        }
        answer(fitting, &written);
    }

    /// What is there, after making room for so much more, if that is needed and possible.
    fn size(&self, wanted: u64) -> io::Result<u64> {
        self.medium.make_directory(&self.directory)?;
        let size = directory::size(&self.directory)?;
        if size + wanted > self.max_size && self.prune() { directory::size(&self.directory) } else { Ok(size) }
    }

    /// Removes what is done, oldest or not: it is kept only for those who want it sent once more. Whether any was.
    fn prune(&self) -> bool {
        let pruned = match &self.lock {
            Some(lock) => directory::prune(&self.directory, lock),
            None => match ReplayLock::take(&self.directory) {
                Ok(lock) => directory::prune(&self.directory, &lock),
                // Who replays removes what is done.
                Err(_) => return false,
            },
        };
        match pruned {
            Ok((0, _)) => false,
            Ok((segments, bytes)) => {
                let bytes = units::size::about(bytes);
                info!(segments, bytes, "removed dead letters that were sent again, to make room");
                true
            }
            Err(error) => {
                warn!(directory = %self.directory.display(), %error, "dead letters that were sent again can't be removed");
                false
            }
        }
    }

    /// Writes all puts and syncs what was written to; or none, as if there had been no attempt.
    fn append(&self, current: &mut Option<Open>, puts: &[Put]) -> io::Result<()> {
        let mut touched: Vec<Open> = current.take().into_iter().collect();
        let puts = puts.iter().flat_map(|put| chunks(&put.lines));
        let written = puts.into_iter().try_for_each(|lines| self.append_lines(&mut touched, lines));
        let synced = written.and_then(|()| touched.iter_mut().try_for_each(Open::sync));
        match synced {
            Ok(()) => *current = touched.pop(),
            // After a failed sync nobody knows what is on the disk: these segments are left, and others begun.
            Err(_) => touched.into_iter().for_each(Open::leave),
        }
        synced
    }

    fn append_lines(&self, touched: &mut Vec<Open>, lines: &[u8]) -> io::Result<()> {
        let fits = touched.last().is_some_and(|open| open.len == 0 || open.len + lines.len() <= SEGMENT_BYTES);
        if !fits {
            touched.push(self.begin()?);
        }
        match touched.last_mut() {
            Some(open) => open.append(lines),
            None => Ok(()),
        }
    }

    fn begin(&self) -> io::Result<Open> {
        loop {
            let segment = Segment::after(&self.directory, self.last.load(Ordering::Relaxed))?;
            let path = segment.path();
            self.last.store(segment.number, Ordering::Relaxed);
            match self.medium.create(&path) {
                Ok(log) => return Ok(Open { path, log, len: 0, synced: 0 }),
                // A run and a replay may both begin one.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// A disk without room is waited for; anything else that fails ends the run.
    fn unkept(&self, error: &io::Error) -> Unkept {
        let place = self.directory.display().to_string();
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Unkept::Full { max_size: error.to_string(), place },
            _ => failed(format!("{place}: {error}")),
        }
    }
}

impl Open {
    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        self.log.append_all(lines)?;
        self.len += lines.len();
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.log.sync()?;
        self.synced = self.len;
        Ok(())
    }

    /// Never to be written again. What was not acknowledged is cut off, if that can be done; a reader passes over a
    /// line that is torn.
    fn leave(mut self) {
        let cut = match self.synced {
            0 => fs::remove_file(&self.path),
            synced => self.log.truncate(synced as u64),
        };
        if let Err(error) = cut {
            warn!(file = %self.path.display(), %error, "what could not be written as a whole can't be cut off");
        }
    }
}

/// Whole lines, in parts of which none is larger than a segment unless it is one line.
fn chunks(mut lines: &[u8]) -> Vec<&[u8]> {
    let mut chunks = Vec::new();
    while !lines.is_empty() {
        let newline = match lines.get(..SEGMENT_BYTES) {
            None => None,
            Some(most) => memrchr(b'\n', most).or_else(|| memchr(b'\n', lines)),
        };
        let (chunk, rest) = lines.split_at(newline.map_or(lines.len(), |newline| newline + 1));
        chunks.push(chunk);
        lines = rest;
    }
    chunks
}

fn answer(puts: Vec<Put>, result: &Result<(), Unkept>) {
    for put in puts {
        // Whoever waited may have been given up.
        drop(put.done.send(result.clone()));
    }
}

fn failed(error: impl ToString) -> Unkept {
    Unkept::Failed { message: error.to_string() }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic leaves a segment whose end may be torn, which readers expect.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
pub(super) mod faults;
#[cfg(test)]
mod tests;
