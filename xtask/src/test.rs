//! `cargo xtask test`: every check, the cheap ones first.

use std::ffi::OsString;
use std::process::Command;

use anyhow::{Result, bail};

use crate::command::{self, cargo, command, metadata};
use crate::report::Report;
use crate::{crash, guests, kafka, languages, tools};

/// What was asked for.
#[derive(Default)]
pub(crate) struct Options {
    /// The steps to run, with those that they need; none means all.
    pub(crate) only: Vec<&'static str>,
    /// Also ask the database of known vulnerabilities.
    pub(crate) advisories: bool,
    /// Passed on to `cargo test`.
    pub(crate) arguments: Vec<OsString>,
}

struct Step {
    name: &'static str,
    what: &'static str,
    /// Steps without which this one can only repeat their errors.
    needs: &'static [&'static str],
    run: fn(&Options) -> Result<()>,
}

/// In the order in which they run.
const STEPS: [Step; 10] = [
    Step { name: "format", what: "rustfmt has nothing to change", needs: &[], run: format },
    Step { name: "tidy", what: "the rules of the tree, and xtask's own tests", needs: &[], run: tidy },
    Step { name: "clippy", what: "no lint fires", needs: &[], run: clippy },
    Step { name: "guests", what: "example sinks and test guests become components", needs: &[], run: build_guests },
    Step { name: "build", what: "the runtime and all tests compile", needs: &[], run: build },
    Step {
        name: "languages",
        what: "SDKs and sinks in other languages, and what `sump new` makes, pass their own tests and become components",
        needs: &["build"],
        run: languages,
    },
    Step {
        name: "tests",
        what: "unit tests, end-to-end tests, examples in the docs",
        needs: &["guests", "build", "languages"],
        run: tests,
    },
    Step {
        name: "crash",
        what: "the program is killed at any moment, and nothing is lost",
        needs: &["guests", "build"],
        run: crash,
    },
    Step { name: "docs", what: "the reference is complete and its links lead somewhere", needs: &["build"], run: docs },
    Step { name: "deny", what: "licences, banned crates, sources", needs: &[], run: deny },
];

/// Servers that tests start, each with its package in Debian, and what makes their certificates.
const SERVERS: [(&str, &str); 6] = [
    ("nginx", "nginx-light"),
    ("tinyproxy", "tinyproxy-bin"),
    ("victoria-metrics", "victoria-metrics"),
    ("clickhouse-server", "clickhouse-server"),
    ("redis-server", "redis-server"),
    ("openssl", "openssl"),
];

/// The runtime, and all the rest. Apart, because crates that are built together share the features of their libraries:
/// with the guests beside it, the runtime's large ones would be compiled once more than the demonstration needs.
const GROUPS: [&[&str]; 2] = [&["--package", "sump"], &["--workspace", "--exclude", "sump"]];

/// The names of the steps.
pub(crate) fn names() -> Vec<&'static str> {
    STEPS.iter().map(|step| step.name).collect()
}

/// The name of a step, checked.
pub(crate) fn step_named(name: &str) -> Result<&'static str> {
    match STEPS.iter().find(|step| step.name == name) {
        Some(step) => Ok(step.name),
        None => bail!("there is no step `{name}`: it is one of {}", names().join(", ")),
    }
}

/// Runs the chosen steps. A failing one hides only those that need it.
fn run_steps(steps: &[Step], options: &Options) -> Report {
    let mut report = Report::new();
    for step in steps.iter().filter(|step| chosen(steps, step.name, &options.only)) {
        match step.needs.iter().find(|needed| report.lacks(needed)) {
            Some(needed) => report.skip(step.name, needed),
            None => report.step(step.name, step.what, || (step.run)(options)),
        }
    }
    report
}

/// Runs what was asked for and sums it up.
pub(crate) fn run(options: &Options) -> Result<()> {
    run_steps(&STEPS, options).finish()
}

/// Whether a step runs: everything does, or it was named, or a step that runs needs it.
fn chosen(steps: &[Step], name: &str, only: &[&str]) -> bool {
    let needed = |step: &Step| step.needs.contains(&name) && chosen(steps, step.name, only);
    only.is_empty() || only.contains(&name) || steps.iter().any(needed)
}

fn format(_: &Options) -> Result<()> {
    tools::component("rustfmt")?;
    command::run(&mut cargo(&["fmt", "--all", "--check"]))
}

fn tidy(_: &Options) -> Result<()> {
    command::run(&mut cargo(&["test", "--package", "xtask"]))
}

