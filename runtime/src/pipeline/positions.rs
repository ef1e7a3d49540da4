//! Positions on disk: how far each sink has come in each partition of each source.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::data_dir::replace;
use crate::batch::Partition;
use crate::defect::{self, Defect};
use crate::envelope::{PathName, Positions};
use crate::source::Resume;

/// The file `positions.json`, written anew as a whole. Cloning gives the same file.
#[derive(Clone)]
pub(super) struct Store {
    path: PathBuf,
    saved: Arc<Mutex<Saved>>,
    /// In place of the file.
    #[cfg(test)]
    witness: Option<Witness>,
}

/// Sees what is saved, and says whether it is.
#[cfg(test)]
pub(super) type Witness = Arc<dyn Fn(&Positions) -> io::Result<()> + Send + Sync>;

#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
struct Saved {
    sources: BTreeMap<String, SavedSource>,
}

/// What is known of one source.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub(super) struct SavedSource {
    memo: Value,
    /// By pipeline, sink and partition.
    pipelines: BTreeMap<String, BTreeMap<String, BTreeMap<String, u64>>>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_tuple("Store").field(&self.path).finish()
    }
}

impl Store {
    /// Reads what an earlier run saved, if there was one.
    pub(super) fn open(path: PathBuf) -> io::Result<Store> {
        let saved = match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Saved::default(),
            Err(error) => return Err(error),
        };
        Ok(Store {
            path,
            saved: Arc::new(Mutex::new(saved)),
            #[cfg(test)]
            witness: None,
        })
    }

    /// Without a file. What is saved lives as long as the store.
    #[cfg(test)]
    pub(super) fn witnessed(witness: Witness) -> Store {
        Store { path: PathBuf::new(), saved: Arc::default(), witness: Some(witness) }
    }

    /// Of no file, for sources of which nothing is saved.
    pub(super) fn unused() -> Store {
        Store {
            path: PathBuf::new(),
            saved: Arc::default(),
            #[cfg(test)]
            witness: None,
        }
    }

    /// What was saved for a source.
    pub(super) fn of(&self, source: &str) -> SavedSource {
        let saved = self.saved.lock().unwrap_or_else(PoisonError::into_inner);
        saved.sources.get(source).cloned().unwrap_or_default()
    }

    /// Saves the positions of one source, durably, and keeps those of the others. Nothing new is not written again.
    pub(super) async fn save(&self, source: &str, memo: Value, positions: &Positions) -> io::Result<()> {
        let new = SavedSource::new(memo, positions);
        #[cfg(test)]
        if let Some(witness) = &self.witness {
            witness(positions)?;
            self.saved.lock().unwrap_or_else(PoisonError::into_inner).sources.insert(source.to_owned(), new);
            return Ok(());
        }
        let store = self.clone();
        let source = source.to_owned();
        let saving = tokio::task::spawn_blocking(move || {
            let mut saved = store.saved.lock().unwrap_or_else(PoisonError::into_inner);
            if saved.sources.get(&source) == Some(&new) {
                return Ok(());
            }
            saved.sources.insert(source, new);
            replace(&store.path, &serde_json::to_vec_pretty(&*saved)?)
        });
        saving.await.map_err(io::Error::other)?
    }
}

impl SavedSource {
    fn new(memo: Value, positions: &Positions) -> SavedSource {
        let mut pipelines: BTreeMap<String, BTreeMap<String, BTreeMap<String, u64>>> = BTreeMap::new();
        for (path, partitions) in positions {
            let partitions = partitions.iter().map(|(partition, position)| (partition.to_string(), *position));
            let sinks = pipelines.entry(path.pipeline.to_string()).or_default();
            sinks.insert(path.sink.to_string(), partitions.collect());
        }
        SavedSource { memo, pipelines }
    }

    /// Where one path goes on.
    pub(super) fn path(&self, name: &PathName) -> BTreeMap<Partition, u64> {
        self.known(name).unwrap_or_default()
    }

    /// The same, where the path was ever saved.
    pub(super) fn known(&self, name: &PathName) -> Option<BTreeMap<Partition, u64>> {
        let partitions = self.pipelines.get(&*name.pipeline).and_then(|sinks| sinks.get(&*name.sink))?;
        let partition = |(name, position): (&String, &u64)| (Partition::from(name.as_str()), *position);
        Some(partitions.iter().map(partition).collect())
    }

    /// Where the source goes on: at the lowest position of the paths that there are now.
    pub(super) fn resume<'a>(&self, paths: impl Iterator<Item = &'a PathName>) -> Resume {
        let positions = lowest(paths.map(|path| self.path(path)));
        Resume { positions, memo: self.memo.clone(), from_start: false }
    }
}

/// Where a source goes on whose paths go on at these positions.
pub(super) fn lowest(paths: impl Iterator<Item = BTreeMap<Partition, u64>>) -> BTreeMap<Partition, u64> {
    let mut positions: BTreeMap<Partition, u64> = BTreeMap::new();
    for (partition, position) in paths.flatten() {
        positions
            .entry(partition)
            .and_modify(|lowest| {
                *lowest = if defect::on(Defect::ResumePast) { position.max(*lowest) } else { position.min(*lowest) }
            })
            .or_insert(position);
    }
    positions
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(sink: &str) -> PathName {
        PathName { pipeline: "p".into(), sink: sink.into() }
    }

    #[tokio::test]
    async fn a_source_goes_on_at_the_lowest_position_and_a_sink_at_its_own() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("positions.json");
        let partition = Partition::from("a@1");
        let at = |position| BTreeMap::from([(partition.clone(), position)]);
        let positions = BTreeMap::from([(path("slow"), at(10)), (path("fast"), at(90)), (path("gone"), at(1))]);
        let store = Store::open(file.clone()).unwrap();
        store.save("quakes", Value::from("memo"), &positions).await.unwrap();

        let saved = Store::open(file).unwrap().of("quakes");
        assert_eq!(saved.path(&path("fast")), at(90));
        assert_eq!(saved.path(&path("new")), BTreeMap::new());
        let resume = saved.resume([path("slow"), path("fast"), path("new")].iter());
        assert_eq!((resume.positions, resume.memo), (at(10), Value::from("memo")));
    }
}
