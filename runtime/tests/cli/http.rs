//! The `http` sink, against a server of the test.

use crate::endpoint::{Answer, Endpoint};
use crate::sump::{Dir, QUAKES};

/// What a user of INI would write.
fn config(url: &str, more: &str) -> Dir {
    let dir = Dir::new();
    dir.write(
        "pipelines.conf",
        format!(
            "[source:quakes]\ntype=file\npath={QUAKES}\n\
             [pipeline:MyPipeline]\nsource=quakes\n\
             [pipeline:MyPipeline:MySink]\ntype=http\nurl={url}\nbatch_size=100\ntimeout=30\nretry.initial=10ms\n{more}"
        ),
    );
    dir
}

#[test]
fn all_events_arrive_in_order_in_batches() {
    let endpoint = Endpoint::always(Answer::Status(200));
    let dir = config(&format!("{}/events", endpoint.url), "auth.type=bearer\nauth.token=${TOKEN}\n");
    let ended = dir.run(["pipelines.conf"]).env("TOKEN", "t0ken").end().with(0);
    assert_eq!(ended.counts("MyPipeline:MySink"), [1707, 0, 0, 0, 0, 18]);
    let asked = endpoint.asked();
    let sent: Vec<u8> = asked.iter().flat_map(|asked| asked.body.clone()).collect();
    assert!(sent == std::fs::read(QUAKES).unwrap());
    assert!(asked.iter().all(|asked| asked.headers["authorization"] == "Bearer t0ken" && asked.path == "/events"));
    let checked = dir.sump(["check", "pipelines.conf"]).env("TOKEN", "t0ken").end().with(0);
    assert!(checked.output.contains("auth.token = \"${TOKEN}\"") && !checked.output.contains("t0ken"));
}

#[test]
fn what_is_too_large_for_a_server_is_halved_and_alone_a_dead_letter() {
    let longest = std::fs::read_to_string(QUAKES).unwrap().lines().map(str::len).max().unwrap();
    let endpoint = Endpoint::always(Answer::AtMost(longest));
    let dir = config(&endpoint.url, "");
    let ended = dir.run(["pipelines.conf"]).end().with(0);
    let [written, _, rejected, dead, ..] = ended.counts("MyPipeline:MySink");
    assert!(written + dead == 1707 && rejected == dead && dead > 0, "{}", ended.errors);
    assert!(dir.dead("code").iter().all(|code| code == "too-large"));
    let accepted = endpoint.asked().into_iter().map(|asked| asked.body).filter(|body| body.len() <= longest);
    assert_eq!(accepted.map(|body| body.iter().filter(|byte| **byte == b'\n').count() as u64).sum::<u64>(), written);
}

#[test]
fn a_halted_sink_waits_and_goes_on() {
    let endpoint = Endpoint::new(|number| Answer::Status(if number < 2 { 401 } else { 200 }));
    let dir = config(&endpoint.url, "gate.probe=50ms\n");
    let ended = dir.run(["pipelines.conf"]).end().with(0).saying(&["the gate is closed", "answered 401 Unauthorized"]);
    assert_eq!(ended.counts("MyPipeline:MySink"), [1707, 0, 0, 0, 0, 20]);
    assert!(dir.dead_letters().is_empty());
}

#[test]
fn what_can_not_be_used_is_told_before_anything_starts() {
    let dir = config("https://{key}.example.com/", "tls.ca=nowhere.pem\nauth.type=basic\nauth.user=u\n");
    let ended = dir.run(["pipelines.conf"]).end().with(2);
    let ended = ended.saying(&["must not choose the host", "`basic` needs `password`", "pipelines.conf:8"]);
    assert!(!ended.errors.contains("nowhere.pem"), "files are read once the rest is right");
    let dir = config("https://a.example/", "tls.ca=nowhere.pem\n");
    dir.run(["pipelines.conf"]).end().with(2).saying(&["nowhere.pem can't be read", "pipelines.conf:12"]);
}
