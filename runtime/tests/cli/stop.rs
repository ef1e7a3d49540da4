//! Signals.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::guest::guest;
use crate::sump::Dir;

fn lines(count: usize) -> String {
    (0..count).map(|number| format!("line {number}\n")).collect()
}

/// A sink that does `write` with every batch of 20, beside what `source` gives.
fn guest_doing(source: &str, write: &str) -> Dir {
    Dir::with(&format!(
        r#"
        position_interval = "50ms"
        {source}
        [pipeline.p.sink.guest]
        type = "wasm"
        path = "{}"
        config = {{ write = "{write}" }}
        batch_size = 20
        batch_timeout = "10ms"
        [pipeline.p.sink.file]
        type = "file"
        path = "out"
        batch_timeout = "10ms"
        "#,
        guest("guest-plain").display()
    ))
}

const FILE: &str = "[source.in]\ntype = 'file'\npath = 'in'\n";
const STDIN: &str = "[source.in]\ntype = 'stdin'\n";

#[test]
fn a_stopped_run_delivers_what_it_read_and_the_next_goes_on() {
    let dir =
        Dir::with("[source.in]\ntype = 'file'\npath = 'in'\n[pipeline.p.sink.out]\ntype = 'file'\npath = 'out'\n");
    // The first run must not see its end.
    let input = lines(3_000_000);
    dir.write("in", &input);
    for signal in [Signal::TERM, Signal::INT] {
        let before = dir.length("out");
        let mut run = dir.run(["sump.toml"]).start();
        run.until("the first output", || dir.length("out") > before);
        run.signal(signal);
        run.end().with(0).saying(&["stopping: what was read is being delivered"]);
        assert!(dir.length("out") < input.len() as u64, "it was not stopped in the middle");
    }
    dir.done().with(0);
    assert!(dir.read("out") == input, "lines were lost or repeated");
}

#[test]
fn what_there_is_room_for_is_read_while_a_sink_is_closed() {
    let dir =
        Dir::with("[source.in]\ntype = 'file'\npath = 'in'\n[pipeline.p.sink.out]\ntype = 'file'\npath = 'out'\n");
    std::fs::create_dir(dir.path("out")).unwrap();
    // Much more than what is read ahead of a sink that takes it, and less than its buffer holds.
    dir.write("in", lines(1_000_000));
    let run = dir.run(["sump.toml", "--drain-timeout", "200ms"]).start();
    run.end().with(75).saying(&["1,000,000 events read"]);
}

#[test]
fn a_generator_without_an_end_stops() {
    let dir = Dir::with(
        "[source.g]\ntype = 'generate'\nrate = 1000\n[pipeline.p.sink.out]\ntype = 'file'\npath = 'out'\n\
         batch_timeout = '10ms'\n",
    );
    let mut run = dir.run(["sump.toml"]).start();
    run.until("some output", || dir.length("out") > 0);
    run.signal(Signal::TERM);
    let ended = run.end().with(0);
    assert_eq!(ended.written("p:out"), dir.lines("out").len() as u64);
    assert!(dir.dead_letters().is_empty());
}

#[test]
fn an_input_on_which_nothing_comes_does_not_hold_the_end_up() {
    let dir = guest_doing(STDIN, "ok");
    let mut run = dir.run(["sump.toml"]).open_input().start();
    run.feed("one\ntwo\n");
    run.until("both lines", || dir.lines("out").len() == 2);
    run.signal(Signal::TERM);
    let stdin = run.stdin.take();
    let ended = run.end().with(0);
    assert_eq!(ended.written("p:guest"), 2);
    drop(stdin);
}

#[test]
fn a_sink_that_hangs_is_given_up_when_the_time_is_over() {
    let dir = guest_doing(FILE, "sleep");
    dir.write("in", lines(100));
    let mut run = dir.run(["sump.toml", "--drain-timeout", "300ms"]).start();
    run.until("the other sink", || dir.lines("out").len() == 100);
    let began = Instant::now();
    run.signal(Signal::TERM);
    let ended = run.end().with(75).saying(&["100 events not delivered: they are read again by the next run"]);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!([ended.written("p:guest"), ended.written("p:file")], [0, 100]);
    dir.write("sump.toml", dir.read("sump.toml").replace("\"sleep\"", "\"ok\""));
    let ended = dir.done().with(0);
    assert_eq!([ended.written("p:guest"), ended.written("p:file")], [100, 0]);
}

#[test]
fn a_second_signal_ends_at_once() {
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let dir = guest_doing(FILE, "sleep");
        dir.write("in", lines(100));
        let mut run = dir.run(["sump.toml"]).start();
        run.until("the other sink", || dir.lines("out").len() == 100);
        run.signal(Signal::TERM);
        // Two signals of a kind at the same time are one.
        let began = Instant::now();
        run.until("the first signal to be seen", || began.elapsed() > Duration::from_millis(200));
        run.signal(signal);
        run.end().with(code).saying(&["stopped at once"]);
    }
}

#[test]
fn what_came_by_standard_input_and_was_not_delivered_is_kept() {
    let dir = guest_doing(STDIN, "sleep");
    let mut run = dir.run(["sump.toml", "--drain-timeout", "300ms", "--strict"]).open_input().start();
    run.feed(&lines(100));
    run.until("the other sink", || dir.lines("out").len() == 100);
    run.signal(Signal::TERM);
    run.end().with(1).saying(&["100 events in the dead letters"]);
    assert!(dir.dead("code").iter().all(|code| code == "stopped"));
    let mut payloads = dir.dead("payload");
    payloads.sort_by_key(|line| line["line ".len()..].parse::<usize>().unwrap());
    assert_eq!(payloads.join("\n") + "\n", lines(100));
}

#[test]
fn a_slow_sink_is_behind_where_it_was_stopped_and_misses_nothing() {
    let dir = guest_doing(FILE, "nap");
    dir.write("in", lines(2_000));
    let mut run = dir.run(["sump.toml", "--drain-timeout", "300ms"]).start();
    run.until("the other sink", || dir.lines("out").len() == 2_000);
    run.signal(Signal::TERM);
    let first = run.end().with(75);
    let second = dir.done().with(0);
    let written = [first.written("p:guest"), second.written("p:guest")];
    assert!(written[0] < 2_000 && written[0] + written[1] >= 2_000 && written[0] + written[1] <= 2_020, "{written:?}");
    assert_eq!(second.written("p:file"), 0);
}
