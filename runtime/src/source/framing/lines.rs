//! Lines: an event ends at each newline.

use std::fmt;
use std::ops::Range;
use std::time::{SystemTime, UNIX_EPOCH};

use arrow_array::{BinaryArray, TimestampMillisecondArray, UInt64Array};
use arrow_buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use memchr::memchr_iter;

use super::pool::Pool;
use super::split::{Found, Split};
use crate::batch::{Batch, Origin, Partition};
use crate::envelope::{Block, Rejects};
use crate::source::SourceError;

/// Room for so many bytes is in a buffer: several batches of usual size, because one that straddles two blocks is copied.
/// Anything from 256 KiB on is cut into lines equally fast.
const READ: usize = 2 << 20;

/// So much is searched before its lines are moved: then they are still in the processor's nearest cache.
const STEP: usize = 32 << 10;

/// Cuts what is read of one partition into events: lines, if nothing else was asked for.
///
/// ```text
/// buffer() ─▶ read into its spare capacity ─▶ frame(buffer) ─▶ blocks, and again; at the end of the input finish(buffer)
/// ```
///
/// A newline ends an event and is no part of it; all other bytes are passed on as they are. An empty line is an event
/// with an empty payload, and a last line that no newline ends is one too. The position of an event is the byte at which
/// its line begins. Of a line longer than the bound no more than the bound is kept, and that is rejected.
#[derive(Debug)]
pub struct Lines {
    partition: Partition,
    split: Split,
    most: usize,
    /// The position of the first byte that is held, or that comes next.
    position: u64,
    /// The beginning of a line whose end was not read yet: what the next buffer begins with.
    held: Vec<u8>,
    /// How many of the held bytes were searched for a newline: all, once they are held.
    searched: usize,
    /// The beginning of a line that is too long already, while the rest of it is passed over.
    long: Option<Long>,
    pool: Pool,
    /// Where newlines are in a step. Kept for its capacity.
    newlines: Vec<u32>,
    /// How many lines the last buffer had: the next one is likely to have about as many.
    usual: usize,
}

/// What there is to go on with in a partition that was left.
#[derive(Debug, Default)]
pub struct Aside {
    next: u64,
    held: Vec<u8>,
    long: Option<Long>,
}

impl Aside {
    /// At the beginning of an event.
    pub fn at(position: u64) -> Aside {
        Aside { next: position, ..Aside::default() }
    }

    /// Where the next event to come begins.
    pub fn position(&self) -> u64 {
        self.long.as_ref().map_or(self.next, |long| long.start)
    }

    /// The byte to be read next.
    pub fn next_byte(&self) -> u64 {
        self.next + self.held.len() as u64
    }

    /// Where what is kept begins of a line that is too long and passed over, while one is, and what that is.
    pub fn passed_over(&mut self) -> Option<(u64, &mut Vec<u8>)> {
        self.long.as_mut().map(|long| (long.from, &mut long.kept))
    }
}

/// A line that is too long.
#[derive(Debug)]
struct Long {
    start: u64,
    /// Where what is kept of it begins: after its length, where that comes first.
    from: u64,
    kept: Vec<u8>,
    /// How many more bytes are its own, where its length came first.
    left: u64,
    /// What comes next is within one of its lines.
    within: bool,
}

/// Why an event is rejected.
#[derive(Clone, Copy, Debug)]
enum Why {
    TooLong,
    NotJson,
    CutShort,
}

impl Lines {
    pub(super) fn new(partition: Partition, position: u64, most: usize, split: Split) -> Lines {
        let (held, newlines, pool) = (Vec::new(), Vec::new(), Pool::new(READ));
        Lines { partition, split, most, position, held, searched: 0, long: None, pool, newlines, usual: 0 }
    }

    /// A buffer to read into, with spare capacity, after what it holds already.
    pub fn buffer(&mut self) -> Vec<u8> {
        let mut buffer = std::mem::take(&mut self.held);
        if buffer.capacity() == 0 {
            buffer = self.pool.buffer(0);
        } else if buffer.capacity() - buffer.len() < READ / 4 {
            buffer.reserve(READ);
        }
        buffer
    }

