//! Properties of librdkafka that a user sets by their own names.

use std::collections::BTreeMap;
use std::fmt;

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaConfRes;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};

/// Names and values. Each is one that librdkafka takes, and none is one on which the delivery rests.
///
/// Dots in a name are those of nested tables too, so that `properties.linger.ms = 5` is `{ "linger.ms" = 5 }`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Properties(BTreeMap<String, String>);

/// Names that are refused, each with what to do instead or why.
const REFUSED: &[(&[&str], &str)] = &[
    (&["bootstrap.servers", "metadata.broker.list"], "`bootstrap_servers` of the connection says it"),
    (&["security.protocol"], "it follows from `tls` and `sasl` of the connection"),
    (
        &["ssl.ca.location", "ssl.certificate.location", "ssl.key.location"],
        "`tls = { ca, cert, key }` of the connection says it",
    ),
    (
        &["sasl.mechanism", "sasl.mechanisms", "sasl.username", "sasl.password"],
        "`sasl = { mechanism, username, password }` of the connection says it",
    ),
    (&["plugin.library.paths"], "no foreign code is loaded into this process"),
    (&["log_level", "log.queue", "enabled_events", "internal.termination.signal"], "the runtime sets it"),
    (
        &["acks", "request.required.acks", "enable.idempotence", "enable.gapless.guarantee"],
        "an event counts as written once all replicas in sync have it, and once only",
    ),
    (
        &[
            "max.in.flight",
            "max.in.flight.requests.per.connection",
            "message.send.max.retries",
            "queuing.strategy",
            "retries",
        ],
        "the order of events rests on it",
    ),
    (&["delivery.timeout.ms", "message.timeout.ms"], "`timeout` of the sink says it"),
    (&["queue.buffering.max.kbytes", "queue.buffering.max.messages"], "it follows from `buffer` of the sink"),
    (&["compression.codec", "compression.type"], "`compression` of the sink says it"),
    (&["partitioner"], "`partitioner` of the sink says it"),
    (&["delivery.report.only.error"], "each event is acknowledged"),
    (
        &["transactional.id", "transaction.timeout.ms"],
        "transactions are begun by `exactly_once`, and last `timeout` at most",
    ),
    (
        &["enable.auto.commit", "auto.commit.enable", "auto.commit.interval.ms", "enable.auto.offset.store"],
        "what is committed is what was delivered",
    ),
    (&["offset.store.method", "offset.store.path"], "what is committed is what was delivered"),
    (&["auto.offset.reset"], "`start` of the source says it"),
    (&["group.id"], "`group` of the source says it"),
    (&["group.protocol"], "`protocol` of the source says it"),
    (&["enable.partition.eof"], "`until` of the source says it"),
];

/// Parts of names whose values are never printed.
const SECRET: [&str; 4] = ["password", "passphrase", "secret", ".pem"];

impl Properties {
    /// Checks a name and a value, and takes them. The error says why they can't be used.
    pub fn insert(&mut self, name: &str, value: &str) -> Result<(), String> {
        if let Some((_, why)) = REFUSED.iter().find(|(names, _)| names.contains(&name)) {
            return Err(format!("this property can't be set: {why}"));
        }
        match ClientConfig::new().set(name, value).create_native_config() {
            Ok(_) => {
                self.0.insert(name.to_owned(), value.to_owned());
                Ok(())
            }
            Err(KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..)) => {
                Err(format!("librdkafka has no property `{name}`: its CONFIGURATION.md lists them"))
            }
            // It quotes the value.
            Err(_) if is_secret(name) => Err("librdkafka does not take this value".into()),
            Err(KafkaError::ClientConfig(_, message, ..)) => Err(format!("librdkafka does not take it: {message}")),
            Err(error) => Err(error.to_string()),
        }
    }

    /// In the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// By name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

fn is_secret(name: &str) -> bool {
    SECRET.iter().any(|part| name.contains(part))
}

/// Without secrets.
impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let shown = self.iter().map(|(name, value)| (name, if is_secret(name) { "***" } else { value }));
        f.debug_map().entries(shown).finish()
    }
}

/// Without secrets.
impl Serialize for Properties {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in self.iter() {
            map.serialize_entry(name, if is_secret(name) { "***" } else { value })?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Properties {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Properties, D::Error> {
        let mut properties = Properties::default();
        Under { name: "", properties: &mut properties }.deserialize(deserializer)?;
        Ok(properties)
    }
}

/// Reads a table whose keys go on where a name ends, or the value of that name.
struct Under<'a> {
    name: &'a str,
    properties: &'a mut Properties,
}

impl Under<'_> {
    fn set<E: de::Error>(self, value: &str) -> Result<(), E> {
        if self.name.is_empty() {
            return Err(E::invalid_type(de::Unexpected::Str(value), &self));
        }
        self.properties.insert(self.name, value).map_err(E::custom)
    }
}

impl<'de> DeserializeSeed<'de> for Under<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Under<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(if self.name.is_empty() { "a table of properties" } else { "text, a number, `true` or `false`" })
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<(), E> {
        self.set(value.trim())
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<(), E> {
        self.set(if value { "true" } else { "false" })
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<(), E> {
        self.set(&value.to_string())
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<(), E> {
        self.set(&value.to_string())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<(), E> {
        self.set(&value.to_string())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            let name = if self.name.is_empty() { key } else { format!("{}.{key}", self.name) };
            map.next_value_seed(Under { name: &name, properties: self.properties })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Properties, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn dots_are_those_of_names_and_of_tables() {
        let flat = read("'socket.keepalive.enable' = true\n'linger.ms' = 5").unwrap();
        assert_eq!(flat.iter().collect::<Vec<_>>(), [("linger.ms", "5"), ("socket.keepalive.enable", "true")]);
        assert_eq!(read("socket.keepalive.enable = 'true'\n[linger]\nms = 5").unwrap(), flat);
        assert_eq!(read(&toml::to_string(&flat).unwrap()), Ok(flat));
    }

    #[test]
    fn what_librdkafka_or_the_delivery_does_not_take_is_refused() {
        for (text, what) in [
            ("'acks' = 1", "this property can't be set: an event counts as written"),
            ("message.timeout.ms = 1", "`timeout` of the sink says it"),
            ("'lingr.ms' = 5", "no property `lingr.ms`"),
            ("'linger.ms' = 'soon'", "does not take it"),
            ("linger = [5]", "text, a number, `true` or `false`"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(what), "{text}: {error}");
        }
    }

    #[test]
    fn every_name_that_is_refused_is_one_of_librdkafkas_and_told_in_the_docs() {
        let page = include_str!("../../../docs/kafka.md");
        for name in REFUSED.iter().flat_map(|(names, _)| *names) {
            let set = ClientConfig::new().set(*name, "1").create_native_config().err();
            let unknown = matches!(set, Some(KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..)));
            assert!(!unknown, "{name}");
            assert!(page.contains(&format!("`{name}`")), "docs/kafka.md does not have `{name}`");
        }
    }

    #[test]
    fn secrets_are_not_told() {
        let secret = read("ssl.key.password = 'hunter2'").unwrap();
        assert!(!format!("{secret:?} {}", toml::to_string(&secret).unwrap()).contains("hunter2"));
        assert_eq!(secret.get("ssl.key.password"), Some("hunter2"));
    }
}
