//! Which events go where.

use serde_json::{Value, json};

use crate::sump::{Dir, QUAKES};

fn magnitude(line: &str) -> f64 {
    serde_json::from_str::<Value>(line).unwrap()["mag"].as_f64().unwrap()
}

fn quakes(rest: &str) -> Dir {
    Dir::with(&format!("[source.quakes]\ntype = 'file'\npath = '{QUAKES}'\n{rest}"))
}

#[test]
fn every_sink_gets_what_its_condition_takes() {
    let dir = quakes(
        r#"
        [pipeline.p.sink.strong]
        type = "file"
        when = "event.mag >= 4.5"
        path = "strong"
        [pipeline.p.sink.all]
        type = "file"
        path = "{event:/net}.ndjson"
        [pipeline.p.sink.count]
        type = "null"
        "#,
    );
    let ended = dir.done().with(0);
    let strong = dir.lines("strong");
    assert!(strong.len() > 50 && strong.iter().all(|line| magnitude(line) >= 4.5));
    let counts = ["p:strong", "p:all", "p:count"].map(|sink| ended.written(sink));
    assert_eq!(counts, [strong.len() as u64, 1707, 1707]);
    assert!(dir.lines("us.ndjson").iter().all(|line| line.contains("\"net\":\"us\"")) && dir.has("uw.ndjson"));
}

#[test]
fn under_first_an_event_goes_to_one_sink_and_what_none_takes_is_rejected() {
    let dir = Dir::with(
        r#"
        [source.in]
        type = "file"
        path = "in"
        [pipeline.p]
        match = "first"
        otherwise = "reject"
        [pipeline.p.sink.strong]
        type = "file"
        when = "event.mag >= 5.0"
        path = "strong"
        [pipeline.p.sink.felt]
        type = "file"
        when = "event.mag >= 3.0"
        path = "felt"
        "#,
    );
    dir.write("in", "{\"mag\":6}\n{\"mag\":4}\n{\"mag\":1}\nnot json\n");
    let ended = dir.done().with(0).saying(&["2 events taken by no sink, 2 condition_errors", "2 events in the dead"]);
    assert_eq!([ended.written("p:strong"), ended.written("p:felt")], [1, 1]);
    assert_eq!(dir.lines("strong"), ["{\"mag\":6}"]);
    assert_eq!(dir.lines("felt"), ["{\"mag\":4}"]);
    assert_eq!(dir.dead("payload"), ["{\"mag\":1}", "not json"]);
    assert_eq!(dir.dead("code"), ["not-taken", "not-taken"]);
    let letter = &dir.dead_letters()[1];
    for (field, value) in [
        ("pipeline", json!("p")),
        ("sink", json!("*")),
        ("kind", json!("rejected")),
        ("attempts", json!(0)),
        ("first_attempt", json!(null)),
        ("position", json!(30)),
        ("key", json!(null)),
        ("headers", json!([])),
    ] {
        assert_eq!(letter[field], value, "{field}");
    }
    assert!(letter["partition"].as_str().unwrap().starts_with("in@"), "{letter}");
    assert!(letter["time"].as_u64() >= letter["timestamp"].as_u64(), "{letter}");
}

#[test]
fn what_only_failing_conditions_kept_out_is_a_dead_letter_where_that_is_asked_for() {
    let dir = Dir::with(
        r#"
        [source.in]
        type = "file"
        path = "in"
        [pipeline.p]
        on_condition_error = "reject"
        [pipeline.p.sink.out]
        type = "file"
        when = "event.mag >= 5.0"
        path = "out"
        "#,
    );
    dir.write("in", "{\"mag\":6}\n{}\n{\"mag\":1}\n");
    let ended = dir.run(["sump.toml", "--strict"]).end().with(1).saying(&["1 condition_errors"]);
    assert_eq!(ended.written("p:out"), 1);
    assert_eq!(dir.dead("code"), ["condition-failed"]);
    assert_eq!(dir.dead("payload"), ["{}"]);
}

#[test]
fn two_pipelines_on_a_source_get_everything_each() {
    let dir = quakes(
        r#"
        [pipeline.one.sink.out]
        type = "file"
        path = "one"
        [pipeline.two.sink.out]
        type = "file"
        when = "event.mag < 1.0"
        path = "two"
        "#,
    );
    let ended = dir.done().with(0);
    assert_eq!(ended.written("one:out"), 1707);
    assert_eq!(ended.written("two:out"), dir.lines("two").len() as u64);
    assert!(dir.lines("two").iter().all(|line| magnitude(line) < 1.0));
    dir.done().with(0).saying(&["nothing new"]);
}

#[test]
fn a_sink_that_is_added_later_begins_with_what_is_new() {
    let dir =
        Dir::with("[source.in]\ntype = 'file'\npath = 'in'\n[pipeline.p.sink.one]\ntype = 'file'\npath = 'one'\n");
    dir.write("in", "a\nb\n");
    dir.done().with(0);
    dir.write("more.toml", "[pipeline.p.sink.two]\ntype = 'file'\npath = 'two'\n");
    dir.append("in", "c\n");
    let ended = dir.run(["sump.toml", "more.toml"]).end().with(0);
    assert_eq!([ended.written("p:one"), ended.written("p:two")], [1, 1]);
    assert_eq!((dir.lines("one").len(), dir.lines("two")), (3, vec!["c".to_owned()]));
}
