//! What ARCHITECTURE.md promises is tested: each paragraph with **Invariant** ends in `[check: test, …]`.

use std::collections::BTreeSet;

use super::code::{name, words};
use super::{File, Violation, assert_found, assert_none, tree};

const PAGE: &str = "ARCHITECTURE.md";

fn tested(files: &[File]) -> Vec<Violation> {
    let Some(page) = files.iter().find(|file| file.path == PAGE) else {
        let problem = "write down how the parts fit together, and what must hold".to_owned();
        return vec![Violation { path: PAGE.to_owned(), line: 1, problem }];
    };
    let rust = files.iter().filter(|file| file.is_rust());
    let functions: BTreeSet<&str> =
        rust.flat_map(|file| words(&file.code, "fn").map(|byte| name(file.code[byte + 2..].trim_start()))).collect();

    let mut violations = Vec::new();
    for (byte, paragraph) in paragraphs(&page.text).into_iter().filter(|(_, text)| text.contains("**Invariant")) {
        let checks = paragraph.trim_end().strip_suffix(']').and_then(|text| text.rsplit_once("[check:"));
        let Some((_, checks)) = checks else {
            violations
                .push(page.at(byte, "end the paragraph with `[check: test, …]`, the tests that would fail without it"));
            continue;
        };
        for check in checks.split(',').map(|check| check.trim().trim_matches('`')) {
            let test = check.rsplit("::").next().unwrap_or(check);
            if !functions.contains(test) {
                violations.push(
                    page.at(byte, format!("there is no test `{check}`: write it, or name the one that checks this")),
                );
            }
        }
    }
    violations
}

/// Paragraphs and list items, each with the byte where it begins.
fn paragraphs(page: &str) -> Vec<(usize, String)> {
    let mut paragraphs: Vec<(usize, String)> = Vec::new();
    let (mut byte, mut open) = (0, false);
    for line in page.split_inclusive('\n') {
        let text = line.trim();
        let item = text.starts_with("- ") || text.starts_with("* ");
        match paragraphs.last_mut() {
            Some((_, paragraph)) if open && !item => paragraph.push_str(line),
            _ => paragraphs.push((byte, line.to_owned())),
        }
        open = !text.is_empty();
        byte += line.len();
    }
    paragraphs
}

#[test]
fn invariants_have_tests() {
    assert_none(tested(tree()));
}

#[test]
fn an_invariant_without_a_test_is_found() {
    let code = File::new("runtime/src/batch.rs", "mod tests { #[test] fn slices_share() {} }");
    let check = |page: &str| tested(&[File::new(PAGE, page), File::new(&code.path, &code.text)]);
    assert_found(&check("**Invariant**: one.\nTwo. [check: slices_share]\n\nMore.\n"), &[]);
    assert_found(
        &check("# A\n\n**Invariant**: one.\n\n[check: slices_share]\n"),
        &["ARCHITECTURE.md:3: end the paragraph"],
    );
    assert_found(
        &check("- **Invariant** one.\n- **Invariant** two. [check: slices_share]\n"),
        &["ARCHITECTURE.md:1: end"],
    );
    let two = check("**Invariant** [check: `batch::tests::slices_share`,\n`slices_copy`]\n");
    assert_found(&two, &["ARCHITECTURE.md:1: there is no test `slices_copy`"]);
    assert_found(&tested(&[]), &["ARCHITECTURE.md:1: write down"]);
}
