//! Knowing a file again: under another name, after a restart, and not when it is another one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::packing::{Packing, Unpacked};
use super::settings::Compression;
use crate::batch::Partition;
use crate::source::SourceError;

/// How many of a file's first bytes tell it from others.
const HEAD: usize = 1024;

/// What can't be found any more is remembered for so many seconds: it may come back, from where it was moved to or with
/// the file system that it is on.
pub(super) const REMEMBERED: u64 = 24 * 60 * 60;

/// Where the file system keeps a file. The same after it was renamed, and perhaps that of another file once it is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Inode {
    number: u64,
    device: u64,
}

impl From<&Metadata> for Inode {
    fn from(metadata: &Metadata) -> Inode {
        Inode { number: metadata.ino(), device: metadata.dev() }
    }
}

impl Inode {
    /// As an entry of a folder tells it.
    pub(super) fn number(self) -> u64 {
        self.number
    }
}

/// A file that was read, as it is kept between runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Known {
    pub(super) partition: String,
    device: u64,
    inode: u64,
    /// When it was made, in nanoseconds since the Unix epoch, where the file system says so: an inode that is used again
    /// has another time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    born: Option<u64>,
    /// The last path under which it was seen.
    #[serde(default)]
    pub(super) path: String,
    /// Where reading began.
    #[serde(default)]
    pub(super) begin: u64,
    /// How many of the first bytes are hashed: up to [`HEAD`], fewer in a file that was shorter when it was last seen.
    pub(super) head: usize,
    /// XXH3 of them.
    hash: u64,
    /// Since when it is not to be found, in seconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gone: Option<u64>,
}

/// All files that were read and are not forgotten.
#[derive(Debug, Default)]
pub(super) struct Table {
    files: BTreeMap<Inode, Known>,
    /// Their partitions, and those whose place was taken, until they are forgotten.
    names: BTreeSet<String>,
    /// Counts changes.
    version: u64,
}

/// What a file turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Identity {
    /// It was read before, as this partition.
    Known(Partition),
    /// What was read before in its place is gone, and was this partition: it was cut off and written anew.
    Replaced(Partition, Partition),
    /// Nothing was ever read in its place.
    New(Partition),
}

impl Identity {
    /// The partition that its lines belong to.
    pub(super) fn partition(&self) -> &Partition {
        match self {
            Identity::Known(partition) | Identity::Replaced(partition, _) | Identity::New(partition) => partition,
        }
    }
}

/// Where an open file is, what it begins with, and how much was read of it.
pub(super) struct Look<'a> {
    pub(super) path: &'a Path,
    pub(super) file: &'a File,
    pub(super) metadata: &'a Metadata,
    pub(super) compression: Compression,
    /// How far partitions were read.
    pub(super) positions: &'a BTreeMap<Partition, u64>,
}

impl<'a> Look<'a> {
    pub(super) fn new(
        path: &'a Path,
        file: &'a File,
        metadata: &'a Metadata,
        compression: Compression,
        positions: &'a BTreeMap<Partition, u64>,
    ) -> Look<'a> {
        Look { path, file, metadata, compression, positions }
    }

    fn inode(&self) -> Inode {
        Inode::from(self.metadata)
    }

    /// Where the file ends, in positions.
    pub(super) fn end(&self) -> io::Result<u64> {
        let packing = Packing::look(self.path, self.file, self.compression)?;
        let Some(mut unpacker) = packing.unpacker(Arc::new(self.file.try_clone()?), false)? else {
            return Ok(self.metadata.len());
        };
        let mut scratch = Vec::new();
        while let Some(Unpacked::Bytes(_)) = unpacker.forward(u64::MAX, &mut scratch)? {}
        Ok(unpacker.at())
    }

    /// Whether a file that begins like this is the one that is known.
    fn is(&self, known: &Known, head: &[u8]) -> bool {
        if !known.is_like(self.metadata, head) {
            return false;
        }
        // A file that is shorter than what was read of it is another one. Of a compressed one that is not told in bytes.
        let position = self.positions.get(&Partition::from(known.partition.as_str()));
        position.is_none_or(|position| *position <= self.metadata.len())
            || Packing::of(self.path, head, self.compression) != Packing::Plain
    }
}

impl Known {
    fn inode(&self) -> Inode {
        Inode { number: self.inode, device: self.device }
    }

    fn is_like(&self, metadata: &Metadata, head: &[u8]) -> bool {
        let made = self.born.zip(born(metadata)).is_none_or(|(before, now)| before == now);
        made && head.get(..self.head).is_some_and(|head| xxh3_64(head) == self.hash)
    }

    /// Whether a file, which is another one, begins with all that is known of this one's beginning.
    pub(super) fn is_beginning_of(&self, file: &File) -> io::Result<bool> {
        let head = head(file)?;
        Ok(self.head > 0 && head.get(..self.head).is_some_and(|head| xxh3_64(head) == self.hash))
    }

