//! What a user may set about framing.

use std::fmt;
use std::time::Duration;

use regex::bytes::Regex;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, IntoDeserializer, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::units;

/// The settings of every source that reads a stream of bytes, in the same table as its own.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where an event ends.
    pub framing: Framing,
    /// An event with more bytes than this goes to the dead letters. At least 1, at most [`Settings::MOST`].
    #[serde(with = "bound")]
    pub max_event_bytes: u64,
}

impl Settings {
    /// The largest `max_event_bytes`: 1 GiB, so that an event and what is read with it fit one column.
    pub const MOST: u64 = 1 << 30;

    /// After how long without more an event of a file that is followed has ended, if at all.
    pub(in crate::source) fn timeout(&self) -> Option<Duration> {
        if let Framing::Multiline { timeout, .. } = self.framing { timeout } else { None }
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { framing: Framing::Lines, max_event_bytes: 1 << 20 }
    }
}

/// Where an event ends.
#[derive(Clone, Debug, PartialEq)]
pub enum Framing {
    /// At each newline, which is not part of the event. Every other byte is: a carriage return too.
    Lines,
    /// The same, where each line has to be JSON (RFC 8259) and those that are blank are no events.
    Ndjson,
    /// Before each line that a pattern matches. The newline before it is not part of an event, those within are.
    Multiline {
        /// What the line matches with which an event begins.
        start: Pattern,
        /// In a file that is followed, an event has ended when nothing was added for so long, if its last line has.
        timeout: Option<Duration>,
    },
    /// Where neither lines nor text are meant.
    Bytes(Bytes),
}

/// How bytes tell where an event ends.
#[derive(Clone, Debug, PartialEq)]
pub enum Bytes {
    /// At each delimiter, which is not part of the event, and not empty.
    Delimiter(String),
    /// By its length, which comes before it.
    Length(Length),
}

/// How the length of an event is written before it: its own bytes don't count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Length {
    /// In one byte.
    U8,
    /// In two, the most significant first.
    U16be,
    /// In two, the least significant first.
    U16le,
    /// In four, the most significant first.
    U32be,
    /// In four, the least significant first.
    U32le,
}

impl Length {
    /// How many bytes it has itself.
    pub(super) fn bytes(self) -> usize {
        match self {
            Length::U8 => 1,
            Length::U16be | Length::U16le => 2,
            Length::U32be | Length::U32le => 4,
        }
    }

    /// The length that is written at the beginning, if all of that is there.
    pub(super) fn read(self, bytes: &[u8]) -> Option<u64> {
        Some(match self {
            Length::U8 => u64::from(*bytes.first()?),
            Length::U16be => u16::from_be_bytes(*bytes.first_chunk()?).into(),
            Length::U16le => u16::from_le_bytes(*bytes.first_chunk()?).into(),
            Length::U32be => u32::from_be_bytes(*bytes.first_chunk()?).into(),
            Length::U32le => u32::from_le_bytes(*bytes.first_chunk()?).into(),
        })
    }
}

/// A regular expression that lines are held against. They may be any bytes.
#[derive(Clone, Debug)]
pub struct Pattern(Regex);

impl Pattern {
    /// Compiles it. The error says what is wrong with it.
    pub fn new(text: &str) -> Result<Pattern, String> {
        let compiled = Regex::new(text);
        compiled.map(Pattern).map_err(|error| format!("`{text}` is not a regular expression: {error}"))
    }

    pub(super) fn matches(&self, line: &[u8]) -> bool {
        self.0.is_match(line)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

/// A framing as a table, with what some of them need.
#[derive(Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(rename = "type")]
    kind: Kind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    start: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "units::duration::option")]
    timeout: Option<Duration>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    delimiter: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    length: Option<Length>,
}

#[derive(Clone, Copy, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    #[default]
    Lines,
    Ndjson,
    Multiline,
    Bytes,
}

impl Written {
    fn framing(self) -> Result<Framing, String> {
        let Written { kind, start, timeout, delimiter, length } = self;
        let of_another = [
            ("start", start.is_some() && kind != Kind::Multiline, "multiline"),
            ("timeout", timeout.is_some() && kind != Kind::Multiline, "multiline"),
            ("delimiter", delimiter.is_some() && kind != Kind::Bytes, "bytes"),
            ("length", length.is_some() && kind != Kind::Bytes, "bytes"),
        ];
        if let Some((key, _, of)) = of_another.into_iter().find(|(_, wrong, _)| *wrong) {
            return Err(format!("`{key}` belongs to the framing `{of}`: leave it out, or write `type = \"{of}\"`"));
        }
        match (kind, start, delimiter, length) {
            (Kind::Lines, ..) => Ok(Framing::Lines),
            (Kind::Ndjson, ..) => Ok(Framing::Ndjson),
            (Kind::Multiline, Some(_), ..) if timeout.is_some_and(|timeout| timeout.is_zero()) => {
                Err("`timeout` is zero: write a time such as `\"1s\"`, or leave it out".into())
            }
            (Kind::Multiline, Some(start), ..) => {
                Pattern::new(&start).map(|start| Framing::Multiline { start, timeout })
            }
            (Kind::Multiline, None, ..) => Err("`multiline` needs a pattern for the line with which an event begins: \
                 write `framing = { type = \"multiline\", start = '^\\d{4}-' }`"
                .into()),
            (Kind::Bytes, _, Some(delimiter), None) if delimiter.is_empty() => {
                Err("`delimiter` is empty: write at least one byte, such as `\"\\u0000\"`".into())
            }
            (Kind::Bytes, _, Some(delimiter), None) => Ok(Framing::Bytes(Bytes::Delimiter(delimiter))),
            (Kind::Bytes, _, None, Some(length)) => Ok(Framing::Bytes(Bytes::Length(length))),
            (Kind::Bytes, ..) => Err(
                "`bytes` needs either a `delimiter` or a `length`: write `framing = { type = \"bytes\", delimiter = \
                 \"\\u0000\" }`, or `length = \"u32be\"`"
                    .into(),
            ),
        }
    }
}

