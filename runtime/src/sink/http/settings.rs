//! What a user may set about the HTTP sink.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use ::http::header::InvalidHeaderValue;
use ::http::{HeaderName, HeaderValue};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

use super::auth::Auth;
use super::results::Results;
use super::statuses::Statuses;
use super::target::UrlTemplate;
use crate::expr::Template;
use crate::net::tls;
use crate::units::{self, Secret};

/// The settings of an HTTP sink.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where requests go.
    pub url: UrlTemplate,
    /// What they are.
    #[serde(default)]
    pub method: Method,
    /// Headers that every request has, by name.
    #[serde(default)]
    pub headers: BTreeMap<Name, HeaderTemplate>,
    /// How events become bodies.
    #[serde(default)]
    pub body: Body,
    /// Reject payloads that are not JSON. In an array each has to be, whatever this says.
    #[serde(default)]
    pub strict: bool,
    /// How bodies are compressed.
    #[serde(default)]
    pub compression: Compression,
    /// Which header has the batch's identity.
    #[serde(default)]
    pub idempotency_key: IdempotencyKey,
    /// Who the requests say that they are from.
    pub auth: Option<Auth>,
    /// What an answer means, other than usual.
    #[serde(default)]
    pub statuses: Statuses,
    /// What an answer says about each event, if it does.
    pub results: Option<Results>,
    /// How many redirects are followed, of those that keep the method, to the same host.
    #[serde(default)]
    pub redirects: u8,
    /// How long a connection may take to be made, half of the attempt's time at most.
    #[serde(default = "ten_seconds", with = "units::duration")]
    pub connect_timeout: Duration,
    /// Which versions of HTTP are spoken.
    #[serde(default)]
    pub http_version: HttpVersion,
    /// The proxy that requests go through, perhaps with credentials.
    pub proxy: Option<Secret>,
    /// Whom a connection trusts.
    #[serde(default)]
    pub tls: tls::ClientSettings,
}

fn ten_seconds() -> Duration {
    Duration::from_secs(10)
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// Add.
    #[default]
    Post,
    /// Replace.
    Put,
    /// Change.
    Patch,
    /// Remove.
    Delete,
}

impl Method {
    /// Whether a request that is made twice does what it does once (RFC 9110, section 9.2.2).
    pub(super) fn is_idempotent(self) -> bool {
        matches!(self, Method::Put | Method::Delete)
    }
}

impl From<Method> for ::http::Method {
    fn from(method: Method) -> ::http::Method {
        match method {
            Method::Post => ::http::Method::POST,
            Method::Put => ::http::Method::PUT,
            Method::Patch => ::http::Method::PATCH,
            Method::Delete => ::http::Method::DELETE,
        }
    }
}

/// How events become bodies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// A line each.
    #[default]
    Ndjson,
    /// One JSON array.
    Array,
    /// A request each.
    Each,
    /// One after the other, as they are.
    #[serde(untagged)]
    Joined(Joined),
}

/// What stands before, between and behind the events of a body.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Joined {
    /// Before the first.
    pub prefix: Cow<'static, str>,
    /// Between two.
    pub separator: Cow<'static, str>,
    /// Behind the last.
    pub suffix: Cow<'static, str>,
}

impl Default for Joined {
    /// Lines.
    fn default() -> Joined {
        Joined { prefix: "".into(), separator: "\n".into(), suffix: "\n".into() }
    }
}

impl Body {
    /// What it is where its values have this media type, unless the user says otherwise. Lines of JSON have a type of their
    /// own; lines of anything else are more of the same.
    pub(super) fn content_type(&self, values: Option<&str>) -> Result<HeaderValue, InvalidHeaderValue> {
        const JSON: &str = "application/json";
        HeaderValue::from_str(match self {
            Body::Ndjson => values.filter(|values| *values != JSON).unwrap_or("application/x-ndjson"),
            Body::Array => JSON,
            Body::Each => values.unwrap_or(JSON),
            Body::Joined(_) => values.unwrap_or("application/octet-stream"),
        })
    }
}