    fn see(&mut self, path: &Path, metadata: &Metadata, head: &[u8]) -> bool {
        let seen = Known {
            born: born(metadata).or(self.born),
            path: path.to_string_lossy().into_owned(),
            head: head.len(),
            hash: xxh3_64(head),
            gone: None,
            ..self.clone()
        };
        let news = seen != *self;
        *self = seen;
        news
    }
}

impl Table {
    /// From what [`memo`](Self::memo) gave in an earlier run; null is an empty table.
    pub(super) fn from_memo(memo: serde_json::Value) -> Result<Table, SourceError> {
        let known: Option<Vec<Known>> = serde_json::from_value(memo).map_err(|error| {
            let message = format!("what was kept about the files of an earlier run can't be read: {error}");
            SourceError { message }
        })?;
        let mut table = Table::default();
        known.into_iter().flatten().for_each(|known| table.insert(known));
        Ok(table)
    }

    /// To be kept for the next run.
    pub(super) fn memo(&self) -> serde_json::Value {
        serde_json::to_value(self.files.values().collect::<Vec<_>>()).unwrap_or_default()
    }

    /// Grows with every change.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// The files.
    pub(super) fn files(&self) -> impl Iterator<Item = (Inode, &Known)> {
        self.files.iter().map(|(inode, known)| (*inode, known))
    }

    fn insert(&mut self, known: Known) {
        self.version += 1;
        self.names.insert(known.partition.clone());
        self.files.insert(known.inode(), known);
    }

    /// Looks a file up, and enters it where it is not known, to be read from its beginning.
    pub(super) fn identify(&mut self, look: &Look) -> io::Result<Identity> {
        let head = head(look.file)?;
        let before = self.files.get(&look.inode()).or_else(|| self.elsewhere(look, &head)).map(Known::inode);
        if let Some(before) = before
            && let Some(known) = self.files.get_mut(&before)
        {
            if look.is(known, &head) {
                let partition = Partition::from(known.partition.as_str());
                self.version += u64::from(known.see(look.path, look.metadata, &head));
                self.moved_to(before, look.inode());
                return Ok(Identity::Known(partition));
            }
            let before = Partition::from(known.partition.as_str());
            return Ok(Identity::Replaced(self.enter(look, &head), before));
        }
        Ok(Identity::New(self.enter(look, &head)))
    }

    /// Whether a file is surely one that is known, even under a name that says nothing. It may have been empty when it was
    /// last seen: then the time when it was made tells.
    pub(super) fn recognises(&self, look: &Look) -> io::Result<bool> {
        let head = head(look.file)?;
        let is_sure = |known: &Known| known.head > 0 || known.born.is_some_and(|at| born(look.metadata) == Some(at));
        Ok(self.files.get(&look.inode()).is_some_and(|known| is_sure(known) && look.is(known, &head)))
    }

    /// Whether the file at a path may be the one that is known by its inode. Where the file system does not say when a
    /// file was made, its first bytes tell.
    pub(super) fn may_be(&self, inode: Inode, path: &Path, metadata: &Metadata) -> io::Result<bool> {
        let Some(known) = self.files.get(&inode) else { return Ok(false) };
        match known.born.zip(born(metadata)) {
            Some((before, now)) => Ok(before == now),
            None => Ok(known.is_like(metadata, &head(&File::open(path)?)?)),
        }
    }

    /// The number of a device may be another one after the machine was started again: the same path and inode then
    /// tell the file, if its first bytes do.
    fn elsewhere(&self, look: &Look, head: &[u8]) -> Option<&Known> {
        let number = look.inode().number;
        let same_number = Inode { number, device: 0 }..=Inode { number, device: u64::MAX };
        self.files
            .range(same_number)
            .map(|(_, known)| known)
            .find(|known| known.head > 0 && known.path == look.path.to_string_lossy() && look.is(known, head))
    }

    fn moved_to(&mut self, before: Inode, now: Inode) {
        if before != now
            && let Some(known) = self.files.remove(&before)
        {
            self.insert(Known { inode: now.number, device: now.device, ..known });
        }
    }

    /// Enters what a file holds now as another one than it was.
    pub(super) fn replace(&mut self, look: &Look) -> io::Result<Partition> {
        let head = head(look.file)?;
        Ok(self.enter(look, &head))
    }

    fn enter(&mut self, look: &Look, head: &[u8]) -> Partition {
        let inode = look.inode();
        let partition = self.name(look.path, inode, head, look.positions);
        self.insert(Known {
            partition: partition.as_str().to_owned(),
            device: inode.device,
            inode: inode.number,
            born: born(look.metadata),
            path: look.path.to_string_lossy().into_owned(),
            begin: 0,
            head: head.len(),
            hash: xxh3_64(head),
            gone: None,
        });
        partition
    }

    /// Remembers where reading begins in a file.
    pub(super) fn begin(&mut self, inode: Inode, begin: u64) {
        if let Some(known) = self.files.get_mut(&inode) {
            self.version += u64::from(known.begin != begin);
            known.begin = begin;
        }
    }

