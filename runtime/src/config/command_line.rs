//! A configuration without any file: `sump run SINK.wasm --set key=value --allow-http URL`.

use std::path::Path;
use std::sync::Arc;

use crate::config::Checked;
use crate::config::diagnostic::Diagnostic;
use crate::config::document::{DEPTH, Document, Node, Table, Value};
use crate::config::finish;
use crate::config::place::{Place, Text};

/// What stands on the command line, each as it was given.
#[derive(Clone, Copy, Debug, Default)]
pub struct CommandLine<'a> {
    /// The component.
    pub component: &'a str,
    /// `--set`: `KEY=VALUE` of the sink's own configuration; dots in the key reach nested tables.
    pub set: &'a [String],
    /// `--allow-http`: a URL that the component may send requests to.
    pub allow_http: &'a [String],
    /// `--allow-tcp`: a host and a port that the component may connect to.
    pub allow_tcp: &'a [String],
    /// `--allow-dir`: `HOST:GUEST`, or `HOST:GUEST:rw` to let the component write.
    pub allow_dir: &'a [String],
    /// `--allow-env`: the name of a variable that the component may see.
    pub allow_env: &'a [String],
}

/// One source, standard input; one pipeline, `main`; one sink, named like the component. Places of errors are on the
/// command line.
pub fn from_command_line(line: &CommandLine) -> Checked {
    let mut problems = Vec::new();
    let words = Words::of(line);
    let mut sink = Table::default();
    let (at, value) = &words.component;
    let here = || at.clone();
    sink.push("type", here(), loose("wasm", at));
    sink.push("path", here(), loose(line.component, value));
    let mut config = Table::default();
    for given in &words.set {
        set(&mut config, given, &mut problems);
    }
    if let Some(first) = words.set.first() {
        sink.push("config", first.clone(), Node::table(config, first.clone()));
    }
    let allow = allow(&words, &mut problems);
    if let Some(first) = allow.entries().first() {
        let place = first.at.clone();
        sink.push("allow", place.clone(), Node::table(allow, place));
    }
    let table = |key: &str, node: Node| {
        let mut table = Table::default();
        table.push(key, here(), node);
        table
    };
    let nested = |key: &str, table_inside: Table| table(key, Node::table(table_inside, here()));
    let stem = Path::new(line.component).file_stem().map_or_else(|| "sink".into(), |stem| stem.to_string_lossy());
    let pipeline = nested("sink", nested(&plain(&stem), sink));
    let mut root = nested("source", nested("stdin", table("type", loose("stdin", at))));
    root.push("pipeline", here(), Node::table(nested("main", pipeline), here()));
    let incomplete = !problems.is_empty();
    finish(Document::new(root, incomplete), problems)
}

/// A name for the sink. What can't be part of one becomes `_`.
fn plain(stem: &str) -> String {
    let name: String =
        stem.chars().map(|c| if c.is_alphanumeric() || matches!(c, '_' | '-' | '.') { c } else { '_' }).collect();
    let name = name.trim_start_matches('.');
    if name.is_empty() { "sink".into() } else { name.chars().take(25).collect() }
}

fn loose(text: &str, place: &Place) -> Node {
    Node::new(Value::Loose(text.to_owned()), place.clone())
}

/// The command line as one text, and where each of its parts stands.
struct Words {
    /// The word, twice: what it is called in the places of keys and of values.
    component: (Place, Place),
    set: Vec<Place>,
    allow_http: Vec<Place>,
    allow_tcp: Vec<Place>,
    allow_dir: Vec<Place>,
    allow_env: Vec<Place>,
}

