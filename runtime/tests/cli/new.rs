//! `sump new`: what it makes and what it refuses.

use crate::sump::{Dir, Ended};

const SDK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../guest-sdk");

fn new(dir: &Dir, args: &[&str]) -> Ended {
    dir.sump(["new", "--sdk", SDK].iter().chain(args)).end()
}

#[test]
fn a_project_is_made_where_one_is_and_named_everywhere() {
    let dir = Dir::new();
    let ended = new(&dir, &["my-sink", "--lang", "rust"]).with(0);
    assert!(ended.output.starts_with("my-sink\n"), "{}", ended.output);
    assert!(dir.read("my-sink/Cargo.toml").contains("name = \"my-sink\""));
    assert!(dir.read("my-sink/tests/tests.rs").contains("use my_sink::Sink;"));
    assert!(dir.read("my-sink/README.md").contains("build/my-sink.wasm"));
    assert!(dir.read("my-sink/.gitignore").contains("/target/"));

    new(&dir, &["other", "--lang", "python"]).with(0);
    assert!(dir.has("other/other.py") && dir.has("other/tests/test_other.py"));

    new(&dir, &["third", "--lang", "typescript"]).with(0);
    assert!(dir.read("third/package.json").contains("\"name\": \"third\"") && dir.has("third/src/sink.ts"));

    new(&dir, &["shape", "--lang", "rust", "--encoder"]).with(0);
    assert!(dir.read("shape/src/lib.rs").contains("impl Encoder for"));
    new(&dir, &["tiny", "--lang", "c"]).with(0);
    assert!(dir.read("tiny/Makefile").starts_with("NAME = tiny\n") && dir.has("tiny/tiny.c"));
    new(&dir, &["many", "--lang", "rust", "--async"]).with(0);
    assert!(dir.read("many/src/lib.rs").contains("impl AsyncEventSink for"));
}

#[test]
fn what_can_not_be_made_is_told_with_the_way_out_and_leaves_nothing() {
    let dir = Dir::new();
    dir.write("taken", "mine");
    let refused = |args: &[&str], said: &str| drop(new(&dir, args).with(2).saying(&[said]));
    refused(&["a", "--lang", "go", "--async"], "error: go: calls can't overlap in one instance");
    refused(&["a", "--lang", "python", "--async"], "use `concurrency`");
    refused(&["a", "--lang", "python", "--encoder"], "write it in Rust or C");
    refused(&["a", "--lang", "typescript", "--async"], "`process` and `write` may be `async` as they are");
    refused(&["a", "--lang", "c", "--async"], "use `concurrency`");
    refused(&["a", "--lang", "rust", "--encoder", "--async"], "cannot be used with");
    refused(&["a", "--lang", "cobol"], "[possible values: rust, go, python, typescript, c]");
    refused(&["../a", "--lang", "go"], "is no name for a project");
    refused(&["match", "--lang", "rust"], "such as `my-match`");
    refused(&["taken", "--lang", "go"], "taken: is there already");
    let ended = dir.sump(["new", "a", "--lang", "go", "--sdk", "nowhere"]).end();
    ended.with(2).saying(&["nowhere: there is no SDK for go in it: `--sdk` names"]);
    assert_eq!(dir.read("taken"), "mine");
    assert!(!dir.has("a"));
}
