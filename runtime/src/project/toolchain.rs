//! The tools that languages take, from the table in `guest-sdk/toolchains.toml`.

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use serde::Deserialize;

use super::Language;

/// A program that a language's sinks are built with.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tool {
    /// Whose it is.
    pub language: Language,
    /// Its name.
    pub program: String,
    /// The arguments by which it tells its version, or the folder of what is needed beside it.
    ask: Vec<String>,
    /// The oldest version that is known to do.
    least: Option<String>,
    /// The version that the SDK is tested with.
    pub tested: Option<String>,
    /// What it answers is the path of a folder or file, which has to be there.
    #[serde(default)]
    path: bool,
    /// The command that installs it.
    pub install: String,
}

/// A tool is not as it has to be. Says the command that installs it.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// There is none.
    #[error("`{program}` is not installed: `{install}` does it")]
    Missing {
        /// Its name.
        program: String,
        /// The command that installs it.
        install: String,
    },
    /// A part of it is not there.
    #[error("`{program} {asked}` says what is not installed: `{install}` does it")]
    Incomplete {
        /// Its name.
        program: String,
        /// What it was asked.
        asked: String,
        /// The command that installs what is missing.
        install: String,
    },
    /// It is older than what is known to do.
    #[error("`{program}` is of version {found}, and {least} is the oldest that does: `{install}` brings another")]
    TooOld {
        /// Its name.
        program: String,
        /// Its version.
        found: String,
        /// The oldest that does.
        least: String,
        /// The command that installs it.
        install: String,
    },
    /// It does not say.
    #[error("`{program}` can't be started: {error}")]
    Start {
        /// Its name.
        program: String,
        /// Why.
        error: io::Error,
    },
}

#[derive(Deserialize)]
struct Table {
    tool: Vec<Tool>,
}

/// The table, which is part of the program: a test reads it.
static TOOLS: LazyLock<Vec<Tool>> = LazyLock::new(|| {
    let table: Result<Table, _> = toml::from_str(include_str!("../../../guest-sdk/toolchains.toml"));
    table.map(|table| table.tool).unwrap_or_default()
});

impl Tool {
    /// Those of a language, in the order in which they are needed.
    pub fn of(language: Language) -> impl Iterator<Item = &'static Tool> {
        TOOLS.iter().filter(move |tool| tool.language == language)
    }

    /// Whether it is there, as it has to be, for who works in a project.
    pub(super) fn check(&self, project: &Path) -> Result<(), ToolError> {
        let (program, install) = (self.program.clone(), self.install.clone());
        let mut ask = Command::new(&self.program);
        ask.args(&self.ask).current_dir(project).stdin(Stdio::null()).stderr(Stdio::null());
        let answer = match ask.output() {
            Ok(answer) => answer,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(ToolError::Missing { program, install });
            }
            Err(error) => return Err(ToolError::Start { program, error }),
        };
        let text = String::from_utf8_lossy(&answer.stdout);
        if !answer.status.success() || self.path && !Path::new(text.trim()).exists() {
            return Err(ToolError::Incomplete { program, asked: self.ask.join(" "), install });
        }
        if let (Some(least), Some(found)) = (&self.least, version_in(&text))
            && numbers(found) < numbers(least)
        {
            return Err(ToolError::TooOld { program, found: found.to_owned(), least: least.clone(), install });
        }
        Ok(())
    }
}

/// The first word that begins like a version: `go version go1.26.8 linux/amd64`.
fn version_in(text: &str) -> Option<&str> {
    let words = text.split_whitespace().map(|word| word.trim_start_matches(|c: char| c.is_ascii_alphabetic()));
    words.filter(|word| word.contains('.')).find(|word| word.starts_with(|c: char| c.is_ascii_digit()))
}

/// The numbers of a version, to compare it by.
fn numbers(version: &str) -> Vec<u32> {
    version.split(|c: char| !c.is_ascii_digit()).map_while(|number| number.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_tools_for_every_language() {
        toml::from_str::<Table>(include_str!("../../../guest-sdk/toolchains.toml")).unwrap();
        for language in Language::ALL {
            assert!(Tool::of(language).next().is_some(), "{language}");
        }
    }

    #[test]
    fn versions_are_found_and_compared_by_their_numbers() {
        assert_eq!(version_in("go version go1.26.8 linux/amd64"), Some("1.26.8"));
        assert_eq!(version_in("cargo 1.95.0 (f2d3ce0bd 2026-03-21)"), Some("1.95.0"));
        assert_eq!(version_in("v20.20.2\n"), Some("20.20.2"));
        assert_eq!(version_in("none"), None);
        assert!(numbers("1.9.7") < numbers("1.24"));
        assert!(numbers("1.24.0-rc1") > numbers("1.24"));
    }

    fn tool(program: &str, ask: &[&str], least: Option<&str>, path: bool) -> Tool {
        Tool {
            language: Language::Go,
            program: program.to_owned(),
            ask: ask.iter().map(|word| (*word).to_owned()).collect(),
            least: least.map(str::to_owned),
            tested: None,
            path,
            install: "apt-get install it".to_owned(),
        }
    }

    #[test]
    fn what_is_missing_is_told_with_the_command_that_installs_it() {
        let here = tempfile::tempdir().unwrap();
        let said = |tool: Tool| tool.check(here.path()).unwrap_err().to_string();
        let missing = "`no-such-tool` is not installed: `apt-get install it` does it";
        assert_eq!(said(tool("no-such-tool", &[], None, false)), missing);
        assert!(
            said(tool("echo", &["v1.9.7"], Some("1.24"), false)).contains("of version 1.9.7, and 1.24 is the oldest")
        );
        assert!(said(tool("echo", &["/no/such/folder"], None, true)).contains("`apt-get install it` does it"));
        tool("echo", &["v1.24.1"], Some("1.24"), false).check(here.path()).unwrap();
    }
}
