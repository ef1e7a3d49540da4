//! Which file is where: new ones, renamed ones, and those that are gone.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use tracing::{debug, info};

use super::watch::Heard;
use super::{COPYING, Follower};
use crate::batch::Partition;
use crate::source::Input;
use crate::source::file::identity::{Identity, Inode, Look};
use crate::source::file::look::Found;
use crate::source::file::scan;
use crate::source::reader::Stop;

impl Follower<'_> {
    /// Looks at everything: all folders, all names that globs match, and all files.
    pub(super) fn sweep(&mut self) -> Result<(), Stop> {
        let mut folders = scan::folders(&self.settings.path);
        folders.extend(self.links.keys().map(|real| scan::folder_of(real)));
        self.watcher.keep(&folders);
        folders.iter().for_each(|folder| self.watcher.watch(folder));
        let scan::Scan { mut files, problems } = scan::scan(&self.settings.path);
        problems.into_iter().for_each(|problem| self.tell(problem));
        files.extend(self.names.keys().cloned());
        files.iter().for_each(|path| self.look(path));
        self.settle()
    }

    /// Looks at what was heard of.
    pub(super) fn changed(&mut self, heard: Heard) -> Result<(), Stop> {
        for path in &heard.written {
            match self.names.get(path).or_else(|| self.names.get(self.links.get(path)?)).copied() {
                Some(inode) => self.make_ready(inode),
                None if scan::matches(&self.settings.path, path) => self.look(path),
                None => {}
            }
        }
        self.renamed = heard.renamed;
        for path in &heard.moved {
            self.look(path);
            if let Some(link) = self.links.get(path).cloned() {
                self.look(&link);
            }
        }
        self.settle()
    }

    /// Looks which file is at a path.
    fn look(&mut self, path: &Path) {
        let metadata = match self.metadata(path) {
            Ok(metadata) if metadata.is_file() => metadata,
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                if scan::matches(&self.settings.path, path) {
                    self.trouble(path, &error);
                }
                return;
            }
            _ => return self.unname(path),
        };
        let inode = Inode::from(&metadata);
        // What was renamed before anybody looked is meant by the name that it had.
        let is_meant = |path: &Path| scan::matches(&self.settings.path, path);
        if !self.files.contains_key(&inode)
            && !is_meant(path)
            && !self.renamed.get(path).is_some_and(|was| is_meant(was))
        {
            return self.unname(path);
        }
        if self.names.get(path).is_some_and(|before| *before != inode) {
            self.unname(path);
        }
        let Some(file) = self.files.get_mut(&inode) else {
            self.fresh.insert(path.to_owned());
            return;
        };
        self.gone.remove(&inode);
        if self.names.insert(path.to_owned(), inode).is_none() {
            file.names.push(path.to_owned());
            file.after = self.left.remove(path).filter(|before| *before != inode).or(file.after);
        }
        if file.seen != metadata.len() {
            self.make_ready(inode);
        }
        self.settle_in(inode);
    }

    /// Remembers where a file really is.
    fn settle_in(&mut self, inode: Inode) {
        let Some(file) = self.files.get_mut(&inode) else { return };
        let Some(name) = file.names.first() else { return };
        let real = self.reals.get(name).unwrap_or(name);
        if file.home != *real {
            file.home = real.clone();
            self.state.table().renamed(inode, real);
        }
    }

    /// What is at a path. Where that is a link, what happens to the file is heard under another path.
    fn metadata(&mut self, path: &Path) -> io::Result<Metadata> {
        let metadata = fs::symlink_metadata(path)?;
        if !metadata.is_symlink() {
            return Ok(metadata);
        }
        let (real, metadata) = (fs::canonicalize(path)?, fs::metadata(path)?);
        self.watcher.watch(&scan::folder_of(&real));
        if let Some(before) = self.reals.insert(path.to_owned(), real.clone()).filter(|before| *before != real) {
            self.links.remove(&before);
        }
        self.links.insert(real, path.to_owned());
        Ok(metadata)
    }

    /// A path leads to no file any more, or to another one.
    fn unname(&mut self, path: &Path) {
        let Some(inode) = self.names.remove(path) else { return };
        let Some(file) = self.files.get_mut(&inode) else { return };
        file.names.retain(|name| name != path);
        if file.names.is_empty() {
            self.lost.insert(inode);
        }
        // To its end, before what takes its place.
        self.left.insert(path.to_owned(), inode);
        self.make_ready(inode);
        self.settle_in(inode);
    }

    /// Deals with what was seen: renamed files first, then new ones, the oldest first.
    pub(super) fn settle(&mut self) -> Result<(), Stop> {
        if !self.lost.is_empty() {
            self.find_lost();
        }
        if self.fresh.is_empty() {
            return Ok(());
        }
        let mut fresh: Vec<(SystemTime, PathBuf)> = Vec::new();
        for path in std::mem::take(&mut self.fresh) {
            let modified = fs::metadata(&path).and_then(|metadata| metadata.modified());
            fresh.push((modified.unwrap_or(SystemTime::UNIX_EPOCH), path));
        }
        fresh.sort();
        let mut assigned = Vec::new();
        for (_, path) in fresh {
            match self.admit(&path) {
                Ok(new) => assigned.extend(new),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => self.trouble(&path, &error),
            }
        }
        if assigned.is_empty() {
            return Ok(());
        }
        self.hand.over(Input::Assigned(assigned))
    }

    /// Begins with a file that is new here.
    fn admit(&mut self, path: &Path) -> io::Result<Option<(Partition, u64)>> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        let inode = Inode::from(&metadata);
        if self.files.contains_key(&inode) {
            // It was there under another name first.
            self.look(path);
            return Ok(None);
        }
        if self.may_be_a_copy(path, &file)? {
            return Ok(None);
        }
        let look = Look {
            path,
            file: &file,
            metadata: &metadata,
            compression: self.settings.compression,
            positions: &self.positions,
        };
        let (identity, began) = {
            let mut table = self.state.table();
            (table.identify(&look)?, table.began(inode))
        };
        let begin = match &identity {
            Identity::Known(partition) => self.positions.get(partition).copied().unwrap_or(began),
            Identity::New(_) => 0,
            Identity::Replaced(_, before) => {
                self.state.forget(before.clone(), inode);
                0
            }
        };
        let partition = identity.partition().clone();
        debug!(file = %path.display(), partition = partition.as_str(), begin, "new here");
        let after = self.left.remove(path);
        let (path, size) = (path.to_owned(), metadata.len());
        self.add(Found { path, inode, partition: partition.clone(), begin, size, was: None }, after);
        self.settle_in(inode);
        Ok(Some((partition, begin)))
    }

    /// Whether to wait with a file because it may be a copy of one that is cut off soon.
    fn may_be_a_copy(&mut self, path: &Path, file: &File) -> io::Result<bool> {
        if !self.state.table().has_alike(file)? {
            return Ok(false);
        }
        let waits = self.alike.entry(path.to_owned()).or_insert_with(Instant::now).elapsed() < COPYING;
        if !waits {
            self.alike.remove(path);
        }
        Ok(waits)
    }

    /// Looks for files that lost their last name, in the folders that they were in.
    fn find_lost(&mut self) {
        let mut folders: BTreeMap<PathBuf, BTreeSet<Inode>> = BTreeMap::new();
        for inode in std::mem::take(&mut self.lost) {
            match self.files.get(&inode) {
                Some(file) if file.names.is_empty() => {
                    folders.entry(scan::folder_of(&file.home)).or_default().insert(inode);
                }
                _ => {}
            }
        }
        for (folder, lost) in folders {
            let found = scan::find(&folder, &lost);
            for inode in lost {
                let Some(file) = self.files.get_mut(&inode) else { continue };
                match found.get(&inode) {
                    Some(path) => {
                        info!(partition = file.partition.as_str(), "renamed to {}", path.display());
                        file.names.push(path.clone());
                        self.names.insert(path.clone(), inode);
                        self.settle_in(inode);
                    }
                    None => {
                        debug!(partition = file.partition.as_str(), "not found any more");
                        file.touched = Instant::now();
                        self.gone.insert(inode);
                    }
                }
                self.make_ready(inode);
            }
        }
    }
}
