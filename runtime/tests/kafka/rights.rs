//! Whoever lacks a right is told which.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::types::RDKafkaErrorCode;

use crate::kafka::{Broker, USER, broker};
use crate::sump::{Dir, wait_for};

/// A connection as the user, who has such rights as anybody gave.
fn connection(broker: &Broker) -> String {
    format!(
        "[connection.k]\nbootstrap_servers = '{}'\n\
         sasl = {{ mechanism = 'SCRAM-SHA-256', username = '{}', password = '{}' }}\n",
        broker.sasl, USER.0, USER.1
    )
}

/// The same user by another client.
fn user(broker: &Broker) -> BaseConsumer {
    let mut client = broker.client();
    client.set("bootstrap.servers", &broker.sasl).set("security.protocol", "sasl_plaintext");
    client.set("sasl.mechanism", "SCRAM-SHA-256").set("sasl.username", USER.0).set("sasl.password", USER.1);
    client.create().unwrap()
}

fn topic_is_refused(client: &BaseConsumer, topic: &str) -> bool {
    let refused = |code| RDKafkaErrorCode::from(code) == RDKafkaErrorCode::TopicAuthorizationFailed;
    let metadata = client.fetch_metadata(Some(topic), Duration::from_secs(30)).unwrap();
    metadata.topics().iter().any(|topic| topic.error().is_some_and(refused))
}

#[test]
fn a_source_says_which_right_it_lacks() {
    let broker = broker();
    broker.create("rights-read", 1, &[]);
    broker.allow("somebody-else", &["--operation", "All", "--topic", "rights-read"]);
    wait_for("the topic to be refused", || topic_is_refused(&user(broker), "rights-read"));
    let dir = Dir::with(&format!(
        "{}[source.k]\ntype = 'kafka'\nconnection = 'k'\ngroup = 'rights'\ntopics = 'rights-read'\nuntil = 'end'\n\
         [pipeline.p]\nsource = 'k'\n[pipeline.p.sink.s]\ntype = 'file'\npath = 'out'\n",
        connection(broker)
    ));
    let remedy = "give the user the rights to READ and DESCRIBE the topic";
    assert_ne!(dir.done().saying(&["source `k`", remedy]).code, Some(0));
}

#[test]
fn a_source_says_that_it_may_not_read_its_group() {
    let broker = broker();
    broker.create("rights-group", 1, &[]);
    broker.allow("somebody-else", &["--operation", "All", "--group", "rights-group"]);
    let dir = Dir::with(&format!(
        "{}[source.k]\ntype = 'kafka'\nconnection = 'k'\ngroup = 'rights-group'\ntopics = 'rights-group'\nuntil = 'end'\n\
         [pipeline.p]\nsource = 'k'\n[pipeline.p.sink.s]\ntype = 'file'\npath = 'out'\n",
        connection(broker)
    ));
    // Brokers hear of rights a little later.
    wait_for("the group to be refused", || {
        let ended = dir.done();
        ended.code != Some(0) && ended.errors.contains("give the user the right to READ the group")
    });
}

#[test]
fn a_sink_says_which_right_it_lacks_and_goes_on_once_it_has_it() {
    let broker = broker();
    broker.create("rights-write", 1, &[]);
    broker.allow("somebody-else", &["--operation", "All", "--topic", "rights-write"]);
    wait_for("the topic to be refused", || topic_is_refused(&user(broker), "rights-write"));
    let dir = Dir::with(&format!(
        "{}[source.in]\ntype = 'file'\npath = 'in'\n\
         [pipeline.p.sink.out]\ntype = 'kafka'\nconnection = 'k'\ntopic = 'rights-write'\ngate.probe = '200ms'\n",
        connection(broker)
    ));
    dir.write("in", "one\ntwo\n");
    let mut run = dir.run(["sump.toml"]).start();
    run.until_said("give the user the right to WRITE to the topic");
    assert!(broker.payloads("rights-write").is_empty());
    broker.allow(USER.0, &["--operation", "Write", "--operation", "Describe", "--topic", "rights-write"]);
    assert_eq!(run.end().with(0).written("p:out"), 2);
    assert_eq!(broker.payloads("rights-write"), ["one", "two"]);
    assert!(dir.dead_letters().is_empty());
}

#[test]
fn a_sink_says_which_rights_transactions_need_and_goes_on_once_it_has_them() {
    let broker = broker();
    for topic in ["rights-once", "rights-once-out"] {
        broker.create(topic, 1, &[]);
    }
    broker.produce("rights-once", &[], "one\ntwo\n");
    // Once somebody has rights, nobody else has.
    broker.allow(
        "somebody-else",
        &["--operation", "All", "--transactional-id", "rights", "--resource-pattern-type", "prefixed"],
    );
    let dir = Dir::with(&format!(
        "instance = 'rights'\n\
         {}[source.k]\ntype = 'kafka'\nconnection = 'k'\ngroup = 'rights-once'\ntopics = 'rights-once'\nuntil = 'end'\n\
         [pipeline.p]\nsource = 'k'\n\
         [pipeline.p.sink.s]\ntype = 'kafka'\nconnection = 'k'\ntopic = 'rights-once-out'\nexactly_once = true\n\
         gate.probe = '200ms'\n",
        connection(broker)
    ));
    let mut run = dir.run(["sump.toml"]).start();
    run.until_said("give the user the rights to WRITE and DESCRIBE transactional ids that begin with `instance`");
    let rights = ["--operation", "Write", "--operation", "Describe", "--transactional-id", "rights"];
    broker.allow(USER.0, &[&rights[..], &["--resource-pattern-type", "prefixed"]].concat());
    assert_eq!(run.end().with(0).written("p:s"), 2);
    assert_eq!(broker.payloads("rights-once-out"), ["one", "two"]);
    assert!(dir.dead_letters().is_empty());
}
