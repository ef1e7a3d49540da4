//! What a user may set about the file source.

use std::time::Duration;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

/// The settings of a file source, beside those of the framing.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Which files.
    pub path: Globs,
    /// Where to begin in files that are there when the source runs for the very first time.
    #[serde(default)]
    pub start: Start,
    /// Whether to go on at the ends of the files, with what is added to them and with new ones.
    #[serde(default)]
    pub follow: bool,
    /// How what is compressed is told from what is not.
    #[serde(default)]
    pub compression: Compression,
    /// How changes are noticed while files are followed.
    #[serde(default)]
    pub watch: Watch,
    /// How often to look where the system does not say what changes. Above zero.
    #[serde(with = "interval", default = "second")]
    pub poll_interval: Duration,
}

impl Settings {
    /// Everything but the path as it is where nothing is said.
    pub fn new(path: Globs) -> Settings {
        Settings {
            path,
            start: Start::default(),
            follow: false,
            compression: Compression::default(),
            watch: Watch::default(),
            poll_interval: second(),
        }
    }
}

fn second() -> Duration {
    Duration::from_secs(1)
}

/// How what is compressed is told from what is not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// By the first bytes of each file. One that is named `….gz` or `….zst` has to begin as its name says.
    #[default]
    Auto,
    /// Nothing is: bytes are read as they are.
    None,
    /// Everything is, with gzip.
    Gzip,
    /// Everything is, with zstd.
    Zstd,
}

/// How changes are noticed while files are followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Watch {
    /// The system says so, by inotify, and where it can't, somebody looks every `poll_interval`.
    #[default]
    Auto,
    /// By looking every `poll_interval`.
    Poll,
}

/// Where to begin in files that are there when the source runs for the very first time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// With its first line.
    #[default]
    Beginning,
    /// With what is added from then on. Files that come later begin with their first line.
    End,
}

/// One glob or several, such as `logs/*.ndjson`. There is at least one, and each is valid.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Globs(Vec<String>);

impl Globs {
    /// Checks each glob. The error says which one can't be used, and why.
    pub fn new(globs: Vec<String>) -> Result<Globs, String> {
        if globs.is_empty() {
            return Err("there is no path: name a file or a glob such as `logs/*.ndjson`".into());
        }
        for text in &globs {
            if text.is_empty() {
                return Err("a path is empty: name a file or a glob such as `logs/*.ndjson`".into());
            }
            glob::Pattern::new(text).map_err(|error| format!("`{text}` is not a glob: {error}"))?;
        }
        Ok(Globs(globs))
    }

    /// Each glob as it was written.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl<'de> Deserialize<'de> for Globs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Globs, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a path, a glob such as `logs/*.ndjson`, or a list of them")]
        enum Written {
            One(String),
            Several(Vec<String>),
        }
        let globs = match Written::deserialize(deserializer)? {
            Written::One(glob) => vec![glob],
            Written::Several(globs) => globs,
        };
        Globs::new(globs).map_err(D::Error::custom)
    }
}

/// A time that is not zero: looking again without a pause would take all of a processor.
mod interval {
    use std::time::Duration;

    use serde::de::{Deserializer, Error};
    use serde::ser::Serializer;

    use crate::units;

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        match units::duration::deserialize(deserializer)? {
            Duration::ZERO => Err(D::Error::custom("`0s` is out of range: a time above zero is needed")),
            interval => Ok(interval),
        }
    }

    pub(super) fn serialize<S: Serializer>(interval: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        units::duration::serialize(interval, serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Settings, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_path_is_one_glob_or_several() {
        let one = read("path = 'a/*.log'\nstart = 'end'").unwrap();
        assert_eq!((one.path.iter().collect::<Vec<_>>(), one.start), (vec!["a/*.log"], Start::End));
        let several = read("path = ['a', 'b']").unwrap();
        assert_eq!((several.path.iter().count(), several.start), (2, Start::Beginning));
        assert_eq!(several, Settings::new(several.path.clone()));
    }

    #[test]
    fn a_path_that_matches_nothing_ever_is_refused() {
        for (text, what) in [
            ("path = []", "there is no path"),
            ("path = ''", "a path is empty"),
            ("path = 'a/[z'", "`a/[z` is not a glob"),
            ("path = 1", "a list of them"),
            ("path = 'a'\npoll_interval = 0", "above zero"),
            ("path = 'a'\ncompression = 'lz4'", "zstd"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(what), "{text}: {error}");
        }
    }
}
