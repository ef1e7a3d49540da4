//! Standard input, or any other stream that can be read once.

use serde::{Deserialize, Serialize};

/// There is nothing to set beside the framing.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {}