impl<'de> Deserialize<'de> for Body {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Body, D::Error> {
        struct WordOrTable;
        impl<'de> Visitor<'de> for WordOrTable {
            type Value = Body;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("`ndjson`, `array`, `each`, or a table such as { separator = \"\\n\", suffix = \"\\n\" }")
            }

            fn visit_str<E: Error>(self, word: &str) -> Result<Body, E> {
                match word.trim() {
                    "ndjson" => Ok(Body::Ndjson),
                    "array" => Ok(Body::Array),
                    "each" => Ok(Body::Each),
                    other => Err(E::unknown_variant(other, &["ndjson", "array", "each"])),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Body, A::Error> {
                Joined::deserialize(MapAccessDeserializer::new(map)).map(Body::Joined)
            }
        }
        deserializer.deserialize_any(WordOrTable)
    }
}

/// How bodies are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// By gzip.
    Gzip,
    /// By Zstandard.
    Zstd,
}

impl Compression {
    /// As `Content-Encoding` has it.
    pub(super) fn encoding(self) -> Option<HeaderValue> {
        match self {
            Compression::None => None,
            Compression::Gzip => Some(HeaderValue::from_static("gzip")),
            Compression::Zstd => Some(HeaderValue::from_static("zstd")),
        }
    }
}

/// Which versions of HTTP are spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub enum HttpVersion {
    /// 2 where TLS agrees on it, else 1.1.
    #[default]
    #[serde(rename = "auto")]
    Auto,
    /// 1.1.
    #[serde(rename = "1.1")]
    Http1,
    /// 2, also without TLS.
    #[serde(rename = "2")]
    Http2,
}

/// Which header has the batch's identity, so that a server can tell a request that comes again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum IdempotencyKey {
    /// `Idempotency-Key`, where repeating a request is not the same as making it once.
    #[default]
    Auto,
    /// None.
    Off,
    /// This one, always.
    Header(HeaderName),
}

impl IdempotencyKey {
    /// Reads it from text. The error says what would be accepted.
    pub fn parse(text: &str) -> Result<IdempotencyKey, String> {
        match text.trim() {
            "auto" => Ok(IdempotencyKey::Auto),
            "off" => Ok(IdempotencyKey::Off),
            name => Name::new(name).map(|name| IdempotencyKey::Header(name.0)),
        }
    }
}

impl Serialize for IdempotencyKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            IdempotencyKey::Auto => "auto",
            IdempotencyKey::Off => "off",
            IdempotencyKey::Header(name) => name.as_str(),
        })
    }
}

impl<'de> Deserialize<'de> for IdempotencyKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<IdempotencyKey, D::Error> {
        struct Humane;
        impl Visitor<'_> for Humane {
            type Value = IdempotencyKey;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("`auto`, `off`, or the name of a header")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<IdempotencyKey, E> {
                IdempotencyKey::parse(text).map_err(E::custom)
            }

            fn visit_bool<E: Error>(self, on: bool) -> Result<IdempotencyKey, E> {
                Ok(if on { IdempotencyKey::Auto } else { IdempotencyKey::Off })
            }
        }
        deserializer.deserialize_any(Humane)
    }
}

/// The name of a header that users may set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(HeaderName);

impl Name {
    /// Fails for what is no name, and for headers that belong to the connection. The error says why.
    pub fn new(text: &str) -> Result<Name, String> {
        let name = HeaderName::try_from(text).map_err(|_| format!("`{text}` is not the name of a header"))?;
        match name.as_str() {
            "connection" | "content-length" | "transfer-encoding" | "te" | "trailer" | "upgrade" | "keep-alive" => {
                Err(format!("`{text}` can't be set: it belongs to the connection"))
            }
            _ => Ok(Name(name)),
        }
    }

