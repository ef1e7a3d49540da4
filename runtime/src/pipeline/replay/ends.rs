//! The ends of the way of a letter: the sink and its encoder, which get events as they were when they were read first, and
//! the dead letters once more. What is final is marked.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;

use super::desk::Desk;
use crate::batch::{Batch, Partition, RowSet};
use crate::delivery::{DeadLetter, DeadLetters, Segments, Unkept, Witness, encode};
use crate::sink::encode::{Contract as EncoderContract, Encode, Encoded, Encoder};
use crate::sink::{Connect, Contract, Failure, Outcome, Sink, WriteContext, WriteError};

/// A sink or an encoder that gets events as they were when they were read first.
pub(super) struct Restored<T> {
    of: T,
    desk: Arc<Desk>,
}

impl<T> Restored<T> {
    pub(super) fn new(of: T, desk: Arc<Desk>) -> Restored<T> {
        Restored { of, desk }
    }

    fn restore(&self, batch: &Batch) -> Result<Batch, WriteError> {
        let defect = |error: arrow_schema::ArrowError| Failure::transient("replay", error.to_string());
        Ok(self.desk.restore(batch).map_err(defect)?)
    }
}

#[async_trait]
impl Connect for Restored<Arc<dyn Connect>> {
    fn contract(&self) -> &Contract {
        self.of.contract()
    }

    async fn open(&self, instance: u32) -> Result<Arc<dyn Sink>, Failure> {
        Ok(Arc::new(Restored::new(self.of.open(instance).await?, self.desk.clone())))
    }

    /// Letters are not what positions are about: a replay never asks.
    async fn stored(&self, saved: &BTreeMap<Partition, u64>) -> Result<BTreeMap<Partition, u64>, Failure> {
        self.of.stored(saved).await
    }
}

#[async_trait]
impl Sink for Restored<Arc<dyn Sink>> {
    async fn write(&self, batch: &Batch, context: &WriteContext) -> Result<Outcome, WriteError> {
        self.of.write(&self.restore(batch)?, context).await
    }

    async fn close(&self) -> Result<(), Failure> {
        self.of.close().await
    }
}

#[async_trait]
impl Encoder for Restored<Arc<dyn Encoder>> {
    fn contract(&self) -> &EncoderContract {
        self.of.contract()
    }

    async fn open(&self) -> Result<Box<dyn Encode>, Failure> {
        Ok(Box::new(Restored::new(self.of.open().await?, self.desk.clone())))
    }
}

#[async_trait]
impl Encode for Restored<Box<dyn Encode>> {
    /// The delivery gives values the origins of the events that it has, which are places of letters.
    async fn encode(&mut self, events: &Batch) -> Result<Encoded, WriteError> {
        let restored = self.restore(events)?;
        self.of.encode(&restored).await
    }
}

/// What the sink has, or what its encoder left out, is marked.
#[async_trait]
impl Witness for Desk {
    async fn done(&self, events: &Batch) {
        self.mark(events, &RowSet::all(events.len())).await;
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
        self.desk.mark(letter.batch, &RowSet::all(letter.batch.len())).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::{Filter, Scan, Snapshot};
    use crate::envelope::PathName;
    use crate::pipeline::replay::desk::tests::taken;

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
}
