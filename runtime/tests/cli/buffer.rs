//! Disk buffers: what is in them survives a kill, and comes once.

use std::fs;

use rustix::process::Signal;

use crate::sump::{Dir, Ended};

/// A sink that is down for as long as a file is where its folder has to be.
fn down(source: &str) -> Dir {
    let dir = Dir::with(&format!(
        r#"
        position_interval = "20ms"
        {source}
        [pipeline.p.sink.out]
        type = "file"
        path = "there/out"
        buffer.type = "disk"
        retry.attempts = "unlimited"
        retry.outage = "wait"
        "#
    ));
    dir.write("there", "");
    dir
}

/// From now on the sink is up.
fn up(dir: &Dir) {
    fs::remove_file(dir.path("there")).unwrap();
}

const STDIN: &str = "[source.in]\ntype = 'stdin'\n";
const FILE: &str = "[source.in]\ntype = 'file'\npath = 'in'\n";

fn lines(range: std::ops::Range<usize>) -> String {
    range.map(|number| format!("line {number:06}\n")).collect()
}

/// Whether the files of the buffer have some text.
fn buffered(dir: &Dir, text: &str) -> bool {
    let Ok(entries) = fs::read_dir(dir.path("data/buffers/p/out")) else { return false };
    let mut files = entries.flatten().map(|entry| fs::read(entry.path()).unwrap_or_default());
    files.any(|bytes| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
}

fn is_drained(dir: &Dir, ended: Ended) {
    assert!(!ended.errors.contains("stay in its disk buffer"), "{}", ended.errors);
    let left = fs::read_dir(dir.path("data/buffers/p/out")).unwrap();
    let names: Vec<_> = left.flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(names, ["position.json"]);
    assert!(dir.dead_letters().is_empty());
}

#[test]
fn what_standard_input_gave_survives_a_kill() {
    let dir = down(STDIN);
    let mut run = dir.run(["sump.toml"]).open_input().start();
    run.feed(&lines(0..500));
    run.until("the first half in the buffer", || buffered(&dir, "line 000499"));
    run.feed(&lines(500..1_000));
    run.until("all of it in the buffer", || buffered(&dir, "line 000999"));
    run.signal(Signal::KILL);
    assert_eq!(run.end().code, None);
    up(&dir);
    let ended = dir.done().with(0).saying(&["the disk buffer holds events of an earlier run"]);
    assert_eq!(dir.read("there/out"), lines(0..1_000));
    is_drained(&dir, ended);
}

#[test]
fn events_of_a_file_come_once_whenever_the_run_is_killed() {
    let dir = down(FILE);
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    dir.write("in", lines(0..20_000));
    for round in 1..=8 {
        let last = format!("line {:06}", round * 20_000 - 1 - random.usize(0..15_000));
        let mut run = dir.run(["sump.toml"]).start();
        run.reaches("the moment to die", || buffered(&dir, &last));
        run.signal(Signal::KILL);
        run.end();
        dir.append("in", &lines(round * 20_000..(round + 1) * 20_000));
    }
    up(&dir);
    let ended = dir.done().with(0);
    assert!(dir.read("there/out") == dir.read("in"), "seed {seed}: {} lines are there", dir.lines("there/out").len());
    is_drained(&dir, ended);
}

#[test]
fn what_is_in_the_buffer_at_a_stop_stays_and_is_no_loss() {
    let dir = down(STDIN);
    let mut run = dir.run(["sump.toml", "--drain-timeout", "300ms", "--strict"]).open_input().start();
    run.feed(&lines(0..100));
    run.until("all of it in the buffer", || buffered(&dir, "line 000099"));
    run.signal(Signal::TERM);
    run.end().with(0).saying(&["100 events of p:out stay in its disk buffer for the next run"]);
    assert!(dir.dead_letters().is_empty());
    up(&dir);
    // Whoever asks for memory from now on gets what is left all the same.
    dir.write("sump.toml", dir.read("sump.toml").replace("\"disk\"", "\"memory\""));
    let ended = dir.run(["sump.toml"]).input(lines(100..200)).end().with(0);
    let ended = ended.saying(&["an earlier run left events in"]);
    assert_eq!(dir.read("there/out"), lines(0..200));
    is_drained(&dir, ended);
}
