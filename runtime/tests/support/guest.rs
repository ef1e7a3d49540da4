//! Where the guest components are that tests run.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The component of a guest package: the one in `$SUMP_GUESTS`, where `cargo xtask test` has built them all, or one
/// that is built for this test.
pub(crate) fn guest(package: &str) -> PathBuf {
    let library = package.replace('-', "_");
    let component = |folder: &Path| folder.join(&library).with_extension("wasm");
    if let Some(folder) = std::env::var_os("SUMP_GUESTS") {
        return component(Path::new(&folder));
    }
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guests");
    if let Some(folder) = in_another_language(package) {
        let made = component(&target);
        let mut build = Command::new(env!("CARGO_BIN_EXE_sump"));
        let status = build.arg("build").arg(&folder).arg("--output").arg(&made).status().unwrap();
        assert!(status.success(), "building {} failed", folder.display());
        return made;
    }
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--profile", "guest", "--target", "wasm32-wasip2", "--package", package])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .env("CARGO_TARGET_DIR", &target)
        .env_remove("RUSTFLAGS")
        .status()
        .unwrap();
    assert!(status.success(), "building {package} failed: is the target there? `rustup target add wasm32-wasip2`");
    component(&target.join("wasm32-wasip2/guest"))
}

/// The folder of a guest that is not in Rust.
fn in_another_language(name: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folders = ["example-sinks", "tests/guests"].map(|folder| root.join(folder).join(name));
    folders.into_iter().find(|folder| folder.is_dir() && !folder.join("Cargo.toml").exists())
}
