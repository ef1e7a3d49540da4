//! A log in segments: appended to at its end, given back at its beginning, and found again after a crash.
//!
//! Events have numbers that only grow. A run never appends to a segment of an earlier one, whose end a crash may have
//! torn. More can be appended while what was appended before is being synced. After a failed sync a file is never
//! trusted again: a new segment is begun, and all that was not durable is written there once more, under the same
//! numbers. Its first number says what of earlier segments counts for nothing.

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

/// The segment that is appended to.
#[derive(Debug)]
struct Active {
    file: Arc<dyn LogFile>,
    /// As far as it is written.
    written: Segment,
    /// How often something was appended that is not known to be durable.
    unsynced: usize,
    /// Nothing more is appended to it.
    closed: bool,
}

/// Records that were appended.
#[derive(Debug)]
pub(super) struct Written {
    file: Arc<dyn LogFile>,
    /// The segment, up to these records.
    segment: Segment,
    /// Where the first of them begins.
    offset: u64,
}

impl Written {
    /// Syncs them; the log has to be told how that went. Nothing of the log is needed meanwhile.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }

    /// Where the first of them is: the segment, and the offset in it.
    pub(super) fn first(&self) -> (u64, u64) {
        (self.segment.number, self.offset)
    }
}

/// The end that is written to.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) disk: Arc<dyn Disk>,
    /// As far as they are durable.
    pub(super) segments: Segments,
    active: Option<Active>,
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

    /// The number after the last event that is durable.
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

    /// Appends records, which begin with the number after all that was appended. Where it fails none of them is, and they
    /// can be given again. `None` where a new segment has to begin, and something is not durable before it.
    pub(super) fn append(&mut self, records: &[Arc<Encoded>]) -> io::Result<Option<Written>> {
        let active = match &mut self.active {
            Some(active) if active.closed => return Ok(None),
            Some(active) => active,
            None => {
                let begun = self.begin()?;
                self.active.insert(begun)
            }
        };
        let offset = active.written.len;
        let mut len = offset;
        for record in records {
            if let Err(error) = record.write(&*active.file, len) {
                // Cut off what was written of it; where even that fails, the file is left as it is.
                active.closed = active.file.truncate(offset).is_err();
                self.end_segment();
                return Err(error);
            }
            len += record.len;
        }
        let end = records.last().map_or(active.written.end, |last| last.end());
        (active.written.len, active.written.end) = (len, end);
        active.unsynced += 1;
        active.closed = len >= self.segment_bytes;
        Ok(Some(Written { file: active.file.clone(), segment: active.written.clone(), offset }))
    }

    /// The oldest records that were not durable are.
    pub(super) fn made_durable(&mut self, written: &Written) {
        let segment = written.segment.clone();
        self.end = segment.end;
        let mut segments = locked(&self.segments);
        match segments.back_mut().filter(|last| last.number == segment.number) {
            Some(last) => *last = segment,
            None => segments.push_back(segment),
        }
        drop(segments);
        if let Some(active) = &mut self.active {
            active.unsynced -= 1;
        }
        self.end_segment();
    }

    /// Syncing records failed: neither they nor what was appended after them is there. All of it can be given again.
    pub(super) fn distrust(&mut self, written: &Written) {
        // The system may have forgotten what it could not write: the next sync would say nothing of it.
        self.active = None;
        let last = locked(&self.segments).back().cloned();
        match last.filter(|last| last.number == written.segment.number) {
            Some(last) => drop(written.file.truncate(last.len)),
            None => drop(self.disk.remove(&Segment::name(written.segment.number))),
        }
    }

    /// Begins a segment.
    fn begin(&mut self) -> io::Result<Active> {
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
        Ok(Active { file, written: Segment { number, start, len: start, end: self.end }, unsynced: 0, closed: false })
    }

    /// Lets go of a segment that is closed and durable; one without records is removed.
    fn end_segment(&mut self) {
        let ended = self.active.take_if(|active| active.closed && active.unsynced == 0);
        if let Some(empty) = ended.filter(|ended| ended.written.len == ended.written.start) {
            drop(self.disk.remove(&Segment::name(empty.written.number)));
        }
    }

    /// Removes segments of which every event is before the position; the one that is appended to only with `all`.
    pub(super) fn reclaim(&mut self, position: u64, all: bool) {
        let last_is_done = locked(&self.segments).back().is_none_or(|last| last.end <= position);
        if let Some(active) = &mut self.active
            && all
            && last_is_done
            && active.unsynced == 0
        {
            active.closed = true;
            self.end_segment();
        }
        let active = self.active.as_ref().map(|active| active.written.number);
        let empties = active.is_none() && locked(&self.segments).iter().all(|segment| segment.end <= position);
        // Without segments the file of the position alone says which numbers were given. Where it can't be written, room
        // is worth more: all of these events are final, and their numbers are free again.
        if empties && let Err(error) = self.save(position) {
            warn!(%error, "the position in the disk buffer can't be saved");
        }
        let mut segments = locked(&self.segments);
        while let Some(first) = segments.front()
            && first.end <= position
            && Some(first.number) != active
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
