//! What a user may set about the Kafka sink.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, IntoDeserializer, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::expr::Template;
use crate::kafka::Properties;

/// The settings of a Kafka sink.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The name of a connection.
    pub connection: String,
    /// The topic of each event.
    pub topic: TopicTemplate,
    /// The key of each event, instead of its own. An event that lacks what it needs has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Template>,
    /// Headers beside an event's own, by name. An event that lacks what one needs does not have it.
    #[serde(default)]
    pub headers: BTreeMap<String, Template>,
    /// Which time a record has.
    #[serde(default)]
    pub timestamp: Time,
    /// The number of the partition of each event. Unset: the partitioner says it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "partition")]
    pub partition: Option<Template>,
    /// Which partition a key belongs to.
    #[serde(default)]
    pub partitioner: Partitioner,
    /// How records are made smaller.
    #[serde(default)]
    pub compression: Compression,
    /// Whatever else librdkafka knows.
    #[serde(default)]
    pub properties: Properties,
}

/// Names topics. One that is the same for all events is a name that a topic may have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct TopicTemplate(Template);

/// Which time a record has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Time {
    /// The event's.
    #[default]
    Event,
    /// That of its writing.
    Now,
}

/// Which partition a key belongs to. Those without a key go to any, many to the same one for a while.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Partitioner {
    /// By murmur2, as clients in Java do.
    #[default]
    Murmur2,
    /// By CRC32, as librdkafka does by itself.
    Crc32,
    /// By FNV-1a, as Sarama does.
    Fnv1a,
    /// Any, whatever the key.
    Random,
}

/// How records are made smaller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// Zstandard.
    #[default]
    Zstd,
    /// LZ4.
    Lz4,
    /// Snappy.
    Snappy,
    /// Gzip.
    Gzip,
    /// Not at all.
    None,
}

impl TopicTemplate {
    /// Fails where every event would name the same topic, and no topic can have that name.
    pub fn new(template: Template) -> Result<TopicTemplate, String> {
        match template.constant() {
            Some(name) if !is_topic(name) => {
                Err(format!("`{name}` can't be a topic: its name has 1 to 249 letters, digits, `.`, `_` and `-`"))
            }
            _ => Ok(TopicTemplate(template)),
        }
    }

    /// The text with its places.
    pub fn template(&self) -> &Template {
        &self.0
    }
}

/// Whether a topic may have this name.
pub(super) fn is_topic(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=249).contains(&name.len()) && name.bytes().all(plain) && !matches!(name, "." | "..")
}

impl<'de> Deserialize<'de> for TopicTemplate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<TopicTemplate, D::Error> {
        TopicTemplate::new(Template::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

impl Partitioner {
    /// As librdkafka calls it.
    pub(super) fn property(self) -> &'static str {
        match self {
            Partitioner::Murmur2 => "murmur2_random",
            Partitioner::Crc32 => "consistent_random",
            Partitioner::Fnv1a => "fnv1a_random",
            Partitioner::Random => "random",
        }
    }
}

impl Compression {
    /// As librdkafka calls it.
    pub(super) fn property(self) -> &'static str {
        match self {
            Compression::Zstd => "zstd",
            Compression::Lz4 => "lz4",
            Compression::Snappy => "snappy",
            Compression::Gzip => "gzip",
            Compression::None => "none",
        }
    }
}

fn partition<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Template>, D::Error> {
    deserializer.deserialize_any(NumberOrTemplate).map(Some)
}

struct NumberOrTemplate;

impl Visitor<'_> for NumberOrTemplate {
    type Value = Template;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a number of a partition, or a template such as `{header:partition}`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Template, E> {
        let template = Template::deserialize(text.into_deserializer())?;
        match template.constant() {
            Some(number) if partition_of(number).is_none() => Err(E::invalid_value(de::Unexpected::Str(number), &self)),
            _ => Ok(template),
        }
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Template, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Template, E> {
        self.visit_str(&number.to_string())
    }
}

/// The number of a partition, if the text is one.
pub(super) fn partition_of(text: &str) -> Option<i32> {
    text.parse().ok().filter(|number| *number >= 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Settings, String> {
        toml::from_str(&format!("connection = 'c'\n{text}")).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let settings = read("topic = 'quakes'").unwrap();
        assert_eq!((settings.timestamp, settings.partitioner), (Time::Event, Partitioner::Murmur2));
        assert_eq!((settings.compression, settings.partition, settings.key), (Compression::Zstd, None, None));
    }

    #[test]
    fn a_partition_is_a_number_or_a_template() {
        for (text, expected) in [("3", "3"), ("'0'", "0"), ("'{header:p}'", "{header:p}")] {
            let settings = read(&format!("topic = 't'\npartition = {text}")).unwrap();
            assert_eq!(settings.partition.as_ref().map(Template::text), Some(expected));
            assert_eq!(toml::from_str::<Settings>(&toml::to_string(&settings).unwrap()).ok(), Some(settings));
        }
    }

    #[test]
    fn what_can_not_be_is_refused() {
        for (text, what) in [
            ("", "topic"),
            ("topic = ''", "`` can't be a topic"),
            ("topic = '..'", "`..` can't be a topic"),
            ("topic = 'a/b'", "`a/b` can't be a topic"),
            ("topic = '{kye}'", "unknown place"),
            ("topic = 't'\npartition = -1", "a number of a partition"),
            ("topic = 't'\ncompression = 'brotli'", "zstd"),
            ("topic = 't'\nproperties.acks = 0", "can't be set"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(what), "{text}: {error}");
        }
        assert!(!is_topic(&"x".repeat(250)) && is_topic("{event}".trim_matches(['{', '}'])));
    }
}
