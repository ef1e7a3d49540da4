//! Hears what happens in folders, as far as the system says so.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use inotify::{EventMask, Inotify, WatchDescriptor, WatchMask};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tracing::{debug, warn};

use crate::source::file::scan::plain;

/// Room for about a thousand changes of files with short names.
const BUFFER: usize = 64 << 10;

/// However much goes on, something is to be read in between.
const MOST_READS: usize = 16;

/// File systems that other machines may write to: what happens there is not told here. As in `statfs(2)`.
#[rustfmt::skip]
const REMOTE: [i64; 13] = [
    0x6969, 0x517b, 0xff53_4d42, 0xfe53_4d42, // NFS, SMB, CIFS, SMB2
    0x0102_1997, 0x6573_5546, 0x786f_4256, // 9P, FUSE, vboxsf
    0x00c3_6400, 0x5346_414f, 0x6b41_4653, // Ceph, OpenAFS, kAFS
    0x0bd0_0bd0, 0x4750_4653, 0x0116_1970, // Lustre, GPFS, GFS
];

/// Watches folders, not files: one watch each, however many files there are.
pub(super) struct Watcher {
    inotify: Option<Inotify>,
    /// The names under which each folder was asked for.
    names: HashMap<WatchDescriptor, BTreeSet<PathBuf>>,
    watched: BTreeMap<PathBuf, WatchDescriptor>,
    /// Folders that nobody watches.
    blind: BTreeSet<PathBuf>,
    /// The first half of a renaming, until the second is heard.
    renaming: Option<(u32, PathBuf)>,
    buffer: Vec<u8>,
}

/// What was heard since.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// Files with more, or less, in them.
    pub(super) written: BTreeSet<PathBuf>,
    /// Paths at which another file may be now, or none.
    pub(super) moved: BTreeSet<PathBuf>,
    /// Where a file is that was renamed, and where it was: it may have come and gone there since the last time.
    pub(super) renamed: BTreeMap<PathBuf, PathBuf>,
    /// Anything may have changed.
    pub(super) everything: bool,
}

impl Watcher {
    /// Without `inotify` nothing is heard.
    pub(super) fn new(inotify: bool) -> Watcher {
        let inotify = match inotify.then(Inotify::init) {
            None => None,
            Some(Ok(inotify)) => Some(inotify),
            Some(Err(error)) => {
                warn!("the system does not say when files change ({error}): they are looked at again and again");
                None
            }
        };
        let (names, watched, blind) = (HashMap::new(), BTreeMap::new(), BTreeSet::new());
        Watcher { inotify, names, watched, blind, renaming: None, buffer: vec![0; BUFFER] }
    }

    /// Watches a folder, where that can be done. One that is watched goes on to be.
    pub(super) fn watch(&mut self, folder: &Path) {
        if self.watched.contains_key(folder) {
            return;
        }
        let new = self.blind.insert(folder.to_owned());
        let Some(inotify) = &self.inotify else { return };
        if is_remote(folder) {
            debug!(folder = %folder.display(), "other machines may write there: it is looked at again and again");
            return;
        }
        let mask = WatchMask::CREATE
            | WatchMask::MOVE
            | WatchMask::DELETE
            | WatchMask::MODIFY
            | WatchMask::DELETE_SELF
            | WatchMask::MOVE_SELF
            | WatchMask::ONLYDIR;
        match inotify.watches().add(folder, mask) {
            Ok(watch) => {
                self.names.entry(watch.clone()).or_default().insert(folder.to_owned());
                self.watched.insert(folder.to_owned(), watch);
                self.blind.remove(folder);
            }
            // A folder that is not there yet is nothing to worry about.
            Err(error) if new && error.kind() != io::ErrorKind::NotFound => warn!(
                folder = %folder.display(),
                "it can't be watched ({error}): it is looked at again and again; fs.inotify.max_user_watches says how \
                 many may be"
            ),
            Err(_) => {}
        }
    }

    /// Whether there are folders in which something may happen unheard.
    pub(super) fn is_blind(&self) -> bool {
        !self.blind.is_empty()
    }

    /// How many folders are watched.
    pub(super) fn watched(&self) -> usize {
        self.watched.len()
    }

    /// Waits until there is something to hear, for at most so long. Whether there is.
    pub(super) fn wait(&self, most: Duration) -> bool {
        let mut streams: Vec<PollFd> = self.inotify.iter().map(|inotify| PollFd::new(inotify, PollFlags::IN)).collect();
        // An interrupted wait is as good as one that is over.
        poll(&mut streams, Some(&timespec(most))).is_ok_and(|streams| streams > 0)
    }

