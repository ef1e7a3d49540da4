//! What a user may set about the HTTP source.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderName;
use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize};

use crate::source::framing;
use crate::units;
use crate::units::Secret;

/// The settings of an HTTP source.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where it listens; port 0 is any that is free.
    #[serde(with = "units::address")]
    pub listen: SocketAddr,
    /// The one path that takes events. Begins with `/`.
    #[serde(default = "root", deserialize_with = "path")]
    pub path: String,
    /// How a body becomes events. Unset: its `Content-Type` says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// An event with more bytes than this is invalid. At least 1, at most 1 GiB.
    #[serde(default = "event_bytes", with = "framing::bound")]
    pub max_event_bytes: u64,
    /// What becomes of an event that is too long, or is to be JSON and is not.
    #[serde(default)]
    pub invalid: Invalid,
    /// A body with more bytes, as sent or decompressed, is refused. At least 1, at most 1 GiB.
    #[serde(default = "body_bytes", with = "framing::bound")]
    pub max_body_bytes: u64,
    /// Bytes of all bodies that are being received, decompressed or wait to be taken. At least twice `max_body_bytes`, at
    /// most 1 GiB.
    #[serde(default = "in_flight_bytes", with = "framing::bound")]
    pub max_in_flight_bytes: u64,
    /// Connections at the same time. Others wait to be accepted.
    #[serde(default = "connections", deserialize_with = "at_least_one")]
    pub max_connections: u32,
    /// Names of the request's headers that its events get.
    #[serde(default, deserialize_with = "names")]
    pub headers: Vec<String>,
    /// Who may send events. Unset: everybody.
    #[serde(default, deserialize_with = "auth", skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
    /// Unset: what is sent can be read on its way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// Whether a request is answered only once its events are final.
    #[serde(default = "yes")]
    pub ack: bool,
    /// How long a request waits for that.
    #[serde(default = "minute", with = "units::duration")]
    pub ack_timeout: Duration,
    /// How long a request waits for room before it is sent away.
    #[serde(default = "second", with = "units::duration")]
    pub wait: Duration,
    /// How long a body may take to arrive.
    #[serde(default = "minute", with = "units::duration")]
    pub body_timeout: Duration,
    /// How long a connection may go without a whole head of a request.
    #[serde(default = "minute", with = "units::duration")]
    pub idle_timeout: Duration,
}

/// How a body becomes events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Each line is a JSON value, and an event.
    Ndjson,
    /// Each line is an event.
    Lines,
    /// A JSON array, of which each element is an event.
    Array,
    /// The same; any other JSON value is one event.
    Json,
    /// The body is one event.
    Raw,
}

/// What becomes of an event that is invalid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Invalid {
    /// It becomes a dead letter, and the others are taken.
    #[default]
    DeadLetter,
    /// The request is refused, and nothing of it is taken.
    Refuse,
}

/// Who may send events: whoever knows one of these.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// `Authorization: Bearer TOKEN`.
    pub tokens: Vec<Secret>,
    /// `Authorization: Basic …`: passwords by name.
    pub users: BTreeMap<String, Secret>,
}

/// What HTTPS takes: files in PEM.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The server's certificate, and those between it and its authority.
    pub cert: PathBuf,
    /// The key of the first.
    pub key: PathBuf,
    /// Authorities, of which one must have signed a client's certificate. Unset: clients need none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_ca: Option<PathBuf>,
}

impl Settings {
    /// Of a server at an address, with everything else as it is where it is not set.
    pub fn new(listen: SocketAddr) -> Settings {
        Settings {
            listen,
            path: root(),
            format: None,
            max_event_bytes: event_bytes(),
            invalid: Invalid::default(),
            max_body_bytes: body_bytes(),
            max_in_flight_bytes: in_flight_bytes(),
            max_connections: connections(),
            headers: Vec::new(),
            auth: None,
            tls: None,
            ack: true,
            ack_timeout: minute(),
            wait: second(),
            body_timeout: minute(),
            idle_timeout: minute(),
        }
    }
}

fn root() -> String {
    "/".into()
}

fn event_bytes() -> u64 {
    framing::Settings::default().max_event_bytes
}

fn body_bytes() -> u64 {
    16 << 20
}

fn in_flight_bytes() -> u64 {
    64 << 20
}

fn connections() -> u32 {
    512
}

fn yes() -> bool {
    true
}

fn second() -> Duration {
    Duration::from_secs(1)
}

fn minute() -> Duration {
    Duration::from_secs(60)
}

fn path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let path = String::deserialize(deserializer)?;
    let plain = path.starts_with('/') && path.parse::<http::uri::PathAndQuery>().is_ok_and(|parsed| parsed == *path);
    if plain && !path.contains(['?', '#']) {
        return Ok(path);
    }
    Err(D::Error::custom(format!("`{path}` is not a path: write one such as `/` or `/events`, without a query")))
}

fn at_least_one<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    match u32::deserialize(deserializer)? {
        0 => Err(D::Error::custom("`0` lets nobody in: write 1 or more")),
        number => Ok(number),
    }
}

fn names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let names = Vec::<String>::deserialize(deserializer)?;
    match names.iter().find(|name| name.parse::<HeaderName>().is_err()) {
        None => Ok(names),
        Some(name) => Err(D::Error::custom(format!("`{name}` is not the name of a header: write `X-Request-Id`"))),
    }
}

fn auth<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Auth>, D::Error> {
    let auth = Auth::deserialize(deserializer)?;
    if auth.tokens.is_empty() && auth.users.is_empty() {
        return Err(D::Error::custom("nobody is let in: name `tokens` or `users`, or leave `auth` out"));
    }
    if auth.tokens.iter().chain(auth.users.values()).any(|secret| secret.reveal().is_empty()) {
        return Err(D::Error::custom("a token or a password is empty: it would let everybody in"));
    }
    Ok(Some(auth))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Settings, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_not_set_is_as_for_a_new_server() {
        let address = SocketAddr::from(([127, 0, 0, 1], 8080));
        assert_eq!(read("listen = '127.0.0.1:8080'").unwrap(), Settings::new(address));
    }

    #[test]
    fn what_can_not_be_served_is_refused() {
        for (text, what) in [
            ("path = 'events'", "is not a path"),
            ("path = '/a?b'", "without a query"),
            ("path = '/a b'", "is not a path"),
            ("max_event_bytes = 0", "from 1 byte to 1GiB"),
            ("max_body_bytes = '2GiB'", "from 1 byte to 1GiB"),
            ("max_connections = 0", "lets nobody in"),
            ("headers = ['a b']", "`a b` is not the name of a header"),
            ("auth = {}", "nobody is let in"),
            ("auth.tokens = ['']", "would let everybody in"),
            ("auth.users = { a = '' }", "would let everybody in"),
            ("tls = { cert = 'a' }", "missing field `key`"),
        ] {
            let error = read(&format!("listen = '127.0.0.1:0'\n{text}")).unwrap_err();
            assert!(error.contains(what), "{text}: {error}");
        }
    }

    #[test]
    fn no_secret_is_printed() {
        let text = "listen = '127.0.0.1:0'\nauth = { tokens = ['hunter2'], users = { ada = 'hunter2' } }";
        let settings = read(text).unwrap();
        assert!(!format!("{settings:?} {}", toml::to_string(&settings).unwrap()).contains("hunter2"));
    }
}
