//! A body becomes events: their payloads are moved together in the body's own bytes, which become the column.

use std::ops::Range;

use memchr::{memchr, memchr_iter};

use super::settings::Format;
use crate::source::framing::json::{Checker, Malformed};

/// The payloads of events, back to back.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) bytes: Vec<u8>,
    /// Where each begins, and where the last one ends.
    pub(super) offsets: Vec<i32>,
}

/// What a body holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Framed {
    pub(super) events: Column,
    /// The beginnings of events that are too long.
    pub(super) long: Column,
    /// What is to be JSON and is not.
    pub(super) malformed: Column,
    /// Which line or element the first of the two is, counted from 1, and where in it the mistake is if it is one.
    pub(super) first_invalid: Option<(usize, Option<Malformed>)>,
}

/// The body as a whole is not what it should be.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unframed {
    /// It is no JSON.
    #[error("the body is not JSON: byte {0} can't be there")]
    Json(usize),
    /// It is no array.
    #[error("the body is not a JSON array")]
    Array,
    /// It is to be JSON.
    #[error("the body is not UTF-8: byte {0} can't be there")]
    Utf8(usize),
}

impl Framed {
    /// How many events are rejected.
    pub(super) fn rejected(&self) -> usize {
        self.long.len() + self.malformed.len()
    }
}

impl Default for Column {
    fn default() -> Column {
        Column { bytes: Vec::new(), offsets: vec![0] }
    }
}

impl Column {
    /// How many payloads there are.
    pub(super) fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Adds a payload.
    fn push(&mut self, payload: &[u8]) {
        self.bytes.extend_from_slice(payload);
        self.offsets.push(self.bytes.len() as i32);
    }

    /// Adds all payloads of another.
    pub(super) fn append(&mut self, other: &Column) {
        let before = self.bytes.len() as i32;
        self.bytes.extend_from_slice(&other.bytes);
        self.offsets.extend(other.offsets.iter().skip(1).map(|offset| before + offset));
    }
}

/// How many events a body has at most.
pub(super) fn at_most(body: &[u8], format: Format) -> usize {
    match format {
        Format::Ndjson | Format::Lines => memchr_iter(b'\n', body).count() + 1,
        Format::Array | Format::Json => memchr_iter(b',', body).count() + 1,
        Format::Raw => 1,
    }
}

/// Cuts a body into events of at most `most` bytes. A body without any byte has no events.
///
/// White space around a JSON value is no part of it; lines that have nothing else are passed over.
pub(super) fn frame(body: Vec<u8>, format: Format, most: usize) -> Result<Framed, Unframed> {
    let mut found = Found { most, spans: Vec::new(), framed: Framed::default(), seen: 0 };
    match format {
        Format::Ndjson => found.json_lines(&body),
        Format::Lines => found.lines(&body),
        Format::Array => found.json(&body, true)?,
        Format::Json => found.json(&body, false)?,
        Format::Raw if body.is_empty() => {}
        Format::Raw => found.event(&body, 0..body.len()),
    }
    found.framed.events = pack(body, &found.spans);
    Ok(found.framed)
}

struct Found {
    most: usize,
    /// Where the events are.
    spans: Vec<Range<u32>>,
    framed: Framed,
    seen: usize,
}

impl Found {
    fn event(&mut self, body: &[u8], span: Range<usize>) {
        self.seen += 1;
        if span.len() > self.most {
            self.framed.first_invalid.get_or_insert((self.seen, None));
            return self.framed.long.push(&body[span.start..span.start + self.most]);
        }
        self.spans.push(span.start as u32..span.end as u32);
    }

    fn lines(&mut self, body: &[u8]) {
        each_line(body, |line| self.event(body, line));
    }

    fn json_lines(&mut self, body: &[u8]) {
        let (mut checker, is_text) = (Checker::default(), std::str::from_utf8(body).is_ok());
        each_line(body, |line| {
            let bytes = &body[line.clone()];
            if bytes.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r')) {
                self.seen += 1;
                return;
            }
            let valid = if is_text { Ok(()) } else { text(bytes).map_err(|at| Malformed { at }) };
            match valid.and_then(|()| checker.only_value(bytes)) {
                Ok(value) => self.event(body, line.start + value.start..line.start + value.end),
                // What is too long is told so, whatever is in it.
                Err(_) if bytes.len() > self.most => self.event(body, line),
                Err(malformed) => {
                    self.seen += 1;
                    self.framed.first_invalid.get_or_insert((self.seen, Some(malformed)));
                    self.framed.malformed.push(bytes);
                }
            }
        });
    }

    fn json(&mut self, body: &[u8], only_arrays: bool) -> Result<(), Unframed> {
        let Some(first) = body.iter().find(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n')) else {
            return if only_arrays && !body.is_empty() { Err(Unframed::Array) } else { Ok(()) };
        };
        text(body).map_err(Unframed::Utf8)?;
        let malformed = |malformed: Malformed| Unframed::Json(malformed.at);
        let mut checker = Checker::default();
        match first {
            b'[' => checker.elements(body, |element| self.event(body, element)).map_err(malformed),
            _ if only_arrays => Err(Unframed::Array),
            _ => {
                let value = checker.only_value(body).map_err(malformed)?;
                self.event(body, value);
                Ok(())
            }
        }
    }
}

/// Where it is not UTF-8.
fn text(bytes: &[u8]) -> Result<(), usize> {
    std::str::from_utf8(bytes).map(drop).map_err(|error| error.valid_up_to())
}

