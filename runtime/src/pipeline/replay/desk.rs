//! What is known of the letters that are on their way.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow_array::builder::UInt64Builder;
use arrow_schema::ArrowError;

use crate::batch::{Batch, Origin, Partition, RowSet, Run};
use crate::delivery::{Found, Marks, Past};
use crate::pipeline::run::Signals;

/// Where a letter lies: the number of its segment, and its first byte there.
type Place = (u64, u64);

/// Keeps what does not travel with an event, from reading until its letter is marked, and marks.
pub(super) struct Desk {
    stories: Mutex<HashMap<Place, Story>>,
    marks: Arc<Mutex<Marks>>,
    failed: Arc<Mutex<Option<String>>>,
    signals: Signals,
}

/// What a letter says beside the event itself.
#[derive(Debug)]
struct Story {
    end: u64,
    partition: Partition,
    position: u64,
    past: Past,
}

impl Desk {
    pub(super) fn new(marks: Marks, signals: Signals) -> Desk {
        Desk { stories: Mutex::default(), marks: Arc::new(Mutex::new(marks)), failed: Arc::default(), signals }
    }

    /// What kept letters from being marked, if anything ever does.
    pub(super) fn failed(&self) -> Arc<Mutex<Option<String>>> {
        self.failed.clone()
    }

    /// Takes letters of one segment on. Their events are told by their places from now on.
    pub(super) fn take(&self, found: &[Found]) {
        let mut stories = locked(&self.stories);
        for Found { segment, bytes, letter, .. } in found {
            let partition = Partition::from(letter.partition.as_str());
            let story = Story { end: bytes.end, partition, position: letter.position, past: letter.past() };
            stories.insert((*segment, bytes.start), story);
        }
    }

    /// The name under which a segment travels.
    pub(super) fn partition(segment: u64) -> Partition {
        Partition::new(format!("dead_letters/{segment:08}"))
    }

    /// The events with the origins that they had when they were read first.
    pub(super) fn restore(&self, batch: &Batch) -> Result<Batch, ArrowError> {
        let stories = locked(&self.stories);
        let (mut partitions, mut runs, mut positions): (Vec<Partition>, Vec<Run>, _) =
            (Vec::new(), Vec::new(), UInt64Builder::new());
        for (row, place) in (0..).zip(places(batch)) {
            let story = place.and_then(|place| stories.get(&place));
            let story = story.ok_or_else(|| ArrowError::InvalidArgumentError("an event without a letter".into()))?;
            let known = partitions.iter().rposition(|known| *known == story.partition).unwrap_or_else(|| {
                partitions.push(story.partition.clone());
                partitions.len() - 1
            }) as u32;
            if runs.last().is_none_or(|run| run.partition != known) {
                runs.push(Run { start: row, partition: known });
            }
            positions.append_value(story.position);
        }
        let origin = Origin::new(partitions, runs, positions.finish())?;
        batch.clone().with_origin(origin).map_err(|uneven| ArrowError::from_external_error(Box::new(uneven)))
    }

    /// What a new letter says of the old one, for each event.
    pub(super) fn past(&self, batch: &Batch) -> Vec<Past> {
        let stories = locked(&self.stories);
        let past = |place: Option<Place>| place.and_then(|place| Some(stories.get(&place)?.past.clone()));
        places(batch).map(|place| past(place).unwrap_or_default()).collect()
    }

    /// The letters of some events of a batch are done. Returns once that is durable, or known to fail: then the replay
    /// stops, because it could not be said later what was sent.
    pub(super) async fn mark(&self, batch: &Batch, rows: &RowSet) {
        let all: Vec<Option<Place>> = places(batch).collect();
        let places = rows.ranges().iter().flat_map(|range| &all[range.start as usize..range.end as usize]);
        let lines: Vec<(u64, Range<u64>)> = {
            let stories = locked(&self.stories);
            let line = |place: &Option<Place>| {
                let (segment, start) = (*place)?;
                Some((segment, start..stories.get(&(segment, start))?.end))
            };
            places.clone().filter_map(line).collect()
        };
        if lines.is_empty() {
            return;
        }
        let marks = self.marks.clone();
        // Goes on even if whoever waits is given up: what is written is not to be sent again.
        let marking = tokio::task::spawn_blocking(move || locked(&marks).mark(&lines));
        let failed = match marking.await {
            Ok(Ok(())) => {
                // Not before: whoever is given up meanwhile tries the same events again.
                let mut stories = locked(&self.stories);
                places.flatten().for_each(|place| drop(stories.remove(place)));
                return;
            }
            Ok(Err(error)) => error.to_string(),
            Err(panic) => panic.to_string(),
        };
        locked(&self.failed).get_or_insert(failed);
        self.signals.give_up();
    }
}

