//! Records and the heads of segments, as bytes. `docs/buffers.md` fixes the format.

use std::io;
use std::sync::Arc;

use arrow_buffer::Buffer;
use arrow_ipc::reader::StreamDecoder;
use arrow_ipc::writer::StreamEncoder;
use arrow_schema::ArrowError;
use memchr::memmem;
use xxhash_rust::xxh3::{Xxh3Default, xxh3_64};

use super::disk::LogFile;
use crate::batch::Batch;

/// Where a record begins. Found again behind what is damaged.
const MARKER: [u8; 8] = *b"\xb5sumprec";
/// The marker, length, events, first number, checksum of what follows, checksum of this.
const HEAD: usize = 40;
/// Where a segment begins.
const MAGIC: [u8; 8] = *b"SUMPBUF1";
/// How much is searched at a time for the next record.
const STEP: usize = 64 << 10;

/// Parts of a record up to this size are put together before they are written.
const SMALL: usize = 16 << 10;

/// Events as they are written: the columns are not copied for that.
#[derive(Debug)]
pub(super) struct Encoded {
    head: [u8; HEAD],
    parts: Vec<Buffer>,
    /// The events themselves.
    pub(super) batch: Batch,
    /// The number of the first.
    pub(super) first: u64,
    /// Bytes in a file.
    pub(super) len: u64,
}

impl Encoded {
    /// The number after the last event.
    pub(super) fn end(&self) -> u64 {
        self.first + self.batch.len() as u64
    }

    /// Writes it at an offset.
    pub(super) fn write(&self, file: &(dyn LogFile + 'static), mut offset: u64) -> io::Result<()> {
        let mut small = self.head.to_vec();
        for part in &self.parts {
            if part.len() <= SMALL {
                small.extend_from_slice(part);
                continue;
            }
            file.write_all_at(&small, offset)?;
            file.write_all_at(part, offset + small.len() as u64)?;
            offset += (small.len() + part.len()) as u64;
            small.clear();
        }
        file.write_all_at(&small, offset)
    }
}

/// Puts events together as one record, the first of which has the number `first`.
pub(super) fn encode(batch: Batch, first: u64) -> Result<Encoded, ArrowError> {
    let columns = batch.to_record_batch()?;
    let mut encoder = StreamEncoder::try_new(&columns.schema())?;
    let mut parts = encoder.encode(&columns)?;
    parts.extend(encoder.finish()?);
    let mut checksum = Xxh3Default::new();
    parts.iter().for_each(|part| checksum.update(part));
    let too_large = |_| ArrowError::InvalidArgumentError("a record is beyond 4 GiB".into());
    let length = u32::try_from(parts.iter().map(|part| part.len()).sum::<usize>()).map_err(too_large)?;
    let head = Head { length, events: batch.len() as u32, first, checksum: checksum.digest() }.to_bytes();
    Ok(Encoded { head, parts, batch, first, len: HEAD as u64 + u64::from(length) })
}

/// The events of a record.
pub(super) fn decode(record: Record) -> Result<Batch, ArrowError> {
    let mut buffer = Buffer::from_vec(record.columns);
    let mut decoder = StreamDecoder::new();
    while !buffer.is_empty() {
        if let Some(columns) = decoder.decode(&mut buffer)? {
            let batch = Batch::from_record_batch(&columns)?;
            if batch.len() != record.events as usize {
                return Err(ArrowError::InvalidArgumentError("a record has another number of events".into()));
            }
            return Ok(batch);
        }
    }
    Err(ArrowError::InvalidArgumentError("a record has no events".into()))
}

struct Head {
    length: u32,
    events: u32,
    first: u64,
    checksum: u64,
}

impl Head {
    fn to_bytes(&self) -> [u8; HEAD] {
        let mut bytes = [0; HEAD];
        bytes[..8].copy_from_slice(&MARKER);
        bytes[8..12].copy_from_slice(&self.length.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.events.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.first.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.checksum.to_le_bytes());
        let own = xxh3_64(&bytes[..32]);
        bytes[32..].copy_from_slice(&own.to_le_bytes());
        bytes
    }