    pub(super) fn get(&self) -> &HeaderName {
        &self.0
    }
}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Name) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Name) -> std::cmp::Ordering {
        self.0.as_str().cmp(other.0.as_str())
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.as_str())
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Name, D::Error> {
        Name::new(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// A header's value, perhaps with places that an event fills. It may be a secret and is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct HeaderTemplate(Template);

impl HeaderTemplate {
    /// Reads it. The error says what would be accepted.
    pub fn new(text: &str) -> Result<HeaderTemplate, String> {
        let template = Template::parse(text).map_err(|error| error.message)?;
        if HeaderValue::from_str(&template.outline()).is_err() {
            return Err("a header's value has no line breaks and no control characters".into());
        }
        Ok(HeaderTemplate(template))
    }

    pub(super) fn get(&self) -> &Template {
        &self.0
    }
}

impl fmt::Debug for HeaderTemplate {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for HeaderTemplate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("***")
    }
}

impl<'de> Deserialize<'de> for HeaderTemplate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<HeaderTemplate, D::Error> {
        HeaderTemplate::new(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Settings, String> {
        let text = if text.contains("url") { text.to_owned() } else { format!("url = 'https://a.example'\n{text}") };
        toml::from_str(&text).map_err(|error| error.to_string())
    }

    #[test]
    fn only_the_url_has_to_be_set() {
        let settings = read("").unwrap();
        assert_eq!((settings.method, settings.body, settings.redirects), (Method::Post, Body::Ndjson, 0));
        assert_eq!(settings.idempotency_key, IdempotencyKey::Auto);
        assert!(read("method = 'PUT'").unwrap().method.is_idempotent());
        assert!(toml::from_str::<Settings>("").unwrap_err().to_string().contains("url"));
    }

    #[test]
    fn what_is_written_is_read() {
        for (text, expected) in [
            ("idempotency_key = 'off'", IdempotencyKey::Off),
            ("idempotency_key = false", IdempotencyKey::Off),
            ("idempotency_key = true", IdempotencyKey::Auto),
            ("idempotency_key = 'X-Request-Id'", IdempotencyKey::Header(HeaderName::from_static("x-request-id"))),
        ] {
            let settings = read(text).unwrap();
            assert_eq!(settings.idempotency_key, expected, "{text}");
            assert_eq!(read(&toml::to_string(&settings).unwrap()), Ok(settings));
        }
    }

    #[test]
    fn a_body_is_a_word_or_what_joins_events() {
        for (text, body) in [
            ("body = 'array'", Body::Array),
            ("body = {}", Body::Joined(Joined::default())),
            ("body.separator = ','", Body::Joined(Joined { separator: ",".into(), ..Joined::default() })),
        ] {
            let settings = read(text).unwrap();
            assert_eq!(settings.body, body, "{text}");
            assert_eq!(read(&toml::to_string(&settings).unwrap()), Ok(settings));
        }
        assert!(read("body.seperator = ','").unwrap_err().contains("unknown field `seperator`"));
    }

    #[test]
    fn what_can_not_be_sent_is_refused() {
        for (text, what) in [
            ("headers = { 'a b' = 'x' }", "`a b` is not the name of a header"),
            ("headers = { Content-Length = '1' }", "belongs to the connection"),
            ("headers = { A = \"x\\ny\" }", "no line breaks"),
            ("headers = { A = '{kye}' }", "unknown place"),
            ("idempotency_key = 'a b'", "`a b` is not the name of a header"),
            ("method = 'GET'", "unknown variant"),
            ("http_version = '3'", "unknown variant"),
            ("body = 'lines'", "unknown variant `lines`"),
            ("auht = {}", "unknown field"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(what), "{text}: {error}");
        }
    }

    #[test]
    fn secrets_are_not_printed() {
        let settings = read(
            "headers = { Authorization = 'hunter2' }\nproxy = 'http://u:hunter2@p.example'\n\
             auth = { type = 'basic', user = 'me', password = 'hunter2' }",
        )
        .unwrap();
        assert!(!format!("{settings:?}").contains("hunter2"));
        assert!(!toml::to_string(&settings).unwrap().contains("hunter2"));
    }
}
