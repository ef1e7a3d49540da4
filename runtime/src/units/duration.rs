//! Durations: `"1s"`, `"500ms"`, `"1h 30m"`; a plain number is seconds.
//!
//! For `#[serde(with = "crate::units::duration")]` on a [`Duration`].

use std::fmt;
use std::time::Duration;

use serde::de::{self, Deserializer, Visitor};
use serde::ser::Serializer;

/// Reads a duration from text. The error says what would be accepted.
pub fn parse(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        return from_seconds(seconds);
    }
    humantime::parse_duration(text)
        .map_err(|_| format!("`{text}` is not a duration: write `1s`, `500ms`, `5m`, or seconds as a number"))
}

/// Writes a duration in the form that [`parse`] reads.
pub fn print(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

/// Writes a duration to about three digits, for people.
pub fn about(duration: Duration) -> String {
    match duration.as_micros() {
        micros @ ..1_000 => format!("{micros} µs"),
        micros @ ..10_000 => format!("{:.1} ms", micros as f64 / 1e3),
        micros @ ..1_000_000 => format!("{} ms", micros / 1_000),
        micros @ ..100_000_000 => format!("{:.1} s", micros as f64 / 1e6),
        _ => print(Duration::from_secs(duration.as_secs())),
    }
}

fn from_seconds(seconds: f64) -> Result<Duration, String> {
    Duration::try_from_secs_f64(seconds).map_err(|_| format!("`{seconds}` is not a duration: seconds are zero or more"))
}

/// See the module.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    deserializer.deserialize_any(Humane)
}

/// See the module.
pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&print(*duration))
}

/// The same for an `Option<Duration>`; use it together with `#[serde(default)]`.
pub mod option {
    use super::{Deserializer, Duration, Serializer};

    /// A value that is written is never absent.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        super::deserialize(deserializer).map(Some)
    }

    /// Absent is null.
    pub fn serialize<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => super::serialize(duration, serializer),
            None => serializer.serialize_none(),
        }
    }
}

struct Humane;

impl Visitor<'_> for Humane {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a duration such as `1s`, `500ms`, or seconds as a number")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
        parse(text).map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<Duration, E> {
        u64::try_from(seconds)
            .map(Duration::from_secs)
            .map_err(|_| E::custom(format!("`{seconds}` is not a duration: seconds are zero or more")))
    }

    fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<Duration, E> {
        Ok(Duration::from_secs(seconds))
    }

    fn visit_f64<E: de::Error>(self, seconds: f64) -> Result<Duration, E> {
        from_seconds(seconds).map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_seconds_and_text_names_its_unit() {
        assert_eq!(parse("1.0"), Ok(Duration::from_secs(1)));
        assert_eq!(parse("30"), Ok(Duration::from_secs(30)));
        assert_eq!(parse("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse("1h 30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(parse(&print(Duration::from_millis(1500))), Ok(Duration::from_millis(1500)));
    }

    #[test]
    fn people_see_what_matters() {
        let about = [15, 2_500, 250_000, 2_500_000, 3_661_000_000].map(|micros| about(Duration::from_micros(micros)));
        assert_eq!(about, ["15 µs", "2.5 ms", "250 ms", "2.5 s", "1h 1m 1s"]);
    }

    #[test]
    fn what_is_not_a_duration_is_told_what_is() {
        for text in ["-1", "soon", "", "1 parsec", "inf", "NaN"] {
            assert!(parse(text).unwrap_err().contains("is not a duration"), "{text}");
        }
    }
}
