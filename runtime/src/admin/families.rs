//! Every metric there is. `docs/metrics.md` has the same table.

use std::cmp::Reverse;
use std::fmt::Display;
use std::time::{Duration, UNIX_EPOCH};

use super::exposition::{Samples, Seen};
use super::process;
use super::ready::Readiness;
use crate::batch::Partition;
use crate::metrics::{PipelineMetrics, SourceState};
use crate::pipeline::{Overview, SinkView, SourceView};

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It only grows while the process lives. Its samples end in `_total`.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Its samples end in `_bucket`, `_count` and `_sum`.
    Histogram,
    /// Its labels say something about the process. Its sample ends in `_info`.
    Info,
}

/// One metric.
#[derive(Debug)]
pub(super) struct Family {
    /// Without its unit, which follows.
    pub(super) name: &'static str,
    pub(super) unit: Option<&'static str>,
    pub(super) kind: Kind,
    pub(super) labels: &'static [&'static str],
    /// One sentence.
    pub(super) help: &'static str,
    pub(super) samples: fn(&Seen, &mut Samples),
}

/// So many partitions of a sink, and topics of a source, are told, those first that are furthest behind.
const MOST_PARTITIONS: usize = 1000;

const SINK: &[&str] = &["pipeline", "sink"];

/// All metrics, in the order in which they are served.
pub(super) const FAMILIES: &[Family] = &[
    Family {
        name: "sump_build",
        unit: None,
        kind: Kind::Info,
        labels: &["version"],
        help: "The version that runs.",
        samples: |_, out| out.whole(&[&env!("CARGO_PKG_VERSION")], 1),
    },
    Family {
        name: "process_start_time",
        unit: Some("seconds"),
        kind: Kind::Gauge,
        labels: &[],
        help: "When the run began, since the Unix epoch.",
        samples: |seen, out| {
            out.real(&[], seen.began.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64()));
        },
    },
    Family {
        name: "process_cpu",
        unit: Some("seconds"),
        kind: Kind::Counter,
        labels: &[],
        help: "Time on all processors, in the system and outside it.",
        samples: |_, out| out.real(&[], process::cpu_seconds()),
    },
    Family {
        name: "process_resident_memory",
        unit: Some("bytes"),
        kind: Kind::Gauge,
        labels: &[],
        help: "Memory that is resident; on Linux only.",
        samples: |_, out| process::resident_bytes().into_iter().for_each(|bytes| out.whole(&[], bytes)),
    },
    Family {
        name: "sump_ready",
        unit: None,
        kind: Kind::Gauge,
        labels: &[],
        help: "1 where /ready says so, else 0.",
        samples: |seen, out| {
            let ready = seen.run.as_ref().map(|(overview, signals)| Readiness::of(overview, signals.is_stopping()));
            out.whole(&[], u64::from(ready.is_some_and(|readiness| readiness.ready)));
        },
    },
    Family {
        name: "sump_source",
        unit: Some("events"),
        kind: Kind::Counter,
        labels: &["source"],
        help: "Events read.",
        samples: |seen, out| sources(seen, |source| out.whole(&[&source.name], source.metrics.events.get())),
    },
    Family {
        name: "sump_source",
        unit: Some("bytes"),
        kind: Kind::Counter,
        labels: &["source"],
        help: "Bytes of payload read.",
        samples: |seen, out| sources(seen, |source| out.whole(&[&source.name], source.metrics.bytes.get())),
    },
    Family {
        name: "sump_source_rejected",
        unit: Some("events"),
        kind: Kind::Counter,
        labels: &["source"],
        help: "Events that framing rejected: they are dead letters.",
        samples: |seen, out| sources(seen, |source| out.whole(&[&source.name], source.metrics.rejected.get())),
    },
    Family {
        name: "sump_source_behind",
        unit: Some("bytes"),
        kind: Kind::Gauge,
        labels: &["source"],
        help: "Bytes that there are to be read, of files that are followed; of compressed ones, as they are.",
        samples: |seen, out| {
            sources(seen, |source| {
                source.metrics.behind().into_iter().for_each(|bytes| out.whole(&[&source.name], bytes));
            });
        },
    },
    Family {
        name: "sump_source_reading",
        unit: None,
        kind: Kind::Gauge,
        labels: &["source"],
        help: "1 while the source is open and has neither ended nor been stopped, else 0.",
        samples: |seen, out| {
            let reading = |state| u64::from(matches!(state, SourceState::Reading | SourceState::Held));
            sources(seen, |source| out.whole(&[&source.name], reading(source.metrics.state())));
        },
    },
    Family {
        name: "sump_source_lag",
        unit: None,
        kind: Kind::Gauge,
        labels: &["source", "topic"],
        help: "Offsets from what is final to the ends of the logs, in the partitions that this process has, summed for \
               each topic; only of Kafka.",
        samples: source_lag,
    },
    Family {
        name: "sump_source_backpressure",
        unit: Some("seconds"),
        kind: Kind::Counter,
        labels: &["source", "stage", "pipeline", "sink"],
        help: "Time for which a stage kept the source waiting: the full `buffer` of a sink, or full `dead_letters`, \
               which are nobody's own.",
        samples: backpressure,
    },
    Family {
        name: "sump_pipeline_condition_errors",
        unit: None,
        kind: Kind::Counter,
        labels: &["pipeline"],
        help: "Conditions that could not be evaluated for an event.",
        samples: |seen, out| pipelines(seen, |name, metrics| out.whole(&[&name], metrics.condition_errors.get())),
    },
    Family {
        name: "sump_pipeline_not_taken",
        unit: Some("events"),
        kind: Kind::Counter,
        labels: &["pipeline"],
        help: "Events that no sink took.",
        samples: |seen, out| pipelines(seen, |name, metrics| out.whole(&[&name], metrics.not_taken.get())),
    },
    Family {
        name: "sump_sink_routed",
        unit: Some("events"),
        kind: Kind::Counter,
        labels: SINK,
        help: "Events routed to the sink.",
        samples: |seen, out| counts(seen, out, |sink| sink.metrics.events.get()),
    },
    Family {
        name: "sump_sink",
        unit: Some("events"),
        kind: Kind::Counter,
        labels: &["pipeline", "sink", "outcome"],
        help: "Events that need no more attention in this run: `written`, `dead_lettered`, `dropped` because the buffer \
               was full, `left_out` by the encoder, `revoked` with their partition, or \
               `abandoned`, which come again.",
        samples: outcomes,
    },
    Family {
        name: "sump_sink_written",
        unit: Some("bytes"),
        kind: Kind::Counter,
        labels: SINK,
        help: "Bytes of payload written.",
        samples: |seen, out| counts(seen, out, |sink| sink.metrics.written_bytes.get()),
    },
    Family {
        name: "sump_sink_waiting",
        unit: Some("events"),
        kind: Kind::Gauge,
        labels: SINK,
        help: "Events on their way: routed and not final, whether queued, in flight, or waiting for another attempt.",
        samples: |seen, out| counts(seen, out, |sink| sink.metrics.waiting()),
    },
    Family {
        name: "sump_sink_buffer",
        unit: Some("bytes"),
        kind: Kind::Gauge,
        labels: SINK,
        help: "Bytes of the buffer that events on their way take.",
        samples: |seen, out| counts(seen, out, |sink| sink.queue.bytes()),
    },
    Family {
        name: "sump_sink_buffer_max",
        unit: Some("bytes"),
        kind: Kind::Gauge,
        labels: SINK,
        help: "Bytes that the buffer may take: `buffer.max_bytes`.",
        samples: |seen, out| counts(seen, out, |sink| sink.queue.max_bytes()),
    },
    Family {
        name: "sump_sink_disk_buffer",
        unit: Some("events"),
        kind: Kind::Gauge,
        labels: SINK,
        help: "Events that are durably in the disk buffer and not final for the sink.",
        samples: |seen, out| counts(seen, out, |sink| sink.metrics.in_buffer()),
    },
    Family {
        name: "sump_sink_disk_buffer_lost",
        unit: Some("events"),
        kind: Kind::Counter,
        labels: SINK,
        help: "Events of the disk buffer that were damaged on the disk and could not be read.",
        samples: |seen, out| counts(seen, out, |sink| sink.metrics.buffer_lost.get()),
    },
    Family {
        name: "sump_sink_attempts",
        unit: None,
        kind: Kind::Counter,
        labels: SINK,
        help: "Calls of the sink that have ended.",
        samples: |seen, out| counts(seen, out, |sink| sink.metrics.attempts.get()),
    },
    Family {
        name: "sump_sink_attempt_duration",
        unit: Some("seconds"),
        kind: Kind::Histogram,
        labels: SINK,
        help: "How long calls of the sink took, opening included.",
        samples: |seen, out| {
            sinks(seen, |sink| {
                let sum = Duration::from_micros(sink.metrics.attempt_us.get()).as_secs_f64();
                let buckets = sink.metrics.attempt_times.buckets();
                out.histogram(&[&sink.path.pipeline, &sink.path.sink], sum, buckets);
            });
        },
    },
    Family {
        name: "sump_sink_retried",
        unit: Some("events"),
        kind: Kind::Counter,
        labels: &["pipeline", "sink", "kind", "code"],
        help: "Events tried again, once for each time, by kind and code of the failure; beyond 50 codes of a kind as \
               `other`.",
        samples: |seen, out| {
            sinks(seen, |sink| {
                for (kind, code, count) in sink.metrics.retried_for.get() {
                    out.whole(&[&sink.path.pipeline, &sink.path.sink, &kind, &code], count);
                }
            });
        },
    },
    Family {
        name: "sump_sink_opened_instances",
        unit: None,
        kind: Kind::Counter,
        labels: SINK,
        help: "Times that an instance of the sink was opened.",
        samples: |seen, out| counts(seen, out, |sink| sink.metrics.opened.get()),
    },
    Family {
        name: "sump_sink_copied_batches",
        unit: None,
        kind: Kind::Counter,
        labels: SINK,
        help: "Batches that were put together from several blocks, and so copied.",
        samples: |seen, out| counts(seen, out, |sink| sink.metrics.copied_batches.get()),
    },
    Family {
        name: "sump_sink_gate_closed",
        unit: None,
        kind: Kind::Gauge,
        labels: &["pipeline", "sink", "cause"],
        help: "1 while the cause keeps the gate closed, else 0: `halted`, `advice`, `outage`, `dead_letters_full`.",
        samples: |seen, out| {
            sinks(seen, |sink| {
                let closed = sink.gate.closed();
                for (cause, _) in sink.gate.closed_for() {
                    let now = closed.as_ref().is_some_and(|closed| closed.name() == cause);
                    out.whole(&[&sink.path.pipeline, &sink.path.sink, &cause], now.into());
                }
            });
        },
    },
    Family {
        name: "sump_sink_gate_closed",
        unit: Some("seconds"),
        kind: Kind::Counter,
        labels: &["pipeline", "sink", "cause"],
        help: "Time for which the cause kept the gate closed, probes included.",
        samples: |seen, out| {
            sinks(seen, |sink| {
                for (cause, time) in sink.gate.closed_for() {
                    out.real(&[&sink.path.pipeline, &sink.path.sink, &cause], time.as_secs_f64());
                }
            });
        },
    },
    Family {
        name: "sump_sink_saved_position",
        unit: None,
        kind: Kind::Gauge,
        labels: &["source", "partition", "pipeline", "sink"],
        help: "Where the sink goes on after a restart, in the positions of its source; only of sources that can be read \
               again.",
        samples: saved_positions,
    },
    Family {
        name: "sump_sink_position_lag",
        unit: None,
        kind: Kind::Gauge,
        labels: &["source", "partition", "pipeline", "sink"],
        help: "How far what was read is ahead of what is final, in the positions of the source: bytes, or numbers of \
               events.",
        samples: lag,
    },
    Family {
        name: "sump_dead_letter",
        unit: Some("events"),
        kind: Kind::Counter,
        labels: &["pipeline", "sink", "kind", "code"],
        help: "Events that became dead letters, by kind and code of the failure; `*` is the sink for what routes reject, \
               and both for what framing rejects.",
        samples: |seen, out| {
            for (path, kind, code, count) in overview(seen).iter().flat_map(|overview| overview.letters.get()) {
                out.whole(&[&path.pipeline, &path.sink, &kind, &code], count);
            }
        },
    },
    Family {
        name: "sump_dead_letters_kept",
        unit: Some("bytes"),
        kind: Kind::Gauge,
        labels: &[],
        help: "Bytes of dead letters in the data directory.",
        samples: |seen, out| kept(seen).into_iter().for_each(|(kept, _)| out.whole(&[], kept)),
    },
    Family {
        name: "sump_dead_letters_max",
        unit: Some("bytes"),
        kind: Kind::Gauge,
        labels: &[],
        help: "Bytes of dead letters that may be kept: `dead_letters.max_size`.",
        samples: |seen, out| kept(seen).into_iter().for_each(|(_, most)| out.whole(&[], most)),
    },
];

