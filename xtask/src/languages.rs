//! SDKs, example sinks and guests in other languages than Rust: their own tests, by their own runners, and their
//! components, by `sump build`.

use std::ffi::OsString;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::command::{self, cache_folder, metadata, read, root, run, succeeds, target_folder};
use crate::guests;
use crate::report::note;
use crate::templates;
use crate::tools;

/// A language beside Rust that has an SDK.
pub(crate) struct Language {
    pub(crate) name: &'static str,
    /// The file that every project in it has.
    marker: &'static str,
    /// Makes sure that its tools are there.
    install: fn() -> Result<()>,
    /// The commands that test a project.
    pub(crate) tests: fn(&Path) -> Vec<Command>,
}

pub(crate) const LANGUAGES: [Language; 4] = [
    Language { name: "go", marker: "go.mod", install: install_go, tests: test_go },
    Language { name: "c", marker: "Makefile", install: install_c, tests: test_c },
    Language { name: "python", marker: "pyproject.toml", install: install_python, tests: test_python },
    Language { name: "typescript", marker: "package.json", install: install_typescript, tests: test_typescript },
];

/// What Python's projects are tested and built with, in an environment of its own in the user's cache folder. The
/// version of the tool that makes components is the one that `guest-sdk/toolchains.toml` says is tested.
const PYTHON_PACKAGES: [&str; 3] = ["componentize-py==0.25.1", "mypy==2.4.1", "pytest==9.2.0"];

/// The folders with projects in any language, and whether those in it become components.
const FOLDERS: [(&str, bool); 3] = [("guest-sdk", false), ("example-sinks", true), ("tests/guests", true)];

/// Tests every project in another language, and builds the component of each that is a sink, beside those in Rust.
pub(crate) fn test_and_build() -> Result<()> {
    let workspace = metadata()?;
    let target = target_folder(&workspace)?;
    let guests = guests::folder(&workspace)?;
    fs::create_dir_all(&guests).with_context(|| format!("cannot make {}", guests.display()))?;
    for language in &LANGUAGES {
        let projects = projects(language)?;
        ensure!(!projects.is_empty(), "there is no project in {}: remove the language", language.name);
        (language.install)()?;
        for (project, _) in &projects {
            note(format!("{}: testing {}", language.name, shown(project)));
            for mut command in (language.tests)(project) {
                run(&mut command)?;
            }
        }
        for (project, _) in projects.iter().filter(|(_, is_sink)| *is_sink) {
            let component = guests.join(guests::library_name(name(project))).with_extension("wasm");
            let mut build = command::command(target.join("debug/sump"), &["build"]);
            build.arg(project).arg("--output").arg(&component);
            // Where tests look for what is compiled already.
            build.env("XDG_CACHE_HOME", target.join("tmp/cache")).envs(environment()?);
            run(&mut build)?;
        }
    }
    templates::try_all(target)
}

/// The projects in a language, each with whether it becomes a component.
fn projects(language: &Language) -> Result<Vec<(PathBuf, bool)>> {
    let mut projects = Vec::new();
    for (folder, are_sinks) in FOLDERS {
        let folder = root().join(folder);
        for entry in fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
            let project = entry?.path();
            if project.join(language.marker).is_file() {
                projects.push((project, are_sinks));
            }
        }
    }
    projects.sort();
    Ok(projects)
}

/// What tools keep between runs goes where it goes for the user, whatever they are told of caches.
pub(crate) fn environment() -> Result<Vec<(&'static str, OsString)>> {
    let mut path = vec![python_environment()?.join("bin"), root().join("node_modules/.bin")];
    path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    Ok(vec![
        ("GOCACHE", cache_folder()?.join("go").into()),
        ("PATH", std::env::join_paths(path)?),
        ("MYPYPATH", root().join("guest-sdk/python/src").into()),
        ("PYTHONPATH", root().join("guest-sdk/python/src").into()),
        ("PYTHONDONTWRITEBYTECODE", "1".into()),
    ])
}

fn install_go() -> Result<()> {
    tools::programs(&[("go", "golang-go")])
}

fn test_go(project: &Path) -> Vec<Command> {
    let go = |arguments: &[&str]| {
        let mut go = command::command("go", arguments);
        go.current_dir(project).envs(environment().unwrap_or_default());
        go
    };
    vec![go(&["vet", "./..."]), go(&["test", "./..."])]
}

/// The programs of C that have packages of their own, with those.
const C_PROGRAMS: [(&str, &str); 3] = [("make", "make"), ("clang", "clang"), ("wasm-ld", "lld")];

fn install_c() -> Result<()> {
    tools::programs(&C_PROGRAMS)?;
    // What has no program.
    let is_there = |ask| {
        let answer = read(&mut command::command("clang", &["--target=wasm32-wasi", ask]));
        answer.is_ok_and(|path| Path::new(path.trim()).is_file())
    };
    let libraries =
        [("-print-file-name=crt1-reactor.o", "wasi-libc"), ("-print-libgcc-file-name", "libclang-rt-dev-wasm32")];
    let missing: Vec<&str> = libraries.iter().filter(|(ask, _)| !is_there(ask)).map(|(_, package)| *package).collect();
    if missing.is_empty() { Ok(()) } else { tools::packages(&missing) }
}

