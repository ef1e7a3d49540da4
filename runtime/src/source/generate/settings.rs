//! What a user may set about the generator.

use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize};

use crate::units::rate::Rate;

/// The settings of a generator.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How fast events come. Unset: as fast as they are taken.
    pub rate: Option<Rate>,
    /// How many events come. Unset: no end.
    pub count: Option<u64>,
    /// Bytes of payload of each event: a JSON object. At least [`Settings::LEAST`], at most [`Settings::MOST`].
    #[serde(with = "bound")]
    pub size: u64,
    /// Headers of each event, at most [`Settings::HEADERS`].
    #[serde(deserialize_with = "headers")]
    pub headers: u32,
    /// How many different keys the events have, at most [`Settings::KEYS`]. 0: they have none.
    #[serde(deserialize_with = "keys")]
    pub keys: u32,
}

impl Settings {
    /// The smallest payload that still is a JSON object with a number in it.
    pub const LEAST: u64 = 20;
    /// The largest payload: 16 MiB.
    pub const MOST: u64 = 16 << 20;
    /// The most headers of an event.
    pub const HEADERS: u32 = 64;
    /// The most different keys: as many as the events that are made, over and over again.
    pub const KEYS: u32 = super::EVENTS as u32;
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { rate: None, count: None, size: 64, headers: 0, keys: 0 }
    }
}

fn headers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    at_most(u32::deserialize(deserializer)?, Settings::HEADERS, "an event may have up to 64 headers")
}

fn keys<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    at_most(u32::deserialize(deserializer)?, Settings::KEYS, "there may be up to 4096 different keys")
}

fn at_most<E: Error>(number: u32, most: u32, accepted: &str) -> Result<u32, E> {
    if number <= most { Ok(number) } else { Err(E::custom(format!("`{number}` is out of range: {accepted}"))) }
}

/// A size that can be made.
mod bound {
    use serde::de::{Deserializer, Error};
    use serde::ser::Serializer;

    use super::Settings;
    use crate::units;

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        match units::size::deserialize(deserializer)? {
            bytes @ Settings::LEAST..=Settings::MOST => Ok(bytes),
            bytes => {
                Err(D::Error::custom(format!("`{bytes}` is out of range: a generated event has 20 bytes to 16MiB")))
            }
        }
    }

    pub(super) fn serialize<S: Serializer>(bytes: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        units::size::serialize(bytes, serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Settings, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn what_can_not_be_generated_is_refused() {
        for (text, what) in [
            ("rate = 'inf'", "is not a rate"),
            ("size = 19", "20 bytes to 16MiB"),
            ("size = '17MiB'", "20 bytes to 16MiB"),
            ("headers = 65", "up to 64"),
            ("keys = 4097", "up to 4096"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(what), "{text}: {error}");
        }
    }
}
