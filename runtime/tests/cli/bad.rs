//! What is wrong is told before anything starts.

use crate::guest::guest;
use crate::sump::{Dir, Ended};

/// A pipeline that would write `out`, and one more sink.
fn beside(sink: &str) -> Dir {
    let dir = Dir::with(&format!(
        "[source.in]\ntype = \"file\"\npath = \"in\"\n\
         [pipeline.p.sink.out]\ntype = \"file\"\npath = \"out\"\n\
         [pipeline.p.sink.bad]\n{sink}\n"
    ));
    dir.write("in", "a\n");
    dir
}

#[track_caller]
fn refused(dir: &Dir, parts: &[&str]) -> Ended {
    let ended = dir.done().with(2).saying(parts);
    assert!(!dir.has("out") && !dir.has("data"), "something was started");
    ended
}

#[test]
fn an_unknown_key_is_told_with_its_place_and_the_one_that_was_meant() {
    let dir = beside("type = \"null\"\nbatch_sise = 3");
    refused(&dir, &["sump.toml:9:1", "unknown key `batch_sise`", "did you mean `batch_size`?"]);
}

#[test]
fn all_errors_come_at_once() {
    let dir = beside("type = \"null\"\nbatch_size = 0\ntimeout = \"soon\"\nwhen = \"event.mag >\"\n[sourze.x]\na = 1");
    refused(&dir, &["sump.toml:9:14", "sump.toml:10:11", "sump.toml:11:", "sump.toml:12:2", "`source`"]);
}

#[test]
fn a_reference_that_is_not_set_is_told_and_one_that_is_not_is_never_shown() {
    let dir = beside("type = \"file\"\npath = \"${SUMP_TEST_TARGET}\"");
    refused(&dir, &["sump.toml:9:", "SUMP_TEST_TARGET"]);
    let secret = dir.run(["sump.toml"]).env("SUMP_TEST_TARGET", "s3cret{").end().with(2);
    assert!(!secret.errors.contains("s3cret"), "{}", secret.errors);
}

#[test]
fn what_is_no_component_is_refused_with_its_place() {
    let component = |name: &str| format!("type = \"wasm\"\npath = \"{name}\"");
    let dir = beside(&component("missing.wasm"));
    refused(&dir, &["sump.toml:9:8", "missing.wasm"]);

    let dir = beside(&component("text.wasm"));
    dir.write("text.wasm", "this is not a component\n");
    refused(&dir, &["sump.toml:9:8", "text.wasm"]);

    let dir = beside(&component("core.wasm"));
    dir.write("core.wasm", b"\0asm\x01\0\0\0");
    refused(&dir, &["sump.toml:9:8", "core module"]);

    let dir = beside(&component("torn.wasm"));
    let whole = std::fs::read(guest("guest-plain")).unwrap();
    dir.write("torn.wasm", &whole[..whole.len() / 2]);
    refused(&dir, &["sump.toml:9:8", "torn.wasm"]);
}

#[test]
fn a_configuration_that_does_not_fit_the_schema_is_told_with_its_place() {
    let path = guest("http-alerts");
    let dir = beside(&format!("type = \"wasm\"\npath = \"{}\"\nconfig = {{ min_mag = \"strong\" }}", path.display()));
    refused(&dir, &["sump.toml:10:", "min_mag", "url"]);
}

#[test]
fn a_grant_that_cannot_be_given_is_told_with_its_place() {
    let path = guest("csv-by-day");
    let dir = beside(&format!(
        "type = \"wasm\"\npath = \"{}\"\nallow.dirs = [{{ host = \"nowhere\", guest = \"/out\" }}]",
        path.display()
    ));
    refused(&dir, &["sump.toml:10:", "nowhere", "create it"]);
}

#[test]
fn the_command_line_has_places_too() {
    let dir = Dir::new();
    let path = guest("http-alerts");
    let path = path.to_str().unwrap();
    dir.run([path, "--set", "min_mag=strong"]).end().with(2).saying(&["command line:1:", "min_mag"]);
    dir.run([path, "--set", "url"]).end().with(2).saying(&["--set KEY=VALUE"]);
    dir.run([path, "--drain-timeout", "soon"]).end().with(2).saying(&["drain-timeout"]);
    dir.run(["missing.toml"]).end().with(2).saying(&["missing.toml"]);
    dir.run([]).end().with(2).saying(&["Usage"]);
    assert!(!dir.has("data"));
}

#[test]
fn check_finds_what_a_run_would_and_starts_nothing() {
    let dir = beside("type = \"wasm\"\npath = \"missing.wasm\"");
    let ended = dir.sump(["check", "sump.toml"]).end().with(2).saying(&["sump.toml:9:8"]);
    assert_eq!(ended.output, "");
    assert!(!dir.has("out") && !dir.has("data"));
}

#[test]
fn a_data_directory_of_another_version_is_refused() {
    let dir = beside("type = \"null\"");
    std::fs::create_dir(dir.path("data")).unwrap();
    dir.write("data/layout", "sump 99\n");
    dir.done().with(2).saying(&["`sump 99`"]);
    assert!(!dir.has("out"));
}
