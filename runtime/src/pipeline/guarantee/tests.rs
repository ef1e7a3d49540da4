//! What each setting does to a guarantee, and that it does nothing else.

use std::collections::BTreeMap;

use super::*;
use crate::config::{Text, load_texts};
use crate::pipeline::build::open;
use crate::pipeline::groups::Groups;

/// A path with the strongest guarantees that there are.
const STRONGEST: &str = r#"
    [source.in]
    type = "file"
    path = "in"
    [pipeline.p.sink.out]
    type = "file"
    path = "out"
    fsync = "batch"
    retry.attempts = "unlimited"
    retry.outage = "wait"
    "#;

/// By the name of the claim: its level, and the keys that cause it.
type Told = BTreeMap<&'static str, (&'static str, Vec<String>)>;

fn told(configuration: &str, stops_in_order: bool) -> Told {
    let text = Text::new("test.toml", configuration.to_owned());
    let (plan, _) = load_texts(&[text], &|_| None).unwrap_or_else(|problems| panic!("{problems:?}"));
    let all =
        guarantees(&plan, |source| open(&plan, source, "run", &Groups::default()).replayable(), |_, _| stops_in_order);
    let [Guarantee { loss, duplicates, order, durability, dead_letters, .. }] = all.as_slice() else {
        panic!("there is one path")
    };
    let keys = |because: &[Reason]| because.iter().map(|reason| reason.key.clone()).collect();
    BTreeMap::from([
        ("loss", (loss.level.text(), keys(&loss.because))),
        ("duplicates", (duplicates.level.text(), keys(&duplicates.because))),
        ("order", (order.level.text(), keys(&order.because))),
        ("durability", (durability.level.text(), keys(&durability.because))),
        ("dead letters", (dead_letters.level.text(), keys(&dead_letters.because))),
    ])
}

/// What a change of the configuration makes different.
fn changed(from: &str, to: &str) -> Told {
    assert!(STRONGEST.contains(from), "{from}");
    let strongest = told(STRONGEST, true);
    let mut told = told(&STRONGEST.replace(from, to), true);
    told.retain(|claim, now| strongest[claim] != *now);
    told
}

fn table(rows: &[(&'static str, &'static str, &[&str])]) -> Told {
    let row = |(claim, level, keys): &(&'static str, &'static str, &[&str])| {
        (*claim, (*level, keys.iter().map(|key| (*key).to_owned()).collect()))
    };
    rows.iter().map(row).collect()
}

#[test]
fn a_file_that_is_synced_loses_nothing_and_keeps_its_order() {
    let expected = table(&[
        ("loss", "none", &[]),
        ("duplicates", "possible", &["position_interval", "retry.unknown"]),
        ("order", "as in the source", &[]),
        ("durability", "survives a power cut", &[]),
        ("dead letters", "rejected and failing events", &["retry.unknown"]),
    ]);
    assert_eq!(told(STRONGEST, true), expected);
}

#[test]
fn a_setting_weakens_what_it_is_about_and_nothing_else() {
    let fsync = "fsync = \"batch\"";
    let letters = "dead letters";
    let failing = "rejected and failing events";
    for (from, to, claim, level, keys) in [
        (
            fsync,
            "fsync = 'batch'\nbuffer.when_full = 'drop_newest'",
            "loss",
            "while the buffer is full",
            &["buffer.when_full"][..],
        ),
        (fsync, "fsync = 'batch'\nexactly_once = true", "duplicates", "none", &[]),
        (fsync, "fsync = '2s'", "durability", "survives a kill", &["fsync"]),
        (fsync, "fsync = 'never'", "durability", "survives a kill", &["fsync"]),
        (fsync, "fsync = 'batch'\nconcurrency = 4", "order", "none", &["concurrency"]),
        (fsync, "fsync = 'batch'\nconcurrency = 'adaptive'", "order", "none", &["concurrency"]),
        (
            fsync,
            "fsync = 'batch'\nconcurrency = 4\norder = 'key'",
            "order",
            "as in the source, for each key",
            &["order"],
        ),
        (
            fsync,
            "fsync = 'batch'\nrequired = false",
            letters,
            "rejected and failing events, and those that nobody waits for",
            &["retry.unknown", "required"],
        ),
        (
            fsync,
            "fsync = 'batch'\nencoder = { type = 'csv', columns = ['/id'] }",
            letters,
            failing,
            &["retry.unknown", "encoder.type"],
        ),
        ("\"unlimited\"", "1", letters, failing, &["retry.attempts", "retry.unknown"]),
        (fsync, "fsync = 'batch'\nretry.max_elapsed = '1h'", letters, failing, &["retry.max_elapsed", "retry.unknown"]),
        (
            "\"wait\"",
            "\"dead_letter\"",
            letters,
            "rejected and failing events, and all in an outage",
            &["retry.unknown", "retry.outage"],
        ),
    ] {
        assert_eq!(changed(from, to), table(&[(claim, level, keys)]), "{to}");
    }
}

