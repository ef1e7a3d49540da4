//! Where events can be written exactly once, and where not.

use crate::config::check::across::at;
use crate::config::diagnostic::Diagnostic;
use crate::config::document::Table;
use crate::config::plan::{
    Encoder, OnConditionError, Otherwise, Pipeline, Settings, Sink, SinkKind, Source, SourceKind,
};
use crate::delivery::{BufferKind, Concurrency, WhenFull};
use crate::sink;
use crate::source;

/// Reports what `exactly_once` can't be together with: one error for each.
pub(super) fn check(
    root: &Table,
    settings: Option<&Settings>,
    pipelines: &[&Pipeline],
    sources: &[&Source],
    problems: &mut Vec<Diagnostic>,
) {
    for pipeline in pipelines {
        for sink in pipeline.sinks.iter().filter(|sink| sink.delivery.exactly_once) {
            let of = Of { root, pipeline, sink };
            let source = sources.iter().find(|source| source.name == pipeline.source);
            if let Some(source) = source {
                of.source(source, problems);
            }
            if !stores_positions(&sink.kind) {
                let label = "it can't store positions together with its data";
                of.report(problems, &of.key(&["type"]), label, "remove `exactly_once`");
            }
            if matches!(sink.encoder, Some(Encoder::Wasm(_))) {
                let label = "it may make several values of one event, and a position is about one event";
                of.report(problems, &of.key(&["encoder"]), label, "take a built-in encoder, or remove `exactly_once`");
            }
            let dead_letters = ["pipeline", &pipeline.name, "dead_letters", "sink"];
            let takes_letters = pipeline.routing.dead_letters.as_ref().is_some_and(|to| to.sink == sink.name);
            if takes_letters {
                let remedy = "remove `exactly_once`: dead letters may be repeated by a kill";
                of.report(problems, &dead_letters, "dead letters have no positions", remedy);
            }
            if let Some((source, SourceKind::Kafka(from), SinkKind::Kafka(to))) =
                source.map(|source| (source, &source.kind, &sink.kind))
            {
                of.one_transaction(source, from, to, problems);
                of.one_position(pipelines, problems);
                of.one_producer(problems);
                of.named(settings, problems);
            }
            of.settings(problems);
        }
    }
}

/// The kinds that keep to what [`Connect::stored`](crate::sink::Connect::stored) asks for.
fn stores_positions(kind: &SinkKind) -> bool {
    matches!(kind, SinkKind::File(_) | SinkKind::Kafka(_))
}

struct Of<'a> {
    root: &'a Table,
    pipeline: &'a Pipeline,
    sink: &'a Sink,
}

