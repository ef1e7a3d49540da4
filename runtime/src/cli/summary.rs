//! What a run did, once it has ended.

use std::path::Path;
use std::time::Duration;

use crate::pipeline::{Ended, Overview};
use crate::units;

/// What nobody wonders about.
const WORTH_TELLING: Duration = Duration::from_millis(100);

/// A few lines for people: sources, then a row for each sink.
pub(super) fn summary(overview: &Overview, ended: &Ended, took: Duration, dead_letters: &Path) -> String {
    let mut text = String::new();
    for source in &overview.sources {
        text.push_str(&format!("source {}: {} read", source.name, events(source.metrics.events.get())));
        note(&mut text, "rejected by framing", source.metrics.rejected.get());
        held_back(&mut text, overview, &source.name);
        text.push('\n');
    }
    for (name, metrics) in &overview.pipelines {
        let (errors, not_taken) = (metrics.condition_errors.get(), metrics.not_taken.get());
        if errors + not_taken > 0 {
            text.push_str(&format!("pipeline {name}: {} taken by no sink", events(not_taken)));
            note(&mut text, "condition_errors", errors);
            text.push('\n');
        }
    }
    text.push_str(&table(overview));
    for sink in &overview.sinks {
        let (stay, lost) = (sink.metrics.in_buffer(), sink.metrics.buffer_lost.get());
        if stay > 0 {
            text.push_str(&format!("{} of {} stay in its disk buffer for the next run\n", events(stay), sink.path));
        }
        if lost > 0 {
            text.push_str(&format!("{} of {} were lost by damage to its disk buffer\n", events(lost), sink.path));
        }
    }
    if ended.dead_lettered > 0 {
        text.push_str(&format!("{} in the dead letters: {}\n", events(ended.dead_lettered), dead_letters.display()));
    }
    if ended.undelivered > 0 {
        text.push_str(&format!("{} not delivered: they are read again by the next run\n", events(ended.undelivered)));
    }
    text.push_str(&format!("done in {}\n", units::duration::about(took)));
    text
}

/// Who let a source wait the longest, where it was long enough to matter.
fn held_back(text: &mut String, overview: &Overview, source: &str) {
    if let Some((sink, waited)) = overview.slowest(source).filter(|(_, waited)| *waited >= WORTH_TELLING) {
        text.push_str(&format!(", held back for {} by {}", units::duration::about(waited), sink.path));
    }
}

pub(super) fn table(overview: &Overview) -> String {
    let mut rows = vec![
        ["sink", "written", "retried", "rejected", "dead letters", "dropped", "calls", "time in calls"]
            .map(String::from),
    ];
    for sink in &overview.sinks {
        let metrics = &sink.metrics;
        rows.push([
            sink.path.to_string(),
            grouped(metrics.written.get()),
            grouped(metrics.retried.get()),
            grouped(metrics.rejected.get()),
            grouped(metrics.dead_lettered.get()),
            grouped(metrics.dropped.get()),
            grouped(metrics.attempts.get()),
            units::duration::about(Duration::from_micros(metrics.attempt_us.get())),
        ]);
    }
    aligned(&rows, 1)
}

/// Rows with a column under each other: the first so many to the left, the others to the right.
pub(super) fn aligned<const N: usize>(rows: &[[String; N]], left: usize) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut text = String::new();
    for row in rows {
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            text.push_str(if column > 0 { "  " } else { "" });
            match column < left {
                true => text.push_str(&format!("{cell:<width$}")),
                false => text.push_str(&format!("{cell:>width$}")),
            }
        }
        text.push('\n');
    }
    text
}

fn note(text: &mut String, what: &str, count: u64) {
    if count > 0 {
        text.push_str(&format!(", {} {what}", grouped(count)));
    }
}

pub(super) fn events(count: u64) -> String {
    format!("{} {}", grouped(count), if count == 1 { "event" } else { "events" })
}

/// Digits in groups of three.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_come_in_groups_of_three() {
        assert_eq!(
            [0, 12, 999, 1_000, 12_345, 1_234_567].map(grouped),
            ["0", "12", "999", "1,000", "12,345", "1,234,567"]
        );
    }
}
