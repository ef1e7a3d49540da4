//! Files on disk: opened, owned, and repaired after a kill.
//!
//! A kill or a power cut in the middle of a write can leave a part of a line at the end. While a file is open it bears a
//! mark, the extended attribute `user.sump.open`, with the length that it had when it was opened: what is found after
//! that length was written here, and its events come again, so a part of a line is cut off. Where there is no mark the
//! file was closed in good order, or is someone else's: then an unfinished line is ended and kept. On file systems
//! without extended attributes a part of a line that a kill left is therefore kept too, as a line of its own.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fd::OwnedFd;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, XattrFlags, fgetxattr, fremovexattr, fsetxattr, mkdirat, openat2};
use rustix::io::Errno;
use tracing::{debug, info, warn};

use super::checkpoint::sync_folder;
use super::compress::{self, Compression};
use super::medium::Medium;

/// On a file while it is open: the length from which on all of it was written here, in decimal.
const MARK: &str = "user.sump.open";

/// How much is read at a time to find the last newline.
const STEP: usize = 64 << 10;

/// A file that is open for appending, and locked against others who would.
#[derive(Debug)]
pub(super) struct Disk {
    file: File,
    path: PathBuf,
    /// A pipe or a device has no length and can't be cut off, locked or marked.
    regular: bool,
}

/// How files are opened.
#[derive(Clone, Debug, Default)]
pub(super) struct How {
    /// A new file's name survives a power cut.
    pub(super) durable: bool,
    /// What is in it.
    pub(super) compression: Option<Compression>,
    /// Someone else knows what belongs into it, and has cut off the rest.
    pub(super) known: bool,
    /// The folder that is not left, whatever links lead out of it; empty for the working directory. None where the path
    /// is the operator's.
    pub(super) root: Option<PathBuf>,
}

impl Disk {
    /// Opens a file, or makes it together with its folders.
    ///
    /// Fails with [`ErrorKind::ResourceBusy`] when another process or sink has it open, and with
    /// [`ErrorKind::CrossesDevices`] when a link on the way leads out of the root.
    pub(super) fn open(path: &Path, how: &How) -> io::Result<Disk> {
        let (file, new) = match &how.root {
            None => open(path)?,
            Some(root) => open_beneath(root, path.strip_prefix(root).unwrap_or(path))?,
        };
        let regular = file.metadata()?.is_file();
        if regular {
            lock(&file)?;
            if !how.known {
                match how.compression {
                    None => repair(&file, path)?,
                    Some(compression) => repair_packed(&file, path, compression)?,
                }
                mark(&file, path);
            }
        }
        if new && how.durable {
            sync_folder(path)?;
        }
        Ok(Disk { file, path: path.to_owned(), regular })
    }
}

impl Medium for Disk {
    fn len(&self) -> io::Result<u64> {
        if self.regular { Ok(self.file.metadata()?.len()) } else { Ok(0) }
    }

    fn append(&self, bytes: &[u8]) -> io::Result<usize> {
        (&self.file).write(bytes)
    }

    fn begun(&self) -> SystemTime {
        // Not every file system knows.
        self.file.metadata().and_then(|metadata| metadata.created()).unwrap_or_else(|_| SystemTime::now())
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        if self.regular { self.file.set_len(len) } else { Ok(()) }
    }

    fn sync(&self) -> io::Result<()> {
        if self.regular { self.file.sync_data() } else { Ok(()) }
    }

    fn is_gone(&self) -> bool {
        let same = || -> io::Result<bool> {
            let (here, there) = (self.file.metadata()?, self.path.metadata()?);
            Ok((here.dev(), here.ino()) == (there.dev(), there.ino()))
        };
        !same().unwrap_or(false)
    }

    fn finish(&self) -> io::Result<()> {
        match self.regular.then(|| fremovexattr(&self.file, MARK)) {
            None | Some(Ok(()) | Err(Errno::NODATA | Errno::NOTSUP)) => Ok(()),
            Some(Err(error)) => Err(error.into()),
        }
    }
}

/// Also says whether the file is new.
fn open(path: &Path) -> io::Result<(File, bool)> {
    let mut options = OpenOptions::new();
    options.append(true).read(true);
    match options.open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        opened => return opened.map(|file| (file, false)),
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    options.create(true).open(path).map(|file| (file, true))
}