    /// Everything that is there to be heard, without waiting.
    pub(super) fn hear(&mut self) -> Heard {
        let mut heard = Heard::default();
        for _ in 0..MOST_READS {
            let Some(inotify) = &mut self.inotify else { break };
            let mut gone = Vec::new();
            match inotify.read_events(&mut self.buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => {
                    warn!("what changes can't be heard ({error}): files are looked at again and again");
                    heard.everything = true;
                    self.inotify = None;
                    let watched = std::mem::take(&mut self.watched);
                    self.blind.extend(watched.into_keys());
                }
                Ok(events) => {
                    for event in events {
                        let mask = event.mask;
                        if mask.contains(EventMask::IGNORED) || mask.contains(EventMask::MOVE_SELF) {
                            gone.push(event.wd.clone());
                        }
                        let names = self.names.get(&event.wd);
                        let Some(name) = event.name.filter(|_| !mask.contains(EventMask::ISDIR)) else {
                            heard.everything = true;
                            continue;
                        };
                        for path in names.into_iter().flatten().map(|folder| plain(&folder.join(name))) {
                            if mask == EventMask::MODIFY {
                                heard.written.insert(path);
                                continue;
                            }
                            if mask == EventMask::MOVED_FROM {
                                self.renaming = Some((event.cookie, path.clone()));
                            } else if mask == EventMask::MOVED_TO
                                && let Some((_, from)) = self.renaming.take_if(|(cookie, _)| *cookie == event.cookie)
                            {
                                let origin = heard.renamed.remove(&from).unwrap_or(from);
                                heard.renamed.insert(path.clone(), origin);
                            }
                            heard.moved.insert(path);
                        }
                    }
                }
            }
            gone.into_iter().for_each(|watch| self.forget(&watch));
        }
        heard
    }

    /// A folder is gone, or has another name now.
    fn forget(&mut self, watch: &WatchDescriptor) {
        for folder in self.names.remove(watch).into_iter().flatten() {
            self.watched.remove(&folder);
            self.blind.insert(folder);
        }
        if let Some(inotify) = &self.inotify {
            // The system may have done so already.
            inotify.watches().remove(watch.clone()).ok();
        }
    }

    /// Only these folders are of interest still.
    pub(super) fn keep(&mut self, folders: &BTreeSet<PathBuf>) {
        self.blind.retain(|folder| folders.contains(folder));
    }
}

/// Waits, whatever is heard meanwhile.
pub(super) fn rest(time: Duration) {
    poll(&mut [], Some(&timespec(time))).ok();
}

fn timespec(time: Duration) -> Timespec {
    Timespec { tv_sec: time.as_secs() as i64, tv_nsec: i64::from(time.subsec_nanos()) }
}

fn is_remote(folder: &Path) -> bool {
    rustix::fs::statfs(folder).is_ok_and(|system| REMOTE.contains(&i64::from(system.f_type as u32)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_folder_says_what_is_written_and_what_is_moved() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("a"), "1").unwrap();
        let mut watcher = Watcher::new(true);
        watcher.watch(folder.path());
        assert!(!watcher.is_blind() && !watcher.wait(Duration::ZERO));
        fs::write(path("a"), "2").unwrap();
        assert!(watcher.wait(Duration::from_secs(10)));
        let heard = watcher.hear();
        assert_eq!((heard.written.into_iter().collect::<Vec<_>>(), heard.moved.len()), (vec![path("a")], 0));
        fs::rename(path("a"), path("b")).unwrap();
        fs::write(path("c"), "").unwrap();
        let heard = watcher.hear();
        assert_eq!(heard.moved.into_iter().collect::<Vec<_>>(), [path("a"), path("b"), path("c")]);
        assert_eq!(heard.renamed.into_iter().collect::<Vec<_>>(), [(path("b"), path("a"))]);
        assert!(!heard.everything);
        fs::create_dir(path("d")).unwrap();
        assert!(watcher.hear().everything, "new folders may have files");
    }

    #[test]
    fn what_can_not_be_watched_is_known_to_be_unheard() {
        let folder = tempfile::tempdir().unwrap();
        let mut watcher = Watcher::new(true);
        let later = folder.path().join("later");
        watcher.watch(&later);
        assert!(watcher.is_blind());
        fs::create_dir(&later).unwrap();
        watcher.watch(&later);
        assert!(!watcher.is_blind());
        fs::remove_dir(&later).unwrap();
        assert!(watcher.hear().everything && watcher.is_blind());
        watcher.keep(&BTreeSet::new());
        assert!(!watcher.is_blind());
        let mut deaf = Watcher::new(false);
        deaf.watch(folder.path());
        assert!(deaf.is_blind() && !deaf.hear().everything && !deaf.wait(Duration::ZERO));
    }
}
