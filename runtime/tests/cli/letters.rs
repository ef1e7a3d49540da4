//! `dead_letters = { sink = … }`: dead letters to a sink of the same pipeline.

use serde_json::Value;

use crate::guest::guest;
use crate::sump::Dir;

/// A sink that rejects `refuse`, and one that gets the dead letters.
fn relayed(source: &str, to: &str) -> Dir {
    let dir = Dir::with(&format!(
        r#"
        [source.in]
        {source}
        [pipeline.p]
        dead_letters = {{ sink = "dead" }}
        [pipeline.p.sink.dead]
        {to}
        [pipeline.p.sink.guest]
        type = "wasm"
        path = "{}"
        config = {{ write = "obey" }}
        [pipeline.p.sink.out]
        type = "file"
        path = "out"
        "#,
        guest("guest-plain").display(),
    ));
    dir.write("in", "one\nrefuse\ntwo\nrefuse\n");
    dir
}

const FILE: &str = "type = 'file'\npath = 'in'";

#[test]
fn a_sink_gets_the_letters_and_none_of_the_events() {
    let dir = relayed(FILE, "type = 'file'\npath = 'dead'\nbatch_timeout = '1h'");
    let ended = dir.run(["sump.toml", "--strict"]).end().with(1);
    assert_eq!(ended.counts("p:dead")[..1], [2]);
    assert_eq!(dir.lines("out").len(), 4);
    let letters: Vec<Value> = dir.lines("dead").iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(letters.len(), 2);
    for (letter, position) in letters.iter().zip([4, 15]) {
        let expected: [Value; 5] = ["p".into(), "guest".into(), "bad".into(), "refuse".into(), "in".into()];
        assert_eq!(["pipeline", "sink", "code", "payload", "source"].map(|field| letter[field].clone()), expected);
        assert_eq!(letter["position"], position);
    }
    assert!(dir.dead_letters().is_empty());
    dir.done().with(0).saying(&["nothing new"]);
}

#[test]
fn what_that_sink_rejects_goes_to_the_files() {
    let dir = relayed(FILE, "type = 'file'\npath = '{header:none}'");
    dir.done().with(0);
    assert_eq!(dir.dead("sink"), ["dead", "dead"]);
    let letter: Value = serde_json::from_str(&dir.dead("payload")[0]).unwrap();
    assert_eq!([&letter["sink"], &letter["payload"]], ["guest", "refuse"]);
}

#[test]
fn while_that_sink_is_halted_its_neighbours_wait_and_at_the_end_the_files_have_the_letters() {
    let halted = format!("type = 'wasm'\npath = '{}'\nconfig = {{ open = 'halted' }}", guest("guest-plain").display());
    let dir = relayed(FILE, &halted);
    dir.run(["sump.toml", "--drain-timeout", "500ms"]).end().with(0).saying(&["halted (no-table)"]);
    assert_eq!(dir.dead("sink"), ["guest", "guest"]);
    assert_eq!(dir.dead("payload"), ["refuse", "refuse"]);
}

#[test]
fn what_routes_reject_goes_there_too() {
    let dir = Dir::with(
        r#"
        [source.in]
        type = "file"
        path = "in"
        [pipeline.p]
        otherwise = "reject"
        dead_letters.sink = "dead"
        [pipeline.p.sink.out]
        type = "file"
        path = "out"
        when = "raw != 'no'"
        [pipeline.p.sink.dead]
        type = "file"
        path = "dead"
        "#,
    );
    dir.write("in", "yes\nno\n");
    dir.done().with(0);
    assert_eq!(dir.read("out"), "yes\n");
    let letter: Value = serde_json::from_str(&dir.read("dead")).unwrap();
    assert_eq!([&letter["sink"], &letter["code"], &letter["payload"]], ["*", "not-taken", "no"]);
    assert!(dir.dead_letters().is_empty());
}