/// The same for a file below a folder, which no link on the way leads out of.
fn open_beneath(root: &Path, rest: &Path) -> io::Result<(File, bool)> {
    let folder = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = if root.as_os_str().is_empty() { Path::new(".") } else { root };
    std::fs::create_dir_all(root)?;
    let root = rustix::fs::openat(CWD, root, folder, Mode::empty())?;
    let flags = OFlags::APPEND | OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOCTTY;
    match beneath(&root, rest, flags, Mode::empty()) {
        Err(Errno::NOENT) => {}
        opened => return Ok((File::from(opened?), false)),
    }
    let mut at = root;
    for part in rest.parent().into_iter().flat_map(Path::components) {
        let part = Path::new(part.as_os_str());
        at = match beneath(&at, part, folder, Mode::empty()) {
            Err(Errno::NOENT) => match mkdirat(&at, part, Mode::from_raw_mode(0o777)) {
                Ok(()) | Err(Errno::EXIST) => beneath(&at, part, folder, Mode::empty())?,
                Err(error) => return Err(error.into()),
            },
            opened => opened?,
        };
    }
    let name = rest.file_name().ok_or(ErrorKind::InvalidFilename)?;
    let file = beneath(&at, Path::new(name), flags | OFlags::CREATE, Mode::from_raw_mode(0o666))?;
    Ok((File::from(file), true))
}

fn beneath(at: &OwnedFd, path: &Path, flags: OFlags, mode: Mode) -> rustix::io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    loop {
        match openat2(at, path, flags, mode, resolve) {
            // Something on the way was renamed meanwhile.
            Err(Errno::AGAIN | Errno::INTR) => {}
            // An older system: no link is followed at all.
            Err(Errno::NOSYS) => return walk(at, path, flags, mode),
            opened => return opened,
        }
    }
}

fn walk(at: &OwnedFd, path: &Path, flags: OFlags, mode: Mode) -> rustix::io::Result<OwnedFd> {
    let folder = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let mut here = rustix::fs::openat(at, ".", folder, Mode::empty())?;
    for part in path.parent().into_iter().flat_map(Path::components) {
        here = rustix::fs::openat(&here, Path::new(part.as_os_str()), folder, Mode::empty())?;
    }
    let name = path.file_name().ok_or(Errno::INVAL)?;
    rustix::fs::openat(&here, Path::new(name), flags | OFlags::NOFOLLOW, mode)
}

/// Two who append to one file would cut off one another's lines.
fn lock(file: &File) -> io::Result<()> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => {
            Err(io::Error::new(ErrorKind::ResourceBusy, "another process or sink is writing it"))
        }
        Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => Ok(()),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Sees to it that the file ends with a whole line.
fn repair(file: &File, path: &Path) -> io::Result<()> {
    let len = file.metadata()?.len();
    let end = whole_lines(file, len)?;
    if end == len {
        return Ok(());
    }
    match read_mark(file).filter(|own| *own <= len) {
        Some(own) => {
            let end = end.max(own);
            file.set_len(end)?;
            warn!(file = %path.display(), bytes = len - end, "cut off the part of a line that the last run left");
        }
        None => {
            info!(file = %path.display(), "ended the last line, which had no newline");
            let mut file = file;
            file.write_all(b"\n")?;
        }
    }
    Ok(())
}

/// Sees to it that the file ends with what can be read back. What an earlier run found whole is not looked at again.
fn repair_packed(file: &File, path: &Path, compression: Compression) -> io::Result<()> {
    let len = file.metadata()?.len();
    let from = match read_mark(file) {
        Some(own) => own.min(len),
        None if keeps_marks(file) => return Ok(()),
        None => 0,
    };
    let end = compress::whole(compression, file, from)?;
    if end < len {
        file.set_len(end)?;
        warn!(file = %path.display(), bytes = len - end, "cut off what the last run left and can't be read back");
    }
    Ok(())
}

fn keeps_marks(file: &File) -> bool {
    !matches!(fgetxattr(file, MARK, &mut [0u8; 20]), Err(Errno::NOTSUP))
}

