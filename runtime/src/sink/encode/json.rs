//! `encoder = "json"`: one JSON object for each event, on one line.

use std::fmt::Write;
use std::sync::Arc;

use arrow_array::{Array, BinaryArray};
use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::text::Texts;
use super::{Contract, Encode, Encoded, Encoder};
use crate::batch::Batch;
use crate::sink::{Failure, WriteError};

/// What may be set about it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// What the object has, in this order.
    pub fields: Vec<Field>,
}

impl Default for Settings {
    fn default() -> Settings {
        use Field::*;
        Settings { fields: vec![Payload, Key, Headers, Timestamp, Partition, Position] }
    }
}

/// Something that an event has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// As JSON where it is JSON, else as text, or `{"base64": "…"}` where it is neither; null is a tombstone.
    Payload,
    /// As text or `{"base64": "…"}`. Left out where there is none.
    Key,
    /// A list of pairs of a name and a value, because names may come twice. Left out where there are none.
    Headers,
    /// RFC 3339 in UTC with milliseconds.
    Timestamp,
    /// The name of where it was read.
    Partition,
    /// A number.
    Position,
}

/// Makes one value of each event.
#[derive(Clone, Debug)]
pub struct Json {
    fields: Arc<[Field]>,
    contract: Contract,
}

impl Json {
    /// As it is configured.
    pub fn new(settings: &Settings) -> Json {
        Json { fields: settings.fields.as_slice().into(), contract: Contract::of_type("application/json") }
    }
}

#[async_trait]
impl Encoder for Json {
    fn contract(&self) -> &Contract {
        &self.contract
    }

    async fn open(&self) -> Result<Box<dyn Encode>, Failure> {
        Ok(Box::new(self.clone()))
    }
}

#[async_trait]
impl Encode for Json {
    async fn encode(&mut self, events: &Batch) -> Result<Encoded, WriteError> {
        let mut texts = Texts::new(events.len());
        for row in 0..events.len() {
            texts.push(row, |text| {
                object(text, &self.fields, events, row);
                Ok(())
            });
        }
        texts.finish(events)
    }
}

fn object(text: &mut String, fields: &[Field], events: &Batch, row: usize) {
    let mut separator = "{";
    let mut name = |text: &mut String, name: &str| {
        text.push_str(separator);
        text.push('"');
        text.push_str(name);
        text.push_str("\":");
        separator = ",";
    };
    for field in fields {
        match field {
            Field::Payload => {
                name(text, "payload");
                match value(events.payload(), row) {
                    None => text.push_str("null"),
                    Some(bytes) => payload(text, bytes),
                }
            }
            Field::Key => {
                if let Some(key) = events.key().and_then(|keys| value(keys, row)) {
                    name(text, "key");
                    bytes(text, key);
                }
            }
            Field::Headers => {
                if events.headers().is_some_and(|headers| headers.of(row).next().is_some()) {
                    name(text, "headers");
                    headers(text, events, row);
                }
            }
            Field::Timestamp => {
                name(text, "timestamp");
                timestamp(text, events.timestamps()[row]);
            }
            Field::Partition => {
                name(text, "partition");
                quoted(text, events.origin().partition_of(row).as_str());
            }
            Field::Position => {
                name(text, "position");
                // A string takes everything.
                write!(text, "{}", events.origin().positions()[row]).ok();
            }
        }
    }
    text.push_str(if separator == "{" { "{}" } else { "}" });
}

fn value(column: &BinaryArray, row: usize) -> Option<&[u8]> {
    column.is_valid(row).then(|| column.value(row))
}

/// JSON as it is, on one line: a newline between its tokens is white space, and in a string there can be none.
fn payload(text: &mut String, json: &[u8]) {
    let valid = std::str::from_utf8(json).ok().filter(|json| serde_json::from_str::<IgnoredAny>(json).is_ok());
    let Some(valid) = valid.map(str::trim) else { return bytes(text, json) };
    let mut lines = valid.split(['\n', '\r']);
    text.push_str(lines.next().unwrap_or_default());
    for line in lines {
        text.push(' ');
        text.push_str(line);
    }
}

