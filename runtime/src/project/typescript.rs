//! Sinks in TypeScript: `esbuild` makes one module of what the project's own Node finds, and `componentize-js` a component
//! of that.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::build::{BuildError, at, run};
use super::component;

/// What Node runs. Its imports are those of the folder that it is run in.
const SCRIPT: &str = include_str!("typescript/componentize.mjs");

/// Makes the component of the module that the project names.
pub(super) fn build(folder: &Path, output: &Path) -> Result<(), BuildError> {
    let main = main(folder)?;
    let parts = output.with_extension("parts");
    let made = make(folder, output, &main, &parts);
    let removed = fs::remove_dir_all(&parts).map_err(at(&parts));
    made.and(removed)
}

fn make(folder: &Path, output: &Path, main: &Path, parts: &Path) -> Result<(), BuildError> {
    let (wit, script) = (parts.join("wit"), parts.join("componentize.mjs"));
    component::write_packages(&wit).map_err(at(&wit))?;
    fs::write(&script, SCRIPT).map_err(at(&script))?;
    let mut node = Command::new("node");
    node.args(["--input-type=module", "-"]).args([folder, main, &wit]).arg(parts.join("sink.js")).arg(output);
    node.current_dir(folder).stdin(File::open(&script).map_err(at(&script))?).stdout(Stdio::piped());
    // What it says of success is no news.
    run(&mut node).map(drop)
}

/// The module with the sink, which `main` names.
fn main(folder: &Path) -> Result<PathBuf, BuildError> {
    let path = folder.join("package.json");
    let text = fs::read_to_string(&path).map_err(at(&path))?;
    let package: Value = serde_json::from_str(&text).map_err(|error| at(&path)(error.into()))?;
    let main = package["main"].as_str().map(|main| folder.join(main)).filter(|main| main.is_file());
    main.ok_or(BuildError::NoMain(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_module_is_the_one_that_the_package_names() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("sink.ts"), "").unwrap();
        let named = |text: &str| {
            fs::write(folder.path().join("package.json"), text).unwrap();
            main(folder.path())
        };
        assert_eq!(named(r#"{ "main": "./sink.ts" }"#).unwrap(), folder.path().join("./sink.ts"));
        for text in [r#"{ "main": "other.ts" }"#, r#"{ "main": 1 }"#, "{}", "[]"] {
            let error = named(text).unwrap_err().to_string();
            assert!(error.contains("package.json: `main` names the module with the sink"), "{text}: {error}");
        }
        assert!(named("{").unwrap_err().to_string().contains("package.json: EOF"));
    }
}
