//! The commands that tasks run, and the folders that they use.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// The project's root folder.
pub(crate) fn root() -> &'static Path {
    // Cargo may take the build of another clone for this one's, so what was true at build time is the second choice.
    static ROOT: std::sync::LazyLock<PathBuf> = std::sync::LazyLock::new(|| {
        let package = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        PathBuf::from(package).parent().map(Path::to_path_buf).unwrap_or_default()
    });
    &ROOT
}

/// Where the project keeps what it downloads: `sump` in the user's cache folder.
pub(crate) fn cache_folder() -> Result<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
    Ok(cache.context("no cache folder: neither XDG_CACHE_HOME nor HOME is set")?.join("sump"))
}

/// Whether a machine reads the output.
pub(crate) fn in_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false")
}

/// A command that runs in the project's root folder.
pub(crate) fn command(program: impl AsRef<OsStr>, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root());
    // Cargo sets these for xtask itself. Build scripts that watch them would run again each time.
    for (name, _) in std::env::vars_os() {
        let inherited =
            name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"));
        if inherited {
            command.env_remove(name);
        }
    }
    if in_ci() {
        command.env("CARGO_TERM_COLOR", "never").env("CARGO_TERM_PROGRESS_WHEN", "never").env("NO_COLOR", "1");
    }
    command
}

/// The Cargo that runs xtask.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    command(std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")), arguments)
}

/// Runs a command with its output shown. Everything but success is an error that quotes it.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start `{}`", line(command)))?;
    if !status.success() {
        bail!("`{}` failed ({status})", line(command));
    }
    Ok(())
}

/// Runs a command as [`run`] does. Where tests of Rust's own harness fail, the error repeats what each of them said: in a
/// long output that is the part to read, and a log may be kept only by its end.
pub(crate) fn run_tests(command: &mut Command) -> Result<()> {
    let mut child =
        command.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot start `{}`", line(command)))?;
    let mut failures = Failures::default();
    if let Some(output) = child.stdout.take() {
        let (mut output, mut line) = (BufReader::new(output), Vec::new());
        while output.read_until(b'\n', &mut line)? > 0 {
            std::io::stdout().write_all(&line)?;
            failures.hear(&String::from_utf8_lossy(&line));
            line.clear();
        }
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("`{}` failed ({status}){}", line(command), failures.story);
    }
    Ok(())
}

/// What Rust's test harness tells of tests that failed, taken from its output.
#[derive(Default)]
struct Failures {
    /// Within the part that quotes the failed tests; their list, which follows it, is part of it.
    quoting: bool,
    story: String,
}

impl Failures {
    /// The longest story; of a longer one the beginning is told.
    const MOST: usize = 20_000;

    fn hear(&mut self, line: &str) {
        self.quoting |= line.trim_end() == "failures:";
        self.quoting &= !line.starts_with("test result:");
        if self.quoting && self.story.len() + line.len() <= Self::MOST {
            self.story += if self.story.is_empty() { "\n" } else { "" };
            self.story += line;
        }
    }
}

/// Runs a command for its standard output; the other output is shown. Everything but success is an error that quotes it.
pub(crate) fn read(command: &mut Command) -> Result<String> {
    let output =
        command.stderr(Stdio::inherit()).output().with_context(|| format!("cannot start `{}`", line(command)))?;
    if !output.status.success() {
        bail!("`{}` failed ({})", line(command), output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{}` printed something else than text", line(command)))
}

/// Whether a command starts and succeeds; its output is not shown.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// What `cargo metadata` says of the workspace.
pub(crate) fn metadata() -> Result<Value> {
    let text = read(&mut cargo(&["metadata", "--format-version", "1", "--no-deps"]))?;
    serde_json::from_str(&text).context("`cargo metadata` printed something else than JSON")
}

/// Where Cargo puts what it builds, by its metadata.
pub(crate) fn target_folder(workspace: &Value) -> Result<&Path> {
    workspace["target_directory"].as_str().map(Path::new).context("`cargo metadata` names no target directory")
}

/// The command as people type it.
fn line(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_quotes_the_command() {
        let error = run(&mut command("false", &["--reason"])).unwrap_err().to_string();
        assert!(error.starts_with("`false --reason` failed"), "{error}");
    }

    #[test]
    fn what_failed_tests_said_is_repeated() {
        let mut failures = Failures::default();
        let output = "test a ... ok\ntest b ... FAILED\n\nfailures:\n\n---- b stdout ----\nleft: 1\n\nfailures:\n    b\n\n\
                      test result: FAILED.\nmore\n";
        output.split_inclusive('\n').for_each(|line| failures.hear(line));
        assert_eq!(failures.story, "\nfailures:\n\n---- b stdout ----\nleft: 1\n\nfailures:\n    b\n\n");
    }

    #[test]
    fn the_root_is_the_workspace() {
        assert!(root().join("wit/sink.wit").is_file());
    }
}
