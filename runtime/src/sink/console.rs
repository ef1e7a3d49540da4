//! Shows events to people, on standard output.

use serde::{Deserialize, Serialize};

/// The settings of a console sink.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// What an event looks like.
    pub format: Format,
}

/// What an event looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// JSON over several lines, in colour on a terminal; anything else as text.
    #[default]
    Pretty,
    /// One JSON object a line: payload, key, headers, time and origin.
    Json,
    /// The payload and a newline.
    Raw,
    /// One line of `name=value` pairs, from the fields of the payload.
    Logfmt,
}