impl<'de> Deserialize<'de> for Framing {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Framing, D::Error> {
        struct WordOrTable;

        impl<'de> Visitor<'de> for WordOrTable {
            type Value = Framing;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a framing such as \"lines\", or a table with its `type`")
            }

            fn visit_str<E: Error>(self, word: &str) -> Result<Framing, E> {
                let kind = Kind::deserialize(word.into_deserializer())?;
                Written { kind, ..Written::default() }.framing().map_err(E::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Framing, A::Error> {
                Written::deserialize(MapAccessDeserializer::new(map))?.framing().map_err(A::Error::custom)
            }
        }

        deserializer.deserialize_any(WordOrTable)
    }
}

impl Serialize for Framing {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let written = match self {
            Framing::Lines => return Kind::Lines.serialize(serializer),
            Framing::Ndjson => return Kind::Ndjson.serialize(serializer),
            Framing::Multiline { start, timeout } => {
                let start = Some(start.0.as_str().to_owned());
                Written { kind: Kind::Multiline, start, timeout: *timeout, ..Written::default() }
            }
            Framing::Bytes(Bytes::Delimiter(delimiter)) => {
                Written { kind: Kind::Bytes, delimiter: Some(delimiter.clone()), ..Written::default() }
            }
            Framing::Bytes(Bytes::Length(length)) => {
                Written { kind: Kind::Bytes, length: Some(*length), ..Written::default() }
            }
        };
        written.serialize(serializer)
    }
}

/// A size within what a column can hold.
pub(in crate::source) mod bound {
    use serde::de::{Deserializer, Error};
    use serde::ser::Serializer;

    use super::{Settings, units};

    pub(in crate::source) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        match units::size::deserialize(deserializer)? {
            bytes @ 1..=Settings::MOST => Ok(bytes),
            bytes => Err(D::Error::custom(format!("`{bytes}` is out of range: it may be from 1 byte to 1GiB"))),
        }
    }

    pub(in crate::source) fn serialize<S: Serializer>(bytes: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        units::size::serialize(bytes, serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_framing_is_a_word_or_a_table_and_is_written_as_it_was() {
        for text in [
            "framing = \"ndjson\"\n",
            "[framing]\ntype = \"multiline\"\nstart = '^\\d'\ntimeout = \"5s\"\n",
            "[framing]\ntype = \"bytes\"\ndelimiter = \"\\u0000\"\n",
            "[framing]\ntype = \"bytes\"\nlength = \"u16le\"\n",
        ] {
            let read: Settings = toml::from_str(text).unwrap();
            let written = toml::to_string(&read).unwrap();
            assert_eq!(toml::from_str::<Settings>(&written).unwrap(), read, "{written}");
        }
        let table: Settings = toml::from_str("framing = { type = 'lines' }").unwrap();
        assert_eq!(table, Settings::default());
    }

    #[test]
    fn what_a_framing_needs_is_named() {
        for (text, part) in [
            ("'multiline'", "needs a pattern"),
            ("{ type = 'multiline', start = '(' }", "is not a regular expression"),
            ("{ type = 'multiline', start = 'a', timeout = 0 }", "`timeout` is zero"),
            ("{ type = 'bytes' }", "either a `delimiter` or a `length`"),
            ("{ type = 'bytes', delimiter = ',', length = 'u8' }", "either a `delimiter` or a `length`"),
            ("{ type = 'bytes', delimiter = '' }", "`delimiter` is empty"),
            ("{ type = 'ndjson', start = 'a' }", "`start` belongs to the framing `multiline`"),
            ("{ type = 'lines', end = 'a' }", "unknown field `end`"),
            ("'line'", "unknown variant `line`"),
        ] {
            let error = toml::from_str::<Settings>(&format!("framing = {text}")).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn an_event_has_a_bound_that_fits_a_column() {
        let read = |text: &str| toml::from_str::<Settings>(text);
        assert_eq!(read("").unwrap().max_event_bytes, 1_048_576);
        assert_eq!(read("max_event_bytes = '64KiB'").unwrap().max_event_bytes, 65_536);
        for text in ["max_event_bytes = 0", "max_event_bytes = '2GiB'"] {
            assert!(read(text).unwrap_err().to_string().contains("from 1 byte to 1GiB"), "{text}");
        }
    }
}