impl<'a> Of<'a> {
    /// The place of a key of the sink.
    fn key(&self, key: &[&'a str]) -> Vec<&'a str> {
        [&["pipeline", &self.pipeline.name, "sink", &self.sink.name], key].concat()
    }

    /// Its events can be read again after a restart, and the sink knows from where.
    fn source(&self, source: &Source, problems: &mut Vec<Diagnostic>) {
        let (label, remedy) = match (&source.kind, &self.sink.kind) {
            (SourceKind::File(_), SinkKind::Kafka(_)) => (
                "its positions are not those of a group, with which a transaction could store them",
                "read from Kafka, or remove `exactly_once`",
            ),
            (SourceKind::Kafka(_), SinkKind::File(_)) => (
                "its partitions may go to another process, whose sink has other data",
                "remove `exactly_once`, read files, or write to Kafka",
            ),
            (SourceKind::File(_) | SourceKind::Kafka(_), _) => return,
            _ => (
                "it can't be read again",
                "read a file or another source that can be read again, or remove `exactly_once`",
            ),
        };
        self.report(problems, &["source", &source.name, "type"], label, remedy);
    }

    /// Records and positions are of the same cluster, and what others have aborted is not read.
    fn one_transaction(
        &self,
        source: &Source,
        from: &source::kafka::Settings,
        to: &sink::kafka::Settings,
        problems: &mut Vec<Diagnostic>,
    ) {
        if from.connection != to.connection {
            let label = "a transaction is about one cluster, and the source reads another";
            let remedy = format!("write `connection = \"{}\"`, or remove `exactly_once`", from.connection);
            self.report(problems, &self.key(&["connection"]), label, &remedy);
        }
        if from.properties.get("isolation.level").is_some_and(|level| level != "read_committed") {
            let label = "what a transaction has aborted would be read, and written";
            let remedy = "remove `isolation.level`, or `exactly_once`";
            self.report(problems, &["source", &source.name, "properties"], label, remedy);
        }
    }

    /// What dead letters share with the records beside them.
    fn one_producer(&self, problems: &mut Vec<Diagnostic>) {
        let Some([(_, own), (letters, settings)]) = self.pipeline.one_transaction() else { return };
        for (same, key) in [
            (own.compression == settings.compression, "compression"),
            (own.partitioner == settings.partitioner, "partitioner"),
            (own.properties == settings.properties, "properties"),
        ] {
            if !same {
                let label = format!("dead letters are in the transactions of `{}`, by one producer", self.sink.name);
                let remedy = format!("write the same `{key}` for both sinks");
                let path = ["pipeline", &self.pipeline.name, "sink", &letters.name, key];
                self.report(problems, &path, &label, &remedy);
            }
        }
    }

    /// A group has one position for each partition: nobody but this sink may have to say when an event is done with.
    fn one_position(&self, pipelines: &[&Pipeline], problems: &mut Vec<Diagnostic>) {
        let Pipeline { name, source, routing, .. } = self.pipeline;
        let others = pipelines.iter().filter(|other| other.source == *source).flat_map(|other| {
            let letters = other.routing.dead_letters.as_ref().map(|to| to.sink.as_str());
            let routed = other.sinks.iter().filter(move |sink| Some(sink.name.as_str()) != letters);
            routed.map(|sink| (other.name.as_str(), sink.name.as_str()))
        });
        if let Some((pipeline, sink)) = others.into_iter().find(|it| *it != (name, &self.sink.name)) {
            let label = "this sink reads the same source, and a group has one position for both";
            let remedy = "give each a source with a `group` of its own, or remove `exactly_once`";
            self.report(problems, &["pipeline", pipeline, "sink", sink], label, remedy);
        }
        let mut refuse = |holds: bool, key: &str| {
            if holds {
                let label = "an event could be passed over before it is among the dead letters";
                let remedy = format!("remove `{key}`, or `exactly_once`");
                self.report(problems, &["pipeline", name, key], label, &remedy);
            }
        };
        refuse(routing.otherwise == Otherwise::Reject, "otherwise");
        refuse(routing.on_condition_error == OnConditionError::Reject, "on_condition_error");
    }

    /// Brokers have to know the process again when it is started again, and from all others.
    fn named(&self, settings: Option<&Settings>, problems: &mut Vec<Diagnostic>) {
        if settings.is_some_and(|settings| settings.instance.is_none()) {
            let remedy = "write `instance = \"NAME\"` at the top, with another name for each process";
            self.report(problems, &["instance"], "needed here", remedy);
        }
    }

    fn settings(&self, problems: &mut Vec<Diagnostic>) {
        let delivery = &self.sink.delivery;
        let mut refuse = |holds: bool, key: &[&'a str], label: &str, remedy: &str| {
            if holds {
                self.report(problems, &self.key(key), label, remedy);
            }
        };
        refuse(
            delivery.concurrency != Concurrency::Fixed(std::num::NonZeroUsize::MIN),
            &["concurrency"],
            "batches have to be written one after the other",
            "remove `concurrency`, or write 1",
        );
        refuse(
            delivery.buffer.kind == BufferKind::Disk,
            &["buffer", "type"],
            "positions are those of the source, and not of a buffer on disk",
            "remove `buffer.type`: the source can be read again",
        );
        refuse(
            delivery.buffer.when_full == WhenFull::DropNewest,
            &["buffer", "when_full"],
            "events that are dropped are not written at all",
            "remove `buffer.when_full`",
        );
        refuse(
            !delivery.required,
            &["required"],
            "what nobody waits for becomes dead letters out of order",
            "remove `required`",
        );
        if let SinkKind::File(settings) = &self.sink.kind {
            refuse(
                settings.fsync == crate::sink::file::Fsync::Never,
                &["fsync"],
                "after a power cut nobody would know what is in the files",
                "write an interval such as `fsync = \"1s\"`, or `\"batch\"`",
            );
        }
    }

    fn report(&self, problems: &mut Vec<Diagnostic>, path: &[&str], label: &str, remedy: &str) {
        let message = format!("sink `{}` can't have each event exactly once", self.sink.name);
        let error = at(Diagnostic::error("config::exactly_once", message), self.root, path, label);
        let asked = self.key(&["exactly_once"]);
        problems.push(at(error, self.root, &asked, "asked for here").help(remedy));
    }
}
