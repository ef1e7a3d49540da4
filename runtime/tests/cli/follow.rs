//! Files that are followed while somebody writes to them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::fd::AsFd;
use std::process::Command;

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
fn a_writer_that_rotates_by_renaming_loses_nothing_through_kills() {
    let dir = Dir::with(&following("in.log", ""));
    let (files, each) = (24, 2_000);
    let line = |number: usize| format!("{number:07} {}\n", "x".repeat(number % 50));
    let mut log = File::create(dir.path("in.log")).unwrap();
    // Sees what is there before anything else happens.
    let start = |known: usize| {
        let mut run = dir.run(["sump.toml"]).start();
        run.until("the run sees what is there", || saved(&dir).0 == known);
        run
    };
    let mut run = Some(start(1));
    for file in 0..files {
        for number in file * each..(file + 1) * each {
            log.write_all(line(number).as_bytes()).unwrap();
        }
        // Every third time nobody looks meanwhile, and at no time does the writer wait until all was read.
        if let Some(mut killed) = run.take_if(|_| file % 3 == 2) {
            // One that came and went while nobody looked can't be known of.
            killed.until("the run sees what is there", || saved(&dir).0 == file + 1);
            killed.signal(Signal::KILL);
            killed.end();
        }
        fs::rename(dir.path("in.log"), dir.path(&format!("in.log.{file:03}"))).unwrap();
        log = File::create(dir.path("in.log")).unwrap();
        if run.is_none() {
            run = Some(start(file + 2));
        }
    }
    let mut run = run.unwrap();
    let all: BTreeSet<String> = (0..files * each).map(|number| line(number).replace('\n', "")).collect();
    // Between files that came and went meanwhile there is no order.
    let there = || dir.lines("out").into_iter().collect::<BTreeSet<_>>();
    run.until("every line", || there().len() >= all.len());
    let lost: Vec<_> = all.difference(&there()).cloned().collect();
    assert_eq!(lost, [""; 0], "lost or torn");
    run.signal(Signal::TERM);
    run.end().with(0);
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

/// Runs a program in a directory. `cargo xtask test` installs those that are used here.
fn program(dir: &Dir, name: &str, args: &[&str]) {
    let status = Command::new(name).args(args).current_dir(dir.path("")).status();
    assert!(status.unwrap_or_else(|error| panic!("{name}: {error}")).success(), "{name} {args:?}");
}

#[test]
fn logrotate_loses_and_repeats_nothing_either_way() {
    for (way, glob) in [("create", "in.log"), ("copytruncate", "in.log"), ("copytruncate", "in.log*")] {
        let dir = Dir::with(&following(glob, "poll_interval = \"20ms\""));
        let log = dir.path("in.log");
        dir.write("rotate", format!("{} {{\n  rotate 3\n  nocompress\n  {way}\n}}\n", log.display()));
        let open = || OpenOptions::new().create(true).append(true).open(&log).unwrap();
        let mut writer = open();
        let mut run = dir.run(["sump.toml"]).start();
        run.until("the run sees the file", || saved(&dir).0 == 1);
        let mut expected = BTreeSet::new();
        for round in 0..10 {
            for number in 0..3_000 {
                let line = format!("{round} {number:05} {}", "x".repeat(number % 50));
                writer.write_all(format!("{line}\n").as_bytes()).unwrap();
                expected.insert(line);
            }
            if (way, glob) == ("copytruncate", "in.log") {
                // A copy is known by what was read of its file, and is not meant by itself.
                run.until("a line", || dir.lines("out").len() > expected.len() - 3_000);
            }
            program(&dir, "logrotate", &["--force", "--state", "state", "rotate"]);
            if way == "create" {
                // Its log is the old one until it is told.
                let line = format!("{round} late");
                writer.write_all(format!("{line}\n").as_bytes()).unwrap();
                expected.insert(line);
                writer = open();
            }
            // Three are kept: what nobody has read by then is gone.
            run.until("all lines", || dir.lines("out").len() >= expected.len());
        }
        let there = dir.lines("out");
        assert!(there.iter().cloned().collect::<BTreeSet<_>>() == expected, "{way} {glob}: lost or torn");
        assert_eq!(there.len(), expected.len(), "{way} {glob}: repeated");
        run.until("what was rotated away is forgotten", || saved(&dir).1.len() <= 5);
        run.signal(Signal::TERM);
        run.end().with(0);
    }
}

#[test]
fn files_that_other_programs_packed_are_read() {
    for follow in ["true", "false"] {
        let dir = Dir::with(&following("in*", "").replace("follow = true", &format!("follow = {follow}")));
        let lines = |name: &str| -> String { (0..20_000).map(|number| format!("{name} {number}\n")).collect() };
        for (name, packer) in [("in1", "gzip"), ("in2", "zstd")] {
            dir.write(name, lines(name));
            program(&dir, packer, if packer == "zstd" { &["-q", "--rm", "in2"] } else { &["in1"] });
        }
        dir.write("in3", lines("in3"));
        let mut run = dir.run(["sump.toml"]).start();
        run.until("all lines", || dir.lines("out").len() == 60_000);
        // A second member, as `gzip >>` adds it.
        program(&dir, "sh", &["-c", "echo added | gzip >> in1.gz; echo added | zstd -q >> in2.zst"]);
        if follow == "false" {
            run.end().with(0);
            run = dir.run(["sump.toml"]).start();
        }
        run.until("what was added", || dir.lines("out").len() == 60_002);
        assert_eq!(dir.lines("out").iter().filter(|line| *line == "added").count(), 2);
        assert_eq!(dir.lines("out").iter().filter(|line| line.starts_with("in2 ")).count(), 20_000);
    }
}

#[test]
fn thousands_of_files_need_few_open_ones() {
    let dir = Dir::with(&following("logs/*.log", "").replace("20ms", "200ms"));
    fs::create_dir(dir.path("logs")).unwrap();
    let files = 3_000;
    let write = |number| dir.write(&format!("logs/{number}.log"), format!("{number} one\n"));
    (0..files / 2).for_each(write);
    let mut run = dir.run_in_shell("ulimit -n 100; exec \"$@\"", ["sump.toml"]).start();
    run.until("a line of each that was there", || dir.lines("out").len() == files / 2);
    (files / 2..files).for_each(write);
    run.until("a line of each", || dir.lines("out").len() == files);
    (0..files).for_each(|number| dir.append(&format!("logs/{number}.log"), &format!("{number} two\n")));
    run.until("another line of each", || dir.lines("out").len() == 2 * files);
    let there: BTreeSet<String> = dir.lines("out").into_iter().collect();
    assert_eq!(there.len(), 2 * files);
    run.signal(Signal::TERM);
    run.end().with(0);
}
