//! Consumer groups whose positions a sink stores together with its records.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::{Plan, SinkKind, SourceKind};
use crate::kafka::Membership;

/// For each such source, what it and the sink share.
#[derive(Default)]
pub(super) struct Groups(BTreeMap<String, Arc<Membership>>);

impl Groups {
    /// Of sources whose only sink has each event exactly once.
    pub(super) fn of(plan: &Plan) -> Groups {
        let mut groups = BTreeMap::new();
        for pipeline in &plan.pipelines {
            let once =
                |sink: &crate::config::Sink| sink.delivery.exactly_once && matches!(sink.kind, SinkKind::Kafka(_));
            let source = plan.source(&pipeline.source).filter(|source| matches!(source.kind, SourceKind::Kafka(_)));
            if let Some(source) = source.filter(|_| pipeline.sinks.iter().any(once)) {
                groups.insert(source.name.clone(), Arc::default());
            }
        }
        Groups(groups)
    }

    /// The group of a source, if a sink stores its positions.
    pub(super) fn get(&self, source: &str) -> Option<Arc<Membership>> {
        self.0.get(source).cloned()
    }
}
