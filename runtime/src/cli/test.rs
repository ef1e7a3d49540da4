//! `sump test`: a component on trial, as a runner of tests shows it.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anstyle::{AnsiColor, Style};
use anyhow::Context;

use super::{Exit, args, environment, result, say, say_problems, setup};
use crate::config::{Diagnostic, text_of};
use crate::project::{self, BuildError, Order};
use crate::trial::{Cases, Setup, Suite, Trial, Verdict, junit};
use crate::units;
use crate::wasm::{Component, Host};

/// Lines of what a component printed that are shown where it failed.
const HEARD: usize = 20;

pub(super) fn test(args: &args::Test) -> anyhow::Result<Exit> {
    let begun = Instant::now();
    let unusable = |error: &dyn std::fmt::Display| {
        say(&format!("error: {error}\n"));
        Ok(Exit::Usage)
    };
    let path = match project_or(args.component.as_deref()) {
        Ok(path) => path,
        Err(error) => return unusable(&error),
    };
    let component = match Host::new(environment::compiled_folder()?)?.load(&path) {
        Ok(component) => component,
        Err(error) => return unusable(&error),
    };
    let plan = files(&args.tests).and_then(|files| Ok((setup(args, &path, &component, files.is_empty())?, files)));
    let (plain, files) = match plan {
        Ok(plan) => plan,
        Err(problems) => {
            say_problems(&problems);
            return Ok(Exit::Usage);
        }
    };
    let trial = Trial { component: &component, only: args.only.as_deref() };
    let suites = run(trial, &files, plain.as_ref(), args.bless)?;
    if let Some(path) = &args.junit {
        std::fs::write(path, junit(&suites)).with_context(|| format!("{} can't be written", path.display()))?;
    }
    let verdicts = || suites.iter().flat_map(|suite| &suite.verdicts);
    let failed = verdicts().filter(|verdict| !verdict.passed()).count();
    let passed = verdicts().count() - failed;
    if passed + failed == 0 {
        return unusable(&"there is nothing to try: no name has what `--only` says");
    }
    result(&format!("\n{passed} passed, {failed} failed in {}\n", units::duration::about(begun.elapsed())))?;
    Ok(if failed == 0 { Exit::Done } else { Exit::NotAll })
}

/// The component that was named, else that of the project in this folder, built.
pub(super) fn project_or(component: Option<&Path>) -> Result<PathBuf, BuildError> {
    match component {
        Some(path) => Ok(path.to_owned()),
        None => project::build(&Order { folder: ".".into(), output: None }).map(|(_, path)| path),
    }
}

/// The files of cases in a folder, by name. None is there where there is no folder.
pub(super) fn files(folder: &Path) -> Result<Vec<Cases>, Vec<Diagnostic>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let entries = std::fs::read_dir(folder).and_then(|entries| entries.collect::<Result<Vec<_>, _>>());
    let entries = entries.map_err(|error| {
        vec![Diagnostic::error("trial::cases", format!("`{}` can't be read: {error}", folder.display()))]
    })?;
    let mut paths: Vec<PathBuf> = entries.iter().map(std::fs::DirEntry::path).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    let (mut files, mut problems) = (Vec::new(), Vec::new());
    for path in paths {
        match text_of(&path).map_err(|problem| vec![problem]).and_then(Cases::read) {
            Ok(cases) => files.push(cases),
            Err(more) => problems.extend(more),
        }
    }
    if problems.is_empty() { Ok(files) } else { Err(problems) }
}

/// How the command line sets the component up. Where files do that and it says nothing, there is no such setup.
fn setup(
    args: &args::Test,
    path: &Path,
    component: &Component,
    is_alone: bool,
) -> Result<Option<Setup>, Vec<Diagnostic>> {
    if !is_alone && args.set.is_empty() && args.allow_http.is_empty() {
        return Ok(None);
    }
    setup::by_command_line(&args.set, &args.allow_http, path, component).map(Some)
}

/// Tries everything, and shows each as it ends. What is blessed is written into its file.
fn run(trial: Trial, files: &[Cases], plain: Option<&Setup>, bless: bool) -> anyhow::Result<Vec<Suite>> {
    let mut suites = Vec::new();
    // What can't be printed is told once, at the end.
    let mut printed = Ok(());
    let mut told = |text: String| printed = std::mem::replace(&mut printed, Ok(())).and_then(|()| result(&text));
    for cases in files {
        told(format!("\n{}\n", cases.name()));
        let mut ended = |verdict: &Verdict| told(line(verdict));
        if bless {
            let (suite, text) = trial.bless(cases, &mut ended);
            if suite.verdicts.iter().any(|verdict| verdict.blessed) {
                std::fs::write(cases.name(), text).with_context(|| format!("{} can't be written", cases.name()))?;
            }
            suites.push(suite);
        } else {
            suites.push(trial.cases(cases, &mut ended));
        }
    }
    let mut known: Vec<&Setup> = Vec::new();
    for cases in files {
        if known.contains(&cases.setup()) {
            continue;
        }
        if !cases.setup().allow.tcp.is_empty() {
            told(format!(
                "\nconformance, set up as {}: not tried, since only cases know what is said over TCP\n",
                cases.name()
            ));
            continue;
        }
        told(format!("\nconformance, set up as {}\n", cases.name()));
        suites.push(trial.conformance(cases.setup(), Some(cases), &mut |verdict| told(line(verdict))));
        known.push(cases.setup());
    }
    if let Some(setup) = plain {
        told("\nconformance\n".to_owned());
        suites.push(trial.conformance(setup, None, &mut |verdict| told(line(verdict))));
    }
    printed?;
    Ok(suites)
}

/// What is shown of one; in colour on a terminal.
fn line(verdict: &Verdict) -> String {
    let took = units::duration::about(verdict.took);
    let (word, colour) = match (verdict.passed(), verdict.blessed) {
        (false, _) => ("FAILED ", AnsiColor::Red),
        (true, true) => ("BLESSED", AnsiColor::Yellow),
        (true, false) => ("ok     ", AnsiColor::Green),
    };
    let style = if std::io::stdout().is_terminal() { colour.on_default() } else { Style::new() };
    let place = verdict.place.as_ref().filter(|_| !verdict.passed());
    let place = place.map(|place| format!(" at {place}")).unwrap_or_default();
    let mut text = format!("  {style}{word}{style:#} {} ({took}){place}\n", verdict.name);
    if verdict.passed() {
        return text;
    }
    for line in verdict.problems.iter().flat_map(|problem| problem.lines()) {
        text.push_str(&format!("            {line}\n"));
    }
    for line in verdict.heard.iter().take(HEARD) {
        text.push_str(&format!("            log: {line}\n"));
    }
    if verdict.heard.len() > HEARD {
        text.push_str(&format!("            log: … {} lines more\n", verdict.heard.len() - HEARD));
    }
    text
}
