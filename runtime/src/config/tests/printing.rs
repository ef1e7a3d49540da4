//! What is printed, and read again.

use expect_test::expect_file;
use proptest::prelude::*;

use crate::config::tests::{environment, read};
use crate::config::{Plan, Style, Text, load_texts, print, render};

#[test]
fn every_setting_in_effect_with_references_as_written() {
    let (plan, _) = read(&[
        (
            "a.toml",
            r#"[source.quakes]
type = "file"
path = ["data/*.ndjson", "${TOKEN}"]

[pipeline.quakes]
match = "first"

[pipeline.quakes.sink.store]
type = "wasm"
when = "event.mag >= 4.5"
path = "sinks/influx.wasm"
config = { measurement = "quake", password = "${TOKEN}", template = "$${x}", nested = { list = [1, "${TOKEN}"] } }
timeout = 90
[pipeline.quakes.sink.store.allow]
http = [{ to = "https://a.example", headers = { Authorization = "Bearer ${TOKEN}" } }, "https://b.example"]
[connection.logs]
bootstrap_servers = ["a:9092", "b"]
sasl = { mechanism = "SCRAM-SHA-512", username = "${SIZE}", password = "${TOKEN}" }
properties = { socket.keepalive.enable = true, "ssl.key.password" = "${TOKEN}", ssl.keystore.password = "plain" }
"#,
        ),
        ("b.conf", "[pipeline:quakes:rest]\ntype=console\nbatch_size=${SIZE}\n"),
    ])
    .expect("it is right");
    expect_file!["told/every_setting_in_effect.toml"].assert_eq(&print(&plan));
    assert!(!format!("{plan:?} {:?} {:?}", plan.pipelines, plan.sources).contains("hunter2"));
}

/// What a plan says, kinds and conditions included.
fn gist(plan: &Plan) -> String {
    let mut gist = format!("{:?}\n", plan.settings);
    for source in &plan.sources {
        gist.push_str(&format!("{source:?} {:?} {:?}\n", source.framing, source.kind.write()));
    }
    for pipeline in &plan.pipelines {
        gist.push_str(&format!("{pipeline:?} {:?}\n", pipeline.routing));
        for sink in &pipeline.sinks {
            gist.push_str(&format!("{:?} {:?} {:?}\n", sink.when, sink.delivery, sink.kind.write()));
        }
    }
    gist
}

/// A line of a sink's section, right by itself.
fn line() -> impl Strategy<Value = (&'static str, String)> {
    let number = |name, range: std::ops::Range<u64>| range.prop_map(move |number| (name, number.to_string()));
    let duration = |name| (1u64..10_000_000).prop_map(move |millis| (name, format!("\"{millis}ms\"")));
    prop_oneof![
        number("batch_size", 1..1_000_000),
        number("concurrency", 1..1024),
        number("batch_bytes", 1..1 << 30),
        number("buffer.max_bytes", 1..1 << 50),
        number("retry.attempts", 1..100),
        number("max_groups", 1..100_000),
        Just(("rate_limit", "'1.5/m'".to_owned())),
        Just(("order", "'key'".to_owned())),
        Just(("required", "false".to_owned())),
        Just(("batch_size", "'${SIZE}'".to_owned())),
        Just(("retry.outage", "'wait'".to_owned())),
        Just(("buffer.when_full", "'drop_newest'".to_owned())),
        Just(("when", "\"event.mag > 4 && key == '${TOKEN}'\"".to_owned())),
        duration("batch_timeout"),
        duration("timeout"),
        duration("gate.probe"),
        duration("retry.max_elapsed"),
        "[ -~éü\n\t]{1,20}".prop_filter_map("it is a path, and no reference", |text| {
            let refused = text.ends_with('/') || text.contains(['{', '}']);
            (!refused).then(|| ("path", toml::Value::String(text).to_string()))
        }),
    ]
}

proptest! {
    #[test]
    fn what_is_printed_is_the_same_plan(
        lines in prop::collection::btree_map("[a-z]{1,5}", prop::collection::vec(line(), 0..8), 1..4),
        first in any::<bool>(),
        interval in 1u64..100_000,
    ) {
        let mut written = format!("position_interval = '{interval}us'\n[source.in]\ntype = 'stdin'\n[pipeline.p]\n");
        written.push_str(if first { "match = 'first'\n" } else { "" });
        for (name, lines) in lines {
            written.push_str(&format!("[pipeline.p.sink.{name}]\n"));
            let mut lines: std::collections::BTreeMap<_, _> = lines.into_iter().collect();
            lines.insert("type", if lines.contains_key("path") { "'file'" } else { "'null'" }.into());
            for (key, value) in lines {
                written.push_str(&format!("{key} = {value}\n"));
            }
        }
        let load = |contents: String| {
            load_texts(&[Text::new("a.toml", contents)], &environment)
                .map_err(|problems| TestCaseError::fail(render(&problems, Style::Plain)))
        };
        // Two sinks may have drawn the same path.
        prop_assume!(!matches!(&load(written.clone()), Err(error) if error.to_string().contains("the same file")));
        let (plan, _) = load(written)?;
        let printed = print(&plan);
        prop_assert!(!printed.contains("hunter2"));
        let (again, _) = load(printed.clone())?;
        prop_assert_eq!(gist(&plan), gist(&again), "{}", printed);
        prop_assert_eq!(print(&again), printed);
    }
}
