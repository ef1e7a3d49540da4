//! Finds out what an earlier run left.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::ops::Range;
use std::sync::Arc;

use tracing::warn;

use super::disk::Disk;
use super::log::{Log, POSITION, Saved, Segment};
use super::numbers::Numbers;
use super::record::{Next, Record, Scan, SegmentHead, decode};
use crate::batch::Partition;

/// What the source of a buffer gives again.
#[derive(Clone, Debug, Default)]
pub struct Again {
    /// Its name; empty where it can't be read again.
    pub source: String,
    /// In each partition, from where on. A partition that is missing has come to its end and does not come again. `None`:
    /// everything comes again.
    pub positions: Option<BTreeMap<Partition, u64>>,
}

/// What was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Events before are final.
    pub(super) position: u64,
    /// Events to be delivered.
    pub(super) events: u64,
    /// Events that the source gives again.
    pub(super) discarded: u64,
    /// Events that are damaged.
    pub(super) lost: u64,
    /// Bytes that are no record: a write that a crash tore, or damage.
    pub(super) torn: u64,
}

/// Reads the whole log once, and writes down what is not to be delivered from it.
pub(super) fn recover(disk: Arc<dyn Disk>, again: &Again, segment_bytes: u64) -> io::Result<(Log, Found)> {
    let saved = disk.read(POSITION)?;
    // One that can't be read is as good as none: events come twice, and none is lost.
    let saved: Saved = saved.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
    let mut numbers: Vec<u64> = disk.names()?.iter().filter_map(|name| Segment::number_of(name)).collect();
    numbers.sort_unstable();
    let mut reading = Reading {
        again,
        gone: saved.gone.iter().map(|(start, end)| *start..*end).collect(),
        expected: None,
        position: saved.position,
        lost: Vec::new(),
        discarded: Vec::new(),
        torn: 0,
        segments: VecDeque::new(),
    };
    let superseded = superseded(&*disk, &numbers)?;
    for (number, from) in numbers.iter().zip(superseded) {
        reading.segment(&*disk, *number, from)?;
    }
    let next_segment = numbers.last().map_or(1, |last| last + 1);
    let mut end = saved.end.max(saved.position);
    if numbers.is_empty() {
        // The last segment is removed only when all of it is final.
        reading.position = end;
    }
    let read_to = reading.expected.unwrap_or(reading.position);
    end = end.max(read_to);
    reading.lost.push(read_to..end);
    reading.finish(disk, segment_bytes, next_segment, end)
}

/// From which event on each segment counts for nothing: a later one begins there, because it was not durable at first.
fn superseded(disk: &dyn Disk, numbers: &[u64]) -> io::Result<Vec<u64>> {
    let mut from = vec![u64::MAX; numbers.len()];
    let mut lowest = u64::MAX;
    for (number, from) in numbers.iter().zip(&mut from).rev() {
        *from = lowest;
        let file = disk.open(&Segment::name(*number))?;
        if let Some((head, _)) = SegmentHead::read(&*file, file.len()?)? {
            lowest = lowest.min(head.first);
        }
    }
    Ok(from)
}

struct Reading<'a> {
    again: &'a Again,
    gone: Vec<Range<u64>>,
    /// The number of the next event, once anything is known.
    expected: Option<u64>,
    position: u64,
    lost: Vec<Range<u64>>,
    discarded: Vec<Range<u64>>,
    torn: u64,
    segments: VecDeque<Segment>,
}

impl Reading<'_> {
    fn segment(&mut self, disk: &dyn Disk, number: u64, superseded: u64) -> io::Result<()> {
        let file = disk.open(&Segment::name(number))?;
        let mut len = file.len()?;
        let head = SegmentHead::read(&*file, len)?;
        let (head, start) = head.map_or((None, 0), |(head, start)| (Some(head), start));
        let comes_again = head.as_ref().is_some_and(|head| !head.source.is_empty() && head.source == self.again.source);
        if let (None, Some(head)) = (self.expected, &head) {
            // What is missing before it was removed, because it was final.
            self.position = self.position.max(head.first);
            self.expected = Some(head.first);
        }
        let mut scan = Scan::new(file, start);
        loop {
            let offset = scan.offset();
            match scan.next(len)? {
                None => break,
                Some(Next::Damage(bytes)) => self.torn += bytes,
                Some(Next::Record(record)) if record.first >= superseded => {
                    len = offset;
                    break;
                }
                Some(Next::Record(record)) => self.record(record, comes_again),
            }
        }
        let end = self.expected.unwrap_or(0);
        self.segments.push_back(Segment { number, start, len, end });
        Ok(())
    }

    fn record(&mut self, record: Record, comes_again: bool) {
        let expected = *self.expected.get_or_insert(record.first);
        if record.end() <= expected {
            return;
        }
        self.lost.push(expected..record.first);
        self.expected = Some(record.end());
        let (first, end) = (record.first, record.end());
        if !comes_again || end <= self.position {
            return;
        }
        match decode(record) {
            Err(_) => self.lost.push(first..end),
            Ok(batch) => {
                let origin = batch.origin();
                for (rows, partition) in origin.spans() {
                    let from = match &self.again.positions {
                        None => 0,
                        Some(positions) => match positions.get(&origin.partitions()[partition as usize]) {
                            Some(position) => *position,
                            None => continue,
                        },
                    };
                    let again = |row: &usize| origin.positions()[*row] >= from;
                    let row = |row: usize| first + row as u64..first + row as u64 + 1;
                    // Mostly all of them or none, and merged here so that a million events are one range.
                    match origin.positions()[rows.clone()].first() {
                        Some(lowest) if *lowest >= from => {
                            self.discarded.push(first + rows.start as u64..first + rows.end as u64);
                        }
                        _ => self.discarded.extend(rows.filter(again).map(row)),
                    }
                }
            }
        }
    }

    fn finish(
        mut self,
        disk: Arc<dyn Disk>,
        segment_bytes: u64,
        next_segment: u64,
        end: u64,
    ) -> io::Result<(Log, Found)> {
        let position = self.position;
        let before = Numbers::from_ranges(self.gone.iter().cloned()).from(position);
        let new = |ranges: Vec<Range<u64>>, known: &Numbers| {
            let from = ranges.into_iter().map(|range| range.start.max(position)..range.end);
            let missing = from.filter(|range| range.start < range.end).flat_map(|range| known.missing_in(range));
            Numbers::from_ranges(missing)
        };
        let lost = new(std::mem::take(&mut self.lost), &before);
        let known = Numbers::from_ranges(before.ranges().iter().chain(lost.ranges()).cloned());
        let discarded = new(std::mem::take(&mut self.discarded), &known);
        let gone = Numbers::from_ranges(known.ranges().iter().chain(discarded.ranges()).cloned());
        let events = (end - position) - gone.count_from(position);
        let position = if events == 0 { end } else { position };
        let found =
            Found { position, events, discarded: discarded.count_from(0), lost: lost.count_from(0), torn: self.torn };
        let source = self.again.source.clone();
        let was_there = !self.segments.is_empty();
        let mut log = Log::new(disk, self.segments, source, segment_bytes, (next_segment, end), gone);
        if was_there {
            // Before anything is read again: else a second crash would find some events twice.
            if let Err(error) = log.save(position) {
                warn!(%error, "the position in the disk buffer can't be saved: after a crash events come again");
            }
            log.reclaim(position, true);
        }
        Ok((log, found))
    }
}
