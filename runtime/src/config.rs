//! Configuration: a document (what was written, with its places) becomes a plan (checked, typed, printable).
//!
//! What is wrong is reported all at once, each with its place and what would be accepted. TOML and INI are two
//! notations for the same tree, and files that are named later lie over earlier ones.

mod apart;
mod check;
mod command_line;
mod de;
mod diagnostic;
mod document;
mod place;
mod plan;
mod print;
mod retype;
mod suggest;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

pub use apart::{places_of, read_toml, text_of};
pub use command_line::{CommandLine, from_command_line};
pub use diagnostic::{Diagnostic, Style, render};
pub use document::Environment;
pub use place::{Place, Text};
pub use plan::{
    Connection, ConnectionKind, DeadLetters, DeadLettersTo, Encoder, Match, OnConditionError, Otherwise, Pipeline,
    Plan, Routing, Settings, Sink, SinkKind, Source, SourceKind,
};
pub use print::print;

use document::Document;

/// A plan and the warnings about it, or what is wrong; sorted by place.
pub type Checked = Result<(Plan, Vec<Diagnostic>), Vec<Diagnostic>>;

/// Reads configuration files, the later ones over the earlier. `environment` gives the variables that they refer to.
pub fn load(paths: &[PathBuf], environment: Environment) -> Checked {
    let mut problems = Vec::new();
    let mut texts = Vec::new();
    for path in paths {
        match text_of(path) {
            Ok(text) => texts.push(text),
            Err(problem) => problems.push(problem),
        }
    }
    read(&texts, environment, problems)
}

/// Reads configuration that is in memory already. A text is TOML or INI by the extension of its name.
pub fn load_texts(texts: &[Arc<Text>], environment: Environment) -> Checked {
    read(texts, environment, Vec::new())
}

fn read(texts: &[Arc<Text>], environment: Environment, mut problems: Vec<Diagnostic>) -> Checked {
    let unread = !problems.is_empty();
    let mut document = Document::read(texts, environment, &mut problems);
    document.incomplete |= unread;
    finish(document, problems)
}

fn finish(document: Document, mut problems: Vec<Diagnostic>) -> Checked {
    let plan = check::check(document, &mut problems);
    diagnostic::sort(&mut problems);
    match plan {
        Some(plan) if !problems.iter().any(Diagnostic::is_error) => Ok((plan, problems)),
        _ => Err(problems),
    }
}
