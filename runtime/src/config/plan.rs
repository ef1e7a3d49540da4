//! The plan: what the configuration means, checked and typed. It knows no running parts.

mod kinds;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use kinds::{ConnectionKind, Encoder, SinkKind, SourceKind};

use crate::config::de::{Subject, read};
use crate::config::diagnostic::Diagnostic;
use crate::config::document::{Document, Node, Table};
use crate::config::place::Place;
use crate::delivery;
use crate::expr;
use crate::kafka;
use crate::source::framing;
use crate::units;

/// What is to run. `Debug` prints it as [`print`](crate::config::print) does, without secrets.
#[derive(Clone)]
pub struct Plan {
    /// What is set about the whole.
    pub settings: Settings,
    /// In the order in which the files first mention them.
    pub connections: Vec<Connection>,
    /// In the order in which the files first mention them.
    pub sources: Vec<Source>,
    /// In the order in which the files first mention them. There is at least one.
    pub pipelines: Vec<Pipeline>,
    pub(super) document: Document,
}

/// What is set about the whole, at the top of a file.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where positions and dead letters are kept. Unset: the user's state folder.
    pub data_dir: Option<PathBuf>,
    /// Tells this process from others that write to the same cluster exactly once, also when it is started again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// Where metrics and readiness are served. Unset: nowhere.
    #[serde(with = "units::address::option")]
    pub admin: Option<SocketAddr>,
    /// How often positions are saved. More than zero.
    #[serde(with = "units::duration")]
    pub position_interval: Duration,
    /// What is kept of events that could not be delivered.
    pub dead_letters: DeadLetters,
}

/// `dead_letters`: what is kept of events that could not be delivered.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeadLetters {
    /// Bytes of all dead letters in the data directory, beyond which sources wait.
    #[serde(with = "units::size")]
    pub max_size: u64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            data_dir: None,
            instance: None,
            admin: None,
            position_interval: Duration::from_secs(1),
            dead_letters: DeadLetters::default(),
        }
    }
}

impl Default for DeadLetters {
    fn default() -> DeadLetters {
        DeadLetters { max_size: 1 << 30 }
    }
}

/// Settings that sources and sinks share by name.
#[derive(Clone)]
pub struct Connection {
    /// Unique among the connections. Letters, digits, `_`, `-` and `.`, not first.
    pub name: String,
    /// To what, and its own settings.
    pub kind: ConnectionKind,
}

/// A source of events.
#[derive(Clone)]
pub struct Source {
    /// Unique among the sources. Letters, digits, `_`, `-` and `.`, not first.
    pub name: String,
    /// How bytes become events, for the kinds that read bytes.
    pub framing: framing::Settings,
    /// Which source it is, and its own settings.
    pub kind: SourceKind,
}

/// A source's events on their way to sinks.
#[derive(Clone)]
pub struct Pipeline {
    /// Unique among the pipelines. Letters, digits, `_`, `-` and `.`, not first.
    pub name: String,
    /// The name of one of [`Plan::sources`].
    pub source: String,
    /// Which sinks an event goes to.
    pub routing: Routing,
    /// In the order in which the files first mention them. There is at least one.
    pub sinks: Vec<Sink>,
}

/// Which sinks an event goes to.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Routing {
    /// How many sinks take an event.
    #[serde(rename = "match")]
    pub mode: Match,
    /// What becomes of an event that no sink takes.
    pub otherwise: Otherwise,
    /// What becomes of an event that only failing conditions kept from every sink.
    pub on_condition_error: OnConditionError,
    /// Gives events a key that have none. An event that lacks what it needs stays without.
    pub key: Option<expr::Template>,
    /// Where its dead letters go instead of the files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dead_letters: Option<DeadLettersTo>,
}

/// `dead_letters` of a pipeline: where they go.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DeadLettersTo {
    /// One of the pipeline's sinks, which gets no routed events then.
    pub sink: String,
}

/// How many sinks take an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Match {
    /// Every one whose condition holds, and those without one.
    #[default]
    All,
    /// The first of them.
    First,
}

/// What becomes of an event that no sink takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Otherwise {
    /// It is dropped, and counted.
    #[default]
    Drop,
    /// It becomes a dead letter.
    Reject,
}

/// What becomes of an event that only failing conditions kept from every sink.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OnConditionError {
    /// A condition that fails is false, and counted.
    #[default]
    False,
    /// It becomes a dead letter.
    Reject,
}

/// Where events go.
#[derive(Clone)]
pub struct Sink {
    /// Unique among the sinks of its pipeline. Letters, digits, `_`, `-` and `.`, not first.
    pub name: String,
    /// Which events it takes. None: all.
    pub when: Option<expr::Condition>,
    /// How they are delivered.
    pub delivery: delivery::Settings,
    /// What it sends of an event. None for components, which see to it themselves.
    pub encoder: Option<Encoder>,
    /// Which sink it is, and its own settings.
    pub kind: SinkKind,
}

