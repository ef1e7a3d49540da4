//! Guest components: example sinks and the guests of our own tests, compiled for the sandbox.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::command::{cargo, metadata, run, target_folder};
use crate::report::note;
use crate::tools::{self, GUEST_TARGET};

/// The folders whose crates are guests.
const FOLDERS: [&str; 2] = ["example-sinks", "tests/guests"];

/// The profile in the root `Cargo.toml` that guests are built with: small files.
const PROFILE: &str = "guest";

/// The environment variable that names the folder of the components to tests and benches. In it each guest is
/// `NAME.wasm`, where NAME is that of its library: `csv_by_day` for the package `csv-by-day`.
pub(crate) const FOLDER_VARIABLE: &str = "SUMP_GUESTS";

/// The guests, compiled.
pub(crate) struct Guests {
    /// Where they are.
    pub(crate) folder: PathBuf,
    /// Package name to component.
    pub(crate) components: BTreeMap<String, PathBuf>,
}

/// Compiles every guest in the workspace, with the target installed if it is missing.
pub(crate) fn build() -> Result<Guests> {
    let workspace = metadata()?;
    let folder = folder(&workspace)?;
    let libraries = libraries(&workspace);
    if !libraries.is_empty() {
        tools::guest_target()?;
        let mut build = cargo(&["build", "--target", GUEST_TARGET, "--profile", PROFILE]);
        for package in libraries.keys() {
            build.args(["--package", package]);
        }
        run(&mut build)?;
    }
    let path = |(package, library): (String, String)| (package, folder.join(library).with_extension("wasm"));
    let components = libraries.into_iter().map(path).collect();
    let guests = Guests { folder, components };
    for (package, path) in &guests.components {
        ensure!(path.is_file(), "`{package}` was built, but there is no {}", path.display());
        note(format!("{package}: {}", path.display()));
    }
    Ok(guests)
}

/// Where the components are once they are built.
pub(crate) fn folder(workspace: &Value) -> Result<PathBuf> {
    Ok(target_folder(workspace)?.join(GUEST_TARGET).join(PROFILE))
}

/// The name of a guest's file, by that of its package.
pub(crate) fn library_name(package: &str) -> String {
    package.replace('-', "_")
}

/// The packages in the guests' folders that make a component, each with the name of its library.
fn libraries(workspace: &Value) -> BTreeMap<String, String> {
    let root = workspace["workspace_root"].as_str().unwrap_or_default();
    let in_folder = |package: &&Value| {
        let manifest = package["manifest_path"].as_str().map(Path::new);
        let folder = manifest.and_then(|path| path.strip_prefix(root).ok()).and_then(|path| path.ancestors().nth(2));
        FOLDERS.iter().any(|&guests| folder == Some(Path::new(guests)))
    };
    let library = |package: &Value| {
        let is_library =
            |target: &&Value| target["kind"].as_array().is_some_and(|kinds| kinds.contains(&"cdylib".into()));
        let library = package["targets"].as_array()?.iter().find(is_library)?;
        Some((package["name"].as_str()?.to_owned(), library["name"].as_str()?.to_owned()))
    };
    let packages = workspace["packages"].as_array().into_iter().flatten();
    packages.filter(in_folder).filter_map(library).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_are_the_components_in_the_folders_of_guests() {
        let package = |folder: &str, kind: &str| {
            serde_json::json!({
                "name": folder.replace('/', "-"),
                "manifest_path": format!("/sump/{folder}/Cargo.toml"),
                "targets": [{ "name": "tests", "kind": ["test"] }, { "name": "library", "kind": ["rlib", kind] }],
            })
        };
        let workspace = serde_json::json!({ "workspace_root": "/sump", "packages": [
            package("runtime", "lib"),
            package("example-sinks/csv", "cdylib"),
            package("example-sinks/csv/helper", "cdylib"),
            package("tests/guests/trap", "cdylib"),
            package("tests/guests/shared", "lib"),
        ] });
        let found: Vec<(String, String)> = libraries(&workspace).into_iter().collect();
        let expected = ["example-sinks-csv", "tests-guests-trap"].map(|name| (name.to_owned(), "library".to_owned()));
        assert_eq!(found, expected);
    }
}
