//! Tests that say what they seem to say: none is switched off, cannot fail, or depends on how fast the machine is.

use super::code::{bracketed, words};
use super::{Exceptions, File, Violation, assert_found, assert_none, only_in, tree};

/// Files that wait for another process, which no paused clock can speed up.
const WAITS: &Exceptions = &[
    ("runtime/tests/cli/sump.rs", "looks what a run of the program does"),
    ("xtask/src/crash.rs", "looks what a run of the program does"),
    ("runtime/benches/file.rs", "looks what other programs do, which go on for ever"),
    ("tests/guests/plain/src/lib.rs", "a guest that blocks is what a test is about"),
    ("tests/guests/concurrent/src/lib.rs", "a guest that blocks is what a test is about"),
];

fn honest(file: &File) -> Vec<Violation> {
    if !file.is_rust() {
        return Vec::new();
    }
    let mut violations = Vec::new();
    for byte in words(&file.code, "#[ignore") {
        violations.push(file.at(byte, "a test that never runs is none: mend it, or remove it"));
    }
    for byte in words(&file.code, "#[should_panic") {
        violations.push(file.at(byte, "any panic would pass: return an error and compare it"));
    }
    for byte in words(&file.code, "matches!") {
        let begins_a_line = file.code[..byte].rsplit('\n').next().is_some_and(|before| before.trim().is_empty());
        let call = byte + "matches!".len();
        let behind = &file.code[call + bracketed(&file.code[call..]).len()..];
        if begins_a_line && behind.trim_start().starts_with(';') {
            violations.push(file.at(byte, "this compares and forgets the answer: wrap it in `assert!`"));
        }
    }
    violations
}

fn waiting(files: &[File], exceptions: &Exceptions) -> Vec<Violation> {
    let problem =
        "a test that sleeps is slow, or fails on a slow machine: pause tokio's clock, or wait for the event itself";
    only_in(files, "thread::sleep", exceptions, problem)
}

#[test]
fn every_test_runs_and_can_fail() {
    assert_none(tree().iter().flat_map(honest).collect());
}

#[test]
fn no_test_sleeps() {
    assert_none(waiting(tree(), WAITS));
}

#[test]
fn a_dishonest_test_is_found() {
    let check = |text: &str| honest(&File::new("a.rs", text));
    assert_found(&check("#[test]\n#[ignore = \"slow\"]\nfn a() {}"), &["a.rs:2: a test that never runs"]);
    assert_found(&check("#[should_panic(expected = \"x\")]"), &["a.rs:1: any panic would pass"]);
    assert_found(&check("    matches!(a,\n        Some(_));"), &["a.rs:1: this compares and forgets"]);
    assert_found(&check("fn a() -> bool {\n    matches!(a, Some(_))\n}\nassert!(matches!(a, _));\nlet a =\n"), &[]);
}

#[test]
fn a_sleeping_test_is_found() {
    assert_found(&waiting(&[File::new("tests/a.rs", "std::thread::sleep(d);")], &[]), &["a.rs:1: a test that sleeps"]);
}
