//! Knowing a file again: under another name, after a restart, and not when it is another one.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::batch::Partition;
use crate::source::SourceError;

/// How many of a file's first bytes tell it from others.
const HEAD: usize = 1024;

/// Where the file system keeps a file. The same after it was renamed, and perhaps that of another file once it is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Inode {
    device: u64,
    number: u64,
}

impl From<&Metadata> for Inode {
    fn from(metadata: &Metadata) -> Inode {
        Inode { device: metadata.dev(), number: metadata.ino() }
    }
}

/// A file that was read, as it is kept between runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    partition: String,
    device: u64,
    inode: u64,
    /// How many of the first bytes are hashed: up to [`HEAD`], fewer in a file that was shorter when it was last seen.
    head: usize,
    /// XXH3 of them.
    hash: u64,
}

/// All files that were ever read.
#[derive(Debug, Default)]
pub(super) struct Table(BTreeMap<Inode, Known>);

/// What a file turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Identity {
    /// It was read before, as this partition.
    Known(Partition),
    /// What was read before in its place is gone: it was cut off and written anew.
    Replaced(Partition),
    /// Nothing was ever read in its place.
    New(Partition),
}

impl Identity {
    /// The partition that its lines belong to.
    pub(super) fn partition(&self) -> &Partition {
        match self {
            Identity::Known(partition) | Identity::Replaced(partition) | Identity::New(partition) => partition,
        }
    }
}

impl Table {
    /// From what [`memo`](Self::memo) gave in an earlier run; null is an empty table.
    pub(super) fn from_memo(memo: serde_json::Value) -> Result<Table, SourceError> {
        let known: Option<Vec<Known>> = serde_json::from_value(memo).map_err(|error| {
            let message = format!("what was kept about the files of an earlier run can't be read: {error}");
            SourceError { message }
        })?;
        let inode = |known: &Known| Inode { device: known.device, number: known.inode };
        Ok(Table(known.into_iter().flatten().map(|known| (inode(&known), known)).collect()))
    }

    /// To be kept for the next run.
    pub(super) fn memo(&self) -> serde_json::Value {
        let entry = |known: &Known| {
            serde_json::json!({
                "partition": known.partition,
                "device": known.device,
                "inode": known.inode,
                "head": known.head,
                "hash": known.hash,
            })
        };
        self.0.values().map(entry).collect()
    }

    /// Looks a file up, and enters it where it is not known. `positions` says how far partitions were read: a file that
    /// is shorter than that is not the one that was read.
    pub(super) fn identify(
        &mut self,
        path: &Path,
        file: &File,
        positions: &BTreeMap<Partition, u64>,
    ) -> io::Result<Identity> {
        let metadata = file.metadata()?;
        let inode = Inode::from(&metadata);
        let head = head(file)?;
        let before = self.0.get_mut(&inode);
        let replaced = before.is_some();
        if let Some(known) = before {
            let partition = Partition::new(known.partition.as_str());
            let same = head.get(..known.head).is_some_and(|head| xxh3_64(head) == known.hash);
            if same && positions.get(&partition).is_none_or(|position| *position <= metadata.len()) {
                (known.head, known.hash) = (head.len(), xxh3_64(&head));
                return Ok(Identity::Known(partition));
            }
        }
        let partition = self.name(path, inode, &head, positions);
        let known = Known {
            partition: partition.as_str().to_owned(),
            device: inode.device,
            inode: inode.number,
            head: head.len(),
            hash: xxh3_64(&head),
        };
        self.0.insert(inode, known);
        Ok(if replaced { Identity::Replaced(partition) } else { Identity::New(partition) })
    }

    /// `PATH@ID`. The ID follows from the file, so that a run that was killed before it could keep the table gives the
    /// same one again; a number in it tells apart what has no other difference.
    fn name(&self, path: &Path, inode: Inode, head: &[u8], positions: &BTreeMap<Partition, u64>) -> Partition {
        let mut hash = Xxh3::new();
        hash.update(&inode.device.to_le_bytes());
        hash.update(&inode.number.to_le_bytes());
        hash.update(head);
        loop {
            let name = Partition::new(format!("{}@{:08x}", path.display(), hash.digest() as u32));
            if !positions.contains_key(&name) && self.0.values().all(|known| known.partition != name.as_str()) {
                return name;
            }
            hash.update(&[1]);
        }
    }
}

/// The first bytes of a file, up to [`HEAD`].
fn head(file: &File) -> io::Result<Vec<u8>> {
    let (mut head, mut filled) = (vec![0; HEAD], 0);
    while filled < HEAD {
        match file.read_at(&mut head[filled..], filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    head.truncate(filled);
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn look(table: &mut Table, path: &Path, position: Option<(&Partition, u64)>) -> Identity {
        let positions = position.map(|(partition, position)| (partition.clone(), position)).into_iter().collect();
        let identity = table.identify(path, &File::open(path).unwrap(), &positions).unwrap();
        // Every look is after a restart.
        *table = Table::from_memo(serde_json::from_str(&table.memo().to_string()).unwrap()).unwrap();
        identity
    }

    #[test]
    fn a_file_is_known_again_when_it_grew_or_was_renamed_but_not_when_it_was_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("a.log"), folder.path().join("b.log"));
        let mut table = Table::default();
        fs::write(&path, "one\n").unwrap();
        let first = look(&mut table, &path, None);
        let Identity::New(partition) = first else { panic!("{first:?}") };
        assert!(partition.as_str().starts_with(&format!("{}@", path.display())), "{partition}");
        assert_eq!(partition.as_str().rsplit('@').next().unwrap().len(), 8);

        fs::write(&path, format!("one\n{}", "more\n".repeat(1000))).unwrap();
        assert_eq!(look(&mut table, &path, Some((&partition, 4))), Identity::Known(partition.clone()));
        fs::rename(&path, &other).unwrap();
        assert_eq!(look(&mut table, &other, Some((&partition, 5004))), Identity::Known(partition.clone()));

        fs::write(&other, format!("one\n{}", "more\n".repeat(500))).unwrap();
        let Identity::Replaced(cut) = look(&mut table, &other, Some((&partition, 5004))) else { panic!() };
        assert_ne!(cut, partition);
        fs::write(&other, "uno\n".repeat(1000)).unwrap();
        let Identity::Replaced(new) = look(&mut table, &other, Some((&cut, 2504))) else { panic!() };
        assert!(new != cut && new.as_str().contains("b.log"));
    }

    #[test]
    fn the_same_file_gets_the_same_name_where_nothing_was_kept_and_never_one_that_was_used() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        fs::write(&path, "one\n").unwrap();
        let first = look(&mut Table::default(), &path, None);
        assert_eq!(look(&mut Table::default(), &path, None), first);
        let used = first.partition();
        assert_ne!(look(&mut Table::default(), &path, Some((used, 4))), first);
    }

    #[test]
    fn a_memo_that_is_not_one_is_refused() {
        assert!(Table::from_memo(serde_json::Value::Null).unwrap().0.is_empty());
        let error = Table::from_memo(serde_json::json!([{"partition": 1}])).unwrap_err();
        assert!(error.message.contains("can't be read"), "{error}");
    }
}
