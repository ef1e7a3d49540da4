//! Which files globs name.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use glob::MatchOptions;

use super::Globs;
use crate::source::SourceError;

/// As in a shell: a star does not match a leading dot. Unfinished files often have one.
const OPTIONS: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// The files that any of the globs matches, each once, in the order of their names.
///
/// Fails when a glob matches no file, or a folder on its way can't be read.
pub(super) fn scan(globs: &Globs) -> Result<Vec<PathBuf>, SourceError> {
    let mut files = BTreeSet::new();
    for glob in globs.iter() {
        // What is there by this very name is meant, even if the name reads like a glob.
        let found = if Path::new(glob).is_file() { vec![PathBuf::from(glob)] } else { matches(glob)? };
        if found.is_empty() {
            return Err(SourceError { message: format!("no file matches `{glob}`{}", seen_from(glob)) });
        }
        files.extend(found);
    }
    Ok(files.into_iter().collect())
}

fn matches(glob: &str) -> Result<Vec<PathBuf>, SourceError> {
    let failed = |error: String| SourceError { message: format!("files matching `{glob}` can't be found: {error}") };
    let mut files = Vec::new();
    for path in glob::glob_with(glob, OPTIONS).map_err(|error| failed(error.to_string()))? {
        let path = path.map_err(|error| failed(error.to_string()))?;
        if path.is_file() {
            files.push(path);
        }
    }
    Ok(files)
}

/// A relative glob means something only together with the folder that it starts from.
fn seen_from(glob: &str) -> String {
    match std::env::current_dir() {
        Ok(folder) if Path::new(glob).is_relative() => format!(" in {}", folder.display()),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

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
        let found = scan(&globs(folder.path(), &["d[1].log", "*.log", "a*"])).unwrap();
        let names: Vec<_> = found.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["a.log", "b.log", "d[1].log"]);
    }

    #[test]
    fn a_glob_that_matches_no_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("f.log")).unwrap();
        let error = scan(&globs(folder.path(), &["*.log"])).unwrap_err();
        assert!(error.message.starts_with("no file matches `/") && error.message.ends_with("/*.log`"), "{error}");
        let error = scan(&Globs::new(vec!["no-such-folder/*".into()]).unwrap()).unwrap_err();
        assert!(error.message.starts_with("no file matches `no-such-folder/*` in /"), "{error}");
    }
}