fn overview(seen: &Seen) -> Option<&Overview> {
    seen.run.as_ref().map(|(overview, _)| overview)
}

fn sources(seen: &Seen, each: impl FnMut(&SourceView)) {
    overview(seen).into_iter().flat_map(|overview| &overview.sources).for_each(each);
}

fn pipelines(seen: &Seen, mut each: impl FnMut(&str, &PipelineMetrics)) {
    let pipelines = overview(seen).into_iter().flat_map(|overview| &overview.pipelines);
    pipelines.for_each(|(name, metrics)| each(name, metrics));
}

fn sinks(seen: &Seen, each: impl FnMut(&SinkView)) {
    overview(seen).into_iter().flat_map(|overview| &overview.sinks).for_each(each);
}

/// One number for each sink.
fn counts(seen: &Seen, out: &mut Samples, of: impl Fn(&SinkView) -> u64) {
    sinks(seen, |sink| out.whole(&[&sink.path.pipeline, &sink.path.sink], of(sink)));
}

fn backpressure(seen: &Seen, out: &mut Samples) {
    sinks(seen, |sink| {
        let labels: [&dyn Display; 4] = [&sink.source, &"buffer", &sink.path.pipeline, &sink.path.sink];
        out.real(&labels, sink.queue.held_back().as_secs_f64());
    });
    sources(seen, |source| {
        let waited = source.metrics.dead_letters_full.read().as_secs_f64();
        out.real(&[&source.name, &"dead_letters", &"*", &"*"], waited);
    });
}

