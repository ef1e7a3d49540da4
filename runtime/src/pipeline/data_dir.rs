//! The directory in which a run keeps what the next one needs: positions and dead letters.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// How things lie in the directory. A run refuses a directory of another layout rather than misread it.
const LAYOUT: &str = "sump 1\n";

/// A data directory that this process alone uses, until it is dropped.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

/// A data directory can't be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another process uses it.
    #[error("the data directory {0} is in use by another run: stop that one, or give this one its own by --data-dir")]
    InUse(PathBuf),
    /// No run ever used it.
    #[error("{0} is not the data directory of any run: name it by --data-dir, or give the configuration that names it")]
    None(PathBuf),
    /// Another version wrote it.
    #[error("the data directory {path} has the layout `{found}`, this version of sump needs `{}`", LAYOUT.trim())]
    Layout {
        /// Which.
        path: PathBuf,
        /// What it says.
        found: String,
    },
    /// The file system says no.
    #[error("the data directory {path} can't be used: {error}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

impl DataDir {
    /// Creates the directory if there is none, and takes it.
    pub fn open(path: &Path) -> Result<DataDir, DataDirError> {
        let failed = |error| DataDirError::Io { path: path.to_owned(), error };
        fs::create_dir_all(path).map_err(failed)?;
        let lock = File::create(path.join("lock")).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(DataDirError::InUse(path.to_owned())),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let layout = path.join("layout");
        match fs::read_to_string(&layout) {
            Ok(found) if found == LAYOUT => {}
            Ok(found) => return Err(DataDirError::Layout { path: path.to_owned(), found: found.trim().into() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                replace(&layout, LAYOUT.as_bytes()).map_err(failed)?
            }
            Err(error) => return Err(failed(error)),
        }
        Ok(DataDir { path: path.to_owned(), _lock: lock })
    }

    /// Where the dead letters of a directory are, for those who look at it beside a run. Creates nothing.
    pub fn look(path: &Path) -> Result<PathBuf, DataDirError> {
        match fs::read_to_string(path.join("layout")) {
            Ok(found) if found == LAYOUT => Ok(path.join("dead_letters")),
            Ok(found) => Err(DataDirError::Layout { path: path.to_owned(), found: found.trim().into() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(DataDirError::None(path.to_owned())),
            Err(error) => Err(DataDirError::Io { path: path.to_owned(), error }),
        }
    }

    /// Where positions are saved.
    pub(super) fn positions(&self) -> PathBuf {
        self.path.join("positions.json")
    }

    /// Where disk buffers are, by pipeline and sink.
    pub(super) fn buffers(&self) -> PathBuf {
        self.path.join("buffers")
    }

    /// Where dead letters are kept.
    pub fn dead_letters(&self) -> PathBuf {
        self.path.join("dead_letters")
    }
}

/// Puts a file in place of another: after a crash there is one or the other, whole.
pub(super) fn replace(path: &Path, contents: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = File::create(&temporary)?;
    io::Write::write_all(&mut file, contents)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    match path.parent() {
        Some(directory) => File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_run_at_a_time() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("data");
        let first = DataDir::open(&path).unwrap();
        assert!(matches!(DataDir::open(&path), Err(DataDirError::InUse(_))));
        drop(first);
        DataDir::open(&path).unwrap();
    }

    #[test]
    fn another_layout_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        fs::write(parent.path().join("layout"), "sump 99\n").unwrap();
        let error = DataDir::open(parent.path()).unwrap_err().to_string();
        assert!(error.contains("`sump 99`") && error.contains("`sump 1`"), "{error}");
    }
}
