//! Hears what happens in folders, as far as the system says so.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::io;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use inotify::{Event, EventMask, Inotify, WatchDescriptor, WatchMask, Watches};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tracing::{debug, warn};

use super::TICK;
use crate::source::file::scan::{self, plain};
use crate::source::file::settings::Globs;

/// Room for about a thousand changes of files with short names.
const BUFFER: usize = 64 << 10;

/// Between two times of listening. What is written all the time is heard of, and then read, in larger pieces. The system
/// keeps 16,384 changes until then if nobody says otherwise.
const PACE: Duration = Duration::from_millis(10);

/// After so many changes at once there may be more to hear.
const MANY: usize = 256;

/// So many paths are remembered, and then it is as if everything had changed.
const MOST_PATHS: usize = 100_000;

/// Other renamings may be heard between the two halves of one.
const MOST_HALVES: usize = 64;

/// File systems that other machines may write to: what happens there is not told here. As in `statfs(2)`.
#[rustfmt::skip]
const REMOTE: [i64; 13] = [
    0x6969, 0x517b, 0xff53_4d42, 0xfe53_4d42, // NFS, SMB, CIFS, SMB2
    0x0102_1997, 0x6573_5546, 0x786f_4256, // 9P, FUSE, vboxsf
    0x00c3_6400, 0x5346_414f, 0x6b41_4653, // Ceph, OpenAFS, kAFS
    0x0bd0_0bd0, 0x4750_4653, 0x0116_1970, // Lustre, GPFS, GFS
];

/// Watches folders, not files: one watch each, however many files there are.
///
/// A thread listens, also while nobody asks: what the system keeps for whoever does not listen is bounded, and who
/// follows files may have to wait for a sink.
pub(super) struct Watcher {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    ears: Mutex<Ears>,
    something: Condvar,
}

#[derive(Debug)]
struct Ears {
    globs: Globs,
    watches: Option<Watches>,
    /// By the number of its watch, the names under which each folder was asked for.
    names: HashMap<i32, BTreeSet<PathBuf>>,
    watched: BTreeMap<PathBuf, WatchDescriptor>,
    /// Folders that nobody watches.
    blind: BTreeSet<PathBuf>,
    /// First halves of renamings, until the second is heard: the number of each, and the name by which the file is meant.
    renaming: VecDeque<(u32, Option<PathBuf>)>,
    /// Where files are that have another name than the one by which globs mean them, and that one, however many names they
    /// had since.
    meant: BTreeMap<PathBuf, PathBuf>,
    heard: Heard,
    /// Nobody wants to hear any more.
    closed: bool,
}

/// What was heard since.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// Files with more, or less, in them.
    pub(super) written: BTreeSet<PathBuf>,
    /// Paths at which another file may be now, or none.
    pub(super) moved: BTreeSet<PathBuf>,
    /// Anything may have changed.
    pub(super) everything: bool,
    /// There was more than could be heard: files may have come and gone.
    pub(super) missed: bool,
}

impl Watcher {
    /// Without `inotify` nothing is heard. What is renamed is meant if one of its names is one that globs match.
    pub(super) fn new(inotify: bool, globs: &Globs) -> Watcher {
        let mut ears = Ears {
            globs: globs.clone(),
            watches: None,
            names: HashMap::new(),
            watched: BTreeMap::new(),
            blind: BTreeSet::new(),
            renaming: VecDeque::new(),
            meant: BTreeMap::new(),
            heard: Heard::default(),
            closed: false,
        };
        let inotify = inotify.then(Inotify::init).transpose().unwrap_or_else(|error| {
            warn!("the system does not say when files change ({error}): they are looked at again and again");
            None
        });
        ears.watches = inotify.as_ref().map(Inotify::watches);
        let shared = Arc::new(Shared { ears: Mutex::new(ears), something: Condvar::new() });
        if let Some(inotify) = inotify {
            let ears = shared.clone();
            // Nobody joins it: it ends by itself.
            let started = thread::Builder::new().name("files-watch".into()).spawn(move || ears.listen(inotify));
            if let Err(error) = started {
                warn!("no thread to hear when files change ({error}): they are looked at again and again");
                shared.ears().watches = None;
            }
        }
        Watcher { shared }
    }

