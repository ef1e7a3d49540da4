//! Lines: an event ends at each newline.

use std::fmt;
use std::ops::Range;
use std::time::{SystemTime, UNIX_EPOCH};

use arrow_array::{BinaryArray, TimestampMillisecondArray, UInt64Array};
use arrow_buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use memchr::{memchr, memchr_iter};

use super::pool::Pool;
use crate::batch::{Batch, Origin, Partition};
use crate::envelope::{Block, Rejects};
use crate::source::SourceError;

/// Room for so many bytes is in a buffer: several batches of usual size, because one that straddles two blocks is copied.
/// Anything from 256 KiB on is cut into lines equally fast.
const READ: usize = 1 << 20;

/// So much is searched before its lines are moved: then they are still in the processor's nearest cache.
const STEP: usize = 32 << 10;

/// Cuts what is read of one partition into lines.
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

    /// Where the line begins that is too long and passed over, while one is, and what is kept of its beginning.
    pub fn passed_over(&mut self) -> Option<(u64, &mut Vec<u8>)> {
        self.long.as_mut().map(|long| (long.start, &mut long.kept))
    }
}

/// A line that is too long.
#[derive(Debug)]
struct Long {
    start: u64,
    kept: Vec<u8>,
}

impl Lines {
    pub(super) fn new(partition: Partition, position: u64, most: usize) -> Lines {
        let (held, newlines) = (Vec::new(), Vec::new());
        Lines { partition, most, position, held, searched: 0, long: None, pool: Pool::new(READ), newlines, usual: 0 }
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

    fn cut(&mut self, buffer: Vec<u8>, ended: bool) -> Result<Vec<Block>, SourceError> {
        let now = now();
        let mut blocks = Vec::new();
        let begin = self.pass_over(&buffer, ended, now, &mut blocks)?;
        let first = self.position;
        let mut cut = self.find_lines(buffer, begin, ended);
        for (line, kept) in std::mem::take(&mut cut.long) {
            blocks.push(self.reject(first + line.start as u64, first + line.end as u64, kept, now)?);
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
        let mut cut = Cut { bytes, first: self.position, from: begin, to: 0, columns, long: Vec::new() };
        let mut searched = begin.max(self.searched);
        while searched < len {
            let step = searched..len.min(searched + STEP);
            self.newlines.clear();
            self.newlines.extend(memchr_iter(b'\n', &cut.bytes[step.clone()]).map(|at| (searched + at) as u32));
            cut.columns.reserve(self.newlines.len());
            for newline in &self.newlines {
                cut.line(*newline as usize, self.most);
            }
            searched = step.end;
        }
        if ended && cut.from < len {
            cut.line(len, self.most);
        }
        self.usual = cut.columns.positions.len();
        cut.columns.give_back_room();
        cut
    }

    /// Keeps the beginning of a line until its end is read, unless it is too long already.
    fn hold(&mut self, mut line: Vec<u8>) {
        if line.len() > self.most {
            let start = self.position;
            self.position += line.len() as u64;
            line.truncate(self.most);
            line.shrink_to_fit();
            self.long = Some(Long { start, kept: line });
            line = Vec::new();
        } else if line.is_empty() {
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
        let Some(long) = self.long.take() else { return Ok(0) };
        let newline = memchr(b'\n', buffer);
        if newline.is_none() && !ended {
            self.long = Some(long);
            return Ok(buffer.len());
        }
        let end = self.position + newline.unwrap_or(buffer.len()) as u64;
        blocks.push(self.reject(long.start, end, long.kept, now)?);
        Ok(newline.map_or(buffer.len(), |newline| newline + 1))
    }

    /// A block of one line that is too long. The position is moved by the block of the lines after it, if there is one.
    fn reject(&self, start: u64, end: u64, kept: Vec<u8>, now: i64) -> Result<Block, SourceError> {
        let message = format!(
            "the line at bytes {start} to {end} of {} has {} bytes, more than max_event_bytes = {}; its first {} are kept",
            self.partition,
            end - start,
            self.most,
            kept.len(),
        );
        let columns = Columns { offsets: vec![0, kept.len() as i32], positions: vec![start] };
        let batch = columns.batch(Buffer::from_vec(kept), &self.partition, now)?;
        let rejects = Rejects { batch, code: "too-long", message, range: Some((start, end)) };
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
    /// Where lines that are too long were, and what is kept of them.
    long: Vec<(Range<usize>, Vec<u8>)>,
}

impl Cut {
    /// The first line ends at `end`.
    fn line(&mut self, end: usize, most: usize) {
        let line = self.from..end;
        self.from = end + 1;
        if line.len() > most {
            let kept = self.bytes[line.start..line.start + most].to_vec();
            return self.long.push((line, kept));
        }
        self.columns.positions.push(self.first + line.start as u64);
        let to = self.to;
        self.to += line.len();
        self.bytes.copy_within(line, to);
        self.columns.offsets.push(self.to as i32);
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
mod tests {
    use super::*;
    use arrow_array::Array;
    use proptest::prelude::*;

    fn lines(most: usize, position: u64) -> Lines {
        Lines::new(Partition::from("f@1"), position, most)
    }

    /// Feeds `input` in parts of these sizes, over and over.
    fn blocks(framer: &mut Lines, input: &[u8], sizes: &[usize]) -> Vec<Block> {
        let (mut rest, mut blocks) = (input, Vec::new());
        for size in sizes.iter().cycle() {
            let mut buffer = framer.buffer();
            assert!(buffer.capacity() > buffer.len());
            let (part, after) = rest.split_at(rest.len().min(*size).min(buffer.capacity() - buffer.len()));
            buffer.extend_from_slice(part);
            rest = after;
            if part.is_empty() {
                blocks.extend(framer.finish(buffer).unwrap());
                return blocks;
            }
            blocks.extend(framer.frame(buffer).unwrap());
        }
        blocks
    }

    /// Position and payload of each event, and of each reject.
    type Events = Vec<(u64, Vec<u8>)>;

    fn events(batch: &Batch) -> impl Iterator<Item = (u64, Vec<u8>)> {
        (0..batch.len()).map(|row| (batch.origin().positions()[row], batch.payload().value(row).to_vec()))
    }

    fn all(blocks: &[Block]) -> (Events, Events) {
        let rejects = blocks.iter().filter_map(|block| block.rejects.as_ref());
        (
            blocks.iter().flat_map(|block| events(&block.batch)).collect(),
            rejects.flat_map(|rejects| events(&rejects.batch)).collect(),
        )
    }

    /// What the lines of an input are, said in the simplest way.
    fn expected(input: &[u8], begin: u64, most: usize) -> (Events, Events) {
        let (mut events, mut rejects, mut position) = (Vec::new(), Vec::new(), begin);
        let mut parts: Vec<&[u8]> = input.split(|byte| *byte == b'\n').collect();
        if parts.last().is_some_and(|last| last.is_empty()) {
            parts.pop();
        }
        for line in parts {
            if line.len() > most {
                rejects.push((position, line[..most].to_vec()));
            } else {
                events.push((position, line.to_vec()));
            }
            position += line.len() as u64 + 1;
        }
        (events, rejects)
    }

    fn input() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![1 => Just(b'\n'), 1 => Just(b'\r'), 4 => any::<u8>()];
        proptest::collection::vec(byte, 0..300)
    }

    proptest! {
        #[test]
        fn any_bytes_at_any_read_sizes_are_split_at_newlines(
            input in input(),
            sizes in proptest::collection::vec(1..40usize, 1..6),
            most in prop_oneof![1..20usize, Just(1000)],
            begin in 0..1000u64,
        ) {
            let mut framer = lines(most, begin);
            let blocks = blocks(&mut framer, &input, &sizes);
            prop_assert_eq!(all(&blocks), expected(&input, begin, most));
            let end = begin + input.len() as u64;
            prop_assert_eq!(framer.position(), end);
            let last = blocks.last().map(|block| block.ends.clone());
            prop_assert_eq!(last, (!input.is_empty()).then(|| vec![(Partition::from("f@1"), end)]));
        }

        #[test]
        fn a_run_that_goes_on_from_any_end_reads_what_is_left(
            input in input(), sizes in proptest::collection::vec(1..40usize, 1..6), most in 1..50usize,
        ) {
            let whole = expected(&input, 0, most);
            let mut seen: (Events, Events) = Default::default();
            for block in blocks(&mut lines(most, 0), &input, &sizes) {
                let (events, rejects) = all(std::slice::from_ref(&block));
                seen.0.extend(events);
                seen.1.extend(rejects);
                for (_, end) in block.ends {
                    let rest = all(&blocks(&mut lines(most, end), &input[end as usize..], &[7]));
                    prop_assert_eq!([&seen.0[..], &rest.0].concat(), &whole.0[..]);
                    prop_assert_eq!([&seen.1[..], &rest.1].concat(), &whole.1[..]);
                }
            }
        }
    }

    #[test]
    fn a_line_far_beyond_the_bound_is_never_held_and_told_with_its_range() {
        let mut framer = lines(1000, 5);
        for _ in 0..100 {
            let mut buffer = framer.buffer();
            buffer.extend([b'x'; 10_000]);
            assert!(framer.frame(buffer).unwrap().is_empty());
            assert!(framer.held.capacity() <= 2 * READ);
        }
        assert_eq!(framer.long.as_ref().unwrap().kept.capacity(), 1000);
        assert_eq!(framer.position(), 5, "a restart reads the whole line again");
        let mut buffer = framer.buffer();
        buffer.extend(b"\nshort\n");
        let blocks = framer.frame(buffer).unwrap();
        let rejects = blocks[0].rejects.as_ref().unwrap();
        assert_eq!((rejects.code, rejects.batch.payload().value(0)), ("too-long", &[b'x'; 1000][..]));
        assert!(rejects.message.contains("bytes 5 to 1000005 of f@1 has 1000000 bytes"), "{}", rejects.message);
        assert_eq!(rejects.range, Some((5, 1_000_005)));
        assert!(blocks[0].ends.is_empty());
        assert_eq!(all(&blocks).0, [(1_000_006, b"short".to_vec())]);
    }

    #[test]
    fn what_was_read_in_full_becomes_the_column_and_a_small_read_is_copied_out() {
        let mut framer = lines(100, 0);
        let mut buffer = framer.buffer();
        buffer.resize(buffer.capacity(), b'\n');
        let full = framer.frame(buffer).unwrap();
        assert_eq!(full[0].batch.payload().len(), READ);
        let mut buffer = framer.buffer();
        buffer.extend(b"one line\n");
        let small = framer.frame(buffer).unwrap();
        assert!(small[0].batch.payload().values().capacity() < 1000);
        let mut buffer = framer.buffer();
        buffer.resize(buffer.capacity() - 1, b'x');
        buffer.push(b'\n');
        let moved = buffer.as_ptr();
        let whole = lines(READ, 0).frame(buffer).unwrap();
        assert_eq!(whole[0].batch.payload().values().as_ptr(), moved);
    }

    #[test]
    fn lines_are_moved_together_whatever_step_they_end_in() {
        let input: Vec<u8> =
            (0..5 * STEP).map(|at| if at % 997 == 0 || at % STEP == 1 { b'\n' } else { at as u8 | 128 }).collect();
        for most in [500, READ] {
            let mut framer = lines(most, 3);
            let blocks = blocks(&mut framer, &input, &[3 * STEP + 10]);
            assert_eq!(all(&blocks), expected(&input, 3, most));
        }
    }

    #[test]
    fn few_lines_do_not_keep_room_for_many() {
        let mut framer = lines(100, 0);
        let mut buffer = framer.buffer();
        buffer.resize(buffer.capacity(), b'\n');
        framer.frame(buffer).unwrap();
        let mut buffer = framer.buffer();
        buffer.extend(b"one line\n");
        let few = framer.frame(buffer).unwrap();
        assert!(few[0].batch.origin().positions().len() == 1 && framer.usual == 1);
        assert!(few[0].batch.payload().offsets().inner().inner().capacity() < 100);
    }

    #[test]
    fn a_long_line_in_small_reads_is_searched_once() {
        let mut framer = lines(1 << 20, 0);
        for part in 0..100 {
            let mut buffer = framer.buffer();
            assert_eq!(buffer.len(), part * 1000);
            buffer.extend([b'x'; 1000]);
            framer.frame(buffer).unwrap();
            assert_eq!(framer.searched, (part + 1) * 1000);
        }
        let mut buffer = framer.buffer();
        buffer.push(b'\n');
        assert_eq!(framer.frame(buffer).unwrap()[0].batch.payload().value(0).len(), 100_000);
    }
}
