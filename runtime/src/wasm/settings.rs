//! Stands in until the room is built.

use serde::{Deserialize, Serialize};

use crate::units;

/// The settings of a wasm sink.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The component.
    pub path: std::path::PathBuf,
    /// Its own configuration.
    #[serde(default)]
    pub config: serde_json::Map<String, serde_json::Value>,
    /// What it may use.
    #[serde(default)]
    pub allow: Allow,
    /// What it may use up.
    #[serde(default)]
    pub limits: Limits,
}

/// What it may use.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Allow {
    /// Requests.
    pub http: Vec<Http>,
    /// Folders.
    pub dirs: Vec<Dir>,
    /// Variables.
    pub env: Vec<String>,
}

/// A destination of requests.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// The URL.
    pub to: String,
    /// What is added.
    #[serde(default)]
    pub headers: std::collections::BTreeMap<String, String>,
}

/// A folder.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Dir {
    /// Outside.
    pub host: std::path::PathBuf,
    /// Inside.
    pub guest: String,
    /// What may be done.
    pub access: String,
}

/// What it may use up.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// All memories.
    #[serde(with = "units::size")]
    pub memory: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { memory: 128 << 20 }
    }
}
