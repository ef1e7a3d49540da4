//! What may be typed.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::DateTime;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Parser, Subcommand, ValueEnum};

use crate::delivery::Filter;
use crate::envelope::PathName;
use crate::expr::Condition;
use crate::project::Language;
use crate::units;

/// Delivers events from sources to sinks: built-in ones, and your own as WebAssembly components in a sandbox.
#[derive(Debug, Parser)]
#[command(name = "sump", version, disable_help_subcommand = true)]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run pipelines until their sources end, or a signal
    Run(Run),
    /// Validate a configuration, and print what was understood
    Check(Check),
    /// Show what a component is, what it may use, and what to grant it
    Inspect(Inspect),
    /// Make a project of a sink that builds, passes its tests and runs as it is
    New(New),
    /// Build the component of a sink with its language's own tools
    Build(Build),
    /// Try a sink: what every component has to bear, and the project's own cases
    Test(Test),
    /// Measure a sink: time, instructions and memory, by the size of batches
    Bench(Bench),
    /// List, show and send again what could not be delivered, also beside a run
    #[command(subcommand)]
    Replay(Replay),
}

#[derive(Debug, Parser)]
#[command(
    after_help = "Exit codes: 0 everything is final; 1 some events went to the dead letters (with --strict); 2 wrong usage \
                        or configuration; 70 internal; 75 stopped with events undelivered; 130 or 143 at a second signal."
)]
pub(super) struct Run {
    /// Configuration files (.toml, .conf, .ini), the later over the earlier; or one SINK.wasm, which then gets the
    /// lines of standard input
    #[arg(required = true, value_name = "CONFIG… | SINK.wasm")]
    pub(super) files: Vec<PathBuf>,
    /// Set a key of the component's configuration (with SINK.wasm)
    #[arg(long, value_name = "KEY=VALUE")]
    pub(super) set: Vec<String>,
    /// Let the component send HTTP requests there (with SINK.wasm)
    #[arg(long, value_name = "URL")]
    pub(super) allow_http: Vec<String>,
    /// Let the component connect there over TCP (with SINK.wasm)
    #[arg(long, value_name = "HOST:PORT")]
    pub(super) allow_tcp: Vec<String>,
    /// Let the component read a directory; with `:rw`, write it (with SINK.wasm)
    #[arg(long, value_name = "HOST:GUEST[:rw]")]
    pub(super) allow_dir: Vec<String>,
    /// Let the component see an environment variable (with SINK.wasm)
    #[arg(long, value_name = "NAME")]
    pub(super) allow_env: Vec<String>,
    /// Where positions and dead letters are kept [default: the configuration's `data_dir`, else the user's state folder]
    #[arg(long, value_name = "DIR")]
    pub(super) data_dir: Option<PathBuf>,
    /// How long to go on delivering after a signal
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    pub(super) drain_timeout: Duration,
    /// Read everything again, whatever was delivered before
    #[arg(long)]
    pub(super) from_start: bool,
    /// Serve /metrics, /ready and /live, such as on 127.0.0.1:9600 [default: the configuration's `admin`, else nowhere]
    #[arg(long, value_name = "ADDR", value_parser = units::address::parse)]
    pub(super) admin: Option<SocketAddr>,
    /// Exit with 1 if any event went to the dead letters
    #[arg(long)]
    pub(super) strict: bool,
    /// How log records look
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub(super) log_format: LogFormat,
}

#[derive(Debug, Parser)]
pub(super) struct Check {
    /// Configuration files, the later over the earlier
    #[arg(required = true, value_name = "CONFIG")]
    pub(super) files: Vec<PathBuf>,
    /// What to print: the settings in effect with the guarantees as comments, or the guarantees alone
    #[arg(long, value_enum, default_value_t = CheckFormat::Text)]
    pub(super) format: CheckFormat,
}

#[derive(Debug, Parser)]
pub(super) struct Inspect {
    /// The component
    #[arg(value_name = "SINK.wasm")]
    pub(super) component: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Parser)]
