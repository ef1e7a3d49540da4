//! `sump replay`: what could not be delivered is sent again, once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::endpoint::{Answer, Endpoint};
use crate::guest::guest;
use crate::sump::{Dir, QUAKES};

/// A sink that does what its events say: `refuse` is rejected. With `ok` it takes everything.
fn obedient(source: &str, events: &[&str]) -> Dir {
    let dir = Dir::with(&format!(
        r#"
        {source}
        [pipeline.p.sink.a]
        type = "wasm"
        path = "{guest}"
        config = {{ write = "obey" }}
        batch_timeout = "10ms"
        [pipeline.p.sink.b]
        type = "wasm"
        path = "{guest}"
        config = {{ write = "obey" }}
        batch_timeout = "10ms"
        "#,
        guest = guest("guest-plain").display()
    ));
    dir.write("in", events.iter().map(|event| format!("{event}\n")).collect::<String>());
    dir
}

const FILE: &str = "[source.in]\ntype = 'file'\npath = 'in'\n";

fn heal(dir: &Dir) {
    dir.write("sump.toml", dir.read("sump.toml").replace("obey", "ok"));
}

/// The counts of `list`: waiting and done, by sink and code.
fn counted(dir: &Dir) -> BTreeMap<(String, String), (u64, u64)> {
    let listed = dir.replay("list", ["--json"]).end().with(0);
    let groups = listed.output.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let text = |group: &Value, field: &str| group[field].as_str().unwrap().to_owned();
    let count = |group: &Value, field: &str| group[field].as_u64().unwrap();
    groups
        .map(|group| ((text(&group, "sink"), text(&group, "code")), (count(&group, "waiting"), count(&group, "done"))))
        .collect()
}

fn of(sink: &str, code: &str, counts: (u64, u64)) -> ((String, String), (u64, u64)) {
    ((sink.into(), code.into()), counts)
}

/// Posts quakes from `min_mag` on, as long as the endpoint wants them.
fn posting(endpoint: &Endpoint, input: &str, more: &str) -> Dir {
    Dir::with(&format!(
        r#"
        [source.quakes]
        type = "file"
        path = "{input}"
        [pipeline.p.sink.alerts]
        type = "wasm"
        path = "{}"
        config = {{ url = "{url}/quakes", min_mag = 0 }}
        allow.http = ["{url}"]
        retry.initial = "10ms"
        gate.probe = "100ms"
        {more}
        "#,
        guest("http-alerts").display(),
        url = endpoint.url,
    ))
}

/// Answers with a status that a test changes.
fn switched(status: u16) -> (Endpoint, Arc<AtomicU16>) {
    let switch = Arc::new(AtomicU16::new(status));
    let answer = switch.clone();
    (Endpoint::new(move |_| Answer::Status(answer.load(Ordering::SeqCst))), switch)
}

fn keys(endpoint: &Endpoint) -> Vec<String> {
    endpoint.asked().iter().map(|asked| asked.headers["idempotency-key"].clone()).collect()
}

#[test]
fn what_a_healed_sink_gets_is_what_it_would_have_got_and_nothing_twice() {
    let (endpoint, status) = switched(503);
    let dir = posting(&endpoint, QUAKES, "");
    dir.done().with(0).saying(&["1,707 events in the dead letters"]);
    let failed = endpoint.asked();
    assert_eq!(failed.len(), 6);

    status.store(200, Ordering::SeqCst);
    let sent = dir.replay("send", ["sump.toml"]).end().with(0).saying(&["1,707 events sent again"]);
    assert_eq!(sent.counts("p:alerts"), [1707, 0, 0, 0, 0, 2]);
    let asked = endpoint.asked().split_off(6);
    assert_eq!(asked.iter().map(|asked| &asked.body).collect::<Vec<_>>(), [&failed[0].body, &failed[3].body]);
    // The same events under the same batch-ids: whoever has seen them before knows them.
    assert_eq!(keys(&endpoint)[6..], [keys(&endpoint)[0].clone(), keys(&endpoint)[3].clone()]);

    let again = dir.replay("send", ["sump.toml"]).end().with(0);
    assert_eq!((again.output.as_str(), endpoint.asked().len()), ("nothing to send\n", 8));
    assert_eq!(counted(&dir), BTreeMap::from([of("alerts", "http-503", (0, 1707))]));

    dir.replay("send", ["sump.toml", "--again", "--where", "event.mag >= 4.5"])
        .end()
        .with(0)
        .saying(&["85 events sent"]);
    dir.replay("prune", []).end().with(0);
    assert!(dir.dead_letters().is_empty());
    dir.replay("send", ["sump.toml", "--again"]).end().with(0);
    assert_eq!(endpoint.asked().len(), 9);
}

