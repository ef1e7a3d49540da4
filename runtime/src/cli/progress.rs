//! One line that tells how a run is going, on a terminal.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::summary::grouped;
use crate::pipeline::Overview;

/// How often the line is drawn anew.
const EVERY: Duration = Duration::from_millis(250);

/// The line; nothing where standard error is no terminal.
pub(super) fn line() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
    }
    let line = ProgressBar::new_spinner();
    // The template is a constant that is right; were it not, the default would do.
    if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
        line.set_style(style);
    }
    line
}

/// Keeps the line up to date until it is dropped.
pub(super) async fn show(line: ProgressBar, overview: Overview) {
    let (mut before, mut at) = (0, Instant::now());
    loop {
        tokio::time::sleep(EVERY).await;
        let delivered = delivered(&overview);
        let rate = (delivered - before) as f64 / at.elapsed().as_secs_f64();
        (before, at) = (delivered, Instant::now());
        line.set_message(message(&overview, delivered, rate));
        line.tick();
    }
}

fn delivered(overview: &Overview) -> u64 {
    overview.sinks.iter().map(|sink| sink.metrics.written.get()).sum()
}

fn message(overview: &Overview, delivered: u64, rate: f64) -> String {
    let read: u64 = overview.sources.iter().map(|source| source.metrics.events.get()).sum();
    let waiting: u64 = overview.sinks.iter().map(|sink| sink.metrics.waiting()).sum();
    let mut message = format!(
        "{} read, {} delivered ({}/s), {} waiting",
        grouped(read),
        grouped(delivered),
        grouped(rate as u64),
        grouped(waiting)
    );
    for sink in &overview.sinks {
        if let Some(cause) = sink.gate.closed() {
            message.push_str(&format!("; {} is held back: {cause}", sink.path));
        }
    }
    message
}
