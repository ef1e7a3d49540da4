//! From files to files.

use std::fs;

use crate::sump::{Dir, QUAKES};

const COPY: &str = r#"
    [source.in]
    type = "file"
    path = "in"
    [pipeline.copy.sink.out]
    type = "file"
    path = "out"
"#;

fn numbered(from: usize, to: usize) -> String {
    (from..to).map(|number| format!("line {number}\n")).collect()
}

#[test]
fn a_copy_has_the_same_bytes() {
    let dir = Dir::with(COPY);
    let quakes = fs::read_to_string(QUAKES).unwrap();
    dir.write("in", &quakes);
    let ended = dir.done().with(0).saying(&["source in: 1,707 events read", "done in"]);
    assert_eq!(ended.counts("copy:out")[..5], [1707, 0, 0, 0, 0]);
    assert_eq!(ended.output, "");
    assert!(dir.read("out") == quakes, "the copy differs");
    assert!(dir.dead_letters().is_empty());
}

#[test]
fn a_run_goes_on_where_the_last_one_ended() {
    let dir = Dir::with(COPY);
    dir.write("in", numbered(0, 5_000));
    dir.done().with(0);
    let nothing = dir.done().with(0).saying(&["nothing new: in was read up to byte", "--from-start", " 0 events read"]);
    assert_eq!(nothing.written("copy:out"), 0);
    dir.append("in", &numbered(5_000, 5_003));
    assert_eq!(dir.done().with(0).written("copy:out"), 3);
    assert!(dir.read("out") == numbered(0, 5_003));
}

#[test]
fn from_start_reads_everything_again() {
    let dir = Dir::with(COPY);
    dir.write("in", numbered(0, 10));
    dir.done().with(0);
    assert_eq!(dir.run(["sump.toml", "--from-start"]).end().with(0).written("copy:out"), 10);
    assert_eq!(dir.read("out"), numbered(0, 10).repeat(2));
    assert_eq!(dir.done().with(0).written("copy:out"), 0);
}

#[test]
fn a_file_that_was_cut_off_is_another_one() {
    let dir = Dir::with(COPY);
    dir.write("in", numbered(0, 100));
    dir.done().with(0);
    dir.write("in", "new\n");
    dir.done().with(0);
    assert_eq!(dir.read("out"), numbered(0, 100) + "new\n");
}

#[test]
fn globs_name_files_and_each_goes_on_by_itself() {
    let dir = Dir::with(&COPY.replace(r#""in""#, r#"["logs/*.log", "extra"]"#));
    fs::create_dir(dir.path("logs")).unwrap();
    for (name, text) in [("logs/b.log", "b1\n"), ("logs/a.log", "a1\na2\n"), ("logs/c.txt", "no\n"), ("extra", "e1\n")]
    {
        dir.write(name, text);
    }
    assert_eq!(dir.done().with(0).written("copy:out"), 4);
    let mut lines = dir.lines("out");
    lines.sort();
    assert_eq!(lines, ["a1", "a2", "b1", "e1"]);
    dir.append("logs/b.log", "b2\n");
    dir.write("logs/d.log", "d1\n");
    dir.done().with(0);
    assert_eq!(dir.lines("out")[4..], ["b2", "d1"]);
}

#[test]
fn a_last_line_needs_no_newline() {
    let dir = Dir::with(COPY);
    dir.write("in", "one\ntwo");
    assert_eq!(dir.done().with(0).written("copy:out"), 2);
    assert_eq!(dir.read("out"), "one\ntwo\n");
}

#[test]
fn a_line_that_is_too_long_is_a_dead_letter_and_the_rest_goes_on() {
    let dir = Dir::with(&COPY.replace("path = \"in\"", "path = \"in\"\nmax_event_bytes = 100"));
    dir.write("in", format!("short\n{}\nlast\n", "x".repeat(1000)));
    let ended = dir.done().with(0).saying(&["1 rejected by framing", "1 event in the dead letters: data/dead_letters"]);
    assert_eq!(ended.written("copy:out"), 2);
    assert_eq!(dir.lines("out"), ["short", "last"]);
    assert_eq!(dir.dead("payload")[0].len(), 100);
    assert_eq!(dir.run(["sump.toml", "--from-start", "--strict"]).end().code, Some(1));
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let dir = Dir::with(COPY);
    let ended = dir.done();
    assert!(ended.errors.contains("no file matches `in`"), "{}", ended.errors);
    assert!(!dir.has("out"));
}

#[test]
fn one_run_at_a_time_uses_a_data_directory() {
    let dir = Dir::with(COPY);
    dir.write("in", "a\n");
    let mut first = dir.run([]).arg("endless.toml");
    dir.write("endless.toml", "[source.s]\ntype = 'stdin'\n[pipeline.p.sink.s]\ntype = 'null'\n");
    first = first.open_input();
    let mut first = first.start();
    first.until("the data directory is taken", || dir.has("data/layout"));
    dir.done().with(2).saying(&["the data directory data is in use by another run", "--data-dir"]);
    assert!(!dir.has("out"));
    first.end().with(0);
    dir.done().with(0);
    assert_eq!(dir.lines("out"), ["a"]);
}
