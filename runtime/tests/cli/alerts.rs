//! `http-alerts` against a server: what each answer comes to.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::endpoint::{Answer, Asked, Endpoint};
use crate::guest::guest;
use crate::sump::{Dir, Ended, QUAKES};

/// Quakes from 4.5 on in the data.
const STRONG: usize = 85;

fn config(url: &str, more: &str) -> Dir {
    let path = guest("http-alerts");
    let dir = Dir::with(&format!(
        r#"
        [source.quakes]
        type = "file"
        path = "{QUAKES}"
        [pipeline.p.sink.alerts]
        type = "wasm"
        path = "{}"
        config = {{ url = "{url}/quakes" }}
        retry.initial = "10ms"
        gate.probe = "100ms"
        {more}
        "#,
        path.display()
    ));
    // A second sink, which must not notice.
    dir.write("beside.toml", "[pipeline.p.sink.beside]\ntype = 'file'\npath = 'beside'\n");
    dir
}

fn allowed(endpoint: &Endpoint, more: &str) -> Dir {
    config(&endpoint.url, &format!("allow.http = [\"{}\"]\n{more}", endpoint.url))
}

fn run(dir: &Dir, more: &[&str]) -> Ended {
    let ended = dir.run(["sump.toml", "beside.toml"].into_iter().chain(more.iter().copied())).end();
    assert_eq!(ended.written("p:beside"), 1707, "{}", ended.errors);
    ended
}

#[test]
fn strong_quakes_are_posted_in_one_request_a_batch() {
    let endpoint = Endpoint::always(Answer::Status(200));
    let ended = run(&allowed(&endpoint, ""), &[]).with(0);
    assert_eq!(ended.counts("p:alerts"), [1707, 0, 0, 0, 0, 2]);
    let asked = endpoint.asked();
    let bodies: Vec<Vec<Value>> = asked.iter().map(|asked| serde_json::from_slice(&asked.body).unwrap()).collect();
    assert_eq!((bodies.len(), bodies.iter().map(Vec::len).sum::<usize>()), (2, STRONG));
    assert!(bodies.iter().flatten().all(|quake| quake["mag"].as_f64().unwrap() >= 4.5));
    assert_ne!(asked[0].headers["idempotency-key"], asked[1].headers["idempotency-key"]);
    assert_eq!(asked[0].headers["content-type"], "application/json");
}

#[test]
fn a_batch_that_comes_again_has_the_same_key() {
    let endpoint = Endpoint::new(|number| Answer::Status(if number == 0 { 503 } else { 200 }));
    let ended = run(&allowed(&endpoint, ""), &[]).with(0);
    assert_eq!(ended.counts("p:alerts"), [1707, 1000, 0, 0, 0, 3]);
    let asked = endpoint.asked();
    assert_eq!(asked[0].headers["idempotency-key"], asked[1].headers["idempotency-key"]);
    assert_eq!(asked[0].body, asked[1].body);
    assert_ne!(asked[1].headers["idempotency-key"], asked[2].headers["idempotency-key"]);
}

#[test]
fn after_three_attempts_events_are_dead_letters() {
    let endpoint = Endpoint::always(Answer::Status(503));
    let dir = allowed(&endpoint, "");
    let ended = run(&dir, &[]).with(0).saying(&["1,707 events in the dead letters"]);
    assert_eq!(ended.counts("p:alerts"), [0, 3414, 0, 1707, 0, 6]);
    assert_eq!(endpoint.asked().len(), 6);
    let letters = dir.dead_letters();
    assert_eq!(letters.len(), 1707);
    let expected = ["transient", "http-503", "3", "p", "alerts"];
    let fields = ["kind", "code", "attempts", "pipeline", "sink"];
    for letter in &letters {
        assert_eq!(fields.map(|field| letter[field].to_string().replace('"', "")), expected);
    }
    // What was read again would be posted again.
    run_again_reads_nothing(&dir);
}

fn run_again_reads_nothing(dir: &Dir) {
    dir.run(["sump.toml", "beside.toml"]).end().with(0).saying(&["nothing new"]);
}

#[test]
fn advice_is_waited_for() {
    let endpoint = Endpoint::new(|number| if number == 0 { Answer::Later(1) } else { Answer::Status(200) });
    let began = Instant::now();
    run(&allowed(&endpoint, ""), &[]).with(0);
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert_eq!(endpoint.asked().len(), 3);
}

