//! What a server's answer means, by its status.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserializer, Error};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

/// What an answer means for the events of its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Meaning {
    /// They are there.
    Written,
    /// Worth trying again.
    Transient,
    /// Perhaps they are there.
    Unknown,
    /// Never.
    Rejected,
    /// Not before an operator acts.
    Halted,
}

/// Statuses that mean something else than usual.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Statuses(BTreeMap<Pattern, Meaning>);

impl Statuses {
    /// What a status means: as it is set for this one, else for its class, else as usual.
    pub(super) fn of(&self, status: u16) -> Meaning {
        let set = self.0.get(&Pattern::One(status)).or_else(|| self.0.get(&Pattern::Class(status / 100)));
        set.copied().unwrap_or_else(|| usual(status))
    }
}

fn usual(status: u16) -> Meaning {
    match status {
        200..=299 => Meaning::Written,
        401 | 403 | 407 => Meaning::Halted,
        408 | 425 | 429 => Meaning::Transient,
        501 | 505 => Meaning::Rejected,
        500..=599 => Meaning::Transient,
        _ => Meaning::Rejected,
    }
}

/// Which statuses: `404`, or all of a class, `4xx`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Pattern {
    One(u16),
    Class(u16),
}

impl Pattern {
    fn parse(text: &str) -> Option<Pattern> {
        let class = text.strip_suffix("xx").or_else(|| text.strip_suffix("XX"));
        match class {
            Some(class) => class.parse().ok().filter(|class| (2..6).contains(class)).map(Pattern::Class),
            None => text.parse().ok().filter(|status| (200..600).contains(status)).map(Pattern::One),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Pattern::One(status) => write!(f, "{status}"),
            Pattern::Class(class) => write!(f, "{class}xx"),
        }
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Pattern, D::Error> {
        let text = String::deserialize(deserializer)?;
        Pattern::parse(&text).ok_or_else(|| {
            D::Error::custom(format!("`{text}` is not a status: write `404`, or `4xx` for all of a class"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Statuses, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn each_status_means_what_the_design_says() {
        let usual = Statuses::default();
        for status in 100..600 {
            let expected = match status {
                200..300 => Meaning::Written,
                408 | 425 | 429 => Meaning::Transient,
                401 | 403 | 407 => Meaning::Halted,
                501 | 505 => Meaning::Rejected,
                500.. => Meaning::Transient,
                _ => Meaning::Rejected,
            };
            assert_eq!(usual.of(status), expected, "{status}");
        }
    }

    #[test]
    fn one_status_wins_over_its_class() {
        let set = read("404 = 'transient'\n4xx = 'halted'\n409 = 'written'\n3xx = 'unknown'").unwrap();
        let expected = [
            (404, Meaning::Transient),
            (409, Meaning::Written),
            (400, Meaning::Halted),
            (429, Meaning::Halted),
            (302, Meaning::Unknown),
            (503, Meaning::Transient),
        ];
        for (status, expected) in expected {
            assert_eq!(set.of(status), expected, "{status}");
        }
        assert_eq!(read(&toml::to_string(&set).unwrap()), Ok(set));
    }

    #[test]
    fn what_is_no_status_is_refused() {
        for text in ["99 = 'written'", "600 = 'written'", "1xx = 'written'", "xx = 'written'", "40x = 'written'"] {
            assert!(read(text).unwrap_err().contains("is not a status"), "{text}");
        }
        assert!(read("404 = 'retry'").unwrap_err().contains("unknown variant `retry`"));
    }
}
