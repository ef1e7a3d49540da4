//! Files that are followed while somebody writes to them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::fd::AsFd;

use rustix::process::Signal;
use serde_json::Value;

use crate::sump::Dir;

fn following(glob: &str, more: &str) -> String {
    format!(
        r#"
        position_interval = "20ms"
        [source.in]
        type = "file"
        path = "{glob}"
        follow = true
        {more}
        [pipeline.copy.sink.out]
        type = "file"
        path = "out"
        batch_timeout = "10ms"
        "#
    )
}

/// What was saved of the source: how many files are known, and where reading goes on in each.
fn saved(dir: &Dir) -> (usize, BTreeMap<String, u64>) {
    let saved: Value = serde_json::from_str(&dir.read("data/positions.json")).unwrap_or_default();
    let source = &saved["sources"]["in"];
    let positions = source["pipelines"]["copy"]["out"].as_object().cloned().unwrap_or_default();
    let positions = positions.into_iter().map(|(partition, position)| (partition, position.as_u64().unwrap()));
    (source["memo"].as_array().map_or(0, Vec::len), positions.collect())
}

fn truncate(file: &File) {
    rustix::fs::ftruncate(file.as_fd(), 0).unwrap();
}

#[test]
fn what_is_added_is_delivered_until_the_run_is_stopped() {
    let dir = Dir::with(&following("in*.log", ""));
    dir.write("in.log", "1\n");
    let mut run = dir.run(["sump.toml"]).start();
    run.until("the first line", || dir.lines("out") == ["1"]);
    dir.append("in.log", "2\n3 is no");
    run.until("the second line", || dir.lines("out") == ["1", "2"]);
    dir.write("in2.log", "other\n");
    run.until("a line of a new file", || dir.lines("out") == ["1", "2", "other"]);
    run.signal(Signal::TERM);
    run.end().with(0);
    dir.append("in.log", "t half a line\n");
    let mut run = dir.run(["sump.toml"]).start();
    run.until("the rest", || dir.lines("out").len() == 4);
    assert_eq!(dir.lines("out")[3], "3 is not half a line");
    run.signal(Signal::TERM);
    run.end().with(0);
}

#[test]
fn where_a_partition_begins_is_saved_before_its_first_event() {
    let dir = Dir::with(&following("in.log", "start = \"end\"").replace("20ms", "1h"));
    dir.write("in.log", "old\n");
    let mut run = dir.run(["sump.toml"]).start();
    run.until("the position where it began", || saved(&dir).1.values().eq(&[4]));
    dir.append("in.log", "new\n");
    run.until("the line", || dir.lines("out") == ["new"]);
    run.signal(Signal::KILL);
    run.end();
    dir.append("in.log", "newer\n");
    let mut run = dir.run(["sump.toml"]).start();
    run.until("what was not saved, and what is new", || dir.lines("out") == ["new", "new", "newer"]);
}

#[test]
fn a_writer_that_copies_and_truncates_loses_only_what_that_loses() {
    for watch in ["auto", "poll"] {
        let dir = Dir::with(&following("in.log", &format!("watch = \"{watch}\"\npoll_interval = \"5ms\"")));
        let log = OpenOptions::new().create(true).append(true).open(dir.path("in.log")).unwrap();
        let mut run = dir.run(["sump.toml"]).start();
        let mut expected = Vec::new();
        for round in 0..20 {
            for number in 0..round * 37 % 400 + 1 {
                let line = format!("{round} {number}");
                (&log).write_all(format!("{line}\n").as_bytes()).unwrap();
                expected.push(line);
            }
            run.until("all lines before the truncation", || dir.lines("out").len() == expected.len());
            fs::copy(dir.path("in.log"), dir.path(&format!("in.log.{round}"))).unwrap();
            truncate(&log);
        }
        assert_eq!(dir.lines("out"), expected);
        (0..20).for_each(|round| fs::remove_file(dir.path(&format!("in.log.{round}"))).unwrap());
        run.until("what is gone is forgotten", || saved(&dir).1.len() == 1 && saved(&dir).0 == 1);
    }
}

#[test]
fn what_is_deleted_is_forgotten() {
    let dir = Dir::with(&following("*.log", "poll_interval = \"10ms\""));
    (0..50).for_each(|number| dir.write(&format!("{number}.log"), format!("{number}\n")));
    let mut run = dir.run(["sump.toml"]).start();
    run.until("all lines", || dir.lines("out").len() == 50);
    run.until("all positions", || saved(&dir).1.len() == 50);
    (1..50).for_each(|number| fs::remove_file(dir.path(&format!("{number}.log"))).unwrap());
    run.until("one file is left", || saved(&dir).0 == 1 && saved(&dir).1.len() == 1);
    run.signal(Signal::TERM);
    run.end().with(0);
}

#[test]
fn three_hundred_files_need_few_open_ones() {
    let dir = Dir::with(&following("logs/*.log", ""));
    fs::create_dir(dir.path("logs")).unwrap();
    let files = 300;
    (0..files).for_each(|number| dir.write(&format!("logs/{number}.log"), format!("{number} one\n")));
    let mut run = dir.run_in_shell("ulimit -n 100; exec \"$@\"", ["sump.toml"]).start();
    run.until("a line of each", || dir.lines("out").len() == files);
    (0..files).for_each(|number| dir.append(&format!("logs/{number}.log"), &format!("{number} two\n")));
    run.until("another line of each", || dir.lines("out").len() == 2 * files);
    let there: BTreeSet<String> = dir.lines("out").into_iter().collect();
    assert_eq!(there.len(), 2 * files);
    run.signal(Signal::TERM);
    run.end().with(0);
}
