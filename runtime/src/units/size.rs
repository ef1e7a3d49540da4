//! Sizes in bytes: `"10MiB"`, `"64 kB"`; a plain number is bytes.
//!
//! For `#[serde(with = "crate::units::size")]` on a `u64`.

use std::fmt;

use bytesize::ByteSize;
use serde::de::{self, Deserializer, Visitor};
use serde::ser::Serializer;

/// Reads a size from text. The error says what would be accepted.
pub fn parse(text: &str) -> Result<u64, String> {
    text.trim()
        .parse::<ByteSize>()
        .map(|size| size.as_u64())
        .map_err(|_| format!("`{text}` is not a size: write `64KiB`, `10MiB`, `1GB`, or bytes as a number"))
}

/// Writes a size in the form that [`parse`] reads: exactly, in the largest unit that it is a multiple of.
pub fn print(bytes: u64) -> String {
    const UNITS: [(u64, &str); 8] = [
        (1 << 40, "TiB"),
        (1_000_000_000_000, "TB"),
        (1 << 30, "GiB"),
        (1_000_000_000, "GB"),
        (1 << 20, "MiB"),
        (1_000_000, "MB"),
        (1 << 10, "KiB"),
        (1_000, "kB"),
    ];
    match UNITS.iter().find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{}{name}", bytes / unit),
        None => format!("{bytes}B"),
    }
}

/// Writes a size to about two digits, for people.
pub fn about(bytes: u64) -> String {
    ByteSize(bytes).display().iec().to_string()
}

/// See the module.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    deserializer.deserialize_any(Humane)
}

/// See the module.
pub fn serialize<S: Serializer>(bytes: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&print(*bytes))
}

/// The same for an `Option<u64>`; use it together with `#[serde(default)]`.
pub mod option {
    use super::{Deserializer, Serializer};

    /// A value that is written is never absent.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
        super::deserialize(deserializer).map(Some)
    }

    /// Absent is null.
    pub fn serialize<S: Serializer>(bytes: &Option<u64>, serializer: S) -> Result<S::Ok, S::Error> {
        match bytes {
            Some(bytes) => super::serialize(bytes, serializer),
            None => serializer.serialize_none(),
        }
    }
}

struct Humane;

impl Visitor<'_> for Humane {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a size such as `64KiB`, `10MiB`, or bytes as a number")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<u64, E> {
        parse(text).map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<u64, E> {
        u64::try_from(bytes).map_err(|_| E::custom(format!("`{bytes}` is not a size: bytes are zero or more")))
    }

    fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<u64, E> {
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binary_and_decimal_units_differ() {
        assert_eq!(parse("10MiB"), Ok(10 << 20));
        assert_eq!(parse("10MB"), Ok(10_000_000));
        assert_eq!(parse("64 KiB"), Ok(65_536));
        assert_eq!(parse("1024"), Ok(1024));
    }

    #[test]
    fn what_is_printed_is_exact_and_read_again() {
        for (bytes, printed) in [
            (0, "0B"),
            (999, "999B"),
            (1500, "1500B"),
            (65_536, "64KiB"),
            (10_000_000, "10MB"),
            (10_485_760, "10MiB"),
            (1 << 30, "1GiB"),
            ((1 << 30) + 1, "1073741825B"),
            (u64::MAX, "18446744073709551615B"),
        ] {
            assert_eq!(print(bytes), printed);
            assert_eq!(parse(printed), Ok(bytes));
        }
    }

    #[test]
    fn what_is_not_a_size_is_told_what_is() {
        for text in ["-1", "big", "", "10 apples"] {
            assert!(parse(text).unwrap_err().contains("is not a size"), "{text}");
        }
    }
}