fn clippy(_: &Options) -> Result<()> {
    tools::component("clippy")?;
    in_groups(command::run, |group| {
        let mut clippy = cargo(&["clippy", "--all-targets"]);
        clippy.args(group).args(["--", "-D", "warnings"]);
        clippy
    })
}

fn build_guests(_: &Options) -> Result<()> {
    guests::build().map(drop)
}

fn build(options: &Options) -> Result<()> {
    in_groups(command::run, |group| {
        let mut build = cargo(&["test", "--no-run"]);
        build.args(group).args(before_dashes(&options.arguments));
        build
    })
}

/// Programs that end-to-end tests run, each with its package in Debian.
const PROGRAMS: [(&str, &str); 3] = [("gzip", "gzip"), ("zstd", "zstd"), ("logrotate", "logrotate")];

fn languages(_: &Options) -> Result<()> {
    languages::test_and_build()
}

fn tests(options: &Options) -> Result<()> {
    tools::programs(&SERVERS)?;
    // The other side of HTTPS and HTTP/2, and its certificates.
    tools::programs(&[("curl", "curl"), ("openssl", "openssl")])?;
    tools::programs(&PROGRAMS)?;
    let (guests, kafka) = (guests::folder(&metadata()?)?, kafka::folder()?);
    in_groups(command::run_tests, |group| {
        let mut tests = cargo(&["test", "--no-fail-fast"]);
        tests.args(group).args(&options.arguments);
        tests.env(guests::FOLDER_VARIABLE, &guests).env(kafka::FOLDER_VARIABLE, &kafka);
        tests
    })
}

fn crash(_: &Options) -> Result<()> {
    crash::run(&crash::Options { rounds: 30, ..crash::Options::default() })
}

fn docs(_: &Options) -> Result<()> {
    in_groups(command::run, |group| {
        let mut docs = cargo(&["doc", "--no-deps"]);
        docs.args(group).env("RUSTDOCFLAGS", "-D warnings");
        docs
    })
}

/// Runs a command for each group of crates. One that fails hides no other.
fn in_groups(run: fn(&mut Command) -> Result<()>, command_for: impl Fn(&[&str]) -> Command) -> Result<()> {
    let failed: Vec<String> = GROUPS
        .iter()
        .filter_map(|group| run(&mut command_for(group)).err())
        .map(|error| format!("{error:#}"))
        .collect();
    if failed.is_empty() { Ok(()) } else { bail!("{}", failed.join("; ")) }
}

fn deny(options: &Options) -> Result<()> {
    let program = tools::cargo_deny()?;
    let check = ["--locked", "check", "--hide-inclusion-graph"];
    command::run(command(&program, &check).args(["bans", "licenses", "sources"]))?;
    if options.advisories {
        command::run(command(&program, &check).arg("advisories"))?;
    }
    Ok(())
}

/// The arguments for Cargo itself. What follows a second `--` is for the test programs.
fn before_dashes(arguments: &[OsString]) -> &[OsString] {
    arguments.split(|argument| argument == "--").next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BROKEN: fn(&Options) -> Result<()> = |_| bail!("broken");
    const FINE: fn(&Options) -> Result<()> = |_| Ok(());

    fn outcome(steps: &[Step], only: &[&'static str]) -> String {
        let options = Options { only: only.to_vec(), ..Options::default() };
        run_steps(steps, &options).finish().err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_failed_build_ends_what_needs_it_and_nothing_else() {
        let steps = [
            Step { name: "lint", what: "", needs: &[], run: BROKEN },
            Step { name: "build", what: "", needs: &[], run: BROKEN },
            Step { name: "tests", what: "", needs: &["build"], run: BROKEN },
            Step { name: "deny", what: "", needs: &[], run: BROKEN },
        ];
        let error = outcome(&steps, &[]);
        assert!(error.starts_with("3 of 4 steps failed") && error.ends_with(": lint, build, deny"), "{error}");
    }

    #[test]
    fn a_named_step_brings_what_it_needs() {
        let steps = [
            Step { name: "lint", what: "", needs: &[], run: BROKEN },
            Step { name: "guests", what: "", needs: &[], run: FINE },
            Step { name: "tests", what: "", needs: &["guests"], run: FINE },
        ];
        assert_eq!(outcome(&steps, &["tests"]), "");
        assert!(chosen(&steps, "guests", &["tests"]) && !chosen(&steps, "tests", &["guests"]));
    }

    #[test]
    fn steps_need_only_steps_before_them() {
        for (index, step) in STEPS.iter().enumerate() {
            let before = &names()[..index];
            assert!(step.needs.iter().all(|needed| before.contains(needed)), "{}", step.name);
        }
    }
}
