//! Files, named by globs, read line by line from where the last run got to.

mod settings;

pub use settings::{Globs, Settings, Start};
