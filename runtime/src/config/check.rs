//! A document becomes a plan, or a list of all that is wrong with it.

mod across;
mod bounds;
mod encoder;
mod exactly_once;

use crate::config::de::{Subject, fields_of, missing, read, read_what_is_right};
use crate::config::diagnostic::Diagnostic;
use crate::config::document::{Document, Entry, Node, Table, Value};
use crate::config::plan::{
    Connection, ConnectionKind, Pipeline, Plan, Routing, Settings, Sink, SinkKind, Source, SourceKind,
};
use crate::config::suggest;
use crate::delivery;
use crate::expr;
use crate::source::framing;

/// Keys at the top that are not settings but hold tables by name.
const BY_NAME: &[&str] = &["source", "pipeline", "connection"];
/// Keys of a pipeline that are read apart from its routing.
const OF_PIPELINE: &[&str] = &["source", "sink"];
/// Keys of a sink that are neither its own nor about delivery.
const OF_SINK: &[&str] = &["type", "when", "encoder"];

/// What is reported goes to `problems`. A plan is given if nothing that it needs was wrong.
pub(super) fn check(document: Document, problems: &mut Vec<Diagnostic>) -> Option<Plan> {
    let mut checker = Checker { incomplete: document.incomplete, connections: Vec::new(), problems };
    let settings = checker.top(&document.root);
    let connections = checker.connections(&document.root);
    let sources = checker.sources(&document.root);
    let pipelines = checker.pipelines(&document.root, &sources);
    checker.connections_that_no_one_uses(&document.root);
    across::check(&document.root, settings.as_ref(), &sources, &pipelines, checker.problems);
    let sources = sources.into_iter().map(|found| found.source).collect::<Option<_>>()?;
    let pipelines = pipelines.into_iter().collect::<Option<_>>()?;
    Some(Plan { settings: settings?, connections: connections?, sources, pipelines, document })
}

struct Checker<'a> {
    /// Parts of the document could not be read: nothing is said to be missing.
    incomplete: bool,
    /// The names of all connections that are written, whether or not they are right, and whether they are used.
    connections: Vec<(String, bool)>,
    problems: &'a mut Vec<Diagnostic>,
}

/// A source that is written, whether or not it is right.
struct FoundSource {
    name: String,
    source: Option<Source>,
}