    /// Makes blocks of the lines that end in a buffer that [`buffer`](Self::buffer) gave out: at most one of events, and
    /// one for each line that is too long.
    ///
    /// Fails only where the columns contradict each other, which is a bug.
    pub fn frame(&mut self, buffer: Vec<u8>) -> Result<Vec<Block>, SourceError> {
        self.cut(buffer, false)
    }

    /// The same at the end of the input: what no newline ended is a line too.
    pub fn finish(&mut self, buffer: Vec<u8>) -> Result<Vec<Block>, SourceError> {
        self.cut(buffer, true)
    }

    /// Whether all that is held of an event are whole lines.
    pub fn holds_whole_lines(&self) -> bool {
        self.held.last() == Some(&b'\n')
    }

    /// Where the next line to come begins.
    pub fn position(&self) -> u64 {
        self.long.as_ref().map_or(self.position, |long| long.start)
    }

    /// The byte to be read next.
    pub fn next_byte(&self) -> u64 {
        self.position + self.held.len() as u64
    }

    /// Leaves a partition for another one. Unless it is to be `kept`, what is held of a line whose end was not read yet
    /// is given up, and to be read again.
    pub fn leave(&mut self, keep: bool) -> Aside {
        let mut aside = Aside { next: self.position, held: Vec::new(), long: self.long.take() };
        let mut held = std::mem::take(&mut self.held);
        if keep && !held.is_empty() {
            aside.held = held.as_slice().to_vec();
            held.clear();
        }
        self.pool.give_back(held);
        self.searched = 0;
        aside
    }

    /// Goes on in a partition.
    pub fn enter(&mut self, partition: Partition, aside: Aside) {
        self.leave(false);
        self.partition = partition;
        self.position = aside.next;
        self.long = aside.long;
        if !aside.held.is_empty() {
            self.held = self.pool.buffer(aside.held.len());
            self.held.extend_from_slice(&aside.held);
        }
    }

    fn cut(&mut self, mut buffer: Vec<u8>, ended: bool) -> Result<Vec<Block>, SourceError> {
        let now = now();
        let mut blocks = Vec::new();
        let begin = self.pass_over(&buffer, ended, now, &mut blocks)?;
        if self.long.is_some() {
            self.position += begin as u64;
            buffer.drain(..begin);
            self.hold(buffer);
            return Ok(blocks);
        }
        let first = self.position;
        let mut cut = match self.split {
            Split::Lines(_) => self.find_lines(buffer, begin, ended),
            _ => self.find_events(buffer, begin, ended),
        };
        for (line, kept, why) in std::mem::take(&mut cut.wrong) {
            blocks.push(self.reject(first + line.start as u64, first + line.end as u64, kept, why, now)?);
        }
        self.position = first + cut.from.min(cut.bytes.len()) as u64;
        let ends = vec![(self.partition.clone(), self.position)];
        if cut.from == begin {
            // No line has ended, except perhaps one that is too long: then its block moves the position.
            if let Some(reject) = blocks.last_mut() {
                reject.ends = ends;
            }
            cut.bytes.drain(..begin);
            self.hold(cut.bytes);
            return Ok(blocks);
        }
        let rest = cut.bytes.get(cut.from..).filter(|rest| !rest.is_empty()).map(|rest| {
            let mut held = self.pool.buffer(rest.len());
            held.extend_from_slice(rest);
            held
        });
        cut.bytes.truncate(cut.to);
        let batch = cut.columns.batch(self.pool.column(cut.bytes), &self.partition, now)?;
        blocks.push(Block { batch, ends, rejects: None });
        self.hold(rest.unwrap_or_default());
        Ok(blocks)
    }

