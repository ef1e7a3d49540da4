//! What the thread that reads files shares with the task that asks for them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::identity::{Inode, Table};
use crate::batch::Partition;

/// The files that are known, and those that come to their end.
#[derive(Debug, Default)]
pub(super) struct State {
    table: Mutex<Table>,
    ends: Mutex<Ends>,
    behind: AtomicU64,
}

#[derive(Debug, Default)]
struct Ends {
    /// Partitions to which nothing is added any more, with where they end, until all of them is acknowledged.
    ending: BTreeMap<Partition, (Inode, u64)>,
    /// Those of which that is so, until it was told.
    finished: Vec<Partition>,
    /// What was told of the files last, and in which version of the table.
    memo: (u64, serde_json::Value),
}

impl State {
    pub(super) fn new(table: Table) -> State {
        State { table: Mutex::new(table), ..State::default() }
    }

    pub(super) fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ends(&self) -> MutexGuard<'_, Ends> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing is added to a partition any more: it ends at a position.
    pub(super) fn end(&self, partition: Partition, inode: Inode, position: u64) {
        self.ends().ending.insert(partition, (inode, position));
    }

    /// A partition that this run does not read is forgotten.
    pub(super) fn forget(&self, partition: Partition, inode: Inode) {
        let mut ends = self.ends();
        // One that it has read is, once all of it is final.
        if !ends.ending.contains_key(&partition) {
            self.table().forget(inode, &partition);
            ends.finished.push(partition);
        }
    }

    /// Everything before these positions is final.
    pub(super) fn acknowledge(&self, positions: &BTreeMap<Partition, u64>) {
        let mut ends = self.ends();
        if ends.ending.is_empty() {
            return;
        }
        let is_final = |partition: &Partition, end: u64| positions.get(partition).is_some_and(|at| *at >= end);
        let done: Vec<_> = ends.ending.extract_if(.., |partition, (_, end)| is_final(partition, *end)).collect();
        let mut table = self.table();
        for (partition, (inode, _)) in done {
            table.forget(inode, &partition);
            ends.finished.push(partition);
        }
    }

    /// Partitions that came to their end since, and are acknowledged.
    pub(super) fn finished(&self) -> Vec<Partition> {
        std::mem::take(&mut self.ends().finished)
    }

    /// What is kept of the files for the next run.
    pub(super) fn memo(&self) -> serde_json::Value {
        let mut ends = self.ends();
        let table = self.table();
        if ends.memo.1.is_null() || ends.memo.0 != table.version() {
            ends.memo = (table.version(), table.memo());
        }
        ends.memo.1.clone()
    }

    /// How many bytes are there to be read.
    pub(super) fn behind(&self) -> u64 {
        self.behind.load(Ordering::Relaxed)
    }

    pub(super) fn set_behind(&self, bytes: u64) {
        self.behind.store(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::file::identity::Look;
    use crate::source::file::settings::Compression;
    use std::fs::File;

    #[test]
    fn a_partition_is_forgotten_once_all_of_it_is_acknowledged() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, "1\n").unwrap();
        let (file, state) = (File::open(&path).unwrap(), State::default());
        let metadata = file.metadata().unwrap();
        let (inode, positions) = (Inode::from(&metadata), BTreeMap::new());
        let look = Look {
            path: &path,
            file: &file,
            metadata: &metadata,
            compression: Compression::Auto,
            positions: &positions,
        };
        let partition = state.table().identify(&look).unwrap().partition().clone();
        let kept = || state.memo().as_array().unwrap().len();
        let at = |position| BTreeMap::from([(partition.clone(), position)]);
        state.end(partition.clone(), inode, 2);
        for positions in [BTreeMap::new(), at(1)] {
            state.acknowledge(&positions);
            assert!(state.finished().is_empty() && kept() == 1);
        }
        state.acknowledge(&at(2));
        assert_eq!((state.finished(), kept()), (vec![partition.clone()], 0));
        assert!(state.finished().is_empty());
    }
}