impl Pipeline {
    /// The sink of Kafka whose records and positions are one transaction, and the one whose records are in these
    /// transactions too, as it gets the dead letters, in the same cluster. Each with its settings.
    pub fn one_transaction(&self) -> Option<[(&Sink, &crate::sink::kafka::Settings); 2]> {
        let mut sinks = self.sinks.iter().filter_map(|sink| match &sink.kind {
            SinkKind::Kafka(settings) => Some((sink, settings)),
            _ => None,
        });
        let once = sinks.clone().find(|(sink, _)| sink.delivery.exactly_once)?;
        let to = self.routing.dead_letters.as_ref()?;
        let letters = sinks.find(|(sink, _)| sink.name == to.sink && !sink.delivery.exactly_once)?;
        (letters.1.connection == once.1.connection).then_some([once, letters])
    }
}

impl Plan {
    /// A source by name.
    pub fn source(&self, name: &str) -> Option<&Source> {
        self.sources.iter().find(|source| source.name == name)
    }

    /// The Kafka cluster of that name.
    pub fn kafka(&self, name: &str) -> Option<&kafka::Connection> {
        let connection = self.connections.iter().find(|connection| connection.name == name)?;
        let ConnectionKind::Kafka(settings) = &connection.kind;
        Some(settings)
    }

    /// Reads the Kafka cluster of that name whenever it is called: files to which it refers may have changed. Fails with
    /// what is wrong with it then.
    pub fn kafka_again(&self, name: &str) -> impl Fn() -> Result<kafka::Connection, String> + Send + Sync + 'static {
        let (document, name) = (self.document.clone(), name.to_owned());
        move || {
            let mut problems = Vec::new();
            let owner = format!("connection `{name}`");
            let subject = Subject { name: &owner, also: &["type"], incomplete: false };
            let node = document.again(&["connection", &name], &mut problems);
            let settings = node.filter(|_| problems.is_empty()).and_then(|node| {
                let own = Node::table(node.as_table()?.without(&["type"]), node.place.clone());
                read(&own, &subject, &mut problems)
            });
            settings.ok_or_else(|| match problems.first() {
                Some(problem) => format!("{owner} can't be read again: {}", problem.message()),
                None => format!("there is no {owner}"),
            })
        }
    }

    /// An error about a setting of a sink that only a running part could find. `pointer` is a JSON pointer into the
    /// sink's table, such as `/config/measurement`. The error is shown at what is written nearest to it.
    pub fn error_at(&self, pipeline: &str, sink: &str, pointer: &str, message: impl Into<String>) -> Diagnostic {
        let error = Diagnostic::error("config::sink", message);
        self.placed(error, vec!["pipeline", pipeline, "sink", sink], pointer, format!("sink `{sink}`"))
    }

    /// The same for a setting of a source.
    pub fn error_at_source(&self, source: &str, pointer: &str, message: impl Into<String>) -> Diagnostic {
        let error = Diagnostic::error("config::source", message);
        self.placed(error, vec!["source", source], pointer, format!("source `{source}`"))
    }

    /// Shows what is written nearest to a place in a table.
    fn placed(&self, error: Diagnostic, path: Vec<&str>, pointer: &str, label: String) -> Diagnostic {
        let unescaped: Vec<String> =
            pointer.split('/').skip(1).map(|step| step.replace("~1", "/").replace("~0", "~")).collect();
        let path: Vec<&str> = path.into_iter().chain(unescaped.iter().map(String::as_str)).collect();
        match place_of(&self.document.root, &path) {
            Some(place) => error.at(place, label),
            None => error,
        }
    }

    /// An error about a setting of the whole, which is shown where it is written, if it is.
    pub fn error_at_top(&self, key: &str, message: impl Into<String>) -> Diagnostic {
        let error = Diagnostic::error("config::top", message);
        match place_of(&self.document.root, &[key]) {
            Some(place) => error.at(place, format!("`{key}`")),
            None => error,
        }
    }

    /// The table in which a sink was written.
    pub(super) fn sink_table(&self, pipeline: &str, sink: &str) -> Option<&Table> {
        table_at(&self.document.root, &["pipeline", pipeline, "sink", sink])
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&crate::config::print(self))
    }
}

/// The name and the type: settings may hold secrets.
impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "connection {} ({:?})", self.name, self.kind)
    }
}

/// The name and the type: settings may hold secrets.
impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "source {} ({:?})", self.name, self.kind)
    }
}

/// The name and those of its parts.
impl fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "pipeline {} ({} to {:?})", self.name, self.source, self.sinks)
    }
}

/// The name and the type: settings may hold secrets.
impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "sink {} ({:?})", self.name, self.kind)
    }
}

/// The table at the end of a path, if there is one.
pub(super) fn table_at<'a>(root: &'a Table, path: &[&str]) -> Option<&'a Table> {
    path.iter().try_fold(root, |table, key| table.get(key)?.as_table())
}

/// Where what a path leads to is written; as far along as there is something.
pub(super) fn place_of(root: &Table, path: &[&str]) -> Option<Place> {
    let mut place = None;
    let mut table = Some(root);
    let mut items: Option<&[Node]> = None;
    for step in path {
        let node = match (table, items) {
            (Some(table), _) => table.get(step),
            (None, Some(items)) => step.parse::<usize>().ok().and_then(|index| items.get(index)),
            (None, None) => None,
        };
        let Some(node) = node else { break };
        place = Some(node.place.clone());
        table = node.as_table();
        items = match &node.value {
            crate::config::document::Value::List(items) => Some(items),
            _ => None,
        };
    }
    place
}
