//! What a task says while it runs: one heading for each step, its time, and a summary.

use std::fmt;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::command;

/// How a step ended.
enum Ending {
    Passed,
    Failed(String),
    /// Not run, because the step of this name failed.
    Skipped(&'static str),
}

/// The steps of a task so far. It prints as they come.
pub(crate) struct Report {
    began: Instant,
    endings: Vec<(&'static str, Duration, Ending)>,
}

impl Report {
    pub(crate) fn new() -> Report {
        Report { began: Instant::now(), endings: Vec::new() }
    }

    /// Runs a step below its heading.
    pub(crate) fn step(&mut self, name: &'static str, what: &str, work: impl FnOnce() -> Result<()>) {
        heading(name, what);
        let began = Instant::now();
        let ending = match work() {
            Ok(()) => Ending::Passed,
            Err(error) => Ending::Failed(format!("{error:#}")),
        };
        let took = began.elapsed();
        match &ending {
            Ending::Failed(error) => println!("{} {error} ({})", Style::Red.paint("failed:"), Seconds(took)),
            _ => println!("{name} ok ({})", Seconds(took)),
        }
        self.endings.push((name, took, ending));
    }

    /// Notes that a step did not run because of one that failed.
    pub(crate) fn skip(&mut self, name: &'static str, because: &'static str) {
        self.endings.push((name, Duration::ZERO, Ending::Skipped(because)));
    }

    /// Whether a step of this name failed, or did not run.
    pub(crate) fn lacks(&self, name: &str) -> bool {
        self.endings.iter().any(|(step, _, ending)| *step == name && !matches!(ending, Ending::Passed))
    }

    /// Prints the summary. Where anything failed it ends in an error that lists it.
    pub(crate) fn finish(self) -> Result<()> {
        heading("summary", "");
        for (name, took, ending) in &self.endings {
            match ending {
                Ending::Passed => println!("  {name:<8} {:>8}  ok", Seconds(*took).to_string()),
                Ending::Failed(error) => {
                    println!("  {name:<8} {:>8}  {} {error}", Seconds(*took).to_string(), Style::Red.paint("failed:"));
                }
                Ending::Skipped(because) => println!("  {name:<8} {:>8}  not run: `{because}` failed", "-"),
            }
        }
        let failed: Vec<&str> = self
            .endings
            .iter()
            .filter(|(.., ending)| matches!(ending, Ending::Failed(_)))
            .map(|(name, ..)| *name)
            .collect();
        let total = Seconds(self.began.elapsed());
        if !failed.is_empty() {
            anyhow::bail!("{} of {} steps failed in {total}: {}", failed.len(), self.endings.len(), failed.join(", "));
        }
        println!("everything passed in {total}");
        Ok(())
    }
}

/// Starts a part of the output.
pub(crate) fn heading(name: &str, what: &str) {
    let rule = Style::Bold.paint(&format!("==> {name}"));
    println!("\n{rule}{}{what}", if what.is_empty() { "" } else { ": " });
}

/// Says what is done beside the steps, such as installing something.
pub(crate) fn note(what: impl fmt::Display) {
    eprintln!("    {what}");
}

#[derive(Clone, Copy)]
enum Style {
    Bold,
    Red,
}

impl Style {
    /// The text in this style where a person sees it, else the text.
    fn paint(self, text: &str) -> String {
        let plain = command::in_ci() || std::env::var_os("NO_COLOR").is_some() || !std::io::stdout().is_terminal();
        match self {
            _ if plain => text.to_owned(),
            Style::Bold => format!("\x1b[1m{text}\x1b[0m"),
            Style::Red => format!("\x1b[1;31m{text}\x1b[0m"),
        }
    }
}

/// A time as people read it: `0.4 s`, `12 s`, `3 min 05 s`.
struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        match seconds {
            0..10 => write!(out, "{:.1} s", self.0.as_secs_f64()),
            10..60 => write!(out, "{seconds} s"),
            _ => write!(out, "{} min {:02} s", seconds / 60, seconds % 60),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_hides_nothing_and_is_listed() {
        let mut report = Report::new();
        report.step("one", "", || anyhow::bail!("broken"));
        report.step("two", "", || Ok(()));
        report.skip("three", "one");
        assert!(report.lacks("one") && report.lacks("three") && !report.lacks("two"));
        let error = report.finish().unwrap_err().to_string();
        assert!(error.starts_with("1 of 3 steps failed") && error.ends_with(": one"), "{error}");
    }

    #[test]
    fn times_are_short() {
        let shown = [400, 12_700, 185_000].map(|ms| Seconds(Duration::from_millis(ms)).to_string());
        assert_eq!(shown, ["0.4 s", "12 s", "3 min 05 s"]);
    }
}