#[test]
fn a_component_that_encodes_may_send_a_value_again_with_its_neighbours() {
    let wasm = changed("fsync = \"batch\"", "fsync = 'batch'\nencoder = { type = 'wasm', path = 'a.wasm' }");
    let expected = table(&[
        ("duplicates", "possible", &["position_interval", "retry.unknown", "encoder.type"]),
        ("dead letters", "rejected and failing events", &["retry.unknown", "encoder.type"]),
    ]);
    assert_eq!(wasm, expected);
    assert!(changed("fsync = \"batch\"", "fsync = 'batch'\nencoder = 'json'").is_empty());
}

#[test]
fn what_comes_by_standard_input_is_lost_in_a_kill_and_kept_at_a_stop() {
    let source = "type = \"file\"\n    path = \"in\"";
    for kind in ["stdin", "generate"] {
        let expected = table(&[
            ("loss", "by a kill", &["source.in.type"]),
            ("duplicates", "possible", &["retry.unknown"]),
            ("dead letters", "rejected and failing events", &["source.in.type", "retry.unknown"]),
        ]);
        assert_eq!(changed(source, &format!("type = '{kind}'")), expected, "{kind}");
    }
}

#[test]
fn what_comes_by_http_is_lost_only_by_whoever_does_not_send_it_again() {
    let source = "type = \"file\"\n    path = \"in\"";
    let http = "type = 'http'\n    listen = '127.0.0.1:0'";
    let expected =
        table(&[("loss", "none", &["source.in.ack"]), ("duplicates", "possible", &["source.in.ack", "retry.unknown"])]);
    assert_eq!(changed(source, http), expected);
    let expected = table(&[
        ("loss", "by a kill", &["source.in.ack"]),
        ("duplicates", "possible", &["retry.unknown"]),
        ("dead letters", "rejected and failing events", &["source.in.ack", "retry.unknown"]),
    ]);
    assert_eq!(changed(source, &format!("{http}\n    ack = false")), expected);
}

#[test]
fn a_disk_buffer_keeps_what_comes_by_standard_input() {
    let source = "type = \"file\"\n    path = \"in\"";
    let stdin = STRONGEST.replace(source, "type = 'stdin'");
    let told = told(&stdin.replace("fsync = \"batch\"", "fsync = 'batch'\nbuffer.type = 'disk'"), true);
    assert_eq!(told["loss"], ("by a kill, before they are in the buffer", vec!["source.in.type".to_owned()]));
    assert_eq!(told["duplicates"].1, ["position_interval", "retry.unknown"]);
    assert_eq!(told["dead letters"].1, ["retry.unknown"]);
}

#[test]
fn what_is_tried_once_and_never_read_again_has_no_duplicates() {
    let once = r#"
        [source.in]
        type = "stdin"
        [pipeline.p.sink.out]
        type = "null"
        retry = { attempts = 1, unknown = 1, outage = "dead_letter" }
        "#;
    assert_eq!(told(once, true)["duplicates"], ("none", vec![]));
    for (from, to) in [("attempts = 1", "attempts = 2"), ("unknown = 1", "unknown = 2"), ("dead_letter", "wait")] {
        assert_eq!(told(&once.replace(from, to), true)["duplicates"].0, "possible", "{to}");
    }
}

