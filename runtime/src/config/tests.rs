//! Whole configurations, right and wrong.

mod checks;
mod docs;
mod errors;
mod meaning;
mod printing;

use std::sync::Arc;

use expect_test::expect_file;

use crate::config::{Checked, Diagnostic, Style, Text, load_texts, render};

/// The environment of these tests.
fn environment(name: &str) -> Option<String> {
    match name {
        "TOKEN" => Some("hunter2".into()),
        "SIZE" => Some("250".into()),
        "CONDITION" => Some("event.password == 'swordfish' ==>".into()),
        "EMPTY" => Some(String::new()),
        _ => None,
    }
}

/// Reads files of these names and contents.
fn read(files: &[(&str, &str)]) -> Checked {
    let texts: Vec<Arc<Text>> = files.iter().map(|(name, contents)| Text::new(name, (*contents).into())).collect();
    load_texts(&texts, &environment)
}

/// Reads files, and compares what is said about them with `tests/told/NAME.txt`.
fn told(files: &[(&str, &str)], name: &str) {
    match read(files) {
        Ok((_, warnings)) => shown(&warnings, name),
        Err(problems) => shown(&problems, name),
    }
}

/// Compares what is shown with `tests/told/NAME.txt`, which `UPDATE_EXPECT=1` writes.
fn shown(problems: &[Diagnostic], name: &str) {
    expect_file![format!("tests/told/{name}.txt")].assert_eq(&render(problems, Style::Plain));
}
