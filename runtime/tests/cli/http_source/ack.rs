//! When a request is answered, and what becomes of one that is not.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;

use rustix::process::Signal;

use super::{Receiver, answer, receiving, request};
use crate::sump::{Dir, wait_for};

/// A run with a file that nothing can be written to as long as there is a folder in its place.
fn blocked(source: &str, sink: &str) -> Dir {
    let dir = receiving(source, &format!("type = 'file'\npath = 'out'\ngate.probe = '20ms'\n{sink}"));
    fs::create_dir(dir.path("out")).unwrap();
    dir
}

fn unblock(dir: &Dir) {
    fs::remove_dir(dir.path("out")).unwrap();
}

/// Waits until an event was tried in vain.
fn until_tried(receiver: &mut Receiver) {
    wait_for("the gate to close", || receiver.run.said().contains("the gate is closed"));
}

/// Sends a request and does not wait.
fn begin(receiver: &Receiver, body: &str) -> TcpStream {
    let mut stream = receiver.connect();
    let head = request("POST", "/", &format!("content-length: {}\r\n", body.len()));
    // It may be sent away before it has sent everything.
    stream.write_all((head + body).as_bytes()).ok();
    stream
}

#[track_caller]
fn has_no_answer(stream: &mut TcpStream) {
    stream.set_nonblocking(true).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    stream.set_nonblocking(false).unwrap();
}

#[test]
fn a_request_is_answered_when_its_events_are_written_and_not_before() {
    let dir = blocked("", "");
    let mut receiver = Receiver::start(&dir);
    let mut first = begin(&receiver, "1\n2\n");
    until_tried(&mut receiver);
    let mut second = begin(&receiver, "3\n");
    has_no_answer(&mut first);
    has_no_answer(&mut second);
    unblock(&dir);
    assert_eq!(answer(&mut first).unwrap().with(200).json()["events"], 2);
    assert!(dir.read("out").starts_with("1\n2\n"));
    assert_eq!(answer(&mut second).unwrap().with(200).json()["events"], 1);
    assert_eq!(dir.read("out"), "1\n2\n3\n");
    receiver.stop().with(0);
}

#[test]
fn acknowledgements_come_while_the_source_waits_for_room() {
    let sinks = "[pipeline.p.sink.seen]\ntype = 'file'\npath = 'seen'\nbatch_timeout = '1ms'\n\
                 [pipeline.p.sink.slow]\ntype = 'file'\npath = 'slow'\nwhen = 'event.a == 1'\nbatch_timeout = '500ms'";
    let dir = blocked(sinks, "when = 'event.b == 1'\nbuffer.max_bytes = 1");
    let receiver = Receiver::with(&dir, &["--drain-timeout", "100ms"]);
    let mut first = begin(&receiver, "{\"a\":1,\"b\":0}\n");
    wait_for("the first event to be taken", || dir.length("seen") > 0);
    // One passes, the other holds the source up, while the first still waits for others to be written with it.
    let mut others = [(); 2].map(|()| begin(&receiver, "{\"a\":0,\"b\":1}\n"));
    answer(&mut first).unwrap().with(200);
    others.iter_mut().for_each(has_no_answer);
    receiver.run.signal(Signal::TERM);
    others.iter_mut().for_each(|other| drop(answer(other).unwrap().with(503)));
    receiver.run.end().with(75);
}

#[test]
fn without_ack_it_is_answered_when_its_events_are_on_their_way() {
    let dir = blocked("ack = false", "");
    let receiver = Receiver::with(&dir, &["--drain-timeout", "100ms"]);
    assert_eq!(receiver.post("", "1\n").with(202).json()["events"], 1);
    // It can't be had again: a stop keeps it.
    receiver.stop().with(0).saying(&["1 event in the dead letters"]);
    assert_eq!(dir.dead("code"), ["stopped"]);
}

