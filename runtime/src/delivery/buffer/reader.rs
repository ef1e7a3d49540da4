//! Gives the events of a log back, in order.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use arrow_buffer::ScalarBuffer;

use super::disk::Disk;
use super::log::{Log, Segment, Segments, locked};
use super::numbers::Numbers;
use super::record::{Next, Record, Scan, decode};
use crate::batch::{Batch, RowSet};

/// The end that is read from.
#[derive(Debug)]
pub(super) struct Reader {
    disk: Arc<dyn Disk>,
    segments: Segments,
    /// The segment that is being read.
    at: Option<(u64, Scan)>,
    /// The segment and the offset to go on from, after what did not come from the disk.
    passed: Option<(u64, u64)>,
    /// The number of the next event.
    expected: u64,
    gone: Numbers,
}

/// Events of a log.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) batch: Batch,
    pub(super) numbers: ScalarBuffer<u64>,
    /// The number after all that was seen.
    pub(super) end: u64,
    /// Events before these that are damaged.
    pub(super) lost: u64,
}

impl Reader {
    /// From a position on.
    pub(super) fn new(log: &Log, position: u64) -> Reader {
        let (disk, segments, gone) = (log.disk.clone(), log.segments.clone(), log.gone().clone());
        Reader { disk, segments, at: None, passed: None, expected: position, gone }
    }

    /// The number of the next event.
    pub(super) fn expected(&self) -> u64 {
        self.expected
    }

    /// Events up to this number came from elsewhere; in the log they end at this offset of a segment.
    pub(super) fn pass(&mut self, end: u64, place: (u64, u64)) {
        (self.expected, self.at, self.passed) = (end, None, Some(place));
    }

    /// The next records, about so many bytes of them; none where all that is durable was read. Where reading fails, the
    /// next call tries again.
    pub(super) fn read(&mut self, most: usize) -> io::Result<Vec<Read>> {
        let (mut reads, mut bytes) = (Vec::new(), 0);
        while bytes < most {
            let next = match self.next() {
                Ok(Some(next)) => next,
                Ok(None) => break,
                Err(_) if !reads.is_empty() => break,
                Err(error) => return Err(error),
            };
            // What is passed over counts for nothing: nothing at all means the end.
            if let Next::Record(record) = next {
                let size = record.bytes();
                if let Some(read) = self.events(record) {
                    bytes += size;
                    reads.push(read);
                }
            }
        }
        if bytes < most {
            reads.extend(self.damaged_end());
        }
        Ok(reads)
    }

    fn next(&mut self) -> io::Result<Option<Next>> {
        loop {
            let passed = self.passed.map_or(0, |(number, _)| number);
            let number = self.at.as_ref().map_or(passed, |(number, _)| *number);
            let (current, following) = {
                let segments = locked(&self.segments);
                let mut from = segments.iter().filter(|segment| segment.number >= number).cloned();
                (from.next(), from.next())
            };
            let Some(segment) = current else { return Ok(None) };
            if self.at.as_ref().is_none_or(|(at, _)| *at != segment.number) {
                let file = self.disk.open(&Segment::name(segment.number))?;
                let passed = self.passed.filter(|(number, _)| *number == segment.number);
                self.at = Some((segment.number, Scan::new(file, passed.map_or(segment.start, |(_, offset)| offset))));
                self.passed = None;
            }
            let Some((_, scan)) = &mut self.at else { return Ok(None) };
            match (scan.next(segment.len)?, following) {
                (None, None) => return Ok(None),
                (None, Some(following)) => {
                    let file = self.disk.open(&Segment::name(following.number))?;
                    self.at = Some((following.number, Scan::new(file, following.start)));
                }
                (next, _) => return Ok(next),
            }
        }
    }

    /// What of a record is to be delivered.
    fn events(&mut self, record: Record) -> Option<Read> {
        let (first, end) = (record.first, record.end());
        if end <= self.expected {
            return None;
        }
        let mut lost = count(&self.gone.missing_in(self.expected..first.max(self.expected)));
        let wanted = self.gone.missing_in(first.max(self.expected)..end);
        self.expected = end;
        let row = |range: &Range<u64>| (range.start - first) as u32..(range.end - first) as u32;
        let rows = RowSet::from_ranges(wanted.iter().map(row));
        let batch = match decode(record).and_then(|batch| batch.select(&rows)) {
            Ok(batch) => batch,
            Err(_) => {
                lost += count(&wanted);
                return Some(Read { batch: Batch::default(), numbers: Vec::new().into(), end, lost });
            }
        };
        Some(Read { batch, numbers: wanted.into_iter().flatten().collect(), end, lost })
    }

    /// Where the last records are damaged, nothing that follows says so.
    fn damaged_end(&mut self) -> Option<Read> {
        let last = locked(&self.segments).back().cloned()?;
        let (number, scan) = self.at.as_ref()?;
        if *number != last.number || scan.offset() < last.len || last.end <= self.expected {
            return None;
        }
        let lost = count(&self.gone.missing_in(self.expected..last.end));
        self.expected = last.end;
        Some(Read { batch: Batch::default(), numbers: Vec::new().into(), end: last.end, lost })
    }
}

fn count(ranges: &[Range<u64>]) -> u64 {
    ranges.iter().map(|range| range.end - range.start).sum()
}