/// The length up to which the file has whole lines.
fn whole_lines(file: &File, len: u64) -> io::Result<u64> {
    let mut step = vec![0; STEP.min(len as usize)];
    let mut end = len;
    while end > 0 {
        let start = end.saturating_sub(STEP as u64);
        let read = &mut step[..(end - start) as usize];
        file.read_exact_at(read, start)?;
        if let Some(newline) = memchr::memrchr(b'\n', read) {
            return Ok(start + newline as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

fn read_mark(file: &File) -> Option<u64> {
    let mut text = [0; 20];
    let len = fgetxattr(file, MARK, &mut text).ok()?;
    std::str::from_utf8(text.get(..len)?).ok()?.parse().ok()
}

fn mark(file: &File, path: &Path) {
    let marked = file
        .metadata()
        .and_then(|metadata| Ok(fsetxattr(file, MARK, metadata.len().to_string().as_bytes(), XattrFlags::empty())?));
    if let Err(error) = marked {
        debug!(file = %path.display(), "can't be marked as open: a kill may leave a part of a line in it: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn opened(path: &Path) -> Disk {
        Disk::open(path, &How { durable: true, ..How::default() }).unwrap()
    }

    #[test]
    fn missing_folders_are_made_and_lines_appended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/c.log");
        opened(&path).append(b"one\n").unwrap();
        opened(&path).append(b"two\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntwo\n");
    }

    #[test]
    fn what_a_kill_left_of_a_line_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "theirs").unwrap();
        let disk = opened(&path);
        if read_mark(&disk.file).is_none() {
            return; // The file system keeps no marks.
        }
        disk.append(b"ours\nto").unwrap();
        drop(disk);
        let disk = opened(&path);
        assert_eq!(fs::read_to_string(&path).unwrap(), "theirs\nours\n");
        disk.append(b"torn again, with no newline before it in a long way").unwrap();
        drop(disk);
        drop(opened(&path));
        assert_eq!(fs::read_to_string(&path).unwrap(), "theirs\nours\n");
    }

    #[test]
    fn a_line_that_someone_else_did_not_end_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let disk = opened(&path);
        disk.append(b"ours\n").unwrap();
        disk.finish().unwrap();
        drop(disk);
        fs::write(&path, "ours\ntheirs").unwrap();
        drop(opened(&path));
        assert_eq!(fs::read_to_string(&path).unwrap(), "ours\ntheirs\n");
    }

    #[test]
    fn the_last_newline_is_found_however_far_back_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        for tail in [0, 1, STEP - 1, STEP, 3 * STEP + 5] {
            fs::write(&path, [&b"x\n"[..], &vec![b'y'; tail]].concat()).unwrap();
            let file = File::open(&path).unwrap();
            assert_eq!(whole_lines(&file, 2 + tail as u64).unwrap(), 2);
        }
        fs::write(&path, vec![b'y'; STEP + 5]).unwrap();
        assert_eq!(whole_lines(&File::open(&path).unwrap(), STEP as u64 + 5).unwrap(), 0);
    }

    #[test]
    fn a_file_has_one_owner_and_is_free_once_that_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let first = opened(&path);
        assert_eq!(Disk::open(&path, &How::default()).unwrap_err().kind(), ErrorKind::ResourceBusy);
        drop(first);
        opened(&path);
    }

    #[test]
    fn a_file_that_was_moved_away_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let disk = opened(&path);
        assert!(!disk.is_gone());
        fs::rename(&path, folder.path().join("b")).unwrap();
        assert!(disk.is_gone());
        fs::write(&path, "").unwrap();
        assert!(disk.is_gone());
    }

    #[test]
    fn no_link_leads_out_of_the_root() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        let outside = folder.path().join("outside");
        fs::create_dir_all(&outside).unwrap();
        fs::create_dir_all(root.join("in")).unwrap();
        std::os::unix::fs::symlink(&outside, root.join("out")).unwrap();
        std::os::unix::fs::symlink("../outside/new", root.join("dangling")).unwrap();
        std::os::unix::fs::symlink("in", root.join("inside")).unwrap();
        let how = How { root: Some(root.clone()), ..How::default() };
        for name in ["a", "deep/er/b", "in/c", "inside/d"] {
            Disk::open(&root.join(name), &how).unwrap().append(b"line\n").unwrap();
            assert_eq!(fs::read_to_string(root.join(name)).unwrap(), "line\n");
        }
        for name in ["out/e", "out/deep/e", "dangling"] {
            Disk::open(&root.join(name), &how).unwrap_err();
        }
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    }

    #[test]
    fn what_a_kill_left_and_can_not_be_read_back_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.gz");
        let how = How { compression: Some(Compression::Gzip), ..How::default() };
        let mut compressor = compress::Compressor::new(Compression::Gzip);
        let whole = compressor.pack(b"one\ntwo\n").unwrap().to_vec();
        let disk = Disk::open(&path, &how).unwrap();
        disk.append(&whole).unwrap();
        disk.append(&whole[..whole.len() - 1]).unwrap();
        drop(disk);
        let disk = Disk::open(&path, &how).unwrap();
        assert_eq!(fs::read(&path).unwrap(), whole);
        disk.finish().unwrap();
        drop(disk);
        fs::write(&path, "theirs").unwrap();
        drop(Disk::open(&path, &how).unwrap());
        if keeps_marks(&File::open(&path).unwrap()) {
            assert_eq!(fs::read(&path).unwrap(), b"theirs");
        }
    }

    #[test]
    fn a_device_takes_lines_too() {
        let disk = opened(Path::new("/dev/null"));
        disk.append(b"line\n").unwrap();
        disk.truncate(0).unwrap();
        disk.sync().unwrap();
        disk.finish().unwrap();
    }
}
