//! What lies in a directory of dead letters: segments `00000001.ndjson`, their marks `00000001.done`, and the lock of
//! those who mark.

use std::fs::{self, File, TryLockError};
use std::io::{self, BufReader, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::marks::{self, Ranges};
use super::medium::sync_directory;
use super::scan::Lines;

const SEGMENT: &str = "ndjson";
const MARKS: &str = "done";
const LOCK: &str = "replay.lock";

/// One file of dead letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) number: u64,
    directory: PathBuf,
}

impl Segment {
    pub(super) fn new(directory: &Path, number: u64) -> Segment {
        Segment { number, directory: directory.to_owned() }
    }

    /// All of a directory, oldest first. None where there is no directory.
    pub(super) fn all(directory: &Path) -> io::Result<Vec<Segment>> {
        let numbers = numbers(directory, &[SEGMENT])?;
        Ok(numbers.into_iter().map(|number| Segment::new(directory, number)).collect())
    }

    /// The one after all that there are, or were and left marks, and after number `last`.
    pub(super) fn after(directory: &Path, last: u64) -> io::Result<Segment> {
        let there = numbers(directory, &[SEGMENT, MARKS])?.pop().unwrap_or(0);
        Ok(Segment::new(directory, there.max(last) + 1))
    }

    pub(super) fn path(&self) -> PathBuf {
        self.directory.join(format!("{:08}.{SEGMENT}", self.number))
    }

    pub(super) fn marks(&self) -> PathBuf {
        self.directory.join(format!("{:08}.{MARKS}", self.number))
    }

    /// What is marked as done.
    pub(super) fn done(&self) -> io::Result<Ranges> {
        marks::read(&self.marks())
    }

    /// Whether a process may still append to it.
    pub(super) fn is_owned(&self) -> io::Result<bool> {
        match File::open(self.path())?.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            // Nobody can tell.
            Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => Ok(true),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Whether all of its lines are done. What follows the last newline is no line.
    fn is_finished(&self) -> io::Result<bool> {
        let len = fs::metadata(self.path())?.len();
        let done = self.done()?;
        let mut lines = Lines::new(BufReader::new(File::open(self.path())?), len);
        Ok(lines.next(&mut Vec::new(), Some(&done))?.is_none())
    }

    /// Removes it if nothing of it is left to do, and returns how many bytes that frees.
    fn prune(&self) -> io::Result<Option<u64>> {
        let file = File::open(self.path())?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        if !self.is_finished()? {
            return Ok(None);
        }
        let size = |path: PathBuf| fs::metadata(path).map_or(0, |metadata| metadata.len());
        let freed = size(self.path()) + size(self.marks());
        fs::remove_file(self.path())?;
        Ok(Some(freed))
    }
}

/// The right to mark and to remove in a directory. One process has it at a time.
#[derive(Debug)]
pub struct ReplayLock {
    _file: File,
}

/// The right to replay is taken.
#[derive(Debug, thiserror::Error)]
pub enum Held {
    /// By another replay.
    #[error("another replay of {0} is going on: wait for its end, or stop it")]
    Held(PathBuf),
    /// It can't be found out.
    #[error("{path}: {error}")]
    Io {
        /// The lock.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

impl ReplayLock {
    /// Takes it until it is dropped. The directory must be there.
    pub fn take(directory: &Path) -> Result<Arc<ReplayLock>, Held> {
        let path = directory.join(LOCK);
        let failed = |error| Held::Io { path: path.clone(), error };
        let file = File::create(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Arc::new(ReplayLock { _file: file })),
            Err(TryLockError::WouldBlock) => Err(Held::Held(directory.to_owned())),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }
}

/// Removes segments in which everything is done, with their marks. Returns how many there were, and their bytes.
pub fn prune(directory: &Path, _lock: &ReplayLock) -> io::Result<(usize, u64)> {
    let (mut segments, mut bytes) = (0, 0);
    for segment in Segment::all(directory)? {
        if let Some(freed) = segment.prune()? {
            segments += 1;
            bytes += freed;
        }
    }
    // Marks go after their segments, which without marks would be sent again. The last ones stay: no segment gets a
    // number that marks were given for, which somebody may still be about to write.
    sync_directory(directory)?;
    let (there, mut left) = (numbers(directory, &[SEGMENT])?, numbers(directory, &[SEGMENT, MARKS])?);
    left.pop();
    for number in left.into_iter().filter(|number| !there.contains(number)) {
        remove(&Segment::new(directory, number).marks())?;
    }
    Ok((segments, bytes))
}

/// Bytes of all files of a directory.
pub(super) fn size(directory: &Path) -> io::Result<u64> {
    let mut size = 0;
    for entry in fs::read_dir(directory)? {
        match entry?.metadata() {
            Ok(metadata) => size += metadata.len(),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(size)
}

/// Ascending, each once.
fn numbers(directory: &Path, extensions: &[&str]) -> io::Result<Vec<u64>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut numbers = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        let parts = name.to_str().and_then(|name| name.split_once('.'));
        let number = parts.filter(|(_, extension)| extensions.contains(extension));
        numbers.extend(number.and_then(|(number, _)| number.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    numbers.dedup();
    Ok(numbers)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::Marks;

    fn marked(folder: &Path, number: u64, done: std::ops::Range<u64>) {
        let lock = ReplayLock::take(folder).unwrap();
        Marks::open(folder, &lock).mark(&[(number, done)]).unwrap();
    }

    #[test]
    fn only_what_is_done_as_a_whole_and_owned_by_nobody_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = |number: u64| Segment::new(folder.path(), number).path();
        for number in 1..=4 {
            fs::write(path(number), "one\ntwo\ntorn").unwrap();
        }
        let owned = File::open(path(4)).unwrap();
        owned.lock().unwrap();
        marked(folder.path(), 1, 0..8);
        marked(folder.path(), 2, 4..8);
        marked(folder.path(), 4, 0..8);
        let lock = ReplayLock::take(folder.path()).unwrap();
        assert_eq!(prune(folder.path(), &lock).unwrap().0, 1);
        assert_eq!([1, 2, 3, 4].map(|number| path(number).exists()), [false, true, true, true]);
        assert!(!Segment::new(folder.path(), 1).marks().exists());
        drop(owned);
        assert_eq!(prune(folder.path(), &lock).unwrap().0, 1);
        assert_eq!(Segment::after(folder.path(), 0).unwrap().number, 5, "the last number is not given again");
    }

    #[test]
    fn the_number_of_marks_without_a_segment_is_not_used_again() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("00000007.done"), "").unwrap();
        fs::write(folder.path().join("00000003.ndjson"), "").unwrap();
        assert_eq!(Segment::after(folder.path(), 0).unwrap().number, 8);
        assert_eq!(Segment::after(folder.path(), 9).unwrap().number, 10);
    }

    #[test]
    fn one_marks_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let lock = ReplayLock::take(folder.path()).unwrap();
        assert!(matches!(ReplayLock::take(folder.path()), Err(Held::Held(_))));
        drop(lock);
        ReplayLock::take(folder.path()).unwrap();
    }
}
