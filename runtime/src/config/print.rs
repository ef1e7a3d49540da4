//! What was understood, as TOML: every setting that is in effect, defaults included.
//!
//! What was written with a reference is printed as it was written; secrets stay where they are.

use serde::Serialize;

use crate::config::de::fields_of;
use crate::config::document::{Node, Table, Value};
use crate::config::plan::{Connection, Encoder, Pipeline, Plan, Routing, Settings, Sink, Source, table_at};
use crate::delivery;
use crate::source::framing;

/// Prints a plan. Read again, with the same environment, it is the same plan.
pub fn print(plan: &Plan) -> String {
    let root = &plan.document.root;
    let mut printer = Printer { out: String::new(), secrets: Vec::new() };
    collect_secrets(root, &mut printer.secrets);
    printer.settings(&plan.settings, fields_of::<Settings>(), Some(root));
    for connection in &plan.connections {
        printer.connection(connection, table_at(root, &["connection", &connection.name]));
    }
    for source in &plan.sources {
        printer.source(source, table_at(root, &["source", &source.name]));
    }
    for pipeline in &plan.pipelines {
        printer.pipeline(pipeline, table_at(root, &["pipeline", &pipeline.name]));
        for sink in &pipeline.sinks {
            printer.sink(pipeline, sink, plan.sink_table(&pipeline.name, &sink.name));
        }
    }
    printer.out
}

/// What references stand for, and how they are written.
fn collect_secrets(table: &Table, secrets: &mut Vec<(String, String)>) {
    fn of_node(node: &Node, secrets: &mut Vec<(String, String)>) {
        match (&node.written, &node.value) {
            (Some(written), Value::Text(value) | Value::Loose(value)) => secrets.push((value.clone(), written.clone())),
            (_, Value::List(items)) => items.iter().for_each(|item| of_node(item, secrets)),
            (_, Value::Table(table)) => collect_secrets(table, secrets),
            _ => {}
        }
    }
    table.entries().iter().for_each(|entry| of_node(&entry.node, secrets));
}

struct Printer {
    out: String,
    secrets: Vec<(String, String)>,
}

impl Printer {
    fn connection(&mut self, connection: &Connection, written: Option<&Table>) {
        self.header(&["connection", &connection.name]);
        self.line("type", &quote(connection.kind.type_name()));
        self.own(connection.kind.write(), connection.kind.fields(), written);
    }

    fn source(&mut self, source: &Source, written: Option<&Table>) {
        self.header(&["source", &source.name]);
        self.line("type", &quote(source.kind.type_name()));
        if crate::config::SourceKind::FRAMED.contains(&source.kind.type_name()) {
            self.settings(&source.framing, fields_of::<framing::Settings>(), written);
        }
        self.own(source.kind.write(), source.kind.fields(), written);
    }

    fn pipeline(&mut self, pipeline: &Pipeline, written: Option<&Table>) {
        self.header(&["pipeline", &pipeline.name]);
        self.line("source", &quote(&pipeline.source));
        self.settings(&pipeline.routing, fields_of::<Routing>(), written);
    }

    fn sink(&mut self, pipeline: &Pipeline, sink: &Sink, written: Option<&Table>) {
        self.header(&["pipeline", &pipeline.name, "sink", &sink.name]);
        self.line("type", &quote(sink.kind.type_name()));
        if let Some(condition) = written.and_then(|table| table.get("when")) {
            self.line("when", &written_form(condition));
        }
        self.own(sink.kind.write(), sink.kind.fields(), written);
        if let Some(encoder) = &sink.encoder {
            self.encoder(encoder, written.and_then(|table| table.get("encoder")));
        }
        self.settings(&sink.delivery, fields_of::<delivery::Settings>(), written);
    }

    fn encoder(&mut self, encoder: &Encoder, written: Option<&Node>) {
        self.line("encoder.type", &quote(encoder.type_name()));
        match encoder.write() {
            Ok(settings) => {
                let written = written.and_then(Node::as_table);
                for field in encoder.fields() {
                    if let Some(value) = settings.get(*field) {
                        let written = written.and_then(|table| table.get(field));
                        self.entry(&format!("encoder.{}", key(field)), value, written);
                    }
                }
            }
            Err(error) => self.out.push_str(&format!("# can't be printed: {error}\n")),
        }
    }