    /// Watches a folder, where that can be done. One that is watched goes on to be.
    pub(super) fn watch(&self, folder: &Path) {
        // Nothing is heard of a watch before its name is known.
        let mut ears = self.shared.ears();
        if ears.watched.contains_key(folder) {
            return;
        }
        let new = ears.blind.insert(folder.to_owned());
        let Some(watches) = &mut ears.watches else { return };
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
        match watches.add(folder, mask) {
            Ok(watch) => {
                ears.names.entry(watch.get_watch_descriptor_id()).or_default().insert(folder.to_owned());
                ears.watched.insert(folder.to_owned(), watch);
                ears.blind.remove(folder);
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
        !self.shared.ears().blind.is_empty()
    }

    /// How many folders are watched.
    pub(super) fn watched(&self) -> usize {
        self.shared.ears().watched.len()
    }

    /// Waits until there is something to hear, for at most so long.
    pub(super) fn wait(&self, most: Duration) {
        let waited = self.shared.something.wait_timeout_while(self.shared.ears(), most, |ears| ears.heard.is_nothing());
        drop(waited);
    }

    /// Everything that was heard since the last time.
    pub(super) fn hear(&self) -> Heard {
        mem::take(&mut self.shared.ears().heard)
    }

    /// The name by which the file at a path is meant, if that is one that it had before.
    pub(super) fn origin(&self, path: &Path) -> Option<PathBuf> {
        self.shared.ears().meant.get(path).cloned()
    }

    /// Where files are that were meant under a name that they had, and that nobody has begun with.
    pub(super) fn meant(&self) -> BTreeSet<PathBuf> {
        self.shared.ears().meant.keys().cloned().collect()
    }

    /// The file at a path is known from now on, whatever it is called.
    pub(super) fn is_known(&self, path: &Path) {
        self.shared.ears().meant.remove(path);
    }

    /// Only these folders are of interest still.
    pub(super) fn keep(&self, folders: &BTreeSet<PathBuf>) {
        self.shared.ears().blind.retain(|folder| folders.contains(folder));
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.shared.ears().closed = true;
    }
}

impl Shared {
    fn ears(&self) -> MutexGuard<'_, Ears> {
        self.ears.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listen(&self, mut inotify: Inotify) {
        let mut buffer = vec![0; BUFFER];
        loop {
            // An interrupted wait is as good as one that is over.
            poll(&mut [PollFd::new(&inotify, PollFlags::IN)], Some(&timespec(TICK))).ok();
            let mut changes = 0;
            match inotify.read_events(&mut buffer) {
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                Err(error) => {
                    warn!("what changes can't be heard ({error}): files are looked at again and again");
                    self.ears().deafen();
                    return self.something.notify_all();
                }
                Ok(events) => {
                    let mut ears = self.ears();
                    for event in events {
                        changes += 1;
                        ears.hear(&event);
                    }
                    self.something.notify_all();
                }
            }
            if self.ears().closed {
                return;
            }
            if (1..MANY).contains(&changes) {
                poll(&mut [], Some(&timespec(PACE))).ok();
            }
        }
    }
}

impl Ears {
    fn hear<N: AsRef<Path>>(&mut self, event: &Event<N>) {
        let (mask, number) = (event.mask, event.wd.get_watch_descriptor_id());
        if mask.contains(EventMask::Q_OVERFLOW) {
            (self.heard.everything, self.heard.missed) = (true, true);
            return;
        }
        if mask.contains(EventMask::IGNORED) || mask.contains(EventMask::MOVE_SELF) {
            self.forget(number);
        }
        let Some(name) = event.name.as_ref().filter(|_| !mask.contains(EventMask::ISDIR)) else {
            self.heard.everything = true;
            return;
        };
        let folders = self.names.get(&number).into_iter().flatten();
        let paths: Vec<PathBuf> = folders.map(|folder| plain(&folder.join(name))).collect();
        if mask == EventMask::MODIFY {
            self.heard.written.extend(paths);
        } else {
            // The same file under each: the folder was asked for by several names.
            let origins: Vec<PathBuf> = paths.iter().filter_map(|path| self.meant.remove(path)).collect();
            match mask {
                EventMask::MOVED_FROM => {
                    let is_meant = |path: &&PathBuf| scan::matches(&self.globs, path);
                    let origin = origins.into_iter().next().or_else(|| paths.iter().find(is_meant).cloned());
                    if self.renaming.len() >= MOST_HALVES {
                        self.renaming.pop_front();
                    }
                    self.renaming.push_back((event.cookie, origin));
                }
                EventMask::MOVED_TO => {
                    if let Some(origin) = self.half(event.cookie) {
                        self.meant.extend(paths.iter().map(|path| (path.clone(), origin.clone())));
                    }
                }
                _ => {}
            }
            self.heard.moved.extend(paths);
        }
        if self.heard.written.len() + self.heard.moved.len() > MOST_PATHS {
            self.heard = Heard { everything: true, missed: true, ..Heard::default() };
        }
    }

    /// What the first half of a renaming said of the file.
    fn half(&mut self, cookie: u32) -> Option<PathBuf> {
        let at = self.renaming.iter().position(|(half, _)| *half == cookie)?;
        self.renaming.remove(at).and_then(|(_, origin)| origin)
    }

    /// A folder is gone, or has another name now.
    fn forget(&mut self, number: i32) {
        for folder in self.names.remove(&number).into_iter().flatten() {
            if let (Some(watch), Some(watches)) = (self.watched.remove(&folder), &mut self.watches) {
                // The system may have done so already.
                watches.remove(watch).ok();
            }
            self.blind.insert(folder);
        }
    }

    fn deafen(&mut self) {
        (self.heard.everything, self.heard.missed) = (true, true);
        self.watches = None;
        self.blind.extend(mem::take(&mut self.watched).into_keys());
    }
}

impl Heard {
    fn is_nothing(&self) -> bool {
        self.written.is_empty() && self.moved.is_empty() && !self.everything
    }
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
    use std::time::Instant;

    const PATIENCE: Duration = Duration::from_secs(60);

    fn watcher(inotify: bool, folder: &Path) -> Watcher {
        Watcher::new(inotify, &Globs::new(vec![format!("{}/a", folder.display())]).unwrap())
    }

    /// What is heard, together, until it is enough.
    fn heard(watcher: &Watcher, enough: impl Fn(&Heard) -> bool) -> Heard {
        let (mut all, began) = (Heard::default(), Instant::now());
        while !enough(&all) {
            assert!(began.elapsed() < PATIENCE, "no more than {all:?}");
            watcher.wait(Duration::from_secs(1));
            let heard = watcher.hear();
            all.written.extend(heard.written);
            all.moved.extend(heard.moved);
            all.everything |= heard.everything;
            all.missed |= heard.missed;
        }
        all
    }

    /// Hears what there is until something holds. (What was heard before it may be told after it.)
    fn until(watcher: &Watcher, holds: impl Fn() -> bool) {
        let began = Instant::now();
        while !holds() {
            assert!(began.elapsed() < PATIENCE, "in vain");
            watcher.wait(Duration::from_millis(20));
            watcher.hear();
        }
    }

    #[test]
    fn a_folder_says_what_is_written_and_what_is_moved() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("a"), "1").unwrap();
        let watcher = watcher(true, folder.path());
        watcher.watch(folder.path());
        assert!(!watcher.is_blind());
        fs::write(path("a"), "2").unwrap();
        let written = heard(&watcher, |heard| !heard.written.is_empty());
        assert_eq!((written.written, written.moved.len()), (BTreeSet::from([path("a")]), 0));
        fs::rename(path("a"), path("b")).unwrap();
        fs::write(path("c"), "").unwrap();
        let moved = heard(&watcher, |heard| heard.moved.contains(&path("c")));
        assert_eq!(moved.moved.into_iter().collect::<Vec<_>>(), [path("a"), path("b"), path("c")]);
        assert!(!moved.everything && !moved.missed);
        fs::create_dir(path("d")).unwrap();
        assert!(!heard(&watcher, |heard| heard.everything).missed, "new folders may have files");
    }