fn test_c(project: &Path) -> Vec<Command> {
    let mut make = command::command("make", &["--silent", "test"]);
    make.current_dir(project);
    vec![make]
}

/// One for each set of versions, so that clones of different ages can share the folder.
fn python_environment() -> Result<PathBuf> {
    Ok(cache_folder()?.join(format!("python-{}", PYTHON_PACKAGES.join("-").replace("==", "-"))))
}

fn install_python() -> Result<()> {
    tools::programs(&[("python3", "python3")])?;
    let folder = python_environment()?;
    let ready = folder.join("ready");
    if ready.is_file() {
        return Ok(());
    }
    if !succeeds(&mut command::command("python3", &["-c", "import ensurepip"])) {
        tools::packages(&["python3-venv"])?;
    }
    note(format!("installing {} into {}", PYTHON_PACKAGES.join(", "), folder.display()));
    run(command::command("python3", &["-m", "venv", "--clear"]).arg(&folder))?;
    let mut install = command::command(folder.join("bin/pip"), &["install", "--quiet", "--disable-pip-version-check"]);
    run(install.args(PYTHON_PACKAGES))?;
    // What was interrupted is begun again.
    fs::write(&ready, "").with_context(|| format!("cannot write {}", ready.display()))
}

fn test_python(project: &Path) -> Vec<Command> {
    let python = |arguments: &[&str]| {
        let mut python = command::command("python3", arguments);
        python.current_dir(project).envs(environment().unwrap_or_default());
        python
    };
    let types = cache_folder().unwrap_or_default().join("mypy").display().to_string();
    let mut commands = vec![python(&["-m", "mypy", "--cache-dir", &types])];
    if project.join("tests").is_dir() {
        commands.push(python(&["-m", "pytest", "-q", "-p", "no:cacheprovider"]));
    }
    commands
}

/// The packages that the SDK's own `package.json` asks for, in the versions of its lock file, in a folder of the user's
/// cache for each such file.
fn node_packages() -> Result<PathBuf> {
    let lock = root().join("guest-sdk/typescript/package-lock.json");
    let mut hasher = DefaultHasher::new();
    fs::read(&lock).with_context(|| format!("cannot read {}", lock.display()))?.hash(&mut hasher);
    Ok(cache_folder()?.join(format!("node-{:016x}", hasher.finish())))
}

fn install_typescript() -> Result<()> {
    tools::programs(&[("node", "nodejs"), ("npm", "npm")])?;
    let folder = node_packages()?;
    let ready = folder.join("ready");
    if !ready.is_file() {
        note(format!("installing the packages of guest-sdk/typescript into {}", folder.display()));
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        for file in ["package.json", "package-lock.json"] {
            fs::copy(root().join("guest-sdk/typescript").join(file), folder.join(file))
                .with_context(|| format!("cannot copy {file} to {}", folder.display()))?;
        }
        let mut install = command::command("npm", &["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]);
        run(install.current_dir(&folder))?;
        // What was interrupted is begun again.
        fs::write(&ready, "").with_context(|| format!("cannot write {}", ready.display()))?;
    }
    link_packages(&folder.join("node_modules"))
}

/// Puts the packages where Node looks for those of every project in this clone, and the clone's own SDK beside them.
fn link_packages(packages: &Path) -> Result<()> {
    let place = root().join("node_modules");
    fs::create_dir_all(&place).with_context(|| format!("cannot make {}", place.display()))?;
    for package in fs::read_dir(packages).with_context(|| format!("cannot read {}", packages.display()))? {
        let package = package?;
        link(&package.path(), &place.join(package.file_name()))?;
    }
    link(&root().join("guest-sdk/typescript"), &place.join("sump-sdk"))
}

fn link(target: &Path, place: &Path) -> Result<()> {
    if fs::read_link(place).is_ok_and(|there| there == target) {
        return Ok(());
    }
    fs::remove_file(place).ok();
    std::os::unix::fs::symlink(target, place).with_context(|| format!("cannot link {}", place.display()))
}

fn test_typescript(project: &Path) -> Vec<Command> {
    let mut npm = command::command("npm", &["test", "--silent"]);
    npm.current_dir(project).envs(environment().unwrap_or_default());
    vec![npm]
}

fn name(project: &Path) -> &str {
    project.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

fn shown(project: &Path) -> String {
    project.strip_prefix(root()).unwrap_or(project).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_project_is_in_a_language_that_is_tested() {
        for (folder, _) in FOLDERS {
            for entry in fs::read_dir(root().join(folder)).unwrap() {
                let project = entry.unwrap().path();
                let is_rust = project.join("Cargo.toml").is_file();
                let is_other = LANGUAGES.iter().any(|language| project.join(language.marker).is_file());
                // The worlds that all SDKs share are no project, and what projects are made of is none yet.
                let shared = ["guest-sdk/wit", "guest-sdk/templates"].iter().any(|folder| project.ends_with(folder));
                let known = is_rust || is_other || shared || project.is_file();
                assert!(known, "{}: add its language to xtask/src/languages.rs", project.display());
            }
        }
    }
}