    /// What is known of a file.
    pub(super) fn known(&self, inode: Inode) -> Option<Known> {
        self.files.get(&inode).cloned()
    }

    /// Whether a file begins with as many bytes as are ever looked at like one that is known, or, where `few` are
    /// enough, with as many as that one has.
    pub(super) fn has_alike(&self, file: &File, few: bool) -> io::Result<bool> {
        let head = head(file)?;
        let hash = xxh3_64(&head);
        let is_alike = |known: &Known| match head.get(..known.head) {
            Some(beginning) if few => known.head > 0 && known.hash == xxh3_64(beginning),
            _ => known.head == HEAD && known.hash == hash,
        };
        Ok((few || head.len() == HEAD) && self.files.values().any(is_alike))
    }

    /// A partition goes on in a copy of its file.
    pub(super) fn moved_into(&mut self, before: Known, copy: Inode, metadata: &Metadata, path: &Path) {
        self.insert(Known {
            device: copy.device,
            inode: copy.number,
            born: born(metadata),
            path: path.to_string_lossy().into_owned(),
            ..before
        });
    }

    /// Where a file was when it was last seen.
    pub(super) fn path(&self, inode: Inode) -> Option<PathBuf> {
        self.files.get(&inode).filter(|known| !known.path.is_empty()).map(|known| PathBuf::from(&known.path))
    }

    /// The partition of a file.
    pub(super) fn partition(&self, inode: Inode) -> Option<Partition> {
        self.files.get(&inode).map(|known| Partition::from(known.partition.as_str()))
    }

    /// Where reading began in a file.
    pub(super) fn began(&self, inode: Inode) -> u64 {
        self.files.get(&inode).map_or(0, |known| known.begin)
    }

    /// What was read at the beginning of a file of which nothing was known.
    pub(super) fn begins_with(&mut self, inode: Inode, read: &[u8]) {
        let head = &read[..read.len().min(HEAD)];
        if let Some(known) = self.files.get_mut(&inode).filter(|known| known.head == 0 && !head.is_empty()) {
            (known.head, known.hash) = (head.len(), xxh3_64(head));
            self.version += 1;
        }
    }

    /// Whether an open file still begins as it did. What it has more by now is remembered.
    pub(super) fn is_still(&mut self, path: &Path, file: &File, metadata: &Metadata) -> io::Result<bool> {
        let Some(known) = self.files.get_mut(&Inode::from(metadata)) else { return Ok(false) };
        let head = head(file)?;
        let same = known.is_like(metadata, &head);
        if same && known.head < head.len() {
            self.version += u64::from(known.see(path, metadata, &head));
        }
        Ok(same)
    }

    /// A file was seen under another path.
    pub(super) fn renamed(&mut self, inode: Inode, path: &Path) {
        if let Some(known) = self.files.get_mut(&inode) {
            let path = path.to_string_lossy().into_owned();
            self.version += u64::from(known.path != path || known.gone.is_some());
            (known.path, known.gone) = (path, None);
        }
    }

    /// A file can't be found. Whether that is so for so long that it is to be forgotten.
    pub(super) fn is_gone_for_good(&mut self, inode: Inode, now: u64) -> bool {
        let Some(known) = self.files.get_mut(&inode) else { return true };
        self.version += u64::from(known.gone.is_none());
        let since = *known.gone.get_or_insert(now);
        now.saturating_sub(since) >= REMEMBERED
    }

    /// Forgets a partition, and its file unless that holds another one by now.
    pub(super) fn forget(&mut self, inode: Inode, partition: &Partition) {
        self.names.remove(partition.as_str());
        if self.files.get(&inode).is_some_and(|known| known.partition == partition.as_str()) {
            self.files.remove(&inode);
            self.version += 1;
        }
    }

    /// `PATH@ID`. The ID follows from the file, so that a run that was killed before it could keep the table gives the
    /// same one again; a number in it tells apart what has no other difference.
    fn name(&self, path: &Path, inode: Inode, head: &[u8], positions: &BTreeMap<Partition, u64>) -> Partition {
        let mut hash = Xxh3::new();
        hash.update(&inode.device.to_le_bytes());
        hash.update(&inode.number.to_le_bytes());
        hash.update(head);
        loop {
            let name = format!("{}@{:08x}", path.display(), hash.digest() as u32);
            if !self.names.contains(&name) && !positions.contains_key(&Partition::from(name.as_str())) {
                return Partition::new(name);
            }
            hash.update(&[1]);
        }
    }
}

/// Whether two files begin alike, as far as both go.
pub(super) fn begin_alike(one: &File, other: &File) -> io::Result<bool> {
    let (one, other) = (head(one)?, head(other)?);
    let both = one.len().min(other.len());
    Ok(both > 0 && one[..both] == other[..both])
}

/// Seconds since the Unix epoch.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// When a file was made, where that is known.
fn born(metadata: &Metadata) -> Option<u64> {
    let since = metadata.created().ok()?.duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(since.as_nanos()).ok().filter(|born| *born > 0)
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
mod tests;