pub(super) struct New {
    /// What it is called: its folder, its package, its component
    #[arg(value_name = "NAME")]
    pub(super) name: String,
    /// The language that it is written in
    #[arg(long, value_name = "LANGUAGE", value_parser = language())]
    pub(super) lang: Language,
    /// Let calls overlap in one instance
    #[arg(long = "async", conflicts_with = "encoder")]
    pub(super) is_async: bool,
    /// Make an encoder for a native sink, not a sink
    #[arg(long)]
    pub(super) encoder: bool,
    /// Where the SDKs are: the folder `guest-sdk` of Sump's source [default: that of the clone that this program is in]
    #[arg(long, value_name = "DIR")]
    pub(super) sdk: Option<PathBuf>,
}

#[derive(Debug, Parser)]
pub(super) struct Build {
    /// The folder of its project
    #[arg(value_name = "FOLDER", default_value = ".")]
    pub(super) folder: PathBuf,
    /// Where the component goes [default: build/NAME.wasm in the project, NAME being the folder's]
    #[arg(long, short, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
}

#[derive(Debug, Parser)]
#[command(
    after_help = "Requests go to endpoints that the cases script, and time goes on only while everybody waits: docs/testing.md.\n\
                  Exit codes: 0 everything passed; 1 something failed; 2 wrong usage, or there is nothing to try."
)]
pub(super) struct Test {
    /// The component [default: that of the project in this folder, which is built first]
    #[arg(value_name = "SINK.wasm")]
    pub(super) component: Option<PathBuf>,
    /// The folder with the files of cases, TESTS/*.toml
    #[arg(long, value_name = "DIR", default_value = "tests")]
    pub(super) tests: PathBuf,
    /// Try only what has this in its name
    #[arg(long, value_name = "TEXT")]
    pub(super) only: Option<String>,
    /// Write down what happens as what is expected, in the files of cases
    #[arg(long)]
    pub(super) bless: bool,
    /// Write the results to a file, in the XML of JUnit
    #[arg(long, value_name = "FILE")]
    pub(super) junit: Option<PathBuf>,
    /// Set a key of the configuration, where no file of cases does
    #[arg(long, value_name = "KEY=VALUE")]
    pub(super) set: Vec<String>,
    /// Let the component send HTTP requests there, where no file of cases does; they are answered here
    #[arg(long, value_name = "URL")]
    pub(super) allow_http: Vec<String>,
}

#[derive(Debug, Parser)]
#[command(
    after_help = "Every request is answered with 200, at once, in this process. `ns/event` is time on the processor, `fuel` counts \
                        instructions of WebAssembly: docs/testing.md."
)]
pub(super) struct Bench {
    /// The component [default: that of the project in this folder, which is built first]
    #[arg(value_name = "SINK.wasm")]
    pub(super) component: Option<PathBuf>,
    /// Another one, set up in the same way: how many times as much it costs
    #[arg(long, value_name = "OTHER.wasm")]
    pub(super) compare: Option<PathBuf>,
    /// Events in a batch
    #[arg(long, value_name = "COUNT,…", value_delimiter = ',', default_value = "1,10,100,1000", value_parser = batch_size)]
    pub(super) sizes: Vec<usize>,
    /// Count no instructions: for that, a copy of the component is compiled
    #[arg(long)]
    pub(super) no_fuel: bool,
    /// The events, one a line [default: those of the first case in the first file of cases]
    #[arg(long, value_name = "FILE")]
    pub(super) events: Option<PathBuf>,
    /// The folder with the files of cases, whose first sets the component up
    #[arg(long, value_name = "DIR", default_value = "tests")]
    pub(super) tests: PathBuf,
    /// Set a key of the configuration, instead of what a file of cases says
    #[arg(long, value_name = "KEY=VALUE")]
    pub(super) set: Vec<String>,
    /// Let the component send HTTP requests there, instead of what a file of cases says
    #[arg(long, value_name = "URL")]
    pub(super) allow_http: Vec<String>,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
    /// Write a chart to a file
    #[arg(long, value_name = "FILE")]
    pub(super) svg: Option<PathBuf>,
}

/// Dead letters: what could not be delivered.
#[derive(Debug, Subcommand)]
pub(super) enum Replay {
    /// Count them, by pipeline, sink and code
    List(ReplayList),
    /// Print them, oldest first
    Show(ReplayShow),
    /// Send them again, through the sinks that the configuration says now
    Send(ReplaySend),
    /// Mark them as done without sending them
    Discard(ReplayDiscard),
    /// Remove segments in which everything is done
    Prune(ReplayPrune),
}

