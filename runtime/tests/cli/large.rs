//! Large runs in little memory.

use crate::endpoint::{Answer, Endpoint};
use crate::guest::guest;
use crate::sump::{Dir, QUAKES};

const MOST: u64 = 200 << 20;

fn peak(sink: &str) -> (Dir, u64) {
    let dir = Dir::with(&format!("[source.g]\ntype = 'generate'\ncount = 3_000_000\n[pipeline.p.sink.out]\n{sink}\n"));
    let mut run = dir.run(["sump.toml"]).start();
    let peak = run.peak_memory();
    assert_eq!(run.end().with(0).written("p:out"), 3_000_000);
    (dir, peak)
}

#[test]
fn three_million_events_into_nothing() {
    let (_, peak) = peak("type = 'null'");
    assert!(peak > 0 && peak < MOST, "{peak} bytes resident");
}

#[test]
fn three_million_events_into_a_file() {
    let (dir, peak) = peak("type = 'file'\npath = 'out'");
    assert!(peak > 0 && peak < MOST, "{peak} bytes resident");
    assert_eq!(dir.length("out"), 3_000_000 * 65);
}

#[test]
fn an_outage_leaves_memory_where_it_was() {
    let endpoint = Endpoint::always(Answer::Status(503));
    let dir = Dir::with(&format!(
        r#"
        [source.quakes]
        type = "file"
        path = "quakes.ndjson"
        [pipeline.p.sink.alerts]
        type = "wasm"
        path = "{}"
        config = {{ url = "{url}/quakes" }}
        allow.http = ["{url}"]
        buffer.max_bytes = "4MiB"
        retry = {{ outage = "wait", initial = "1ms", max = "1ms" }}
        gate.probe = "1ms"
        "#,
        guest("http-alerts").display(),
        url = endpoint.url
    ));
    dir.write("quakes.ndjson", std::fs::read(QUAKES).unwrap().repeat(60));
    let mut run = dir.run(["sump.toml"]).start();
    run.until("the outage to be found out", || endpoint.asked().len() > 50);
    let before = run.resident();
    run.until("many more attempts", || endpoint.asked().len() > 1_000);
    let after = run.resident();
    assert!(after < before + (4 << 20), "{before} bytes resident, and then {after}");
    assert_eq!(dir.dead_letters().len(), 0);
}
