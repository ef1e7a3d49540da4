//! What a value did not fit, and the way to it.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Expected, Unexpected};

/// An error, with the way from where reading began to where it arose.
#[derive(Clone, Debug)]
pub(super) struct Error {
    /// From the inside out: serde hands an error outwards, and each level adds its own step.
    steps: Vec<Step>,
    /// It is about the last key, not about its value.
    pub(super) about_key: bool,
    pub(super) what: What,
}

/// One step of the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

/// What is wrong.
#[derive(Clone, Debug)]
pub(super) enum What {
    /// In the words of who read it.
    Message(String),
    /// A value is not what is expected.
    Unfit { found: String, expected: String },
    /// A word is none of those that are known.
    NotOneOf { found: String, known: &'static [&'static str] },
    /// A key is none of those that are known.
    UnknownKey { known: &'static [&'static str] },
    /// A key that must be there is not.
    Missing { key: &'static str },
}

impl Error {
    fn new(what: What) -> Error {
        Error { steps: Vec::new(), about_key: false, what }
    }

    /// `found` is described, not quoted here.
    pub(super) fn not_one_of(found: String, known: &'static [&'static str]) -> Error {
        Error::new(What::NotOneOf { found, known })
    }

    pub(super) fn about_key(mut self) -> Error {
        self.about_key = true;
        self
    }

    pub(super) fn under_key(mut self, key: &str) -> Error {
        self.steps.push(Step::Key(key.to_owned()));
        self
    }

    pub(super) fn under_index(mut self, index: usize) -> Error {
        self.steps.push(Step::Index(index));
        self
    }

    /// From the outside in.
    pub(super) fn path(&self) -> Vec<Step> {
        self.steps.iter().rev().cloned().collect()
    }
}

impl serde::de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Error {
        Error::new(What::Message(message.to_string()))
    }

    fn invalid_type(found: Unexpected, expected: &dyn Expected) -> Error {
        Error::new(What::Unfit { found: describe(found), expected: humane(&expected.to_string()).into_owned() })
    }

    fn invalid_value(found: Unexpected, expected: &dyn Expected) -> Error {
        Error::invalid_type(found, expected)
    }

    fn unknown_variant(variant: &str, known: &'static [&'static str]) -> Error {
        Error::not_one_of(format!("`{variant}`"), known)
    }

    fn unknown_field(_: &str, known: &'static [&'static str]) -> Error {
        Error::new(What::UnknownKey { known })
    }

    fn missing_field(key: &'static str) -> Error {
        Error::new(What::Missing { key })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match &self.what {
            What::Message(message) => f.write_str(message),
            What::Unfit { found, expected } => write!(f, "expected {expected}, found {found}"),
            What::NotOneOf { found, .. } => write!(f, "{found} is not accepted"),
            What::UnknownKey { .. } => f.write_str("unknown key"),
            What::Missing { key } => write!(f, "`{key}` is missing"),
        }
    }
}

impl std::error::Error for Error {}

fn describe(found: Unexpected) -> String {
    match found {
        Unexpected::Str(text) => format!("`{text}`"),
        Unexpected::Bool(bool) => format!("`{bool}`"),
        Unexpected::Unsigned(number) => format!("`{number}`"),
        Unexpected::Signed(number) => format!("`{number}`"),
        Unexpected::Float(number) => format!("`{number}`"),
        Unexpected::Seq => "a list".into(),
        Unexpected::Map => "a table".into(),
        other => other.to_string(),
    }
}

/// What serde expects, in words that people who don't write Rust understand.
fn humane(expected: &str) -> Cow<'_, str> {
    Cow::Borrowed(match expected {
        "a string" => "text",
        "path string" => "a path",
        "a boolean" => "`true` or `false`",
        "u64" | "usize" => "a whole number, 0 or more",
        "a nonzero u64" | "a nonzero usize" => "a whole number, 1 or more",
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "a nonzero u8" => "a whole number from 1 to 255",
        "a nonzero u16" => "a whole number from 1 to 65535",
        "a nonzero u32" => "a whole number from 1 to 4294967295",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a sequence" => "a list",
        "a map" | "any valid JSON object" => "a table",
        other if other.starts_with("struct ") => "a table",
        other => return Cow::Borrowed(other),
    })
}
