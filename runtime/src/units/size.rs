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

/// Writes a size in binary units, for people.
pub fn print(bytes: u64) -> String {
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
    fn what_is_not_a_size_is_told_what_is() {
        for text in ["-1", "big", "", "10 apples"] {
            assert!(parse(text).unwrap_err().contains("is not a size"), "{text}");
        }
    }
}