    #[test]
    fn a_file_is_meant_by_every_name_that_it_had() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let watcher = watcher(true, folder.path());
        watcher.watch(folder.path());
        for name in ["a.1", "a.2"] {
            fs::write(path("a"), "").unwrap();
            fs::rename(path("a"), path("between")).unwrap();
            until(&watcher, || watcher.origin(&path("between")) == Some(path("a")));
            fs::rename(path("between"), path(name)).unwrap();
            until(&watcher, || watcher.origin(&path(name)) == Some(path("a")));
        }
        assert_eq!(watcher.meant(), BTreeSet::from([path("a.1"), path("a.2")]));
        // Something else takes the place of the first.
        fs::write(path("other"), "").unwrap();
        fs::rename(path("other"), path("a.1")).unwrap();
        until(&watcher, || watcher.meant() == BTreeSet::from([path("a.2")]));
        watcher.is_known(&path("a.2"));
        assert_eq!(watcher.origin(&path("a.2")), None);
    }

    #[test]
    fn what_can_not_be_watched_is_known_to_be_unheard() {
        let folder = tempfile::tempdir().unwrap();
        let watched = watcher(true, folder.path());
        let later = folder.path().join("later");
        watched.watch(&later);
        assert!(watched.is_blind());
        fs::create_dir(&later).unwrap();
        watched.watch(&later);
        assert!(!watched.is_blind());
        fs::remove_dir(&later).unwrap();
        heard(&watched, |heard| heard.everything);
        until(&watched, || watched.is_blind());
        watched.keep(&BTreeSet::new());
        assert!(!watched.is_blind());
        let deaf = watcher(false, folder.path());
        deaf.watch(folder.path());
        deaf.wait(Duration::ZERO);
        assert!(deaf.is_blind() && !deaf.hear().everything);
    }

    #[test]
    fn what_is_lost_while_nobody_listens_is_known_to_be_missed() {
        let folder = tempfile::tempdir().unwrap();
        let watcher = watcher(true, folder.path());
        let mut ears = watcher.shared.ears();
        ears.heard.written.extend((0..=MOST_PATHS).map(|number| PathBuf::from(number.to_string())));
        drop(ears);
        watcher.watch(folder.path());
        fs::write(folder.path().join("a"), "").unwrap();
        let ears =
            watcher.shared.something.wait_timeout_while(watcher.shared.ears(), PATIENCE, |ears| !ears.heard.missed);
        let (ears, late) = ears.unwrap();
        assert!(!late.timed_out() && ears.heard.everything && ears.heard.written.len() <= MOST_PATHS);
    }
}