fn headers(text: &mut String, events: &Batch, row: usize) {
    let mut separator = "[[";
    for (name, value) in events.headers().into_iter().flat_map(|headers| headers.of(row)) {
        text.push_str(separator);
        bytes(text, name);
        text.push(',');
        match value {
            Some(value) => bytes(text, value),
            None => text.push_str("null"),
        }
        separator = "],[";
    }
    text.push_str("]]");
}

/// A time; the number itself where no calendar reaches that far.
fn timestamp(text: &mut String, milliseconds: i64) {
    // A string takes everything.
    match DateTime::from_timestamp_millis(milliseconds) {
        Some(time) => write!(text, "\"{}\"", time.to_rfc3339_opts(SecondsFormat::Millis, true)).ok(),
        None => write!(text, "{milliseconds}").ok(),
    };
}

/// As text, or as `{"base64": "…"}` where they are none.
fn bytes(text: &mut String, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(valid) => quoted(text, valid),
        Err(_) => {
            text.push_str("{\"base64\":\"");
            STANDARD.encode_string(bytes, text);
            text.push_str("\"}");
        }
    }
}

/// A JSON string (RFC 8259, section 7).
fn quoted(text: &mut String, plain: &str) {
    text.push('"');
    let mut rest = plain;
    while let Some(at) = rest.bytes().position(|byte| byte < b' ' || byte == b'"' || byte == b'\\') {
        text.push_str(&rest[..at]);
        match rest.as_bytes()[at] {
            b'"' => text.push_str("\\\""),
            b'\\' => text.push_str("\\\\"),
            b'\n' => text.push_str("\\n"),
            b'\r' => text.push_str("\\r"),
            b'\t' => text.push_str("\\t"),
            // A string takes everything.
            control => drop(write!(text, "\\u{control:04x}")),
        }
        rest = &rest[at + 1..];
    }
    text.push_str(rest);
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{BatchBuilder, Event, Partition};
    use crate::sink::encode::tests::{encode, payloads};

    fn object_of(fields: Option<Vec<Field>>, event: Event) -> String {
        let mut builder = BatchBuilder::new();
        builder.push(&Partition::from("f@1"), event);
        let settings = fields.map_or_else(Settings::default, |fields| Settings { fields });
        let (values, _) = encode(&Json::new(&settings), &builder.finish().unwrap());
        payloads(&values).remove(0)
    }

    const FULL: Event = Event {
        payload: Some(b"{\"z\": 1.50,\n \"a\": \"x\"}\n"),
        key: Some(b"k\"\\\x01"),
        timestamp: 1_000,
        headers: &[(b"h", b"v"), (b"\xff", b"w")],
        position: 7,
    };

    #[test]
    fn an_object_has_all_of_an_event_on_one_line() {
        assert_eq!(
            object_of(None, FULL),
            r#"{"payload":{"z": 1.50,  "a": "x"},"key":"k\"\\\u0001","headers":[["h","v"],[{"base64":"/w=="},"w"]],"timestamp":"1970-01-01T00:00:01.000Z","partition":"f@1","position":7}"#
        );
    }

    #[test]
    fn what_is_no_json_is_text_or_base64_and_a_tombstone_is_null() {
        let only = |payload| object_of(Some(vec![Field::Payload]), Event { payload, ..Event::default() });
        assert_eq!(only(Some(b"a\"b\n")), r#"{"payload":"a\"b\n"}"#);
        assert_eq!(only(Some(b"\xff")), r#"{"payload":{"base64":"/w=="}}"#);
        assert_eq!(only(None), r#"{"payload":null}"#);
        assert_eq!(object_of(Some(vec![Field::Key, Field::Headers]), Event::default()), "{}");
    }

    #[test]
    fn what_is_written_is_json() {
        for text in ["", "\"", "\\", "ü\u{7f}\u{2028}", "\t\r\n\u{0}\u{1f}", "a\"b\\c"] {
            let mut written = String::new();
            quoted(&mut written, text);
            assert_eq!(serde_json::from_str::<String>(&written).unwrap(), text, "{written}");
        }
    }
}
