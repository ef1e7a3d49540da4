//! What machines see of a run.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::endpoint::{Answer, Endpoint};
use crate::guest::guest;
use crate::openmetrics::{self, Exposed, Family};
use crate::sump::{Dir, QUAKES, Running, wait_for};

/// The table that says what there is.
const PAGE: &str = include_str!("../../../docs/metrics.md");

/// A run that serves, and where.
struct Served {
    run: Running,
    address: String,
}

impl Served {
    /// `sump run sump.toml --admin ADDRESS`, with a standard input that stays open.
    fn start(dir: &Dir, address: &str, more: &[&str]) -> Served {
        let args = ["sump.toml", "--admin", address].into_iter().chain(more.iter().copied());
        let run = dir.run(args).open_input().start();
        let mut address = None;
        wait_for("the address", || {
            let said = run.said();
            address = said.split_once("http://").and_then(|(_, rest)| Some(rest.split_once('/')?.0.to_owned()));
            address.is_some()
        });
        let served = Served { run, address: address.unwrap() };
        served.until("the run to begin", |served| served.ready().1["reasons"][0]["reason"] != "starting");
        served
    }

    /// Status, headers and body.
    fn get(&self, path: &str) -> (u16, String, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: sump\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head.to_lowercase(), body.to_owned())
    }

    fn metrics(&self) -> Exposed {
        let (status, head, body) = self.get("/metrics");
        assert_eq!(status, 200, "{body}");
        let media_type = "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8";
        assert!(head.lines().any(|line| line == media_type), "{head}");
        openmetrics::read(&body).unwrap_or_else(|error| panic!("{error}\n{body}"))
    }

    fn ready(&self) -> (u16, Value) {
        let (status, _, body) = self.get("/ready");
        (status, serde_json::from_str(&body).unwrap())
    }

    /// Waits for an answer.
    fn until(&self, what: &str, is: impl Fn(&Served) -> bool) {
        wait_for(what, || is(self));
    }
}

fn outcome(metrics: &Exposed, sink: &str, outcome: &str) -> f64 {
    metrics.of("sump_sink_events_total", &[("sink", sink), ("outcome", outcome)])
}

/// The name, type, unit and labels of each metric that the page has.
fn documented() -> Vec<[String; 4]> {
    let rows = PAGE.lines().filter(|line| line.starts_with("| `"));
    let cell = |cell: &str| cell.trim().replace('`', "");
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').skip(1).collect();
        std::array::from_fn(|at| cell(cells[at]))
    })
    .collect()
}

/// Quakes to a file, to a component that refuses every other one, and to the dead letters.
fn quakes_apart() -> Dir {
    Dir::with(&format!(
        r#"
        position_interval = "10ms"
        [source.quakes]
        type = "file"
        path = "{QUAKES}"
        max_event_bytes = 240
        [source.idle]
        type = "stdin"
        [pipeline.q]
        source = "quakes"
        match = "first"
        otherwise = "reject"
        [pipeline.q.sink.strong]
        type = "file"
        path = "strong"
        when = "event.mag >= 4.5"
        [pipeline.q.sink.guest]
        type = "wasm"
        path = "{}"
        config = {{ write = "refuse-odd" }}
        when = "event.mag < 1.0"
        batch_size = 50
        [pipeline.idle]
        source = "idle"
        [pipeline.idle.sink.none]
        type = "null"
        "#,
        guest("guest-plain").display()
    ))
}

