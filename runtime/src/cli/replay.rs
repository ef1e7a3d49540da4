//! `sump replay`: what could not be delivered, listed, shown, sent again.
//!
//! Nothing but `send`, `discard` and `prune` changes anything, and these work beside a run: a run appends to segments of
//! its own, and they mark, under a lock of their own, what is done.

mod list;
mod send;
mod show;

use std::ops::Range;
use std::path::PathBuf;

use super::args::{Replay, ReplayDiscard, ReplayPrune, Select, Where};
use super::{Exit, environment, log, progress, result, say, say_problems, summary};
use crate::config::{self, Plan};
use crate::delivery::{Marks, ReplayLock, Scan, Snapshot, prune};
use crate::pipeline::DataDir;
use crate::units;

pub(super) fn replay(args: &Replay) -> anyhow::Result<Exit> {
    let format = match args {
        Replay::Send(args) => args.log_format,
        _ => super::args::LogFormat::Text,
    };
    let line = progress::line();
    log::start(format, &line);
    match args {
        Replay::List(args) => list::list(args),
        Replay::Show(args) => show::show(args),
        Replay::Send(args) => send::send(args, line),
        Replay::Discard(args) => discard(args),
        Replay::Prune(args) => remove_done(args),
    }
}

/// The directory of the dead letters; an error is told.
fn directory(place: &Where) -> anyhow::Result<Result<PathBuf, Exit>> {
    let plan = match place.files.as_slice() {
        [] => None,
        files => match plan(files) {
            Ok(plan) => Some(plan),
            Err(exit) => return Ok(Err(exit)),
        },
    };
    let data_dir = data_dir(place.data_dir.as_ref(), plan.as_ref())?;
    Ok(DataDir::look(&data_dir).map_err(|error| wrong(&error)))
}

fn plan(files: &[PathBuf]) -> Result<Plan, Exit> {
    match config::load(files, &environment::variable) {
        Ok((plan, warnings)) => {
            say_problems(&warnings);
            Ok(plan)
        }
        Err(problems) => {
            say_problems(&problems);
            Err(Exit::Usage)
        }
    }
}

fn data_dir(given: Option<&PathBuf>, plan: Option<&Plan>) -> anyhow::Result<PathBuf> {
    match given.or_else(|| plan.and_then(|plan| plan.settings.data_dir.as_ref())) {
        Some(directory) => Ok(directory.clone()),
        None => environment::state_folder(),
    }
}

fn wrong(error: &dyn std::fmt::Display) -> Exit {
    say(&format!("error: {error}\n"));
    Exit::Usage
}

/// Says what the filter could not be asked, and what could not be read.
fn say_passed_over(unevaluated: u64, unreadable: u64) {
    if unevaluated > 0 {
        let events = summary::events(unevaluated);
        say(&format!("note: `--where` could not be evaluated for {events}, which are left out\n"));
    }
    if unreadable > 0 {
        let lines = summary::grouped(unreadable);
        say(&format!("warning: lines that can't be read: {lines}; their segments are never removed\n"));
    }
}

fn discard(args: &ReplayDiscard) -> anyhow::Result<Exit> {
    if selects_all(&args.select) && !args.all {
        return Ok(wrong(&"this would discard every dead letter: narrow it by a filter, or say so by --all"));
    }
    let directory = match directory(&args.place)? {
        Ok(directory) => directory,
        Err(exit) => return Ok(exit),
    };
    if !directory.is_dir() {
        result("0 dead letters are marked as done\n")?;
        return Ok(Exit::Done);
    }
    let lock = match ReplayLock::take(&directory) {
        Ok(lock) => lock,
        Err(error) => return Ok(wrong(&error)),
    };
    let mut marks = Marks::open(&directory, &lock);
    let mut scan = Scan::new(&Snapshot::take(&directory)?, args.select.filter(), false);
    let mut discarded = 0;
    loop {
        let lines: Vec<(u64, Range<u64>)> =
            scan.read()?.into_iter().map(|found| (found.segment, found.bytes)).collect();
        if lines.is_empty() {
            break;
        }
        discarded += lines.len() as u64;
        marks.mark(&lines)?;
    }
    say_passed_over(scan.unevaluated, scan.unreadable);
    result(&format!("{} dead letters are marked as done\n", summary::grouped(discarded)))?;
    Ok(Exit::Done)
}

fn selects_all(select: &Select) -> bool {
    select.filter().is_all()
}

fn remove_done(args: &ReplayPrune) -> anyhow::Result<Exit> {
    let directory = match directory(&args.place)? {
        Ok(directory) => directory,
        Err(exit) => return Ok(exit),
    };
    let (segments, bytes) = match directory.is_dir() {
        false => (0, 0),
        true => match ReplayLock::take(&directory) {
            Ok(lock) => prune(&directory, &lock)?,
            Err(error) => return Ok(wrong(&error)),
        },
    };
    let word = if segments == 1 { "segment" } else { "segments" };
    result(&format!("{segments} {word} removed, {}\n", units::size::about(bytes)))?;
    Ok(Exit::Done)
}

/// A time in milliseconds since the Unix epoch, as RFC 3339.
fn time(millis: u64) -> String {
    let time = i64::try_from(millis).ok().and_then(chrono::DateTime::from_timestamp_millis);
    let text = time.map(|time| time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true));
    text.unwrap_or_else(|| millis.to_string())
}
