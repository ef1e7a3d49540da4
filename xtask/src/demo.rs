//! `cargo xtask demo`: from nothing to a finished run over real events.

mod endpoint;
mod outcome;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::command::{self, cargo, metadata, root, target_folder};
use crate::guests;
use crate::report::{heading, note};
use endpoint::Endpoint;

/// Builds what the demonstration runs, runs it, and shows what came of it.
pub(crate) fn run() -> Result<()> {
    heading("guests", "the example sinks become components");
    let guests = guests::build()?;
    heading("runtime", "the program itself, which takes minutes the first time");
    let sump = runtime()?;
    let out = target_folder(&metadata()?)?.join("demo");
    empty(&out)?;
    let endpoint = Endpoint::start()?;
    note(format!("a web hook that fails on purpose listens on {}", endpoint.url()));

    let run = |arguments: &[&str]| {
        let mut command = command::command(&sump, arguments);
        command
            .env("OUT", &out)
            .env("SINKS", &guests.folder)
            .env("ENDPOINT", endpoint.url())
            .env("HOOK_TOKEN", "a-secret-that-no-guest-sees");
        command
    };
    heading("sump run", "demo/quakes.toml");
    let data = out.join("data");
    let arguments = ["run", "demo/quakes.toml", "--data-dir", text(&data)?];
    command::run(&mut run(&arguments))?;
    heading("sump run", "once more: nothing is delivered twice");
    command::run(&mut run(&arguments))?;

    heading("what was delivered", text(&out)?);
    outcome::show(&out, &endpoint.requests())?;
    heading("what to try next", "");
    next(&sump, &guests.folder);
    Ok(())
}

/// Builds the runtime as the tests build it, so that a machine compiles the libraries once, and returns the program.
fn runtime() -> Result<PathBuf> {
    command::run(&mut cargo(&["build", "--package", "sump", "--bin", "sump"]))?;
    let sump = target_folder(&metadata()?)?.join("debug/sump");
    ensure!(sump.is_file(), "the runtime was built, but there is no {}", sump.display());
    Ok(sump)
}

/// What an earlier demonstration left would be continued by this one.
fn empty(out: &Path) -> Result<()> {
    if out.exists() {
        fs::remove_dir_all(out).with_context(|| format!("{} can't be emptied", out.display()))?;
    }
    for folder in ["networks", "days"] {
        fs::create_dir_all(out.join(folder))?;
    }
    Ok(())
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is not text", path.display()))
}

fn next(sump: &Path, sinks: &Path) {
    let here = std::env::current_dir().unwrap_or_default();
    let short =
        |path: &Path| path.strip_prefix(&here).or(path.strip_prefix(root())).unwrap_or(path).display().to_string();
    let (sump, csv) = (short(sump), short(&sinks.join("csv_by_day.wasm")));
    note("see what a component is, and what it may use:");
    note(format!("    {sump} inspect {csv}"));
    note("give a sink of your own the lines of standard input, in a sandbox and without any configuration:");
    note(format!("    mkdir -p out && {sump} run {csv} --allow-dir ./out:/out:rw < data/earthquakes.ndjson"));
    note("see what is wrong with a configuration, all at once; here what the demonstration sets is missing:");
    note(format!("    {sump} check demo/quakes.toml"));
    note("change example-sinks/csv-by-day/src/lib.rs or demo/quakes.toml, and run `cargo xtask demo` again");
}
