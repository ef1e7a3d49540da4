//! `encoder = "raw"`: payloads as they are.

use serde::{Deserialize, Serialize};

/// It has none: nothing is encoded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {}
