//! Rules about packages: what a guest folder must have, and what may not depend on what.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::{File, Violation, assert_found, assert_none, tree};

/// The folders whose crates are guests, compiled for the sandbox.
const GUESTS: [&str; 2] = ["example-sinks/", "tests/guests/"];

/// Folders whose packages stand for what users write: they see the contract and the SDK, never the runtime.
const OUTSIDERS: [&str; 3] = ["example-sinks/", "guest-sdk/", "tests/guests/"];

/// The files that show which other language a project is in.
const MARKERS: [&str; 4] = ["go.mod", "pyproject.toml", "package.json", "Makefile"];

/// What shows that a file has a test in it, by the end of its name.
const TESTS: [(&str, &str); 5] = [
    (".rs", "#[test]"),
    ("_test.go", "func Test"),
    (".py", "def test_"),
    (".test.ts", "test("),
    ("_test.c", "SUMP_CHECK"),
];

/// The folder of a manifest; the root has none.
fn folder(manifest: &File) -> Option<&str> {
    manifest.path.strip_suffix("/Cargo.toml")
}

fn parse(manifest: &File) -> Result<Table, Violation> {
    manifest.text.parse().map_err(|error: toml::de::Error| manifest.at(0, format!("not TOML: {}", error.message())))
}

/// Each guest is a member of the workspace; an example sink also explains and tests itself.
fn guests(files: &[File]) -> Vec<Violation> {
    let workspace =
        files.iter().find(|file| file.path == "Cargo.toml").map(parse).and_then(Result::ok).unwrap_or_default();
    let members = workspace.get("workspace").and_then(|workspace| workspace.get("members")).and_then(Value::as_array);
    let members: Vec<&str> = members.into_iter().flatten().filter_map(Value::as_str).collect();

    let mut violations = Vec::new();
    for (folder, file) in guest_folders(files) {
        let all = folder.rsplit_once('/').map(|(parent, _)| format!("{parent}/*"));
        let is_rust = files.iter().any(|file| file.path == format!("{folder}/Cargo.toml"));
        if (is_rust || !is_in_another_language(files, folder))
            && !members.iter().any(|member| *member == folder || Some(*member) == all.as_deref())
        {
            violations.push(file.at(0, format!("add `{folder}` to the members in Cargo.toml, or nothing builds it")));
        }
        if folder.starts_with("example-sinks/") {
            violations.extend(teaches(files, folder).into_iter().map(|problem| file.at(0, problem)));
        }
    }
    violations
}

/// Each guest's folder with the first file in it.
fn guest_folders(files: &[File]) -> BTreeMap<&str, &File> {
    let mut folders = BTreeMap::new();
    for file in files {
        let Some(parent) = GUESTS.iter().find(|parent| file.path.starts_with(**parent)) else { continue };
        if let Some((name, _)) = file.path[parent.len()..].split_once('/') {
            folders.entry(&file.path[..parent.len() + name.len()]).or_insert(file);
        }
    }
    folders
}

/// Whether it is a project of another language: `cargo xtask test` knows them by these files.
fn is_in_another_language(files: &[File], folder: &str) -> bool {
    MARKERS.iter().any(|marker| files.iter().any(|file| file.path == format!("{folder}/{marker}")))
}

/// What an example lacks.
fn teaches(files: &[File], folder: &str) -> Vec<String> {
    let inside = || files.iter().filter(|file| file.path.starts_with(&format!("{folder}/")));
    let explained = inside().any(|file| {
        let docs = file.text.lines().take_while(|line| line.starts_with("//!")).count();
        file.path == format!("{folder}/README.md") || file.path == format!("{folder}/src/lib.rs") && docs > 1
    });
    let tested =
        inside().any(|file| TESTS.iter().any(|(ending, test)| file.path.ends_with(ending) && file.code.contains(test)));
    let mut problems = Vec::new();
    if !explained {
        problems
            .push(format!("explain `{folder}` in a README.md or in the docs of its crate: people read it to learn"));
    }
    if !tested {
        problems.push(format!("give `{folder}` a test: people copy it together with its test"));
    }
    problems
}

