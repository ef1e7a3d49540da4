//! Who is slow, sends too much, or too many at a time.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::{Receiver, answer, gzip, receiving, request, to_file};

/// Reads to the end of a connection.
fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).ok();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn whoever_never_ends_a_head_or_a_body_is_not_waited_for() {
    let dir = to_file("idle_timeout = '200ms'\nbody_timeout = '100ms'");
    let receiver = Receiver::start(&dir);
    for head in ["", "POST / HT", "POST / HTTP/1.1\r\nhost:", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let mut slow = receiver.connect();
        slow.write_all(head.as_bytes()).unwrap();
        assert!(!rest(&mut slow).contains("200 OK"), "{head}");
    }
    let mut slow = receiver.connect();
    slow.write_all((request("POST", "/", "content-length: 10\r\n") + "[1]\n").as_bytes()).unwrap();
    answer(&mut slow).unwrap().with(408);
    assert_eq!(receiver.post("", "1\n").with(200).json()["events"], 1);
    receiver.stop().with(0);
    assert_eq!(dir.read("out"), "1\n");
}

#[test]
fn a_request_that_waits_for_its_answer_is_not_idle() {
    let dir = receiving("idle_timeout = '50ms'", "type = 'file'\npath = 'out'\nbatch_timeout = '500ms'");
    dir.write("sump.toml", dir.read("sump.toml").replacen("batch_timeout = '1ms'\n", "", 1));
    let receiver = Receiver::start(&dir);
    receiver.post("", "1\n").with(200);
    receiver.stop().with(0);
}

#[test]
fn whoever_asks_first_whether_to_send_a_body_is_told() {
    let dir = to_file("auth.users = { ada = 'love' }");
    let receiver = Receiver::start(&dir);
    let head = |authorization: &str| {
        let headers = format!("content-length: 2\r\nexpect: 100-continue\r\nauthorization: Basic {authorization}\r\n");
        request("POST", "/", &headers)
    };
    let mut stream = receiver.connect();
    stream.write_all(head("YWRhOmxvdmU=").as_bytes()).unwrap();
    let mut first = [0; 25];
    stream.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"1\n").unwrap();
    answer(&mut stream).unwrap().with(200);
    let mut stream = receiver.connect();
    stream.write_all(head("YWRhOmhhdGU=").as_bytes()).unwrap();
    answer(&mut stream).unwrap().with(401);
    receiver.stop().with(0);
}

#[test]
fn what_grows_without_end_when_it_is_decompressed_costs_no_memory() {
    let dir = to_file("max_body_bytes = '1MiB'\nmax_in_flight_bytes = '4MiB'");
    let receiver = Receiver::start(&dir);
    let zeros = vec![b'0'; 256 << 20];
    let (gzip, zstd) = (gzip(&zeros), zstd::encode_all(&zeros[..], 3).unwrap());
    drop(zeros);
    receiver.post("", "1\n").with(200);
    let before = receiver.run.resident();
    for _ in 0..5 {
        receiver.post("content-encoding: zstd\r\n", &zstd).with(413);
        // As it is sent it is too large already.
        let halved = &gzip[..gzip.len().min(1 << 20)];
        receiver.post("content-encoding: gzip\r\n", halved).with(413);
    }
    let grown = receiver.run.resident().saturating_sub(before);
    assert!(grown < 48 << 20, "{grown}");
    receiver.stop().with(0);
}

#[test]
fn more_connections_than_are_taken_wait_for_others_to_end() {
    let dir = to_file("max_connections = 2");
    let receiver = Receiver::start(&dir);
    let silent = [receiver.connect(), receiver.connect()];
    let mut waits = receiver.connect();
    waits.write_all((request("POST", "/", "content-length: 2\r\n") + "1\n").as_bytes()).unwrap();
    waits.set_nonblocking(true).unwrap();
    // A third connection that were taken would be answered at once.
    let mut none = [0];
    for _ in 0..20 {
        assert_eq!(waits.read(&mut none).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
        std::thread::yield_now();
    }
    drop(silent);
    waits.set_nonblocking(false).unwrap();
    answer(&mut waits).unwrap().with(200);
    receiver.stop().with(0);
}

#[test]
fn many_small_requests_at_once_are_all_taken_once() {
    let dir = to_file("");
    let receiver = Receiver::start(&dir);
    std::thread::scope(|scope| {
        for client in 0..16 {
            let receiver = &receiver;
            scope.spawn(move || {
                let mut stream = receiver.connect();
                for number in 0..50 {
                    let body = format!("{{\"client\":{client},\"number\":{number}}}\n");
                    let length = body.len();
                    write!(stream, "POST / HTTP/1.1\r\nhost: sump\r\ncontent-length: {length}\r\n\r\n{body}").unwrap();
                    let mut seen = Vec::new();
                    while !seen.ends_with(b"{\"events\":1}\n") {
                        let mut some = [0; 512];
                        let count = stream.read(&mut some).unwrap();
                        assert!(count > 0, "{}", String::from_utf8_lossy(&seen));
                        seen.extend_from_slice(&some[..count]);
                    }
                }
            });
        }
    });
    let lines = dir.lines("out");
    assert_eq!(lines.len(), 800);
    // Those of one connection are in their order, and none is missing.
    for client in 0..16 {
        let of: Vec<&String> = lines.iter().filter(|line| line.contains(&format!("\"client\":{client},"))).collect();
        let expected: Vec<String> =
            (0..50).map(|number| format!("{{\"client\":{client},\"number\":{number}}}")).collect();
        assert!(of.iter().copied().eq(expected.iter()), "{client}");
    }
    receiver.stop().with(0);
}