#[test]
fn what_fails_again_is_kept_with_the_story_of_both_times() {
    let (endpoint, status) = switched(503);
    let dir = posting(&endpoint, "in", "");
    dir.write("in", "{\"mag\": 1}\n{\"mag\": 2}\n");
    dir.done().with(0);
    let before = dir.dead_letters();
    status.store(400, Ordering::SeqCst);
    dir.replay("send", ["sump.toml", "--strict"])
        .end()
        .with(1)
        .saying(&["0 events sent again, 2 failed again and kept anew"]);
    let letters = dir.dead_letters();
    assert_eq!(letters.len(), 4);
    for (old, new) in before.iter().zip(&letters[2..]) {
        for field in [
            "pipeline",
            "sink",
            "source",
            "partition",
            "position",
            "timestamp",
            "key",
            "headers",
            "payload",
            "first_attempt",
        ] {
            assert_eq!(old[field], new[field], "{field}");
        }
        assert_eq!(
            (&new["code"], &new["kind"], &new["source"]),
            (&"http-400".into(), &"rejected".into(), &"quakes".into())
        );
        assert_eq!([&old["replays"], &new["replays"]], [0, 1]);
        assert!(new["attempts"].as_u64() > old["attempts"].as_u64(), "{new}");
        assert!(new["time"].as_u64() > old["time"].as_u64());
    }
    let expected = BTreeMap::from([of("alerts", "http-503", (0, 2)), of("alerts", "http-400", (2, 0))]);
    assert_eq!(counted(&dir), expected);
    status.store(200, Ordering::SeqCst);
    dir.replay("send", ["sump.toml"]).end().with(0).saying(&["2 events sent again"]);
    assert_eq!(counted(&dir).values().map(|counts| counts.0).sum::<u64>(), 0);
}

#[test]
fn filters_choose_and_a_dry_run_sends_nothing() {
    let dir = obedient(FILE, &["refuse", "ok", "refuse"]);
    dir.done().with(0);
    assert_eq!(counted(&dir), BTreeMap::from([of("a", "bad", (2, 0)), of("b", "bad", (2, 0))]));
    heal(&dir);
    let dry = dir.replay("send", ["sump.toml", "--dry-run", "--sink", "a"]).end().with(0);
    assert_eq!(dry.output, "p:a: 2 events\n2 events would be sent again\n");
    for (filters, left) in [
        (&["--code", "worse"][..], 2),
        (&["--kind", "halted"], 2),
        (&["--until", "1h"], 2),
        (&["--pipeline", "q"], 2),
        (&["--where", "raw == 'ok'"], 2),
        (&["--sink", "a", "--since", "1h", "--code", "bad", "--where", "raw == 'refuse'"], 0),
    ] {
        dir.replay("send", ["sump.toml"].iter().chain(filters).copied()).end().with(0);
        assert_eq!(counted(&dir)[&("a".into(), "bad".into())].0, left, "{filters:?}");
    }
    assert_eq!(counted(&dir)[&("b".into(), "bad".into())], (2, 0));
    dir.replay("send", ["sump.toml", "--where", "event.mag >"]).end().with(2).saying(&["--where"]);
}

#[test]
fn letters_are_shown_for_people_for_programs_and_raw() {
    let dir = obedient(FILE, &["refuse", "ok", "refuse"]);
    dir.done().with(0);
    let shown = |args: &[&str]| dir.replay("show", args.iter().copied()).end().with(0).output;
    assert_eq!(shown(&["--format", "raw", "--sink", "b"]), "refuse\nrefuse\n");
    assert_eq!(shown(&["--format", "raw", "--limit", "1"]), "refuse\n");
    let json: Vec<Value> =
        shown(&["--format", "json"]).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(json, dir.dead_letters());
    let pretty = shown(&["--sink", "a", "--limit", "1"]);
    for part in ["p:a", "rejected (bad): it is bad", "source in", "payload    refuse"] {
        assert!(pretty.contains(part), "{pretty}");
    }
}

