//! The sink, run natively against a server that says what the test wants.
#![allow(clippy::unwrap_used, reason = "in a test, it is how a wrong answer is told")]
use std::io::Read;
use std::io::Write;
use std::net::TcpListener;
use std::thread::JoinHandle;

use redis_streams::RedisStreams;
use serde_json::json;
use sump_sdk::Kind;
use sump_sdk::testing;
use sump_sdk::testing::Harness;
use sump_sdk::testing::Outcome;

/// A server that takes one connection, answers each command with the next of these, and gives what it heard.
fn server(answers: &'static [&'static str]) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let heard = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut said = Vec::new();
        for answer in answers {
            let mut bytes = [0; 4096];
            let read = stream.read(&mut bytes).unwrap();
            said.push(String::from_utf8_lossy(&bytes[..read]).into_owned());
            stream.write_all(answer.as_bytes()).unwrap();
        }
        said
    });
    (address, heard)
}

fn write(address: &str, config: serde_json::Value) -> Outcome {
    let mut all = json!({ "address": address, "stream": "quakes" });
    all.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
    Harness::batches::<RedisStreams>(all).unwrap().write(testing::batch().text("one").text("two"))
}

fn failure(outcome: &Outcome) -> (Kind, String) {
    let error = outcome.failure().unwrap();
    (error.kind(), error.code().to_owned())
}

#[test]
fn a_batch_is_one_script_with_a_key_for_each_event() {
    let (address, heard) = server(&["+OK\r\n", "$-1\r\n"]);
    write(&address, json!({ "password": "pw", "remember": 60 })).assert_written();
    let heard = heard.join().unwrap();
    assert_eq!(heard[0], "*2\r\n$4\r\nAUTH\r\n$2\r\npw\r\n");
    assert!(heard[1].starts_with("*9\r\n$4\r\nEVAL\r\n"), "{}", heard[1]);
    assert!(heard[1].contains("\r\n$1\r\n1\r\n$6\r\nquakes\r\n$2\r\n60\r\n"), "{}", heard[1]);
    assert!(heard[1].contains("\r\n$3\r\none\r\n") && heard[1].ends_with("\r\n$3\r\ntwo\r\n"), "{}", heard[1]);
}

#[test]
fn what_redis_says_decides_what_a_failure_means() {
    for (answer, kind, code) in [
        ("-OOM command not allowed when used memory > 'maxmemory'.\r\n", Kind::Transient(None), "oom"),
        ("-WRONGTYPE Operation against a key holding the wrong kind of value\r\n", Kind::Halted, "wrongtype"),
        ("-NOAUTH Authentication required.\r\n", Kind::Halted, "noauth"),
        ("", Kind::Unknown, "no-answer"),
    ] {
        let (address, heard) = server(Vec::leak(vec![answer]));
        assert_eq!(failure(&write(&address, json!({}))), (kind, code.to_owned()));
        heard.join().unwrap();
    }
}

#[test]
fn a_server_that_is_not_there_is_tried_again() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    assert_eq!(failure(&write(&address, json!({}))), (Kind::Transient(None), "connect".to_owned()));
}
