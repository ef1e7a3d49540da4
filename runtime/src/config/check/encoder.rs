//! `encoder`: what a native sink sends of an event.

use crate::config::check::Checker;
use crate::config::de::Subject;
use crate::config::diagnostic::Diagnostic;
use crate::config::document::{Node, Table, Value};
use crate::config::plan::{Encoder, SinkKind};

impl Checker<'_> {
    /// `Some(None)` for a sink that has none, None where there is a wrong one.
    pub(super) fn encoder(&mut self, table: &Table, kind: &str, sink: &str) -> Option<Option<Encoder>> {
        let component = kind == "wasm";
        debug_assert!(SinkKind::TYPES.contains(&"wasm"));
        let Some(entry) = table.entry("encoder") else {
            return Some((!component).then(|| Encoder::Raw(Default::default())));
        };
        if component {
            let error = Diagnostic::error("config::encoder", format!("{sink} is a component, which takes no encoder"))
                .at(entry.at.clone(), "it gets the events as they are")
                .help(
                    "remove it, and let the component shape what it sends; an encoder is for the other types of sinks",
                );
            self.problems.push(error);
            return None;
        }
        let owner = format!("the encoder of {sink}");
        let (word, own) = match &entry.node.value {
            Value::Table(table) => {
                let word = self.kind(table, &entry.node, &owner, "encoder", Encoder::TYPES)?;
                (word, table.without(&["type"]))
            }
            _ => (self.word(entry, "encoder", Encoder::TYPES)?, Table::default()),
        };
        let subject = Subject { name: &owner, also: &["type"], incomplete: self.incomplete };
        let own = Node::table(own, entry.node.place.clone());
        Encoder::read(word, &own, &subject, self.problems).map(Some)
    }
}