#[test]
fn letters_go_to_another_sink_and_those_without_one_only_there() {
    let dir = Dir::with(
        r#"
        [source.in]
        type = "file"
        path = "in"
        max_event_bytes = 10
        [pipeline.p]
        otherwise = "reject"
        [pipeline.p.sink.out]
        type = "file"
        path = "out"
        when = "raw == 'x'"
        [pipeline.rescue.sink.file]
        type = "file"
        path = "rescued"
        when = "false"
        "#,
    );
    dir.write("in", "one\nfar too long a line\ntwo\n");
    dir.done().with(0);
    let long = &dir.dead_letters()[0];
    let expected = (&Value::from(vec![4, 23]), &"too-long".into(), &"far too lo".into());
    assert_eq!((&long["range"], &long["code"], &long["payload"]), expected);
    dir.replay("send", ["sump.toml"]).end().with(2).saying(&[
        "2 events of `p:*` not sent: no sink was ever given them; name one by --to",
        "1 event not sent: only the beginning is kept",
    ]);
    dir.replay("send", ["sump.toml", "--to", "rescue:fil"])
        .end()
        .with(2)
        .saying(&["no sink `rescue:fil`", "`rescue:file`"]);
    dir.replay("send", ["sump.toml", "--to", "rescue:file"]).end().with(0);
    assert_eq!(dir.read("rescued"), "one\ntwo\n");
    assert_eq!(counted(&dir)[&("*".into(), "too-long".into())], (1, 0));
    dir.replay("discard", []).end().with(2).saying(&["--all"]);
    let discarded = dir.replay("discard", ["--code", "too-long"]).end().with(0);
    assert_eq!(discarded.output, "1 dead letters are marked as done\n");
    assert!(dir.replay("prune", []).end().with(0).output.starts_with("1 segment removed"));
    assert_eq!(dir.replay("list", []).end().with(0).output, "no dead letters\n");
}

#[test]
fn a_sink_that_is_gone_is_named_and_its_letters_stay() {
    let dir = obedient(FILE, &["refuse"]);
    dir.done().with(0);
    heal(&dir);
    dir.write("sump.toml", dir.read("sump.toml").replace("sink.b", "sink.c"));
    let gone = "1 event of `p:b` not sent: the configuration has no such sink";
    dir.replay("send", ["sump.toml"]).end().with(0).saying(&[gone, "1 event sent again"]);
    dir.replay("send", ["sump.toml"]).end().with(2).saying(&[gone]);
    assert_eq!(counted(&dir)[&("b".into(), "bad".into())], (1, 0));
}

#[test]
fn a_replay_works_beside_a_run() {
    let dir = obedient("[source.in]\ntype = 'stdin'\n", &[]);
    let mut run = dir.run(["sump.toml"]).open_input().start();
    run.feed("refuse\n");
    run.until("the first dead letters", || dir.dead_letters().len() == 2);
    dir.write("healed.toml", dir.read("sump.toml").replace("obey", "ok"));
    dir.replay("send", ["healed.toml"]).end().with(0).saying(&["2 events sent again"]);
    assert!(dir.replay("prune", []).end().with(0).output.starts_with("0 segments"), "the run still writes there");
    run.feed("refuse\n");
    run.until("more dead letters", || dir.dead_letters().len() == 4);
    let both = BTreeMap::from([of("a", "bad", (1, 1)), of("b", "bad", (1, 1))]);
    assert_eq!(counted(&dir), both);
    dir.replay("send", ["healed.toml"]).end().with(0).saying(&["2 events sent again"]);
    run.end().with(0);
    assert!(dir.replay("prune", []).end().with(0).output.starts_with("1 segment removed"));
}

#[test]
fn a_file_that_a_run_writes_is_not_written_by_a_replay_beside_it() {
    let dir = obedient("[source.in]\ntype = 'stdin'\n[pipeline.p.sink.file]\ntype = 'file'\npath = 'out'\n", &[]);
    let mut run = dir.run(["sump.toml"]).open_input().start();
    run.feed("refuse\n");
    run.until("dead letters and output", || dir.dead_letters().len() == 2 && !dir.read("out").is_empty());
    let send = ["sump.toml", "--to", "p:file", "--sink", "a", "--drain-timeout", "300ms"];
    dir.replay("send", send).end().with(75).saying(&["halted (locked)", "1 left as they were"]);
    run.end().with(0);
    dir.replay("send", send).end().with(0).saying(&["1 event sent again"]);
    assert_eq!(dir.read("out"), "refuse\nrefuse\n");
}

