//! Which files globs name.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{self, DirEntry, Metadata};
use std::os::unix::fs::DirEntryExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use glob::{MatchOptions, Pattern};

use super::Globs;
use super::identity::Inode;
use crate::source::SourceError;

/// As in a shell: a star does not match a leading dot. Unfinished files often have one.
const OPTIONS: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// The files that any of the globs matches, each once, in the order of their names.
    pub(super) files: BTreeSet<PathBuf>,
    /// Globs that match no file, and folders that can't be read.
    pub(super) problems: Vec<String>,
}

/// Looks for the files that globs match.
pub(super) fn scan(globs: &Globs) -> Scan {
    let mut scan = Scan::default();
    for glob in globs.iter() {
        let (before, mut found) = (scan.problems.len(), false);
        // What is there by this very name is meant, even if the name reads like a glob.
        if Path::new(glob).is_file() {
            scan.files.insert(plain(Path::new(glob)));
            continue;
        }
        for path in paths(glob, &mut scan.problems) {
            if path.is_file() {
                found = true;
                scan.files.insert(plain(&path));
            }
        }
        if !found && before == scan.problems.len() {
            scan.problems.push(format!("no file matches `{glob}`{}", seen_from(glob)));
        }
    }
    scan
}

/// The same, where each glob has to match a file and every folder has to be readable.
pub(super) fn scan_all(globs: &Globs) -> Result<BTreeSet<PathBuf>, SourceError> {
    let Scan { files, problems } = scan(globs);
    match problems.into_iter().next() {
        None => Ok(files),
        Some(message) => Err(SourceError { message }),
    }
}

fn paths(glob: &str, problems: &mut Vec<String>) -> Vec<PathBuf> {
    let mut failed = |error: String| problems.push(format!("files matching `{glob}` can't be found: {error}"));
    match glob::glob_with(glob, OPTIONS) {
        Err(error) => {
            failed(error.to_string());
            Vec::new()
        }
        Ok(paths) => paths.filter_map(|path| path.map_err(|error| failed(error.to_string())).ok()).collect(),
    }
}

/// Whether a path is one that globs may name: a file that appears under it is to be read.
pub(super) fn matches(globs: &Globs, path: &Path) -> bool {
    globs.iter().any(|glob| {
        let (glob, path) = (glob.strip_prefix("./").unwrap_or(glob), plain(path));
        path == Path::new(glob) || Pattern::new(glob).is_ok_and(|pattern| pattern.matches_path_with(&path, OPTIONS))
    })
}

/// Files in a folder that were made since, and are named as rotation names what globs match: with a number or a date, or
/// `old`, after the name or before its extension.
pub(super) fn rotated(globs: &Globs, folder: &Path, since: SystemTime) -> Vec<PathBuf> {
    let is_new = |entry: &DirEntry| {
        let metadata = entry.metadata().ok().filter(Metadata::is_file);
        metadata.is_some_and(|metadata| metadata.created().or(metadata.modified()).is_ok_and(|made| made >= since))
    };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let named = entries.map(|entry| (plain(&entry.path()), entry)).filter(|(path, _)| is_rotated(globs, path));
    named.filter(|(_, entry)| is_new(entry)).map(|(path, _)| path).collect()
}

fn is_rotated(globs: &Globs, path: &Path) -> bool {
    unrotated(path).iter().any(|before| matches(globs, before))
}

/// The paths that a file may have had before rotation renamed it, or made it of another file, to go by its name.
pub(super) fn unrotated(path: &Path) -> Vec<PathBuf> {
    let Some(name) = path.file_name().and_then(OsStr::to_str) else { return Vec::new() };
    let number = |text: &str| {
        text.starts_with(|first: char| first.is_ascii_digit())
            && text.chars().all(|letter| letter.is_ascii_digit() || "-_.:T".contains(letter))
    };
    let mut before = Vec::new();
    for (at, _) in name.match_indices(['.', '-', '_']).filter(|(at, _)| *at > 0) {
        let (stem, rest) = (&name[..at], &name[at + 1..]);
        if number(rest) || rest == "old" {
            before.push(path.with_file_name(stem));
        } else if let Some((_, extension)) = rest.rsplit_once('.').filter(|(middle, _)| number(middle)) {
            before.push(path.with_file_name(format!("{stem}.{extension}")));
        }
    }
    before
}

/// The folders in which what globs match can appear, whether they are there or not.
pub(super) fn folders(globs: &Globs) -> BTreeSet<PathBuf> {
    let mut folders = BTreeSet::new();
    for glob in globs.iter() {
        let parent = Path::new(glob).parent().unwrap_or(Path::new(""));
        let mut before = PathBuf::new();
        let mut parts = parent.components().peekable();
        while let Some(part) = parts.next_if(|part| !is_pattern(Path::new(part.as_os_str()))) {
            before.push(part);
        }
        folders.insert(or_here(&before));
        for part in parts {
            before.push(part);
            let found = before.to_str().map(|glob| paths(glob, &mut Vec::new())).unwrap_or_default();
            folders.extend(found.into_iter().filter(|path| path.is_dir()));
        }
    }
    folders
}

