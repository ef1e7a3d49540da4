//! Kafka's sinks, and what those that store positions of a consumer group share with its source.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::build::path_of;
use crate::config::{Pipeline, Plan, Sink, SinkKind, SourceKind};
use crate::delivery::letter_partition;
use crate::kafka::Membership;
use crate::sink::Connect;
use crate::sink::kafka::{self, KafkaOnce, KafkaSink};

/// Consumer groups whose positions a sink stores together with its records.
#[derive(Default)]
pub(super) struct Groups {
    /// By source.
    members: BTreeMap<String, Arc<Membership>>,
    /// By pipeline, with the sink's name.
    sinks: BTreeMap<String, (String, KafkaOnce)>,
}

impl Groups {
    /// Of a plan.
    pub(super) fn of(plan: &Plan) -> Groups {
        let mut groups = Groups::default();
        let Some(instance) = &plan.settings.instance else { return groups };
        for pipeline in &plan.pipelines {
            let source = plan.source(&pipeline.source).filter(|source| matches!(source.kind, SourceKind::Kafka(_)));
            let sink = pipeline.sinks.iter().find_map(|sink| match &sink.kind {
                SinkKind::Kafka(settings) if sink.delivery.exactly_once => Some((sink, settings)),
                _ => None,
            });
            if let Some((source, (sink, settings))) = source.zip(sink) {
                let member = groups.members.entry(source.name.clone()).or_default();
                let once = KafkaOnce::new(plain(plan, pipeline, sink, settings), instance, member.clone());
                groups.sinks.insert(pipeline.name.clone(), (sink.name.clone(), once));
            }
        }
        groups
    }

    /// The group of a source, if a sink stores its positions.
    pub(super) fn member(&self, source: &str) -> Option<Arc<Membership>> {
        self.members.get(source).cloned()
    }

    /// A sink of Kafka. Dead letters of one that stores positions are in its transactions, if they go to the same cluster.
    pub(super) fn sink(
        &self,
        plan: &Plan,
        pipeline: &Pipeline,
        sink: &Sink,
        settings: &kafka::Settings,
    ) -> Arc<dyn Connect> {
        let plain = plain(plan, pipeline, sink, settings);
        match self.sinks.get(&pipeline.name) {
            Some((name, once)) if *name == sink.name => Arc::new(once.clone()),
            Some((name, once))
                if pipeline.one_transaction().is_some_and(|[_, (letters, _)]| letters.name == sink.name) =>
            {
                Arc::new(once.letters(plain, letter_partition(name, "")))
            }
            _ => Arc::new(plain),
        }
    }
}

fn plain(plan: &Plan, pipeline: &Pipeline, sink: &Sink, settings: &kafka::Settings) -> KafkaSink {
    let (delivery, name) = (&sink.delivery, path_of(pipeline, sink).to_string());
    let ordered = delivery.concurrency.most().get() == 1;
    let limits = kafka::Limits { timeout: delivery.timeout, buffer: delivery.buffer.bound(), ordered };
    KafkaSink::new(&name, settings, limits, Box::new(plan.kafka_again(&settings.connection)))
}
