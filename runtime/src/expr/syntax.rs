//! From the text of a condition to an expression, and what is said where that fails.

use std::fmt;

use cel::common::ast::SourceInfo;
use cel::parser::{Expression, ParseErrors};

use super::interpret::LIBRARY;

/// The text is not a condition, or not a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// What is wrong, and what was expected.
    pub message: String,
    /// Where, in bytes from the start of the text. `None` where no one place is at fault.
    pub offset: Option<usize>,
}

impl SyntaxError {
    /// The column of the error in `text`, in characters from 1, for a text of one line.
    pub fn column(&self, text: &str) -> Option<usize> {
        let before = text.get(..self.offset?)?;
        Some(before.chars().count() + 1)
    }

    /// Message and column, for readers that keep no place of their own.
    pub(super) fn in_text(&self, text: &str) -> String {
        match self.column(text) {
            Some(column) => format!("{} (column {column})", self.message),
            None => self.message.clone(),
        }
    }
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for SyntaxError {}

/// The expression that a text says, and where its parts stand.
pub(super) fn parse(text: &str) -> Result<(Expression, SourceInfo), SyntaxError> {
    if text.trim().is_empty() {
        return Err(SyntaxError {
            message: "a condition is empty: expected an expression such as `event.mag >= 4.5`".into(),
            offset: Some(0),
        });
    }
    LIBRARY.parser().parse_with_source_info(text).map_err(|errors| first(text, errors))
}

fn first(text: &str, errors: ParseErrors) -> SyntaxError {
    let Some(error) = errors.errors.into_iter().next() else {
        return SyntaxError { message: "not an expression".into(), offset: None };
    };
    SyntaxError { message: error.msg, offset: offset_of(text, error.pos) }
}

/// The byte at a line and column, which count from 1.
fn offset_of(text: &str, (line, column): (isize, isize)) -> Option<usize> {
    let (line, column) = (usize::try_from(line - 1).ok()?, usize::try_from(column - 1).ok()?);
    let start: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
    let rest = text.get(start..)?;
    let within = rest.char_indices().nth(column).map_or(rest.len(), |(at, _)| at);
    Some(start + within)
}
