//! Where the events of a batch were read.

use std::fmt;
use std::sync::Arc;

use arrow_array::{Array, UInt64Array};
use arrow_buffer::ScalarBuffer;
use arrow_schema::ArrowError;

use super::pick::Pick;
use super::{Batch, RowSet, concat_as};

/// An ordered sequence of events: one partition of a topic, one file, what one run received. Cloning is cheap.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Partition(Arc<str>);

impl Partition {
    /// By its name, such as `quakes/3` or `data/quakes.ndjson@5f2c`.
    pub fn new(name: impl Into<Arc<str>>) -> Partition {
        Partition(name.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Events from row `start` on, up to the next run's, were read from the partition with index `partition`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The first row.
    pub start: u32,
    /// An index into [`Origin::partitions`].
    pub partition: u32,
}

/// The partition and position of each event, which identify it for good.
#[derive(Clone, Debug)]
pub struct Origin {
    partitions: Arc<[Partition]>,
    runs: Arc<[Run]>,
    positions: UInt64Array,
}

impl Default for Origin {
    /// No events.
    fn default() -> Origin {
        Origin { partitions: Arc::new([]), runs: Arc::new([]), positions: UInt64Array::new_null(0) }
    }
}

impl Origin {
    /// Events of one partition, at ascending positions.
    pub fn single(partition: Partition, positions: UInt64Array) -> Origin {
        let runs: &[Run] = if positions.is_empty() { &[] } else { &[Run { start: 0, partition: 0 }] };
        Origin { partitions: Arc::new([partition]), runs: runs.into(), positions }
    }

    /// Events of several partitions.
    ///
    /// Fails unless the runs ascend from row 0, lie within the positions, and name partitions that are there.
    pub fn new(partitions: Vec<Partition>, runs: Vec<Run>, positions: UInt64Array) -> Result<Origin, ArrowError> {
        let ascend = runs.windows(2).all(|pair| pair[0].start < pair[1].start);
        let begin = runs.first().map_or(positions.is_empty(), |run| run.start == 0);
        let within = runs.last().is_none_or(|run| (run.start as usize) < positions.len());
        if !(ascend && begin && within && runs.iter().all(|run| (run.partition as usize) < partitions.len())) {
            return Err(ArrowError::InvalidArgumentError("the runs of an origin do not fit its events".into()));
        }
        Ok(Origin { partitions: partitions.into(), runs: runs.into(), positions })
    }

    /// How many events there are.
    pub fn len(&self) -> usize {
        self.positions.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    /// The partitions that runs point at; some may have no events here.
    pub fn partitions(&self) -> &[Partition] {
        &self.partitions
    }

    /// Which rows come from which partition, ascending by their first row. Empty only where there are no events.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// The position of each event in its partition. Their meaning is the source's.
    pub fn positions(&self) -> &[u64] {
        self.positions.values()
    }

    /// The same, shared.
    pub fn position_buffer(&self) -> &ScalarBuffer<u64> {
        self.positions.values()
    }

    pub(super) fn position_array(&self) -> &UInt64Array {
        &self.positions
    }

    /// The rows of each run, and its partition's index.
    pub fn spans(&self) -> impl Iterator<Item = (std::ops::Range<usize>, u32)> + '_ {
        let ends = self.runs.iter().skip(1).map(|run| run.start as usize).chain([self.len()]);
        self.runs.iter().zip(ends).map(|(run, end)| (run.start as usize..end, run.partition))
    }

    /// The partition of one event. The event must be there.
    pub fn partition_of(&self, row: usize) -> &Partition {
        let run = self.runs.partition_point(|run| run.start as usize <= row) - 1;
        &self.partitions[self.runs[run].partition as usize]
    }

    pub(super) fn slice(&self, start: usize, len: usize) -> Origin {
        let positions = self.positions.slice(start, len);
        let runs = match &*self.runs {
            [_] if len > 0 => self.runs.clone(),
            _ => self
                .spans()
                .filter(|(rows, _)| rows.start < start + len && rows.end > start)
                .map(|(rows, partition)| Run { start: rows.start.saturating_sub(start) as u32, partition })
                .collect(),
        };
        Origin { partitions: self.partitions.clone(), runs, positions }
    }

    /// Of these rows in this order. Each must be there.
    pub(super) fn gather(&self, rows: &[u32]) -> Origin {
        let of = |row: u32| self.runs.partition_point(|run| run.start <= row) - 1;
        let mut runs: Vec<Run> = Vec::new();
        for (start, row) in (0..).zip(rows) {
            let partition = self.runs[of(*row)].partition;
            if runs.last().is_none_or(|last| last.partition != partition) {
                runs.push(Run { start, partition });
            }
        }
        let positions = UInt64Array::from_iter_values(rows.iter().map(|row| self.positions.value(*row as usize)));
        Origin { partitions: self.partitions.clone(), runs: runs.into(), positions }
    }

    pub(super) fn copy_out(&self, rows: &RowSet, pick: &Pick) -> Result<Origin, ArrowError> {
        let positions = pick.of(&self.positions)?;
        if self.runs.len() == 1 && !positions.is_empty() {
            return Ok(Origin { partitions: self.partitions.clone(), runs: self.runs.clone(), positions });
        }
        let mut runs: Vec<Run> = Vec::new();
        let mut start = 0;
        for (span, partition) in self.spans() {
            let left = RowSet::range(span).intersection(rows).len() as u32;
            if left > 0 && runs.last().is_none_or(|last| last.partition != partition) {
                runs.push(Run { start, partition });
            }
            start += left;
        }
        Ok(Origin { partitions: self.partitions.clone(), runs: runs.into(), positions })
    }

    pub(super) fn concat(batches: &[Batch]) -> Result<Origin, ArrowError> {
        let (mut partitions, mut runs, mut rows): (Vec<Partition>, Vec<Run>, u32) = (Vec::new(), Vec::new(), 0);
        for origin in batches.iter().map(|batch| &batch.origin) {
            for (span, partition) in origin.spans() {
                let name = &origin.partitions[partition as usize];
                let partition = partitions.iter().position(|known| known == name).unwrap_or_else(|| {
                    partitions.push(name.clone());
                    partitions.len() - 1
                }) as u32;
                if runs.last().is_none_or(|last| last.partition != partition) {
                    runs.push(Run { start: rows + span.start as u32, partition });
                }
            }
            rows += origin.len() as u32;
        }
        let positions: Vec<&dyn Array> = batches.iter().map(|batch| &batch.origin.positions as &dyn Array).collect();
        Ok(Origin { partitions: partitions.into(), runs: runs.into(), positions: concat_as(&positions)? })
    }
}