/// Which dead letters. All that is given has to fit; an option given several times fits any of its values.
#[derive(Debug, clap::Args)]
pub(super) struct Select {
    /// Of this pipeline
    #[arg(long, value_name = "NAME", help_heading = "Filters")]
    pub(super) pipeline: Vec<String>,
    /// Of this sink; `*` for those that no sink was given
    #[arg(long, value_name = "NAME", help_heading = "Filters")]
    pub(super) sink: Vec<String>,
    /// With this code, such as `too-large`
    #[arg(long, value_name = "CODE", help_heading = "Filters")]
    pub(super) code: Vec<String>,
    /// With a failure of this kind
    #[arg(long, value_enum, value_name = "KIND", help_heading = "Filters")]
    pub(super) kind: Vec<Kind>,
    /// Given up then or later: `2h` ago, `2026-01-31`, or `2026-01-31T09:00:00Z`
    #[arg(long, value_name = "TIME", value_parser = time, help_heading = "Filters")]
    pub(super) since: Option<u64>,
    /// Given up before then
    #[arg(long, value_name = "TIME", value_parser = time, help_heading = "Filters")]
    pub(super) until: Option<u64>,
    /// Events for which this condition holds, such as `event.mag >= 4.5`
    #[arg(long = "where", value_name = "CEL", value_parser = condition, help_heading = "Filters")]
    pub(super) condition: Option<Condition>,
}

impl Select {
    /// The same for the reader of dead letters.
    pub(super) fn filter(&self) -> Filter {
        let Select { pipeline, sink, code, kind, since, until, condition } = self;
        Filter {
            pipelines: pipeline.clone(),
            sinks: sink.clone(),
            codes: code.clone(),
            kinds: kind.iter().map(|kind| kind.name().to_owned()).collect(),
            since: *since,
            until: *until,
            condition: condition.clone(),
            whole: false,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    Transient,
    Unknown,
    Rejected,
    Halted,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Transient => "transient",
            Kind::Unknown => "unknown",
            Kind::Rejected => "rejected",
            Kind::Halted => "halted",
        }
    }
}

/// Where the dead letters are.
#[derive(Debug, clap::Args)]
pub(super) struct Where {
    /// Configuration files, to find the data directory by
    #[arg(value_name = "CONFIG")]
    pub(super) files: Vec<PathBuf>,
    /// The data directory [default: the configuration's `data_dir`, else the user's state folder]
    #[arg(long, value_name = "DIR")]
    pub(super) data_dir: Option<PathBuf>,
}

#[derive(Debug, Parser)]
pub(super) struct ReplayList {
    #[command(flatten)]
    pub(super) place: Where,
    #[command(flatten)]
    pub(super) select: Select,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Parser)]
pub(super) struct ReplayShow {
    #[command(flatten)]
    pub(super) place: Where,
    #[command(flatten)]
    pub(super) select: Select,
    /// How they look
    #[arg(long, value_enum, default_value_t = ShowFormat::Pretty)]
    pub(super) format: ShowFormat,
    /// So many, at most
    #[arg(long, value_name = "COUNT")]
    pub(super) limit: Option<usize>,
    /// Those that were sent again, too
    #[arg(long)]
    pub(super) done: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ShowFormat {
    /// For people
    Pretty,
    /// One object a line, with the fields of docs/dead-letters.md
    Json,
    /// Payloads alone, each with a newline behind it
    Raw,
}

#[derive(Debug, Parser)]
#[command(
    after_help = "Exit codes: 0 everything was sent or kept anew; 1 some failed again (with --strict); 2 wrong usage or \
                  configuration, or nothing that is meant can be sent; 70 internal; 75 stopped before everything was sent; 130 or \
                  143 at a second signal."
)]
pub(super) struct ReplaySend {
    /// Configuration files, the later over the earlier
    #[arg(required = true, value_name = "CONFIG")]
    pub(super) files: Vec<PathBuf>,
    /// The data directory [default: the configuration's `data_dir`, else the user's state folder]
    #[arg(long, value_name = "DIR")]
    pub(super) data_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(super) select: Select,
    /// Send all of them to this sink, whatever sink they are of
    #[arg(long, value_name = "PIPELINE:SINK", value_parser = path)]
    pub(super) to: Option<PathName>,
    /// Those that were sent again before, too
    #[arg(long)]
    pub(super) again: bool,
    /// Say what would be sent where, and send nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// How long to go on after a signal, or once only closed gates are left
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    pub(super) drain_timeout: Duration,
    /// Exit with 1 if any event failed again
    #[arg(long)]
    pub(super) strict: bool,
    /// How log records look
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub(super) log_format: LogFormat,
}