#[test]
fn a_refused_token_closes_the_gate_and_costs_no_event() {
    let endpoint = Endpoint::always(Answer::Status(401));
    let dir = allowed(&endpoint, "");
    let began = Instant::now();
    let ended = run(&dir, &["--drain-timeout", "500ms"]).with(75);
    assert!(began.elapsed() < Duration::from_secs(20));
    let ended = ended.saying(&["the gate is closed, events wait: halted (http-401)", "1,707 events not delivered"]);
    assert_eq!(ended.counts("p:alerts")[..5], [0; 5]);
    assert!(endpoint.asked().len() > 1, "it was not probed");
    assert!(dir.dead_letters().is_empty());
    // Another token: the next run has them all, and the neighbour nothing twice.
    let accepting = Endpoint::always(Answer::Status(200));
    dir.write("sump.toml", dir.read("sump.toml").replace(&endpoint.url, &accepting.url));
    let ended = dir.run(["sump.toml", "beside.toml"]).end().with(0);
    assert_eq!([ended.written("p:alerts"), ended.written("p:beside")], [1707, 0]);
}

#[test]
fn a_gate_that_was_closed_opens_within_the_run() {
    let endpoint = Endpoint::new(|number| Answer::Status(if number < 3 { 403 } else { 200 }));
    let ended = run(&allowed(&endpoint, ""), &[]).with(0);
    assert_eq!(ended.counts("p:alerts"), [1707, 0, 0, 0, 0, 5]);
}

#[test]
fn a_refusal_costs_the_alerts_and_not_the_weak_quakes_beside_them() {
    let endpoint = Endpoint::always(Answer::Status(400));
    let dir = allowed(&endpoint, "");
    let ended = run(&dir, &["--strict"]).with(1);
    assert_eq!(ended.counts("p:alerts")[..4], [1707 - STRONG as u64, 0, STRONG as u64, STRONG as u64]);
    assert!(dir.dead("code").iter().all(|code| code == "http-400"));
}

#[test]
fn what_is_too_large_is_halved_until_it_fits() {
    let endpoint = Endpoint::new(|number| Answer::Status(if number == 0 { 413 } else { 200 }));
    let dir = allowed(&endpoint, "");
    let ended = run(&dir, &[]).with(0);
    assert_eq!(ended.counts("p:alerts"), [1707, 0, 0, 0, 0, 4]);
}

#[test]
fn where_nobody_listens_the_attempts_run_out() {
    let endpoint = Endpoint::always(Answer::Status(200));
    let dir = allowed(&endpoint, "");
    drop(endpoint);
    let ended = run(&dir, &[]).with(0);
    assert_eq!(ended.counts("p:alerts"), [0, 3414, 0, 1707, 0, 6]);
    assert_eq!(dir.dead("code")[0], "http-not-sent");
    assert!(dir.dead("message")[0].contains("refused"), "{}", dir.dead("message")[0]);
}

#[test]
fn an_answer_that_never_came_is_unknown() {
    let endpoint = Endpoint::always(Answer::Nothing);
    let dir = allowed(&endpoint, "");
    run(&dir, &[]).with(0);
    assert_eq!(
        [&*dir.dead("kind")[0], &*dir.dead("code")[0], &*dir.dead("attempts")[0]],
        ["unknown", "http-no-answer", "3"]
    );
    let keys: Vec<String> = endpoint.asked().iter().map(|asked| asked.headers["idempotency-key"].clone()).collect();
    assert!(keys.len() >= 6 && keys[0] == keys[1] && keys[1] == keys[2], "{keys:?}");
}

#[test]
fn a_slow_answer_ends_with_the_timeout() {
    let endpoint = Endpoint::always(Answer::Slowly(Duration::from_secs(3600)));
    let dir = allowed(&endpoint, "timeout = \"300ms\"\nretry.unknown = 1");
    run(&dir, &[]).with(0);
    assert_eq!(dir.dead("kind")[0], "unknown");
    assert_eq!(dir.dead_letters().len(), 1707);
}

#[test]
fn several_writes_overlap_in_one_instance() {
    let endpoint = Endpoint::always(Answer::Slowly(Duration::from_millis(300)));
    let dir = allowed(&endpoint, "concurrency = 32\nbatch_size = 50");
    let began = Instant::now();
    let ended = run(&dir, &[]).with(0);
    assert_eq!(ended.written("p:alerts"), 1707);
    let one_after_the_other = Duration::from_millis(300) * endpoint.asked().len() as u32;
    assert!(began.elapsed() < one_after_the_other, "{:?}", began.elapsed());
}

#[test]
fn what_is_not_granted_is_denied_and_the_line_that_would_grant_it_told() {
    let endpoint = Endpoint::always(Answer::Status(200));
    let dir = config(&endpoint.url, "");
    let grant = format!("allow.http = [{{ to = \"{}\" }}]", endpoint.url);
    run(&dir, &["--drain-timeout", "300ms"]).with(75).saying(&["denied: POST", &grant]);
    assert!(endpoint.asked().is_empty());
}

