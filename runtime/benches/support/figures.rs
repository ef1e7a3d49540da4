//! What benchmarks have in common: how a figure is made of rounds, and where it goes.

use std::fs::OpenOptions;
use std::io::Write;

pub(crate) type Fail = Box<dyn std::error::Error>;

/// The middle one: on a machine that others use too, neither the best nor the mean says much. 0 where there are none.
pub(crate) fn median(mut rounds: Vec<f64>) -> f64 {
    rounds.sort_by(f64::total_cmp);
    rounds.get(rounds.len() / 2).copied().unwrap_or_default()
}

/// Prints a figure for people, and appends it to the file that `SUMP_BENCH_JSON` names, one JSON object a line.
pub(crate) fn report(bench: &str, case: &str, value: f64, unit: &str) -> Result<(), Fail> {
    writeln!(std::io::stdout(), "{bench:<8} {case:<44} {value:>12.3} {unit}")?;
    let Some(file) = std::env::var_os("SUMP_BENCH_JSON") else { return Ok(()) };
    let line = serde_json::json!({ "bench": bench, "case": case, "value": value, "unit": unit });
    Ok(writeln!(OpenOptions::new().create(true).append(true).open(file)?, "{line}")?)
}