/// Of very many topics only those that are furthest behind.
fn source_lag(seen: &Seen, out: &mut Samples) {
    sources(seen, |source| {
        let mut topics = source.metrics.lag();
        topics.sort_by_key(|(_, behind)| Reverse(*behind));
        topics.iter().take(MOST_PARTITIONS).for_each(|(topic, behind)| out.whole(&[&source.name, topic], *behind));
    });
}

fn outcomes(seen: &Seen, out: &mut Samples) {
    sinks(seen, |sink| {
        let metrics = &sink.metrics;
        for (outcome, count) in [
            ("written", &metrics.written),
            ("dead_lettered", &metrics.dead_lettered),
            ("dropped", &metrics.dropped),
            ("left_out", &metrics.left_out),
            ("revoked", &metrics.revoked),
            ("abandoned", &metrics.abandoned),
        ] {
            out.whole(&[&sink.path.pipeline, &sink.path.sink, &outcome], count.get());
        }
    });
}

fn saved_positions(seen: &Seen, out: &mut Samples) {
    sinks(seen, |sink| {
        let source =
            overview(seen).and_then(|overview| overview.sources.iter().find(|source| source.name == sink.source));
        let saved = source.map(|source| source.saved(&sink.path)).unwrap_or_default();
        each_partition(sink, |partition, _| {
            if let Some(position) = saved.get(partition) {
                out.whole(&[&sink.source, partition, &sink.path.pipeline, &sink.path.sink], *position);
            }
        });
    });
}

