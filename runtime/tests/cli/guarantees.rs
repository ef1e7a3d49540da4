//! What `sump check` says of a path, held against what happens on it.

use std::collections::BTreeSet;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::endpoint::{Answer, Endpoint};
use crate::guest::guest;
use crate::sump::{Dir, QUAKES};

/// The level of a claim about a sink, and the keys that it rests on.
fn said(dir: &Dir, sink: &str, claim: &str) -> (String, Vec<String>) {
    let checked = dir.sump(["check", "--format", "json", "sump.toml"]).end().with(0);
    let all: Vec<Value> = serde_json::from_str(&checked.output).unwrap();
    let path = all.iter().find(|path| path["sink"] == sink).unwrap();
    let keys =
        path[claim]["because"].as_array().unwrap().iter().map(|reason| reason["key"].as_str().unwrap().to_owned());
    (path[claim]["level"].as_str().unwrap().to_owned(), keys.collect())
}

fn lines(count: usize) -> String {
    (0..count).map(|number| format!("line {number}\n")).collect()
}

/// A sink that is prompt, and one that waits for more.
fn prompt_and_patient(source: &str) -> Dir {
    Dir::with(&format!(
        r#"
        position_interval = "20ms"
        [source.in]
        {source}
        [pipeline.p.sink.prompt]
        type = "file"
        path = "prompt"
        batch_timeout = "1ms"
        [pipeline.p.sink.patient]
        type = "file"
        path = "patient"
        batch_timeout = "1h"
        "#
    ))
}

#[test]
fn a_file_loses_nothing_by_a_kill() {
    let dir = prompt_and_patient("type = 'file'\npath = 'in'");
    assert_eq!(said(&dir, "patient", "loss"), ("none".into(), vec![]));
    assert_eq!(said(&dir, "patient", "duplicates").0, "possible");
    dir.write("in", lines(500_000));
    for part in 1..=4 {
        let mut run = dir.run(["sump.toml"]).start();
        run.reaches("a part", || dir.length("prompt") > part * 1_000_000);
        run.signal(Signal::KILL);
        run.end();
    }
    dir.done().with(0);
    let input = dir.read("in");
    let wanted: BTreeSet<&str> = input.lines().collect();
    for sink in ["prompt", "patient"] {
        let output = dir.read(sink);
        assert!(wanted == output.lines().collect(), "{sink} has not what was read");
    }
}

#[test]
fn what_came_by_standard_input_is_lost_by_a_kill_and_not_by_a_stop() {
    let killed = prompt_and_patient("type = 'stdin'");
    assert_eq!(said(&killed, "patient", "loss"), ("kill".into(), vec!["source.in.type".into()]));
    assert_eq!(said(&killed, "prompt", "duplicates").1, ["retry.unknown"]);
    for (signal, left) in [(Signal::KILL, 0), (Signal::TERM, 100)] {
        let dir = prompt_and_patient("type = 'stdin'");
        let mut run = dir.run(["sump.toml"]).open_input().start();
        run.feed(&lines(100));
        run.until("what need not wait", || dir.lines("prompt").len() == 100);
        run.signal(signal);
        run.end();
        dir.done().with(0);
        assert_eq!((dir.lines("patient").len() + dir.dead_letters().len(), dir.lines("prompt").len()), (left, 100));
    }
}

#[test]
fn what_a_full_buffer_drops_is_lost() {
    let dir = Dir::with(&format!(
        r#"
        [source.in]
        type = "generate"
        count = 50_000
        [pipeline.p.sink.guest]
        type = "wasm"
        path = "{}"
        config = {{ write = "nap" }}
        buffer.max_bytes = "64KiB"
        buffer.when_full = "drop_newest"
        "#,
        guest("guest-plain").display()
    ));
    let (level, keys) = said(&dir, "guest", "loss");
    assert_eq!((level.as_str(), keys.last().map(String::as_str)), ("when_full", Some("buffer.when_full")));
    let ended = dir.done().with(0);
    let [written, .., dropped, _] = ended.counts("p:guest");
    assert!(dropped > 0 && written + dropped == 50_000, "{}", ended.errors);
}

/// The identifiers of strong quakes in the order in which a server took them, which refuses its first request for now.
fn order_of_arrival(concurrency: usize) -> (String, Vec<String>) {
    let endpoint =
        Endpoint::new(
            |number| if number == 0 { Answer::Status(503) } else { Answer::Slowly(Duration::from_millis(1)) },
        );
    let dir = Dir::with(&format!(
        r#"
        [source.in]
        type = "file"
        path = "{QUAKES}"
        [pipeline.p.sink.alerts]
        type = "wasm"
        path = "{}"
        config = {{ url = "{}/quakes" }}
        allow.http = ["{}"]
        batch_size = 100
        retry.initial = "300ms"
        concurrency = {concurrency}
        "#,
        guest("http-alerts").display(),
        endpoint.url,
        endpoint.url
    ));
    let (level, _) = said(&dir, "alerts", "order");
    dir.done().with(0);
    let taken = endpoint.asked().into_iter().skip(1);
    let quakes = taken.flat_map(|asked| serde_json::from_slice::<Vec<Value>>(&asked.body).unwrap());
    (level, quakes.map(|quake| quake["id"].to_string()).collect())
}

#[test]
fn order_is_kept_where_that_is_said_and_only_there() {
    let input = std::fs::read_to_string(QUAKES).unwrap();
    let quakes = input.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let strong: Vec<String> =
        quakes.filter(|quake| quake["mag"].as_f64() >= Some(4.5)).map(|quake| quake["id"].to_string()).collect();
    assert_eq!(order_of_arrival(1), ("source".to_owned(), strong.clone()));
    let (level, arrived) = order_of_arrival(4);
    assert!(level == "none" && arrived != strong, "{arrived:?}");
    assert_eq!(arrived.iter().collect::<BTreeSet<_>>(), strong.iter().collect());
}

#[test]
fn guarantees_are_comments_behind_the_settings_in_effect() {
    let dir = prompt_and_patient("type = 'file'\npath = 'in'");
    let printed = dir.sump(["check", "sump.toml"]).end().with(0).output;
    let about = printed.split_once("# in → p:patient\n").map(|(_, about)| about.to_owned()).unwrap_or_default();
    assert!(about.starts_with("#   loss          none\n#   duplicates    possible\n"), "{printed}");
    assert!(
        about.contains("#       fsync = \"1s\": a power cut may lose what was written within that time before it\n"),
        "{about}"
    );
    dir.write("again.toml", &printed);
    assert_eq!(dir.sump(["check", "again.toml"]).end().with(0).output, printed);
}
