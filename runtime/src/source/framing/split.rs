//! Where an event ends, in a part of what is read.

use std::ops::Range;

use memchr::memmem::Finder;
use memchr::{memchr, memrchr};

use super::json::Checker;
use super::settings::{Length, Pattern};

/// A line is held against a pattern with no more than its first bytes.
const LOOK: usize = 4096;

/// Where an event ends.
#[derive(Debug)]
pub(super) enum Split {
    /// At each newline. With a checker, each line that is not blank has to be JSON.
    Lines(Option<Checker>),
    /// Before each line that a pattern matches.
    Before(Pattern),
    /// At each delimiter.
    Delimiter(Box<Finder<'static>>),
    /// Where its length says, which comes first.
    Length(Length),
}

/// An event that was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) payload: Range<usize>,
    /// Where the next one begins.
    pub(super) next: usize,
    /// Whether all of it is there.
    pub(super) whole: bool,
}

impl Split {
    /// The event that begins at `from`, if it ends in these bytes, or these are the last of all.
    pub(super) fn next(&self, bytes: &[u8], from: usize, ended: bool) -> Option<Found> {
        let len = bytes.len();
        let found = match self {
            _ if from >= len => return None,
            Split::Lines(_) => memchr(b'\n', &bytes[from..]).map(|at| (from..from + at, from + at + 1)),
            Split::Delimiter(finder) => {
                let found = finder.find(&bytes[from..]);
                found.map(|at| (from..from + at, from + at + finder.needle().len()))
            }
            Split::Before(pattern) => {
                let first = memchr(b'\n', &bytes[from..]).map(|at| from + at + 1);
                let start = first.and_then(|first| next_start(pattern, bytes, first, ended));
                start.map(|start| (from..start - 1, start))
            }
            Split::Length(length) => {
                let payload = length.read(&bytes[from..]).and_then(|payload| {
                    let start = from + length.bytes();
                    Some(start..start.checked_add(usize::try_from(payload).ok()?)?)
                });
                let whole = payload.filter(|payload| payload.end <= len);
                if whole.is_none() && ended {
                    let start = len.min(from + length.bytes());
                    return Some(Found { payload: start..len, next: len, whole: false });
                }
                whole.map(|payload| (payload.clone(), payload.end))
            }
        };
        let found = found.or_else(|| {
            let end = match self {
                // The newline before what would begin the next one is no part of this one.
                Split::Before(_) if len > from && bytes[len - 1] == b'\n' => len - 1,
                _ => len,
            };
            ended.then_some((from..end, len))
        });
        found.map(|(payload, next)| Found { payload, next, whole: true })
    }

    /// Where an event ends that is passed over, and where the next one begins. Of its own there are `left` more bytes,
    /// where its length came first; and the first byte may be `within` a line.
    pub(super) fn end(&self, bytes: &[u8], left: u64, within: bool) -> Option<(usize, usize)> {
        match self {
            Split::Lines(_) => memchr(b'\n', bytes).map(|at| (at, at + 1)),
            Split::Delimiter(finder) => finder.find(bytes).map(|at| (at, at + finder.needle().len())),
            Split::Length(_) => usize::try_from(left).ok().filter(|left| *left <= bytes.len()).map(|left| (left, left)),
            Split::Before(pattern) => {
                let first = if within { memchr(b'\n', bytes)? + 1 } else { 0 };
                let start = next_start(pattern, bytes, first, false)?;
                Some((start.saturating_sub(1), start))
            }
        }
    }

    /// How much of this belongs to an event that is passed over, where it has not ended, and whether what comes then is
    /// within a line. What is left may be the beginning of its end.
    pub(super) fn passed(&self, bytes: &[u8], within: bool) -> (usize, bool) {
        let len = bytes.len();
        match self {
            Split::Lines(_) | Split::Length(_) => (len, true),
            Split::Delimiter(finder) => (len.saturating_sub(finder.needle().len() - 1), true),
            Split::Before(_) => match memrchr(b'\n', bytes).map(|at| at + 1) {
                Some(line) if len - line < LOOK => (line, false),
                None if !within && len < LOOK => (0, false),
                _ => (len, true),
            },
        }
    }

