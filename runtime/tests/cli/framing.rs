//! Where events end, in files that are read to their ends and in those that are followed.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::sump::Dir;

fn dir(framing: &str, follow: bool, sink: &str, input: &[u8]) -> Dir {
    let config = format!(
        r#"
        [source.in]
        type = "file"
        path = "in"
        follow = {follow}
        framing = {framing}
        [pipeline.copy.sink.out]
        {sink}
        batch_timeout = "10ms"
        "#
    );
    let dir = Dir::with(&config);
    dir.write("in", input);
    dir
}

#[test]
fn each_framing_gives_its_events() {
    let cases: [(&str, &[u8], Value); 5] = [
        ("'lines'", b"a\r\n\nb", json!(["a\r", "", "b"])),
        ("'ndjson'", b"{\"a\": 1}\n\nno\n[2]\n", json!([{ "a": 1 }, [2]])),
        ("{ type = 'multiline', start = '^\\S' }", b"a\n b\n c\nd\n", json!(["a\n b\n c", "d"])),
        ("{ type = 'bytes', delimiter = '||' }", b"a|b||c\n||", json!(["a|b", "c\n"])),
        ("{ type = 'bytes', length = 'u16be' }", b"\0\x01a\0\x03b\nc\0\x09d", json!(["a", "b\nc"])),
    ];
    for (framing, input, expected) in cases {
        let dir = dir(framing, false, "type = 'console'\nformat = 'json'", input);
        let ended = dir.run(["sump.toml"]).start().end().with(0);
        let shown: Vec<Value> = ended.output.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let payloads: Vec<Value> = shown.into_iter().map(|event| event["payload"].clone()).collect();
        assert_eq!(Value::from(payloads), expected, "{framing}");
    }
}

#[test]
fn the_last_of_several_lines_comes_with_the_next_event() {
    let dir =
        dir("{ type = 'multiline', start = '^\\S' }", true, "type = 'file'\npath = 'out'\nencoder = 'json'", b"one\n");
    let payloads = || -> Vec<Value> {
        let payload = |line: String| serde_json::from_str::<Value>(&line).unwrap()["payload"].clone();
        dir.lines("out").into_iter().map(payload).collect()
    };
    let mut run = dir.run(["sump.toml"]).start();
    let lines: String = (0..20).map(|number| format!(" {number}\n")).collect();
    for line in lines.split_inclusive('\n') {
        dir.append("in", line);
    }
    dir.append("in", "two\n of");
    let first = json!(format!("one\n{}", lines.trim_end()));
    run.until("the first event", || payloads() == [first.clone()]);
    run.signal(Signal::TERM);
    run.end().with(0);
    dir.append("in", " more\nthree\n");
    let mut run = dir.run(["sump.toml"]).start();
    run.until("the second event", || payloads() == [first.clone(), json!("two\n of more")]);
    run.signal(Signal::TERM);
    run.end().with(0);
}
