//! `sump replay send`: through the same delivery as ever.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;

use super::{Exit, data_dir, environment, plan, result, say, say_passed_over, say_problems, wrong};
use crate::cli::args::ReplaySend;
use crate::cli::run::{exit, run_id, watch, writes_to_standard_output};
use crate::cli::summary::{events, grouped, table};
use crate::config::Plan;
use crate::envelope::PathName;
use crate::pipeline::{BuildError, Ended, Host, Outlook, Overview, Replay, ReplayError, Request};
use crate::units;

pub(super) fn send(args: &ReplaySend, line: ProgressBar) -> anyhow::Result<Exit> {
    let plan = match plan(&args.files) {
        Ok(plan) => plan,
        Err(exit) => return Ok(exit),
    };
    let data_dir = data_dir(args.data_dir.as_ref(), Some(&plan))?;
    let request = Request { filter: args.select.filter(), to: args.to.clone(), again: args.again };
    let open = if args.dry_run { Replay::look } else { Replay::open };
    let surveyed = open(&data_dir, request).and_then(|replay| Ok((replay.outlook(&plan)?, replay)));
    let (outlook, replay) = match surveyed {
        Ok(surveyed) => surveyed,
        Err(error) => return Ok(refused(error)),
    };
    say_left_out(&outlook);
    if args.dry_run {
        result(&forecast(&outlook))?;
    }
    if args.dry_run || outlook.sendable() == 0 {
        if !args.dry_run {
            result("nothing to send\n")?;
        }
        let in_vain = outlook.sendable() == 0 && outlook.left_out() > 0;
        return Ok(if in_vain { Exit::Usage } else { Exit::Done });
    }
    let host = Host {
        data_dir,
        cache_dir: environment::compiled_folder()?,
        run: run_id(),
        colour: std::io::stdout().is_terminal(),
        from_start: false,
        reopen: Default::default(),
        environment: &environment::variable,
    };
    let shares_terminal = std::io::stdout().is_terminal() && writes_to_standard_output(&plan);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let line = (!shares_terminal).then_some(line);
    let exit = runtime.block_on(deliver(args, replay, &plan, &host, &outlook, line));
    runtime.shutdown_background();
    exit
}

async fn deliver(
    args: &ReplaySend,
    replay: Replay,
    plan: &Plan,
    host: &Host<'_>,
    outlook: &Outlook,
    line: Option<ProgressBar>,
) -> anyhow::Result<Exit> {
    let pipelines = match replay.build(plan, host, outlook).await {
        Ok(pipelines) => pipelines,
        Err(error) => return Ok(refused(error)),
    };
    let (overview, began) = (pipelines.overview(), Instant::now());
    let ended = match watch(pipelines, args.drain_timeout, line).await? {
        Ok(ended) => ended,
        Err(exit) => return Ok(exit),
    };
    say(&summary(&overview, &ended, outlook, began.elapsed()));
    Ok(match exit(&ended, args.strict) {
        // A signal came before everything was even read.
        Exit::Done | Exit::NotAll if remaining(&overview, &ended, outlook) > 0 => Exit::Undelivered,
        exit => exit,
    })
}

fn refused(error: ReplayError) -> Exit {
    match error {
        ReplayError::Build(BuildError::Config(problems)) => {
            say_problems(&problems);
            Exit::Usage
        }
        error => wrong(&error),
    }
}

fn sent(overview: &Overview) -> u64 {
    overview.sinks.iter().map(|sink| sink.metrics.written.get()).sum()
}

fn remaining(overview: &Overview, ended: &Ended, outlook: &Outlook) -> u64 {
    outlook.sendable().saturating_sub(sent(overview) + ended.dead_lettered)
}

fn summary(overview: &Overview, ended: &Ended, outlook: &Outlook, took: Duration) -> String {
    let mut text = table(overview);
    text.push_str(&format!("{} sent again", events(sent(overview))));
    if ended.dead_lettered > 0 {
        text.push_str(&format!(", {} failed again and kept anew", grouped(ended.dead_lettered)));
    }
    match remaining(overview, ended, outlook) {
        0 => {}
        remaining => text.push_str(&format!(", {} left as they were", grouped(remaining))),
    }
    text.push_str(&format!("\ndone in {}\n", units::duration::about(took)));
    text
}

fn forecast(outlook: &Outlook) -> String {
    let mut text: String =
        outlook.destinations.iter().map(|(path, count)| format!("{path}: {}\n", events(*count))).collect();
    text.push_str(&format!("{} would be sent again\n", events(outlook.sendable())));
    text
}

/// What is meant and can't be sent, and what would help.
fn say_left_out(outlook: &Outlook) {
    let left_out = |counts: &std::collections::BTreeMap<PathName, u64>, why: &str| {
        for (path, count) in counts {
            say(&format!("note: {} of `{path}` not sent: {why}\n", events(*count)));
        }
    };
    left_out(&outlook.gone, "the configuration has no such sink; name another by --to PIPELINE:SINK");
    left_out(&outlook.sinkless, "no sink was ever given them; name one by --to PIPELINE:SINK");
    if outlook.cut > 0 {
        let cut = events(outlook.cut);
        say(&format!("note: {cut} not sent: only the beginning is kept; see `sump replay show --code too-long`\n"));
    }
    say_passed_over(outlook.unevaluated, outlook.unreadable);
}
