//! What guests may use, and what they may not.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use serde_json::json;
use sump::sink::{Connect, Sink};
use sump::wasm::{Access, Allow, AllowDir, ConnectError, Settings};
use tempfile::TempDir;

use crate::guests::{PLAIN, batch, doing, said, settings};

async fn opened(config: serde_json::Value, allow: Allow, env: &[(&str, &str)]) -> Arc<dyn Sink> {
    let env: BTreeMap<String, String> = env.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let settings = Settings { allow, ..settings(config) };
    PLAIN.connect("p", "s", &settings, &env, NonZeroUsize::MIN).unwrap().open(0).await.unwrap()
}

#[tokio::test]
async fn nothing_is_open_by_default() {
    let events = batch(&["a"]);
    assert_eq!(said(&doing("env").await, &events).await, "env: ");
    assert_eq!(said(&doing("tcp").await, &events).await, "tcp: Some(PermissionDenied)");
    assert_eq!(said(&doing("lookup").await, &events).await, "lookup: true");
    let read = opened(json!({ "write": "read-dir", "file": "/etc/passwd" }), Allow::default(), &[]).await;
    assert!(said(&read, &events).await.contains("Err("));
}

#[tokio::test]
async fn a_sink_that_waits_for_an_operator_names_what_it_looked_for() {
    let events = batch(&["a"]);
    let reads = |kind| json!({ "write": "read-dir", "file": "/out/a", "kind": kind });
    let halted = said(&opened(reads("halted"), Allow::default(), &[]).await, &events).await;
    assert!(halted.contains("(not granted to this sink: `allow.dirs = [{ host ="), "{halted}");
    assert!(!halted.contains("allow.env"), "{halted}");
    let rejected = said(&opened(reads("rejected"), Allow::default(), &[]).await, &events).await;
    assert!(!rejected.contains("allow.dirs"), "{rejected}");

    let folder = TempDir::new().unwrap();
    let dir = AllowDir { host: folder.path().to_owned(), guest: "/in".into(), access: Access::ReadOnly };
    let granted = Allow { dirs: vec![dir], ..Allow::default() };
    let granted = said(&opened(reads("halted"), granted, &[]).await, &events).await;
    assert!(!granted.contains("not granted"), "{granted}");
}

#[tokio::test]
async fn only_the_variables_that_are_named_are_seen() {
    let allow = Allow { env: vec!["TZ".into()], ..Allow::default() };
    let sink = opened(json!({ "write": "env" }), allow.clone(), &[("TZ", "UTC"), ("SECRET", "x")]).await;
    assert_eq!(said(&sink, &batch(&["a"])).await, "env: TZ=UTC");
    let unset =
        PLAIN.connect("p", "s", &Settings { allow, ..settings(json!({})) }, &BTreeMap::new(), NonZeroUsize::MIN);
    assert!(unset.err().unwrap().to_string().contains("`TZ` is not set"));
}

#[tokio::test]
async fn a_directory_is_read_or_written_as_granted() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("in"), "hello").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", folder.path().join("out-of-it")).unwrap();
    let events = batch(&["a"]);
    let allow = |access| {
        let dir = AllowDir { host: folder.path().to_owned(), guest: "/data".into(), access };
        Allow { dirs: vec![dir], ..Allow::default() }
    };
    for (access, write, file, expected) in [
        (Access::ReadOnly, "read-dir", "/data/in", "read: Ok(\"hello\")"),
        (Access::ReadOnly, "write-dir", "/data/new", "write: Err("),
        (Access::ReadWrite, "write-dir", "/data/new", "write: Ok(())"),
        (Access::ReadWrite, "read-dir", "/data/../../../etc/passwd", "read: Err("),
        (Access::ReadWrite, "read-dir", "/data/out-of-it", "read: Err("),
    ] {
        let sink = opened(json!({ "write": write, "file": file }), allow(access), &[]).await;
        let said = said(&sink, &events).await;
        assert!(said.starts_with(expected), "{file}: {said}");
    }
    assert_eq!(std::fs::read(folder.path().join("new")).unwrap(), b"written");
}

#[tokio::test]
async fn a_directory_that_is_not_there_is_told_before_anything_starts() {
    let dir = AllowDir { host: "/no/such/folder".into(), guest: "/data".into(), access: Access::ReadOnly };
    let settings = Settings { allow: Allow { dirs: vec![dir], ..Allow::default() }, ..settings(json!({})) };
    let error = PLAIN.connect("p", "s", &settings, &BTreeMap::new(), NonZeroUsize::MIN).err().unwrap();
    assert!(matches!(error, ConnectError::Grant(_)) && error.to_string().contains("create it"), "{error}");
}
