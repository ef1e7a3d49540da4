//! The form of Rust files: what they begin with, how long they and their functions are, where they lie.

use super::code::{bracketed, name, words};
use super::{File, Violation, assert_found, assert_none, tree};

const FILE_LINES: usize = 600;
const FUNCTION_LINES: usize = 80;

/// The first line of a file that a program wrote. Such a file has no form to keep.
const GENERATED: &str = "// @generated";

/// Promises that nobody keeps.
const PROMISES: [&str; 2] = [concat!("TO", "DO"), concat!("FIX", "ME")];

fn form(file: &File) -> Vec<Violation> {
    if !file.is_rust() || file.text.starts_with(GENERATED) {
        return Vec::new();
    }
    let mut violations = Vec::new();
    if !file.text.starts_with("//! ") {
        violations.push(file.at(0, "begin with a line `//! …` that says what the file is"));
    }
    if file.path.ends_with("/mod.rs") {
        violations.push(file.at(0, "name the file after its module, `foo.rs` beside the folder `foo/`"));
    }
    let lines = file.text.lines().count();
    if lines > FILE_LINES {
        violations.push(
            file.at(
                0,
                format!("{lines} lines: a file does one thing in {FILE_LINES}; split it by what its parts know"),
            ),
        );
    }
    for promise in PROMISES {
        let problem = "do it now, or write an issue: a promise in the code is forgotten";
        violations.extend(words(&file.text, promise).map(|byte| file.at(byte, problem)));
    }
    violations.extend(long_functions(file));
    violations
}

fn long_functions(file: &File) -> Vec<Violation> {
    let mut violations = Vec::new();
    for byte in words(&file.code, "fn") {
        let code = &file.code[byte..];
        let name = name(code["fn".len()..].trim_start());
        let Some(body) = body_of(code).filter(|_| !name.is_empty()) else { continue };
        let lines = code[..body.end].lines().count();
        if lines > FUNCTION_LINES {
            let problem =
                format!("`{name}` has {lines} lines, more than {FUNCTION_LINES}: give its steps names of their own");
            violations.push(file.at(byte, problem));
        }
    }
    violations
}

/// The braces after a function's signature, unless it is only declared.
fn body_of(function: &str) -> Option<std::ops::Range<usize>> {
    let mut depth = 0_usize;
    for (at, byte) in function.bytes().enumerate() {
        match byte {
            b'(' | b'[' => depth += 1,
            // A type such as `fn()` in an argument list ends with it.
            b')' | b']' => depth = depth.checked_sub(1)?,
            b'{' if depth == 0 => return Some(at..at + bracketed(&function[at..]).len()),
            b';' if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

#[test]
fn files_have_the_form_of_the_project() {
    assert_none(tree().iter().flat_map(form).collect());
}

#[test]
fn a_file_without_form_is_found() {
    let check = |path: &str, text: &str| form(&File::new(path, text));
    assert_found(&check("a.rs", "//! Fine.\nfn a() {}\n"), &[]);
    assert_found(&check("a.rs", "use std::io;\n"), &["a.rs:1: begin with a line"]);
    assert_found(&check("a.rs", "// @generated\nuse std::io;\n"), &[]);
    assert_found(&check("a/mod.rs", "//! Fine.\n"), &["a/mod.rs:1: name the file after its module"]);
    assert_found(&check("a.rs", &format!("//! Fine.\n// {}: later\n", PROMISES[0])), &["a.rs:2: do it now"]);
    assert_found(&check("a.rs", &format!("//! Fine.\n{}", "\n".repeat(FILE_LINES - 1))), &[]);
    assert_found(&check("a.rs", &format!("//! Fine.\n{}", "\n".repeat(FILE_LINES))), &["a.rs:1: 601 lines"]);
}

#[test]
fn a_long_function_is_found() {
    let check = |lines: usize| {
        let signature = "fn a<T>(f: [u8; 3], g: fn(u8) -> u8) -> T\nwhere T: B {\n";
        let body = "    step(\"{\");\n".repeat(lines - 3);
        form(&File::new("a.rs", &format!("//! Fine.\n{signature}{body}}}\n")))
    };
    assert_found(&check(FUNCTION_LINES), &[]);
    assert_found(&check(FUNCTION_LINES + 1), &["a.rs:2: `a` has 81 lines"]);
}

#[test]
fn a_declaration_is_no_function() {
    let text =
        format!("//! Fine.\ntrait A {{ fn a(&self); }}\nmod b {{\n{}}}\n", "const C: u8 = 0;\n".repeat(FUNCTION_LINES));
    assert_found(&form(&File::new("a.rs", &text)), &[]);
}