/// The place of each event's letter.
fn places(batch: &Batch) -> impl Iterator<Item = Option<Place>> {
    let origin = batch.origin();
    origin.spans().flat_map(move |(rows, partition)| {
        let name = origin.partitions()[partition as usize].as_str();
        let segment: Option<u64> = name.rsplit('/').next().and_then(|number| number.parse().ok());
        rows.map(move |row| Some((segment?, origin.positions()[row])))
    })
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is behind it is whole between any two changes, whoever panicked.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::batch::Batch;
    use crate::delivery::{Filter, ReplayLock, Scan, Snapshot};
    use arrow_array::{BinaryArray, TimestampMillisecondArray, UInt64Array};

    /// Two letters of one segment, and their events on the way.
    pub(in crate::pipeline::replay) fn taken(folder: &std::path::Path) -> (Arc<Desk>, Batch) {
        let line = |position: u64| {
            let letter = serde_json::json!({
                "pipeline": "p", "sink": "s", "kind": "rejected", "code": "bad", "message": "", "attempts": 2, "time": 5,
                "partition": "f@1", "position": position, "timestamp": 3, "key": null, "headers": [], "payload": "x",
            });
            format!("{letter}\n")
        };
        std::fs::write(folder.join("00000004.ndjson"), line(70) + &line(30)).unwrap();
        let found = Scan::new(&Snapshot::take(folder).unwrap(), Filter::default(), false).read().unwrap();
        let lock = ReplayLock::take(folder).unwrap();
        let desk = Arc::new(Desk::new(Marks::open(folder, &lock), Signals::new()));
        desk.take(&found);
        let positions = UInt64Array::from_iter_values(found.iter().map(|found| found.bytes.start));
        let origin = Origin::single(Desk::partition(4), positions);
        let times = TimestampMillisecondArray::from(vec![3, 3]);
        (desk, Batch::new(BinaryArray::from_iter_values(["x", "x"]), times, origin).unwrap())
    }

    /// What is not done.
    fn left(folder: &std::path::Path) -> usize {
        Scan::new(&Snapshot::take(folder).unwrap(), Filter::default(), false).read().unwrap().len()
    }

    #[tokio::test]
    async fn events_get_their_origins_back_and_only_what_is_done_is_marked() {
        let folder = tempfile::tempdir().unwrap();
        let (desk, batch) = taken(folder.path());
        let restored = desk.restore(&batch).unwrap();
        assert_eq!((restored.origin().partition_of(1).as_str(), restored.origin().positions()), ("f@1", &[70, 30][..]));
        let past = desk.past(&batch);
        assert_eq!((past[0].attempts, past[0].replays), (2, 1));
        desk.mark(&batch, &RowSet::from_rows(vec![1])).await;
        assert_eq!(left(folder.path()), 1);
        assert!(desk.restore(&batch.slice(0..1)).is_ok() && desk.restore(&batch).is_err());
        desk.mark(&batch, &RowSet::all(1)).await;
        assert_eq!(left(folder.path()), 0);
    }

    #[tokio::test]
    async fn a_replay_that_can_not_mark_stops_and_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let (desk, batch) = taken(folder.path());
        std::fs::create_dir(folder.path().join("00000004.done")).unwrap();
        desk.mark(&batch, &RowSet::all(2)).await;
        assert!(locked(&desk.failed()).is_some());
        assert!(*desk.signals.give_up.subscribe().borrow());
    }
}
