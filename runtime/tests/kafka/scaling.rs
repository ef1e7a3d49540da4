//! Several processes in one group, which come, go, and stand still.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rustix::process::Signal;

use crate::kafka::{Broker, broker};
use crate::sump::{Dir, Running, wait_for};

const PARTITIONS: usize = 12;

/// Each with a directory, and so with positions, of its own.
fn member(broker: &Broker, group: &str, protocol: &str) -> Dir {
    // The broker notices soon, and not a machine that stands still for a moment. With KIP-848 the times are its own.
    let properties = match protocol {
        "classic" => "'session.timeout.ms' = 10000, 'heartbeat.interval.ms' = 500",
        _ => "",
    };
    Dir::with(&format!(
        "position_interval = '100ms'\n\
         [connection.k]\nbootstrap_servers = '{}'\n\
         [source.k]\ntype = 'kafka'\nconnection = 'k'\ngroup = '{group}'\ntopics = '{group}'\nprotocol = '{protocol}'\n\
         properties = {{ {properties} }}\n\
         [pipeline.p]\nsource = 'k'\n\
         [pipeline.p.sink.s]\ntype = 'file'\npath = 'out'\nbatch_timeout = '20ms'\nbatch_size = 100\nrate_limit = 4000\n",
        broker.plain
    ))
}

/// What all members have written: how often each event.
fn written(members: &[&Dir]) -> BTreeMap<String, usize> {
    let mut written = BTreeMap::new();
    for line in members.iter().flat_map(|dir| dir.lines("out")) {
        *written.entry(line).or_default() += 1;
    }
    written
}

/// Every partition gets so many events more, from `first` on.
fn produce(broker: &Broker, topic: &str, first: usize, events: usize) {
    for partition in 0..PARTITIONS {
        let lines: String = (first..first + events).map(|number| format!("{partition}/{number}\n")).collect();
        broker.produce(topic, &["-p", &partition.to_string()], &lines);
    }
}

/// How many members of the group have partitions, as far as it is at rest: between the two steps of a cooperative rebalance
/// it is too, and a member that came has none yet.
fn members(client: &BaseConsumer, group: &str) -> usize {
    // Whoever waits for it asks again.
    let Ok(groups) = client.fetch_group_list(Some(group), Duration::from_secs(30)) else { return 0 };
    // A version with 16 bits, and the number of topics with 32.
    let has_some = |assignment: &[u8]| assignment.get(2..6).is_some_and(|topics| topics != [0; 4]);
    let members = groups.groups().iter().find(|it| it.state() == "Stable").map_or(&[][..], |group| group.members());
    members.iter().filter(|member| member.assignment().is_some_and(has_some)).count()
}

/// Of each partition: the first and the last event that came more than once, and how many more.
fn repeats(written: &BTreeMap<String, usize>) -> BTreeMap<usize, (usize, usize, usize)> {
    let mut repeats = BTreeMap::new();
    for (event, times) in written.iter().filter(|(_, times)| **times > 1) {
        let (partition, number) = event.split_once('/').unwrap();
        let number: usize = number.parse().unwrap();
        let (first, last, more) = repeats.entry(partition.parse().unwrap()).or_insert((number, number, 0));
        (*first, *last) = (number.min(*first), number.max(*last));
        *more += times - 1;
    }
    repeats
}

/// Nothing is lost, and what comes twice is no more than what was on its way.
fn check(written: &BTreeMap<String, usize>, events: usize, on_its_way: usize) {
    for partition in 0..PARTITIONS {
        let lost = (0..events).filter(|number| !written.contains_key(&format!("{partition}/{number}"))).count();
        assert_eq!(lost, 0, "of partition {partition}");
    }
    let twice: usize = written.values().map(|times| times - 1).sum();
    assert!(twice <= on_its_way, "{twice} events came twice, not {on_its_way}: {:?}", repeats(written));
}

/// Between a save and the next: so many events of the rate are written, and what is in flight.
const UNSAVED: usize = 4000;

