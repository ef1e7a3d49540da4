//! Events made up here: for trying things out, and for measuring everything but a source.

mod settings;

pub use settings::{Rate, Settings};
