//! References in values: `${NAME}`, `${NAME:-default}`, `${file:PATH}`. `$${` is a plain `${`.

use std::ops::Range;

use crate::config::diagnostic::Diagnostic;
use crate::config::document::{Environment, Node, Table, Value};

const FORMS: &str = "write `${NAME}`, `${NAME:-default}` or `${file:PATH}`; `$${` is a plain `${`";

/// Replaces each reference by what it stands for. One that stands for nothing is reported, and its value becomes
/// [`Value::Unknown`].
pub(super) fn resolve(table: &mut Table, environment: Environment, problems: &mut Vec<Diagnostic>) {
    for entry in &mut table.entries {
        resolve_node(&mut entry.node, environment, problems);
    }
}

fn resolve_node(node: &mut Node, environment: Environment, problems: &mut Vec<Diagnostic>) {
    let (text, loose) = match &mut node.value {
        Value::Table(table) => return resolve(table, environment, problems),
        Value::List(items) => {
            return items.iter_mut().for_each(|item| resolve_node(item, environment, problems));
        }
        Value::Text(text) if text.contains("${") => (std::mem::take(text), false),
        Value::Loose(text) if text.contains("${") => (std::mem::take(text), true),
        _ => return,
    };
    let mut reader = Reader { environment, faults: Vec::new(), referenced: false };
    let resolved = reader.expand(&text);
    node.value = if !reader.faults.is_empty() {
        Value::Unknown
    } else if loose || reader.referenced {
        Value::Loose(resolved)
    } else {
        Value::Text(resolved)
    };
    for Fault { span, message, help } in reader.faults {
        let place = node.place.of(&text[span]);
        problems.push(Diagnostic::error("config::reference", message).at(place, "stands for nothing").help(help));
    }
    node.written = reader.referenced.then_some(text);
}

struct Fault {
    /// In the text as written.
    span: Range<usize>,
    message: String,
    help: String,
}

struct Reader<'a> {
    environment: Environment<'a>,
    faults: Vec<Fault>,
    referenced: bool,
}

impl Reader<'_> {
    fn expand(&mut self, text: &str) -> String {
        let mut resolved = String::with_capacity(text.len());
        let mut at = 0;
        while let Some(found) = text[at..].find("${") {
            let begin = at + found;
            if text[..begin].ends_with('$') && begin > at {
                resolved.push_str(&text[at..begin - 1]);
                resolved.push_str("${");
                at = begin + 2;
                continue;
            }
            resolved.push_str(&text[at..begin]);
            self.referenced = true;
            let Some(length) = text[begin..].find('}') else {
                self.fault(begin..text.len(), "a reference without its `}`".into(), FORMS.into());
                return resolved;
            };
            let end = begin + length + 1;
            if let Some(value) = self.look_up(&text[begin + 2..end - 1], begin..end) {
                resolved.push_str(&value);
            }
            at = end;
        }
        resolved.push_str(&text[at..]);
        resolved
    }

    fn look_up(&mut self, reference: &str, span: Range<usize>) -> Option<String> {
        if let Some(path) = reference.strip_prefix("file:") {
            return match std::fs::read_to_string(path) {
                // Editors end a file with a newline, which is no part of a token.
                Ok(contents) => Some(contents.trim_end_matches(['\n', '\r']).to_owned()),
                Err(error) => {
                    let message = format!("`{path}` can't be read: {error}");
                    self.fault(span, message, "the path is taken from the working directory".into());
                    None
                }
            };
        }
        let (name, default) = match reference.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (reference, None),
        };
        if !is_name(name) {
            self.fault(span, format!("`${{{reference}}}` is not a reference"), FORMS.into());
            return None;
        }
        let value = (self.environment)(name);
        match (value, default) {
            // As in a shell, a default also stands for what is set to nothing.
            (Some(value), Some(default)) if value.is_empty() => Some(default.to_owned()),
            (Some(value), _) => Some(value),
            (None, Some(default)) => Some(default.to_owned()),
            (None, None) => {
                let help = format!("set it in the environment, or give it a default: `${{{name}:-default}}`");
                self.fault(span, format!("the environment variable `{name}` is not set"), help);
                None
            }
        }
    }

    fn fault(&mut self, span: Range<usize>, message: String, help: String) {
        self.faults.push(Fault { span, message, help });
    }
}

fn is_name(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(text: &str) -> Result<(String, bool), String> {
        let environment = |name: &str| match name {
            "A" => Some("1".to_owned()),
            "EMPTY" => Some(String::new()),
            "NESTED" => Some("${A}".to_owned()),
            _ => None,
        };
        let mut reader = Reader { environment: &environment, faults: Vec::new(), referenced: false };
        let resolved = reader.expand(text);
        match reader.faults.into_iter().next() {
            Some(fault) => Err(format!("{} at {:?}", fault.message, fault.span)),
            None => Ok((resolved, reader.referenced)),
        }
    }

    #[test]
    fn references_are_replaced_once() {
        for (text, expected, referenced) in [
            ("x${A}y${A}", "x1y1", true),
            ("${NONE:-a-b}", "a-b", true),
            ("${NONE:-}", "", true),
            ("${EMPTY:-d}", "d", true),
            ("${EMPTY}", "", true),
            ("${NESTED}", "${A}", true),
            ("$${A}", "${A}", false),
            ("$${A}${A}", "${A}1", true),
            ("$$${A}", "$${A}", false),
            ("{key} $A $", "{key} $A $", false),
        ] {
            assert_eq!(expand(text), Ok((expected.to_owned(), referenced)), "{text}");
        }
    }

    #[test]
    fn what_stands_for_nothing_is_told_where() {
        assert_eq!(expand("ab${NONE}").unwrap_err(), "the environment variable `NONE` is not set at 2..9");
        assert_eq!(expand("${A").unwrap_err(), "a reference without its `}` at 0..3");
        assert_eq!(expand("${}").unwrap_err(), "`${}` is not a reference at 0..3");
        assert_eq!(expand("${1A}").unwrap_err(), "`${1A}` is not a reference at 0..5");
        assert!(expand("${file:/does/not/exist}").unwrap_err().starts_with("`/does/not/exist` can't be read"));
    }
}