    /// Finds the newlines from `begin` on, step by step, and moves the lines between them together.
    fn find_lines(&mut self, bytes: Vec<u8>, begin: usize, ended: bool) -> Cut {
        let len = bytes.len();
        let room = (self.usual + self.usual / 8).min(len);
        let columns = Columns::with_room(room);
        let mut cut = Cut { bytes, first: self.position, from: begin, to: 0, columns, wrong: Vec::new() };
        let mut searched = begin.max(self.searched);
        while searched < len {
            let step = searched..len.min(searched + STEP);
            self.newlines.clear();
            self.newlines.extend(memchr_iter(b'\n', &cut.bytes[step.clone()]).map(|at| (searched + at) as u32));
            cut.columns.reserve(self.newlines.len());
            for newline in &self.newlines {
                cut.line(*newline as usize, self.most, &mut self.split);
            }
            searched = step.end;
        }
        if ended && cut.from < len {
            cut.line(len, self.most, &mut self.split);
        }
        self.usual = cut.columns.positions.len();
        cut.columns.give_back_room();
        cut
    }

    /// The same of events that end otherwise, one by one.
    fn find_events(&mut self, bytes: Vec<u8>, begin: usize, ended: bool) -> Cut {
        let columns = Columns::with_room(self.usual);
        let mut cut = Cut { bytes, first: self.position, from: begin, to: 0, columns, wrong: Vec::new() };
        while let Some(found) = self.split.next(&cut.bytes, cut.from, ended) {
            cut.event(found, self.most);
        }
        self.usual = cut.columns.positions.len();
        cut.columns.give_back_room();
        cut
    }

    /// Keeps the beginning of a line until its end is read, unless it is too long already.
    fn hold(&mut self, mut line: Vec<u8>) {
        if self.long.is_none() && line.len() > self.most + self.split.undecided() {
            let (start, header) = (self.position, self.split.header());
            let (end, within) = self.split.passed(&line, false);
            let left = self.split.length(&line).map_or(0, |length| (header as u64 + length).saturating_sub(end as u64));
            self.position += end as u64;
            let rest = line.split_off(end);
            line.truncate(header + self.most);
            line.drain(..header);
            line.shrink_to_fit();
            self.long = Some(Long { start, from: start + header as u64, kept: line, left, within });
            line = rest;
        }
        if line.is_empty() {
            self.pool.give_back(std::mem::take(&mut line));
        }
        self.searched = line.len();
        self.held = line;
    }

    /// Passes over what belongs to a line that is too long. Returns where in the buffer the next line begins.
    fn pass_over(
        &mut self,
        buffer: &[u8],
        ended: bool,
        now: i64,
        blocks: &mut Vec<Block>,
    ) -> Result<usize, SourceError> {
        let Some(mut long) = self.long.take() else { return Ok(0) };
        let (end, next) = match self.split.end(buffer, long.left, long.within) {
            Some((end, next)) => ((self.position + next as u64) - (next - end) as u64, next),
            None if ended => (self.position + buffer.len() as u64, buffer.len()),
            None => {
                let (passed, within) = self.split.passed(buffer, long.within);
                (long.left, long.within) = (long.left.saturating_sub(passed as u64), within);
                self.long = Some(long);
                return Ok(passed);
            }
        };
        blocks.push(self.reject(long.start, end, long.kept, Why::TooLong, now)?);
        Ok(next)
    }

    /// A block of one line that is rejected. The position is moved by the block of the lines after it, if there is one.
    fn reject(&self, start: u64, end: u64, kept: Vec<u8>, why: Why, now: i64) -> Result<Block, SourceError> {
        let what = format!("the {} at bytes {start} to {end} of {}", self.split.noun(), self.partition);
        let (code, message) = match why {
            Why::TooLong => (
                "too-long",
                format!(
                    "{what} has {} bytes, more than max_event_bytes = {}; its first {} are kept",
                    end - start,
                    self.most,
                    kept.len(),
                ),
            ),
            Why::NotJson => ("not-json", format!("{what} is to be JSON, and is not")),
            Why::CutShort => ("cut-short", format!("{what} ends before its length says that it does")),
        };
        let columns = Columns { offsets: vec![0, kept.len() as i32], positions: vec![start] };
        let batch = columns.batch(Buffer::from_vec(kept), &self.partition, now)?;
        let range = matches!(why, Why::TooLong).then_some((start, end));
        let rejects = Rejects { batch, code, message, range };
        Ok(Block {
            batch: Columns::with_room(0).batch(Buffer::default(), &self.partition, now)?,
            ends: Vec::new(),
            rejects: Some(Box::new(rejects)),
        })
    }
}

