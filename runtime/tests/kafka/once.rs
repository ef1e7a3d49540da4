//! From Kafka to Kafka, each event exactly once, for whoever reads what counts.

use std::collections::BTreeSet;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use rustix::process::Signal;
use serde_json::Value;

use crate::kafka::{Broker, broker, victim};
use crate::sump::{Dir, Running, wait_for};

/// From one topic to another. `source` and `sink` are more of their settings.
fn config(broker: &Broker, instance: &str, [from, to]: [&str; 2], source: &str, sink: &str) -> String {
    // Brokers know what is written here by that name.
    format!(
        "instance = '{from}-{instance}'\n\
         position_interval = '100ms'\n\
         [connection.k]\nbootstrap_servers = '{}'\n\
         [source.k]\ntype = 'kafka'\nconnection = 'k'\ngroup = '{from}'\ntopics = '{from}'\n{source}\n\
         [pipeline.p]\nsource = 'k'\n\
         [pipeline.p.sink.s]\ntype = 'kafka'\nconnection = 'k'\ntopic = '{to}'\nexactly_once = true\n{sink}\n",
        broker.plain
    )
}

/// Each partition gets so many events, which say where they come from.
fn produce(broker: &Broker, topic: &str, partitions: usize, numbers: std::ops::Range<usize>) {
    for partition in 0..partitions {
        let lines: String = numbers.clone().map(|number| format!("{partition}/{number}\n")).collect();
        broker.produce(topic, &["-p", &partition.to_string()], &lines);
    }
}

/// How far the log of a topic with one partition goes, with whatever is in it.
fn end(client: &BaseConsumer, topic: &str) -> i64 {
    let mut end = None;
    wait_for("the end of a log", || {
        end = client.fetch_watermarks(topic, 0, Duration::from_secs(30)).ok();
        end.is_some()
    });
    end.unwrap().1
}

/// Each event of each partition is there once, in the order of its partition.
fn check(payloads: &[String], partitions: usize, events: usize) {
    for partition in 0..partitions {
        let prefix = format!("{partition}/");
        let numbers: Vec<usize> =
            payloads.iter().filter_map(|payload| payload.strip_prefix(&prefix)?.parse().ok()).collect();
        let wrong = numbers.iter().enumerate().find(|(index, number)| index != *number);
        assert_eq!((wrong, numbers.len()), (None, events), "of partition {partition}");
    }
    assert_eq!(payloads.len(), partitions * events);
}

/// How often a process is killed: `SUMP_KILLS` says otherwise.
#[expect(clippy::disallowed_methods, reason = "for whoever has the time for more")]
fn kills() -> usize {
    std::env::var("SUMP_KILLS").map_or(10, |kills| kills.parse().unwrap())
}

#[test]
fn each_event_is_there_once_and_in_order_whatever_is_killed() {
    let (broker, partitions, kills) = (broker(), 3, kills());
    // More than are written until the last kill.
    let events = 1500 * (kills + 1) / partitions;
    broker.create("once", partitions as i32, &[]);
    broker.create("once-out", 1, &[]);
    produce(broker, "once", partitions, 0..events);
    // Brokers know a member again by its name, and don't wait until they have not heard of it for long enough.
    let source = "until = 'end'\nproperties = { 'group.instance.id' = 'a' }";
    let sink = "batch_size = 50\nbatch_timeout = '10ms'\nrate_limit = 3000";
    let dir = Dir::with(&config(broker, "a", ["once", "once-out"], source, sink));
    let client: BaseConsumer = broker.client().create().unwrap();
    for kill in 0..kills {
        let begin = end(&client, "once-out");
        let mut run = dir.run(["sump.toml"]).start();
        // At any point of a transaction, and before the first one of a run.
        let more = if kill % 5 == 4 { 0 } else { fastrand::i64(1..1000) };
        run.until("events", || end(&client, "once-out") >= begin + more);
        run.signal(Signal::KILL);
        run.end();
    }
    dir.done().with(0);
    check(&broker.payloads("once-out"), partitions, events);
    assert_eq!(dir.dead("code"), Vec::<String>::new());
}

