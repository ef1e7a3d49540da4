//! The HTTP source: what is posted to it, and what it answers.

mod ack;
mod limits;
mod tls;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::sump::{Dir, Ended, Running, wait_for};

/// A run with one HTTP source, and where it listens.
struct Receiver {
    run: Running,
    address: String,
}

/// What came back.
#[derive(Debug)]
struct Answer {
    status: u16,
    /// In lower case.
    head: String,
    body: String,
}

/// A configuration with a source that has these settings, and a sink that has those.
fn receiving(source: &str, sink: &str) -> Dir {
    let listen = "[source.in]\ntype = 'http'\nlisten = '127.0.0.1:0'";
    Dir::with(&format!("{listen}\n{source}\n[pipeline.p.sink.out]\nbatch_timeout = '1ms'\n{sink}\n"))
}

/// The same with a file.
fn to_file(source: &str) -> Dir {
    receiving(source, "type = 'file'\npath = 'out'")
}

impl Receiver {
    fn start(dir: &Dir) -> Receiver {
        Receiver::with(dir, &[])
    }

    fn with(dir: &Dir, more: &[&str]) -> Receiver {
        let run = dir.run(["sump.toml"].into_iter().chain(more.iter().copied())).start();
        let mut address = None;
        wait_for("the address", || {
            let said = run.said();
            address = said.split_once("taken at http").and_then(|(_, rest)| {
                let rest = rest.trim_start_matches('s').strip_prefix("://")?;
                Some(rest.split_once('/')?.0.to_owned())
            });
            address.is_some()
        });
        Receiver { run, address: address.unwrap() }
    }

    /// A connection, on which nothing waits for ever.
    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    }

    fn post(&self, headers: &str, body: impl AsRef<[u8]>) -> Answer {
        let body = body.as_ref();
        let length = format!("content-length: {}\r\n", body.len());
        self.ask(&[request("POST", "/", &format!("{length}{headers}")).as_bytes(), body].concat())
    }

    /// Sends all of it on a connection of its own.
    fn ask(&self, request: &[u8]) -> Answer {
        let mut stream = self.connect();
        // The server may answer before it has read everything.
        stream.write_all(request).ok();
        answer(&mut stream).unwrap_or_else(|rest| panic!("no answer but `{rest}`"))
    }

    /// Ends the run.
    fn stop(self) -> Ended {
        self.run.signal(Signal::TERM);
        self.run.end()
    }
}

/// The head of a request after which the connection ends.
fn request(method: &str, path: &str, headers: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nhost: sump\r\nconnection: close\r\n{headers}\r\n")
}