#[test]
fn a_stop_answers_those_who_wait_when_all_is_written() {
    let dir = blocked("", "");
    let mut receiver = Receiver::start(&dir);
    let mut waiting = begin(&receiver, "1\n");
    until_tried(&mut receiver);
    let mut silent = receiver.connect();
    receiver.run.signal(Signal::TERM);
    let address = receiver.address.clone();
    receiver.run.until("the end of listening", || TcpStream::connect(&address).is_err());
    assert_eq!(silent.read(&mut [0]).unwrap_or_default(), 0, "a connection without a request is not waited for");
    has_no_answer(&mut waiting);
    unblock(&dir);
    assert!(answer(&mut waiting).unwrap().with(200).head.contains("connection: close"));
    receiver.run.end().with(0);
}

#[test]
fn what_a_stop_leaves_undelivered_is_told_to_those_who_sent_it() {
    let dir = blocked("", "");
    let mut receiver = Receiver::with(&dir, &["--drain-timeout", "200ms"]);
    let mut waiting = begin(&receiver, "1\n");
    until_tried(&mut receiver);
    receiver.run.signal(Signal::TERM);
    let refused = answer(&mut waiting).unwrap().with(503);
    assert!(refused.body.contains("send them again") && refused.head.contains("retry-after: 1"), "{refused:?}");
    receiver.run.end().with(75).saying(&["1 event not delivered"]);
    assert!(dir.dead_letters().is_empty());
}

#[test]
fn a_kill_answers_nobody_and_what_was_answered_is_written() {
    let source = "[pipeline.p.sink.open]\ntype = 'file'\npath = 'open'\nbatch_timeout = '1ms'";
    let dir = blocked(source, "when = 'event >= 2'");
    let mut receiver = Receiver::start(&dir);
    receiver.post("", "1\n").with(200);
    let mut waiting: Vec<TcpStream> = (2..10).map(|number| begin(&receiver, &format!("{number}\n"))).collect();
    until_tried(&mut receiver);
    receiver.run.signal(Signal::KILL);
    for waiting in &mut waiting {
        assert!(answer(waiting).is_err());
    }
    assert_eq!(receiver.run.end().code, None);
    assert!(dir.read("open").starts_with("1\n"));
}

#[test]
fn whoever_waits_too_long_is_told_that_nobody_knows() {
    let dir = blocked("ack_timeout = '100ms'", "");
    let receiver = Receiver::start(&dir);
    assert!(receiver.post("", "1\n").with(504).body.contains("they may be yet"));
    unblock(&dir);
    wait_for("the event", || dir.read("out") == "1\n");
    receiver.stop().with(0);
}

#[test]
fn while_nothing_can_be_taken_requests_are_sent_away_and_memory_is_bounded() {
    let source = "wait = '50ms'\nmax_in_flight_bytes = '8MiB'\nmax_body_bytes = '1MiB'";
    let dir = blocked(source, "buffer.max_bytes = '1MiB'");
    let receiver = Receiver::start(&dir);
    let body = format!("{{\"text\":\"{}\"}}\n", "x".repeat(1000)).repeat(900);
    // One is in the buffer, the next waits for room there.
    let open: Vec<TcpStream> = (0..10).map(|_| begin(&receiver, &body)).collect();
    let is_answered = |stream: &TcpStream| {
        stream.set_nonblocking(true).unwrap();
        let answered = stream.peek(&mut [0]).is_ok();
        stream.set_nonblocking(false).unwrap();
        answered
    };
    wait_for("all others to be sent away", || open.iter().filter(|stream| is_answered(stream)).count() == 8);
    let (away, mut waiting): (Vec<_>, Vec<_>) = open.into_iter().partition(is_answered);
    for mut stream in away {
        let refused = answer(&mut stream).unwrap().with(503);
        assert!(refused.head.contains("retry-after: ") && refused.body.contains("nothing of this was"), "{refused:?}");
    }
    let before = receiver.run.resident();
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| (0..20).for_each(|_| drop(receiver.post("", &body).with(503))));
        }
    });
    let grown = receiver.run.resident().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown}");
    unblock(&dir);
    for waiting in &mut waiting {
        assert_eq!(answer(waiting).unwrap().with(200).json()["events"], 900);
    }
    receiver.post("", "1\n").with(200);
    receiver.stop().with(0);
    assert_eq!(dir.lines("out").len(), 1801);
}