    fn header(&mut self, path: &[&str]) {
        let path: Vec<String> = path.iter().map(|name| key(name)).collect();
        self.out.push_str(&format!("\n[{}]\n", path.join(".")));
    }

    fn line(&mut self, path: &str, value: &str) {
        self.out.push_str(&format!("{path} = {value}\n"));
    }

    fn settings(&mut self, settings: &impl Serialize, fields: &[&str], written: Option<&Table>) {
        self.own(toml::Table::try_from(settings), fields, written);
    }

    fn own(&mut self, settings: Result<toml::Table, toml::ser::Error>, fields: &[&str], written: Option<&Table>) {
        let settings = match settings {
            Ok(settings) => settings,
            Err(error) => return self.out.push_str(&format!("# can't be printed: {error}\n")),
        };
        for field in fields {
            if let Some(value) = settings.get(*field) {
                self.entry(&key(field), value, written.and_then(|table| table.get(field)));
            }
        }
    }

    /// Tables become keys with dots.
    fn entry(&mut self, path: &str, value: &toml::Value, written: Option<&Node>) {
        match (value, written.map(|node| &node.value)) {
            (toml::Value::Table(table), None | Some(Value::Table(_))) if !table.is_empty() => {
                for (name, value) in table {
                    let written = written.and_then(Node::as_table).and_then(|table| table.get(name));
                    self.entry(&format!("{path}.{}", key(name)), value, written);
                }
            }
            _ => {
                let value = self.inline(value, written);
                self.line(path, &value);
            }
        }
    }

    /// A value as the settings have it, but for what was written with references.
    fn inline(&self, value: &toml::Value, written: Option<&Node>) -> String {
        match (value, written.map(|node| &node.value)) {
            (toml::Value::Table(table), None | Some(Value::Table(_))) => {
                let written = written.and_then(Node::as_table);
                let entry = |(name, value): (&String, &toml::Value)| {
                    format!("{} = {}", key(name), self.inline(value, written.and_then(|table| table.get(name))))
                };
                braces(&table.iter().map(entry).collect::<Vec<_>>())
            }
            (toml::Value::Array(values), Some(Value::List(nodes))) if values.len() == nodes.len() => {
                let both = values.iter().zip(nodes);
                let items: Vec<String> = both.map(|(value, node)| self.inline(value, Some(node))).collect();
                format!("[{}]", items.join(", "))
            }
            _ => match written {
                Some(node) if node.has_references() => written_form(node),
                _ => self.plain(value),
            },
        }
    }

    /// A value that was not written, or without references.
    fn plain(&self, value: &toml::Value) -> String {
        match value {
            toml::Value::String(text) => match self.secrets.iter().find(|(secret, _)| secret == text) {
                // Its key was changed on the way, so that it was not found where it was written.
                Some((_, written)) if !text.is_empty() => quote(written),
                _ => quote(&text.replace("${", "$${")),
            },
            toml::Value::Array(values) => {
                let items: Vec<String> = values.iter().map(|value| self.plain(value)).collect();
                format!("[{}]", items.join(", "))
            }
            toml::Value::Table(_) => self.inline(value, None),
            other => other.to_string(),
        }
    }
}

/// A value as it was written, with its references.
fn written_form(node: &Node) -> String {
    match (&node.written, &node.value) {
        (Some(written), _) => quote(written),
        (None, Value::Text(text) | Value::Loose(text)) => quote(&text.replace("${", "$${")),
        (None, Value::Integer(number)) => number.to_string(),
        (None, Value::Float(number)) => toml::Value::Float(*number).to_string(),
        (None, Value::Bool(bool)) => bool.to_string(),
        (None, Value::List(items)) => {
            format!("[{}]", items.iter().map(written_form).collect::<Vec<_>>().join(", "))
        }
        (None, Value::Table(table)) => {
            let entry =
                |entry: &crate::config::document::Entry| format!("{} = {}", key(&entry.key), written_form(&entry.node));
            braces(&table.entries().iter().map(entry).collect::<Vec<_>>())
        }
        (None, Value::Unknown) => quote(""),
    }
}

fn braces(entries: &[String]) -> String {
    if entries.is_empty() { "{}".into() } else { format!("{{ {} }}", entries.join(", ")) }
}

fn key(name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if !name.is_empty() && name.chars().all(bare) { name.to_owned() } else { quote(name) }
}

/// A basic string of TOML, on one line.
fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
