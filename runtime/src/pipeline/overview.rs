//! What there is to see of a run while it goes on and after.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

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
    /// What it is at.
    pub state: Arc<SourceState>,
    /// Whether it ends by itself.
    pub ends: bool,
}

/// What a source is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum SourceStage {
    /// It is read.
    Reading,
    /// A full queue holds it back.
    Held,
    /// Nothing more is read.
    Ended,
}

/// The stage of a source, as others see it.
#[derive(Debug)]
pub struct SourceState(AtomicU8);

impl SourceState {
    pub(super) fn new() -> SourceState {
        SourceState(AtomicU8::new(SourceStage::Reading as u8))
    }

    pub(super) fn set(&self, stage: SourceStage) {
        self.0.store(stage as u8, Ordering::Relaxed);
    }

    /// What it is at.
    pub fn get(&self) -> SourceStage {
        match self.0.load(Ordering::Relaxed) {
            0 => SourceStage::Reading,
            1 => SourceStage::Held,
            _ => SourceStage::Ended,
        }
    }
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
        self.all().map(|metrics| metrics.waiting() + metrics.abandoned.get()).sum()
    }

    /// Whether every source has ended, or would have but for a full queue, and what waits waits for gates alone.
    pub(super) fn only_closed_gates_are_left(&self) -> bool {
        let waiting = |sink: &&SinkView| sink.metrics.waiting() > 0;
        let done = |source: &SourceView| match source.state.get() {
            SourceStage::Reading => false,
            SourceStage::Held => source.ends,
            SourceStage::Ended => true,
        };
        self.sources.iter().all(done)
            && self.sinks.iter().any(|sink| waiting(&sink))
            && self.sinks.iter().filter(waiting).all(|sink| sink.gate.closed().is_some())
    }

    fn all(&self) -> impl Iterator<Item = &SinkMetrics> {
        self.sinks.iter().map(|sink| &*sink.metrics).chain([&*self.rejects])
    }
}
