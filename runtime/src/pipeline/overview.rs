//! What there is to see of a run while it goes on and after.

use std::sync::Arc;

use crate::delivery::{Gate, Queue};
use crate::envelope::PathName;
use crate::metrics::{PipelineMetrics, SinkMetrics, SourceMetrics};

/// The counters of every part, in the order of the plan. Cloning is cheap, and counts on.
#[derive(Clone, Debug, Default)]
pub struct Overview {
    /// Sources.
    pub sources: Vec<SourceView>,
    /// Pipelines, by name.
    pub pipelines: Vec<(Arc<str>, Arc<PipelineMetrics>)>,
    /// Sinks.
    pub sinks: Vec<SinkView>,
    /// What became dead letters without a sink: rejected by framing or by routes.
    pub rejects: Arc<SinkMetrics>,
}

/// What is to be seen of a source.
#[derive(Clone, Debug)]
pub struct SourceView {
    /// Its name.
    pub name: Arc<str>,
    /// What it counts.
    pub metrics: Arc<SourceMetrics>,
}

/// What is to be seen of a sink.
#[derive(Clone, Debug)]
pub struct SinkView {
    /// Its pipeline and name.
    pub path: PathName,
    /// What it counts.
    pub metrics: Arc<SinkMetrics>,
    /// What waits.
    pub queue: Queue,
    /// What holds it back.
    pub gate: Gate,
}

impl Overview {
    /// Events that became dead letters.
    pub fn dead_lettered(&self) -> u64 {
        self.all().map(|metrics| metrics.dead_lettered.get()).sum()
    }

    /// Events that are neither final nor will be in this run, once it has ended.
    pub fn undelivered(&self) -> u64 {
        let undelivered =
            |metrics: &SinkMetrics| (metrics.waiting() + metrics.abandoned.get()).saturating_sub(metrics.in_buffer());
        self.all().map(undelivered).sum()
    }

    /// Whether every source has ended, and what waits waits for gates alone.
    pub(super) fn only_closed_gates_are_left(&self) -> bool {
        let waiting = |sink: &&SinkView| sink.metrics.waiting() > 0;
        self.sinks.iter().all(|sink| sink.queue.is_closed())
            && self.sinks.iter().any(|sink| waiting(&sink))
            && self.sinks.iter().filter(waiting).all(|sink| sink.gate.closed().is_some())
    }

    fn all(&self) -> impl Iterator<Item = &SinkMetrics> {
        self.sinks.iter().map(|sink| &*sink.metrics).chain([&*self.rejects])
    }
}
