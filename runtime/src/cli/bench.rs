//! `sump bench`: what a component costs, and what another one costs beside it.

use std::path::Path;

use anyhow::Context;
use serde_json::json;

use super::{Exit, args, environment, result, say, say_problems, setup, test};
use crate::config::Diagnostic;
use crate::project::BuildError;
use crate::trial::{Bench, Figures, Given, Measured, Setup, chart};
use crate::units;
use crate::wasm::{Component, Host, HostError, LoadError};

/// Why nothing is measured.
#[derive(Debug, thiserror::Error)]
enum NotMeasured {
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error(transparent)]
    Host(#[from] HostError),
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error("{0}")]
    Component(String),
    /// Each is told with its place.
    #[error("the component can't be set up")]
    Setup(Vec<Diagnostic>),
}

pub(super) fn bench(args: &args::Bench) -> anyhow::Result<Exit> {
    let measured = match measure(args, &environment::compiled_folder()?) {
        Ok(measured) => measured,
        Err(NotMeasured::Setup(problems)) => {
            say_problems(&problems);
            return Ok(Exit::Usage);
        }
        Err(error) => {
            say(&format!("error: {error}\n"));
            return Ok(Exit::Usage);
        }
    };
    if let Some(path) = &args.svg {
        std::fs::write(path, chart(&measured)).with_context(|| format!("{} can't be written", path.display()))?;
    }
    result(&if args.json { json(&measured)? } else { text(&measured) })?;
    for measured in &measured {
        if let Some(figures) = measured.figures.iter().find(|figures| figures.refused > 0.0) {
            let part = 100.0 * figures.refused;
            say(&format!("note: {}: {part:.0}% of the events were refused, or not tried\n", measured.name));
        }
    }
    Ok(Exit::Done)
}

/// The component, and the one that it is compared with.
fn measure(args: &args::Bench, cache: &Path) -> Result<Vec<Measured>, NotMeasured> {
    let path = test::project_or(args.component.as_deref())?;
    let plain = Host::new(cache.to_owned())?;
    let metered = if args.no_fuel { None } else { Some(Host::metered(cache.to_owned())?) };
    let component = plain.load(&path)?;
    let bench = order(args, &path, &component)?;
    let mut measured = Vec::new();
    for path in [Some(&path), args.compare.as_ref()].into_iter().flatten() {
        let counted = metered.as_ref().map(|metered| metered.load(path)).transpose()?;
        let one = bench.measure(&plain.load(path)?, counted.as_ref()).map_err(NotMeasured::Component)?;
        measured.push(Measured { name: format!("{}, {}", one.name, path.display()), ..one });
    }
    Ok(measured)
}

/// How the component is set up and what it gets: by the command line, else by the first file of cases and the first case in it.
fn order(args: &args::Bench, path: &Path, component: &Component) -> Result<Bench, NotMeasured> {
    let files = test::files(&args.tests).map_err(NotMeasured::Setup)?;
    let by_line = setup::by_command_line(&args.set, &args.allow_http, path, component).map_err(NotMeasured::Setup)?;
    let first = files.first().filter(|_| args.set.is_empty() && args.allow_http.is_empty());
    let setup: Setup = first.map_or(by_line, |cases| cases.setup().clone());
    let samples = match &args.events {
        Some(path) => {
            let problem = |error| NotMeasured::Component(format!("{}: {error}", path.display()));
            let events = std::fs::read(path).map_err(problem)?;
            events.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(Given::bytes).collect()
        }
        None => files.first().map(|cases| cases.first_events().to_vec()).unwrap_or_default(),
    };
    Ok(Bench { setup, samples, sizes: args.sizes.clone() })
}

fn json(measured: &[Measured]) -> anyhow::Result<String> {
    let value = match measured {
        [one, other] => json!({ "measured": measured, "ratios": ratios(one, other) }),
        _ => json!({ "measured": measured }),
    };
    Ok(serde_json::to_string_pretty(&value)? + "\n")
}

/// What the second costs for what the first costs, by the size of batches that both take.
fn ratios(one: &Measured, other: &Measured) -> Vec<serde_json::Value> {
    let pairs = pairs(one, other);
    let ratio = |(one, other): &(&Figures, &Figures)| {
        json!({
            "batch": one.batch,
            "ns_per_event": other.ns_per_event / one.ns_per_event,
            "fuel_per_event": other.fuel_per_event.zip(one.fuel_per_event).map(|(other, one)| other / one),
            "peak_memory": other.peak_memory as f64 / one.peak_memory as f64,
        })
    };
    pairs.iter().map(ratio).collect()
}

fn pairs<'a>(one: &'a Measured, other: &'a Measured) -> Vec<(&'a Figures, &'a Figures)> {
    let beside = |figures: &&'a Figures| other.figures.iter().find(|other| other.batch == figures.batch);
    one.figures.iter().filter_map(|figures| Some((figures, beside(&figures)?))).collect()
}

fn text(measured: &[Measured]) -> String {
    let mut text = String::new();
    for one in measured {
        let opening = units::duration::about(std::time::Duration::from_nanos(one.opening as u64));
        text.push_str(&format!("{}: an instance opens in {opening}\n", one.name));
        text.push_str(&format!(
            "  {:>8} {:>14} {:>12} {:>14} {:>12}\n",
            "batch", "events/s", "ns/event", "fuel/event", "peak memory"
        ));
        for figures in &one.figures {
            let Figures { batch, events_per_second, ns_per_event, fuel_per_event, peak_memory, .. } = figures;
            let (rate, cost) = (rounded(*events_per_second), rounded(*ns_per_event));
            let fuel = fuel_per_event.map_or_else(|| "-".to_owned(), rounded);
            let memory = units::size::about(*peak_memory);
            text.push_str(&format!("  {batch:>8} {rate:>14} {cost:>12} {fuel:>14} {memory:>12}\n"));
        }
        text.push('\n');
    }
    if let [one, other] = measured {
        text.push_str(&format!("ratios, {} to {}: above 1 is more\n", other.name, one.name));
        text.push_str(&format!("  {:>8} {:>14} {:>12} {:>14} {:>12}\n", "batch", "", "time", "fuel", "memory"));
        for (one, other) in pairs(one, other) {
            let time = other.ns_per_event / one.ns_per_event;
            let fuel = one.fuel_per_event.zip(other.fuel_per_event).map(|(one, other)| format!("{:.2}", other / one));
            let fuel = fuel.unwrap_or_else(|| "-".to_owned());
            let memory = other.peak_memory as f64 / one.peak_memory as f64;
            text.push_str(&format!("  {:>8} {:>14} {time:>12.2} {fuel:>14} {memory:>12.2}\n", one.batch, ""));
        }
    }
    text.trim_end().to_owned() + "\n"
}

/// To about three digits, in groups.
fn rounded(value: f64) -> String {
    if value < 100.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    let grouped = digits.as_bytes().rchunks(3).rev().map(|group| String::from_utf8_lossy(group).into_owned());
    grouped.collect::<Vec<_>>().join(",")
}
