//! Rates of events: `"1000/s"`, `"30/m"`, `"5/h"`; a plain number is events a second.

use std::fmt;
use std::time::Duration;

use serde::de::{Deserializer, Error, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

/// Events a second.
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

    /// How long so many events take.
    pub fn time_of(self, events: usize) -> Duration {
        Duration::try_from_secs_f64(events as f64 / self.0).unwrap_or(Duration::MAX)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_number_or_names_its_unit() {
        for (text, expected) in [("1000/s", 1000.0), ("30 / min", 0.5), ("20", 20.0), ("0.5", 0.5), ("7200/h", 2.0)] {
            let rate = Rate::parse(text).unwrap();
            assert_eq!(rate.a_second(), expected, "{text}");
            assert_eq!(Rate::parse(&rate.to_string()), Ok(rate));
            assert_eq!(rate.time_of(10).as_secs_f64(), 10.0 / expected);
        }
    }

    #[test]
    fn what_is_no_rate_is_told_with_one_that_is() {
        for text in ["", "fast", "0/s", "-1/s", "1/fortnight", "inf/s", "NaN", "1e10"] {
            assert!(Rate::parse(text).unwrap_err().contains("`1000/s`"), "{text}");
        }
    }
}