fn come_and_go(protocol: &str) {
    let broker = broker();
    let group = format!("scaling-{protocol}");
    broker.create(&group, PARTITIONS as i32, &[]);
    let dirs: Vec<Dir> = (0..4).map(|_| member(broker, &group, protocol)).collect();
    let all: Vec<&Dir> = dirs.iter().collect();
    let client: BaseConsumer = broker.client().create().unwrap();
    let start = |number: usize| -> Running { dirs[number].run(["sump.toml"]).start() };
    let settled = |count: usize| wait_for("the group to settle", || members(&client, &group) == count);
    produce(broker, &group, 0, 1000);
    let (mut one, two, three) = (start(0), start(1), start(2));
    let reads = |number: usize, more: usize| {
        let before = dirs[number].lines("out").len();
        wait_for("each to read", || dirs[number].lines("out").len() >= before + more);
    };
    wait_for("all events", || written(&all).len() >= PARTITIONS * 1000);
    settled(3);
    check(&written(&all), 1000, 0);

    // One is gone without a word.
    produce(broker, &group, 1000, 1000);
    reads(0, 1);
    two.signal(Signal::KILL);
    two.end();
    wait_for("all events", || written(&all).len() >= PARTITIONS * 2000);
    settled(2);
    check(&written(&all), 2000, UNSAVED);

    // One comes, while events do. What the one that is gone had not saved may still come again meanwhile.
    produce(broker, &group, 2000, 500);
    let four = start(3);
    settled(3);
    produce(broker, &group, 2500, 500);
    wait_for("all events", || written(&all).len() >= PARTITIONS * 3000);
    assert!(!dirs[3].lines("out").is_empty());
    check(&written(&all), 3000, UNSAVED);

    // One stands still for longer than the group waits, and goes on.
    produce(broker, &group, 3000, 500);
    three.signal(Signal::STOP);
    settled(2);
    wait_for("all events", || written(&all).len() >= PARTITIONS * 3500);
    three.signal(Signal::CONT);
    settled(3);
    produce(broker, &group, 3500, 500);
    wait_for("all events", || written(&all).len() >= PARTITIONS * 4000);
    check(&written(&all), 4000, 2 * UNSAVED);

    // One after another is stopped, and the last has everything.
    for run in [three, four] {
        run.signal(Signal::TERM);
        run.end().with(0);
    }
    settled(1);
    produce(broker, &group, 4000, 100);
    one.until("all events", || written(&all).len() >= PARTITIONS * 4100);
    one.signal(Signal::TERM);
    one.end().with(0);
    check(&written(&all), 4100, 2 * UNSAVED);
}

#[test]
fn members_come_and_go_and_nothing_is_lost() {
    come_and_go("classic");
}

/// The brokers share the partitions out: nobody else knows when they are done with that.
#[test]
fn by_the_brokers_own_protocol_members_come_and_go_too() {
    let broker = broker();
    let group = "scaling-consumer";
    broker.create(group, PARTITIONS as i32, &[]);
    let dirs: Vec<Dir> = (0..3).map(|_| member(broker, group, "consumer")).collect();
    let all: Vec<&Dir> = dirs.iter().collect();
    let start = |number: usize| {
        let mut run = dirs[number].run(["sump.toml"]).start();
        run.until("each to read", || !dirs[number].lines("out").is_empty());
        run
    };
    let leave = |run: Running| {
        run.signal(Signal::TERM);
        run.end().with(0);
    };
    produce(broker, group, 0, 1000);
    let one = start(0);
    produce(broker, group, 1000, 1000);
    let two = start(1);
    produce(broker, group, 2000, 1000);
    leave(one);
    produce(broker, group, 3000, 1000);
    let three = start(2);
    leave(two);
    wait_for("all events", || written(&all).len() >= PARTITIONS * 4000);
    leave(three);
    // Who gives a partition up commits what is final of it first.
    check(&written(&all), 4000, 0);
}
