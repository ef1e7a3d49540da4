//! Kills without warning: every line is there at least once, and none is torn.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use rustix::process::Signal;

use crate::guest::guest;
use crate::sump::Dir;

/// Kills runs of `sump.toml` when their output has grown by up to `most` bytes, then lets one end. Returns the seed of
/// the moments. Fails when most runs ended before they could be killed.
fn kill(dir: &Dir, rounds: usize, most: u64, size: impl Fn() -> u64) -> u64 {
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    let mut killed = 0;
    for _ in 0..rounds {
        let enough = size() + random.u64(0..most);
        let mut run = dir.run(["sump.toml"]).start();
        run.reaches("the moment to die", || size() >= enough);
        run.signal(Signal::KILL);
        killed += usize::from(run.end().code.is_none());
    }
    assert!(killed > rounds / 4, "only {killed} runs were killed; seed {seed}");
    dir.done().with(0);
    seed
}

/// How often each line is there.
fn counted(text: &str) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for line in text.lines() {
        *counts.entry(line).or_default() += 1;
    }
    counts
}

#[test]
fn a_file_has_every_line_and_none_torn() {
    let dir = Dir::with(
        r#"
        position_interval = "20ms"
        [source.in]
        type = "file"
        path = "in"
        [pipeline.p.sink.out]
        type = "file"
        path = "out"
        "#,
    );
    let line = |number: usize| format!("{number:06} {}\n", "x".repeat(number % 60));
    let input: String = (0..200_000).map(line).collect();
    dir.write("in", &input);
    let seed = kill(&dir, 20, input.len() as u64 / 10, || dir.length("out"));
    let output = dir.read("out");
    assert!(output.ends_with('\n'), "torn at the end; seed {seed}");
    let (there, wanted) = (counted(&output), counted(&input));
    let strangers: Vec<&&str> = there.keys().filter(|line| !wanted.contains_key(*line)).collect();
    assert!(strangers.is_empty(), "seed {seed}: {} torn lines, such as {:?}", strangers.len(), strangers[0]);
    let missing: Vec<&&str> = wanted.keys().filter(|line| !there.contains_key(*line)).collect();
    assert!(missing.is_empty(), "seed {seed}: {} lines are missing, such as {:?}", missing.len(), missing[0]);
}

#[test]
fn a_component_gets_every_event() {
    let dir = Dir::with(&format!(
        r#"
        position_interval = "20ms"
        [source.in]
        type = "file"
        path = "in"
        [pipeline.p.sink.csv]
        type = "wasm"
        path = "{}"
        batch_size = 200
        allow.dirs = [{{ host = "days", guest = "/out", access = "read-write" }}]
        "#,
        guest("csv-by-day").display()
    ));
    fs::create_dir(dir.path("days")).unwrap();
    let quake = |number: usize| {
        format!(
            "{{\"id\":\"q{number:05}\",\"time\":1517363399650,\"mag\":1.5,\"place\":\"sea\",\"lon\":1,\"lat\":2,\"depth\":3}}\n"
        )
    };
    dir.write("in", (0..20_000).map(quake).collect::<String>());
    let file = "days/2018-01-31.csv";
    let seed = kill(&dir, 6, 150_000, || dir.length(file));
    let output = dir.read(file);
    let there = counted(&output);
    let row = |number: usize| format!("1517363399650,1.5,sea,1.0,2.0,3.0,q{number:05}");
    let rows: Vec<String> = (0..20_000).map(row).collect();
    let missing = rows.iter().filter(|row| !there.contains_key(&***row)).count();
    assert_eq!(missing, 0, "seed {seed}");
    let rows: BTreeSet<&str> = rows.iter().map(String::as_str).collect();
    let torn: Vec<&&str> = there.keys().filter(|row| !rows.contains(*row) && !row.starts_with("time,")).collect();
    assert!(torn.is_empty(), "seed {seed}: {torn:?}");
}