impl Checker<'_> {
    fn top(&mut self, root: &Table) -> Option<Settings> {
        let place = root.entries().first().map(|entry| entry.at.clone())?;
        let own = root.without(BY_NAME);
        let subject = Subject { name: "the top of the configuration", also: BY_NAME, incomplete: self.incomplete };
        let (settings, faultless) = read_what_is_right(&Node::table(own, place), &subject, self.problems);
        settings.filter(|settings| bounds::top(settings, root, self.problems) && faultless)
    }

    fn connections(&mut self, root: &Table) -> Option<Vec<Connection>> {
        if root.get("connection").is_some_and(|connections| connections.as_table().is_none()) {
            self.incomplete = true;
        }
        let mut connections = Vec::new();
        for entry in self.tables_in(root, "connection") {
            self.connections.push((entry.key.clone(), false));
            connections.push(self.connection(entry));
        }
        connections.into_iter().collect()
    }

    fn connection(&mut self, entry: &Entry) -> Option<Connection> {
        let owner = format!("connection `{}`", entry.key);
        let table = self.table(entry, &owner)?;
        let named = self.name(entry, "a connection");
        let word = match table.get("type") {
            Some(_) => self.kind(table, &entry.node, &owner, "connection", ConnectionKind::TYPES)?,
            None => ConnectionKind::USUAL,
        };
        let subject = Subject { name: &owner, also: &["type"], incomplete: self.incomplete };
        let own = Node::table(table.without(&["type"]), entry.node.place.clone());
        let kind = ConnectionKind::read(word, &own, &subject, self.problems);
        named.then_some(Connection { name: entry.key.clone(), kind: kind? })
    }

    /// The connection that a source or a sink names is there. Whether it is.
    fn uses_connection(&mut self, table: &Table) -> bool {
        // Whoever needs one says so where it is missing.
        let Some(written) = table.entry("connection") else { return true };
        let Some(name) = self.text(written, "the name of a connection") else { return false };
        if let Some((_, used)) = self.connections.iter_mut().find(|(known, _)| known == name) {
            *used = true;
            return true;
        }
        if !self.incomplete {
            let names: Vec<&str> = self.connections.iter().map(|(name, _)| name.as_str()).collect();
            let help = match names.as_slice() {
                [] => format!("add a section `[connection.{name}]`"),
                names => suggest::remedy(name, names, "the connections are"),
            };
            let message = format!("there is no connection {}", written.node.describe());
            let error = Diagnostic::error("config::unknown_connection", message)
                .at(written.node.place.clone(), "not among the connections")
                .help(help);
            self.problems.push(error);
        }
        false
    }

    fn connections_that_no_one_uses(&mut self, root: &Table) {
        for (name, _) in self.connections.iter().filter(|(_, used)| !used) {
            let warning = Diagnostic::warning("config::unused", format!("connection `{name}` is not used"));
            let entry = root.get("connection").and_then(Node::as_table).and_then(|table| table.entry(name));
            let warning = match entry {
                Some(entry) => warning.at(entry.at.clone(), "no source and no sink names it"),
                None => warning,
            };
            let help = format!("add `connection = \"{name}\"` to a source or a sink of type `kafka`, or remove it");
            self.problems.push(warning.help(help));
        }
    }

    fn sources(&mut self, root: &Table) -> Vec<FoundSource> {
        let mut sources = Vec::new();
        if root.get("source").is_some_and(|sources| sources.as_table().is_none()) {
            // No one can know then which there are.
            self.incomplete = true;
        }
        for entry in self.tables_in(root, "source") {
            let source = self.source(entry);
            sources.push(FoundSource { name: entry.key.clone(), source });
        }
        sources
    }

    fn source(&mut self, entry: &Entry) -> Option<Source> {
        let owner = format!("source `{}`", entry.key);
        let table = self.table(entry, &owner)?;
        let named = self.name(entry, "a source");
        let place = &entry.node.place;
        let word = self.kind(table, &entry.node, &owner, "source", SourceKind::TYPES)?;
        let framed: &[&str] = if SourceKind::FRAMED.contains(&word) { fields_of::<framing::Settings>() } else { &[] };
        let subject = Subject { name: &owner, also: &[], incomplete: self.incomplete };
        let framing = read(&Node::table(table.only(framed), place.clone()), &subject, self.problems);
        let common = [framed, &["type"]].concat();
        let subject = Subject { name: &owner, also: &common, incomplete: self.incomplete };
        let own = Node::table(table.without(&common), place.clone());
        let kind = SourceKind::read(word, &own, &subject, self.problems);
        let connected = !SourceKind::CONNECTED.contains(&word) || self.uses_connection(table);
        (named && connected).then_some(Source { name: entry.key.clone(), framing: framing?, kind: kind? })
    }

    fn pipelines(&mut self, root: &Table, sources: &[FoundSource]) -> Vec<Option<Pipeline>> {
        let pipelines = self.tables_in(root, "pipeline");
        if pipelines.is_empty() && !self.incomplete && root.get("pipeline").is_none() {
            let error = Diagnostic::error("config::missing", "there is no pipeline")
                .help("add `[pipeline.NAME]` with a `source`, and a sink in `[pipeline.NAME.sink.NAME]`");
            self.problems.push(error);
        }
        pipelines.iter().map(|entry| self.pipeline(entry, sources)).collect()
    }

    fn pipeline(&mut self, entry: &Entry, sources: &[FoundSource]) -> Option<Pipeline> {
        let owner = format!("pipeline `{}`", entry.key);
        let table = self.table(entry, &owner)?;
        let named = self.name(entry, "a pipeline");
        let subject = Subject { name: &owner, also: OF_PIPELINE, incomplete: self.incomplete };
        let own = Node::table(table.without(OF_PIPELINE), entry.node.place.clone());
        let routing: Option<Routing> = read(&own, &subject, self.problems);
        let source = self.source_of(table, entry, sources);
        let written = self.tables_in(table, "sink");
        if written.is_empty() && !self.incomplete && table.get("sink").is_none() {
            let error = Diagnostic::error("config::missing", format!("{owner} has no sink"))
                .at(entry.node.place.clone(), "its events would go nowhere")
                .help(format!("add `[pipeline.{}.sink.NAME]`; `type = \"null\"` only counts", entry.key));
            self.problems.push(error);
        }
        let sinks: Vec<Option<Sink>> = written.iter().map(|sink| self.sink(sink, &owner, sources)).collect();
        let sinks = sinks.into_iter().collect::<Option<Vec<_>>>();
        named.then_some(Pipeline { name: entry.key.clone(), source: source?, routing: routing?, sinks: sinks? })
    }

    /// The name of the source that a pipeline reads, which is there.
    fn source_of(&mut self, table: &Table, entry: &Entry, sources: &[FoundSource]) -> Option<String> {
        let names: Vec<&str> = sources.iter().map(|source| source.name.as_str()).collect();
        let Some(written) = table.entry("source") else {
            return match names.as_slice() {
                [only] => Some((*only).to_owned()),
                _ if self.incomplete => None,
                [] => {
                    let error = missing("source", entry.node.place.clone(), &format!("pipeline `{}`", entry.key));
                    let help = "add a source such as `[source.input]` with `type = \"stdin\"`";
                    self.problems.push(error.help(help));
                    None
                }
                several => {
                    let error = missing("source", entry.node.place.clone(), &format!("pipeline `{}`", entry.key));
                    let help = format!("there are several: add `source = …` with one of {}", suggest::list(several));
                    self.problems.push(error.help(help));
                    None
                }
            };
        };
        let name = self.text(written, "the name of a source")?;
        if names.contains(&name) {
            return Some(name.to_owned());
        }
        if !self.incomplete {
            let shown = written.node.describe();
            let help = match names.as_slice() {
                [] => format!("add a section `[source.{name}]`"),
                names => suggest::remedy(name, names, "the sources are"),
            };
            let error = Diagnostic::error("config::unknown_source", format!("there is no source {shown}"))
                .at(written.node.place.clone(), "not among the sources")
                .help(help);
            self.problems.push(error);
        }
        None
    }

    fn sink(&mut self, entry: &Entry, pipeline: &str, sources: &[FoundSource]) -> Option<Sink> {
        let owner = format!("sink `{}` of {pipeline}", entry.key);
        let table = self.table(entry, &owner)?;
        let named = self.name(entry, "a sink");
        let place = &entry.node.place;
        let about_delivery = fields_of::<delivery::Settings>();
        let subject = Subject { name: &owner, also: &[], incomplete: self.incomplete };
        let shared = Node::table(table.only(about_delivery), place.clone());
        let (delivery, faultless) = read_what_is_right(&shared, &subject, self.problems);
        let delivery = delivery.filter(|settings| bounds::check(settings, table, place, self.problems) && faultless);
        let when = self.when(table);
        if table.get("type").is_none() && sources.iter().any(|source| source.name == entry.key) && !self.incomplete {
            let error = Diagnostic::error("config::missing", format!("{owner} has no `type`"))
                .at(place.clone(), "a source has this name, no sink")
                .help(format!("the settings of a source belong into `[source:{}]`", entry.key));
            self.problems.push(error);
            return None;
        }
        let word = self.kind(table, &entry.node, &owner, "sink", SinkKind::TYPES)?;
        let common = [about_delivery, OF_SINK].concat();
        let subject = Subject { name: &owner, also: &common, incomplete: self.incomplete };
        let own = Node::table(table.without(&common), place.clone());
        let kind = SinkKind::read(word, &own, &subject, self.problems);
        let encoder = self.encoder(table, word, &owner);
        let connected = !SinkKind::CONNECTED.contains(&word) || self.uses_connection(table);
        (named && connected).then_some(Sink {
            name: entry.key.clone(),
            when: when?,
            delivery: delivery?,
            encoder: encoder?,
            kind: kind?,
        })
    }

    /// `Some(None)` where there is no condition, None where there is a wrong one.
    fn when(&mut self, table: &Table) -> Option<Option<expr::Condition>> {
        let Some(entry) = table.entry("when") else { return Some(None) };
        let text = self.text(entry, "a condition such as `event.mag >= 4.5`")?;
        match expr::Condition::parse(text) {
            Ok(condition) => Some(Some(condition)),
            Err(error) => {
                let place = entry.node.place.clone();
                let diagnostic = match &entry.node.written {
                    Some(written) => Diagnostic::error("config::condition", format!("`{written}` is not a condition"))
                        .at(place, "what it stands for can't be read"),
                    None => {
                        let place = error.offset.map_or_else(|| place.clone(), |offset| place.at(text, offset));
                        let message = format!("not a condition: {}", error.message);
                        Diagnostic::error("config::condition", message).at(place, "here")
                    }
                };
                self.problems.push(diagnostic.help("write a condition in CEL, such as `event.mag >= 4.5`"));
                None
            }
        }
    }

    /// Which kind `type` names.
    fn kind(
        &mut self,
        table: &Table,
        node: &Node,
        owner: &str,
        what: &str,
        known: &'static [&'static str],
    ) -> Option<&'static str> {
        let Some(entry) = table.entry("type") else {
            if !self.incomplete {
                let help = format!("add `type = …` with one of {}", suggest::list(known));
                self.problems.push(missing("type", node.place.clone(), owner).help(help));
            }
            return None;
        };
        self.word(entry, what, known)
    }

    /// Which of the known words an entry is.
    fn word(&mut self, entry: &Entry, what: &str, known: &'static [&'static str]) -> Option<&'static str> {
        let word = self.text(entry, &format!("a type of {what}"))?;
        let found = known.iter().find(|known| **known == word).copied();
        if found.is_none() {
            let message = format!("there is no {what} of type {}", entry.node.describe());
            let near = suggest::near(word, known).map(|near| format!("did you mean `{near}`? "));
            let help = format!("{}the types are {}", near.unwrap_or_default(), suggest::list(known));
            let error = Diagnostic::error("config::type", message).at(entry.node.place.clone(), "not a type");
            self.problems.push(error.help(help));
        }
        found
    }

    /// The entries of the table `key`, or none, if it is something else.
    fn tables_in<'t>(&mut self, table: &'t Table, key: &str) -> Vec<&'t Entry> {
        let Some(entry) = table.entry(key) else { return Vec::new() };
        match self.table(entry, "the configuration") {
            Some(table) => table.entries().iter().collect(),
            None => Vec::new(),
        }
    }

    fn table<'t>(&mut self, entry: &'t Entry, owner: &str) -> Option<&'t Table> {
        match &entry.node.value {
            Value::Table(table) => return Some(table),
            Value::Unknown => {}
            _ => {
                let error = Diagnostic::error("config::value", format!("`{}` is not a table", entry.key))
                    .at(entry.node.place.clone(), format!("{owner} needs a table here"))
                    .help("write a section, such as `[source.NAME]` or `[pipeline.NAME.sink.NAME]`");
                self.problems.push(error);
            }
        }
        None
    }

    fn text<'t>(&mut self, entry: &'t Entry, expected: &str) -> Option<&'t str> {
        match &entry.node.value {
            Value::Text(text) | Value::Loose(text) => return Some(text),
            Value::Unknown => {}
            _ => {
                let message = format!("`{}` does not take {}", entry.key, entry.node.describe());
                let error = Diagnostic::error("config::value", message)
                    .at(entry.node.place.clone(), "not text")
                    .help(format!("write {expected} in quotes"));
                self.problems.push(error);
            }
        }
        None
    }

    /// Names end up in paths, in labels of metrics and in identifiers: they are plain.
    fn name(&mut self, entry: &Entry, what: &str) -> bool {
        let name = &entry.key;
        if is_name(name) {
            return true;
        }
        let error = Diagnostic::error("config::name", format!("`{name}` can't be the name of {what}"))
            .at(entry.at.clone(), "not a name")
            .help("use letters, digits, `_`, `-` and `.`, which is not first; at most 100 bytes");
        self.problems.push(error);
        false
    }
}

/// Whether something may be called so.
fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    !name.is_empty() && name.len() <= 100 && name.chars().all(plain) && !name.starts_with('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_one_table_that_are_read_apart_have_different_names() {
        let shared = [fields_of::<delivery::Settings>(), OF_SINK].concat();
        for own in SinkKind::all_fields() {
            assert!(own.iter().all(|key| !shared.contains(key)), "{own:?}");
        }
        let shared = [fields_of::<framing::Settings>(), &["type"]].concat();
        for (word, own) in SourceKind::TYPES.iter().zip(SourceKind::all_fields()) {
            let also = if SourceKind::FRAMED.contains(word) { &shared[..] } else { &["type"] };
            assert!(own.iter().all(|key| !also.contains(key)), "{own:?}");
        }
        assert!(fields_of::<Routing>().iter().all(|key| !OF_PIPELINE.contains(key)));
        assert!(fields_of::<Settings>().iter().all(|key| !BY_NAME.contains(key)));
        assert!(SourceKind::FRAMED.iter().all(|word| SourceKind::TYPES.contains(word)));
        assert!(ConnectionKind::all_fields().iter().all(|own| !own.contains(&"type")));
        assert!(ConnectionKind::TYPES.contains(&ConnectionKind::USUAL));
    }
}
