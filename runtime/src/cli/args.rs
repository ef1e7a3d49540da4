//! What may be typed.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};

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

fn duration(text: &str) -> Result<Duration, String> {
    units::duration::parse(text)
}
