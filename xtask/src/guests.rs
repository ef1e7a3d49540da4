//! Guest components: example sinks and the guests of our own tests, compiled for the sandbox.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::Value;

use crate::command::{cargo, metadata, run, target_folder};
use crate::tools::{self, GUEST_TARGET};

/// The folders whose crates are guests.
const FOLDERS: [&str; 2] = ["example-sinks", "tests/guests"];

/// The profile in the root `Cargo.toml` that guests are built with: small files.
const PROFILE: &str = "guest";

/// The environment variable that names the folder of the components to tests and benches. In it each guest is
/// `NAME.wasm`, with the package's name in the spelling of a Rust crate.
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
    let guests = packages(&workspace);
    if !guests.is_empty() {
        tools::guest_target()?;
        let mut build = cargo(&["build", "--target", GUEST_TARGET, "--profile", PROFILE]);
        for guest in &guests {
            build.args(["--package", guest]);
        }
        run(&mut build)?;
    }
    let components = guests.into_iter().map(|package| {
        let path = folder.join(package.replace('-', "_")).with_extension("wasm");
        (package, path)
    });
    Ok(Guests { components: components.collect(), folder })
}

/// Where the components are once they are built.
pub(crate) fn folder(workspace: &Value) -> Result<PathBuf> {
    Ok(target_folder(workspace)?.join(GUEST_TARGET).join(PROFILE))
}

/// The names of the packages in the guests' folders that make a component.
fn packages(workspace: &Value) -> Vec<String> {
    let root = workspace["workspace_root"].as_str().unwrap_or_default();
    let is_guest = |package: &&Value| {
        let manifest = package["manifest_path"].as_str().map(Path::new);
        let folder = manifest.and_then(|path| path.strip_prefix(root).ok()).and_then(|path| path.ancestors().nth(2));
        let kinds = package["targets"].as_array().into_iter().flatten().filter_map(|target| target["kind"].as_array());
        FOLDERS.iter().any(|&guests| folder == Some(Path::new(guests))) && kinds.flatten().any(|kind| kind == "cdylib")
    };
    let packages = workspace["packages"].as_array().into_iter().flatten();
    packages.filter(is_guest).filter_map(|package| package["name"].as_str().map(str::to_owned)).collect()
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
                "targets": [{ "kind": [kind] }],
            })
        };
        let workspace = serde_json::json!({ "workspace_root": "/sump", "packages": [
            package("runtime", "lib"),
            package("example-sinks/csv", "cdylib"),
            package("example-sinks/csv/helper", "cdylib"),
            package("tests/guests/trap", "cdylib"),
            package("tests/guests/shared", "lib"),
        ] });
        assert_eq!(packages(&workspace), ["example-sinks-csv", "tests-guests-trap"]);
    }
}
