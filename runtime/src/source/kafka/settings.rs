//! What a user may set about the Kafka source.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveTime, SecondsFormat, Utc};
use regex::Regex;
use serde::de::{self, Deserializer};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

use crate::kafka::Properties;
use crate::units;

/// The settings of a Kafka source.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The name of a connection.
    pub connection: String,
    /// What is read.
    pub topics: Topics,
    /// Processes with the same group share the partitions, and the positions.
    pub group: String,
    /// Where a partition begins of which the group has no position.
    #[serde(default)]
    pub start: Start,
    /// When the source ends.
    #[serde(default)]
    pub until: Until,
    /// How the members of the group share the partitions.
    #[serde(default)]
    pub protocol: Protocol,
    /// How long a partition that is taken away waits for what of it is on its way to a sink.
    #[serde(default = "revoke_timeout", with = "units::duration")]
    pub revoke_timeout: Duration,
    /// Whatever else librdkafka knows.
    #[serde(default)]
    pub properties: Properties,
}

fn revoke_timeout() -> Duration {
    Duration::from_secs(10)
}

/// Names of topics, and patterns, which begin with `^`. There is at least one, and each is valid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Topics(Vec<String>);

/// Where a partition begins of which the group has no position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// With the oldest event that is kept.
    #[default]
    Earliest,
    /// With what comes after the source was opened.
    Latest,
    /// With the first event that is not older, in milliseconds since the Unix epoch.
    Time(i64),
}

/// When a source ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Until {
    /// Never.
    #[default]
    Stopped,
    /// At the end that each of its partitions had when it was assigned.
    End,
}

/// How the members of the group share the partitions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// The members agree, as they always did: KIP-429.
    #[default]
    Classic,
    /// The broker decides: KIP-848, from Kafka 4.0 on.
    Consumer,
}

impl Protocol {
    /// As librdkafka calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Protocol::Classic => "classic",
            Protocol::Consumer => "consumer",
        }
    }
}

impl Topics {
    /// Checks each name and pattern. The error says which one can't be used, and why.
    pub fn new(topics: Vec<String>) -> Result<Topics, String> {
        if topics.is_empty() {
            return Err("there is no topic: name one, or a pattern such as `^logs\\..*`".into());
        }
        for topic in &topics {
            if topic.starts_with('^') {
                // librdkafka has a dialect of its own, whose common ground is this one's.
                Regex::new(topic).map_err(|error| format!("`{topic}` is not a pattern: {error}"))?;
            } else if !is_name(topic) {
                return Err(format!(
                    "`{topic}` is not the name of a topic: letters, digits, `.`, `_` and `-`, at most 249; a pattern \
                     begins with `^`"
                ));
            }
        }
        Ok(Topics(topics))
    }

    /// As they were written.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

/// As the brokers have it.
fn is_name(topic: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=249).contains(&topic.len()) && topic.chars().all(plain) && !matches!(topic, "." | "..")
}

impl Start {
    /// Reads a word, or a time in RFC 3339, or a date, which begins at midnight in UTC.
    pub fn parse(text: &str) -> Result<Start, String> {
        match text.trim() {
            "earliest" => return Ok(Start::Earliest),
            "latest" => return Ok(Start::Latest),
            _ => {}
        }
        let time = DateTime::parse_from_rfc3339(text.trim()).map(|time| time.to_utc());
        let time =
            time.or_else(|_| text.trim().parse::<NaiveDate>().map(|date| date.and_time(NaiveTime::MIN).and_utc()));
        let millis = time.ok().map(|time| time.timestamp_millis()).filter(|millis| *millis >= 0);
        millis.map(Start::Time).ok_or_else(|| {
            format!("`{text}` is no start: write `earliest`, `latest`, or a time such as `2026-01-31T12:00:00Z`")
        })
    }
}

impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Start::Earliest => f.write_str("earliest"),
            Start::Latest => f.write_str("latest"),
            Start::Time(millis) => {
                let time: DateTime<Utc> = DateTime::from_timestamp_millis(*millis).unwrap_or_default();
                f.write_str(&time.to_rfc3339_opts(SecondsFormat::AutoSi, true))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Topics {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Topics, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a topic, a pattern such as `^logs\\..*`, or a list of them")]
        enum Written {
            One(String),
            Several(Vec<String>),
        }
        let topics = match Written::deserialize(deserializer)? {
            Written::One(topic) => topic.split(',').map(|topic| topic.trim().to_owned()).collect(),
            Written::Several(topics) => topics,
        };
        Topics::new(topics).map_err(de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Start {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Start, D::Error> {
        Start::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

impl Serialize for Start {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Settings, String> {
        let text = format!("connection = 'k'\ngroup = 'g'\n{text}");
        toml::from_str(&text).map_err(|error| error.to_string())
    }

    #[test]
    fn topics_are_names_and_patterns() {
        let one = read("topics = 'quakes'").unwrap();
        assert_eq!(one.topics.iter().collect::<Vec<_>>(), ["quakes"]);
        assert_eq!((one.start, one.until, one.protocol), (Start::Earliest, Until::Stopped, Protocol::Classic));
        let several = read("topics = ['^logs\\..*', 'a-b_c.d']").unwrap();
        assert_eq!(several.topics.iter().count(), 2);
        assert_eq!(read("topics = 'a, b'").unwrap().topics.iter().collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn a_start_is_a_word_or_a_time_and_is_written_as_it_is_read() {
        for (text, start) in [
            ("earliest", Start::Earliest),
            ("latest", Start::Latest),
            ("1970-01-01T00:00:01.5Z", Start::Time(1500)),
            ("1970-01-01T02:00:00+02:00", Start::Time(0)),
            ("1970-01-02", Start::Time(86_400_000)),
        ] {
            assert_eq!(Start::parse(text), Ok(start), "{text}");
            assert_eq!(Start::parse(&start.to_string()), Ok(start), "{start}");
        }
    }

    #[test]
    fn what_can_not_be_read_is_refused() {
        for (text, what) in [
            ("", "topics"),
            ("topics = []", "there is no topic"),
            ("topics = 'a b'", "`a b` is not the name of a topic"),
            ("topics = '^('", "`^(` is not a pattern"),
            ("topics = 1", "a list of them"),
            ("topics = 'a'\nstart = 'beginning'", "`earliest`, `latest`, or a time"),
            ("topics = 'a'\nstart = '1960-01-01'", "no start"),
            ("topics = 'a'\nuntil = 'now'", "`stopped` or `end`"),
            ("topics = 'a'\nproperties = { 'group.id' = 'x' }", "`group` of the source says it"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(what), "{text}: {error}");
        }
    }
}