/// Whether an instance has written anything that counts. Its records say so by a header.
fn has_written(broker: &Broker, topic: &str, instance: &str) -> bool {
    let by = ("by".to_owned(), instance.to_owned());
    broker.records(topic).iter().any(|record| record.headers.contains(&by))
}

fn share(protocol: &str, properties: &str, last: impl FnOnce(Running)) {
    let (broker, partitions) = (broker(), 6);
    let [from, to] = ["from", "to"].map(|end| format!("once-{end}-{protocol}"));
    broker.create(&from, partitions as i32, &[]);
    broker.create(&to, 1, &[]);
    let source = format!("protocol = '{protocol}'\nproperties = {{ {properties} }}");
    let member = |instance: &str| {
        let sink =
            format!("batch_size = 50\nbatch_timeout = '10ms'\nrate_limit = 2000\nheaders = {{ by = '{instance}' }}");
        Dir::with(&config(broker, instance, [&from, &to], &source, &sink))
    };
    let (a, b, c) = (member("a"), member("b"), member("c"));
    let start = |dir: &Dir| dir.run(["sump.toml"]).start();
    produce(broker, &from, partitions, 0..500);
    let mut one = start(&a);
    one.until("the first", || has_written(broker, &to, "a"));
    // One comes while events do, and the first one goes.
    let mut two = start(&b);
    produce(broker, &from, partitions, 500..1500);
    two.until("the second", || has_written(broker, &to, "b"));
    one.signal(Signal::TERM);
    one.end().with(0);
    let mut three = start(&c);
    produce(broker, &from, partitions, 1500..2500);
    three.until("the third", || has_written(broker, &to, "c"));
    last(two);
    three.until("all", || broker.payloads(&to).len() >= partitions * 2500);
    three.signal(Signal::TERM);
    three.end().with(0);
    check(&broker.payloads(&to), partitions, 2500);
}

#[test]
fn members_come_and_go_and_each_event_is_there_once() {
    let times = "'session.timeout.ms' = 6000, 'heartbeat.interval.ms' = 500";
    share("classic", times, |member| {
        member.signal(Signal::KILL);
        member.end();
    });
}

#[test]
fn the_same_by_the_brokers_own_protocol() {
    share("consumer", "", |member| {
        member.signal(Signal::TERM);
        member.end().with(0);
    });
}

#[test]
fn who_stands_still_while_another_goes_on_writes_nothing_twice() {
    let (broker, partitions) = (broker(), 4);
    broker.create("still", partitions as i32, &[]);
    broker.create("still-out", 1, &[]);
    let source = "properties = { 'session.timeout.ms' = 6000, 'heartbeat.interval.ms' = 500 }";
    let member = |instance: &str| {
        let sink = format!("timeout = '15s'\nbatch_size = 50\nrate_limit = 1000\nheaders = {{ by = '{instance}' }}");
        Dir::with(&config(broker, instance, ["still", "still-out"], source, &sink))
    };
    let (a, b) = (member("a"), member("b"));
    produce(broker, "still", partitions, 0..1500);
    let mut one = a.run(["sump.toml"]).start();
    one.until("the first", || has_written(broker, "still-out", "a"));
    one.signal(Signal::STOP);
    produce(broker, "still", partitions, 1500..2000);
    let mut two = b.run(["sump.toml"]).start();
    // Not yet to be seen by who reads what counts, if the first has a transaction under way. It may still go on with that.
    let client: BaseConsumer = broker.client().create().unwrap();
    let before = end(&client, "still-out");
    two.until("the second", || end(&client, "still-out") > before + 50);
    one.signal(Signal::CONT);
    wait_for("all", || broker.payloads("still-out").len() >= partitions * 2000);
    for run in [one, two] {
        run.signal(Signal::TERM);
        run.end().with(0);
    }
    check(&broker.payloads("still-out"), partitions, 2000);
}

