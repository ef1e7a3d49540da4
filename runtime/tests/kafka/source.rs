//! What is read from Kafka, and what the group is told of it.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::kafka::{Broker, broker};
use crate::sump::{Dir, Ended, Running, wait_for};

/// A pipeline from Kafka to a sink. `source` and `sink` are more of their settings.
fn config(broker: &Broker, group: &str, source: &str, sink: &str) -> String {
    format!(
        "position_interval = '100ms'\n\
         [connection.k]\nbootstrap_servers = '{}'\n\
         [source.k]\ntype = 'kafka'\nconnection = 'k'\ngroup = '{group}'\n{source}\n\
         [pipeline.p]\nsource = 'k'\n\
         [pipeline.p.sink.s]\nbatch_timeout = '50ms'\n{sink}\n",
        broker.plain
    )
}

const OUT: &str = "type = 'file'\npath = 'out'";

fn lines(numbers: std::ops::Range<usize>) -> String {
    numbers.map(|number| format!("event {number}\n")).collect()
}

/// A client in the place of a group, which has no members.
fn group(broker: &Broker, group: &str) -> BaseConsumer {
    broker.client().set("group.id", group).create().unwrap()
}

/// What the group has committed of a topic, for the partitions of which it has anything.
fn committed(broker: &Broker, name: &str, topic: &str, partitions: i32) -> BTreeMap<i32, i64> {
    let mut list = TopicPartitionList::new();
    list.add_partition_range(topic, 0, partitions - 1);
    let mut found = None;
    // A broker that has just begun may not know yet that it is the group's.
    wait_for("an answer of the group", || {
        found = group(broker, name).committed_offsets(list.clone(), Duration::from_secs(30)).ok();
        found.is_some()
    });
    let list = found.unwrap();
    let offset = |offset| if let Offset::Offset(offset) = offset { Some(offset) } else { None };
    list.elements().iter().filter_map(|it| Some((it.partition(), offset(it.offset())?))).collect()
}

/// Sets a group back that has no members; as soon as those are gone who were killed.
fn commit(broker: &Broker, name: &str, topic: &str, offset: i64) {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Offset(offset)).unwrap();
    wait_for("the group to be without members", || group(broker, name).commit(&list, CommitMode::Sync).is_ok());
}

fn stop(run: Running) -> Ended {
    run.signal(Signal::TERM);
    run.end().with(0)
}

#[test]
fn every_part_of_a_record_arrives_by_either_protocol() {
    let broker = broker();
    broker.create("parts", 3, &[]);
    let producer: BaseProducer = broker.client().create().unwrap();
    let headers = rdkafka::message::OwnedHeaders::new();
    let header = |key, value: Option<&'static str>| rdkafka::message::Header { key, value };
    let headers = headers.insert(header("a", Some("1"))).insert(header("a", None)).insert(header("b", Some("")));
    for number in 0..3000 {
        let (key, payload) = (format!("key {number}"), format!("{{\"n\":{number}}}"));
        let record = BaseRecord::to("parts").partition(number % 3).timestamp(1_000_000 + i64::from(number));
        let record = if number % 5 == 0 { record } else { record.key(&key) };
        let record = if number % 7 == 0 { record } else { record.payload(&payload) };
        let record = if number % 11 == 0 { record.headers(headers.clone()) } else { record };
        producer.send(record).unwrap();
    }
    producer.flush(Duration::from_secs(30)).unwrap();
    let expected: Vec<Value> = broker
        .records("parts")
        .iter()
        .map(|record| {
            let payload = record.payload.as_ref().map_or(Value::Null, |text| serde_json::from_str(text).unwrap());
            let mut event = json!({
                "payload": payload,
                "timestamp": format!("1970-01-01T00:{:02}:{:02}.{:03}Z", record.timestamp / 60_000, record.timestamp / 1000 % 60, record.timestamp % 1000),
                "partition": format!("parts/{}", record.partition),
                "position": record.offset,
            });
            if let Some(key) = &record.key {
                event["key"] = key.as_str().into();
            }
            if !record.headers.is_empty() {
                event["headers"] = json!([["a", "1"], ["a", null], ["b", ""]]);
            }
            event
        })
        .collect();
    for protocol in ["classic", "consumer"] {
        let source = format!("topics = 'parts'\nuntil = 'end'\nprotocol = '{protocol}'");
        let group = format!("parts-{protocol}");
        let dir = Dir::with(&config(broker, &group, &source, "type = 'console'\nformat = 'json'"));
        let ended = dir.done().with(0);
        let mut events: Vec<Value> = ended.output.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        events.sort_by_key(|event| (event["partition"].to_string(), event["position"].as_u64()));
        assert_eq!(events.len(), expected.len(), "{protocol}");
        events.iter().zip(&expected).for_each(|(event, expected)| assert_eq!(event, expected, "{protocol}"));
        assert_eq!(committed(broker, &group, "parts", 3), BTreeMap::from([(0, 1000), (1, 1000), (2, 1000)]));
        assert_eq!(dir.done().with(0).output, "", "{protocol}");
    }
}

