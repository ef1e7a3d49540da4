//! Metrics as text in the OpenMetrics format, version 1.0.0.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::{Registry, Unit};

use super::families::{FAMILIES, Family, Kind};
use crate::pipeline::{Overview, Signals};

/// The media type of what [`Exposition::text`] gives.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Everything that metrics are made of.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// When the process began to serve.
    pub(super) began: SystemTime,
    /// The parts of the run and how to stop them, once there are any.
    pub(super) run: Option<(Overview, Signals)>,
}

/// One value of a family.
#[derive(Debug)]
pub(super) struct Sample {
    /// In the order of the family's labels.
    labels: Vec<Arc<str>>,
    value: Value,
}

#[derive(Debug)]
enum Value {
    Whole(u64),
    Real(f64),
    /// The sum in seconds, and how many are in each bucket.
    Histogram(f64, Vec<(f64, u64)>),
}

/// What a family gives.
#[derive(Debug, Default)]
pub(super) struct Samples(Vec<Sample>);

impl Samples {
    pub(super) fn whole(&mut self, labels: &[&dyn fmt::Display], value: u64) {
        self.push(labels, Value::Whole(value));
    }

    pub(super) fn real(&mut self, labels: &[&dyn fmt::Display], value: f64) {
        self.push(labels, Value::Real(value));
    }

    pub(super) fn histogram(&mut self, labels: &[&dyn fmt::Display], sum: f64, buckets: Vec<(f64, u64)>) {
        self.push(labels, Value::Histogram(sum, buckets));
    }

    fn push(&mut self, labels: &[&dyn fmt::Display], value: Value) {
        self.0.push(Sample { labels: labels.iter().map(|label| label.to_string().into()).collect(), value });
    }
}

impl Seen {
    /// All metrics as they are now. Asks the file system, and blocks for that.
    pub(super) fn text(self) -> Result<String, fmt::Error> {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut text = String::new();
        text::encode(&mut text, &registry)?;
        Ok(text)
    }
}

impl Collector for Seen {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        FAMILIES.iter().try_for_each(|family| encode(family, self, &mut encoder))
    }
}

fn encode(family: &Family, seen: &Seen, encoder: &mut DescriptorEncoder) -> fmt::Result {
    let mut samples = Samples::default();
    (family.samples)(seen, &mut samples);
    let unit = family.unit.map(|unit| match unit {
        "seconds" => Unit::Seconds,
        "bytes" => Unit::Bytes,
        other => Unit::Other(other.to_owned()),
    });
    let kind = match family.kind {
        Kind::Counter => MetricType::Counter,
        Kind::Gauge => MetricType::Gauge,
        Kind::Histogram => MetricType::Histogram,
        Kind::Info => MetricType::Info,
    };
    let mut metric = encoder.encode_descriptor(family.name, family.help, unit.as_ref(), kind)?;
    for Sample { labels, value } in samples.0 {
        let labels: Vec<(&str, &str)> =
            family.labels.iter().copied().zip(labels.iter().map(|label| &**label)).collect();
        match family.kind {
            Kind::Info => metric.encode_info(&labels)?,
            _ => encode_value(family.kind, &value, &mut metric.encode_family(&labels)?)?,
        }
    }
    Ok(())
}

fn encode_value(kind: Kind, value: &Value, metric: &mut MetricEncoder) -> fmt::Result {
    const NONE: Option<&Exemplar<NoLabelSet, f64>> = None;
    match (kind, value) {
        (Kind::Counter, Value::Whole(value)) => metric.encode_counter(value, NONE),
        (Kind::Counter, Value::Real(value)) => metric.encode_counter(value, NONE),
        (_, Value::Whole(value)) => metric.encode_gauge(value),
        (_, Value::Real(value)) => metric.encode_gauge(value),
        (_, Value::Histogram(sum, buckets)) => {
            let count = buckets.iter().map(|(_, count)| count).sum();
            metric.encode_histogram::<NoLabelSet>(*sum, count, buckets, None)
        }
    }
}
