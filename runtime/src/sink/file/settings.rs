//! What a user may set about the file sink.

use std::fmt;
use std::num::NonZeroUsize;
use std::time::Duration;

use serde::de::{Deserializer, Error, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

use super::{Compression, PathTemplate, Rotate};
use crate::units;

/// The settings of a file sink.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Which file. Missing folders are made.
    pub path: PathTemplate,
    /// When what was written is made to survive a power cut.
    #[serde(default)]
    pub fsync: Fsync,
    /// When a file is finished and another one begun.
    #[serde(default, skip_serializing_if = "is_default")]
    pub rotate: Rotate,
    /// How what is written is compressed. Unset: it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compression: Option<Compression>,
    /// Files that are open at the same time, where the path depends on the event.
    #[serde(default = "max_open_files")]
    pub max_open_files: NonZeroUsize,
}

impl Settings {
    /// Of a file that is neither rotated nor compressed.
    pub fn new(path: PathTemplate, fsync: Fsync) -> Settings {
        Settings { path, fsync, rotate: Rotate::default(), compression: None, max_open_files: max_open_files() }
    }
}

fn max_open_files() -> NonZeroUsize {
    const { NonZeroUsize::new(100).unwrap() }
}

fn is_default(rotate: &Rotate) -> bool {
    *rotate == Rotate::default()
}

/// When what was written is made to survive a power cut. A kill loses nothing in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fsync {
    /// Before a batch counts as written.
    Batch,
    /// So long after a write at the latest.
    Every(Duration),
    /// When the system sees fit.
    Never,
}

impl Default for Fsync {
    fn default() -> Fsync {
        Fsync::Every(Duration::from_secs(1))
    }
}

impl Fsync {
    /// Reads it from text. The error says what would be accepted.
    pub fn parse(text: &str) -> Result<Fsync, String> {
        match text.trim() {
            "batch" => Ok(Fsync::Batch),
            "never" => Ok(Fsync::Never),
            other => units::duration::parse(other)
                .map(Fsync::of)
                .map_err(|_| format!("`{text}` is not accepted: write `batch`, `never`, or an interval such as `1s`")),
        }
    }

    /// An interval of nothing is every batch.
    fn of(interval: Duration) -> Fsync {
        if interval.is_zero() { Fsync::Batch } else { Fsync::Every(interval) }
    }
}

impl Serialize for Fsync {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Fsync::Batch => serializer.serialize_str("batch"),
            Fsync::Never => serializer.serialize_str("never"),
            Fsync::Every(interval) => units::duration::serialize(interval, serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Fsync {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Fsync, D::Error> {
        deserializer.deserialize_any(Humane)
    }
}

struct Humane;

impl Visitor<'_> for Humane {
    type Value = Fsync;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("`batch`, `never`, or an interval such as `1s`")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Fsync, E> {
        Fsync::parse(text).map_err(E::custom)
    }

    fn visit_i64<E: Error>(self, seconds: i64) -> Result<Fsync, E> {
        self.visit_str(&seconds.to_string())
    }

    fn visit_u64<E: Error>(self, seconds: u64) -> Result<Fsync, E> {
        self.visit_str(&seconds.to_string())
    }

    fn visit_f64<E: Error>(self, seconds: f64) -> Result<Fsync, E> {
        self.visit_str(&seconds.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Settings, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn fsync_is_a_word_or_an_interval() {
        for (text, expected) in [
            ("", Fsync::Every(Duration::from_secs(1))),
            ("fsync = 'batch'", Fsync::Batch),
            ("fsync = 'never'", Fsync::Never),
            ("fsync = '500ms'", Fsync::Every(Duration::from_millis(500))),
            ("fsync = 2", Fsync::Every(Duration::from_secs(2))),
            ("fsync = 0", Fsync::Batch),
        ] {
            let settings = read(&format!("path = 'x'\n{text}")).unwrap();
            assert_eq!(settings.fsync, expected, "{text}");
            assert_eq!(read(&toml::to_string(&settings).unwrap()), Ok(settings));
        }
    }

    #[test]
    fn what_can_not_be_written_is_refused() {
        for (text, what) in [
            ("path = ''", "does not name a file"),
            ("path = 'a/'", "does not name a file"),
            ("path = '{kye}.log'", "unknown place"),
            ("path = 'x'\nfsync = 'often'", "`batch`, `never`, or an interval"),
            ("path = 'x'\nfsync = -1", "`batch`, `never`, or an interval"),
            ("fsync = 'never'", "path"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(what), "{text}: {error}");
        }
    }
}
