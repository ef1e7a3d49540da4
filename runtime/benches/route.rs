//! What a condition costs an event: fields of the quake data and headers, as compiled and as interpreted.
//!
//! Prints nanoseconds of processor time an event and millions of events a second of one core; with `SUMP_BENCH_JSON` naming a file, it
//! appends each as a JSON line too.

use std::fs::OpenOptions;
use std::hint::black_box;
use std::io::Write;

use rustix::time::{ClockId, clock_gettime};
use sump::batch::{Batch, BatchBuilder, Event, Partition};
use sump::expr::{Condition, Template};

const QUAKES: &str = include_str!("../../data/earthquakes.ndjson");

/// Times over the whole batch that count as one measurement, and how many of those there are.
const ROUNDS: (u32, u32) = (20, 15);

const CONDITIONS: [(&str, &[&str]); 8] = [
    ("one field", &["event.mag >= 4.5"]),
    ("one field, interpreted", &["true ? event.mag >= 4.5 : false"]),
    ("the last field", &["event.felt != null"]),
    ("two conditions over fields", &["event.mag >= 4.5", "event.net == 'ak'"]),
    ("two fields", &["event.mag >= 4.5 && event.tsunami == 0"]),
    ("one header", &["headers.level == 'error'"]),
    ("key", &["key.startsWith('us')"]),
    ("timestamp", &["timestamp > timestamp('2018-02-01T00:00:00Z')"]),
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let batch = quakes()?;
    for (case, texts) in CONDITIONS {
        let conditions = texts.iter().map(|text| Condition::parse(text)).collect::<Result<Vec<_>, _>>()?;
        report(case, best(&batch, || conditions.iter().map(|one| one.evaluate(&batch).holds.len()).sum()))?;
    }
    let template = Template::parse("quakes/{event:/net}/{time:%Y-%m-%d}.ndjson")?;
    let mut path = String::new();
    let render = || {
        let rendered = (0..batch.len()).filter(|row| {
            path.clear();
            template.render(&batch, *row, &mut path).is_ok()
        });
        rendered.count()
    };
    report("a path of a field and a day", best(&batch, render))
}

/// The quake events, with an identifier as their key and two headers.
fn quakes() -> Result<Batch, Box<dyn std::error::Error>> {
    let partition = Partition::new("quakes/0");
    let mut builder = BatchBuilder::new();
    for (position, line) in QUAKES.lines().enumerate() {
        let level: &[u8] = if position % 10 == 0 { b"error" } else { b"info" };
        builder.push(
            &partition,
            Event {
                payload: Some(line.as_bytes()),
                key: line.as_bytes().get(7..17),
                timestamp: 1_517_443_200_000 + position as i64,
                headers: &[(b"trace", b"00-4bf92f3577b34da6"), (b"level", level)],
                position: position as u64,
            },
        );
    }
    Ok(builder.finish()?)
}

/// Nanoseconds an event: the best of several measurements, since the machine may be shared.
fn best(batch: &Batch, mut ask: impl FnMut() -> usize) -> f64 {
    let (repeats, measurements) = ROUNDS;
    let once = (0..measurements).map(|_| {
        let start = processor_time();
        for _ in 0..repeats {
            black_box(ask());
        }
        (processor_time() - start) / f64::from(repeats) / batch.len() as f64
    });
    once.fold(f64::INFINITY, f64::min)
}

/// Nanoseconds that this thread has been on a processor.
fn processor_time() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

#[expect(clippy::print_stdout, clippy::disallowed_methods, reason = "a benchmark is a command of its own")]
fn report(case: &str, nanoseconds: f64) -> Result<(), Box<dyn std::error::Error>> {
    println!("route  {case:<30} {nanoseconds:>8.1} ns/event  {:>8.2} M events/s", 1e3 / nanoseconds);
    if let Ok(file) = std::env::var("SUMP_BENCH_JSON") {
        let mut file = OpenOptions::new().create(true).append(true).open(file)?;
        let line = serde_json::json!({ "bench": "route", "case": case, "value": nanoseconds, "unit": "ns/event" });
        writeln!(file, "{line}")?;
    }
    Ok(())
}
