//! The columns that all blocks of a generator share.

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use arrow_array::{TimestampMillisecondArray, UInt64Array};

use super::{EVENTS, Settings};
use crate::batch::{Batch, BatchBuilder, Event, Origin, Partition};
use crate::envelope::Block;
use crate::source::SourceError;

/// Bytes of payload in a block, about, where events are large.
const BYTES: usize = 8 << 20;

/// Made once.
#[derive(Debug)]
pub(super) struct Columns {
    made: Batch,
    /// The time of the last block, for each event. Made anew when the clock has moved on.
    timestamps: TimestampMillisecondArray,
}

impl Columns {
    pub(super) fn new(settings: &Settings) -> Result<Columns, SourceError> {
        let size = settings.size as usize;
        let events = (BYTES / size.max(1)).clamp(1, EVENTS);
        let mut builder = BatchBuilder::new();
        let names: Vec<String> = (0..settings.headers).map(|header| format!("header-{header}")).collect();
        let values: Vec<String> = (0..settings.headers).map(|header| format!("value-{header}")).collect();
        let pairs = names.iter().zip(&values).map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let headers: Vec<(&[u8], &[u8])> = pairs.collect();
        let (mut payload, mut key) = (String::new(), String::new());
        for number in 0..events {
            json(&mut payload, number, size);
            key.clear();
            if settings.keys > 0 {
                write!(key, "key-{}", number % settings.keys as usize).map_err(failed)?;
            }
            let key = (settings.keys > 0).then_some(key.as_bytes());
            let event = Event { payload: Some(payload.as_bytes()), key, headers: &headers, ..Event::default() };
            builder.push(&Partition::from("generate"), event);
        }
        let made = builder.finish().map_err(failed)?;
        let timestamps = TimestampMillisecondArray::from(vec![0; made.len()]);
        Ok(Columns { made, timestamps })
    }

    /// How many events there are in a block.
    pub(super) fn events(&self) -> usize {
        self.made.len()
    }

    /// So many events, numbered from `first` on. There must be so many.
    pub(super) fn block(&mut self, partition: &Partition, first: u64, events: usize) -> Result<Block, SourceError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
        if self.timestamps.values()[0] != now {
            self.timestamps = TimestampMillisecondArray::from(vec![now; self.events()]);
        }
        let end = first + events as u64;
        let origin = Origin::single(partition.clone(), UInt64Array::from_iter_values(first..end));
        let made = self.made.slice(0..events);
        let batch = Batch::new(made.payload().clone(), self.timestamps.slice(0, events), origin)
            .and_then(|batch| batch.with_key(made.key().cloned()))
            .and_then(|batch| batch.with_headers(made.headers().cloned()))
            .map_err(failed)?;
        Ok(Block { batch, ends: vec![(partition.clone(), end)], rejects: None })
    }
}

/// An object of exactly `size` bytes, where that is possible.
fn json(payload: &mut String, number: usize, size: usize) {
    payload.clear();
    payload.push_str("{\"n\":");
    payload.push_str(&number.to_string());
    payload.push_str(",\"text\":\"");
    let letters = ('a'..='z').cycle().skip(number % 26);
    payload.extend(letters.take(size.saturating_sub(payload.len() + 2)));
    payload.push_str("\"}");
}

fn failed(error: impl std::fmt::Display) -> SourceError {
    SourceError { message: format!("events could not be made: {error}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    use arrow_array::Array;

    fn columns(size: u64, headers: u32, keys: u32) -> Columns {
        Columns::new(&Settings { size, headers, keys, ..Settings::default() }).unwrap()
    }

    #[test]
    fn a_payload_is_json_of_the_size_that_was_asked_for() {
        for size in [Settings::LEAST, 64, 1000, 100_000] {
            let mut columns = columns(size, 0, 0);
            let events = columns.events();
            let block = columns.block(&Partition::from("p"), 0, events).unwrap();
            for row in 0..events {
                let payload = block.batch.payload().value(row);
                assert_eq!(payload.len() as u64, size);
                let json: serde_json::Value = serde_json::from_slice(payload).unwrap();
                assert_eq!(json["n"], row);
            }
        }
        assert_eq!(columns(Settings::MOST, 0, 0).events(), 1);
    }

    #[test]
    fn blocks_share_everything_but_positions() {
        let mut columns = columns(64, 2, 10);
        let (one, two) = (
            columns.block(&Partition::from("p"), 0, 4096).unwrap().batch,
            columns.block(&Partition::from("p"), 4096, 100).unwrap().batch,
        );
        assert_eq!(one.payload().values().as_ptr(), two.payload().values().as_ptr());
        let (keys, headers) = (two.key().unwrap(), two.headers().unwrap());
        assert_eq!((keys.value(13), keys.null_count()), (&b"key-3"[..], 0));
        assert_eq!(headers.of(99).collect::<Vec<_>>()[1], (&b"header-1"[..], Some(&b"value-1"[..])));
        assert_eq!((one.origin().positions()[4095], two.origin().positions()[0]), (4095, 4096));
        assert!(two.timestamps()[0] >= one.timestamps()[4095]);
    }
}