#[test]
fn metrics_are_what_was_delivered() {
    let dir = quakes_apart();
    let served = Served::start(&dir, "127.0.0.1:0", &[]);
    served.until("everything to be final", |served| {
        let metrics = served.metrics();
        let waiting: f64 =
            ["strong", "guest"].iter().map(|sink| metrics.of("sump_sink_waiting_events", &[("sink", *sink)])).sum();
        metrics.of("sump_source_reading", &[("source", "quakes")]) == 0.0 && waiting == 0.0
    });
    let metrics = served.metrics();
    let input = std::fs::read_to_string(QUAKES).unwrap();
    let (short, long): (Vec<&str>, Vec<&str>) = input.lines().partition(|line| line.len() <= 240);
    assert!(!long.is_empty() && !short.is_empty());
    assert_eq!(metrics.of("sump_source_events_total", &[("source", "quakes")]), short.len() as f64);
    let bytes: usize = short.iter().map(|line| line.len()).sum();
    assert_eq!(metrics.of("sump_source_bytes_total", &[("source", "quakes")]), bytes as f64);
    assert_eq!(metrics.of("sump_source_rejected_events_total", &[("source", "quakes")]), long.len() as f64);
    let strong = dir.lines("strong");
    assert_eq!(outcome(&metrics, "strong", "written"), strong.len() as f64);
    let strong_bytes: usize = strong.iter().map(String::len).sum();
    assert_eq!(metrics.of("sump_sink_written_bytes_total", &[("sink", "strong")]), strong_bytes as f64);
    let magnitude = |line: &&str| serde_json::from_str::<Value>(line).unwrap()["mag"].as_f64();
    let weak = short.iter().filter(|line| magnitude(line).is_some_and(|mag| mag < 1.0)).count();
    let routed = metrics.of("sump_sink_routed_events_total", &[("sink", "guest")]);
    assert_eq!(routed, weak as f64);
    assert_eq!(outcome(&metrics, "guest", "written") + outcome(&metrics, "guest", "dead_lettered"), routed);
    assert_eq!(metrics.of("sump_sink_attempts_total", &[("sink", "guest")]), (weak.div_ceil(50)) as f64);
    assert_eq!(
        metrics.of("sump_sink_attempt_duration_seconds_count", &[("sink", "guest")]),
        (weak.div_ceil(50)) as f64
    );
    assert_eq!(metrics.of("sump_sink_opened_instances_total", &[("sink", "guest")]), 1.0);
    dead_letters_are_told(&dir, &metrics);
    served.until("the last position to be saved", |served| {
        served.metrics().of("sump_sink_saved_position", &[("sink", "guest")]) == input.len() as f64
    });
    assert_eq!(served.metrics().of("sump_sink_position_lag", &[("source", "quakes"), ("sink", "strong")]), 0.0);
    assert_eq!((served.ready().0, served.get("/live").0, served.get("/elsewhere").0), (200, 200, 404));
    served.run.end().with(0);
}

fn dead_letters_are_told(dir: &Dir, metrics: &Exposed) {
    let letters =
        |sink: &str, code: &str| metrics.of("sump_dead_letter_events_total", &[("sink", sink), ("code", code)]);
    let dead = |code: &str| dir.dead("code").iter().filter(|dead| *dead == code).count() as f64;
    assert_eq!(letters("guest", "bad"), outcome(metrics, "guest", "dead_lettered"));
    assert_eq!(
        [letters("guest", "bad"), letters("*", "too-long"), letters("*", "not-taken")],
        ["bad", "too-long", "not-taken"].map(dead)
    );
    let size: u64 = std::fs::read_dir(dir.path("data/dead_letters"))
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    assert_eq!(metrics.of("sump_dead_letters_kept_bytes", &[]), size as f64);
}

#[test]
fn every_metric_of_the_page_is_served_as_it_says() {
    let endpoint = Endpoint::new(|number| Answer::Status(if number == 0 { 503 } else { 400 }));
    let dir = alerts(&endpoint, "retry.initial = '1ms'");
    let served = Served::start(&dir, "127.0.0.1:0", &[]);
    // Files that are followed, and Kafka, have tests of their own.
    let elsewhere = ["sump_source_behind_bytes", "sump_source_lag"];
    served.until("every family to have a sample", |served| {
        let sampled = |(name, family): (&String, &Family)| elsewhere.contains(&&**name) || !family.samples.is_empty();
        served.metrics().0.iter().all(sampled)
    });
    let exposed = served.metrics();
    let documented = documented();
    assert_eq!(documented.len(), exposed.0.len());
    for [name, kind, unit, labels] in documented {
        let family = exposed.0.get(&name).unwrap_or_else(|| panic!("{name} is not served"));
        assert_eq!((&family.kind, family.unit.as_str()), (&kind, if unit == "none" { "" } else { &unit }), "{name}");
        for (_, of) in family.samples.keys() {
            let mut names: Vec<&str> = of.keys().map(String::as_str).filter(|label| *label != "le").collect();
            let mut said: Vec<&str> = labels.split(", ").filter(|label| *label != "none").collect();
            names.sort_unstable();
            said.sort_unstable();
            assert_eq!(names, said, "{name}");
        }
    }
    assert_eq!(exposed.of("sump_sink_retried_events_total", &[("code", "http-503"), ("kind", "transient")]), 1000.0);
    served.run.end().with(0);
}

