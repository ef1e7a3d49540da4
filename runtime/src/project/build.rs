//! Builds the component of a project with its language's own tools.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::{fs, io};

use serde_json::Value;

use super::component::{self, EncodeError};
use super::{Language, Tool, ToolError, Unrecognised, c, go, python, typescript};

/// What to build.
#[derive(Debug)]
pub struct Order {
    /// The folder of the project.
    pub folder: PathBuf,
    /// Where the component goes; else into the project's `build`, under the folder's name.
    pub output: Option<PathBuf>,
}

/// Why there is no component.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The folder is no project of a sink.
    #[error(transparent)]
    Unrecognised(#[from] Unrecognised),
    /// A tool is missing.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// A tool failed, and has said why.
    #[error("`{line}` failed ({status})")]
    Failed {
        /// The command as people type it.
        line: String,
        /// How it ended.
        status: ExitStatus,
    },
    /// It made no component.
    #[error("`{0}` made no component: `crate-type` in `[lib]` has to name \"cdylib\"")]
    NoLibrary(String),
    /// A project does not say where its sink is.
    #[error("{path}: `name` in `[project]` names the module with the sink, and \"{name}\" is no name of one", path = path.display())]
    NoModule {
        /// The file that has to.
        path: PathBuf,
        /// What it says.
        name: String,
    },
    /// The same, in another language.
    #[error("{path}: `main` names the module with the sink, such as \"src/sink.ts\", and there is none", path = .0.display())]
    NoMain(PathBuf),
    /// What it made is no component.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// A file can't be read or written.
    #[error("{path}: {error}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// Builds, and returns where the component is. What tools say goes to standard error.
pub fn build(order: &Order) -> Result<(Language, PathBuf), BuildError> {
    let folder = fs::canonicalize(&order.folder).map_err(at(&order.folder))?;
    let language = Language::of(&folder)?;
    for tool in Tool::of(language) {
        tool.check(&folder)?;
    }
    let output = order.output.clone().unwrap_or_else(|| {
        let name = folder.file_name().unwrap_or("sink".as_ref());
        folder.join("build").join(name).with_extension("wasm")
    });
    if let Some(parent) = output.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        fs::create_dir_all(parent).map_err(at(parent))?;
    }
    match language {
        Language::Rust => build_rust(&folder, &output)?,
        Language::Go => build_go(&folder, &output)?,
        Language::C => c::build(&folder, &absolute(&output)?)?,
        Language::Python => python::build(&folder, &absolute(&output)?)?,
        Language::TypeScript => typescript::build(&folder, &absolute(&output)?)?,
    }
    Ok((language, output))
}

/// The compiler makes a component itself.
fn build_rust(folder: &Path, output: &Path) -> Result<(), BuildError> {
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--release", "--target", "wasm32-wasip2", "--message-format", "json-render-diagnostics"]);
    let messages = run(cargo.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::piped()))?;
    let made =
        messages.lines().rev().find_map(component_in).ok_or_else(|| BuildError::NoLibrary("cargo build".into()))?;
    fs::copy(&made, output).map_err(at(&made)).map(drop)
}

/// The component that a message of Cargo names.
fn component_in(message: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(message).ok()?;
    let files = message["filenames"].as_array()?.iter().filter_map(Value::as_str);
    files.map(PathBuf::from).find(|file| file.extension().is_some_and(|extension| extension == "wasm"))
}

fn build_go(folder: &Path, output: &Path) -> Result<(), BuildError> {
    let core = output.with_extension("core.wasm");
    let mut go = Command::new("go");
    go.args(["build", "-buildmode=c-shared", "-trimpath", "-ldflags=-s -w", "-o"]).arg(absolute(&core)?).arg(".");
    run(go.current_dir(folder).stdin(Stdio::null()).env("GOOS", "wasip1").env("GOARCH", "wasm"))?;
    let module = fs::read(&core).map_err(at(&core))?;
    fs::remove_file(&core).map_err(at(&core))?;
    let component = component::encode(go::finish(&module)?)?;
    fs::write(output, component).map_err(at(output))
}

/// Tools run in the project's folder.
fn absolute(path: &Path) -> Result<PathBuf, BuildError> {
    std::path::absolute(path).map_err(at(path))
}

/// Runs a tool. What it prints goes to standard error, unless the command keeps it: then it is returned.
pub(super) fn run(command: &mut Command) -> Result<String, BuildError> {
    let line = || {
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
    };
    let line = line();
    let output = command.stderr(Stdio::inherit()).output().map_err(at(Path::new(&line)))?;
    if !output.status.success() {
        return Err(BuildError::Failed { line, status: output.status });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> BuildError {
    let path = path.to_owned();
    move |error| BuildError::File { path, error }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_names_the_component_among_other_files() {
        let message = r#"{"reason":"compiler-artifact","filenames":["/t/libsink.rlib","/t/sink.wasm"]}"#;
        assert_eq!(component_in(message), Some(PathBuf::from("/t/sink.wasm")));
        assert_eq!(component_in(r#"{"reason":"build-finished","success":true}"#), None);
        assert_eq!(component_in("no json"), None);
    }

    #[test]
    fn a_folder_that_is_no_project_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let error = build(&Order { folder: folder.path().to_owned(), output: None }).unwrap_err();
        assert!(matches!(error, BuildError::Unrecognised(_)), "{error}");
    }
}
