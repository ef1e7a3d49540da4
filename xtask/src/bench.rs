//! `cargo xtask bench`: runs the benchmarks of the runtime and collects their figures.
//!
//! A benchmark prints lines for people. Where the environment variable [`FIGURES_VARIABLE`] names a file, it also appends
//! one JSON object a line to it for each figure: `{"bench": …, "case": …, "value": NUMBER, "unit": …}`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::command::{self, cargo, metadata, target_folder};
use crate::guests;
use crate::kafka;
use crate::peers;
use crate::report::Report;

/// The benchmarks, each a bench target of the runtime.
pub(crate) const NAMES: [&str; 10] =
    ["boundary", "path", "order", "route", "file", "encode", "buffer", "http", "kafka", "startup"];

const FIGURES_VARIABLE: &str = "SUMP_BENCH_JSON";

/// What was asked for.
#[derive(Default)]
pub(crate) struct Options {
    /// The benchmarks to run; none means all.
    pub(crate) names: Vec<&'static str>,
    /// Where the figures go, as one array.
    pub(crate) json: Option<PathBuf>,
}

/// The name of a benchmark, checked.
pub(crate) fn name(name: &str) -> Result<&'static str> {
    match NAMES.iter().find(|known| **known == name) {
        Some(known) => Ok(known),
        None => bail!("there is no benchmark `{name}`: it is one of {}", NAMES.join(", ")),
    }
}

/// Runs the benchmarks one after the other. Figures of those that succeeded are kept even if another one fails.
pub(crate) fn run(options: &Options) -> Result<()> {
    let guests = guests::build()?;
    let figures = target_folder(&metadata()?)?.join("figures.jsonl");
    fs::write(&figures, "").with_context(|| format!("cannot write {}", figures.display()))?;

    let mut report = Report::new();
    let names = if options.names.is_empty() { &NAMES[..] } else { &options.names };
    for name in names {
        report.step(name, "", || {
            let mut bench = cargo(&["bench", "--package", "sump", "--bench", name]);
            bench.env(guests::FOLDER_VARIABLE, &guests.folder).env(FIGURES_VARIABLE, &figures);
            if *name == "kafka" {
                bench.env(kafka::FOLDER_VARIABLE, kafka::folder()?);
            }
            if *name == "file" {
                bench.env(peers::FOLDER_VARIABLE, peers::folder()?);
            }
            command::run(&mut bench)
        });
    }
    if let Some(file) = &options.json {
        collect(&figures, file)?;
    }
    report.finish()
}

/// Makes one array of the lines that the benchmarks left.
fn collect(figures: &Path, file: &Path) -> Result<()> {
    let lines = fs::read_to_string(figures).with_context(|| format!("cannot read {}", figures.display()))?;
    fs::write(file, array(&lines)?).with_context(|| format!("cannot write {}", file.display()))
}

/// An array with one figure a line.
fn array(lines: &str) -> Result<String> {
    let lines: Vec<&str> = lines.lines().filter(|line| !line.trim().is_empty()).collect();
    for line in &lines {
        let figure: Value = serde_json::from_str(line).with_context(|| format!("a figure is not JSON: {line}"))?;
        let texts = ["bench", "case", "unit"].iter().all(|&key| figure[key].is_string());
        if !texts || !figure["value"].is_number() {
            bail!("a figure has `bench`, `case` and `unit` as texts and `value` as a number: {line}");
        }
    }
    Ok(format!("[\n{}\n]\n", lines.join(",\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_become_one_array() {
        let line = r#"{"bench":"path","case":"1000","value":12.5,"unit":"us/batch"}"#;
        let array: Value = serde_json::from_str(&array(&format!("{line}\n\n{line}\n")).unwrap()).unwrap();
        assert_eq!(array.as_array().map(Vec::len), Some(2));
        assert_eq!(array[1]["value"], 12.5);
    }

    #[test]
    fn a_figure_without_a_number_is_refused() {
        let error = array(r#"{"bench":"path","case":"1000","value":"12.5","unit":"us"}"#).unwrap_err();
        assert!(error.to_string().contains("`value` as a number"), "{error}");
    }
}
