//! What a user may set about the file source.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

/// The settings of a file source, beside those of the framing.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Which files.
    pub path: Globs,
    /// Where to begin in a file that was never read before.
    #[serde(default)]
    pub start: Start,
}

/// Where to begin in a file that was never read before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// With its first line.
    #[default]
    Beginning,
    /// With what is added after it was seen.
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
    }

    #[test]
    fn a_path_that_matches_nothing_ever_is_refused() {
        for (text, what) in [
            ("path = []", "there is no path"),
            ("path = ''", "a path is empty"),
            ("path = 'a/[z'", "`a/[z` is not a glob"),
            ("path = 1", "a list of them"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(what), "{text}: {error}");
        }
    }
}