#[test]
fn a_partition_begins_where_start_says_until_the_group_has_a_position() {
    let broker = broker();
    broker.create("start", 1, &[]);
    let producer: BaseProducer = broker.client().create().unwrap();
    for number in 0..10 {
        let payload = number.to_string();
        let record =
            BaseRecord::<(), String>::to("start").payload(&payload).timestamp(86_400_000 * i64::from(number + 1));
        producer.send(record).unwrap();
    }
    producer.flush(Duration::from_secs(30)).unwrap();
    for (start, first) in [("earliest", 0), ("1970-01-08", 6), ("1970-01-07T00:00:00.001Z", 6), ("2020-01-01", 10)] {
        let source = format!("topics = 'start'\nuntil = 'end'\nstart = '{start}'");
        let dir = Dir::with(&config(broker, &format!("start-{first}-{}", start.len()), &source, OUT));
        dir.done().with(0);
        let expected: Vec<String> = (first..10).map(|number: i32| number.to_string()).collect();
        assert_eq!(dir.lines("out"), expected, "{start}");
    }
    let source = "topics = 'start'\nstart = 'latest'";
    let dir = Dir::with(&config(broker, "start-latest", source, OUT));
    let mut run = dir.run(["sump.toml"]).start();
    run.until("a position", || committed(broker, "start-latest", "start", 1) == BTreeMap::from([(0, 10)]));
    // The position is there before anything is read, so that no kill can pass over what comes meanwhile.
    run.signal(Signal::KILL);
    run.end();
    broker.produce("start", &[], "ten\n");
    let mut run = dir.run(["sump.toml"]).start();
    run.until("the new event", || dir.lines("out") == ["ten"]);
    stop(run);
    assert_eq!(committed(broker, "start-latest", "start", 1), BTreeMap::from([(0, 11)]));
}

#[test]
fn topics_are_found_by_patterns_and_partitions_that_are_added_are_read_as_a_whole() {
    let broker = broker();
    broker.create("found-a", 1, &[]);
    broker.create("found.not", 1, &[]);
    let source = "topics = ['^found-.*']\nstart = 'latest'\nproperties.topic.metadata.refresh.interval.ms = 200";
    let dir = Dir::with(&config(broker, "found", source, OUT));
    let mut run = dir.run(["sump.toml"]).start();
    run.until("the first topic", || committed(broker, "found", "found-a", 1).len() == 1);
    broker.create("found-b", 2, &[]);
    broker.produce("found-b", &["-p", "1"], "b\n");
    broker.produce("found-a", &[], "a\n");
    broker.produce("found.not", &[], "c\n");
    run.until("both events", || dir.lines("out").len() == 2);
    stop(run);
    let mut lines = dir.lines("out");
    lines.sort();
    assert_eq!(lines, ["a", "b"]);
}

#[test]
fn what_can_not_be_read_is_told() {
    let broker = broker();
    broker.create("told", 1, &[]);
    let dir = Dir::with(&config(broker, "told", "topics = ['told', 'no-such-topic']", OUT));
    let message = "there is no topic `no-such-topic`: create it, or name another in `topics`";
    let code = dir.done().saying(&["source `k`", message]).code;
    assert_ne!(code, Some(0));
    let sasl = "sasl = { mechanism = 'SCRAM-SHA-256', username = 'sump', password = 'hunter2' }";
    let with = |sasl: &str| {
        config(broker, "told", "topics = 'told'\nuntil = 'end'", OUT).replace(
            &format!("bootstrap_servers = '{}'", broker.plain),
            &format!("bootstrap_servers = '{}'\n{sasl}", broker.sasl),
        )
    };
    let ended = Dir::with(&with(sasl)).done().saying(&["source `k`", "check `sasl` of the connection"]);
    assert!(ended.code != Some(0) && !ended.errors.contains("hunter2"), "{}", ended.errors);
    Dir::with(&with(&sasl.replace("hunter2", crate::kafka::USER.1))).done().with(0);
}

