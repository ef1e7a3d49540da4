//! TOML becomes a tree of values with their places. Several syntax errors are reported at once.

use std::sync::Arc;

use ::toml::Spanned;
use ::toml::de::{DeTable, DeValue};

use crate::config::diagnostic::Diagnostic;
use crate::config::document::{Node, Table, Value};
use crate::config::place::{Place, Text};

/// Reads a text. What can't be read is reported and left out.
pub(super) fn parse(text: &Arc<Text>, problems: &mut Vec<Diagnostic>) -> Table {
    let (root, errors) = DeTable::parse_recoverable(text.contents());
    for error in errors {
        let place = Place::new(text, error.span().unwrap_or_default());
        problems.push(Diagnostic::error("config::toml", format!("not TOML: {}", error.message())).at(place, "here"));
    }
    let mut reader = Reader { text, problems };
    reader.table(root.get_ref()).0
}

struct Reader<'a> {
    text: &'a Arc<Text>,
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

    fn out_of_range(&mut self, place: &Place) -> Value {
        let message = format!("`{}` is out of range", place.excerpt());
        let help = "whole numbers go up to 9223372036854775807";
        self.problems.push(Diagnostic::error("config::toml", message).at(place.clone(), "too large").help(help));
        Value::Unknown
    }
}
