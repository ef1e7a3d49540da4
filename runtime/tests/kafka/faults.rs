//! A broker that dies or hangs while events are on their way into it.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::kafka::{Broker, victim};
use crate::sump::{Dir, wait_for};

fn numbers(count: usize) -> String {
    (0..count).fold(String::new(), |mut lines, number| {
        writeln!(lines, "{number}").unwrap();
        lines
    })
}

fn start(broker: &Broker, topic: &str, count: usize, sink: &str) -> Dir {
    let dir = Dir::with(&format!(
        "[connection.k]\nbootstrap_servers = \"{}\"\nproperties.reconnect.backoff.max.ms = 200\n\
         [source.in]\ntype = \"file\"\npath = \"in\"\n\
         [pipeline.p.sink.out]\ntype = \"kafka\"\nconnection = \"k\"\ntopic = \"{topic}\"\n{sink}\n",
        broker.plain
    ));
    dir.write("in", numbers(count));
    dir
}

/// How often each number is there, and whether each came first in its order.
fn told(broker: &Broker, topic: &str) -> (BTreeMap<usize, usize>, bool) {
    let (mut times, mut ordered, mut next) = (BTreeMap::new(), true, 0);
    for payload in broker.payloads(topic) {
        let number: usize = payload.parse().unwrap();
        *times.entry(number).or_default() += 1;
        ordered &= number <= next;
        next = next.max(number + 1);
    }
    (times, ordered)
}

#[test]
fn a_broker_that_is_killed_and_comes_back_has_everything_once_and_in_order() {
    let broker = victim();
    broker.create("killed", 1, &[]);
    let count = 200_000;
    let dir = start(&broker, "killed", count, "rate_limit = 40000");
    let run = dir.run(["sump.toml"]).start();
    wait_for("the first events", || dir.read("data/positions.json").contains("in@"));
    broker.kill();
    broker.start_again();
    let ended = run.end().with(0);
    let (times, ordered) = told(&broker, "killed");
    assert_eq!(times.len(), count);
    assert!(ordered);
    // librdkafka repeats what was not answered under the same sequence numbers: the broker knows it.
    assert!(times.values().all(|times| *times == 1));
    assert_eq!((ended.written("p:out"), dir.dead_letters().len()), (count as u64, 0));
}

#[test]
fn what_a_broker_that_hangs_did_not_answer_is_unknown_and_comes_again() {
    let broker = victim();
    broker.create("hangs", 1, &[]);
    let count = 100_000;
    let sink = "timeout = 2\nrate_limit = 40000\nretry = { initial = \"100ms\", unknown = 100, attempts = 100 }";
    let dir = start(&broker, "hangs", count, sink);
    let mut run = dir.run(["sump.toml"]).start();
    wait_for("the first events", || dir.read("data/positions.json").contains("in@"));
    broker.pause();
    run.until_said("the producer is given up");
    broker.resume();
    let ended = run.end().with(0);
    let (times, ordered) = told(&broker, "hangs");
    assert_eq!((times.len(), ordered), (count, true), "nothing is lost, and what comes again comes in order");
    assert_eq!((ended.written("p:out"), dir.dead_letters().len()), (count as u64, 0));
    let twice = times.values().filter(|times| **times > 1).count();
    assert!(twice <= ended.counts("p:out")[1] as usize, "only what was tried again may be there twice");
}