#[test]
fn without_any_file_a_url_is_granted_by_an_option() {
    let endpoint = Endpoint::always(Answer::Status(204));
    let dir = Dir::new();
    let alerts = guest("http-alerts");
    let set = format!("url={}/x", endpoint.url);
    let run = |more: &[&str]| {
        let args = [alerts.to_str().unwrap(), "--set", &set, "--set", "min_mag=5", "--drain-timeout", "300ms"];
        dir.run(args.into_iter().chain(more.iter().copied())).input(std::fs::read(QUAKES).unwrap()).end()
    };
    run(&["--allow-http", &endpoint.url]).with(0);
    let bodies = endpoint.asked().into_iter().map(|asked| serde_json::from_slice::<Vec<Value>>(&asked.body).unwrap());
    let quakes: Vec<Value> = bodies.flatten().collect();
    assert!(!quakes.is_empty() && quakes.iter().all(|quake| quake["mag"].as_f64().unwrap() >= 5.0));
    let before = endpoint.asked().len();
    run(&[]).saying(&["--allow-http"]);
    assert_eq!(endpoint.asked().len(), before);
}

#[test]
fn a_sink_in_python_posts_messages_and_tells_what_was_answered() {
    // The second message is refused for good, the third for now.
    let status = |number| Answer::Status(if number == 1 { 404 } else { 200 });
    let endpoint = Endpoint::new(move |number| if number == 2 { Answer::Later(0) } else { status(number) });
    let slack = guest("slack");
    let dir = Dir::with(&format!(
        "[source.quakes]\ntype = 'file'\npath = '{QUAKES}'\n[pipeline.p.sink.slack]\ntype = 'wasm'\npath = '{}'\n\
         when = 'event.mag >= 5.0'\nretry.initial = '10ms'\nallow.http = ['{}']\n\
         config = {{ url = '{}/hook?a=b', text = 'M {{mag}} near {{place}}' }}\n",
        slack.display(),
        endpoint.url,
        endpoint.url,
    ));
    let ended = dir.run(["sump.toml"]).end().with(0);
    let asked = endpoint.asked();
    let text = |asked: &Asked| serde_json::from_slice::<Value>(&asked.body).unwrap()["text"].clone();
    assert!(asked.iter().all(|asked| asked.path == "/hook?a=b" && text(asked).as_str().unwrap().starts_with("M ")));
    // Of 39 the second becomes a dead letter, and only the third comes again.
    assert_eq!(ended.counts("p:slack")[..4], [38, 1, 1, 1]);
    assert_eq!(asked.len(), 40);
    assert_eq!(asked.iter().filter(|again| text(again) == text(&asked[2])).count(), 2);
    assert_eq!(asked[0].headers["content-type"], "application/json");
}

#[test]
fn a_sink_in_c_sends_bodies_of_any_size_and_tells_what_was_answered() {
    // The second body is refused for good, the third for now.
    let status = |number| Answer::Status(if number == 1 { 404 } else { 200 });
    let answer = move |number| if number == 2 { Answer::Later(0) } else { status(number) };
    let endpoint = Endpoint::new(answer);
    let post = guest("post-c");
    let dir = Dir::with(&format!(
        "[source.in]\ntype = 'file'\npath = 'in'\n[pipeline.p.sink.post]\ntype = 'wasm'\npath = '{}'\n\
         retry.initial = '10ms'\nallow.http = ['{}']\nconfig = {{ url = '{}?a=b#c' }}\n",
        post.display(),
        endpoint.url,
        endpoint.url,
    ));
    let large = "x".repeat(900_000);
    dir.write("in", format!("one\ntwo\nthree\nfour\n{large}\n"));
    let ended = dir.run(["sump.toml"]).end().with(0);
    let asked = endpoint.asked();
    let bodies: Vec<&str> = asked.iter().map(|asked| std::str::from_utf8(&asked.body).unwrap()).collect();
    // What follows the third waits for it: order was promised.
    let is_in_order = bodies == ["one", "two", "three", "three", "four", &large];
    assert!(is_in_order, "{:?}", bodies.iter().map(|body| body.len()).collect::<Vec<_>>());
    assert_eq!(ended.counts("p:post")[2..4], [1, 1]);
    assert!(asked.iter().all(|asked| asked.path == "/?a=b"));
    assert_eq!((&*asked[2].headers["x-event"], &*asked[3].headers["x-event"]), ("2", "0"));
    assert!(ended.errors.contains("answered 503, "), "{}", ended.errors);
}
