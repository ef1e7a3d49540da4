//! What was written: a tree of values, each with its place. TOML and INI become the same tree.

mod ini;
mod reference;
mod toml;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::config::diagnostic::Diagnostic;
use crate::config::place::{Place, Text};

/// Gives the value of an environment variable, if it is set.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// How many tables a key with dots may reach into: whoever reads them goes down as deep.
pub(in crate::config) const DEPTH: usize = 32;

/// A value, and where it was written.
#[derive(Clone)]
pub(in crate::config) struct Node {
    /// What it stands for.
    pub(in crate::config) value: Value,
    /// Where it was written: for a table, its header.
    pub(in crate::config) place: Place,
    /// The text with its references, where it has any. It is shown instead of the value, which may be a secret.
    pub(in crate::config) written: Option<String>,
}

/// What was written.
#[derive(Clone, Debug)]
pub(in crate::config) enum Value {
    /// Text and nothing else: a TOML string.
    Text(String),
    /// Text whose type is known by the one who reads it: from INI, from a reference, from the command line.
    Loose(String),
    /// A whole number.
    Integer(i64),
    /// A number with a fraction.
    Float(f64),
    /// Yes or no.
    Bool(bool),
    /// Values in order.
    List(Vec<Node>),
    /// Values by name.
    Table(Table),
    /// What was wrong and is reported already. Whoever reads passes over it.
    Unknown,
}

/// Values by name, in the order in which the names were first mentioned.
#[derive(Clone, Debug, Default)]
pub(in crate::config) struct Table {
    entries: Vec<Entry>,
}

/// A value of a table.
#[derive(Clone, Debug)]
pub(in crate::config) struct Entry {
    /// Its name.
    pub(in crate::config) key: String,
    /// Where the name stands.
    pub(in crate::config) at: Place,
    /// Its value.
    pub(in crate::config) node: Node,
}

/// All that was written, with later files laid over earlier ones.
#[derive(Clone, Debug, Default)]
pub(in crate::config) struct Document {
    /// The top.
    pub(in crate::config) root: Table,
    /// The same before its references were resolved.
    unresolved: Table,
    /// The variables to which they refer.
    variables: Variables,
    /// Parts are missing, because they could not be read. Whoever checks says nothing of what is not there.
    pub(in crate::config) incomplete: bool,
}

/// Names and values of environment variables, which are not for printing.
#[derive(Clone, Default)]
struct Variables(BTreeMap<String, String>);

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Document {
    /// Reads texts, the later ones over the earlier, then resolves their references. Whether one is TOML or INI is
    /// told by the extension of its name.
    pub(in crate::config) fn read(
        texts: &[Arc<Text>],
        environment: Environment,
        problems: &mut Vec<Diagnostic>,
    ) -> Document {
        let before = problems.len();
        let mut root = Table::default();
        for text in texts {
            root.overlay(Document::parse(text, problems));
        }
        let incomplete = problems.len() > before;
        let (unresolved, variables) = (root.clone(), RefCell::new(BTreeMap::new()));
        let remember = |name: &str| {
            let value = environment(name)?;
            variables.borrow_mut().insert(name.to_owned(), value.clone());
            Some(value)
        };
        reference::resolve(&mut root, &remember, problems);
        Document { root, unresolved, variables: Variables(variables.into_inner()), incomplete }
    }

    /// Without references.
    pub(in crate::config) fn new(root: Table, incomplete: bool) -> Document {
        Document { unresolved: root.clone(), variables: Variables::default(), root, incomplete }
    }

    /// Reads a value again: files to which it refers may have changed. None where there is none.
    pub(in crate::config) fn again(&self, path: &[&str], problems: &mut Vec<Diagnostic>) -> Option<Node> {
        let (key, parents) = path.split_last()?;
        let table = parents.iter().try_fold(&self.unresolved, |table, key| table.get(key)?.as_table())?;
        let mut alone = table.only(&[key]);
        reference::resolve(&mut alone, &|name| self.variables.0.get(name).cloned(), problems);
        alone.get(key).cloned()
    }

    /// What one text says, its references as they are written.
    pub(in crate::config) fn parse(text: &Arc<Text>, problems: &mut Vec<Diagnostic>) -> Table {
        match Path::new(text.name()).extension().and_then(|extension| extension.to_str()) {
            Some("toml") => toml::parse(text, problems),
            Some("conf" | "ini") => ini::parse(text, problems),
            _ => {
                let message = format!("`{}` is neither TOML nor INI by its name", text.name());
                let help = "name the file `….toml`, or `….conf` or `….ini`";
                problems.push(Diagnostic::error("config::file", message).help(help));
                Table::default()
            }
        }
    }
}

