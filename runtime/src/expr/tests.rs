//! Conditions over whole batches: real events, and one case for each way to fail.

use arrow_array::{Array, BinaryArray, TimestampMillisecondArray, UInt64Array};

use super::{Condition, Verdicts};
use crate::batch::Batch;
use crate::batch::{Origin, Partition};

const QUAKES: &str = include_str!("../../../data/earthquakes.ndjson");

pub(super) fn lines(text: &str) -> Batch {
    let payload = BinaryArray::from_iter_values(text.lines());
    let rows = payload.len();
    let origin = Origin::single(Partition::new("quakes/0"), UInt64Array::from_iter_values(0..rows as u64));
    Batch::new(payload, TimestampMillisecondArray::from(vec![0; rows]), origin).unwrap()
}

fn asked(condition: &str, batch: &Batch) -> Verdicts {
    Condition::parse(condition).unwrap_or_else(|error| panic!("{condition}: {error}")).evaluate(batch)
}

fn counts(condition: &str) -> (usize, usize) {
    let verdicts = asked(condition, &lines(QUAKES));
    (verdicts.holds.len(), verdicts.failed.len())
}

#[test]
fn it_holds_for_the_quakes_that_it_names() {
    assert_eq!(counts("event.mag >= 4.5"), (85, 0));
    assert_eq!(counts("event.felt > 10").1, 1580);
    let (felt, failed) = counts("event.felt != null && event.felt > 10");
    assert_eq!(failed, 0);
    assert_eq!(counts("event.felt > 10").0, felt);
}

#[test]
fn names_that_are_not_there_are_found_before_anything_runs() {
    let error = Condition::parse("evnt.mag > 4").unwrap_err();
    assert_eq!((error.message.as_str(), error.offset), ("unknown variable `evnt`: did you mean `event`?", Some(0)));
}