/// The quakes to a server, and standard input to nowhere.
fn alerts(endpoint: &Endpoint, more: &str) -> Dir {
    Dir::with(&format!(
        r#"
        [source.quakes]
        type = "file"
        path = "{QUAKES}"
        [source.idle]
        type = "stdin"
        [pipeline.p]
        source = "quakes"
        [pipeline.p.sink.alerts]
        type = "wasm"
        path = "{}"
        config = {{ url = "{}/quakes" }}
        allow.http = ["{}"]
        gate.probe = "50ms"
        {more}
        [pipeline.idle]
        source = "idle"
        [pipeline.idle.sink.none]
        type = "null"
        "#,
        guest("http-alerts").display(),
        endpoint.url,
        endpoint.url
    ))
}

#[test]
fn a_halted_sink_is_not_ready_and_says_why_until_it_is_again() {
    let allowed = Arc::new(AtomicBool::new(false));
    let token = allowed.clone();
    let endpoint = Endpoint::new(move |_| Answer::Status(if token.load(Ordering::SeqCst) { 200 } else { 401 }));
    let served = Served::start(&alerts(&endpoint, ""), "127.0.0.1:0", &[]);
    served.until("the gate to close", |served| {
        served.metrics().of("sump_sink_gate_closed", &[("sink", "alerts"), ("cause", "halted")]) == 1.0
    });
    let (status, body) = served.ready();
    assert_eq!((status, &body["ready"]), (503, &Value::from(false)), "{body}");
    let reason = &body["reasons"][0];
    let said = ["reason", "pipeline", "sink", "cause", "code"].map(|field| reason[field].as_str().unwrap_or_default());
    assert_eq!(said, ["gate_closed", "p", "alerts", "halted", "http-401"], "{body}");
    assert_eq!((body["reasons"].as_array().map(Vec::len), served.get("/live").0), (Some(1), 200));
    assert_eq!(served.metrics().of("sump_ready", &[]), 0.0);
    let closed = |served: &Served, cause: &str| {
        served.metrics().of("sump_sink_gate_closed_seconds_total", &[("sink", "alerts"), ("cause", cause)])
    };
    let before = closed(&served, "halted");
    served.until("the time to go on", |served| closed(served, "halted") > before);
    allowed.store(true, Ordering::SeqCst);
    served.until("the run to be ready again", |served| served.ready().0 == 200);
    served.until("the events", |served| outcome(&served.metrics(), "alerts", "written") == 1707.0);
    let after = closed(&served, "halted");
    assert!(after > 0.0 && closed(&served, "outage") == 0.0);
    assert_eq!((closed(&served, "halted"), served.metrics().of("sump_ready", &[])), (after, 1.0));
    served.run.end().with(0);
}

#[test]
fn backpressure_is_told_of_the_slow_sink_alone_and_is_no_reason_not_to_be_ready() {
    let dir = Dir::with(&format!(
        r#"
        [source.in]
        type = "generate"
        [pipeline.p.sink.fast]
        type = "null"
        [pipeline.p.sink.slow]
        type = "wasm"
        path = "{}"
        config = {{ write = "nap" }}
        batch_size = 500
        buffer.max_bytes = "64KiB"
        "#,
        guest("guest-plain").display()
    ));
    let served = Served::start(&dir, "127.0.0.1:0", &[]);
    let waited = |served: &Served, sink: &str| {
        served.metrics().of("sump_source_backpressure_seconds_total", &[("stage", "buffer"), ("sink", sink)])
    };
    served.until("some backpressure", |served| waited(served, "slow") > 0.2);
    let before = waited(&served, "slow");
    served.until("more of it", |served| waited(served, "slow") > before + 0.1);
    assert_eq!(waited(&served, "fast"), 0.0);
    served.until("the queue to be full", |served| {
        let (status, body) = served.ready();
        assert_eq!(status, 200, "{body}");
        body["full"][0]["sink"] == "slow"
    });
    let metrics = served.metrics();
    assert_eq!(metrics.of("sump_sink_buffer_max_bytes", &[("sink", "slow")]), 65536.0);
    assert!(metrics.of("sump_sink_waiting_events", &[("sink", "slow")]) > 0.0);
    served.run.signal(Signal::TERM);
    served.run.end().with(0).saying(&["held back for ", " by p:slow"]);
}

