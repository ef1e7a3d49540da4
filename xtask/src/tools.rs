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

/// Makes sure that programs are there, each given with its package in Debian.
pub(crate) fn programs(programs: &[(&str, &str)]) -> Result<()> {
    let missing = missing(programs);
    if missing.is_empty() { Ok(()) } else { packages(&missing) }
}

/// Installs packages of Debian.
pub(crate) fn packages(missing: &[&str]) -> Result<()> {
    let line = format!("apt-get install --yes --no-install-recommends {}", missing.join(" "));
    let is_root = read(&mut command("id", &["-u"])).is_ok_and(|id| id.trim() == "0");
    if !is_root || !is_in_path("apt-get") {
        bail!("install what is missing, such as by `{line}`");
    }
    note(format!("installing: {line}"));
    let words: Vec<&str> = line.split(' ').skip(1).collect();
    let mut install = command("apt-get", &words);
    install.env("DEBIAN_FRONTEND", "noninteractive");
    if run(&mut install).is_err() {
        // The lists of packages may be older than what there is.
        run(&mut command("apt-get", &["update"]))?;
        run(&mut install)?;
    }
    Ok(())
}

/// The packages of the programs that are not there.
fn missing<'a>(programs: &[(&str, &'a str)]) -> Vec<&'a str> {
    programs.iter().filter(|(program, _)| !is_in_path(program)).map(|(_, package)| *package).collect()
}

fn is_in_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_told_by_its_package() {
        assert_eq!(missing(&[("sh", "dash"), ("no-such-program", "some-package")]), ["some-package"]);
    }
}
