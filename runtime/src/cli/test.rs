//! `sump test`: a component on trial, as a runner of tests shows it.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;

use super::{Exit, args, environment, result, say, say_problems};
use crate::config::{self, CommandLine, SinkKind, text_of};
use crate::project::{self, Order};
use crate::trial::{Cases, Setup, Suite, Trial, Verdict};
use crate::units;
use crate::wasm::{Component, Host};

/// Lines of what a component printed that are shown where it failed.
const HEARD: usize = 20;

pub(super) fn test(args: &args::Test) -> anyhow::Result<Exit> {
    let begun = Instant::now();
    let path = match component(args) {
        Ok(path) => path,
        Err(error) => {
            say(&format!("error: {error}\n"));
            return Ok(Exit::Usage);
        }
    };
    let component = match Host::new(environment::compiled_folder()?)?.load(&path) {
        Ok(component) => component,
        Err(error) => {
            say(&format!("error: {error}\n"));
            return Ok(Exit::Usage);
        }
    };
    let Some(files) = files(&args.tests)? else { return Ok(Exit::Usage) };
    let Some(plain) = setup(args, &path, &component, files.is_empty()) else { return Ok(Exit::Usage) };
    let trial = Trial { component: &component, only: args.only.as_deref() };
    let suites = run(trial, &files, plain.as_ref())?;
    let verdicts = || suites.iter().flat_map(|suite| &suite.verdicts);
    let failed = verdicts().filter(|verdict| !verdict.passed()).count();
    let passed = verdicts().count() - failed;
    result(&format!("\n{passed} passed, {failed} failed in {}\n", units::duration::about(begun.elapsed())))?;
    match (passed, failed) {
        (0, 0) => {
            say("error: there is nothing to try: no name has what `--only` says\n");
            Ok(Exit::Usage)
        }
        (_, 0) => Ok(Exit::Done),
        _ => Ok(Exit::NotAll),
    }
}

/// The component's file. Without one, that of the project in this folder, built.
fn component(args: &args::Test) -> Result<PathBuf, project::BuildError> {
    match &args.component {
        Some(path) => Ok(path.clone()),
        None => project::build(&Order { folder: ".".into(), output: None }).map(|(_, path)| path),
    }
}

/// The files of cases, by name. None where one of them can't be read, which is told.
fn files(folder: &Path) -> anyhow::Result<Option<Vec<Cases>>> {
    let mut paths = Vec::new();
    if folder.is_dir() {
        let entries = std::fs::read_dir(folder).with_context(|| format!("{} can't be read", folder.display()))?;
        for entry in entries {
            paths.push(entry?.path());
        }
    }
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    let (mut files, mut problems) = (Vec::new(), Vec::new());
    for path in paths {
        match text_of(&path).map_err(|problem| vec![problem]).and_then(Cases::read) {
            Ok(cases) => files.push(cases),
            Err(more) => problems.extend(more),
        }
    }
    say_problems(&problems);
    Ok(problems.is_empty().then_some(files))
}

/// How the component is set up by the command line: `Some(None)` where files do that. None where it is wrong, which is
/// told.
fn setup(args: &args::Test, path: &Path, component: &Component, alone: bool) -> Option<Option<Setup>> {
    if !alone && args.set.is_empty() && args.allow_http.is_empty() {
        return Some(None);
    }
    let path = path.to_string_lossy();
    let (set, allow_http) = (args.set.as_slice(), args.allow_http.as_slice());
    let line = CommandLine { component: &path, set, allow_http, allow_dir: &[], allow_env: &[] };
    let plan = match config::from_command_line(&line) {
        Ok((plan, _)) => plan,
        Err(problems) => {
            say_problems(&problems);
            return None;
        }
    };
    let mut setup = Setup::default();
    for (pipeline, sink) in
        plan.pipelines.iter().flat_map(|pipeline| pipeline.sinks.iter().map(move |sink| (pipeline, sink)))
    {
        let SinkKind::Wasm(settings) = &sink.kind else { continue };
        let schema = component.description().config_schema.as_ref();
        let config = plan.config_of(&pipeline.name, &sink.name, schema).unwrap_or_else(|| settings.config.clone());
        setup.config = config.as_object().cloned().unwrap_or_default();
        setup.allow.http = settings.allow.http.clone();
    }
    Some(Some(setup))
}

fn run(trial: Trial, files: &[Cases], plain: Option<&Setup>) -> anyhow::Result<Vec<Suite>> {
    let mut suites = Vec::new();
    // What can't be printed is told once, at the end.
    let mut printed = Ok(());
    let mut told = |text: String| printed = std::mem::replace(&mut printed, Ok(())).and_then(|()| result(&text));
    for cases in files {
        told(format!("\n{}\n", cases.name()));
        suites.push(trial.cases(cases, &mut |verdict| told(line(verdict))));
    }
    let mut known: Vec<&Setup> = Vec::new();
    for cases in files {
        if known.contains(&cases.setup()) {
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

/// What is shown of one.
fn line(verdict: &Verdict) -> String {
    let took = units::duration::about(verdict.took);
    if verdict.passed() {
        return format!("  ok      {} ({took})\n", verdict.name);
    }
    let place = verdict.place.as_ref().map(|place| format!(" at {place}")).unwrap_or_default();
    let mut text = format!("  FAILED  {} ({took}){place}\n", verdict.name);
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
