//! The settings of a connection.

use std::fmt;
use std::path::{Path, PathBuf};

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::Properties;
use crate::units::Secret;

/// A Kafka cluster, and who to be there.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Connection {
    /// Brokers to ask for all others.
    pub bootstrap_servers: Servers,
    /// Encrypts, and proves who the brokers are.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "written_tls")]
    pub tls: Option<Tls>,
    /// Proves who the client is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sasl: Option<Sasl>,
    /// Whatever else librdkafka knows.
    #[serde(default)]
    pub properties: Properties,
}

/// Hosts, each with a port or without: `"a:9092,b"`. There is at least one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Servers(String);

/// TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// A file with the certificates of those who may vouch for brokers, in PEM. Unset: whom the system trusts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// A file with the client's own certificate, in PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert: Option<PathBuf>,
    /// A file with the key of that certificate, in PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
}

/// SASL.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Sasl {
    /// How.
    pub mechanism: Mechanism,
    /// Who.
    pub username: String,
    /// What only that one knows.
    pub password: Secret,
}

/// How a client proves who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum Mechanism {
    /// The password is sent as it is, so that only TLS hides it.
    #[serde(rename = "PLAIN")]
    Plain,
    /// RFC 7677.
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// The same with SHA-512.
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
}

impl Connection {
    /// What a client is made with. `own` are properties of the source or the sink itself, which win.
    pub fn client(&self, own: &Properties) -> ClientConfig {
        let mut client = ClientConfig::new();
        client.set_log_level(RDKafkaLogLevel::Info);
        client.set("client.id", "sump");
        client
            .extend(self.properties.iter().chain(own.iter()).map(|(name, value)| (name.to_owned(), value.to_owned())));
        client.set("bootstrap.servers", self.bootstrap_servers.as_str());
        client.set("security.protocol", self.protocol());
        if let Some(tls) = &self.tls {
            let files = [("ca", &tls.ca), ("certificate", &tls.cert), ("key", &tls.key)];
            for (name, path) in files.into_iter().filter_map(|(name, path)| Some((name, path.as_deref()?))) {
                client.set(format!("ssl.{name}.location"), Path::to_string_lossy(path));
            }
        }
        if let Some(sasl) = &self.sasl {
            client.set("sasl.mechanism", sasl.mechanism.name());
            client.set("sasl.username", &sasl.username);
            client.set("sasl.password", sasl.password.reveal());
        }
        client
    }

    fn protocol(&self) -> &'static str {
        match (self.tls.is_some(), self.sasl.is_some()) {
            (false, false) => "plaintext",
            (false, true) => "sasl_plaintext",
            (true, false) => "ssl",
            (true, true) => "sasl_ssl",
        }
    }
}

impl Servers {
    /// Reads hosts that are separated by commas. The error says which one is none.
    pub fn parse(text: &str) -> Result<Servers, String> {
        let servers: Vec<&str> = text.split(',').map(str::trim).filter(|server| !server.is_empty()).collect();
        if servers.is_empty() {
            return Err("there is no broker: write `HOST:PORT`, several with commas between".into());
        }
        for server in &servers {
            // librdkafka would pass over what it can't read.
            let (host, port) = match server.rsplit_once(':') {
                Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, Some(port)),
                _ => (*server, None),
            };
            let plain = !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || c == '/');
            if !plain || port.is_some_and(|port| port.parse::<u16>().is_err()) {
                return Err(format!("`{server}` is no broker: write `HOST:PORT`, several with commas between"));
            }
        }
        Ok(Servers(servers.join(",")))
    }

    /// With commas between, and nothing else.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Mechanism {
    /// As Kafka calls it.
    pub fn name(self) -> &'static str {
        match self {
            Mechanism::Plain => "PLAIN",
            Mechanism::ScramSha256 => "SCRAM-SHA-256",
            Mechanism::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

impl<'de> Deserialize<'de> for Servers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Servers, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a broker such as `localhost:9092`, or a list of them")]
        enum Written {
            Text(String),
            List(Vec<String>),
        }
        let text = match Written::deserialize(deserializer)? {
            Written::Text(text) => text,
            Written::List(servers) => servers.join(","),
        };
        Servers::parse(&text).map_err(de::Error::custom)
    }
}

fn written_tls<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Tls>, D::Error> {
    deserializer.deserialize_any(YesOrTable)
}

struct YesOrTable;

impl<'de> Visitor<'de> for YesOrTable {
    type Value = Option<Tls>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("`true`, `false`, or a table such as { ca = \"ca.pem\" }")
    }

    fn visit_bool<E: de::Error>(self, on: bool) -> Result<Option<Tls>, E> {
        Ok(on.then(Tls::default))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Option<Tls>, E> {
        match text.trim().to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Ok(Some(Tls::default())),
            "false" | "no" | "off" | "0" => Ok(None),
            _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Option<Tls>, A::Error> {
        Tls::deserialize(MapAccessDeserializer::new(map)).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Connection, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    fn client(text: &str) -> Vec<String> {
        let connection = read(text).unwrap();
        let client = connection.client(&Properties::default());
        client.create_native_config().unwrap();
        client.config_map().iter().map(|(name, value)| format!("{name}={value}")).collect()
    }

    #[test]
    fn what_is_left_out_is_librdkafkas_default() {
        assert_eq!(
            client("bootstrap_servers = ' a:9092, b ,'"),
            ["bootstrap.servers=a:9092,b", "client.id=sump", "security.protocol=plaintext"]
        );
        assert_eq!(read("bootstrap_servers = ['[::1]:1', 'b:2']").unwrap().bootstrap_servers.as_str(), "[::1]:1,b:2");
    }

    #[test]
    fn the_protocol_follows_from_tls_and_sasl() {
        let sasl = "sasl = { mechanism = 'SCRAM-SHA-512', username = 'u', password = 'hunter2' }";
        for (text, protocol) in [
            ("tls = true", "ssl"),
            ("tls = false", "plaintext"),
            (sasl, "sasl_plaintext"),
            (&*format!("tls = {{}}\n{sasl}"), "sasl_ssl"),
        ] {
            let client = client(&format!("bootstrap_servers = 'a'\n{text}"));
            assert!(client.contains(&format!("security.protocol={protocol}")), "{text}: {client:?}");
        }
        let connection = read(&format!("bootstrap_servers = 'a'\ntls = {{ ca = 'ca.pem' }}\n{sasl}")).unwrap();
        let client = connection.client(&Properties::default());
        assert_eq!(client.get("sasl.password"), Some("hunter2"));
        assert_eq!((client.get("ssl.ca.location"), client.get("ssl.key.location")), (Some("ca.pem"), None));
        assert!(!format!("{connection:?} {client:?}").contains("hunter2"));
        assert!(!toml::to_string(&connection).unwrap().contains("hunter2"));
    }

    #[test]
    fn what_is_no_connection_is_refused() {
        for (text, what) in [
            ("", "bootstrap_servers"),
            ("bootstrap_servers = ' , '", "there is no broker"),
            ("bootstrap_servers = 'a:b'", "`a:b` is no broker"),
            ("bootstrap_servers = 'kafka://a:1'", "`kafka://a:1` is no broker"),
            ("bootstrap_servers = 'a'\ntls = 'perhaps'", "`true`, `false`, or a table"),
            ("bootstrap_servers = 'a'\ntls.cart = 'x'", "unknown field"),
            ("bootstrap_servers = 'a'\nsasl = { mechanism = 'GSSAPI', username = '', password = '' }", "SCRAM-SHA-256"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(what), "{text}: {error}");
        }
    }
}
