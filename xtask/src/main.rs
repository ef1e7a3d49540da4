//! `cargo xtask`: the project's own tasks. Each is a module; [`USAGE`] lists them.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]

mod bench;
mod command;
mod crash;
mod demo;
mod guests;
mod kafka;
mod languages;
mod peers;
mod report;
mod templates;
mod test;
#[cfg(test)]
mod tidy;
mod tools;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use lexopt::prelude::*;

const USAGE: &str = "\
Usage: cargo xtask TASK

  demo
      From nothing to a finished run: real events through native sinks and a sandboxed one.

  test [--only STEP]... [--advisories] [-- ARGS...]
      Every check, cheap ones first, with what they need installed. ARGS go to `cargo test`.
      Steps: format, tidy, clippy, guests, build, languages, tests, crash, docs, deny.
      --advisories  also ask the database of known vulnerabilities, which is fetched from GitHub

  bench [NAME]... [--json FILE]
      Benchmarks, all or the named ones: boundary, path, order, route, file, encode, buffer, http, kafka, startup.
      --json FILE   also write the figures there, as one array

  crash [NAME]... [--rounds N] [--seed S]
      Kills the program N times (300) over one input, in each case or the named ones, and counts
      what is lost and what comes
      twice: file, slow, wasm, disk, disk-slow, file-once, follow, follow-disk.

  kafka
      Prints the folder of Apache Kafka for tests, which is fetched if it is not there:
      SUMP_KAFKA=$(cargo xtask kafka) cargo test --test kafka

The tidy checks alone: cargo test -p xtask
";

/// What the command line asks for.
enum Task {
    Help,
    Demo,
    Test(test::Options),
    Bench(bench::Options),
    Crash(crash::Options),
    Kafka,
}

fn main() -> ExitCode {
    let task = match parse(std::env::args_os().skip(1)) {
        Ok(task) => task,
        Err(error) => {
            eprintln!("error: {error:#}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<()> {
    match task {
        Task::Help => {
            print!("{USAGE}");
            Ok(())
        }
        Task::Demo => demo::run(),
        Task::Test(options) => test::run(&options),
        Task::Bench(options) => bench::run(&options),
        Task::Crash(options) => crash::run(&options),
        Task::Kafka => {
            println!("{}", kafka::folder()?.display());
            Ok(())
        }
    }
}

fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Task> {
    let mut parser = lexopt::Parser::from_args(arguments);
    let task = match parser.next()? {
        None | Some(Short('h') | Long("help")) => return Ok(Task::Help),
        Some(Value(task)) => task.string()?,
        Some(other) => return Err(other.unexpected().into()),
    };
    match task.as_str() {
        "help" => Ok(Task::Help),
        "demo" | "kafka" => match parser.next()? {
            None if task == "demo" => Ok(Task::Demo),
            None => Ok(Task::Kafka),
            Some(other) => Err(other.unexpected().into()),
        },
        "test" => parse_test(parser),
        "bench" => parse_bench(parser),
        "crash" => parse_crash(parser),
        _ => anyhow::bail!("there is no task `{task}`"),
    }
}

fn parse_test(mut parser: lexopt::Parser) -> Result<Task> {
    let mut options = test::Options::default();
    loop {
        // Everything behind `--` belongs to `cargo test`.
        if let Some(mut rest) = parser.try_raw_args()
            && rest.next_if(|argument| argument == "--").is_some()
        {
            options.arguments = rest.collect();
            return Ok(Task::Test(options));
        }
        match parser.next()? {
            Some(Long("only")) => options.only.push(test::step_named(&parser.value()?.string()?)?),
            Some(Long("advisories")) => options.advisories = true,
            Some(other) => return Err(other.unexpected().into()),
            None => return Ok(Task::Test(options)),
        }
    }
}

fn parse_bench(mut parser: lexopt::Parser) -> Result<Task> {
    let mut options = bench::Options::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Value(name) => options.names.push(bench::name(&name.string()?)?),
            Long("json") => options.json = Some(PathBuf::from(parser.value()?)),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(Task::Bench(options))
}

fn parse_crash(mut parser: lexopt::Parser) -> Result<Task> {
    let mut options = crash::Options::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Value(name) => options.only.push(crash::case_named(&name.string()?)?),
            Long("rounds") => options.rounds = parser.value()?.parse()?,
            Long("seed") => options.seed = Some(parser.value()?.parse()?),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(Task::Crash(options))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_two_dashes_goes_to_cargo_test() {
        let Task::Test(options) =
            parse(["test", "--only", "tests", "--", "--test", "end"].map(OsString::from)).unwrap()
        else {
            panic!("not the task `test`");
        };
        assert_eq!(options.only, ["tests"]);
        assert_eq!(options.arguments, ["--test", "end"]);
        assert!(!options.advisories);
    }

    #[test]
    fn unknown_names_are_refused() {
        for line in [["test", "--only", "tets"], ["bench", "path", "pth"], ["demo", "--fast", "x"]] {
            assert!(parse(line.map(OsString::from)).is_err(), "{line:?}");
        }
    }

    #[test]
    fn the_usage_lists_every_step_and_bench() {
        assert!(USAGE.contains(&format!("Steps: {}.", test::names().join(", "))));
        assert!(USAGE.contains(&format!("ones: {}.", bench::NAMES.join(", "))));
        assert!(USAGE.contains(&format!("twice: {}.", crash::names().join(", "))));
    }
}
