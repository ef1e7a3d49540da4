//! Events on their way into a real broker.

use std::fmt::Write;

use crate::kafka::{Broker, Record, USER, broker};
use crate::sump::{Dir, Ended};

/// A pipeline from `in.ndjson` into a topic. `connection` and `sink` are further settings.
fn config(broker: &str, connection: &str, topic: &str, sink: &str) -> String {
    format!(
        "[connection.k]\nbootstrap_servers = \"{broker}\"\n{connection}\n\
         [source.in]\ntype = \"file\"\npath = \"in.ndjson\"\n\
         [pipeline.p.sink.out]\ntype = \"kafka\"\nconnection = \"k\"\ntopic = \"{topic}\"\n{sink}\n"
    )
}

/// Delivers lines into a topic.
fn delivered(broker: &Broker, topic: &str, sink: &str, lines: &str) -> (Dir, Ended) {
    let dir = Dir::with(&config(&broker.plain, "", topic, sink));
    dir.write("in.ndjson", lines);
    let ended = dir.done();
    (dir, ended)
}

fn numbers(count: usize) -> String {
    (0..count).fold(String::new(), |mut lines, number| {
        writeln!(lines, "{{\"n\":{number},\"k\":\"k{}\"}}", number % 7).unwrap();
        lines
    })
}

fn payloads(records: &[Record]) -> Vec<&str> {
    records.iter().filter_map(|record| record.payload.as_deref()).collect()
}

#[test]
fn events_are_written_as_they_are_in_their_order() {
    let broker = broker();
    broker.create("plain", 1, &[]);
    let lines = numbers(25_000);
    let (dir, ended) = delivered(broker, "plain", "", &lines);
    assert_eq!(ended.with(0).written("p:out"), 25_000);
    let records = broker.records("plain");
    assert_eq!(payloads(&records), lines.lines().collect::<Vec<_>>());
    assert!(records.iter().all(|record| record.key.is_none() && record.headers.is_empty()));
    // What was delivered is not delivered again.
    assert_eq!(dir.done().with(0).written("p:out"), 0);
}

#[test]
fn topic_key_headers_and_partition_come_from_the_event() {
    let broker = broker();
    for topic in ["by-a", "by-b"] {
        broker.create(topic, 3, &[]);
    }
    let sink =
        "key = \"{event:/k}\"\nheaders = { net = \"{event:/net}\", fixed = \"x\" }\npartition = \"{event:/p}\"\n";
    let lines = concat!(
        r#"{"t":"a","k":"k1","net":"us","p":2}"#,
        "\n",
        r#"{"t":"b","net":"ak","p":0}"#,
        "\n",
        r#"{"t":"a","k":"k1","p":1}"#,
        "\n",
        r#"{"t":"../b","p":1}"#,
        "\n",
        r#"{"k":"no topic","p":1}"#,
        "\n",
        r#"{"t":"b","p":"x"}"#,
        "\n",
        r#"{"t":"b","p":9}"#,
        "\n",
    );
    let (dir, ended) = delivered(broker, "by-{event:/t}", sink, lines);
    ended.with(0);
    let gist = |record: Record| {
        let headers = record.headers.into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>();
        format!("{} {} {}", record.partition, record.key.unwrap_or_default(), headers.join(","))
    };
    let all = |topic: &str| broker.records(topic).into_iter().map(gist).collect::<Vec<_>>();
    assert_eq!(all("by-a"), ["1 k1 fixed=x", "2 k1 fixed=x,net=us"]);
    assert_eq!(all("by-b"), ["0  fixed=x,net=ak"]);
    let mut codes = dir.dead("code");
    codes.sort();
    assert_eq!(codes, ["partition", "topic", "topic", "unknown-partition"]);
}

#[test]
fn keys_headers_times_and_tombstones_are_the_events_own() {
    let broker = broker();
    broker.create("own", 4, &[]);
    let dir = Dir::with(&format!(
        "[connection.k]\nbootstrap_servers = \"{}\"\n[source.made]\ntype = \"generate\"\ncount = 3000\nkeys = 16\nheaders = 2\n\
         [pipeline.p.sink.out]\ntype = \"kafka\"\nconnection = \"k\"\ntopic = \"own\"\nbatch_size = 500\n\
         [pipeline.p.sink.copy]\ntype = \"console\"\nformat = \"json\"\n",
        broker.plain
    ));
    let copy = dir.done().with(0).output;
    let records = broker.records("own");
    assert_eq!(records.len(), 3000);
    let mut told: Vec<String> = Vec::new();
    for line in copy.lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        told.push(format!("{} {}", event["key"].as_str().unwrap(), event["payload"]["n"]));
    }
    let mut read: Vec<String> = Vec::new();
    for record in &records {
        let event: serde_json::Value = serde_json::from_str(record.payload.as_deref().unwrap()).unwrap();
        read.push(format!("{} {}", record.key.as_deref().unwrap(), event["n"]));
        assert_eq!(record.headers.len(), 2);
    }
    told.sort();
    read.sort();
    assert_eq!(read, told);
    // A key has its partition, and its order there.
    for record in &records {
        let same = records.iter().filter(|other| other.key == record.key);
        assert!(same.map(|other| other.partition).all(|partition| partition == record.partition));
    }
}