/// Reads an answer, and to the end of its connection. What came instead, if there was none.
fn answer(stream: &mut TcpStream) -> Result<Answer, String> {
    let mut bytes = Vec::new();
    let ended = stream.read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return Err(format!("{text} {ended:?}")) };
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Ok(Answer { status, head: head.to_lowercase(), body: body.to_owned() })
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// Fails unless it has this status.
    #[track_caller]
    fn with(self, status: u16) -> Answer {
        assert_eq!(self.status, status, "{self:?}");
        self
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn each_body_becomes_the_events_that_its_type_says() {
    let dir = to_file("");
    let receiver = Receiver::start(&dir);
    let zstd = zstd::encode_all(&b"{\"z\":1}\n"[..], 3).unwrap();
    let mut expected = Vec::new();
    for (headers, body, events) in [
        ("", &b"{\"a\":1}\n{\"a\":2}"[..], &["{\"a\":1}", "{\"a\":2}"][..]),
        ("content-type: application/x-ndjson\r\n", b"1\r\n\n 2 \n", &["1", "2"]),
        ("content-type: application/json; charset=utf-8\r\n", b"[{\"b\": [1]},\n \"x\"]", &["{\"b\": [1]}", "\"x\""]),
        ("content-type: application/cloudevents+json\r\n", b"{\"c\":1}", &["{\"c\":1}"]),
        ("content-type: text/plain\r\n", b"not json\n[", &["not json", "["]),
        ("content-type: application/octet-stream\r\n", b"raw \xc3\xa9", &["raw é"]),
        ("content-encoding: gzip\r\n", &gzip(b"{\"g\":1}\n"), &["{\"g\":1}"]),
        ("content-encoding: zstd\r\n", &zstd, &["{\"z\":1}"]),
        ("", b"", &[]),
    ] {
        let answer = receiver.post(headers, body).with(200);
        assert_eq!(answer.json(), serde_json::json!({ "events": events.len() }), "{headers}");
        assert!(answer.head.contains("content-type: application/json"));
        expected.extend(events.iter().map(|event| (*event).to_owned()));
        // What was answered with 200 is written.
        assert_eq!(dir.lines("out"), expected);
    }
    receiver.stop().with(0);
}

#[test]
fn a_format_that_is_set_goes_before_what_a_body_is_said_to_be() {
    for (format, events, left) in
        [("lines", 2, "[1,\n2]\n"), ("array", 2, "1\n2\n"), ("json", 2, "1\n2\n"), ("raw", 1, "[1, 2]\n")]
    {
        let dir = to_file(&format!("format = '{format}'"));
        let receiver = Receiver::start(&dir);
        let answer = receiver.post("content-type: image/png\r\n", "[1,\n2]").with(200);
        assert_eq!((answer.json()["events"].as_u64(), dir.read("out").as_str()), (Some(events), left), "{format}");
        receiver.stop().with(0);
    }
}

#[test]
fn chunks_and_several_requests_on_one_connection_are_taken() {
    let dir = to_file("");
    let receiver = Receiver::start(&dir);
    let chunked = request("POST", "/", "transfer-encoding: chunked\r\n") + "4\r\n[1]\n\r\n3\r\n[2]\r\n0\r\n\r\n";
    assert_eq!(receiver.ask(chunked.as_bytes()).with(200).json()["events"], 2);
    let kept = "POST / HTTP/1.1\r\nhost: sump\r\ncontent-length: 2\r\n\r\n3\n";
    let last = request("POST", "/", "content-length: 2\r\n") + "4\n";
    let answers = receiver.ask(format!("{kept}{kept}{last}").as_bytes());
    assert_eq!(answers.body.matches("HTTP/1.1 200 OK").count(), 2, "{answers:?}");
    assert_eq!(dir.lines("out"), ["[1]", "[2]", "3", "3", "4"]);
    receiver.stop().with(0);
}

#[test]
fn what_is_not_right_is_refused_and_nothing_of_it_is_taken() {
    let dir = to_file("path = '/events'\nmax_body_bytes = '1KiB'\nauth.tokens = ['s3cret', 'other']");
    let receiver = Receiver::start(&dir);
    let auth = "authorization: Bearer s3cret\r\n";
    let large = "1\n".repeat(513);
    for (method, path, headers, body, status, told) in [
        ("POST", "/", auth, "1", 404, "at this path"),
        ("GET", "/events", auth, "", 405, "allow: post"),
        ("HEAD", "/events", auth, "", 405, "allow: post"),
        ("PUT", "/events", auth, "1", 405, "by POST"),
        ("POST", "/events", "", "1", 401, "www-authenticate: bearer"),
        ("POST", "/events", "authorization: Bearer wrong\r\n", "1", 401, "missing or wrong"),
        ("POST", "/events", &format!("{auth}content-encoding: br\r\n"), "1", 415, "accept-encoding: gzip, zstd"),
        ("POST", "/events", &format!("{auth}content-encoding: gzip\r\n"), "1", 400, "decompressed"),
        ("POST", "/events", &format!("{auth}content-type: multipart/form-data\r\n"), "1", 415, "Content-Type"),
        ("POST", "/events", &format!("{auth}content-type: application/json\r\n"), "[1,2", 400, "byte 4"),
        ("POST", "/events", auth, &large, 413, "max_body_bytes = 1024"),
    ] {
        let length = format!("content-length: {}\r\n", body.len());
        let answer = receiver.ask((request(method, path, &format!("{length}{headers}")) + body).as_bytes());
        let all = format!("{}\n{}", answer.head, answer.body);
        assert!(answer.status == status && all.contains(told), "{method} {path} {headers}: {all}");
    }
    assert!(!dir.has("out") || dir.read("out").is_empty());
    let last = request("POST", "/events", "content-length: 1\r\nauthorization: Bearer other\r\n") + "1";
    receiver.ask(last.as_bytes()).with(200);
    let ended = receiver.stop().with(0);
    assert!(!ended.errors.contains("s3cret"));
}

#[test]
fn events_that_are_invalid_are_kept_as_dead_letters_or_cost_the_request() {
    let body = "{\"a\":1}\n{\"a\":\n\"far too long a line\"\n{\"a\":2}\n";
    let dir = to_file("max_event_bytes = 10\nheaders = ['x-id']");
    let receiver = Receiver::start(&dir);
    let answer = receiver.post("x-id: 7\r\n", body).with(200);
    assert_eq!(answer.json(), serde_json::json!({ "events": 2, "rejected": 2 }));
    assert_eq!(dir.lines("out"), ["{\"a\":1}", "{\"a\":2}"]);
    assert_eq!(dir.dead("code"), ["too-long", "not-json"]);
    assert_eq!(dir.dead("payload"), ["\"far too l", "{\"a\":"]);
    assert_eq!(dir.dead("position"), ["2", "3"]);
    assert_eq!(dir.dead("headers")[1], "[[\"x-id\",\"7\"]]");
    receiver.stop().with(0);

    let dir = to_file("max_event_bytes = 10\ninvalid = 'refuse'");
    let receiver = Receiver::start(&dir);
    assert!(receiver.post("", body).with(400).body.contains("event 2 is not JSON: byte 5"));
    receiver.post("", "1\n\"far too long a line\"\n").with(413);
    assert!(dir.read("out").is_empty() && dir.dead_letters().is_empty());
    receiver.stop().with(0);
}

#[test]
fn events_have_the_headers_that_are_named_and_perhaps_a_key_from_them() {
    let dir = receiving(
        "headers = ['X-Key', 'x-many']",
        "type = 'console'\nformat = 'json'\n[pipeline.p]\nkey = '{header:X-Key}'",
    );
    let receiver = Receiver::start(&dir);
    receiver.post("x-key: k1\r\nX-Many: a\r\nx-many: b\r\nx-other: no\r\n", "1\n2\n").with(200);
    receiver.post("", "3\n").with(200);
    let ended = receiver.stop().with(0);
    let shown: Vec<Value> = ended.output.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((shown.len(), &shown[0]["key"], &shown[2]["key"]), (3, &Value::from("k1"), &Value::Null), "{shown:?}");
    let headers = shown[1]["headers"].to_string();
    assert!(headers.contains("X-Key") && headers.contains("\"a\"") && headers.contains("\"b\""), "{headers}");
    assert!(!headers.contains("other"));
}

#[test]
fn an_address_is_for_one_source_and_has_to_be_free() {
    let two = "[source.a]\ntype = 'http'\nlisten = '127.0.0.1:8080'\n[source.b]\ntype = 'http'\nlisten = '0.0.0.0:8080'\n\
               [pipeline.a]\nsource = 'a'\n[pipeline.a.sink.x]\ntype = 'null'\n\
               [pipeline.b]\nsource = 'b'\n[pipeline.b.sink.x]\ntype = 'null'\n";
    let dir = Dir::with(two);
    dir.sump(["check", "sump.toml"]).end().with(2).saying(&["two sources listen at the same address", "sump.toml:6"]);
    let apart = two.replace("0.0.0.0:8080", "127.0.0.1:8081");
    dir.write("sump.toml", &apart);
    dir.sump(["check", "sump.toml"]).end().with(0);
    dir.write("sump.toml", format!("admin = '127.0.0.1:8081'\n{apart}"));
    dir.sump(["check", "sump.toml"]).end().with(2).saying(&["listens at the address of `admin`", "sump.toml:7"]);
    let small = to_file("max_in_flight_bytes = '20MiB'");
    small.sump(["check", "sump.toml"]).end().with(2).saying(&["at least `32MiB`"]);

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let dir = to_file("");
    let address = taken.local_addr().unwrap().to_string();
    dir.write("sump.toml", dir.read("sump.toml").replace("127.0.0.1:0", &address));
    dir.done().with(2).saying(&[&format!("{address} can't be listened on"), "choose another"]);
}
