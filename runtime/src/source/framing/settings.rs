//! What a user may set about framing.

use serde::{Deserialize, Serialize};

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
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { framing: Framing::Lines, max_event_bytes: 1 << 20 }
    }
}

/// Where an event ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Framing {
    /// At each newline, which is not part of the event. Every other byte is: a carriage return too.
    Lines,
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
    fn an_event_has_a_bound_that_fits_a_column() {
        let read = |text: &str| toml::from_str::<Settings>(text);
        assert_eq!(read("").unwrap().max_event_bytes, 1_048_576);
        assert_eq!(read("max_event_bytes = '64KiB'").unwrap().max_event_bytes, 65_536);
        for text in ["max_event_bytes = 0", "max_event_bytes = '2GiB'"] {
            assert!(read(text).unwrap_err().to_string().contains("from 1 byte to 1GiB"), "{text}");
        }
    }
}
