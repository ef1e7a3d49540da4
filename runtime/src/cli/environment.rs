//! What the process finds around it: variables and folders.

use std::path::PathBuf;

use anyhow::Context;
use etcetera::BaseStrategy;

/// An environment variable, if it is set and is text.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Where runs keep their state, unless they are told otherwise.
pub(super) fn state_folder() -> anyhow::Result<PathBuf> {
    let folders = etcetera::choose_base_strategy().context("the home directory is not known: use --data-dir")?;
    Ok(folders.state_dir().unwrap_or_else(|| folders.data_dir()).join("sump"))
}

/// Where compiled components are kept. They are made again where they are missing.
pub(super) fn compiled_folder() -> anyhow::Result<PathBuf> {
    let folders = etcetera::choose_base_strategy().context("the home directory is not known: set HOME")?;
    Ok(folders.cache_dir().join("sump").join("compiled"))
}