impl Words {
    fn of(line: &CommandLine) -> Words {
        let mut written = String::from("sump run ");
        let component = append(&mut written, line.component);
        let mut option = |name: &str, values: &[String]| {
            let mut spans = Vec::new();
            for value in values {
                written.push_str(&format!(" {name} "));
                spans.push(append(&mut written, value));
            }
            spans
        };
        let set = option("--set", line.set);
        let allow_http = option("--allow-http", line.allow_http);
        let allow_tcp = option("--allow-tcp", line.allow_tcp);
        let allow_dir = option("--allow-dir", line.allow_dir);
        let allow_env = option("--allow-env", line.allow_env);
        let text = Text::new("command line", written);
        let places =
            |spans: Vec<std::ops::Range<usize>>| spans.into_iter().map(|span| Place::new(&text, span)).collect();
        let component = Place::new(&Arc::clone(&text), component);
        Words {
            component: (component.clone(), component),
            set: places(set),
            allow_http: places(allow_http),
            allow_tcp: places(allow_tcp),
            allow_dir: places(allow_dir),
            allow_env: places(allow_env),
        }
    }
}

fn append(written: &mut String, word: &str) -> std::ops::Range<usize> {
    let start = written.len();
    written.push_str(word);
    start..written.len()
}

/// Puts `KEY=VALUE` where its key says.
fn set(config: &mut Table, given: &Place, problems: &mut Vec<Diagnostic>) {
    let word = given.excerpt();
    let Some((key, value)) = word.split_once('=').filter(|(key, _)| is_path(key)) else {
        let error = Diagnostic::error("config::set", format!("`--set {word}` does not say what to set"))
            .at(given.clone(), "not `KEY=VALUE`")
            .help("write `--set KEY=VALUE`; dots in the key reach nested tables");
        return problems.push(error);
    };
    let at = given.of(key);
    let value = Node::new(Value::Loose(value.to_owned()), given.tail(key.len() + 1));
    if config.set(&key.split('.').collect::<Vec<_>>(), &at, value).is_err() {
        let error = Diagnostic::error("config::duplicate", format!("`{key}` is set twice"))
            .at(at, "set again here")
            .help("leave one out");
        problems.push(error);
    }
}

fn is_path(key: &str) -> bool {
    key.split('.').count() <= DEPTH && key.split('.').all(|name| !name.is_empty())
}

fn allow(words: &Words, problems: &mut Vec<Diagnostic>) -> Table {
    let mut allow = Table::default();
    let mut grant = |key: &str, items: Vec<Node>, places: &[Place]| {
        if let Some(first) = places.first() {
            allow.push(key, first.clone(), Node::new(Value::List(items), first.clone()));
        }
    };
    let http = words.allow_http.iter().map(|place| record(place, &[("to", place.excerpt())])).collect();
    grant("http", http, &words.allow_http);
    let plain = |places: &[Place]| places.iter().map(|place| loose(place.excerpt(), place)).collect();
    grant("tcp", plain(&words.allow_tcp), &words.allow_tcp);
    let dirs = words.allow_dir.iter().filter_map(|place| directory(place, problems)).collect();
    grant("dirs", dirs, &words.allow_dir);
    grant("env", plain(&words.allow_env), &words.allow_env);
    allow
}

fn directory(given: &Place, problems: &mut Vec<Diagnostic>) -> Option<Node> {
    let word = given.excerpt();
    let (host, guest, access) = match word.split(':').collect::<Vec<_>>().as_slice() {
        [host, guest] | [host, guest, "ro"] => (*host, *guest, "read-only"),
        [host, guest, "rw"] => (*host, *guest, "read-write"),
        _ => ("", "", ""),
    };
    if host.is_empty() || guest.is_empty() {
        let error = Diagnostic::error("config::allow", format!("`--allow-dir {word}` does not name two directories"))
            .at(given.clone(), "not `HOST:GUEST`")
            .help("write `--allow-dir HOST:GUEST`, and `--allow-dir HOST:GUEST:rw` to let the component write");
        problems.push(error);
        return None;
    }
    Some(record(given, &[("host", host), ("guest", guest), ("access", access)]))
}

fn record(place: &Place, entries: &[(&str, &str)]) -> Node {
    let mut table = Table::default();
    for (key, value) in entries {
        table.push(*key, place.clone(), loose(value, &place.of(value)));
    }
    Node::table(table, place.clone())
}
