//! Addresses to listen on: `"127.0.0.1:9600"`, `"[::1]:9600"`, `"localhost:9600"`.
//!
//! For `#[serde(with = "crate::units::address")]` on a `SocketAddr`, and `…::option` on an `Option<SocketAddr>`.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};

use serde::de::{self, Deserializer, Visitor};
use serde::ser::Serializer;

/// What would be accepted.
const ACCEPTED: &str = "write `127.0.0.1:9600`, `[::1]:9600`, or `0.0.0.0:9600` for all addresses of this machine";

/// Reads an address and a port from text; port 0 is any that is free. The error says what would be accepted.
pub fn parse(text: &str) -> Result<SocketAddr, String> {
    let text = text.trim();
    let local = text.strip_prefix("localhost:").and_then(|port| port.parse().ok());
    let local = local.map(|port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    local.or_else(|| text.parse().ok()).ok_or_else(|| format!("`{text}` is not an address with a port: {ACCEPTED}"))
}

/// See the module.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    deserializer.deserialize_str(Humane)
}

/// See the module.
pub fn serialize<S: Serializer>(address: &SocketAddr, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(address)
}

/// The same for an option; use it together with `#[serde(default)]`.
pub mod option {
    use super::{Deserializer, Humane, Serializer, SocketAddr};

    /// A value that is written is never absent.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SocketAddr>, D::Error> {
        deserializer.deserialize_str(Humane).map(Some)
    }

    /// Absent is null.
    pub fn serialize<S: Serializer>(address: &Option<SocketAddr>, serializer: S) -> Result<S::Ok, S::Error> {
        match address {
            Some(address) => serializer.collect_str(address),
            None => serializer.serialize_none(),
        }
    }
}

struct Humane;

impl Visitor<'_> for Humane {
    type Value = SocketAddr;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an address such as `127.0.0.1:9600`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<SocketAddr, E> {
        parse(text).map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_port() {
        for (text, expected) in [
            ("127.0.0.1:9600", "127.0.0.1:9600"),
            (" localhost:0 ", "127.0.0.1:0"),
            ("[::1]:80", "[::1]:80"),
            ("0.0.0.0:1", "0.0.0.0:1"),
        ] {
            assert_eq!(parse(text).map(|address| address.to_string()), Ok(expected.into()));
        }
    }

    #[test]
    fn what_is_not_an_address_is_told_what_is() {
        for text in ["", "9600", ":9600", "127.0.0.1", "::1:9600:", "localhost", "localhost:70000", "example.com:80"] {
            assert!(parse(text).unwrap_err().contains("write `127.0.0.1:9600`"), "{text}");
        }
    }
}