impl Table {
    /// In the order in which they were first mentioned.
    pub(in crate::config) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// By name.
    pub(in crate::config) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// By name; what is [`Value::Unknown`] too.
    pub(in crate::config) fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.node)
    }

    pub(in crate::config) fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        self.entries.iter_mut().find(|entry| entry.key == key).map(|entry| &mut entry.node)
    }

    /// Adds a value whose name is not there yet.
    pub(in crate::config) fn push(&mut self, key: impl Into<String>, at: Place, node: Node) {
        self.entries.push(Entry { key: key.into(), at, node });
    }

    /// Puts a value where a path of keys leads, making the tables on the way. `Err` with the place of what is
    /// there already.
    pub(in crate::config) fn set(&mut self, path: &[&str], at: &Place, node: Node) -> Result<(), Place> {
        let Some((key, parents)) = path.split_last() else { return Ok(()) };
        let mut table = self;
        for parent in parents {
            table = table.table(parent, at)?;
        }
        if let Some(entry) = table.entry(key) {
            return Err(entry.at.clone());
        }
        table.push(*key, at.clone(), node);
        Ok(())
    }

    /// The table of that name, which is made where it is not there. `Err` with the place of what is there instead.
    fn table(&mut self, key: &str, at: &Place) -> Result<&mut Table, Place> {
        let index = match self.entries.iter().position(|entry| entry.key == key) {
            Some(index) => index,
            None => {
                self.push(key, at.clone(), Node::table(Table::default(), at.clone()));
                self.entries.len() - 1
            }
        };
        let entry = &mut self.entries[index];
        match &mut entry.node.value {
            Value::Table(table) => Ok(table),
            _ => Err(entry.at.clone()),
        }
    }

    /// Lays `later` over this: tables are merged, everything else is replaced.
    fn overlay(&mut self, later: Table) {
        for entry in later.entries {
            let Some(earlier) = self.entries.iter_mut().find(|earlier| earlier.key == entry.key) else {
                self.entries.push(entry);
                continue;
            };
            match (&mut earlier.node.value, entry.node.value) {
                (Value::Table(earlier), Value::Table(later)) => earlier.overlay(later),
                (_, value) => *earlier = Entry { node: Node { value, ..entry.node }, ..entry },
            }
        }
    }

    /// The part of this table whose names are not in `keys`.
    pub(in crate::config) fn without(&self, keys: &[&str]) -> Table {
        let entries = self.entries.iter().filter(|entry| !keys.contains(&entry.key.as_str())).cloned().collect();
        Table { entries }
    }

    /// The part of this table whose names are in `keys`.
    pub(in crate::config) fn only(&self, keys: &[&str]) -> Table {
        let entries = self.entries.iter().filter(|entry| keys.contains(&entry.key.as_str())).cloned().collect();
        Table { entries }
    }
}

impl Node {
    /// A value without references.
    pub(in crate::config) fn new(value: Value, place: Place) -> Node {
        Node { value, place, written: None }
    }

    /// A table.
    pub(in crate::config) fn table(table: Table, place: Place) -> Node {
        Node::new(Value::Table(table), place)
    }

    /// The table that it is.
    pub(in crate::config) fn as_table(&self) -> Option<&Table> {
        match &self.value {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }

    /// Whether it, or something in it, was written with a reference.
    pub(in crate::config) fn has_references(&self) -> bool {
        self.written.is_some()
            || match &self.value {
                Value::List(items) => items.iter().any(Node::has_references),
                Value::Table(table) => table.entries.iter().any(|entry| entry.node.has_references()),
                _ => false,
            }
    }

    /// What it is called in messages.
    pub(in crate::config) fn describe(&self) -> String {
        match (&self.written, &self.value) {
            (Some(text), _) | (None, Value::Text(text) | Value::Loose(text)) => format!("`{text}`"),
            (None, Value::Integer(number)) => format!("`{number}`"),
            (None, Value::Float(number)) => format!("`{number}`"),
            (None, Value::Bool(bool)) => format!("`{bool}`"),
            (None, Value::List(_)) => "a list".into(),
            (None, Value::Table(_)) => "a table".into(),
            (None, Value::Unknown) => "nothing".into(),
        }
    }
}

/// Shows references instead of what they stand for.
impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match &self.written {
            Some(written) => fmt::Debug::fmt(written, f),
            None => fmt::Debug::fmt(&self.value, f),
        }
    }
}
