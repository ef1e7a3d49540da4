//! Ranges that the types of the settings don't say by themselves.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::config::check::is_name;
use crate::config::diagnostic::Diagnostic;
use crate::config::document::Table;
use crate::config::place::Place;
use crate::config::plan::{self, place_of, table_at};
use crate::delivery;
use crate::delivery::{Concurrency, Order};
use crate::units;

/// Writes in flight of one sink.
const CONCURRENCY: RangeInclusive<u64> = 1..=1024;
/// Events in a batch: indices in a report have 32 bits, and so many events are held for one call.
const BATCH_SIZE: RangeInclusive<u64> = 1..=1_000_000;
/// Destinations whose batches are open: each holds at least one event.
const MAX_GROUPS: RangeInclusive<u64> = 1..=100_000;
/// Bytes in a batch: the offsets of a column have 32 bits.
const BATCH_BYTES: RangeInclusive<u64> = 1..=1 << 30;

/// Whether all settings about the whole are within their ranges. Those that are not are reported.
pub(super) fn top(settings: &plan::Settings, root: &Table, problems: &mut Vec<Diagnostic>) -> bool {
    let place = root.entries().first().map(|entry| &entry.at);
    let Some(place) = place else { return true };
    let mut bounds = Bounds { table: root, place, problems, kept: true };
    bounds.more_than_nothing(&["position_interval"], settings.position_interval);
    if let Some(instance) = settings.instance.as_deref().filter(|instance| !is_name(instance)) {
        let message = format!("`{instance}` can't be the name of an instance");
        let help = "use letters, digits, `_`, `-` and `.`, which is not first; at most 100 bytes";
        bounds.report(&["instance"], message, "not a name", help.into());
    }
    bounds.kept
}

/// Whether all settings about delivery are within their ranges. Those that are not are reported.
pub(super) fn check(
    settings: &delivery::Settings,
    table: &Table,
    place: &Place,
    problems: &mut Vec<Diagnostic>,
) -> bool {
    let mut bounds = Bounds { table, place, problems, kept: true };
    bounds.within(&["concurrency"], settings.concurrency.most().get() as u64, CONCURRENCY, plain);
    bounds.within(&["batch_size"], settings.batch_size.get() as u64, BATCH_SIZE, plain);
    bounds.within(&["max_groups"], settings.max_groups.get() as u64, MAX_GROUPS, plain);
    bounds.within(&["batch_bytes"], settings.batch_bytes, BATCH_BYTES, units::size::print);
    bounds.more_than_nothing(&["timeout"], settings.timeout);
    bounds.more_than_nothing(&["retry", "initial"], settings.retry.initial);
    bounds.more_than_nothing(&["gate", "probe"], settings.gate.probe);
    if settings.order == Order::Key && settings.concurrency == Concurrency::Adaptive {
        bounds.report(
            &["concurrency"],
            "`order = \"key\"` needs a fixed number of writes".into(),
            "a key has its lane for good",
            "write a number, such as `concurrency = 16`, or leave `order` out".into(),
        );
    }
    let (initial, max) = (settings.retry.initial, settings.retry.max);
    if initial > max {
        let shown = [initial, max].map(units::duration::print);
        let max_is_written = table_at(table, &["retry"]).is_some_and(|retry| retry.get("max").is_some());
        bounds.report(
            &["retry", if max_is_written { "max" } else { "initial" }],
            format!("`retry.max` is `{}`, less than `retry.initial`, which is `{}`", shown[1], shown[0]),
            "the longest pause is shorter than the first",
            "set `retry.max` to at least `retry.initial`".into(),
        );
    }
    bounds.kept
}

struct Bounds<'a> {
    table: &'a Table,
    /// Where the table is written.
    place: &'a Place,
    problems: &'a mut Vec<Diagnostic>,
    kept: bool,
}

impl Bounds<'_> {
    fn within(&mut self, path: &[&str], value: u64, range: RangeInclusive<u64>, show: fn(u64) -> String) {
        if !range.contains(&value) {
            let (least, most) = (show(*range.start()), show(*range.end()));
            let message = format!("`{}` is out of range", path.join("."));
            self.report(path, message, "out of range", format!("write {least} to {most}"));
        }
    }

    fn more_than_nothing(&mut self, path: &[&str], value: Duration) {
        if value.is_zero() {
            let message = format!("`{}` is nothing", path.join("."));
            self.report(path, message, "out of range", "write a duration above zero, such as `1s`".into());
        }
    }

    fn report(&mut self, path: &[&str], message: String, label: impl fmt::Display, help: String) {
        let place = place_of(self.table, path).unwrap_or_else(|| self.place.clone());
        let error = Diagnostic::error("config::range", message).at(place, label.to_string()).help(help);
        self.problems.push(error);
        self.kept = false;
    }
}

fn plain(number: u64) -> String {
    number.to_string()
}
