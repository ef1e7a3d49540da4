//! What a component sees of the machine, run by the program.

use crate::guest::guest;
use crate::sump::Dir;

fn said(config: &str, more: &str) -> Vec<String> {
    let dir = Dir::with(&format!(
        "[source.in]\ntype = 'file'\npath = 'in'\n[pipeline.p.sink.guest]\ntype = 'wasm'\npath = '{}'\n\
         config = {{ {config} }}\n{more}\n",
        guest("guest-plain").display()
    ));
    dir.write("in", "a\n");
    dir.run(["sump.toml"]).env("GRANTED", "yes").env("SECRET", "no").end().with(0);
    dir.dead("message")
}

#[test]
fn only_granted_variables_are_seen() {
    assert_eq!(said("write = 'env'", ""), [""]);
    assert_eq!(said("write = 'env'", "allow.env = ['GRANTED']"), ["GRANTED=yes"]);
}

#[test]
fn no_file_outside_a_grant_is_read() {
    assert!(said("write = 'read-dir', file = '/etc/passwd'", "")[0].starts_with("Err("));
}

#[test]
fn what_a_sink_is_told_of_its_batch() {
    let said = said("write = 'context'", "");
    assert!(said[0].starts_with("p guest ") && said[0].ends_with(" 1 true true"), "{said:?}");
}

#[test]
fn inspect_tells_what_to_grant() {
    let dir = Dir::new();
    let alerts = guest("http-alerts");
    let ended = dir.sump(["inspect".as_ref(), alerts.as_os_str()]).end().with(0);
    for part in ["http-alerts", "async-sink", "wasi:http", "allow.http", "min_mag"] {
        assert!(ended.output.contains(part), "`{part}` is not in:\n{}", ended.output);
    }
    let json = dir.sump(["inspect".as_ref(), "--json".as_ref(), alerts.as_os_str()]).end().with(0).output;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["description"]["name"], "http-alerts");
    let encoder = guest("guest-encoder");
    let ended = dir.sump(["inspect".as_ref(), encoder.as_os_str()]).end().with(0);
    for part in ["world          encoder", "content type   text/odd", "max events     5000"] {
        assert!(ended.output.contains(part), "`{part}` is not in:\n{}", ended.output);
    }
    dir.write("a.wasm", "text");
    dir.sump(["inspect", "a.wasm"]).end().with(2).saying(&["a.wasm"]);
}