/// A buffer whose lines are moved together, so that they lie back to back.
struct Cut {
    bytes: Vec<u8>,
    /// The position of the first byte.
    first: u64,
    /// Where the next line begins.
    from: usize,
    /// Where it goes.
    to: usize,
    columns: Columns,
    /// Where lines were that are rejected, what is kept of them, and why.
    wrong: Vec<(Range<usize>, Vec<u8>, Why)>,
}

impl Cut {
    /// The first line ends at `end`.
    #[inline]
    fn line(&mut self, end: usize, most: usize, split: &mut Split) {
        let line = self.from..end;
        self.from = end + 1;
        if line.len() > most {
            return self.reject(line.clone(), line, most, Why::TooLong);
        }
        if let Split::Lines(Some(checker)) = split {
            let text = &self.bytes[line.clone()];
            if text.trim_ascii().is_empty() {
                return;
            }
            if std::str::from_utf8(text).is_err() || checker.only_value(text).is_err() {
                return self.reject(line.clone(), line, most, Why::NotJson);
            }
        }
        self.keep(line.start, line);
    }

    /// The first event is this.
    fn event(&mut self, found: Found, most: usize) {
        let Found { payload, next, whole } = found;
        let start = std::mem::replace(&mut self.from, next);
        let all = start..payload.end;
        match (whole, payload.len() > most) {
            (_, true) => self.reject(all, payload, most, Why::TooLong),
            (false, _) => self.reject(all, payload, most, Why::CutShort),
            _ => self.keep(start, payload),
        }
    }

    #[inline]
    fn keep(&mut self, start: usize, payload: Range<usize>) {
        self.columns.positions.push(self.first + start as u64);
        let to = self.to;
        self.to += payload.len();
        self.bytes.copy_within(payload, to);
        self.columns.offsets.push(self.to as i32);
    }

    #[cold]
    fn reject(&mut self, all: Range<usize>, payload: Range<usize>, most: usize, why: Why) {
        let kept = self.bytes[payload.start..payload.end.min(payload.start + most)].to_vec();
        self.wrong.push((all, kept, why));
    }
}

/// Where each line lies in its buffer, and in its partition.
struct Columns {
    offsets: Vec<i32>,
    positions: Vec<u64>,
}

impl Columns {
    fn with_room(lines: usize) -> Columns {
        let mut offsets = Vec::with_capacity(lines + 1);
        offsets.push(0);
        Columns { offsets, positions: Vec::with_capacity(lines) }
    }

    fn reserve(&mut self, lines: usize) {
        self.offsets.reserve(lines);
        self.positions.reserve(lines);
    }

    /// Few lines do not keep the room that was made for many.
    fn give_back_room(&mut self) {
        if self.positions.len() < self.positions.capacity() / 2 {
            self.offsets.shrink_to_fit();
            self.positions.shrink_to_fit();
        }
    }

    fn batch(self, bytes: Buffer, partition: &Partition, now: i64) -> Result<Batch, SourceError> {
        let offsets = OffsetBuffer::new(ScalarBuffer::from(self.offsets));
        let payload = BinaryArray::try_new(offsets, bytes, None).map_err(contradiction)?;
        let timestamps = TimestampMillisecondArray::from(vec![now; self.positions.len()]);
        let origin = Origin::single(partition.clone(), UInt64Array::from(self.positions));
        Batch::new(payload, timestamps, origin).map_err(contradiction)
    }
}

fn contradiction(error: impl fmt::Display) -> SourceError {
    SourceError { message: format!("lines could not be made a batch: {error}") }
}

/// Milliseconds since the Unix epoch.
fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

#[cfg(test)]
mod tests;