    /// So many bytes after an event may not tell yet that it has ended, or come before it.
    pub(super) fn undecided(&self) -> usize {
        match self {
            Split::Lines(_) => 0,
            Split::Before(_) => LOOK,
            Split::Delimiter(finder) => finder.needle().len() - 1,
            Split::Length(length) => length.bytes(),
        }
    }

    /// So many bytes come before an event.
    pub(super) fn header(&self) -> usize {
        if let Split::Length(length) = self { length.bytes() } else { 0 }
    }

    /// How long the event is that begins here, where that comes first.
    pub(super) fn length(&self, bytes: &[u8]) -> Option<u64> {
        if let Split::Length(length) = self { length.read(bytes) } else { None }
    }

    /// What an event is called.
    pub(super) fn noun(&self) -> &'static str {
        if let Split::Lines(_) = self { "line" } else { "event" }
    }
}

/// The first line from `line` on that a pattern matches, as far as there is enough of it to tell.
fn next_start(pattern: &Pattern, bytes: &[u8], mut line: usize, ended: bool) -> Option<usize> {
    while line < bytes.len() {
        let rest = &bytes[line..];
        let newline = memchr(b'\n', rest);
        let text = &rest[..newline.unwrap_or(rest.len()).min(LOOK)];
        if newline.is_none() && !ended && text.len() < LOOK {
            return None;
        }
        if pattern.matches(text) {
            return Some(line);
        }
        line += newline? + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Partition;
    use crate::source::framing::{Bytes, Framing, Lines, Settings};
    use proptest::prelude::*;

    type Events = Vec<(u64, Vec<u8>)>;
    type Rejects = Vec<(u64, Vec<u8>, &'static str)>;

    fn framer(framing: &Framing, most: u64, position: u64) -> Lines {
        Settings { framing: framing.clone(), max_event_bytes: most }.framer(Partition::from("p"), position)
    }

    /// Events and rejects with their codes, where the input comes in parts of these sizes; and where reading goes on after
    /// each part that ended one.
    fn cut(framer: &mut Lines, input: &[u8], sizes: &[usize]) -> (Events, Rejects, Vec<u64>) {
        let (mut events, mut rejects, mut ends) = (Vec::new(), Vec::new(), Vec::new());
        let (mut rest, mut sizes) = (input, sizes.iter().cycle());
        loop {
            let (part, after) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
            let mut buffer = framer.buffer();
            buffer.extend_from_slice(part);
            let blocks = if part.is_empty() { framer.finish(buffer) } else { framer.frame(buffer) };
            for block in blocks.unwrap() {
                let all = |batch: &crate::batch::Batch| -> Events {
                    let event = |row| (batch.origin().positions()[row], batch.payload().value(row).to_vec());
                    (0..batch.len()).map(event).collect()
                };
                events.extend(all(&block.batch));
                let wrong = block.rejects.iter().flat_map(|wrong| {
                    all(&wrong.batch).into_iter().map(|(position, payload)| (position, payload, wrong.code))
                });
                rejects.extend(wrong);
                ends.extend(block.ends.into_iter().map(|(_, end)| end));
            }
            if part.is_empty() {
                return (events, rejects, ends);
            }
            rest = after;
        }
    }

    fn texts(events: &Events) -> Vec<&str> {
        events.iter().map(|(_, text)| std::str::from_utf8(text).unwrap()).collect()
    }

    fn framings() -> impl Strategy<Value = Framing> {
        let pattern = Framing::Multiline { start: Pattern::new("^[ab]").unwrap(), timeout: None };
        let length = |length| Framing::Bytes(Bytes::Length(length));
        let delimiter = |text: &str| Framing::Bytes(Bytes::Delimiter(text.to_owned()));
        prop::sample::select(vec![
            Framing::Lines,
            pattern,
            delimiter("b"),
            delimiter("abab"),
            length(Length::U16be),
            length(Length::U32le),
        ])
    }

    /// Text, or what begins with lengths that are mostly small.
    fn input() -> impl Strategy<Value = Vec<u8>> {
        let text = proptest::collection::vec(prop::sample::select(vec![b'a', b'b', b'c', b'\n']), 0..200);
        let event = |bytes: usize, little: bool| {
            proptest::collection::vec(any::<u8>(), 0..30).prop_map(move |payload| {
                let mut length = (payload.len() as u32).to_be_bytes()[4 - bytes..].to_vec();
                if little {
                    length.reverse();
                }
                [length, payload].concat()
            })
        };
        prop_oneof![
            2 => text,
            1 => proptest::collection::vec(event(2, false), 0..12).prop_map(|events| events.concat()),
            1 => proptest::collection::vec(event(4, true), 0..12).prop_map(|events| events.concat()),
        ]
    }

    proptest! {
        #[test]
        fn what_is_read_at_once_makes_no_difference_and_a_run_goes_on_from_any_end(
            framing in framings(), input in input(), sizes in proptest::collection::vec(1..40usize, 1..6),
            most in prop_oneof![1..20u64, Just(1000)],
        ) {
            let whole = cut(&mut framer(&framing, most, 0), &input, &[input.len().max(1)]);
            let parts = cut(&mut framer(&framing, most, 0), &input, &sizes);
            prop_assert_eq!((&parts.0, &parts.1), (&whole.0, &whole.1));
            for end in parts.2 {
                let rest = cut(&mut framer(&framing, most, end), &input[end as usize..], &[7]);
                let later: Events = whole.0.iter().filter(|(position, _)| *position >= end).cloned().collect();
                prop_assert_eq!(rest.0, later);
            }
        }
    }

    #[test]
    fn an_event_of_several_lines_begins_where_the_pattern_matches() {
        let framing = Framing::Multiline { start: Pattern::new(r"^\d").unwrap(), timeout: None };
        let input = b"  lost its beginning\n1 error\n  at one\n  at two\n2 fine\n3 last\n  of all\n";
        for sizes in [1, 3, 100] {
            let (events, rejects, ends) = cut(&mut framer(&framing, 1000, 0), input, &[sizes]);
            let expected = ["  lost its beginning", "1 error\n  at one\n  at two", "2 fine", "3 last\n  of all"];
            assert_eq!((texts(&events), rejects.len()), (expected.to_vec(), 0));
            assert_eq!((events[1].0, ends.last()), (21, Some(&(input.len() as u64))));
        }
    }

    #[test]
    fn an_event_of_too_many_lines_is_passed_over_to_the_next_beginning() {
        let framing = Framing::Multiline { start: Pattern::new("^>").unwrap(), timeout: None };
        let long: String = (0..5_000).map(|number| format!("  line {number}\n")).collect();
        let input = format!(">one\n{long}{}\n>two\n", "x".repeat(3 * LOOK));
        let end = input.len() - ">two\n".len();
        for sizes in [11, 1_000, 1 << 20] {
            let (events, rejects, _) = cut(&mut framer(&framing, 100, 0), input.as_bytes(), &[sizes]);
            assert_eq!((texts(&events), events[0].0), (vec![">two"], end as u64));
            assert_eq!(rejects, [(0, input.as_bytes()[..100].to_vec(), "too-long")]);
        }
    }

    #[test]
    fn a_line_that_is_no_json_is_rejected_and_a_blank_one_is_none() {
        let input = b"{\"a\":1}\n\n  [1, 2] \r\n{\"a\":\n\"\xff\"\n3";
        let (events, rejects, _) = cut(&mut framer(&Framing::Ndjson, 1000, 0), input, &[4]);
        assert_eq!(texts(&events), ["{\"a\":1}", "  [1, 2] \r", "3"]);
        assert_eq!(rejects, [(20, b"{\"a\":".to_vec(), "not-json"), (26, b"\"\xff\"".to_vec(), "not-json")]);
    }

    #[test]
    fn a_length_that_is_too_large_is_passed_over_and_one_that_is_cut_short_told() {
        let framing = Framing::Bytes(Bytes::Length(Length::U32be));
        let mut input = Vec::new();
        for length in [3, 50_000, 2] {
            input.extend((length as u32).to_be_bytes());
            input.extend(vec![b'x'; length]);
        }
        input.extend([0, 0, 0, 9, b'y']);
        for size in [1, 997, 1 << 20] {
            let (events, rejects, ends) = cut(&mut framer(&framing, 10, 0), &input, &[size]);
            assert_eq!(events, [(0, b"xxx".to_vec()), (50_011, b"xx".to_vec())]);
            assert_eq!(rejects, [(7, vec![b'x'; 10], "too-long"), (50_017, b"y".to_vec(), "cut-short")]);
            assert_eq!(ends.last(), Some(&(input.len() as u64)));
        }
    }
}
