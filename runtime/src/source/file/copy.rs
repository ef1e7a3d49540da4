//! What a file held before it was cut off, where somebody has copied it first.

use std::ffi::OsStr;
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
    // A file that is renamed while its folder is read may be passed over.
    find_once(known, original, position, &is_other).or_else(|| find_once(known, original, position, &is_other))
}

fn find_once(known: &Known, original: &Path, position: u64, is_other: &impl Fn(Inode) -> bool) -> Option<Copied> {
    let mut best: Option<(i64, Copied)> = None;
    for entry in fs::read_dir(scan::folder_of(original)).into_iter().flatten().flatten() {
        let Ok(metadata) = entry.metadata() else { continue };
        let (inode, size, changed) = (Inode::from(&metadata), metadata.len(), metadata.ctime());
        let older = best.as_ref().is_some_and(|(newest, _)| changed < *newest);
        let path = scan::plain(&entry.path());
        let is_meant = metadata.is_file() && is_named_after(original, &path);
        if !is_meant || size < position || older || is_other(inode) {
            continue;
        }
        if begins_alike(known, &path).unwrap_or(false) {
            best = Some((changed, Copied { path, inode, size }));
        }
    }
    best.map(|(_, copied)| copied)
}

/// Whether a name is one that rotation gives: `a.log.1`, `a.log-20261125`, `a-20261125.log`. Other files may begin alike
/// without being copies, such as what a sink has written of the same lines.
fn is_named_after(original: &Path, path: &Path) -> bool {
    let text = |part: Option<&OsStr>| part.map(|part| part.to_string_lossy().into_owned()).unwrap_or_default();
    let (whole, stem, name) = (text(original.file_name()), text(original.file_stem()), text(path.file_name()));
    let rotated = |before: &str| name.strip_prefix(before).is_some_and(|rest| rest.starts_with(['.', '-', '_']));
    rotated(&whole) || (rotated(&stem) && original.extension().is_some() && path.extension() == original.extension())
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
        fs::write(path("a.log.short"), "one\n").unwrap();
        fs::write(path("a.log.other"), "uno\ntwo\n").unwrap();
        fs::write(path("out"), "one\ntwo\n").unwrap();
        let found = |position| find(&known, &path("a.log"), position, |other| other == inode).map(|copied| copied.path);
        assert_eq!(found(8), None);
        fs::copy(path("a.log"), path("a-20261125.log")).unwrap();
        assert_eq!(found(8), Some(path("a-20261125.log")));
        assert_eq!(found(9), None);
    }
}