/// One runtime for everybody: no features, and nothing outside that leans on it.
fn dependencies(manifest: &File) -> Vec<Violation> {
    let Some(folder) = folder(manifest) else { return Vec::new() };
    let table = match parse(manifest) {
        Ok(table) => table,
        Err(violation) => return vec![violation],
    };
    let mut violations = Vec::new();
    if folder == "runtime" && table.contains_key("features") {
        violations.push(
            manifest.at(0, "no cargo features in the runtime: what is optional is a component, or configuration"),
        );
    }
    if OUTSIDERS.iter().any(|outsiders| folder.starts_with(outsiders)) && leans_on_runtime(&table) {
        let problem = "a guest depends on the contract and the SDK, never on the runtime: users could not build it";
        violations.push(manifest.at(0, problem));
    }
    violations
}

/// Whether any table of dependencies, for a target or not, names the runtime.
fn leans_on_runtime(table: &Table) -> bool {
    table.iter().any(|(key, value)| {
        let Some(value) = value.as_table() else { return false };
        if !key.ends_with("dependencies") {
            return leans_on_runtime(value);
        }
        value.iter().any(|(name, dependency)| {
            let text = |key| dependency.get(key).and_then(Value::as_str);
            let path = text("path").unwrap_or_default().trim_end_matches('/');
            name == "sump" || text("package") == Some("sump") || path.ends_with("/runtime")
        })
    })
}

#[test]
fn guests_are_built_explained_and_tested() {
    assert_none(guests(tree()));
}

#[test]
fn the_runtime_has_no_features_and_no_guest_needs_it() {
    let manifests: Vec<&File> = tree().iter().filter(|file| file.path.ends_with("Cargo.toml")).collect();
    assert!(manifests.iter().any(|manifest| manifest.path == "runtime/Cargo.toml"));
    assert_none(manifests.into_iter().flat_map(dependencies).collect());
}

#[test]
fn a_forgotten_guest_is_found() {
    let check = |members: &str, source: &str| {
        let workspace = File::new("Cargo.toml", &format!("[workspace]\nmembers = [{members}]"));
        guests(&[
            workspace,
            File::new("example-sinks/csv/Cargo.toml", ""),
            File::new("example-sinks/csv/src/lib.rs", source),
        ])
    };
    let good = "//! Writes.\n//! And so on.\n#[test] fn a() {}";
    assert_found(&check("\"example-sinks/csv\"", good), &[]);
    assert_found(&check("\"example-sinks/*\"", good), &[]);
    assert_found(&check("\"runtime\"", good), &["csv/Cargo.toml:1: add `example-sinks/csv` to the members"]);
    let go = |test: &str| {
        let path = |name: &str| format!("example-sinks/go/{name}");
        let test = File::new(&path("main_test.go"), test);
        guests(&[File::new(&path("go.mod"), ""), File::new(&path("README.md"), "# go"), test])
    };
    assert_found(&go("func TestA(t *testing.T) {}"), &[]);
    assert_found(&go("package main"), &["1: give `example-sinks/go` a test"]);
    let bare = check("\"example-sinks/*\"", "//! Writes.\n// #[test]");
    assert_found(&bare, &["1: explain `example-sinks/csv`", "1: give `example-sinks/csv` a test"]);
}

#[test]
fn a_feature_or_a_dependency_on_the_runtime_is_found() {
    let check = |path: &str, text: &str| dependencies(&File::new(path, text));
    assert_found(&check("runtime/Cargo.toml", "[features]\nkafka = []"), &["runtime/Cargo.toml:1: no cargo features"]);
    for text in [
        "[dependencies]\nsump = \"1\"",
        "[dev-dependencies]\nhost = { path = \"../../runtime\" }",
        "[target.'cfg(unix)'.dependencies]\nhost = { package = \"sump\", workspace = true }",
    ] {
        assert_found(&check("example-sinks/csv/Cargo.toml", text), &["Cargo.toml:1: a guest depends on the contract"]);
    }
    assert_found(&check("guest-sdk/rust/Cargo.toml", "[dependencies]\nserde = \"1\""), &[]);
    assert_found(&check("guest-sdk/rust/Cargo.toml", "[dependencies"), &["Cargo.toml:1: not TOML"]);
}