/// One spelling for one path: without a leading `./`.
pub(super) fn plain(path: &Path) -> PathBuf {
    path.strip_prefix(".").unwrap_or(path).to_owned()
}

fn is_pattern(part: &Path) -> bool {
    part.to_string_lossy().contains(['*', '?', '['])
}

fn or_here(folder: &Path) -> PathBuf {
    if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder.to_owned() }
}

/// The folder that a file is in.
pub(super) fn folder_of(path: &Path) -> PathBuf {
    or_here(path.parent().unwrap_or(Path::new("")))
}

/// A relative glob means something only together with the folder that it starts from.
fn seen_from(glob: &str) -> String {
    match std::env::current_dir() {
        Ok(folder) if Path::new(glob).is_relative() => format!(" in {}", folder.display()),
        _ => String::new(),
    }
}

/// The files with these inodes that are in a folder.
pub(super) fn find(folder: &Path, wanted: &BTreeSet<Inode>) -> BTreeMap<Inode, PathBuf> {
    let numbers: BTreeSet<u64> = wanted.iter().map(|inode| inode.number()).collect();
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = entries.filter(|entry| numbers.contains(&entry.ino())).map(|entry| plain(&entry.path()));
    let inode = |path: PathBuf| fs::symlink_metadata(&path).ok().map(|metadata| (Inode::from(&metadata), path));
    paths.filter_map(inode).filter(|(inode, _)| wanted.contains(inode)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn globs(folder: &Path, globs: &[&str]) -> Globs {
        Globs::new(globs.iter().map(|glob| format!("{}/{glob}", folder.display())).collect()).unwrap()
    }

    #[test]
    fn files_come_once_each_by_name_and_folders_and_hidden_files_do_not() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.log", "a.log", ".c.log", "d[1].log", "e.txt"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        fs::create_dir(folder.path().join("f.log")).unwrap();
        let found = scan_all(&globs(folder.path(), &["d[1].log", "*.log", "a*"])).unwrap();
        let names: Vec<_> = found.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["a.log", "b.log", "d[1].log"]);
    }

    #[test]
    fn what_rotation_has_renamed_is_known_by_its_name_and_age() {
        let folder = tempfile::tempdir().unwrap();
        let names = ["a.log.1", "a.log-20261125", "a-2026-11-25.log", "a.log.old", "a.log.1.gz", "b.log.1", "a.log"];
        names.iter().for_each(|name| fs::write(folder.path().join(name), "").unwrap());
        fs::create_dir(folder.path().join("a.log.2")).unwrap();
        let globs = globs(folder.path(), &["a.log"]);
        let found = |since| -> BTreeSet<String> {
            let name = |path: PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
            rotated(&globs, folder.path(), since).into_iter().map(name).collect()
        };
        let expected: BTreeSet<String> = names[..4].iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(found(SystemTime::UNIX_EPOCH), expected);
        assert!(found(SystemTime::now() + std::time::Duration::from_secs(60)).is_empty());
    }

    #[test]
    fn a_glob_that_matches_no_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("f.log")).unwrap();
        let error = scan_all(&globs(folder.path(), &["*.log"])).unwrap_err();
        assert!(error.message.starts_with("no file matches `/") && error.message.ends_with("/*.log`"), "{error}");
        let error = scan_all(&Globs::new(vec!["no-such-folder/*".into()]).unwrap()).unwrap_err();
        assert!(error.message.starts_with("no file matches `no-such-folder/*` in /"), "{error}");
    }

    #[test]
    fn what_appears_is_held_against_the_globs_and_found_in_their_folders() {
        let named = |glob: &str| Globs::new(vec![glob.into()]).unwrap();
        for (glob, path, meant) in [
            ("/l/*.log", "/l/a.log", true),
            ("/l/*.log", "/l/a.log.1", false),
            ("/l/*.log", "/l/.a.log", false),
            ("/l/*.log", "/l/d/a.log", false),
            ("/l/**/*.log", "/l/d/e/a.log", true),
            ("./l/*.log", "l/a.log", true),
            ("*.log", "./a.log", true),
            ("d[1].log", "d[1].log", true),
        ] {
            assert_eq!(matches(&named(glob), Path::new(path)), meant, "{glob} {path}");
        }
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("a/b")).unwrap();
        fs::create_dir_all(folder.path().join("c")).unwrap();
        let seen = |glob: &str| -> Vec<String> {
            let inside = |path: &PathBuf| path.strip_prefix(folder.path()).unwrap().display().to_string();
            folders(&globs(folder.path(), &[glob])).iter().map(inside).collect()
        };
        assert_eq!(seen("x.log"), [""]);
        assert_eq!(seen("none/*.log"), ["none"]);
        assert_eq!(seen("*/*.log"), ["", "a", "c"]);
        assert_eq!(seen("**/*.log"), ["", "a", "a/b", "c"]);
        assert_eq!(folders(&named("*.log")).into_iter().collect::<Vec<_>>(), [PathBuf::from(".")]);
    }
}
