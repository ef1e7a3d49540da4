//! The two ends of the way of a letter: the sink, and the dead letters once more. Both mark what is final there.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;

use super::desk::Desk;
use crate::batch::{Batch, Partition, RowSet};
use crate::delivery::{DeadLetter, DeadLetters, Segments, Unkept, encode};
use crate::sink::{Connect, Contract, Failure, Outcome, Sink, WriteContext, WriteError};

/// A sink that gets events as they were when they were read first. What it has written is marked.
pub(super) struct Restored {
    connect: Arc<dyn Connect>,
    desk: Arc<Desk>,
}

impl Restored {
    pub(super) fn new(connect: Arc<dyn Connect>, desk: Arc<Desk>) -> Restored {
        Restored { connect, desk }
    }
}

#[async_trait]
impl Connect for Restored {
    fn contract(&self) -> &Contract {
        self.connect.contract()
    }

    async fn open(&self, instance: u32) -> Result<Arc<dyn Sink>, Failure> {
        Ok(Arc::new(RestoredSink { sink: self.connect.open(instance).await?, desk: self.desk.clone() }))
    }

    /// Letters are not what positions are about: a replay never asks.
    async fn stored(&self, saved: &BTreeMap<Partition, u64>) -> Result<BTreeMap<Partition, u64>, Failure> {
        self.connect.stored(saved).await
    }
}

struct RestoredSink {
    sink: Arc<dyn Sink>,
    desk: Arc<Desk>,
}

#[async_trait]
impl Sink for RestoredSink {
    async fn write(&self, batch: &Batch, context: &WriteContext) -> Result<Outcome, WriteError> {
        let defect = |error: arrow_schema::ArrowError| Failure::transient("replay", error.to_string());
        let restored = self.desk.restore(batch).map_err(defect)?;
        let outcome = self.sink.write(&restored, context).await?;
        self.desk.done(batch, &written(&outcome, batch.len())).await;
        Ok(outcome)
    }

    async fn close(&self) -> Result<(), Failure> {
        self.sink.close().await
    }
}

/// The events of which the sink says that it has them.
fn written(outcome: &Outcome, events: usize) -> RowSet {
    match outcome {
        Outcome::Written => RowSet::all(events),
        Outcome::Partial { refused, stopped_at } => {
            let tried = RowSet::range(0..*stopped_at);
            refused.iter().fold(tried, |rows, refusal| rows.without(&refusal.rows))
        }
    }
}

/// What fails again: kept as a new letter that goes on with the story of the old one, which is marked then.
pub(super) struct Renewed {
    files: Segments,
    desk: Arc<Desk>,
}

impl Renewed {
    pub(super) fn new(files: Segments, desk: Arc<Desk>) -> Renewed {
        Renewed { files, desk }
    }
}

#[async_trait]
impl DeadLetters for Renewed {
    async fn put(&self, letter: DeadLetter<'_>) -> Result<(), Unkept> {
        let failed = |message: String| Unkept::Failed { message };
        let restored = self.desk.restore(letter.batch).map_err(|error| failed(error.to_string()))?;
        let past = self.desk.past(letter.batch);
        let lines =
            encode(&DeadLetter { batch: &restored, ..letter }, |row| past.get(row).cloned().unwrap_or_default());
        self.files.keep(lines.map_err(|error| failed(error.to_string()))?).await?;
        self.desk.done(letter.batch, &RowSet::all(letter.batch.len())).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::{Filter, Scan, Snapshot};
    use crate::envelope::PathName;
    use crate::pipeline::replay::desk::tests::taken;
    use crate::sink::Refusal;

    #[tokio::test]
    async fn what_fails_again_is_marked_only_once_it_is_kept_anew() {
        let folder = tempfile::tempdir().unwrap();
        let (desk, batch) = taken(folder.path());
        // Segment, position and replays of what is not done.
        let left = || {
            let mut scan = Scan::new(&Snapshot::take(folder.path()).unwrap(), Filter::default(), false);
            let found = std::iter::from_fn(|| Some(scan.read().unwrap()).filter(|found| !found.is_empty())).flatten();
            found.map(|found| (found.segment, found.letter.position, found.letter.replays)).collect::<Vec<_>>()
        };
        let path = PathName { pipeline: "p".into(), sink: "s".into() };
        let failure = Failure::rejected("worse", "it is");
        let letter = DeadLetter { attempts: 3, ..DeadLetter::untried(&path, &batch, &failure) };
        let full = Renewed::new(Segments::new(folder.path().into(), 1), desk.clone());
        full.put(letter).await.unwrap_err();
        assert_eq!(left(), [(4, 70, 0), (4, 30, 0)]);
        let roomy = Renewed::new(Segments::new(folder.path().into(), 1 << 20), desk);
        roomy.put(letter).await.unwrap();
        assert_eq!(left(), [(5, 70, 1), (5, 30, 1)]);
    }

    #[test]
    fn only_what_the_sink_says_it_has_is_written() {
        let rows = |rows: &[u32]| RowSet::from_rows(rows.to_vec());
        let refusal = |numbers: &[u32]| Refusal { rows: rows(numbers), failure: Failure::transient("busy", "") };
        let outcome = Outcome::new(10, vec![refusal(&[1, 4]), refusal(&[5])], Some(7)).unwrap();
        assert_eq!(written(&outcome, 10), rows(&[0, 2, 3, 6]));
        assert_eq!(written(&Outcome::Written, 3), rows(&[0, 1, 2]));
        assert_eq!(written(&Outcome::new(3, vec![], Some(0)).unwrap(), 3), rows(&[]));
    }
}
