//! Which files there are, and where to go on in each.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::copy::{self, Copied};
use super::identity::{self, Identity, Inode, Known, Look, Table};
use super::scan;
use super::settings::{Settings, Start};
use crate::batch::Partition;
use crate::source::{Resume, SourceError};

/// A file that is to be read.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) inode: Inode,
    pub(super) partition: Partition,
    pub(super) begin: u64,
    /// How long it is.
    pub(super) size: u64,
    /// Where it was when it was last seen.
    pub(super) was: Option<PathBuf>,
}

/// What there is.
pub(super) struct Looked {
    pub(super) table: Table,
    /// In the order in which they are to be read.
    pub(super) found: Vec<Found>,
    /// Files of earlier runs that are nowhere to be seen.
    pub(super) missing: BTreeSet<Inode>,
    /// Partitions of which nothing will ever come.
    pub(super) forgotten: Vec<(Inode, Partition)>,
}

/// Finds out which files there are, and where to go on in each.
pub(super) fn look(settings: &Settings, resume: Resume) -> Result<Looked, SourceError> {
    let first = resume.memo.is_null();
    let table = Table::from_memo(resume.memo)?;
    let mut looking = Looking {
        settings,
        positions: resume.positions,
        first,
        table,
        seen: BTreeSet::new(),
        copied: Vec::new(),
        forgotten: Vec::new(),
    };
    let paths = match settings.follow {
        // What is missing may come, and what can't be read is tried again.
        true => scan::scan(&settings.path).files,
        false => scan::scan_all(&settings.path)?,
    };
    // Those of earlier runs first: what begins like one that was cut off is its copy, and not new.
    let (known, new): (Vec<_>, Vec<_>) = paths.into_iter().partition(|path| looking.is_known(path));
    let mut matched = Vec::new();
    for path in known.into_iter().chain(new) {
        match looking.at(&path) {
            Ok(found) => matched.extend(found),
            Err(_) if settings.follow => {}
            Err(error) => return Err(SourceError { message: format!("{} can't be read: {error}", path.display()) }),
        }
    }
    if settings.follow {
        // What rotation has left behind comes before what it has begun.
        matched.sort_by_cached_key(|(found, modified)| (found.was.is_none(), *modified, found.path.clone()));
    }
    if !settings.follow {
        matched.sort_by_cached_key(|(found, _)| found.path.clone());
    }
    let (mut found, missing) = looking.renamed();
    found.append(&mut looking.copied);
    found.extend(matched.into_iter().map(|(found, _)| found));
    let Looking { mut table, mut forgotten, .. } = looking;
    let now = identity::now();
    let (gone, missing): (BTreeSet<_>, _) = missing.into_iter().partition(|inode| table.is_gone_for_good(*inode, now));
    let partition = |inode: Inode| table.partition(inode).map(|partition| (inode, partition));
    forgotten.extend(gone.into_iter().filter_map(partition));
    Ok(Looked { table, found, missing, forgotten })
}

struct Looking<'a> {
    settings: &'a Settings,
    positions: BTreeMap<Partition, u64>,
    /// Whether no run was there before.
    first: bool,
    table: Table,
    seen: BTreeSet<Inode>,
    /// Copies of files that were cut off.
    copied: Vec<Found>,
    forgotten: Vec<(Inode, Partition)>,
}

impl Looking<'_> {
    fn is_known(&self, path: &Path) -> bool {
        fs::metadata(path).is_ok_and(|metadata| self.table.known(Inode::from(&metadata)).is_some())
    }

    /// What is at a path that globs match; `None` where it was found under another name already.
    fn at(&mut self, path: &Path) -> io::Result<Option<(Found, SystemTime)>> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        let (inode, size) = (Inode::from(&metadata), metadata.len());
        if !self.seen.insert(inode) {
            return Ok(None);
        }
        let (was, known) = (self.table.path(inode), self.table.known(inode));
        let look = Look::new(path, &file, &metadata, self.settings.compression, &self.positions);
        let identity = self.table.identify(&look)?;
        let partition = identity.partition().clone();
        let begin = match identity {
            Identity::Known(_) => self.positions.get(&partition).copied().unwrap_or_else(|| self.table.began(inode)),
            Identity::New(_) if self.first && self.settings.start == Start::End => look.end()?,
            Identity::New(_) => 0,
            // What replaced a file was written after it.
            Identity::Replaced(_, before) => {
                self.cut_off(path, inode, known, before);
                0
            }
        };
        if !self.positions.contains_key(&partition) {
            self.table.begin(inode, begin);
        }
        let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        Ok(Some((Found { path: path.to_owned(), inode, partition, begin, size, was }, modified)))
    }

    /// A file was cut off. Where a copy of what it held is there, its partition goes on in that, and else it is forgotten.
    fn cut_off(&mut self, path: &Path, inode: Inode, known: Option<Known>, before: Partition) {
        let copied = known.and_then(|known| {
            let position = self.positions.get(&before).copied().unwrap_or(known.begin);
            let is_other = |other: Inode| other == inode || self.table.known(other).is_some();
            let copied = copy::find(&known, path, position, is_other)?;
            let metadata = fs::metadata(&copied.path).ok()?;
            self.table.moved_into(known, copied.inode, &metadata, &copied.path);
            Some((copied, position))
        });
        let Some((Copied { path, inode: copy, size }, begin)) = copied else {
            return self.forgotten.push((inode, before));
        };
        self.seen.insert(copy);
        self.copied.push(Found { path, inode: copy, partition: before, begin, size, was: None });
    }

    /// Files of earlier runs that have a name now which no glob matches, in the folder that they were in; and those that
    /// were not found.
    fn renamed(&mut self) -> (Vec<Found>, BTreeSet<Inode>) {
        let mut folders: BTreeMap<PathBuf, BTreeSet<Inode>> = BTreeMap::new();
        for (inode, known) in self.table.files().filter(|(inode, _)| !self.seen.contains(inode)) {
            folders.entry(scan::folder_of(Path::new(&known.path))).or_default().insert(inode);
        }
        let (mut found, mut missing) = (Vec::new(), BTreeSet::new());
        for (folder, mut wanted) in folders {
            for (inode, path) in scan::find(&folder, &wanted) {
                if let Ok(Some(renamed)) = self.renamed_to(&path) {
                    wanted.remove(&inode);
                    found.push(renamed);
                }
            }
            missing.extend(wanted);
        }
        (found, missing)
    }

    fn renamed_to(&mut self, path: &Path) -> io::Result<Option<Found>> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        let look = Look::new(path, &file, &metadata, self.settings.compression, &self.positions);
        if !self.table.recognises(&look)? {
            return Ok(None);
        }
        Ok(self.at(path)?.map(|(found, _)| found))
    }
}
