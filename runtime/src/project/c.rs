//! Sinks in C: their Makefile, with what the SDK gives it, makes a core module.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::build::{BuildError, at, run};
use super::component;

/// Makes the component of what the Makefile's target `core` makes, which the SDK's `sump.mk` has.
pub(super) fn build(folder: &Path, output: &Path) -> Result<(), BuildError> {
    let core = output.with_extension("core.wasm");
    let mut make = Command::new("make");
    make.args(["--silent", "core"]).arg(format!("CORE={}", core.display())).current_dir(folder);
    run(make.stdin(Stdio::null()).stdout(Stdio::piped()))?;
    let module = fs::read(&core).map_err(at(&core))?;
    fs::remove_file(&core).map_err(at(&core))?;
    fs::write(output, component::encode(module)?).map_err(at(output))
}
