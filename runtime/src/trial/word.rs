//! What became of an event, in a few words: `written`, `rejected: too-large`, `transient: http-429, after 30s`, `not tried`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{self, Deserializer};

use crate::sink::{Failure, FailureKind};
use crate::units;

const KINDS: [&str; 4] = ["transient", "unknown", "rejected", "halted"];

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// Written, or encoded.
    Done,
    /// The batch ended before it.
    NotTried,
    /// A failure.
    Failed {
        /// Its kind.
        kind: &'static str,
        /// Its code; none means any.
        code: Option<String>,
        /// The pause that the destination asked for; none means any.
        after: Option<Duration>,
    },
}

impl Word {
    /// Of a failure, with all that can be said of it.
    pub(super) fn of(failure: &Failure) -> Word {
        let after = match failure.kind {
            FailureKind::Transient { after } => after,
            _ => None,
        };
        Word::Failed { kind: failure.kind.name(), code: Some(failure.code.to_string()), after }
    }

    /// Whether what happened is what this says.
    pub(super) fn fits(&self, found: &Word) -> bool {
        match (self, found) {
            (
                Word::Failed { kind, code, after },
                Word::Failed { kind: found_kind, code: found_code, after: found_after },
            ) => {
                kind == found_kind
                    && (code.is_none() || code == found_code)
                    && (after.is_none() || after == found_after)
            }
            (expected, found) => expected == found,
        }
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Word::Done => f.write_str("written"),
            Word::NotTried => f.write_str("not tried"),
            Word::Failed { kind, code, after } => {
                f.write_str(kind)?;
                if let Some(code) = code {
                    write!(f, ": {code}")?;
                }
                match after {
                    Some(after) => write!(f, ", after {}", units::duration::print(*after)),
                    None => Ok(()),
                }
            }
        }
    }
}

impl FromStr for Word {
    type Err = String;

    fn from_str(text: &str) -> Result<Word, String> {
        match text {
            "written" | "encoded" => return Ok(Word::Done),
            "not tried" => return Ok(Word::NotTried),
            _ => {}
        }
        let (text_before, after) = match text.split_once(", after ") {
            Some((before, after)) => (before, Some(units::duration::parse(after)?)),
            None => (text, None),
        };
        let (kind, code) = match text_before.split_once(": ") {
            Some((kind, code)) => (kind, Some(code.to_owned())),
            None => (text_before, None),
        };
        match KINDS.iter().find(|known| **known == kind) {
            Some(kind) => Ok(Word::Failed { kind, code, after }),
            None => Err(format!(
                "`{text}` is no outcome: write `written`, `not tried`, or a kind ({}) and perhaps its code, such as \
                 `rejected: too-large` or `transient: http-429, after 30s`",
                KINDS.join(", ")
            )),
        }
    }
}

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Word, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_as_they_are_written() {
        for text in ["written", "not tried", "rejected", "unknown: timeout", "transient: http-429, after 1m 30s"] {
            assert_eq!(text.parse::<Word>().unwrap().to_string(), text);
        }
        for text in ["", "Written", "rejected:", "refused: a", "transient: a, after soon"] {
            assert!(text.parse::<Word>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_not_said_may_be_anything() {
        let word = |text: &str| text.parse::<Word>().unwrap();
        let found = word("transient: http-429, after 30s");
        for text in ["transient", "transient: http-429", "transient, after 30s"] {
            assert!(word(text).fits(&found), "{text}");
        }
        for text in ["written", "rejected", "transient: http-503", "transient: http-429, after 31s"] {
            assert!(!word(text).fits(&found), "{text}");
        }
    }
}
