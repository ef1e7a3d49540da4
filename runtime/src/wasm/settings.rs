//! What a configuration says about one wasm sink.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::units::{self, Secret};

/// A wasm sink, as it is configured.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The component's file.
    pub path: PathBuf,
    /// What `open` gets: a JSON object.
    #[serde(default = "empty_object")]
    pub config: Value,
    /// What the component may use.
    #[serde(default)]
    pub allow: Allow,
    /// What one of its instances may take.
    #[serde(default)]
    pub limits: Limits,
}

impl Settings {
    /// Of the component in a file: an empty configuration, nothing allowed, the usual limits.
    pub fn new(path: impl Into<PathBuf>) -> Settings {
        Settings { path: path.into(), config: empty_object(), allow: Allow::default(), limits: Limits::default() }
    }
}

/// A wasm encoder, as it is configured: it has no I/O, so there is nothing to allow.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct EncoderSettings {
    /// The component's file.
    pub path: PathBuf,
    /// What `open` gets: a JSON object.
    #[serde(default = "empty_object")]
    pub config: Value,
    /// What it may take.
    #[serde(default)]
    pub limits: Limits,
}

fn empty_object() -> Value {
    Value::Object(serde_json::Map::new())
}

/// What a component may use. Everything else is denied.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Allow {
    /// Where it may send requests.
    pub http: Vec<AllowHttp>,
    /// Where it may connect to over TCP: a name or an address, and a port, such as `redis.internal:6379`.
    pub tcp: Vec<String>,
    /// Directories of the host that it sees.
    pub dirs: Vec<AllowDir>,
    /// Names of environment variables that it sees.
    pub env: Vec<String>,
}

/// A destination of requests: a table, or only its `to` as text.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AllowHttp {
    /// Scheme, host, port and the beginning of the path, such as `https://metrics.example.com/api`.
    pub to: String,
    /// Headers that the host sets on every request; the component never sees them.
    pub headers: BTreeMap<String, Secret>,
}

impl<'de> Deserialize<'de> for AllowHttp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<AllowHttp, D::Error> {
        deserializer.deserialize_any(TextOrTable)
    }
}

struct TextOrTable;

impl<'de> Visitor<'de> for TextOrTable {
    type Value = AllowHttp;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a URL, or a table such as { to = \"https://example.com\", headers = {} }")
    }

    fn visit_str<E: de::Error>(self, to: &str) -> Result<AllowHttp, E> {
        Ok(AllowHttp { to: to.to_owned(), headers: BTreeMap::new() })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<AllowHttp, A::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            to: String,
            #[serde(default)]
            headers: BTreeMap<String, Secret>,
        }
        let Table { to, headers } = Table::deserialize(MapAccessDeserializer::new(map))?;
        Ok(AllowHttp { to, headers })
    }
}

/// A directory that a component sees.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AllowDir {
    /// Where it is.
    pub host: PathBuf,
    /// The absolute path under which the component sees it.
    pub guest: String,
    /// What it may do there.
    #[serde(default)]
    pub access: Access,
}

/// What may be done in a directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Files are read.
    #[default]
    ReadOnly,
    /// Files are read, written, created and removed.
    ReadWrite,
}

/// What one instance may take.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Bytes of all its memories and tables.
    #[serde(with = "units::size")]
    pub memory: u64,
    /// Time on the processor for one call; for an async sink, without giving way to its other calls.
    #[serde(with = "units::duration")]
    pub cpu: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { memory: 128 << 20, cpu: Duration::from_secs(2) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Settings, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn the_documented_form_is_read() {
        let settings = read(
            r#"
            path = "sinks/influx.wasm"
            config = { measurement = "quake" }
            [allow]
            http = [{ to = "https://a.example", headers = { Authorization = "Token t" } }, "http://b.example"]
            tcp = ["redis.internal:6379"]
            dirs = [{ host = "/var/lib/quakes", guest = "/out", access = "read-write" }]
            env = ["TZ"]
            [limits]
            memory = "64MiB"
            cpu = "500ms"
            "#,
        )
        .unwrap();
        assert_eq!(settings.allow.http[0].headers["Authorization"].reveal(), "Token t");
        assert_eq!(settings.allow.http[1].to, "http://b.example");
        assert_eq!(settings.allow.tcp, ["redis.internal:6379"]);
        assert_eq!(settings.allow.dirs[0].access, Access::ReadWrite);
        assert_eq!(settings.limits.memory, 64 << 20);
        assert_eq!(settings.limits.cpu, Duration::from_millis(500));
        assert_eq!(settings.config["measurement"], "quake");
    }

    #[test]
    fn header_values_are_never_printed() {
        let settings = read(
            r#"path = "a"
            allow.http = [{ to = "https://a.example", headers = { Authorization = "hunter2" } }]"#,
        )
        .unwrap();
        assert!(!format!("{settings:?}").contains("hunter2"));
        assert!(!serde_json::to_string(&settings).unwrap().contains("hunter2"));
    }

    #[test]
    fn unknown_keys_are_errors() {
        for text in ["path = 'a'\nfuel = 1", "path = 'a'\nallow.tpc = []", "path = 'a'\nlimits.mem = 1"] {
            assert!(read(text).unwrap_err().to_string().contains("unknown field"), "{text}");
        }
    }
}
