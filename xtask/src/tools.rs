//! What must be installed beside Rust itself. Whatever is missing is fetched, and the task says so.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::command::{cache_folder, cargo, command, read, run, succeeds};
use crate::report::note;

/// What guests are compiled for.
pub(crate) const GUEST_TARGET: &str = "wasm32-wasip2";

/// The checks of `deny.toml` are written for this version.
const CARGO_DENY: &str = "0.20.2";

/// Makes sure that guests can be compiled.
pub(crate) fn guest_target() -> Result<()> {
    if guest_target_is_there() {
        return Ok(());
    }
    rustup(&["target", "add", GUEST_TARGET])?;
    if !guest_target_is_there() {
        bail!(
            "`{GUEST_TARGET}` was installed, but not for the compiler in use: is another `rustc` before rustup's in PATH?"
        );
    }
    Ok(())
}

/// Makes sure that `cargo fmt` and `cargo clippy` are there.
pub(crate) fn component(name: &'static str) -> Result<()> {
    let subcommand = if name == "rustfmt" { "fmt" } else { name };
    if succeeds(&mut cargo(&[subcommand, "--version"])) {
        return Ok(());
    }
    rustup(&["component", "add", name])
}

/// Makes sure that cargo-deny is there and returns its program. It is kept in the user's cache folder, not among the
/// user's own programs.
pub(crate) fn cargo_deny() -> Result<PathBuf> {
    let folder = cache_folder()?.join("tools");
    let program = folder.join("bin/cargo-deny");
    let wanted = format!("cargo-deny {CARGO_DENY}");
    if program.is_file() && read(&mut command(&program, &["--version"])).is_ok_and(|version| version.trim() == wanted) {
        return Ok(program);
    }
    note(format!("installing {wanted} into {} (once, some minutes)", folder.display()));
    // Unoptimised: it runs for seconds, and takes a third of the time to build.
    let mut install = cargo(&["install", "--locked", "--debug", "--root"]);
    install.arg(&folder).arg(format!("cargo-deny@{CARGO_DENY}")).env_remove("CARGO_TARGET_DIR");
    run(&mut install)?;
    Ok(program)
}

fn guest_target_is_there() -> bool {
    let library = read(&mut command("rustc", &["--print", "target-libdir", "--target", GUEST_TARGET]));
    library.is_ok_and(|folder| Path::new(folder.trim()).is_dir())
}

fn rustup(arguments: &[&str]) -> Result<()> {
    let line = format!("rustup {}", arguments.join(" "));
    note(format!("installing: {line}"));
    run(&mut command("rustup", arguments)).with_context(|| {
        format!("`{line}` is needed: install rustup from https://rustup.rs, or add what it names by your system's own packages")
    })
}
