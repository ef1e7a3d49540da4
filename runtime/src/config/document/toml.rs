//! TOML becomes a tree of values with their places. Several syntax errors are reported at once.

use std::ops::Range;
use std::sync::Arc;

use ::toml::Spanned;
use ::toml::de::{DeTable, DeValue};

use crate::config::diagnostic::Diagnostic;
use crate::config::document::{Node, Table, Value};
use crate::config::place::{Place, Text};

/// Reads a text. What can't be read is reported and left out.
pub(super) fn parse(text: &Arc<Text>, problems: &mut Vec<Diagnostic>) -> Table {
    let (root, errors) = DeTable::parse_recoverable(text.contents());
    let mut faults = Vec::with_capacity(errors.len());
    for error in errors {
        let span = error.span().unwrap_or_default();
        let place = visible(text, &span);
        let word = place.excerpt();
        let bare = !span.is_empty()
            && !word.is_empty()
            && word.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'));
        let help = bare.then(|| format!("text stands in quotes: `\"{word}\"`"));
        let report = Diagnostic::error("config::toml", format!("not TOML: {}", error.message())).at(place, "here");
        problems.push(match help {
            Some(help) => report.help(help),
            None => report,
        });
        faults.push(span);
    }
    let mut reader = Reader { text, faults, problems };
    reader.table(root.get_ref()).0
}

/// What is expected at the end of a line is shown at its last character.
fn visible(text: &Arc<Text>, span: &Range<usize>) -> Place {
    let before = text.contents().get(..span.start).and_then(|head| head.chars().next_back());
    match before {
        Some(last) if span.is_empty() && last != '\n' => Place::new(text, span.start - last.len_utf8()..span.start),
        _ => Place::new(text, span.clone()),
    }
}

struct Reader<'a> {
    text: &'a Arc<Text>,
    /// What could not be read: the parser puts something else there, which no one wrote.
    faults: Vec<Range<usize>>,
    problems: &'a mut Vec<Diagnostic>,
}

impl Reader<'_> {
    /// The table and where its first name stands. The parser sorts names, so that the order in which they were
    /// mentioned, by themselves or by something below them, is made out again from their places.
    fn table(&mut self, written: &DeTable) -> (Table, usize) {
        let mut entries = Vec::with_capacity(written.len());
        for (key, value) in written {
            let at = Place::new(self.text, key.span());
            let (node, first) = self.node(value, &at);
            entries.push((first.min(key.span().start), key.get_ref(), at, node));
        }
        entries.sort_by_key(|(first, ..)| *first);
        let first = entries.first().map_or(usize::MAX, |(first, ..)| *first);
        let mut table = Table::default();
        for (_, key, at, node) in entries {
            table.push(key.as_ref(), at, node);
        }
        (table, first)
    }

    /// The node and where the first name in it stands.
    fn node(&mut self, written: &Spanned<DeValue>, key: &Place) -> (Node, usize) {
        let place = Place::new(self.text, written.span());
        let mut first = usize::MAX;
        let value = match written.get_ref() {
            value if !value.is_table() && !value.is_array() && self.is_faulty(&written.span()) => Value::Unknown,
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Datetime(time) => Value::Text(time.to_string()),
            DeValue::Boolean(bool) => Value::Bool(*bool),
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => Value::Integer(number),
                Err(_) => self.out_of_range(&place),
            },
            DeValue::Float(number) => match number.as_str().parse() {
                Ok(number) => Value::Float(number),
                Err(_) => self.out_of_range(&place),
            },
            DeValue::Array(items) => {
                let mut nodes = Vec::new();
                for item in items.iter() {
                    let (node, begin) = self.node(item, key);
                    first = first.min(begin);
                    nodes.push(node);
                }
                Value::List(nodes)
            }
            DeValue::Table(entries) => {
                let (table, begin) = self.table(entries);
                first = begin;
                // A table that no header names begins where its name does.
                let place = if place.excerpt().is_empty() { key.clone() } else { place };
                return (Node::table(table, place), first);
            }
        };
        (Node::new(value, place), first)
    }

    fn is_faulty(&self, span: &Range<usize>) -> bool {
        self.faults.iter().any(|fault| fault.start >= span.start && fault.end <= span.end)
    }

    fn out_of_range(&mut self, place: &Place) -> Value {
        let message = format!("`{}` is out of range", place.excerpt());
        let help = "whole numbers go up to 9223372036854775807";
        self.problems.push(Diagnostic::error("config::toml", message).at(place.clone(), "too large").help(help));
        Value::Unknown
    }
}
