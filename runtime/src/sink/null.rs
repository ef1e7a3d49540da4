//! Takes everything and keeps nothing.

use serde::{Deserialize, Serialize};

/// There is nothing to set.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {}