#[test]
fn of_two_processes_with_one_name_the_earlier_ends_and_says_why() {
    let broker = broker();
    broker.create("named", 2, &[]);
    broker.create("named-out", 1, &[]);
    let member = || {
        let sink = "batch_size = 20\nbatch_timeout = '10ms'\nrate_limit = 200";
        Dir::with(&config(broker, "a", ["named", "named-out"], "", sink))
    };
    let (a, b) = (member(), member());
    produce(broker, "named", 2, 0..100);
    let mut one = a.run(["sump.toml"]).start();
    one.until("events", || !broker.payloads("named-out").is_empty());
    let mut two = b.run(["sump.toml"]).start();
    two.until("a partition", || b.has("data/positions.json"));
    produce(broker, "named", 2, 100..1000);
    let said = "another process has begun to write with `instance = \"named-a\"`: give each process its own";
    one.end().with(70).saying(&["`p:s` can't go on", said]);
    wait_for("all", || broker.payloads("named-out").len() >= 2000);
    two.signal(Signal::TERM);
    two.end().with(0);
    check(&broker.payloads("named-out"), 2, 1000);
}

#[test]
fn one_event_that_can_not_be_written_is_a_dead_letter_and_all_others_are_there() {
    let broker = broker();
    broker.create("refused", 1, &[("max.message.bytes", "2000000")]);
    // Of a topic that is compacted, brokers take no record without a key.
    broker.create("refused-out", 1, &[("cleanup.policy", "compact"), ("max.message.bytes", "500000")]);
    let producer: BaseProducer = broker.client().set("message.max.bytes", "2000000").create().unwrap();
    let mut expected = Vec::new();
    for number in 0..300 {
        // The first is too large for the client, the second for the topic.
        let large = [(150, 1_200_000), (250, 600_000)].iter().find(|(row, _)| *row == number);
        let payload = large.map_or_else(|| number.to_string(), |(_, length)| "x".repeat(*length));
        let record = BaseRecord::<str, str>::to("refused").payload(&payload);
        let key = number.to_string();
        let keyless = number % 100 == 70;
        producer.send(if keyless { record } else { record.key(&key) }).unwrap();
        if !keyless && large.is_none() {
            expected.push(payload);
        }
    }
    producer.flush(Duration::from_secs(30)).unwrap();
    let sink = "compression = 'none'\nbatch_size = 100\nretry.initial = '10ms'";
    let dir = Dir::with(&config(broker, "a", ["refused", "refused-out"], "until = 'end'", sink));
    dir.done().with(0);
    assert_eq!(broker.payloads("refused-out"), expected);
    assert_eq!(dir.dead("code"), ["invalid-record", "too-large", "invalid-record", "too-large", "invalid-record"]);
    // The group has all of it.
    let ended = dir.done().with(0);
    assert_eq!((ended.written("p:s"), broker.payloads("refused-out").len()), (0, expected.len()));
}

/// What a dead letter's event was, and where it was read.
fn letter(payload: &str) -> (String, u64) {
    let letter: Value = serde_json::from_str(payload).unwrap();
    (letter["partition"].as_str().unwrap().to_owned(), letter["position"].as_u64().unwrap())
}

