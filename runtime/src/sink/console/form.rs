//! What an event looks like, in each format.

mod logfmt;
mod object;
mod pretty;

use arrow_array::Array;

use super::Format;
use crate::batch::Batch;

/// A format, and whether it has colours.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    pub(super) format: Format,
    pub(super) colour: bool,
}

impl Form {
    /// Adds one event of a batch, and a newline. The event must be there.
    pub(super) fn event(self, text: &mut Vec<u8>, batch: &Batch, row: usize) {
        match self.format {
            Format::Pretty => pretty::event(text, batch, row, self.colour),
            Format::Json => object::event(text, batch, row),
            Format::Raw => text.extend_from_slice(payload(batch, row).unwrap_or_default()),
            Format::Logfmt => logfmt::event(text, batch, row),
        }
        text.push(b'\n');
    }
}

/// `None` is a tombstone.
fn payload(batch: &Batch, row: usize) -> Option<&[u8]> {
    batch.payload().is_valid(row).then(|| batch.payload().value(row))
}

fn key(batch: &Batch, row: usize) -> Option<&[u8]> {
    batch.key().filter(|key| key.is_valid(row)).map(|key| key.value(row))
}

/// Names and values; a value may be null.
fn headers(batch: &Batch, row: usize) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
    batch.headers().into_iter().flat_map(move |headers| headers.of(row))
}

/// A time in RFC 3339, in UTC with milliseconds; the number itself where no calendar reaches that far.
fn time(text: &mut Vec<u8>, milliseconds: i64) {
    use chrono::SecondsFormat::Millis;
    let time = chrono::DateTime::from_timestamp_millis(milliseconds);
    let shown = time.map_or_else(|| milliseconds.to_string(), |time| time.to_rfc3339_opts(Millis, true));
    text.extend_from_slice(shown.as_bytes());
}