/// The lines of a body, the last of which may lack its newline.
fn each_line(body: &[u8], mut line: impl FnMut(Range<usize>)) {
    let mut start = 0;
    while start < body.len() {
        let end = memchr(b'\n', &body[start..]).map_or(body.len(), |length| start + length);
        line(start..end);
        start = end + 1;
    }
}

/// Moves these parts of a body together. They ascend.
fn pack(mut body: Vec<u8>, spans: &[Range<u32>]) -> Column {
    let mut offsets = Vec::with_capacity(spans.len() + 1);
    offsets.push(0);
    let mut to = 0;
    for span in spans {
        let span = span.start as usize..span.end as usize;
        let length = span.len();
        if span.start != to {
            body.copy_within(span, to);
        }
        to += length;
        offsets.push(to as i32);
    }
    body.truncate(to);
    Column { bytes: body, offsets }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn payloads(column: &Column) -> Vec<&[u8]> {
        column.offsets.windows(2).map(|pair| &column.bytes[pair[0] as usize..pair[1] as usize]).collect()
    }

    #[track_caller]
    fn framed(body: &str, format: Format, events: &[&str], long: &[&str], malformed: &[&str]) {
        let framed = frame(body.into(), format, 10).unwrap();
        let texts = |column| payloads(column).into_iter().map(|text| str::from_utf8(text).unwrap()).collect::<Vec<_>>();
        assert_eq!(texts(&framed.events), events, "{body}");
        assert_eq!(texts(&framed.long), long, "{body}");
        assert_eq!(texts(&framed.malformed), malformed, "{body}");
    }

    #[test]
    fn each_format_has_its_events() {
        framed("", Format::Ndjson, &[], &[], &[]);
        framed("{\"a\":1}\n\n \r\n[2]", Format::Ndjson, &["{\"a\":1}", "[2]"], &[], &[]);
        framed(" 1 \r\n{\n2\nno no no no no\n", Format::Ndjson, &["1", "2"], &["no no no n"], &["{"]);
        framed("[1,2,3,4,5,6]\n7", Format::Ndjson, &["7"], &["[1,2,3,4,5"], &[]);
        framed("a\n\nb\r\nlonger than ten", Format::Lines, &["a", "", "b\r"], &["longer tha"], &[]);
        framed("a\n", Format::Raw, &["a\n"], &[], &[]);
        framed("", Format::Raw, &[], &[], &[]);
        framed("longer than ten", Format::Raw, &[], &["longer tha"], &[]);
        framed(" [ 1 , {\"a\": [2]},\n\"longer than\"] ", Format::Array, &["1", "{\"a\": [2]}"], &["\"longer th"], &[]);
        framed("[]", Format::Array, &[], &[], &[]);
        framed("\n{\"a\":\n1}\n", Format::Json, &["{\"a\":\n1}"], &[], &[]);
        framed("[1,[2]]", Format::Json, &["1", "[2]"], &[], &[]);
        framed(" ", Format::Json, &[], &[], &[]);
    }

    #[test]
    fn a_body_that_is_wrong_as_a_whole_has_no_events() {
        for (body, format, error) in [
            (&b"[1,2"[..], Format::Array, Unframed::Json(4)),
            (b"{}", Format::Array, Unframed::Array),
            (b" ", Format::Array, Unframed::Array),
            (b"{} {}", Format::Json, Unframed::Json(3)),
            (b"[1]]", Format::Json, Unframed::Json(3)),
            (b"[\"\xff\"]", Format::Array, Unframed::Utf8(2)),
        ] {
            assert_eq!(frame(body.into(), format, 10), Err(error), "{body:?}");
        }
    }

    #[test]
    fn what_is_not_text_spoils_its_own_line_alone() {
        let framed = frame(b"1\n\"\xff\"\n2".to_vec(), Format::Ndjson, 10).unwrap();
        assert_eq!(payloads(&framed.events), [b"1", b"2"]);
        assert_eq!(payloads(&framed.malformed), [b"\"\xff\""]);
        assert_eq!(framed.first_invalid, Some((2, Some(Malformed { at: 1 }))));
    }

    #[test]
    fn the_body_itself_becomes_the_column() {
        let body = b"{\"a\":1}\n{\"b\":2}\n".to_vec();
        let at = body.as_ptr();
        assert_eq!(frame(body, Format::Ndjson, 10).unwrap().events.bytes.as_ptr(), at);
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken_apart_into_what_they_are(
            body in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b'1'), Just(b' '), any::<u8>()], 0..200),
            most in 1..20usize,
        ) {
            let lines: Vec<&[u8]> = body.split(|byte| *byte == b'\n').collect();
            let lines = if body.ends_with(b"\n") || body.is_empty() { &lines[..lines.len() - 1] } else { &lines };
            let framed = frame(body.clone(), Format::Lines, most).unwrap();
            let short: Vec<&[u8]> = lines.iter().copied().filter(|line| line.len() <= most).collect();
            let long: Vec<&[u8]> = lines.iter().filter(|line| line.len() > most).map(|line| &line[..most]).collect();
            prop_assert_eq!((payloads(&framed.events), payloads(&framed.long)), (short, long));
            let framed = frame(body.clone(), Format::Ndjson, most).unwrap();
            let blank = lines.iter().filter(|line| line.iter().all(|byte| b" \t\r".contains(byte))).count();
            let all = framed.events.len() + framed.long.len() + framed.malformed.len();
            prop_assert_eq!(all + blank, lines.len());
            prop_assert!(payloads(&framed.events).iter().all(|event| serde_json::from_slice::<serde_json::Value>(event).is_ok()));
        }
    }
}
