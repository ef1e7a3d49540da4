//! Log records on standard error, above a progress line where there is one.

use std::io::{self, IsTerminal, Write};

use indicatif::ProgressBar;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use super::args::LogFormat;
use super::environment;

/// Sends the records of the whole process to standard error. `RUST_LOG` chooses which, in the usual notation.
pub(super) fn start(format: LogFormat, progress: &ProgressBar) {
    let filter = environment::variable("RUST_LOG").unwrap_or_else(|| "info".into());
    let records = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .with_writer(Above(progress.clone()));
    let started = match format {
        LogFormat::Text => records.try_init(),
        LogFormat::Json => records.json().try_init(),
    };
    // Only a second start fails, and then the first one holds.
    drop(started);
}

/// Hides the progress line while a record is written.
struct Above(ProgressBar);

impl<'a> MakeWriter<'a> for Above {
    type Writer = AboveWriter<'a>;

    fn make_writer(&'a self) -> AboveWriter<'a> {
        AboveWriter(&self.0)
    }
}

struct AboveWriter<'a>(&'a ProgressBar);

impl Write for AboveWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| io::stderr().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
