//! Dead letters, counted by what they are: the same for all that bury events.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::{DeadLetter, DeadLetters, Unkept};
use crate::envelope::PathName;
use crate::metrics::Codes;

/// Counts what was kept elsewhere. Cloning gives the same counts.
#[derive(Clone)]
pub struct Counted {
    inner: Arc<dyn DeadLetters>,
    counts: LetterCounts,
}

/// How many events became dead letters, by path and failure. Cloning gives the same counts.
#[derive(Clone, Debug, Default)]
pub struct LetterCounts(Arc<Mutex<BTreeMap<PathName, Codes>>>);

impl LetterCounts {
    /// What they stand at: the path, and the kind and code of the failure.
    pub fn get(&self) -> Vec<(PathName, &'static str, Arc<str>, u64)> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |(path, codes): (&PathName, &Codes)| {
            codes.get().into_iter().map(|(kind, code, count)| (path.clone(), kind, code, count)).collect::<Vec<_>>()
        };
        counts.iter().flat_map(of).collect()
    }

    fn add(&self, letter: &DeadLetter) {
        // A map is whole at any time, whoever panicked.
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let codes = counts.entry(letter.path.clone()).or_default();
        codes.add(letter.failure.kind.name(), &letter.failure.code, letter.batch.len() as u64);
    }
}

impl Counted {
    /// Around what keeps them.
    pub fn new(inner: Arc<dyn DeadLetters>, counts: LetterCounts) -> Counted {
        Counted { inner, counts }
    }
}

#[async_trait]
impl DeadLetters for Counted {
    async fn put(&self, letter: DeadLetter<'_>) -> Result<(), Unkept> {
        self.inner.put(letter).await?;
        self.counts.add(&letter);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{BatchBuilder, Event, Partition};
    use crate::delivery::Segments;
    use crate::sink::Failure;

    #[tokio::test]
    async fn only_what_is_kept_is_counted() {
        let directory = tempfile::tempdir().unwrap();
        let counts = LetterCounts::default();
        let path = PathName { pipeline: "p".into(), sink: "s".into() };
        let mut builder = BatchBuilder::new();
        builder.push(&Partition::from("a"), Event::default());
        builder.push(&Partition::from("a"), Event { position: 1, ..Event::default() });
        let batch = builder.finish().unwrap();
        let failure = Failure::rejected("too-large", "");
        let letter =
            DeadLetter { path: &path, batch: &batch, failure: &failure, attempts: 1, since: None, range: None };
        for (max_size, kept) in [(1 << 20, true), (10, false)] {
            let segments = Segments::new(directory.path().into(), max_size);
            assert_eq!(Counted::new(Arc::new(segments), counts.clone()).put(letter).await.is_ok(), kept);
        }
        assert_eq!(counts.get(), [(path.clone(), "rejected", "too-large".into(), 2)]);
    }
}
