//! `cargo xtask demo`: from nothing to a finished run over real events.

use std::path::PathBuf;

use anyhow::Result;

use crate::command::{cargo, metadata, run as run_command, target_folder};
use crate::guests;
use crate::report::{Report, note};

/// Builds what the demonstration runs, and runs it.
pub(crate) fn run() -> Result<()> {
    let mut report = Report::new();
    report.step("guests", "example sinks become components", || {
        for (package, component) in guests::build()?.components {
            note(format!("{package}: {}", component.display()));
        }
        Ok(())
    });
    report.step("runtime", "the program `sump` (minutes for the first time)", || {
        runtime().map(|program| note(program.display()))
    });
    report.finish()
}

/// Builds the runtime as the tests build it, so that a machine compiles the libraries once, and returns the program.
fn runtime() -> Result<PathBuf> {
    run_command(&mut cargo(&["build", "--package", "sump", "--bin", "sump"]))?;
    Ok(target_folder(&metadata()?)?.join("debug/sump"))
}