#[derive(Debug, Parser)]
pub(super) struct ReplayDiscard {
    #[command(flatten)]
    pub(super) place: Where,
    #[command(flatten)]
    pub(super) select: Select,
    /// All of them; needed where there is no filter
    #[arg(long)]
    pub(super) all: bool,
}

#[derive(Debug, Parser)]
pub(super) struct ReplayPrune {
    #[command(flatten)]
    pub(super) place: Where,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum CheckFormat {
    Text,
    Json,
}

fn batch_size(text: &str) -> Result<usize, String> {
    let size = text.trim().parse().ok().filter(|size| (1..=1_000_000).contains(size));
    size.ok_or_else(|| format!("`{text}` is no number of events: 1 to 1000000"))
}

fn duration(text: &str) -> Result<Duration, String> {
    units::duration::parse(text)
}

/// By the names of the languages, which the help lists.
fn language() -> impl TypedValueParser<Value = Language> {
    let known =
        |name: String| Language::ALL.into_iter().find(|language| language.name() == name).ok_or("not a language");
    PossibleValuesParser::new(Language::ALL.map(Language::name)).try_map(known)
}

/// Milliseconds since the Unix epoch: so long ago, or a date, or a date and a time.
fn time(text: &str) -> Result<u64, String> {
    let text = text.trim();
    if let Ok(ago) = units::duration::parse(text.strip_suffix("ago").unwrap_or(text)) {
        return Ok(millis(SystemTime::now().checked_sub(ago).unwrap_or(UNIX_EPOCH)));
    }
    let midnight = format!("{text}T00:00:00Z");
    let moment = DateTime::parse_from_rfc3339(text).or_else(|_| DateTime::parse_from_rfc3339(&midnight));
    let moment = moment.ok().and_then(|moment| u64::try_from(moment.timestamp_millis()).ok());
    moment.ok_or_else(|| format!("`{text}` is no time: write `2h` ago, `2026-01-31`, or `2026-01-31T09:00:00Z`"))
}

fn millis(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

fn condition(text: &str) -> Result<Condition, String> {
    Condition::parse(text).map_err(|error| match error.column(text) {
        Some(column) => format!("{error} (column {column})"),
        None => error.to_string(),
    })
}

fn path(text: &str) -> Result<PathName, String> {
    match text.split_once(':') {
        Some((pipeline, sink)) if !pipeline.is_empty() && !sink.is_empty() => {
            Ok(PathName { pipeline: pipeline.into(), sink: sink.into() })
        }
        _ => Err(format!("`{text}` is no sink: write the names of its pipeline and of it, `PIPELINE:SINK`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_moments_or_how_long_ago() {
        assert_eq!(time("1970-01-02"), Ok(86_400_000));
        assert_eq!(time("1970-01-01T00:00:01.5Z"), Ok(1_500));
        assert_eq!(time("1970-01-01T01:00:00+01:00"), Ok(0));
        let hour_ago = millis(SystemTime::now()) - 3_600_000;
        for text in ["1h", "60m ago", "3600"] {
            assert!(time(text).unwrap().abs_diff(hour_ago) < 60_000, "{text}");
        }
        for text in ["yesterday", "", "2026-13-01", "1950-01-01"] {
            assert!(time(text).unwrap_err().contains("is no time"), "{text}");
        }
    }

    #[test]
    fn a_sink_is_named_with_its_pipeline() {
        assert_eq!(path("p:s").unwrap().to_string(), "p:s");
        for text in ["s", "p:", ":s"] {
            assert!(path(text).unwrap_err().contains("PIPELINE:SINK"), "{text}");
        }
    }

    #[test]
    fn the_arguments_do_not_contradict_each_other() {
        use clap::CommandFactory;
        Args::command().debug_assert();
    }
}