#[test]
fn full_dead_letters_are_told_of_the_source_or_the_sink_that_waits() {
    let framing = "max_event_bytes = 3\n[pipeline.p.sink.out]\ntype = 'null'\n";
    let guest = guest("guest-plain");
    let sink = format!(
        "[pipeline.p.sink.out]\ntype = 'wasm'\npath = '{}'\nconfig = {{ write = 'obey' }}\nbatch_timeout = '1ms'\n",
        guest.display()
    );
    for (rest, reason, cause, stage) in [
        (framing, "dead_letters_full", Value::Null, "dead_letters"),
        (&sink, "gate_closed", Value::from("dead_letters_full"), "buffer"),
    ] {
        let dir = Dir::with(&format!("dead_letters.max_size = 1\n[source.in]\ntype = 'file'\npath = 'in'\n{rest}"));
        dir.write("in", "refuse\n");
        dir.done().with(0).saying(&["1 event in the dead letters"]);
        // One passes where nothing else is there.
        dir.append("in", "refuse\n");
        let served = Served::start(&dir, "127.0.0.1:0", &["--drain-timeout", "100ms"]);
        served.until("dead letters to be full", |served| served.ready().1["reasons"][0]["reason"] == reason);
        let (status, body) = served.ready();
        assert_eq!((status, &body["reasons"][0]["cause"]), (503, &cause), "{body}");
        let waited = served.metrics().of("sump_source_backpressure_seconds_total", &[("stage", stage)]);
        assert_eq!(waited > 0.0, stage == "dead_letters");
        let closed = [("cause", "dead_letters_full")];
        assert_eq!(served.metrics().of("sump_sink_gate_closed_seconds_total", &closed) > 0.0, stage == "buffer");
        served.run.signal(Signal::TERM);
        served.run.end().with(75);
        assert_eq!(dir.dead_letters().len(), 1);
    }
}

#[test]
fn a_run_that_stops_is_not_ready_and_ends_in_spite_of_an_open_connection() {
    let dir = Dir::with(&format!(
        "[source.in]\ntype = 'stdin'\n[pipeline.p.sink.guest]\ntype = 'wasm'\npath = '{}'\nconfig = {{ write = 'sleep' }}\n\
         batch_timeout = '1ms'\n",
        guest("guest-plain").display()
    ));
    let mut served = Served::start(&dir, "127.0.0.1:0", &["--drain-timeout", "1s"]);
    served.run.feed("one\n");
    served.until("the event", |served| served.metrics().of("sump_sink_waiting_events", &[]) == 1.0);
    assert_eq!(served.ready().0, 200);
    let mut silent = TcpStream::connect(&served.address).unwrap();
    let began = Instant::now();
    served.run.signal(Signal::TERM);
    served.until("the stop to be seen", |served| served.ready().1["reasons"][0]["reason"] == "stopping");
    served.run.end().with(0).saying(&["1 event in the dead letters"]);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert_eq!(silent.read(&mut [0; 8]).unwrap_or_default(), 0);
}

#[test]
fn an_address_that_can_not_be_had_ends_the_run_before_it_starts() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let dir = Dir::with("[source.in]\ntype = 'stdin'\n[pipeline.p.sink.out]\ntype = 'null'\n");
    let remedy = ["can't be listened on", "choose another port"];
    dir.run(["sump.toml", "--admin", &address]).end().with(2).saying(&remedy).saying(&["--admin"]);
    dir.write("top.toml", format!("admin = \"{address}\"\n"));
    dir.run(["sump.toml", "top.toml"]).end().with(2).saying(&remedy).saying(&["top.toml:1:9"]);
    dir.run(["sump.toml", "--admin", "9600"]).end().with(2).saying(&["127.0.0.1:9600"]);
    assert!(!dir.has("data"), "something was started");
    // The option wins.
    dir.run(["sump.toml", "top.toml", "--admin", "127.0.0.1:0"]).end().with(0).saying(&["http://127.0.0.1:"]);
}

#[test]
fn an_address_may_be_of_the_sixth_version() {
    let dir = Dir::with("[source.in]\ntype = 'stdin'\n[pipeline.p.sink.out]\ntype = 'null'\n");
    if TcpListener::bind("[::1]:0").is_err() {
        // There is no such address here: then it is said.
        dir.run(["sump.toml", "--admin", "[::1]:0"]).end().with(2).saying(&["[::1]:0 can't be listened on"]);
        return;
    }
    let served = Served::start(&dir, "[::1]:0", &[]);
    assert!(served.address.starts_with("[::1]:"));
    assert_eq!(served.get("/live").0, 200);
    served.run.end().with(0);
}
