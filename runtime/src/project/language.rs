//! The languages that have an SDK, and how a project shows its own.

use std::fmt;
use std::path::{Path, PathBuf};

/// A language that has an SDK.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// `guest-sdk/rust`.
    Rust,
    /// `guest-sdk/go`.
    Go,
    /// `guest-sdk/python`.
    Python,
    /// `guest-sdk/typescript`.
    TypeScript,
    /// `guest-sdk/c`.
    C,
}

/// A folder that is no project of a sink.
#[derive(Debug, thiserror::Error)]
#[error("{folder}: there is no project of a sink in it: it has none of {markers}", folder = folder.display(), markers = markers())]
pub struct Unrecognised {
    folder: PathBuf,
}

impl Language {
    /// All of them.
    pub const ALL: [Language; 5] = [Language::Rust, Language::Go, Language::Python, Language::TypeScript, Language::C];

    /// Its name, as people type it.
    pub fn name(self) -> &'static str {
        match self {
            Language::Rust => "rust",
            Language::Go => "go",
            Language::Python => "python",
            Language::TypeScript => "typescript",
            Language::C => "c",
        }
    }

    /// The file that every project in the language has.
    fn marker(self) -> &'static str {
        match self {
            Language::Rust => "Cargo.toml",
            Language::Go => "go.mod",
            Language::Python => "pyproject.toml",
            Language::TypeScript => "package.json",
            // Last of all: projects in other languages have one too.
            Language::C => "Makefile",
        }
    }

    /// The language of the project in a folder.
    pub fn of(folder: &Path) -> Result<Language, Unrecognised> {
        let found = Language::ALL.into_iter().find(|language| folder.join(language.marker()).is_file());
        found.ok_or_else(|| Unrecognised { folder: folder.to_owned() })
    }
}

impl fmt::Display for Language {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

fn markers() -> String {
    Language::ALL.map(|language| format!("`{}` ({language})", language.marker())).join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_shows_its_language_by_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let error = Language::of(folder.path()).unwrap_err().to_string();
        assert!(error.contains("`Cargo.toml` (rust), `go.mod` (go)"), "{error}");
        for language in Language::ALL {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join(language.marker()), "").unwrap();
            assert_eq!(Language::of(folder.path()).unwrap(), language);
        }
    }
}
