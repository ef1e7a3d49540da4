//! `sump run`.

use std::ffi::OsStr;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

use super::{Exit, args, environment, log, progress, say, say_problems, summary};
use crate::admin::{Listener, Server};
use crate::config::{self, CommandLine, Diagnostic, Plan, SinkKind};
use crate::pipeline::{self, BuildError, Ended, FeedError, Host, Pipelines, Signals};
use crate::sink::file::Reopen;

pub(super) fn run(args: &args::Run) -> anyhow::Result<Exit> {
    let line = progress::line();
    log::start(args.log_format, &line);
    let (plan, warnings) = match plan(args) {
        Ok(checked) => checked,
        Err(problems) => {
            say_problems(&problems);
            return Ok(Exit::Usage);
        }
    };
    say_problems(&warnings);
    let data_dir = match args.data_dir.as_ref().or(plan.settings.data_dir.as_ref()) {
        Some(directory) => directory.clone(),
        None => environment::state_folder()?,
    };
    let host = Host {
        data_dir,
        cache_dir: environment::compiled_folder()?,
        run: run_id(),
        colour: std::io::stdout().is_terminal(),
        from_start: args.from_start,
        reopen: Reopen::default(),
        environment: &environment::variable,
    };
    let shares_terminal = std::io::stdout().is_terminal() && writes_to_standard_output(&plan);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let exit = runtime.block_on(async {
        let line = (!shares_terminal).then_some(line);
        let admin = match admin(args, &plan).await {
            Ok(admin) => admin,
            Err(problem) => {
                say_problems(&[problem]);
                return Ok(Exit::Usage);
            }
        };
        let exit = deliver(args, &plan, &host, line, admin.as_ref()).await;
        if let Some(admin) = admin {
            admin.close().await;
        }
        exit
    });
    // A read of standard input that never returns must not hold the end up.
    runtime.shutdown_background();
    exit
}

fn plan(args: &args::Run) -> config::Checked {
    match args.files.as_slice() {
        [component] if component.extension() == Some(OsStr::new("wasm")) => config::from_command_line(&CommandLine {
            component: &component.to_string_lossy(),
            set: &args.set,
            allow_http: &args.allow_http,
            allow_tcp: &args.allow_tcp,
            allow_dir: &args.allow_dir,
            allow_env: &args.allow_env,
        }),
        files => config::load(files, &environment::variable),
    }
}

/// Answers machines from now on, where they were told to ask.
async fn admin(args: &args::Run, plan: &Plan) -> Result<Option<Server>, Diagnostic> {
    let Some(address) = args.admin.or(plan.settings.admin) else { return Ok(None) };
    let listener = Listener::bind(address).await.map_err(|error| {
        let problem = match args.admin {
            Some(_) => Diagnostic::error("admin::address", format!("--admin: {error}")),
            None => plan.error_at_top("admin", error.to_string()),
        };
        problem.help(error.remedy())
    })?;
    say(&format!("http://{}/metrics, /ready and /live are served\n", listener.address()));
    Ok(Some(listener.serve()))
}

async fn deliver(
    args: &args::Run,
    plan: &Plan,
    host: &Host<'_>,
    line: Option<indicatif::ProgressBar>,
    admin: Option<&Server>,
) -> anyhow::Result<Exit> {
    let _reopening = reopen_on_signal(host.reopen.clone())?;
    let pipelines = match pipeline::build(plan, host).await {
        Ok(pipelines) => pipelines,
        Err(BuildError::Config(problems)) => {
            say_problems(&problems);
            return Ok(Exit::Usage);
        }
        Err(error) => {
            say(&format!("error: {error}\n"));
            return Ok(Exit::Usage);
        }
    };
    let (overview, began) = (pipelines.overview(), Instant::now());
    if let Some(admin) = admin {
        admin.show(overview.clone(), pipelines.signals());
    }
    let ended = match watch(pipelines, args.drain_timeout, line).await? {
        Ok(ended) => ended,
        Err(exit) => return Ok(exit),
    };
    let dead_letters: PathBuf = host.data_dir.join("dead_letters");
    say(&summary::summary(&overview, &ended, began.elapsed(), &dead_letters));
    Ok(exit(&ended, args.strict))
}

/// Runs pipelines to their end, shows how far they are, and tells what went wrong. The first signal stops them; no end is
/// waited for after the second.
pub(super) async fn watch(
    pipelines: Pipelines,
    drain_timeout: Duration,
    line: Option<indicatif::ProgressBar>,
) -> anyhow::Result<Result<Ended, Exit>> {
    let (overview, signals) = (pipelines.overview(), pipelines.signals());
    let shown = async {
        match line.clone() {
            Some(line) => progress::show(line, overview).await,
            None => std::future::pending().await,
        }
    };
    let ended = tokio::select! {
        ended = pipelines.run(drain_timeout) => ended,
        () = shown => return Ok(Err(Exit::Internal)),
        second = stop_on_signals(&signals) => return second.map(Err),
    };
    if let Some(line) = &line {
        line.finish_and_clear();
    }
    for error in &ended.errors {
        say(&format!("error: {error}\n"));
    }
    Ok(Ok(ended))
}

pub(super) fn exit(ended: &Ended, strict: bool) -> Exit {
    match ended {
        Ended { errors, .. } if !errors.is_empty() => {
            let not_there = |error: &FeedError| matches!(error, FeedError::NotOpened { .. });
            if errors.iter().all(not_there) { Exit::Usage } else { Exit::Internal }
        }
        Ended { undelivered: 1.., .. } => Exit::Undelivered,
        Ended { dead_lettered: 1.., .. } if strict => Exit::NotAll,
        _ => Exit::Done,
    }
}

/// SIGUSR1 says that files were moved away, as after a rotation by another program. It is heeded until what this returns
/// is dropped.
fn reopen_on_signal(sinks: Reopen) -> anyhow::Result<JoinSet<()>> {
    let mut asked = signal(SignalKind::user_defined1()).context("signals can't be waited for")?;
    let mut task = JoinSet::new();
    task.spawn(async move {
        while asked.recv().await.is_some() {
            sinks.ask();
        }
    });
    Ok(task)
}

/// The first signal stops the run, the second ends the process at once.
async fn stop_on_signals(signals: &Signals) -> anyhow::Result<Exit> {
    let mut interrupt = signal(SignalKind::interrupt()).context("signals can't be waited for")?;
    let mut terminate = signal(SignalKind::terminate()).context("signals can't be waited for")?;
    let mut stopping = false;
    loop {
        let code = tokio::select! {
            _ = interrupt.recv() => 130,
            _ = terminate.recv() => 143,
        };
        if stopping {
            say("stopped at once\n");
            std::process::exit(code);
        }
        stopping = true;
        say("stopping: what was read is being delivered; a second signal ends at once\n");
        signals.stop();
    }
}

pub(super) fn writes_to_standard_output(plan: &Plan) -> bool {
    let mut sinks = plan.pipelines.iter().flat_map(|pipeline| &pipeline.sinks);
    sinks.any(|sink| matches!(sink.kind, SinkKind::Console(_)))
}

/// Names this run: when it began, and a number against two at the same time.
pub(super) fn run_id() -> String {
    let millis = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    format!("{millis:x}-{:04x}", fastrand::u16(..))
}
