//! Appends events to files, one line each.

mod settings;

pub use settings::{Fsync, Path, Settings};
