//! What goes to standard output.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::sump::Dir;

fn printed(format: &str, input: &str) -> String {
    let dir = Dir::with(&format!(
        "[source.s]\ntype = 'stdin'\n[pipeline.p.sink.console]\ntype = 'console'\nformat = '{format}'\n"
    ));
    let ended = dir.run(["sump.toml"]).input(input).end().with(0).saying(&["p:console"]);
    assert!(!ended.output.contains('\x1b') && !ended.errors.contains('\x1b'), "colours into a pipe");
    ended.output
}

#[test]
fn raw_is_the_payload() {
    assert_eq!(printed("raw", "{\"a\": 1}\nplain\n"), "{\"a\": 1}\nplain\n");
}

#[test]
fn json_is_an_object_a_line() {
    let text = printed("json", "{\"a\": 1}\nplain\n");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((lines.len(), &lines[0]["payload"]["a"], &lines[1]["payload"]), (2, &Value::from(1), &"plain".into()));
    assert_eq!(lines[1]["position"], 9);
    assert!(lines[0]["partition"].as_str().unwrap().starts_with("stdin@"));
}

#[test]
fn logfmt_is_pairs() {
    let text = printed("logfmt", "{\"a\":1,\"b\":\"two words\"}\n");
    assert!(text.contains("a=1") && text.contains("b=\"two words\""), "{text}");
    assert_eq!(text.lines().count(), 1);
}

#[test]
fn pretty_goes_over_several_lines() {
    let text = printed("pretty", "{\"a\":{\"b\":[1,2]}}\n");
    assert!(text.lines().count() > 2 && text.contains("\"b\""), "{text}");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_crash() {
    let dir = Dir::with(
        "[source.g]\ntype = 'generate'\ncount = 100_000\n[pipeline.p.sink.out]\ntype = 'console'\nformat = 'raw'\n\
         retry.initial = '10ms'\nretry.max = '10ms'\n",
    );
    let program = env!("CARGO_BIN_EXE_sump");
    let mut child = Command::new("sh")
        .args(["-c", "\"$0\" run --data-dir data --drain-timeout 1s sump.toml 2> errors | head -n 3; echo done"])
        .arg(program)
        .current_dir(dir.path(""))
        .env("HOME", dir.path("home"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().flush().unwrap();
    let output = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    assert_eq!((output.lines().count(), output.lines().last()), (4, Some("done")));
    assert!(!dir.read("errors").contains("panicked"), "{}", dir.read("errors"));
    assert!(dir.read("errors").contains("done in"), "{}", dir.read("errors"));
}

#[test]
fn a_result_is_cut_off_quietly_too() {
    let dir = Dir::with("[source.s]\ntype = 'stdin'\n[pipeline.p.sink.n]\ntype = 'null'\n");
    let command = "\"$0\" check sump.toml | true; \"$0\" inspect --help | true";
    let output = Command::new("sh")
        .args(["-c", command, env!("CARGO_BIN_EXE_sump")])
        .current_dir(dir.path(""))
        .env("HOME", dir.path("home"))
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!errors.contains("panicked") && !errors.contains("error"), "{errors}");
}