    fn read(bytes: &[u8; HEAD]) -> Option<Head> {
        let whole = bytes[..8] == MARKER && xxh3_64(&bytes[..32]) == u64_at(bytes, 32);
        whole.then(|| Head {
            length: u32_at(bytes, 8),
            events: u32_at(bytes, 12),
            first: u64_at(bytes, 16),
            checksum: u64_at(bytes, 24),
        })
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|four| four.try_into().ok()).map_or(0, u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|eight| eight.try_into().ok()).map_or(0, u64::from_le_bytes)
}

/// A record that is whole.
#[derive(Debug)]
pub(super) struct Record {
    /// The number of its first event.
    pub(super) first: u64,
    pub(super) events: u32,
    /// A stream of Arrow IPC.
    columns: Vec<u8>,
}

impl Record {
    /// The number after its last event.
    pub(super) fn end(&self) -> u64 {
        self.first.saturating_add(u64::from(self.events))
    }

    /// Bytes in the file.
    pub(super) fn bytes(&self) -> usize {
        HEAD + self.columns.len()
    }
}

/// What is next in a segment.
#[derive(Debug)]
pub(super) enum Next {
    Record(Record),
    /// So many bytes are no record.
    Damage(u64),
}

/// Reads the records of a segment, one after the other, up to a length.
#[derive(Debug)]
pub(super) struct Scan {
    file: Arc<dyn LogFile>,
    offset: u64,
}

impl Scan {
    pub(super) fn new(file: Arc<dyn LogFile>, offset: u64) -> Scan {
        Scan { file, offset }
    }

    /// What is next before `end`; `None` at the end. Where reading fails, the next call tries again.
    pub(super) fn next(&mut self, end: u64) -> io::Result<Option<Next>> {
        let left = end.saturating_sub(self.offset);
        if left == 0 {
            return Ok(None);
        }
        if left >= HEAD as u64
            && let Some(head) = self.head(self.offset)?
            && HEAD as u64 + u64::from(head.length) <= left
        {
            let mut columns = vec![0; head.length as usize];
            self.file.read_exact_at(&mut columns, self.offset + HEAD as u64)?;
            let whole = HEAD as u64 + u64::from(head.length);
            self.offset += whole;
            if xxh3_64(&columns) != head.checksum {
                return Ok(Some(Next::Damage(whole)));
            }
            return Ok(Some(Next::Record(Record { first: head.first, events: head.events, columns })));
        }
        let next = self.find(self.offset + 1, end)?;
        let damaged = next - self.offset;
        self.offset = next;
        Ok(Some(Next::Damage(damaged)))
    }

    /// Where it is.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    fn head(&self, offset: u64) -> io::Result<Option<Head>> {
        let mut head = [0; HEAD];
        self.file.read_exact_at(&mut head, offset)?;
        Ok(Head::read(&head))
    }

    /// Where the next record begins, or `end`.
    fn find(&self, mut from: u64, end: u64) -> io::Result<u64> {
        let mut step = vec![0; STEP];
        while from + HEAD as u64 <= end {
            let read = &mut step[..(end - from).min(STEP as u64) as usize];
            self.file.read_exact_at(read, from)?;
            for at in memmem::find_iter(read, &MARKER) {
                let at = from + at as u64;
                if at + HEAD as u64 <= end && self.head(at)?.is_some() {
                    return Ok(at);
                }
            }
            // A marker may straddle two steps.
            from += (read.len() - MARKER.len() + 1) as u64;
        }
        Ok(end)
    }
}

/// What a segment says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SegmentHead {
    /// The number of its first event.
    pub(super) first: u64,
    /// The source that can give its events again, if one can.
    pub(super) source: String,
}

impl SegmentHead {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(self.first.to_le_bytes());
        bytes.extend((self.source.len() as u32).to_le_bytes());
        bytes.extend(self.source.as_bytes());
        bytes.extend(xxh3_64(&bytes).to_le_bytes());
        bytes
    }

    /// And where the records begin. `None` where it is not whole.
    pub(super) fn read(file: &(dyn LogFile + 'static), len: u64) -> io::Result<Option<(SegmentHead, u64)>> {
        // Names of sources are short: all of it is in the first bytes.
        let mut bytes = vec![0; len.min(4096) as usize];
        file.read_exact_at(&mut bytes, 0)?;
        let end = 20_usize.saturating_add(u32_at(&bytes, 16) as usize);
        let whole = bytes.len() > 20 && bytes.starts_with(&MAGIC) && end + 8 <= bytes.len();
        if !whole || xxh3_64(&bytes[..end]) != u64_at(&bytes, end) {
            return Ok(None);
        }
        let source = String::from_utf8_lossy(&bytes[20..end]).into_owned();
        Ok(Some((SegmentHead { first: u64_at(&bytes, 8), source }, end as u64 + 8)))
    }
}
