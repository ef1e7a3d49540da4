//! The broker of these tests is what they take it for.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::kafka::{Broker, Record, USER, broker, victim};

fn answers(client: &mut ClientConfig) -> bool {
    answers_within(client, Duration::from_secs(30))
}

/// Whoever is not let in would not be in any longer time.
fn never_answers(client: &mut ClientConfig) -> bool {
    !answers_within(client, Duration::from_secs(1))
}

fn answers_within(client: &mut ClientConfig, time: Duration) -> bool {
    client.set_log_level(rdkafka::config::RDKafkaLogLevel::Emerg);
    let client: BaseConsumer = client.create().unwrap();
    client.fetch_metadata(None, time).is_ok()
}

fn secured(broker: &Broker, protocol: &str, address: &str) -> ClientConfig {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", address).set("security.protocol", protocol);
    if protocol.ends_with("ssl") {
        client.set("ssl.ca.location", broker.file("ca.pem").to_str().unwrap());
    }
    client
}

#[test]
fn it_lets_in_who_proves_who_it_is_and_nobody_else() {
    let broker = broker();
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        for (protocol, address) in [("sasl_plaintext", &broker.sasl), ("sasl_ssl", &broker.sasl_tls)] {
            let mut client = secured(broker, protocol, address);
            client.set("sasl.mechanism", mechanism).set("sasl.username", USER.0);
            assert!(answers(client.set("sasl.password", USER.1)), "{mechanism} by {protocol}");
            assert!(never_answers(client.set("sasl.password", "wrong")), "{mechanism} by {protocol}");
        }
    }
    let mut client = secured(broker, "ssl", &broker.tls);
    assert!(never_answers(&mut client));
    client.set("ssl.certificate.location", broker.file("client.pem").to_str().unwrap());
    assert!(answers(client.set("ssl.key.location", broker.file("client.key").to_str().unwrap())));
}

#[test]
fn what_is_written_is_read_with_all_that_belongs_to_it() {
    let broker = broker();
    broker.create("broker", 2, &[]);
    broker.produce("broker", &["-K", "\t", "-p", "1", "-H", "h=1"], "k\tone\nk\ttwo\n");
    broker.produce("broker", &["-p", "0"], "three\n");
    let records = broker.records("broker");
    let gist = |record: &Record| (record.partition, record.key.clone(), record.payload.clone(), record.headers.len());
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(
        records.iter().map(gist).collect::<Vec<_>>(),
        [(0, None, some("three"), 0), (1, some("k"), some("one"), 1), (1, some("k"), some("two"), 1)]
    );
    assert_eq!(broker.payloads("broker"), ["three", "one", "two"]);
}

#[test]
fn it_survives_being_killed_and_paused() {
    let broker = victim();
    broker.create("survives", 1, &[]);
    broker.produce("survives", &[], "one\n");
    broker.kill();
    broker.start_again();
    assert_eq!(broker.payloads("survives"), ["one"]);
    broker.pause();
    assert!(never_answers(&mut broker.client()));
    broker.resume();
    assert!(answers(&mut broker.client()));
}
