//! The rules of the tree that no compiler checks. `cargo test -p xtask` reads every file as text and checks them.
//!
//! A rule is a function from files to violations. It has two tests: the tree keeps it, and a seeded violation is found,
//! because a rule that cannot fail protects nothing. A violation says what to do instead.

mod code;
mod contract;
mod form;
mod honest;
mod invariants;
mod manifests;
mod portable;
mod reserved;
mod rooms;

use std::fmt;
use std::sync::LazyLock;

use crate::command;

/// A text file of the project.
struct File {
    /// From the root folder, with `/`.
    path: String,
    text: String,
    /// For Rust files the text with comments and literals blanked out, each line in its place; else the text.
    code: String,
}

impl File {
    fn new(path: &str, text: &str) -> File {
        let code = if path.ends_with(".rs") { code::only(text) } else { text.to_owned() };
        File { path: path.to_owned(), text: text.to_owned(), code }
    }

    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// A violation at a byte of the text or the code.
    fn at(&self, byte: usize, problem: impl Into<String>) -> Violation {
        let line = self.text.as_bytes()[..byte].iter().filter(|&&byte| byte == b'\n').count() + 1;
        Violation { path: self.path.clone(), line, problem: problem.into() }
    }
}

/// A broken rule, and what to do about it.
#[derive(Debug)]
struct Violation {
    path: String,
    line: usize,
    problem: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}: {}", self.path, self.line, self.problem)
    }
}

/// Every text file that Git has, or would take in.
fn tree() -> &'static [File] {
    static TREE: LazyLock<Vec<File>> = LazyLock::new(|| {
        let list = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
        let paths = command::read(&mut command::command("git", &list)).expect("the tidy tests need Git and a clone");
        let file = |path: &str| {
            // What is deleted but not yet committed, and what is not text, has no rules.
            let text = std::fs::read(command::root().join(path)).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            text.map(|text| File::new(path, &text))
        };
        let files: Vec<File> = paths.split('\0').filter(|path| !path.is_empty()).filter_map(file).collect();
        assert!(
            files.iter().any(|file| file.path == "xtask/src/tidy.rs"),
            "the list of files is not that of this project"
        );
        files
    });
    &TREE
}

/// Fails with every violation on a line of its own.
#[track_caller]
fn assert_none(violations: Vec<Violation>) {
    let lines: String = violations.iter().map(|violation| format!("\n  {violation}")).collect();
    assert!(violations.is_empty(), "{} broken rules:{lines}", violations.len());
}

/// Fails unless exactly these problems are found, each told by a part of its line `PATH:LINE: PROBLEM`.
#[track_caller]
fn assert_found(violations: &[Violation], expected: &[&str]) {
    let found: Vec<String> = violations.iter().map(Violation::to_string).collect();
    let all = found.len() == expected.len() && found.iter().zip(expected).all(|(line, part)| line.contains(part));
    assert!(all, "expected {expected:#?}, found {found:#?}");
}

/// Files where a rule does not hold, each with the reason. An entry that no longer needs to be there is a violation.
type Exceptions = [(&'static str, &'static str)];

/// Reports `needle` in all `files` but the exceptions.
fn only_in(files: &[File], needle: &str, exceptions: &Exceptions, problem: &str) -> Vec<Violation> {
    let mut violations = Vec::new();
    for file in files.iter().filter(|file| file.is_rust() && exceptions.iter().all(|(path, _)| *path != file.path)) {
        violations.extend(code::words(&file.code, needle).map(|byte| file.at(byte, problem)));
    }
    for (path, _) in exceptions {
        let needed = |file: &File| file.path == *path && code::words(&file.code, needle).next().is_some();
        if !files.iter().any(needed) {
            let problem = format!("`{needle}` is excused here but not there: remove the entry from xtask/src/tidy");
            violations.push(Violation { path: (*path).to_owned(), line: 1, problem });
        }
    }
    violations
}

#[test]
fn an_excuse_that_is_not_needed_is_found() {
    let files = [File::new("a.rs", "unsafe {}"), File::new("b.rs", "unsafe {}"), File::new("c.rs", "// unsafe")];
    let found = only_in(&files, "unsafe", &[("a.rs", "needs it"), ("c.rs", "needed it")], "no");
    assert_found(&found, &["b.rs:1: no", "c.rs:1: `unsafe` is excused"]);
}
