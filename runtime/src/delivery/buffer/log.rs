//! A log in segments: appended to at its end, given back at its beginning, and found again after a crash.
//!
//! Events have numbers that only grow. A run never appends to a segment of an earlier one, whose end a crash may have
//! torn. After a failed sync a file is never trusted again: a new segment is begun, and what was not durable is written
//! there once more, under the same numbers.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tracing::warn;

use super::disk::{Disk, LogFile};
use super::numbers::Numbers;
use super::record::{Encoded, SegmentHead};

/// Where the position is kept.
pub(super) const POSITION: &str = "position.json";
/// How the names of segments end.
const ENDING: &str = ".log";

/// A file of the log, as far as it is durable.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) number: u64,
    /// Where its records begin.
    pub(super) start: u64,
    /// Where they end.
    pub(super) len: u64,
    /// The number after its last event.
    pub(super) end: u64,
}

impl Segment {
    pub(super) fn name(number: u64) -> String {
        format!("{number:08}{ENDING}")
    }

    pub(super) fn number_of(name: &str) -> Option<u64> {
        name.strip_suffix(ENDING)?.parse().ok()
    }
}

/// All segments, the oldest first, seen by the one who writes and the one who reads.
pub(super) type Segments = Arc<Mutex<VecDeque<Segment>>>;

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is behind these locks is whole between any two operations, whoever panicked.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the file of the position says.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub(super) struct Saved {
    /// Events before are final.
    pub(super) position: u64,
    /// Events before were durable.
    pub(super) end: u64,
    /// Events that are not to be delivered from here: their source gives them again, or they are damaged.
    pub(super) gone: Vec<(u64, u64)>,
}

/// The end that is written to.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) segments: Segments,
    active: Option<Arc<dyn LogFile>>,
    /// Of the source that gives the events, where it can be read again.
    source: String,
    segment_bytes: u64,
    next_segment: u64,
    end: u64,
    gone: Numbers,
    saved: Saved,
}

impl Log {
    /// Goes on where recovery ended.
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        segments: VecDeque<Segment>,
        source: String,
        segment_bytes: u64,
        (next_segment, end): (u64, u64),
        gone: Numbers,
    ) -> Log {
        let (segments, saved) = (Arc::new(Mutex::new(segments)), Saved::default());
        Log { disk, segments, active: None, source, segment_bytes, next_segment, end, gone, saved }
    }

    /// The number of the next event.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// What is not delivered from here.
    pub(super) fn gone(&self) -> &Numbers {
        &self.gone
    }

    /// Bytes of all segments.
    pub(super) fn bytes(&self) -> u64 {
        locked(&self.segments).iter().map(|segment| segment.len).sum()
    }

    /// Bytes that the last segment may keep after all of it is delivered.
    pub(super) fn most_idle(&self) -> u64 {
        self.segment_bytes / 16
    }

    /// Makes records durable, which begin with the number that [`end`](Self::end) says. Where it fails none of them is,
    /// and they can be given again. Says where the first one is: the segment, and the offset in it.
    pub(super) fn commit(&mut self, records: &[Arc<Encoded>]) -> io::Result<(u64, u64)> {
        let file = match &self.active {
            Some(file) => file.clone(),
            None => self.begin()?,
        };
        let Some(segment) = locked(&self.segments).back().cloned() else { return Err(io::Error::other("no segment")) };
        let mut len = segment.len;
        for record in records {
            if let Err(error) = record.write(&*file, len) {
                // Cut off what was written of it; where even that fails, the file is left as it is.
                if file.truncate(segment.len).is_err() {
                    self.seal();
                }
                return Err(error);
            }
            len += record.len;
        }
        if let Err(error) = file.sync() {
            // The system may have forgotten what it could not write: the next sync would say nothing of it.
            drop(file.truncate(segment.len));
            self.seal();
            return Err(error);
        }
        self.end = records.last().map_or(self.end, |last| last.end());
        if let Some(last) = locked(&self.segments).back_mut() {
            (last.len, last.end) = (len, self.end);
        }
        if len >= self.segment_bytes {
            self.seal();
        }
        Ok((segment.number, segment.len))
    }

    /// Begins a segment.
    fn begin(&mut self) -> io::Result<Arc<dyn LogFile>> {
        let number = self.next_segment;
        self.next_segment += 1;
        let name = Segment::name(number);
        let head = SegmentHead { first: self.end, source: self.source.clone() }.to_bytes();
        let file = self.disk.create(&name)?;
        // The name has to survive as well as what is in the file.
        if let Err(error) = file.write_all_at(&head, 0).and_then(|()| self.disk.sync()) {
            drop(self.disk.remove(&name));
            return Err(error);
        }
        let start = head.len() as u64;
        locked(&self.segments).push_back(Segment { number, start, len: start, end: self.end });
        self.active = Some(file.clone());
        Ok(file)
    }

    /// Appends no more to the last segment.
    fn seal(&mut self) {
        self.active = None;
        let mut segments = locked(&self.segments);
        if let Some(empty) = segments.pop_back_if(|segment| segment.len == segment.start) {
            drop(self.disk.remove(&Segment::name(empty.number)));
        }
    }

    /// Removes segments of which every event is before the position; the one that is appended to only with `all`.
    pub(super) fn reclaim(&mut self, position: u64, all: bool) {
        let last_is_done = locked(&self.segments).back().is_some_and(|last| last.end <= position);
        if all && last_is_done {
            self.seal();
        }
        let active = self.active.is_some();
        let empties = !active && locked(&self.segments).iter().all(|segment| segment.end <= position);
        // Without segments the file of the position alone says which numbers were given. Where it can't be written, room
        // is worth more: all of these events are final, and their numbers are free again.
        if empties && let Err(error) = self.save(position) {
            warn!(%error, "the position in the disk buffer can't be saved");
        }
        let mut segments = locked(&self.segments);
        while let Some(first) = segments.front()
            && first.end <= position
            && !(active && segments.len() == 1)
        {
            let name = Segment::name(first.number);
            match self.disk.remove(&name) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    warn!(file = name, %error, "a segment that is delivered can't be removed");
                    break;
                }
                _ => drop(segments.pop_front()),
            }
        }
    }

    /// Writes down, durably, that events before the position are final. Nothing new is not written again.
    pub(super) fn save(&mut self, position: u64) -> io::Result<()> {
        let gone = self.gone.from(position);
        let gone = gone.ranges().iter().map(|range| (range.start, range.end)).collect();
        let saved = Saved { position, end: self.end, gone };
        if saved != self.saved {
            self.disk.replace(POSITION, &serde_json::to_vec(&saved)?)?;
            self.saved = saved;
        }
        Ok(())
    }
}