#[test]
fn a_group_is_read_over_tls_by_whoever_proves_who_it_is() {
    let broker = broker();
    broker.create("source-secured", 1, &[]);
    broker.produce("source-secured", &[], &lines(0..100));
    let with = |group: &str, password: &str| {
        let source = "topics = 'source-secured'\nuntil = 'end'";
        let secured = format!(
            "bootstrap_servers = '{}'\ntls.ca = '{}'\n\
             sasl = {{ mechanism = 'SCRAM-SHA-512', username = '{}', password = '{password}' }}",
            broker.sasl_tls,
            broker.file("ca.pem").display(),
            crate::kafka::USER.0,
        );
        let plain = format!("bootstrap_servers = '{}'", broker.plain);
        Dir::with(&config(broker, group, source, OUT).replace(&plain, &secured))
    };
    let refused = with("source-refused", "hunter2");
    let ended = refused.done().saying(&["source `k`", "check `sasl` of the connection"]);
    assert!(ended.code != Some(0) && !ended.errors.contains("hunter2"), "{}", ended.errors);
    assert!(!refused.has("out"));
    let dir = with("source-secured", crate::kafka::USER.1);
    dir.done().with(0);
    assert!(dir.lines("out").iter().map(String::as_str).eq(lines(0..100).lines()));
    assert_eq!(committed(broker, "source-secured", "source-secured", 1), BTreeMap::from([(0, 100)]));
}

#[test]
fn brokers_that_are_not_there_are_waited_for() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let text = config(broker(), "nobody", "topics = 'nobody'", OUT);
    let dir = Dir::with(&text.replace(&broker().plain, &nobody.to_string()));
    let mut run = dir.run(["sump.toml"]).start();
    let told = "the source goes on trying";
    wait_for("the warning", || run.said().contains(told));
    run.until("a while", {
        let began = Instant::now();
        move || began.elapsed() > Duration::from_secs(3)
    });
    let ended = stop(run);
    assert!(ended.errors.matches(told).count() <= 3, "{}", ended.errors);
}

