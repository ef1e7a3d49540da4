//! Events as lines.

use std::ops::Range;

use arrow_array::Array;
use memchr::memchr;
use serde::de::IgnoredAny;

use crate::batch::Batch;

/// So many lines are searched for newlines before they are copied: then they are still in the processor's nearest cache.
const STEP: usize = 64;

/// A payload can't be a line: it has a newline, and is no JSON in which that is white space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotALine;

/// Adds the payloads of a batch as lines. Where one needs attention, nothing is added and the answer is false.
pub(super) fn all(batch: &Batch, text: &mut Vec<u8>) -> bool {
    let payload = batch.payload();
    if payload.null_count() > 0 {
        return false;
    }
    let (offsets, bytes, before) = (payload.value_offsets(), payload.value_data(), text.len());
    let lines = |rows: Range<usize>| offsets[rows.start] as usize..offsets[rows.end] as usize;
    text.reserve(lines(0..batch.len()).len() + batch.len());
    for start in (0..batch.len()).step_by(STEP) {
        let rows = start..batch.len().min(start + STEP);
        if memchr(b'\n', &bytes[lines(rows.clone())]).is_some() {
            text.truncate(before);
            return false;
        }
        for line in offsets[rows.start..=rows.end].windows(2) {
            text.extend_from_slice(&bytes[line[0] as usize..line[1] as usize]);
            text.push(b'\n');
        }
    }
    true
}

/// Adds the line of one event. A tombstone has none. A newline in JSON is white space, and becomes a space.
pub(super) fn one(batch: &Batch, row: usize, text: &mut Vec<u8>) -> Result<(), NotALine> {
    let payload = batch.payload();
    if payload.is_null(row) {
        return Ok(());
    }
    let (start, bytes) = (text.len(), payload.value(row));
    text.extend_from_slice(bytes);
    if memchr(b'\n', bytes).is_some() {
        if serde_json::from_slice::<IgnoredAny>(bytes).is_err() {
            text.truncate(start);
            return Err(NotALine);
        }
        text[start..].iter_mut().filter(|byte| **byte == b'\n').for_each(|byte| *byte = b' ');
    }
    text.push(b'\n');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{BatchBuilder, Event, Partition};

    fn batch(payloads: &[Option<&str>]) -> Batch {
        let mut builder = BatchBuilder::new();
        for payload in payloads {
            let payload = payload.map(str::as_bytes);
            builder.push(&Partition::from("p"), Event { payload, ..Event::default() });
        }
        builder.finish().unwrap()
    }

    #[test]
    fn a_slice_is_written_without_what_is_around_it() {
        let (batch, mut text) = (batch(&[Some("a"), Some("bb"), Some(""), Some("c\n")]).slice(1..3), Vec::new());
        assert!(all(&batch, &mut text));
        assert_eq!(text, b"bb\n\n");
    }

    #[test]
    fn no_event_is_more_than_one_line() {
        let batch = batch(&[Some("{\n\"a\": 1\n}"), None, Some("two\nlines"), Some("one")]);
        let mut text = Vec::new();
        assert!(!all(&batch, &mut text) && text.is_empty());
        let results: Vec<_> = (0..4).map(|row| one(&batch, row, &mut text)).collect();
        assert_eq!(results, [Ok(()), Ok(()), Err(NotALine), Ok(())]);
        assert_eq!(text, b"{ \"a\": 1 }\none\n");
    }

    #[test]
    fn a_newline_is_found_wherever_it_is() {
        let lines: Vec<String> = (0..300).map(|line| "x".repeat(line * 7)).collect();
        let payloads: Vec<Option<&str>> = lines.iter().map(|line| Some(line.as_str())).collect();
        let mut text = Vec::new();
        assert!(all(&batch(&payloads), &mut text));
        assert_eq!(String::from_utf8(text).unwrap(), lines.join("\n") + "\n");
        for at in [1, 50, 150, 299] {
            let mut payloads = payloads.clone();
            payloads[at] = Some("\n");
            let mut text = b"before\n".to_vec();
            assert!(!all(&batch(&payloads), &mut text), "{at}");
            assert_eq!(text, b"before\n", "{at}");
        }
    }
}
