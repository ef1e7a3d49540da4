//! Which file is where: new ones, renamed ones, and those that are gone.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use tracing::{debug, info};

use super::watch::Heard;
use super::{COPYING, Follower, GRAIN};
use crate::batch::Partition;
use crate::source::Input;
use crate::source::file::identity::{self, Identity, Inode, Look};
use crate::source::file::look::Found;
use crate::source::file::scan;
use crate::source::reader::Stop;

/// So often something is looked for at once that may have changed meanwhile.
const MOST_LOOKS: usize = 16;

impl Follower<'_> {
    /// Looks at everything: all folders, all names that globs match, and all files. Where something was missed, also for
    /// files that came under a name that globs match, and were renamed since.
    pub(super) fn sweep(&mut self, missed: bool) -> Result<(), Stop> {
        let mut folders = BTreeSet::new();
        for _ in 0..MOST_LOOKS {
            let mut now = scan::folders(&self.settings.path);
            now.extend(self.links.keys().map(|real| scan::folder_of(real)));
            now.iter().for_each(|folder| self.watcher.watch(folder));
            // What was made in a new folder before that was watched is heard of nowhere.
            let same = now == folders;
            folders = now;
            if same {
                break;
            }
        }
        self.watcher.keep(&folders);
        let scan::Scan { mut files, problems } = scan::scan(&self.settings.path);
        problems.into_iter().for_each(|problem| self.tell(problem));
        files.extend(self.names.keys().cloned());
        files.extend(self.watcher.meant());
        files.iter().for_each(|path| self.look(path));
        if missed {
            let since = self.heard.checked_sub(GRAIN).unwrap_or(SystemTime::UNIX_EPOCH);
            for path in folders.iter().flat_map(|folder| scan::rotated(&self.settings.path, folder, since)) {
                let unknown = fs::metadata(&path).is_ok_and(|now| !self.files.contains_key(&Inode::from(&now)));
                if unknown {
                    self.fresh.insert(path);
                }
            }
        }
        // What was moved may be found again.
        self.lost.extend(&self.gone);
        self.settle()
    }

    /// Looks at what was heard of.
    pub(super) fn look_at(&mut self, heard: Heard) {
        for path in &heard.written {
            match self.names.get(path).or_else(|| self.names.get(self.links.get(path)?)).copied() {
                Some(inode) => self.make_ready(inode),
                None if scan::matches(&self.settings.path, path) => self.look(path),
                None => {}
            }
        }
        for path in &heard.moved {
            self.look(path);
            if let Some(link) = self.links.get(path).cloned() {
                self.look(&link);
            }
        }
        if !heard.missed {
            self.heard = SystemTime::now();
        }
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
        if self.names.get(path).is_some_and(|before| *before != inode) {
            self.unname(path);
        }
        if self.is_used_again(inode, path, &metadata) {
            self.let_go(inode);
        }
        let Some(file) = self.files.get_mut(&inode) else {
            // What was renamed before anybody looked is meant by the name that it had.
            if scan::matches(&self.settings.path, path) || self.watcher.origin(path).is_some() {
                self.fresh.insert(path.to_owned());
            }
            return;
        };
        self.watcher.is_known(path);
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

    /// Whether the inode of a file that nobody holds open is that of another one by now, which is found at a path.
    fn is_used_again(&self, inode: Inode, path: &Path, metadata: &Metadata) -> bool {
        let Some(file) = self.files.get(&inode) else { return false };
        let is_there = file.names.iter().any(|name| name == path);
        // As long as somebody holds it open, no other file gets it. At the old place, that comes to light when it is read.
        file.open.is_none() && !is_there && !self.state.table().may_be(inode, path, metadata).unwrap_or(true)
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
        // One that is found may take the place of another; what happens meanwhile is heard of later.
        for _ in 0..MOST_LOOKS {
            if self.lost.is_empty() {
                break;
            }
            self.find_lost();
        }
        if self.fresh.is_empty() || !self.gathering().is_zero() {
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
        self.assigned = Instant::now();
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
        if self.may_be_a_copy(path, &file, &metadata)? {
            return Ok(None);
        }
        let look = Look::new(path, &file, &metadata, self.settings.compression, &self.positions);
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
        self.watcher.is_known(path);
        self.alike.remove(&inode);
        let (path, size) = (path.to_owned(), metadata.len());
        self.add(Found { path, inode, partition: partition.clone(), begin, size, was: None }, after);
        self.settle_in(inode);
        Ok(Some((partition, begin)))
    }

    /// Whether to wait with a file because it may be a copy of one that is cut off soon.
    fn may_be_a_copy(&mut self, path: &Path, file: &File, metadata: &Metadata) -> io::Result<bool> {
        let inode = Inode::from(metadata);
        let is_guess = !scan::matches(&self.settings.path, path) && self.watcher.origin(path).is_none();
        if !self.state.table().has_alike(file, is_guess)? && !self.may_be_half_a_copy(path, file, metadata)? {
            self.alike.remove(&inode);
            return Ok(false);
        }
        let (at, since) = self.alike.entry(inode).or_insert_with(|| (path.to_owned(), Instant::now()));
        path.clone_into(at);
        Ok(is_guess || since.elapsed() < COPYING)
    }

    /// The same of one that is named as rotation names copies of a file that is followed: too little may be in it yet to
    /// tell, or nothing was read of that file.
    fn may_be_half_a_copy(&self, path: &Path, file: &File, metadata: &Metadata) -> io::Result<bool> {
        let origin = self.watcher.origin(path);
        for original in scan::unrotated(origin.as_deref().unwrap_or(path)) {
            let Some(known) = self.names.get(&original).and_then(|inode| self.state.table().known(*inode)) else {
                continue;
            };
            let size = metadata.len();
            let half = match known.head {
                0 => size == 0 || fs::metadata(&original).is_ok_and(|original| original.len() > 0),
                // It may have been cut off and written anew since, and be copied a second time.
                head => {
                    let begins_like_it = |original| identity::begin_alike(&original, file);
                    size < head as u64
                        || known.is_beginning_of(file)?
                        || File::open(&original).and_then(begins_like_it).unwrap_or(false)
                }
            };
            if half {
                return Ok(true);
            }
        }
        Ok(false)
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
            for path in scan::find(&folder, &lost).values() {
                self.look(path);
            }
            for inode in lost {
                let Some(file) = self.files.get_mut(&inode) else { continue };
                match file.names.first() {
                    Some(path) => info!(partition = file.partition.as_str(), "renamed to {}", path.display()),
                    None if !self.gone.insert(inode) => continue,
                    None => {
                        debug!(partition = file.partition.as_str(), "not found any more");
                        file.touched = Instant::now();
                    }
                }
                self.make_ready(inode);
            }
        }
    }
}
