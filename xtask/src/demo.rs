//! `cargo xtask demo`: from nothing to a finished run over real events.

use std::path::PathBuf;

use anyhow::Result;

use crate::command::{self, cargo, metadata, target_folder};
use crate::guests;
use crate::report::{Report, note};

/// Builds what the demonstration runs, and runs it.
pub(crate) fn run() -> Result<()> {
    let mut report = Report::new();
    report.step("guests", "example sinks become components", || guests::build().map(drop));
    report.step("runtime", "the program itself, which takes minutes the first time", || {
        note(runtime()?.display());
        Ok(())
    });
    report.finish()
}

/// Builds the runtime as the tests build it, so that a machine compiles the libraries once, and returns the program.
fn runtime() -> Result<PathBuf> {
    command::run(&mut cargo(&["build", "--package", "sump", "--bin", "sump"]))?;
    Ok(target_folder(&metadata()?)?.join("debug/sump"))
}
