//! Lines: an event ends at each newline.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use arrow_array::{BinaryArray, TimestampMillisecondArray, UInt64Array};
use arrow_buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use memchr::{memchr, memchr_iter};

use super::pool::Pool;
use crate::batch::{Batch, Origin, Partition};
use crate::envelope::{Block, Rejects};
use crate::source::SourceError;

/// Room for so many bytes is in a buffer. A block of lines then stays in a core's second-level cache from the read to
/// the sink's own buffer.
const READ: usize = 256 << 10;

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
    /// Where newlines are in a buffer. Kept for its capacity.
    newlines: Vec<u32>,
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
        Lines { partition, most, position, held, searched: 0, long: None, pool: Pool::new(READ), newlines }
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

    fn cut(&mut self, mut buffer: Vec<u8>, ended: bool) -> Result<Vec<Block>, SourceError> {
        let now = now();
        let mut blocks = Vec::new();
        let begin = self.pass_over(&buffer, ended, now, &mut blocks)?;
        self.newlines.clear();
        let unsearched = begin.max(self.searched);
        self.newlines.extend(memchr_iter(b'\n', &buffer[unsearched..]).map(|at| (unsearched + at) as u32));
        let after = self.newlines.last().map_or(begin, |last| *last as usize + 1);
        if ended && after < buffer.len() {
            self.newlines.push(buffer.len() as u32);
        }
        let first = self.position;
        let next = first + self.newlines.last().map_or(begin, |last| (*last as usize + 1).min(buffer.len())) as u64;
        let ends = vec![(self.partition.clone(), next)];
        if self.newlines.is_empty() {
            if let Some(reject) = blocks.last_mut() {
                reject.ends = ends;
            }
            buffer.drain(..begin);
            self.position = next;
            self.hold(buffer);
            return Ok(blocks);
        }
        let mut rest = Vec::new();
        if !ended && after < buffer.len() {
            rest = self.pool.buffer(buffer.len() - after);
            rest.extend_from_slice(&buffer[after..]);
        }
        let columns = self.compact(&mut buffer, begin, first, now, &mut blocks)?;
        let batch = columns.batch(self.pool.column(buffer), &self.partition, now)?;
        blocks.push(Block { batch, ends, rejects: None });
        self.position = next;
        self.hold(rest);
        Ok(blocks)
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

    /// Moves the lines together, so that they lie back to back.
    fn compact(
        &self,
        buffer: &mut Vec<u8>,
        begin: usize,
        first: u64,
        now: i64,
        blocks: &mut Vec<Block>,
    ) -> Result<Columns, SourceError> {
        let mut offsets = Vec::with_capacity(self.newlines.len() + 1);
        let mut positions = Vec::with_capacity(self.newlines.len());
        let (mut from, mut to) = (begin, 0);
        offsets.push(0);
        for newline in &self.newlines {
            let end = *newline as usize;
            let position = first + from as u64;
            if end - from > self.most {
                let kept = buffer[from..from + self.most].to_vec();
                blocks.push(self.reject(position, first + end as u64, kept, now)?);
            } else {
                buffer.copy_within(from..end, to);
                to += end - from;
                offsets.push(to as i32);
                positions.push(position);
            }
            from = end + 1;
        }
        buffer.truncate(to);
        Ok(Columns { offsets, positions })
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
        let rejects = Rejects { batch, code: "too-long", message };
        Ok(Block {
            batch: Columns::none().batch(Buffer::default(), &self.partition, now)?,
            ends: Vec::new(),
            rejects: Some(Box::new(rejects)),
        })
    }
}

/// Where each line lies in its buffer, and in its partition.
struct Columns {
    offsets: Vec<i32>,
    positions: Vec<u64>,
}

impl Columns {
    fn none() -> Columns {
        Columns { offsets: vec![0], positions: Vec::new() }
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
                let (events, rejects) = all(&[block.clone()]);
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
        assert!(blocks[0].ends.is_empty());
        assert_eq!(all(&blocks).0, [(1_000_006, b"short".to_vec())]);
    }

    #[test]
    fn what_was_read_in_full_becomes_the_column_and_a_small_read_is_copied_out() {
        let mut framer = lines(100, 0);
        let mut buffer = framer.buffer();
        buffer.resize(buffer.capacity(), b'\n');
        let bytes = buffer.as_ptr();
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
        assert_ne!(bytes, moved, "no block shares its buffer with another");
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
