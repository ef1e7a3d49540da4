//! What a file held before it was cut off, where somebody has copied it first.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::identity::{Inode, Known};
use super::scan;

/// A copy of a file, made before that was cut off.
#[derive(Debug)]
pub(super) struct Copied {
    pub(super) path: PathBuf,
    pub(super) inode: Inode,
    pub(super) size: u64,
}

/// Looks for a copy of a file in its folder that has all of it that was read, up to `position`, and perhaps more.
/// Rotation by copying and truncating leaves one, and what was not read yet is in that alone.
pub(super) fn find(known: &Known, original: &Path, position: u64, is_other: impl Fn(Inode) -> bool) -> Option<Copied> {
    let mut best: Option<(i64, Copied)> = None;
    for entry in fs::read_dir(scan::folder_of(original)).into_iter().flatten().flatten() {
        let Ok(metadata) = entry.metadata() else { continue };
        let (inode, size, changed) = (Inode::from(&metadata), metadata.len(), metadata.ctime());
        let older = best.as_ref().is_some_and(|(newest, _)| changed < *newest);
        if !metadata.is_file() || size < position || older || is_other(inode) {
            continue;
        }
        let path = scan::plain(&entry.path());
        if begins_alike(known, &path).unwrap_or(false) {
            best = Some((changed, Copied { path, inode, size }));
        }
    }
    best.map(|(_, copied)| copied)
}

fn begins_alike(known: &Known, path: &Path) -> io::Result<bool> {
    known.is_beginning_of(&File::open(path)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::file::identity::{Look, Table};
    use crate::source::file::settings::Compression;
    use std::collections::BTreeMap;

    #[test]
    fn the_newest_copy_that_has_what_was_read_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("a.log"), "one\ntwo\n").unwrap();
        let (file, positions) = (File::open(path("a.log")).unwrap(), BTreeMap::new());
        let metadata = file.metadata().unwrap();
        let inode = Inode::from(&metadata);
        let mut table = Table::default();
        let look = Look {
            path: &path("a.log"),
            file: &file,
            metadata: &metadata,
            compression: Compression::Auto,
            positions: &positions,
        };
        table.identify(&look).unwrap();
        let known = table.known(inode).unwrap();
        fs::write(path("short"), "one\n").unwrap();
        fs::write(path("other"), "uno\ntwo\n").unwrap();
        let found = |position| find(&known, &path("a.log"), position, |other| other == inode).map(|copied| copied.path);
        assert_eq!(found(8), None);
        fs::copy(path("a.log"), path("copy")).unwrap();
        assert_eq!(found(8), Some(path("copy")));
        assert_eq!(found(9), None);
    }
}
