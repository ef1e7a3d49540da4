//! What there is to see of a run while it goes on and after.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::positions::Store;
use crate::batch::Partition;
use crate::delivery::{Gate, LetterCounts, Queue, RelayView, Segments};
use crate::envelope::{Path, PathName};
use crate::metrics::{PipelineMetrics, SinkMetrics, SourceMetrics, SourceState};

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
    /// What was kept of events that could not be delivered, by path and failure.
    pub letters: LetterCounts,
    /// Where it is kept, if it is kept in files.
    pub dead_letters: Option<Segments>,
}

/// What is to be seen of a source.
#[derive(Clone, Debug)]
pub struct SourceView {
    /// Its name.
    pub name: Arc<str>,
    /// What it counts.
    pub metrics: Arc<SourceMetrics>,
    /// Whether it ends by itself.
    pub ends: bool,
    pub(super) store: Store,
}

/// What is to be seen of a sink.
#[derive(Clone, Debug)]
pub struct SinkView {
    /// The source that it gets its events from.
    pub source: Arc<str>,
    /// Its pipeline and name.
    pub path: PathName,
    /// What it counts.
    pub metrics: Arc<SinkMetrics>,
    /// What waits.
    pub queue: Queue,
    /// What holds it back.
    pub gate: Gate,
    /// The sink that gets its dead letters, where one does.
    pub relay: Option<RelayView>,
    /// Whether it gets the pipeline's dead letters, and nothing else.
    pub takes_dead_letters: bool,
    /// Its account with the source; none where it reads none.
    pub(super) account: Option<Path>,
}

impl SourceView {
    /// The positions of a sink that were saved last. Waits while some are being saved, and blocks for that.
    pub fn saved(&self, path: &PathName) -> BTreeMap<Partition, u64> {
        self.store.of(&self.name).path(path)
    }
}

impl SinkView {
    /// How far what was read is ahead of what is final, in each partition that is read: in the positions of its source.
    pub fn behind(&self) -> Vec<(Partition, u64)> {
        let progress = self.account.iter().flat_map(Path::progress);
        progress.map(|(partition, position, end)| (partition, end.saturating_sub(position))).collect()
    }
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

    /// Whether every source has ended, or would have but for a full queue, and what waits waits for gates alone.
    pub(super) fn only_closed_gates_are_left(&self) -> bool {
        // Not what the source holds in its hand because another sink has no room.
        let waiting = |sink: &&SinkView| sink.queue.bytes() > 0;
        let held =
            |sink: &SinkView| sink.gate.closed().is_some() || sink.relay.as_ref().is_some_and(RelayView::is_stuck);
        let done = |source: &SourceView| match source.metrics.state() {
            SourceState::Starting | SourceState::Reading => false,
            SourceState::Held => source.ends,
            SourceState::Ended | SourceState::Failed => true,
        };
        self.sources.iter().all(done)
            && self.sinks.iter().any(|sink| waiting(&sink))
            && self.sinks.iter().filter(waiting).all(held)
    }

    /// How many bytes of dead letters are kept, and how many there may be. Blocks.
    pub fn kept(&self) -> Option<io::Result<(u64, u64)>> {
        let segments = self.dead_letters.as_ref()?;
        Some(segments.kept_bytes().map(|kept| (kept, segments.max_bytes())))
    }

    /// The sink that held a source back the longest, and for how long; none where nothing ever waited.
    pub fn slowest(&self, source: &str) -> Option<(&SinkView, Duration)> {
        let sinks = self.sinks.iter().filter(|sink| &*sink.source == source);
        let waited = sinks.map(|sink| (sink, sink.queue.held_back()));
        waited.max_by_key(|(_, time)| *time).filter(|(_, time)| !time.is_zero())
    }

    fn all(&self) -> impl Iterator<Item = &SinkMetrics> {
        self.sinks.iter().map(|sink| &*sink.metrics).chain([&*self.rejects])
    }
}
