//! Batches as sources may give them, made of sample events.

use arrow_schema::ArrowError;

use crate::batch::{Batch, BatchBuilder, Event, Partition};
use crate::delivery;
use crate::trial::event::{Given, PARTITION};
use crate::wasm::Description;

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Load {
    Nothing,
    One,
    Few,
    /// Every other event has no payload.
    Tombstones,
    /// Payloads and keys of no bytes.
    Empty,
    /// Some events have keys, others headers, others both or none.
    Mixed,
    /// One event with a thousand headers.
    Headers,
    /// Payload, key and a header are not UTF-8.
    NotText,
    /// One event of a mebibyte, which goes alone.
    Large,
    /// More than memory holds if it is not given back.
    Many,
}

const FEW: usize = 10;
const MANY: usize = 100_000;
const LARGE: usize = 1 << 20;
const HEADERS: usize = 1000;
/// No character begins or goes on like this.
const NOT_TEXT: &[u8] = &[0xff, 0xc0, 0x80, b'a'];

impl Load {
    /// The batches, none larger than the component says or the delivery makes by default.
    pub(super) fn batches(self, samples: &[Given], now: i64, described: &Description) -> Result<Vec<Batch>, String> {
        let samples: Vec<Vec<u8>> =
            samples.iter().filter_map(|sample| sample.payload.as_ref()).map(|payload| payload.bytes()).collect();
        let sample = |row: usize| samples.get(row % samples.len().max(1)).map_or(&b"{}"[..], Vec::as_slice);
        let (mut builder, partition) = (BatchBuilder::new(), Partition::from(PARTITION));
        let large = vec![b' '; LARGE - sample(0).len().min(LARGE)];
        // Blanks before it leave JSON what it is.
        let large = [&large, sample(0)].concat();
        let names: Vec<String> = (0..HEADERS).map(|number| format!("header-{number}")).collect();
        let headers: Vec<(&[u8], &[u8])> = names.iter().map(|name| (name.as_bytes(), &b"value"[..])).collect();
        for row in 0..self.events() {
            let payload = match self {
                Load::Tombstones if row % 2 == 1 => None,
                Load::Empty => Some(&b""[..]),
                Load::NotText => Some(NOT_TEXT),
                Load::Large => Some(large.as_slice()),
                _ => Some(sample(row)),
            };
            let key = match self {
                Load::Empty => Some(&b""[..]),
                Load::NotText => Some(NOT_TEXT),
                Load::Mixed if row % 2 == 0 => Some(&b"key"[..]),
                _ => None,
            };
            let headers: &[(&[u8], &[u8])] = match self {
                Load::Headers => &headers,
                Load::NotText => &[(b"header", NOT_TEXT)],
                Load::Mixed if row % 3 == 0 => &headers[..2],
                _ => &[],
            };
            builder.push(&partition, Event { payload, key, timestamp: now, headers, position: row as u64 });
        }
        let batch = builder.finish().map_err(|error: ArrowError| error.to_string())?;
        if self == Load::Nothing {
            return Ok(vec![batch]);
        }
        let most = delivery::Settings::default().batch_size.get();
        let (events, bytes) = (described.max_events, described.max_bytes);
        Ok(cut(
            &batch,
            events.map_or(most, |events| most.min(events as usize)),
            bytes.map_or(usize::MAX, |b| b as usize),
        ))
    }

    fn events(self) -> usize {
        match self {
            Load::Nothing => 0,
            Load::One | Load::Headers | Load::Large => 1,
            Load::Many => MANY,
            _ => FEW,
        }
    }
}

/// Pieces of at most so many events, and so many bytes of payload where that is more than one event.
fn cut(batch: &Batch, events: usize, bytes: usize) -> Vec<Batch> {
    let mut pieces = Vec::new();
    let mut rest = batch.clone();
    while !rest.is_empty() {
        let mut rows = rest.len().min(events);
        while rows > 1 && rest.slice(0..rows).payload_bytes() > bytes {
            rows /= 2;
        }
        pieces.push(rest.slice(0..rows));
        rest = rest.slice(rows..rest.len());
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_no_larger_than_the_component_takes() {
        let described = Description {
            name: String::new(),
            version: String::new(),
            config_schema: None,
            max_events: Some(4),
            max_bytes: Some(6),
            stops_in_order: true,
            content_type: None,
        };
        let sizes =
            |load: Load| -> Vec<usize> { load.batches(&[], 0, &described).unwrap().iter().map(Batch::len).collect() };
        assert_eq!(sizes(Load::Few), [2; 5]);
        assert_eq!(sizes(Load::Large), [1]);
        assert_eq!(sizes(Load::Nothing), [0]);
    }
}