#[test]
fn a_killed_replay_repeats_at_most_what_was_in_flight() {
    let healed = Arc::new(AtomicBool::new(false));
    let answer = healed.clone();
    let endpoint = Endpoint::new(move |_| match answer.load(Ordering::SeqCst) {
        true => Answer::Slowly(Duration::from_millis(3)),
        false => Answer::Status(503),
    });
    let dir = posting(&endpoint, "in", "batch_size = 10\nretry.attempts = 1");
    dir.write("in", (0..2000).map(|number| format!("{{\"mag\": {number}}}\n")).collect::<String>());
    dir.done().with(0);
    assert_eq!(dir.dead_letters().len(), 2000);
    healed.store(true, Ordering::SeqCst);
    let before = endpoint.asked().len();
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    let mut killed = 0;
    for _ in 0..4 {
        let enough = endpoint.asked().len() + random.usize(5..40);
        let mut replay = dir.replay("send", ["sump.toml"]).start();
        replay.reaches("the moment to die", || endpoint.asked().len() >= enough);
        replay.signal(Signal::KILL);
        killed += usize::from(replay.end().code.is_none());
    }
    assert_eq!(killed, 4, "seed {seed}");
    dir.replay("send", ["sump.toml"]).end().with(0);
    let mut sent: BTreeMap<u64, usize> = BTreeMap::new();
    for asked in &endpoint.asked()[before..] {
        for event in serde_json::from_slice::<Vec<Value>>(&asked.body).unwrap() {
            *sent.entry(event["mag"].as_u64().unwrap()).or_default() += 1;
        }
    }
    assert_eq!(sent.len(), 2000, "seed {seed}: events were lost");
    let repeated: usize = sent.values().map(|times| times - 1).sum();
    assert!(repeated <= 4 * 10, "seed {seed}: {repeated} events came twice after 4 kills with 10 in flight");
    assert_eq!(counted(&dir).values().copied().collect::<Vec<_>>(), [(0, 2000)]);
}

#[test]
fn a_stopped_replay_says_so_and_the_next_goes_on() {
    let (endpoint, status) = switched(503);
    let dir = posting(&endpoint, "in", "");
    dir.write("in", "{\"mag\": 1}\n");
    dir.done().with(0);
    status.store(401, Ordering::SeqCst);
    let ended = dir.replay("send", ["sump.toml", "--drain-timeout", "300ms"]).end().with(75);
    ended.saying(&["the gate is closed", "0 events sent again, 1 left as they were"]);
    assert_eq!(counted(&dir).values().copied().collect::<Vec<_>>(), [(1, 0)]);
    status.store(200, Ordering::SeqCst);
    dir.replay("send", ["sump.toml"]).end().with(0).saying(&["1 event sent again"]);
}

#[test]
fn torn_and_unreadable_lines_are_told_and_hide_nothing() {
    let dir = obedient(FILE, &["refuse"]);
    dir.done().with(0);
    let segment = "data/dead_letters/00000001.ndjson";
    let whole = dir.read(segment);
    dir.append(segment, &format!("not a dead letter\n{whole}{}", &whole[..50]));
    let listed = dir.replay("list", ["--json"]).end().with(0);
    let listed =
        listed.saying(&["passed over a torn line", "passed over a line that is no dead letter", "can't be read: 1"]);
    assert_eq!(listed.output.lines().count(), 2);
    heal(&dir);
    dir.replay("send", ["sump.toml"]).end().with(0).saying(&["4 events sent again"]);
    assert!(dir.replay("prune", []).end().with(0).output.starts_with("0 segments"), "what can't be read is kept");
    dir.append("data/dead_letters/00000001.done", "0 99999");
    dir.replay("list", []).end().with(0).saying(&["passed over a torn mark"]);
    assert_eq!(counted(&dir).values().map(|counts| counts.1).sum::<u64>(), 4);
}

#[test]
fn two_replays_do_not_send_the_same() {
    let endpoint = Endpoint::new(|number| match number {
        0..3 => Answer::Status(503),
        _ => Answer::Slowly(Duration::from_secs(2)),
    });
    let dir = posting(&endpoint, "in", "");
    dir.write("in", "{\"mag\": 1}\n");
    dir.done().with(0);
    let mut first = dir.replay("send", ["sump.toml"]).start();
    first.until("its request", || endpoint.asked().len() == 4);
    dir.replay("send", ["sump.toml"]).end().with(2).saying(&["another replay", "wait for its end"]);
    dir.replay("list", []).end().with(0);
    first.end().with(0);
    assert_eq!(endpoint.asked().len(), 4);
}

#[test]
fn a_folder_that_no_run_used_is_named() {
    let dir = Dir::new();
    dir.replay("list", []).end().with(2).saying(&["data is not the data directory of any run", "--data-dir"]);
    assert!(!dir.has("data"));
}
