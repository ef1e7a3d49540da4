//! Where events can be written exactly once, and where not.

use crate::config::check::across::at;
use crate::config::diagnostic::Diagnostic;
use crate::config::document::Table;
use crate::config::plan::{Encoder, Pipeline, Sink, SinkKind, Source, SourceKind};
use crate::delivery::{BufferKind, Concurrency, WhenFull};

/// Reports what `exactly_once` can't be together with: one error for each.
pub(super) fn check(root: &Table, pipeline: &Pipeline, sources: &[&Source], problems: &mut Vec<Diagnostic>) {
    for sink in pipeline.sinks.iter().filter(|sink| sink.delivery.exactly_once) {
        let of = Of { root, pipeline, sink };
        let source = sources.iter().find(|source| source.name == pipeline.source);
        if let Some(source) = source.filter(|source| !can_be_read_again(&source.kind)) {
            let (label, remedy) = match &source.kind {
                SourceKind::Kafka(_) => (
                    "its partitions may go to another process, whose sink has other data",
                    "remove `exactly_once`, or read files",
                ),
                _ => (
                    "it can't be read again",
                    "read a file or another source that can be read again, or remove `exactly_once`",
                ),
            };
            of.report(problems, &["source", &source.name, "type"], label, remedy);
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
        of.settings(problems);
    }
}

/// The kinds whose events can be read again after a restart, by the same process and no other.
fn can_be_read_again(kind: &SourceKind) -> bool {
    matches!(kind, SourceKind::File(_))
}

/// The kinds that keep to what [`Connect::stored`](crate::sink::Connect::stored) asks for.
fn stores_positions(kind: &SinkKind) -> bool {
    matches!(kind, SinkKind::File(_))
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
