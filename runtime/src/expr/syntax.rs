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
    let offset = offset_of(text, error.pos);
    SyntaxError { message: plain_words(&error.msg, text, offset), offset }
}

/// The byte at a line and column, which count from 1.
fn offset_of(text: &str, (line, column): (isize, isize)) -> Option<usize> {
    let (line, column) = (usize::try_from(line - 1).ok()?, usize::try_from(column - 1).ok()?);
    let start: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
    let rest = text.get(start..)?;
    let within = rest.char_indices().nth(column).map_or(rest.len(), |(at, _)| at);
    Some(start + within)
}

/// Words that can't name a field after a dot.
const WORDS: [&str; 4] = ["false", "in", "null", "true"];

/// What the parser's message means to someone who does not know its grammar.
fn plain_words(message: &str, text: &str, offset: Option<usize>) -> String {
    let message = message.strip_prefix("Syntax error: ").unwrap_or(message);
    let rest = offset.and_then(|offset| text.get(offset..)).unwrap_or_default();
    if message.starts_with("token recognition error") {
        return stray_character(rest);
    }
    let field = rest.trim_start_matches(['.', ' ']);
    if WORDS.contains(&word(field)) && (rest != field || text[..text.len() - rest.len()].ends_with('.')) {
        return format!("`{0}` is a word of CEL: such a field is `event[\"{0}\"]`", word(field));
    }
    let Some((found, expected)) = message.split_once(" expecting ").or_else(|| message.split_once(" at ")) else {
        return message.into();
    };
    if let Some(missing) = found.strip_prefix("missing ") {
        return format!("expected {} {}", quoted(missing), before(rest));
    }
    if !(found.starts_with("mismatched input") || found.starts_with("extraneous input")) {
        return message.into();
    }
    let earlier = offset.and_then(|offset| text.get(..offset)).unwrap_or_default();
    match (word(rest), earlier.split_whitespace().next_back()) {
        ("and" | "AND", _) => "`and` is written `&&`".into(),
        ("or" | "OR", _) => "`or` is written `||`".into(),
        (_, Some("not" | "NOT")) => "`not` is written `!`".into(),
        _ if rest.is_empty() => format!("expected {} before the end", expectation(expected)),
        _ => format!("unexpected {}: expected {}", before(rest).trim_start_matches("before "), expectation(expected)),
    }
}

fn stray_character(rest: &str) -> String {
    match rest.chars().next() {
        Some('=') => "`=` is no operator: `==` compares".into(),
        Some('&') => "`&` is no operator: `&&` is and".into(),
        Some('|') => "`|` is no operator: `||` is or".into(),
        Some(quote @ ('"' | '\'')) => format!("the text has no end: expected `{quote}`"),
        Some(other) => format!("`{other}` has no meaning here: expected an operator or a value"),
        None => "expected more before the end".into(),
    }
}

/// What the parser expects, which it says as a set of tokens.
fn expectation(tokens: &str) -> String {
    if tokens.contains("IDENTIFIER") && tokens.contains("NUM_INT") {
        "a value such as `event.mag`, `4.5` or `\"text\"`".into()
    } else if tokens.contains("'=='") {
        "an operator such as `==` or `&&`, or the end".into()
    } else if tokens.starts_with('{') {
        let tokens = tokens.trim_matches(['{', '}']).split(", ").map(quoted).collect::<Vec<_>>();
        tokens.join(" or ")
    } else {
        quoted(tokens)
    }
}

fn quoted(token: &str) -> String {
    match token {
        "<EOF>" | "'<EOF>'" => "the end".into(),
        "IDENTIFIER" => "a name".into(),
        _ => format!("`{}`", token.trim_matches('\'')),
    }
}

fn before(rest: &str) -> String {
    if rest.is_empty() { "before the end".into() } else { format!("before `{}`", word(rest)) }
}

/// The word, or the one character, that a text begins with.
fn word(text: &str) -> &str {
    let is_part = |part: char| part.is_alphanumeric() || part == '_';
    let end = text.find(|part| !is_part(part)).unwrap_or(text.len());
    if end > 0 { &text[..end] } else { text.chars().next().map_or("", |first| &text[..first.len_utf8()]) }
}