/// Bytes as text that can't move a terminal's cursor or change its colours: control characters are escaped, but for
/// newlines and tabs. What is not UTF-8 is replaced by question marks in diamonds.
fn plain(text: &mut Vec<u8>, bytes: &[u8]) {
    let ordinary = |byte: &u8| (b' '..0x7f).contains(byte) || *byte == b'\n' || *byte == b'\t';
    if bytes.iter().all(ordinary) {
        return text.extend_from_slice(bytes);
    }
    for character in String::from_utf8_lossy(bytes).chars() {
        match character {
            '\n' | '\t' => text.push(character as u8),
            _ if character.is_control() => text.extend_from_slice(format!("\\u{:04x}", character as u32).as_bytes()),
            _ => text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{BatchBuilder, Event, Partition};

    fn shown(format: Format, colour: bool, event: Event) -> String {
        let mut builder = BatchBuilder::new();
        builder.push(&Partition::from("f@1"), event);
        let mut text = Vec::new();
        Form { format, colour }.event(&mut text, &builder.finish().unwrap(), 0);
        String::from_utf8(text).unwrap()
    }

    fn with(payload: &[u8]) -> Event<'_> {
        Event { payload: Some(payload), timestamp: 1_000, position: 7, ..Event::default() }
    }

    const FULL: Event = Event {
        payload: Some(br#"{"z": 1.50, "a": {"b c": "x y", "d": [true, "e"]}}"#),
        key: Some(b"k"),
        timestamp: 1_000,
        headers: &[(b"h", b"v"), (b"\xff", b"w")],
        position: 7,
    };
    const TOMBSTONE: Event = Event { payload: None, key: Some(b"k"), timestamp: 0, headers: &[], position: 0 };

    #[test]
    fn pretty_keeps_order_and_numbers() {
        let expected = "# key=k h=v \u{fffd}=w\n{\n  \"z\": 1.50,\n  \"a\": {\n    \"b c\": \"x y\",\n    \"d\": [\n      true,\n      \"e\"\n    ]\n  }\n}\n";
        assert_eq!(shown(Format::Pretty, false, FULL), expected);
        assert_eq!(shown(Format::Pretty, false, with(b"{ \"a\":[ ],\"b\":{} }")), "{\n  \"a\": [],\n  \"b\": {}\n}\n");
        assert_eq!(shown(Format::Pretty, false, with(b"just text")), "just text\n");
        assert_eq!(shown(Format::Pretty, false, TOMBSTONE), "# key=k\n(tombstone)\n");
    }

    #[test]
    fn colours_come_only_when_asked_for_and_end_where_they_began() {
        let coloured = shown(Format::Pretty, true, FULL);
        assert!(coloured.contains("\u{1b}["));
        assert_eq!(anstyle_free(&coloured), shown(Format::Pretty, false, FULL));
        assert!(coloured.trim_end().ends_with('}'));
    }

    /// Without escape sequences.
    fn anstyle_free(text: &str) -> String {
        let mut parts = text.split('\u{1b}');
        let first = parts.next().unwrap().to_owned();
        parts.fold(first, |text, part| text + part.split_once('m').unwrap().1)
    }

    #[test]
    fn no_event_can_steer_a_terminal() {
        let tricks: [&[u8]; 3] = [b"\x1b[2Jgone", "\u{9b}31m".as_bytes(), "\"\u{9b}31m\u{7f}\"".as_bytes()];
        for payload in tricks {
            for format in [Format::Pretty, Format::Json, Format::Logfmt] {
                let text = shown(format, false, with(payload));
                assert!(!text.trim_end().contains(char::is_control), "{format:?}: {text:?}");
            }
        }
        assert_eq!(shown(Format::Raw, false, with(b"\x1b[2J\xff".as_slice().split_at(4).0)), "\x1b[2J\n");
    }

    #[test]
    fn an_object_a_line_has_all_of_an_event() {
        let object = |event| serde_json::from_str::<serde_json::Value>(&shown(Format::Json, false, event)).unwrap();
        let expected = serde_json::json!({
            "payload": {"z": 1.5, "a": {"b c": "x y", "d": [true, "e"]}}, "key": "k",
            "headers": [["h", "v"], [{"base64": "/w=="}, "w"]],
            "timestamp": "1970-01-01T00:00:01.000Z", "partition": "f@1", "position": 7,
        });
        assert_eq!(object(FULL), expected);
        assert!(shown(Format::Json, false, FULL).starts_with(r#"{"payload":{"z":1.50,"a":"#));
        assert_eq!(object(with(b"a\"b"))["payload"], "a\"b");
        assert_eq!(object(with(b"\xff"))["payload"], serde_json::json!({"base64": "/w=="}));
        assert_eq!(object(TOMBSTONE)["payload"], serde_json::Value::Null);
    }

    #[test]
    fn logfmt_names_the_way_to_each_field() {
        assert_eq!(
            shown(Format::Logfmt, false, FULL),
            "time=1970-01-01T00:00:01.000Z partition=f@1 position=7 key=k h=v \u{fffd}=w z=1.50 a.b_c=\"x y\" a.d.0=true a.d.1=e\n",
        );
        let rest = |payload: &[u8]| {
            let text = shown(Format::Logfmt, false, with(payload));
            text.strip_prefix("time=1970-01-01T00:00:01.000Z partition=f@1 position=7 ").unwrap().to_owned()
        };
        assert_eq!(rest(b"two words\n"), "payload=\"two words\\n\"\n");
        assert_eq!(rest(br#"{"a":"x\"y","b":"","c":{},"d":[[1],2]}"#), "a=\"x\\\"y\" b=\"\" c={} d.0.0=1 d.1=2\n");
        assert_eq!(rest(b"[1]"), "0=1\n");
        assert_eq!(rest(b"12"), "payload=12\n");
        assert!(shown(Format::Logfmt, false, TOMBSTONE).ends_with("key=k tombstone=true\n"));
    }
}
