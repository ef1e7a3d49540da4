//! Cutting at newlines, whatever is read at once.

use super::*;
use arrow_array::Array;
use proptest::prelude::*;

fn lines(most: usize, position: u64) -> Lines {
    Lines::new(Partition::from("f@1"), position, most, Split::Lines(None))
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