/// Of very many partitions only some, so that a glob of very many files does not make very many metrics.
fn lag(seen: &Seen, out: &mut Samples) {
    sinks(seen, |sink| {
        each_partition(sink, |partition, behind| {
            out.whole(&[&sink.source, partition, &sink.path.pipeline, &sink.path.sink], behind);
        });
    });
}

fn kept(seen: &Seen) -> Option<(u64, u64)> {
    overview(seen)?.kept()?.ok()
}

/// The partitions of a sink that are told, and how far each is behind.
fn each_partition(sink: &SinkView, mut each: impl FnMut(&Partition, u64)) {
    let mut partitions = sink.behind();
    partitions.sort_by_key(|(_, behind)| Reverse(*behind));
    partitions.iter().take(MOST_PARTITIONS).for_each(|(partition, behind)| each(partition, *behind));
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = include_str!("../../../docs/metrics.md");

    #[test]
    fn the_page_has_the_same_table() {
        let row = |family: &Family| {
            let unit = family.unit.map(|unit| format!("_{unit}")).unwrap_or_default();
            let kind = format!("{:?}", family.kind).to_lowercase();
            let labels: Vec<String> = family.labels.iter().map(|label| format!("`{label}`")).collect();
            let labels = if labels.is_empty() { "none".to_owned() } else { labels.join(", ") };
            let unit_or_none = family.unit.unwrap_or("none");
            format!("| `{}{unit}` | {kind} | {unit_or_none} | {labels} | {} |", family.name, family.help)
        };
        let rows: Vec<String> = FAMILIES.iter().map(row).collect();
        let written: Vec<&str> = PAGE.lines().filter(|line| line.starts_with("| `")).collect();
        assert_eq!(written, rows, "write into docs/metrics.md:\n{}", rows.join("\n"));
    }
}
