//! Events as lines.

use arrow_array::Array;
use memchr::memchr;
use serde::de::IgnoredAny;

use crate::batch::Batch;

/// A payload can't be a line: it has a newline, and is no JSON in which that is white space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotALine;

/// The payloads of a batch, as lines.
#[derive(Debug)]
pub(super) struct Lines<'a> {
    batch: &'a Batch,
    /// Every event has a payload, and no payload has a newline.
    plain: bool,
}

impl<'a> Lines<'a> {
    pub(super) fn new(batch: &'a Batch) -> Lines<'a> {
        let payload = batch.payload();
        let offsets = payload.value_offsets();
        let bytes = &payload.value_data()[offsets[0] as usize..offsets[batch.len()] as usize];
        Lines { batch, plain: payload.null_count() == 0 && memchr(b'\n', bytes).is_none() }
    }

    /// Adds the lines of all events, if none needs attention.
    pub(super) fn all(&self, text: &mut Vec<u8>) -> bool {
        if !self.plain {
            return false;
        }
        let payload = self.batch.payload();
        let (offsets, bytes) = (payload.value_offsets(), payload.value_data());
        text.reserve((offsets[self.batch.len()] - offsets[0]) as usize + self.batch.len());
        for pair in offsets.windows(2) {
            text.extend_from_slice(&bytes[pair[0] as usize..pair[1] as usize]);
            text.push(b'\n');
        }
        true
    }

    /// Adds the line of one event. A tombstone has none. A newline in JSON is white space, and becomes a space.
    pub(super) fn one(&self, text: &mut Vec<u8>, row: usize) -> Result<(), NotALine> {
        let payload = self.batch.payload();
        if payload.is_null(row) {
            return Ok(());
        }
        let (start, bytes) = (text.len(), payload.value(row));
        text.extend_from_slice(bytes);
        if !self.plain && memchr(b'\n', bytes).is_some() {
            if serde_json::from_slice::<IgnoredAny>(bytes).is_err() {
                text.truncate(start);
                return Err(NotALine);
            }
            text[start..].iter_mut().filter(|byte| **byte == b'\n').for_each(|byte| *byte = b' ');
        }
        text.push(b'\n');
        Ok(())
    }
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
        assert!(Lines::new(&batch).all(&mut text));
        assert_eq!(text, b"bb\n\n");
    }

    #[test]
    fn no_event_is_more_than_one_line() {
        let batch = batch(&[Some("{\n\"a\": 1\n}"), None, Some("two\nlines"), Some("one")]);
        let (lines, mut text) = (Lines::new(&batch), Vec::new());
        assert!(!lines.all(&mut text));
        let results: Vec<_> = (0..4).map(|row| lines.one(&mut text, row)).collect();
        assert_eq!(results, [Ok(()), Ok(()), Err(NotALine), Ok(())]);
        assert_eq!(text, b"{ \"a\": 1 }\none\n");
    }
}