#[test]
fn what_is_too_large_becomes_a_dead_letter_and_nothing_that_came_with_it() {
    let broker = broker();
    broker.create("small", 1, &[("max.message.bytes", "20000")]);
    let mut lines = numbers(900);
    // Random, so that no compression makes it fit. The client would take it.
    let large: String = std::iter::repeat_with(fastrand::alphanumeric).take(50_000).collect();
    writeln!(lines, "\"{large}\"").unwrap();
    let huge: String = std::iter::repeat_with(fastrand::alphanumeric).take(1_010_000).collect();
    writeln!(lines, "\"{huge}\"").unwrap();
    lines += &numbers(50);
    let (dir, ended) = delivered(broker, "small", "properties.batch.size = 1000000", &lines);
    assert_eq!(ended.with(0).written("p:out"), 950);
    assert_eq!(dir.dead("code"), ["too-large", "too-large"]);
    assert_eq!(broker.records("small").len(), 950);
}

#[test]
fn one_invalid_record_does_not_take_its_neighbours_with_it() {
    let broker = broker();
    broker.create("compacted", 1, &[("cleanup.policy", "compact")]);
    let lines = "{\"k\":\"a\"}\n{\"k\":\"b\"}\n{}\n{\"k\":\"c\"}\n";
    let (dir, ended) = delivered(broker, "compacted", "key = \"{event:/k}\"", lines);
    assert_eq!(ended.with(0).written("p:out"), 3);
    assert_eq!(dir.dead("code"), ["invalid-record"]);
    assert_eq!(broker.records("compacted").len(), 3);
}

#[test]
fn a_topic_that_is_not_there_is_tried_and_named() {
    let broker = broker();
    let sink = "timeout = 6\nretry = { attempts = 2, initial = \"10ms\" }";
    let (dir, ended) = delivered(broker, "nowhere", sink, "{}\n");
    ended.with(0);
    let [letter] = dir.dead_letters().try_into().unwrap();
    assert_eq!((letter["kind"].as_str(), letter["attempts"].as_u64()), (Some("transient"), Some(2)), "{letter}");
    assert!(letter["code"].as_str().unwrap().starts_with("unknown-topic"), "{letter}");
}

#[test]
fn credentials_and_certificates_let_it_in() {
    let broker = broker();
    broker.create("secured", 1, &[]);
    let file = |name: &str| broker.file(name).display().to_string();
    let sasl = |mechanism: &str| {
        format!("sasl = {{ mechanism = \"{mechanism}\", username = \"{}\", password = \"{}\" }}\n", USER.0, USER.1)
    };
    let ca = format!("tls.ca = {:?}\n", file("ca.pem"));
    let own = format!("{ca}tls.cert = {:?}\ntls.key = {:?}\n", file("client.pem"), file("client.key"));
    let ways = [
        (&broker.sasl, sasl("PLAIN")),
        (&broker.sasl, sasl("SCRAM-SHA-256")),
        (&broker.sasl_tls, ca + &sasl("SCRAM-SHA-512")),
        (&broker.tls, own),
    ];
    for (number, (address, connection)) in ways.iter().enumerate() {
        let dir = Dir::with(&config(address, connection, "secured", ""));
        dir.write("in.ndjson", format!("{{\"way\":{number}}}\n"));
        assert_eq!(dir.done().with(0).written("p:out"), 1, "{connection}");
    }
    assert_eq!(broker.payloads("secured"), (0..4).map(|n| format!("{{\"way\":{n}}}")).collect::<Vec<_>>());
}

#[test]
fn a_wrong_password_closes_the_gate_and_a_file_that_is_put_right_opens_it() {
    let broker = broker();
    broker.create("healed", 1, &[]);
    let dir = Dir::new();
    dir.write("password", "wrong\n");
    let password = dir.path("password").display().to_string();
    let sasl =
        format!("sasl = {{ mechanism = \"SCRAM-SHA-256\", username = \"sump\", password = \"${{file:{password}}}\" }}");
    dir.write("sump.toml", config(&broker.sasl, &sasl, "healed", "gate.probe = \"100ms\""));
    let lines = numbers(100);
    dir.write("in.ndjson", &lines);
    let mut run = dir.run(["sump.toml"]).start();
    run.until_said("the gate is closed, events wait: halted (authentication)");
    assert!(!run.said().contains("wrong"), "{}", run.said());
    dir.write("password", USER.1);
    run.until("the delivery", || broker.records("healed").len() == 100);
    assert_eq!(run.end().with(0).written("p:out"), 100);
    assert_eq!(broker.payloads("healed"), lines.lines().collect::<Vec<_>>());
    assert!(!dir.has("data/dead_letters") || dir.dead_letters().is_empty());
}
