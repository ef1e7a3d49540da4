//! Framing: how bytes that are read become events.

mod settings;

pub use settings::{Framing, Settings};
