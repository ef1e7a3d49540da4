//! `order = "key"`: which lane an event goes to.

use arrow_array::{Array, BinaryArray};
use xxhash_rust::xxh3::xxh3_64;

use crate::defect::{self, Defect};
use crate::envelope::Envelope;

/// Spreads events over lanes, so that those with the same key meet in the same one.
#[derive(Debug)]
pub(super) struct Spread {
    /// The rows of each lane.
    rows: Vec<Vec<u32>>,
    /// The lane of the next batch's events without a key.
    turn: usize,
}

impl Spread {
    /// Over at least one lane.
    pub(super) fn new(lanes: usize) -> Spread {
        Spread { rows: vec![Vec::new(); lanes], turn: 0 }
    }

    /// The rows of each lane. Events without a key have no order to keep: those of one batch go to one lane, and those
    /// of the next batch to the next.
    /// What hangs together goes where the first of it goes.
    pub(super) fn rows(&mut self, envelope: &Envelope) -> &[Vec<u32>] {
        self.rows.iter_mut().for_each(Vec::clear);
        self.turn = (self.turn + 1) % self.rows.len();
        let batch = envelope.batch();
        match batch.key() {
            None => self.rows[self.turn].extend((0..batch.len()).map(|row| row as u32)),
            Some(keys) => envelope.for_each_whole(|whole| {
                let lane = self.lane(keys, whole.start);
                self.rows[lane].extend(whole.map(|row| row as u32));
            }),
        }
        &self.rows
    }

    fn lane(&self, keys: &BinaryArray, row: usize) -> usize {
        if defect::on(Defect::SpreadIgnoringKeys) {
            return row % self.rows.len();
        }
        if keys.is_null(row) {
            return self.turn;
        }
        // The upper half of the product spreads a hash evenly over any number (Lemire, "Fast random integer generation
        // in an interval", 2019).
        ((u128::from(xxh3_64(keys.value(row))) * self.rows.len() as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{BatchBuilder, Event, Partition, RowSet};
    use crate::envelope::{Block, Ledger, PathName};
    use crate::metrics::SinkMetrics;
    use std::collections::BTreeMap;
    use std::sync::Arc;

    fn batch(keys: &[Option<&str>]) -> Envelope {
        let mut builder = BatchBuilder::new();
        for (position, key) in (0..).zip(keys) {
            let event = Event { key: key.map(str::as_bytes), position, ..Event::default() };
            builder.push(&Partition::from("a"), event);
        }
        let block = Block { batch: builder.finish().unwrap(), ends: vec![], rejects: None };
        let name = PathName { pipeline: "p".into(), sink: "s".into() };
        let path = Ledger::new().path(name, BTreeMap::new(), Arc::new(SinkMetrics::default()));
        path.take(&block, &RowSet::all(keys.len())).unwrap().unwrap()
    }

    #[test]
    fn a_key_has_one_lane_and_every_event_has_one() {
        let names: Vec<String> = (0..1_000).map(|n| (n % 100).to_string()).collect();
        let keys: Vec<Option<&str>> = names.iter().map(|name| Some(name.as_str())).collect();
        let mut spread = Spread::new(16);
        let rows = spread.rows(&batch(&keys));
        assert_eq!(rows.iter().map(Vec::len).sum::<usize>(), 1_000);
        for lane in rows {
            let of_keys: std::collections::BTreeSet<u32> = lane.iter().map(|row| row % 100).collect();
            assert_eq!(lane.len(), of_keys.len() * 10, "all events of its keys");
        }
        assert!(rows.iter().filter(|lane| !lane.is_empty()).count() > 12, "keys are spread");
    }

    #[test]
    fn events_without_a_key_take_turns_by_batches() {
        let mut spread = Spread::new(3);
        let lanes = |rows: &[Vec<u32>]| rows.iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(lanes(spread.rows(&batch(&[None, None]))), [0, 2, 0]);
        assert_eq!(lanes(spread.rows(&batch(&[None, None]))), [0, 0, 2]);
        let mixed = lanes(spread.rows(&batch(&[None, Some("k"), None])));
        assert!(mixed[0] >= 2 && mixed.iter().sum::<usize>() == 3, "{mixed:?}");
    }
}
