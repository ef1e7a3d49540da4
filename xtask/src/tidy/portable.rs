//! Nothing in the project depends on the machine it was written on.

use super::{File, Violation, assert_found, assert_none, tree};

/// Folders at the root of somebody's machine.
const FOLDERS: [&str; 3] = ["root", "home", "work"];

/// The one place that crates come from, as Cargo.lock writes it.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

fn portable(file: &File) -> Vec<Violation> {
    let mut violations = Vec::new();
    for folder in FOLDERS {
        let path = format!("/{folder}/");
        let starts_a_path = |&(byte, _): &(usize, &str)| {
            let before = file.text[..byte].chars().next_back();
            !before.is_some_and(|before| before.is_alphanumeric() || "._-~}>*".contains(before))
        };
        for (byte, _) in file.text.match_indices(&path).filter(starts_a_path) {
            violations.push(
                file.at(
                    byte,
                    format!("`{path}` is a folder of one machine: begin at the project or the user's folders"),
                ),
            );
        }
    }
    for mirror in [concat!("sparse", "+http"), concat!("arti", "factory"), concat!("index.", "crates.io")] {
        for (byte, _) in file.text.match_indices(mirror) {
            violations.push(
                file.at(
                    byte,
                    format!("`{mirror}` is a registry of one network: name crates, not where they come from"),
                ),
            );
        }
    }
    if file.path == "Cargo.lock" {
        let sources = file.text.match_indices("source = \"");
        let foreign =
            sources.filter(|(byte, key)| !file.text[byte + key.len()..].starts_with(&format!("{REGISTRY}\"")));
        violations.extend(foreign.map(|(byte, _)| file.at(byte, "every crate comes from crates.io")));
    }
    violations
}

#[test]
fn no_file_names_a_machine() {
    assert_none(tree().iter().flat_map(portable).collect());
}

#[test]
fn a_machine_is_found() {
    let check = |path: &str, text: &str| portable(&File::new(path, text));
    for folder in FOLDERS {
        assert_found(&check("a.md", &format!("in /{folder}/sump")), &["a.md:1: `/"]);
        assert_found(&check("a.md", &format!("https://example.com/{folder}/sump, tests/{folder}/")), &[]);
    }
    assert_found(
        &check("config.toml", concat!("\nreplace = \"sparse", "+https://mirror\"")),
        &["config.toml:2: `sparse"],
    );
    let lock = format!("source = \"{REGISTRY}\"\nsource = \"git+https://example.com/fork\"\n");
    assert_found(&check("Cargo.lock", &lock), &["Cargo.lock:2: every crate comes"]);
}
