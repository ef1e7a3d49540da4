//! Reads a struct and reports all that is wrong with it, not only what serde meets first.

use serde::de::DeserializeOwned;

use crate::config::de::De;
use crate::config::de::error::{Error, Step, What};
use crate::config::diagnostic::Diagnostic;
use crate::config::document::{Entry, Node, Value};
use crate::config::place::Place;
use crate::config::suggest;

/// What is read, for messages.
pub(in crate::config) struct Subject<'a> {
    /// Such as "sink `alerts`".
    pub(in crate::config) name: &'a str,
    /// Keys that are read apart from the struct, and so are known too.
    pub(in crate::config) also: &'a [&'a str],
    /// Say nothing of what is missing.
    pub(in crate::config) incomplete: bool,
}

/// Reads a `T` from a table. Each error is reported at its place; whatever is wrong is then left out and reading tried
/// again, until there is nothing more to say. None if anything was reported.
pub(in crate::config) fn read<T: DeserializeOwned>(
    node: &Node,
    subject: &Subject,
    problems: &mut Vec<Diagnostic>,
) -> Option<T> {
    let mut rest = node.clone();
    let mut faultless = true;
    loop {
        let error = match T::deserialize(De(&rest)) {
            Ok(read) => return faultless.then_some(read),
            Err(error) => error,
        };
        faultless = false;
        let spot = Spot::find(&rest, &error.path());
        if !spot.is_silenced(&error, subject) {
            problems.push(spot.report(&error, subject));
        }
        if error.path().is_empty() || !leave_out(&mut rest, &error.path()) {
            return None;
        }
    }
}

/// Where an error arose: as far along its path as there is something written.
struct Spot<'a> {
    /// The keys on the way, with dots.
    name: String,
    entry: Option<&'a Entry>,
    node: &'a Node,
}

impl<'a> Spot<'a> {
    fn find(root: &'a Node, path: &[Step]) -> Spot<'a> {
        let mut spot = Spot { name: String::new(), entry: None, node: root };
        for step in path {
            match (step, &spot.node.value) {
                (Step::Key(key), Value::Table(table)) => {
                    let Some(entry) = table.entry(key) else { break };
                    let dot = if spot.name.is_empty() { "" } else { "." };
                    spot = Spot { name: format!("{}{dot}{key}", spot.name), entry: Some(entry), node: &entry.node };
                }
                (Step::Index(index), Value::List(items)) => {
                    let Some(item) = items.get(*index) else { break };
                    spot.node = item;
                }
                _ => break,
            }
        }
        spot
    }

    /// What is missing only because it was wrong, and was reported as that, is not missing.
    fn is_silenced(&self, error: &Error, subject: &Subject) -> bool {
        match &error.what {
            What::Missing { key } => {
                subject.incomplete || self.node.as_table().is_some_and(|table| table.get(key).is_some())
            }
            _ => false,
        }
    }

    fn report(&self, error: &Error, subject: &Subject) -> Diagnostic {
        let name = &self.name;
        let value = self.node.place.clone();
        match &error.what {
            What::UnknownKey { known } => {
                let key = self.entry.map_or(name.as_str(), |entry| entry.key.as_str());
                let at = self.entry.map_or(value, |entry| entry.at.clone());
                let nested = name.contains('.') || self.entry.is_none();
                let known: Vec<&str> = if nested { known.to_vec() } else { [known, subject.also].concat() };
                unknown_key(key, at, subject.name, &known)
            }
            What::Missing { key } => {
                let whole = if name.is_empty() { (*key).to_owned() } else { format!("{name}.{key}") };
                missing(&whole, value, subject.name)
            }
            What::Unfit { found, expected } => {
                let found = self.shown(found);
                Diagnostic::error("config::value", format!("`{name}` does not take {found}"))
                    .at(value, format!("not {expected}"))
                    .help(format!("write {expected}"))
            }
            What::NotOneOf { found, known } => {
                let found = self.shown(found);
                Diagnostic::error("config::value", format!("`{name}` does not take {found}"))
                    .at(value, "not one of its words")
                    .help(suggest::remedy(found.trim_matches('`'), known, "it takes"))
            }
            What::Message(message) => self.custom(message),
        }
    }

    /// Words of the struct that was read. Most name what would be accepted after a colon.
    fn custom(&self, message: &str) -> Diagnostic {
        let message = self.without_secrets(message);
        let (message, help) = match message.split_once(": ") {
            Some((message, help)) => (message.to_owned(), Some(help.to_owned())),
            None => (message, None),
        };
        let message = if self.name.is_empty() { message } else { format!("`{}`: {message}", self.name) };
        let error = Diagnostic::error("config::value", message).at(self.node.place.clone(), "not accepted");
        match help {
            Some(help) => error.help(help),
            None => error,
        }
    }

    /// The value, or the reference that stands for it.
    fn shown(&self, found: &str) -> String {
        if self.node.written.is_some() { self.node.describe() } else { found.to_owned() }
    }

    fn without_secrets(&self, message: &str) -> String {
        if let (Some(written), Value::Text(value) | Value::Loose(value)) = (&self.node.written, &self.node.value)
            && (value.trim().is_empty() || !message.contains(value.trim()))
        {
            // Who knows how it is quoted.
            return format!("what `{written}` stands for is not accepted");
        }
        let mut message = message.to_owned();
        hide(self.node, &mut message);
        message
    }
}

/// Replaces whatever came from a reference by the reference.
fn hide(node: &Node, message: &mut String) {
    match (&node.written, &node.value) {
        (Some(written), Value::Text(value) | Value::Loose(value)) if !value.trim().is_empty() => {
            *message = message.replace(value.trim(), written);
        }
        (_, Value::List(items)) => items.iter().for_each(|item| hide(item, message)),
        (_, Value::Table(table)) => table.entries().iter().for_each(|entry| hide(&entry.node, message)),
        _ => {}
    }
}

/// Something stands under a name that is not known.
fn unknown_key(key: &str, at: Place, owner: &str, known: &[&str]) -> Diagnostic {
    Diagnostic::error("config::unknown_key", format!("unknown key `{key}`"))
        .at(at, format!("{owner} has no such setting"))
        .help(suggest::remedy(key, known, "its keys are"))
}

/// Something that must be there is not.
pub(in crate::config) fn missing(key: &str, at: Place, owner: &str) -> Diagnostic {
    Diagnostic::error("config::missing", format!("`{key}` is missing"))
        .at(at, format!("{owner} needs it"))
        .help(format!("add `{key} = …`"))
}

/// Makes the value that the path leads to unknown. False where that changes nothing, so that reading again is in vain.
fn leave_out(node: &mut Node, path: &[Step]) -> bool {
    let Some((step, rest)) = path.split_first() else {
        let told = !matches!(node.value, Value::Unknown);
        node.value = Value::Unknown;
        return told;
    };
    if matches!((step, &node.value), (Step::Index(_), Value::Loose(_))) {
        // An item of a list in plain text goes with the whole list.
        return leave_out(node, &[]);
    }
    let next = match (step, &mut node.value) {
        (Step::Key(key), Value::Table(table)) => table.get_mut(key),
        (Step::Index(index), Value::List(items)) => items.get_mut(*index),
        _ => None,
    };
    next.is_some_and(|next| leave_out(next, rest))
}