#[test]
fn a_sink_is_as_durable_as_its_kind() {
    let file = "type = \"file\"\n    path = \"out\"\n    fsync = \"batch\"";
    for (kind, level) in [("type = 'null'", "none"), ("type = 'console'", "none")] {
        assert_eq!(changed(file, kind), table(&[("durability", level, &["type"])]), "{kind}");
    }
    let destination = table(&[("durability", "as the destination has it", &["type"])]);
    assert_eq!(changed(file, "type = 'http'\nurl = 'https://a.example'"), destination);
    let expected = table(&[
        ("duplicates", "possible", &["position_interval", "retry.unknown", "type"]),
        ("durability", "as the destination has it", &["type"]),
    ]);
    assert_eq!(changed(file, "type = 'wasm'\npath = 'sink.wasm'"), expected);
    let expected = table(&[
        ("order", "as in the source, for each key", &["type"]),
        ("durability", "as the destination has it", &["type"]),
    ]);
    let kafka = STRONGEST.replace(file, "type = 'kafka'\nconnection = 'k'\ntopic = 't'");
    let kafka = kafka + "[connection.k]\nbootstrap_servers = 'a'\n";
    let (strongest, mut told) = (told(STRONGEST, true), told(&kafka, true));
    told.retain(|claim, now| strongest[claim] != *now);
    assert_eq!(told, expected);
}

#[test]
fn a_sink_that_does_not_stop_keeps_order_between_batches_only() {
    assert_eq!(told(STRONGEST, false)["order"], ("between batches only", vec!["type".to_owned()]));
    let overlapping = told(&STRONGEST.replace("fsync = \"batch\"", "concurrency = 2"), false);
    assert_eq!(overlapping["order"], ("none", vec!["type".to_owned(), "concurrency".to_owned()]));
}

#[test]
fn a_partition_that_another_process_gets_may_be_written_twice() {
    let kafka = "type = \"kafka\"\nconnection = \"k\"\ntopics = \"t\"\ngroup = \"g\"\n\
                 [connection.k]\nbootstrap_servers = \"b:9092\"\n";
    let because: &[&str] = &["position_interval", "source.in.revoke_timeout", "retry.unknown"];
    let expected = table(&[("duplicates", "possible", because)]);
    assert_eq!(changed("type = \"file\"\n    path = \"in\"\n", kafka), expected);
}

#[test]
fn from_kafka_to_kafka_nothing_need_be_written_twice() {
    let once = r#"
        instance = "a"
        [connection.k]
        bootstrap_servers = "b"
        [source.in]
        type = "kafka"
        connection = "k"
        topics = "t"
        group = "g"
        [pipeline.p.sink.out]
        type = "kafka"
        connection = "k"
        topic = "u"
        exactly_once = true
        "#;
    assert_eq!(told(once, true)["duplicates"], ("none", vec![]));
    assert_eq!(told(&once.replace("true", "false"), true)["duplicates"].0, "possible");
}

#[test]
fn the_page_has_every_level_and_every_key() {
    const PAGE: &str = include_str!("../../../../docs/guarantees.md");
    let levels = Loss::ALL.iter().map(|level| level.text()).chain(Duplicates::ALL.iter().map(|level| level.text()));
    let levels = levels.chain(Order::ALL.iter().map(|level| level.text()));
    let levels = levels.chain(Durability::ALL.iter().map(|level| level.text()));
    for level in levels.chain(Letters::ALL.iter().map(|level| level.text())) {
        assert!(PAGE.contains(&format!("| {level} |")), "docs/guarantees.md does not have the level `{level}`");
    }
    for key in [
        "position_interval",
        "retry.unknown",
        "source.NAME.ack",
        "source.NAME.revoke_timeout",
        "source.NAME.type",
        "type",
        "buffer.when_full",
        "fsync",
        "concurrency",
        "retry.attempts",
        "retry.max_elapsed",
        "retry.outage",
        "encoder.type",
    ] {
        assert!(PAGE.contains(&format!("| `{key}")), "docs/guarantees.md does not have `{key}`");
    }
}