/// What a run tells at its admin address.
fn metrics(address: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    write!(stream, "GET /metrics HTTP/1.1\r\nhost: sump\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// A sink that can't write as long as there is a file in the way, and asks for it often.
const BARRED: &str = "type = 'file'\npath = 'barred/out'\ngate.probe = '200ms'\nbuffer.max_bytes = '100KB'";

#[test]
fn a_sink_that_is_down_costs_no_partition_and_nothing_is_read_twice() {
    let broker = broker();
    broker.create("down", 4, &[]);
    broker.produce("down", &["-X", "sticky.partitioning.linger.ms=0"], &lines(0..50_000));
    let source = "topics = 'down'\nproperties = { 'max.poll.interval.ms' = 10000, 'session.timeout.ms' = 10000, 'fetch.message.max.bytes' = 10000 }";
    let dir = Dir::with(&config(broker, "down", source, BARRED));
    dir.write("barred", "");
    let mut run = dir.run(["sump.toml", "--admin", "127.0.0.1:0"]).start();
    let mut address = None;
    wait_for("the address", || {
        let said = run.said();
        address = said.split_once("http://").and_then(|(_, rest)| Some(rest.split_once('/')?.0.to_owned()));
        address.is_some()
    });
    let lag = || {
        let text = metrics(address.as_ref().unwrap());
        let line = text
            .lines()
            .find(|line| line.starts_with("sump_source_lag{source=\"k\",topic=\"down\"}"))
            .map(str::to_owned);
        line.and_then(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
    };
    run.until("the lag", || lag() == Some(50_000.0));
    let began = Instant::now();
    run.until("longer than the longest time without a poll", || began.elapsed() > Duration::from_secs(12));
    assert_eq!(committed(broker, "down", "down", 4).values().sum::<i64>(), 0);
    std::fs::remove_file(dir.path("barred")).unwrap();
    run.until("all events", || dir.lines("barred/out").len() >= 50_000);
    run.until("no lag", || lag() == Some(0.0));
    stop(run);
    let mut written = dir.lines("barred/out");
    written.sort();
    let mut expected: Vec<String> = lines(0..50_000).lines().map(str::to_owned).collect();
    expected.sort();
    assert_eq!(written.len(), expected.len());
    assert!(written == expected);
    assert_eq!(committed(broker, "down", "down", 4).values().sum::<i64>(), 50_000);
}

#[test]
fn nothing_is_committed_before_it_is_final() {
    let broker = broker();
    broker.create("final", 1, &[]);
    broker.produce("final", &[], &lines(0..1000));
    let dir = Dir::with(&config(broker, "final", "topics = 'final'", BARRED));
    dir.write("barred", "");
    let run = dir.run(["sump.toml"]).start();
    wait_for("the closed gate", || run.said().contains("barred"));
    run.signal(Signal::KILL);
    run.end();
    assert_eq!(committed(broker, "final", "final", 1).values().sum::<i64>(), 0);
    std::fs::remove_file(dir.path("barred")).unwrap();
    let mut run = dir.run(["sump.toml"]).start();
    run.until("all events", || dir.lines("barred/out").len() >= 1000);
    stop(run);
    assert!(dir.lines("barred/out").iter().map(String::as_str).eq(lines(0..1000).lines()));
}

#[test]
fn a_group_that_was_set_back_reads_again_and_one_that_went_on_elsewhere_passes_over_nothing() {
    let broker = broker();
    broker.create("back", 1, &[]);
    broker.produce("back", &[], &lines(0..10));
    let dir = Dir::with(&config(broker, "back", "topics = 'back'\nuntil = 'end'", OUT));
    dir.done().with(0);
    assert_eq!(dir.lines("out").len(), 10);
    dir.done().with(0);
    assert_eq!(dir.lines("out").len(), 10);
    // An operator sets the group back.
    commit(broker, "back", "back", 4);
    dir.done().with(0).saying(&["read again from here on"]);
    assert_eq!(dir.lines("out").len(), 16);
    // Another process, with a data directory of its own, goes on.
    broker.produce("back", &[], &lines(10..20));
    let other = Dir::with(&config(broker, "back", "topics = 'back'\nuntil = 'end'", OUT));
    other.done().with(0);
    assert_eq!(other.lines("out").len(), 10);
    dir.done().with(0);
    assert_eq!(dir.lines("out").len(), 16);
    dir.run(["sump.toml", "--from-start"]).end().with(0);
    assert_eq!(dir.lines("out").len(), 36);
}

/// Takes away what a topic with one partition has before an offset, as brokers do with what is too old.
fn cut_before(broker: &Broker, topic: &str, offset: i64) {
    let admin: AdminClient<DefaultClientContext> = broker.client().create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Offset(offset)).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(admin.delete_records(&list, &AdminOptions::new())).unwrap();
}

#[test]
fn a_log_that_does_not_go_back_any_more_is_read_from_its_oldest_event() {
    let broker = broker();
    broker.create("cut", 1, &[]);
    broker.produce("cut", &[], &lines(0..10));
    let dir = Dir::with(&config(broker, "cut", "topics = 'cut'\nuntil = 'end'", OUT));
    dir.done().with(0);
    broker.produce("cut", &[], &lines(10..30));
    cut_before(broker, "cut", 15);
    dir.done()
        .with(0)
        .saying(&["the brokers have removed events before they were read", "partition=cut/0 gone=10..15"]);
    assert_eq!(dir.lines("out").join("\n") + "\n", lines(0..10) + &lines(15..30));
    assert_eq!(committed(broker, "cut", "cut", 1), BTreeMap::from([(0, 30)]));
    // Nothing is left, and nothing comes.
    broker.produce("cut", &[], &lines(30..40));
    cut_before(broker, "cut", 40);
    dir.done().with(0).saying(&["partition=cut/0 gone=30..40"]);
    assert_eq!(dir.lines("out").len(), 25);
    assert_eq!(committed(broker, "cut", "cut", 1), BTreeMap::from([(0, 40)]));
}

#[test]
fn a_group_that_is_set_back_after_a_kill_is_read_again_once_the_process_was_stopped() {
    let broker = broker();
    broker.create("back-killed", 1, &[]);
    broker.produce("back-killed", &[], &lines(0..10));
    let source = "topics = 'back-killed'\nproperties = { 'session.timeout.ms' = 6000 }";
    let dir = Dir::with(&config(broker, "back-killed", source, OUT));
    let mut run = dir.run(["sump.toml"]).start();
    let position = || committed(broker, "back-killed", "back-killed", 1).get(&0).copied();
    run.until("the commit", || position() == Some(10));
    // Of the sink too, and not only of what was read.
    run.until("the saved positions", || {
        dir.read("data/positions.json").split("\"back-killed/0\": ").skip(1).all(|position| position.starts_with("10"))
    });
    run.signal(Signal::KILL);
    run.end();
    commit(broker, "back-killed", "back-killed", 4);
    let mut run = dir.run(["sump.toml"]).start();
    run.until("the commit", || position() == Some(10));
    stop(run);
    assert_eq!(dir.lines("out").len(), 10);
    commit(broker, "back-killed", "back-killed", 4);
    let mut run = dir.run(["sump.toml"]).start();
    run.until("the commit", || position() == Some(10));
    stop(run).saying(&["read again from here on"]);
    assert_eq!(dir.lines("out").len(), 16);
}
