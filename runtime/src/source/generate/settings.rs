//! What a user may set about the generator.

use std::fmt;

use serde::de::{Deserializer, Error, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

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

/// Events a second: `"1000/s"`, `"30/m"`, or a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate(f64);

impl Rate {
    /// Reads a rate from text. The error says what would be accepted.
    pub fn parse(text: &str) -> Result<Rate, String> {
        let (number, seconds) = match text.trim().split_once('/') {
            None => (text, 1.0),
            Some((number, unit)) => match unit.trim() {
                "s" | "sec" | "second" => (number, 1.0),
                "m" | "min" | "minute" => (number, 60.0),
                "h" | "hour" => (number, 3600.0),
                _ => (text, 1.0),
            },
        };
        number.trim().parse::<f64>().ok().and_then(|number| Rate::new(number / seconds)).ok_or_else(|| refused(text))
    }

    /// More than none, and at most a thousand million a second.
    pub fn new(a_second: f64) -> Option<Rate> {
        (a_second > 0.0 && a_second <= 1e9).then_some(Rate(a_second))
    }

    /// Events a second.
    pub fn a_second(self) -> f64 {
        self.0
    }
}

fn refused(what: impl fmt::Display) -> String {
    format!("`{what}` is not a rate: write `1000/s`, `30/m`, or events a second as a number above 0")
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}/s", self.0)
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Rate, D::Error> {
        deserializer.deserialize_any(Humane)
    }
}

struct Humane;

impl Visitor<'_> for Humane {
    type Value = Rate;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a rate such as `1000/s`, or events a second as a number above 0")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Rate, E> {
        Rate::parse(text).map_err(E::custom)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Rate, E> {
        self.visit_f64(number as f64)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Rate, E> {
        self.visit_f64(number as f64)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Rate, E> {
        Rate::new(number).ok_or_else(|| E::custom(refused(number)))
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
    fn a_rate_is_a_number_or_names_its_unit() {
        for (text, expected) in [("'1000/s'", 1000.0), ("'30 / min'", 0.5), ("20", 20.0), ("0.5", 0.5), ("'7'", 7.0)] {
            let rate = read(&format!("rate = {text}")).unwrap().rate.unwrap();
            assert_eq!(rate.a_second(), expected, "{text}");
            assert_eq!(Rate::parse(&rate.to_string()), Ok(rate));
        }
    }

    #[test]
    fn what_can_not_be_generated_is_refused() {
        for (text, what) in [
            ("rate = 0", "is not a rate"),
            ("rate = '5/fortnight'", "is not a rate"),
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
