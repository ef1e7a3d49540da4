//! Sinks in Python: `componentize-py` makes a component of the modules that the project's own Python finds.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::build::{BuildError, at, run};
use super::component;

/// Which folders Python looks for modules in, but for its own library: the component has that of another version.
const SEARCHED: &str = "
import sys, sysconfig
own = {sysconfig.get_path(name) for name in ('stdlib', 'platstdlib')}
for folder in sys.path[1:]:
    if folder and not any(folder == one or folder == one + '/lib-dynload' for one in own):
        print(folder)
";

/// The module that the component begins with. What it imports is in the component as it is then.
const ENTRY: &str = "sump_entry";

/// Makes the component of the module that has the project's name.
pub(super) fn build(folder: &Path, output: &Path) -> Result<(), BuildError> {
    let module = module(folder)?;
    let parts = output.with_extension("parts");
    let made = make(folder, output, &module, &parts);
    let removed = fs::remove_dir_all(&parts).map_err(at(&parts));
    made.and(removed)
}

fn make(folder: &Path, output: &Path, module: &str, parts: &Path) -> Result<(), BuildError> {
    let (wit, entry) = (parts.join("wit"), parts.join("entry"));
    component::write_packages(&wit).map_err(at(&wit))?;
    fs::create_dir_all(&entry).map_err(at(&entry))?;
    let file = entry.join(ENTRY).with_extension("py");
    fs::write(&file, format!("import {module}\nfrom sump._component import Sink\n")).map_err(at(&file))?;

    let mut python = Command::new("python3");
    python.args(["-c", SEARCHED]).current_dir(folder).stdin(Stdio::null()).stdout(Stdio::piped());
    let searched = run(&mut python)?;
    let mut componentize = Command::new("componentize-py");
    componentize.arg("--wit-path").arg(&wit).args(["--world", "sink-component", "componentize", ENTRY]);
    for place in [entry, folder.join("src"), folder.to_owned()].into_iter().chain(searched.lines().map(PathBuf::from)) {
        if place.is_dir() {
            componentize.arg("--python-path").arg(place);
        }
    }
    componentize.arg("--output").arg(output).current_dir(folder).stdin(Stdio::null()).stdout(Stdio::piped());
    // What it says of success is no news.
    run(componentize.env("PYTHONDONTWRITEBYTECODE", "1")).map(drop)
}

/// The module with the sink: the project's name, as Python spells it.
fn module(folder: &Path) -> Result<String, BuildError> {
    let path = folder.join("pyproject.toml");
    let text = fs::read_to_string(&path).map_err(at(&path))?;
    let project: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        let error = std::io::Error::new(std::io::ErrorKind::InvalidData, error.message().to_owned());
        at(&path)(error)
    })?;
    let name = project.get("project").and_then(|project| project.get("name")).and_then(toml::Value::as_str);
    let module = name.unwrap_or_default().replace(['-', '.'], "_").to_lowercase();
    let is_one = module.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && module.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !is_one {
        return Err(BuildError::NoModule { path, name: module });
    }
    Ok(module)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_module_is_the_project_s_name_as_python_spells_it() {
        let folder = tempfile::tempdir().unwrap();
        let named = |text: &str| {
            fs::write(folder.path().join("pyproject.toml"), text).unwrap();
            module(folder.path())
        };
        assert_eq!(named("[project]\nname = 'My-Sink.two'").unwrap(), "my_sink_two");
        let nameless = named("[tool.x]").unwrap_err().to_string();
        assert!(nameless.contains("`name` in `[project]` names the module"), "{nameless}");
        assert!(named("[project]\nname = 'a; import os'").is_err());
        assert!(named("[project").unwrap_err().to_string().contains("pyproject.toml"));
    }
}
