//! What segments and marks are written to.

use std::fmt::Debug;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A file system, or what stands in for one in a test.
pub(super) trait Medium: Debug + Send + Sync {
    /// Makes a directory with its parents, unless it is there.
    fn make_directory(&self, path: &Path) -> io::Result<()>;

    /// Makes a file that is not there yet, owned by whoever holds what is returned. Its name survives a power cut.
    ///
    /// Fails with [`ErrorKind::AlreadyExists`] where there is one.
    fn create(&self, path: &Path) -> io::Result<Box<dyn Log>>;

    /// Opens a file for appending, cut off behind its last newline, or makes it. Its name survives a power cut.
    fn open(&self, path: &Path) -> io::Result<Box<dyn Log>>;
}

/// A file that is appended to. Dropping it gives it free.
pub(super) trait Log: Debug + Send {
    /// Adds bytes at the end, and says how many of them were added. Where it fails, none was.
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Cuts it off at a length.
    fn truncate(&mut self, len: u64) -> io::Result<()>;

    /// Returns once what it holds would survive a power cut.
    fn sync(&mut self) -> io::Result<()>;
}

impl dyn Log {
    /// Adds all bytes at the end, or fails with some of them added.
    pub(super) fn append_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.append(bytes) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(added) => bytes = &bytes[added..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// The file system of the machine.
#[derive(Debug)]
pub(super) struct Disk;

impl Medium for Disk {
    fn make_directory(&self, path: &Path) -> io::Result<()> {
        if path.is_dir() {
            return Ok(());
        }
        fs::create_dir_all(path)?;
        path.parent().filter(|parent| !parent.as_os_str().is_empty()).map_or(Ok(()), sync_directory)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn Log>> {
        loop {
            let file = OpenOptions::new().append(true).create_new(true).open(path)?;
            match file.lock() {
                Ok(()) => {}
                // Nobody can tell then that it is owned, and nobody removes it.
                Err(error) if error.kind() == ErrorKind::Unsupported => {}
                Err(error) => return Err(error),
            }
            // Empty and not yet owned, it may have been taken for one that is finished.
            if file.metadata()?.nlink() > 0 {
                sync_parent(path)?;
                return Ok(Box::new(file));
            }
        }
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Log>> {
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        let written = fs::read(path)?;
        let whole = memchr::memrchr(b'\n', &written).map_or(0, |newline| newline + 1);
        if whole < written.len() {
            file.set_len(whole as u64)?;
        }
        sync_parent(path)?;
        Ok(Box::new(file))
    }
}

impl Log for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write(bytes)
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.set_len(len)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

fn sync_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), sync_directory)
}

/// Returns once the names in a directory would survive a power cut.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
