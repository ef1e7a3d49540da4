//! The contract between the runtime and its guests is frozen: `wit/LOCK` has the SHA-256 of each file of it.

use sha2::{Digest, Sha256};

use super::{File, Violation, assert_found, assert_none, tree};

const LOCK: &str = "wit/LOCK";

/// The lock has the lines of `sha256sum`: hash, blanks, file name.
fn frozen(files: &[File]) -> Vec<Violation> {
    let lock = files.iter().find(|file| file.path == LOCK).map_or("", |file| &file.text);
    let locked: Vec<(&str, &str)> = lock.lines().filter_map(|line| line.split_once(char::is_whitespace)).collect();
    let contracts = files.iter().filter_map(|file| {
        let name = file.path.strip_prefix("wit/").filter(|name| name.ends_with(".wit"))?;
        Some((name, file))
    });
    let contracts: Vec<(&str, &File)> = contracts.collect();

    let mut violations = Vec::new();
    for (name, file) in &contracts {
        let hash = format!("{:x}", Sha256::digest(&file.text));
        match locked.iter().find(|(_, locked)| locked.trim() == *name) {
            Some((locked, _)) if *locked == hash => {}
            Some(_) => violations.push(file.at(
                0,
                "a published contract never changes, not even its comments, because components in use were built against it: \
                 undo the change, and put a new package version into a file beside this one",
            )),
            None => violations.push(file.at(0, format!("add this line to {LOCK} once the version is final: `{hash}  {name}`"))),
        }
    }
    for (_, name) in locked {
        if !contracts.iter().any(|(contract, _)| *contract == name.trim()) {
            let problem = format!("wit/{} was published and is gone: bring it back", name.trim());
            violations.push(Violation { path: LOCK.to_owned(), line: 1, problem });
        }
    }
    violations
}

#[test]
fn the_published_contract_is_frozen() {
    assert!(tree().iter().any(|file| file.path == "wit/sink.wit"));
    assert_none(frozen(tree()));
}

#[test]
fn a_changed_or_missing_contract_is_found() {
    // The hash of `abc`.
    let lock = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  sink.wit\n";
    let check = |path: &str, text: &str| frozen(&[File::new(LOCK, lock), File::new(path, text)]);
    assert_found(&check("wit/sink.wit", "abc"), &[]);
    assert_found(&check("wit/sink.wit", "abc\n"), &["wit/sink.wit:1: a published contract never changes"]);
    let renamed = check("wit/sink2.wit", "abc");
    assert_found(&renamed, &["wit/sink2.wit:1: add this line", "wit/LOCK:1: wit/sink.wit was published and is gone"]);
}
