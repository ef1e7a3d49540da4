//! The command line: what people type, and what they see.
//!
//! Results go to standard output, everything else to standard error. It alone reads the environment, prints, and
//! decides how the process ends.

mod args;
mod bench;
mod build;
mod check;
mod environment;
mod guarantees;
mod inspect;
mod log;
mod new;
mod progress;
mod replay;
mod run;
mod setup;
mod summary;
mod test;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;

use crate::config::{Diagnostic, Style, render};
use args::{Args, Command};

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    /// Everything is final.
    Done = 0,
    /// Some events went to the dead letters, and `--strict` was given; or a test failed.
    NotAll = 1,
    /// Wrong usage or configuration.
    Usage = 2,
    /// A defect, or something that should never fail did.
    Internal = 70,
    /// Stopped with events undelivered.
    Undelivered = 75,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    let args = Args::parse();
    let done = match args.command {
        Command::Run(args) => run::run(&args),
        Command::Check(args) => check::check(&args),
        Command::Inspect(args) => inspect::inspect(&args),
        Command::New(args) => new::new(&args),
        Command::Build(args) => build::build(&args),
        Command::Test(args) => test::test(&args),
        Command::Bench(args) => bench::bench(&args),
        Command::Replay(args) => replay::replay(&args),
    };
    match done {
        Ok(exit) => exit.into(),
        Err(error) => {
            say(&format!("error: {error:#}\n"));
            Exit::Internal.into()
        }
    }
}

/// Prints something that is not a result.
#[expect(clippy::print_stderr, reason = "what people see of a run")]
fn say(text: &str) {
    eprint!("{text}");
}

/// Prints a result. A reader that went away has seen enough.
fn result(text: &str) -> Result<(), anyhow::Error> {
    use std::io::Write;
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Prints what is wrong with a configuration.
fn say_problems(problems: &[Diagnostic]) {
    if !problems.is_empty() {
        say(&render(problems, if std::io::stderr().is_terminal() { Style::Terminal } else { Style::Plain }));
    }
}