#[test]
fn a_dead_letter_counts_with_the_position_behind_it_whatever_is_killed() {
    let (broker, partitions, kills) = (broker(), 2, kills());
    let events = 300 * (kills + 1);
    broker.create("letters", partitions, &[]);
    broker.create("letters-out", 1, &[]);
    broker.create("letters-kept", 1, &[]);
    let (mut written, mut kept) = (0, Vec::new());
    for partition in 0..partitions {
        let is_bad = |number: usize| number % 11 == 3 || number % 50 > 47;
        let key = |number| if is_bad(number) { "nowhere" } else { "0" };
        let lines: String = (0..events).map(|number| format!("{}:{partition}/{number}\n", key(number))).collect();
        broker.produce("letters", &["-K", ":", "-p", &partition.to_string()], &lines);
        written += (0..events).filter(|number| !is_bad(*number)).count();
        let position = |number| (format!("letters/{partition}"), number as u64);
        kept.extend((0..events).filter(|number| is_bad(*number)).map(position));
    }
    let source = "until = 'end'\nproperties = { 'group.instance.id' = 'a' }";
    let sink = "partition = '{key}'\nbatch_size = 20\nbatch_timeout = '10ms'\nrate_limit = 800\n\
                [pipeline.p.dead_letters]\nsink = 'kept'\n\
                [pipeline.p.sink.kept]\ntype = 'kafka'\nconnection = 'k'\ntopic = 'letters-kept'";
    let dir = Dir::with(&config(broker, "a", ["letters", "letters-out"], source, sink));
    let client: BaseConsumer = broker.client().create().unwrap();
    for _ in 0..kills {
        let so_far = || end(&client, "letters-out") + end(&client, "letters-kept");
        let until = so_far() + fastrand::i64(1..200);
        let mut run = dir.run(["sump.toml"]).start();
        run.until("events", || so_far() >= until);
        run.signal(Signal::KILL);
        run.end();
    }
    dir.done().with(0);
    let out = broker.payloads("letters-out");
    assert_eq!((out.iter().collect::<BTreeSet<_>>().len(), out.len()), (written, written));
    let mut letters: Vec<(String, u64)> = broker.payloads("letters-kept").iter().map(|line| letter(line)).collect();
    letters.sort();
    kept.sort();
    assert_eq!(letters, kept);
    assert_eq!(dir.dead("code"), Vec::<String>::new());
}

#[test]
fn what_the_sink_does_not_take_is_stored_as_passed_over() {
    let broker = broker();
    broker.create("passed", 1, &[]);
    broker.create("passed-out", 1, &[]);
    broker.produce("passed", &[], "{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n");
    let dir = Dir::with(&config(broker, "a", ["passed", "passed-out"], "until = 'end'", "when = 'event.n < 2'"));
    dir.done().with(0);
    assert_eq!(broker.payloads("passed-out"), ["{\"n\":1}"]);
    let group: BaseConsumer = broker.client().set("group.id", "passed").create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition("passed", 0);
    let committed = group.committed_offsets(list, Duration::from_secs(30)).unwrap();
    assert_eq!(committed.elements()[0].offset(), Offset::Offset(3));
    // Everything once more.
    assert_eq!(dir.done().with(0).written("p:s"), 0);
    dir.run(["sump.toml", "--from-start"]).end().with(0);
    assert_eq!(broker.payloads("passed-out"), ["{\"n\":1}"; 2]);
}

#[test]
fn whatever_the_broker_had_answered_when_it_was_killed_each_event_is_there_once() {
    let broker = victim();
    broker.create("once-killed", 2, &[]);
    broker.create("once-killed-out", 1, &[]);
    produce(&broker, "once-killed", 2, 0..3000);
    let sink = "timeout = '8s'\nretry = { initial = '100ms', outage = 'wait' }\ngate.probe = '500ms'\nbatch_size = 20\nbatch_timeout = '10ms'\nrate_limit = 1000";
    let dir = Dir::with(&config(&broker, "a", ["once-killed", "once-killed-out"], "until = 'end'", sink));
    let client: BaseConsumer = broker.client().create().unwrap();
    let mut run = dir.run(["sump.toml"]).start();
    for events in [1, 2500] {
        run.until("events", || end(&client, "once-killed-out") >= events);
        broker.kill();
        broker.start_again();
    }
    run.until("more", || end(&client, "once-killed-out") >= 4500);
    run.end().with(0);
    check(&broker.payloads("once-killed-out"), 2, 3000);
    assert_eq!(dir.dead("code"), Vec::<String>::new());
}
