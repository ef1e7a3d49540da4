//! What guests may use, and what they may not.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::num::NonZeroUsize;
use std::sync::Arc;

use serde_json::json;
use sump::sink::{Connect, Sink};
use sump::wasm::{Access, Allow, AllowDir, ConnectError, Settings};
use tempfile::TempDir;

use crate::guests::{CONCURRENT, PLAIN, batch, connect, doing, said, settings};

async fn opened(config: serde_json::Value, allow: Allow, env: &[(&str, &str)]) -> Arc<dyn Sink> {
    let env: BTreeMap<String, String> = env.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let settings = Settings { allow, ..settings(config) };
    PLAIN.connect("p", "s", &settings, &env, NonZeroUsize::MIN).unwrap().open(0).await.unwrap()
}

#[tokio::test]
async fn nothing_is_open_by_default() {
    let events = batch(&["a"]);
    assert_eq!(said(&doing("env").await, &events).await, "env: ");
    let connects = opened(json!({ "write": "tcp", "to": "127.0.0.1:1" }), Allow::default(), &[]).await;
    assert_eq!(said(&connects, &events).await, "tcp: Err(PermissionDenied)");
    let looks_up = opened(json!({ "write": "lookup", "name": "localhost" }), Allow::default(), &[]).await;
    assert_eq!(said(&looks_up, &events).await, "lookup: false");
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

/// Answers each connection with what came over it, backwards.
fn backwards() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, mut said) = (stream.unwrap(), Vec::new());
            stream.read_to_end(&mut said).unwrap();
            said.reverse();
            stream.write_all(&said).unwrap();
        }
    });
    port
}

#[tokio::test]
async fn a_connection_goes_where_it_is_granted_by_address_or_name() {
    let (port, other) = (backwards(), backwards());
    let said_by = async |to: String, allow: String| {
        let allow = Allow { tcp: vec![allow], ..Allow::default() };
        said(&opened(json!({ "write": "tcp", "to": to }), allow, &[]).await, &batch(&["abc"])).await
    };
    let address = |port| format!("127.0.0.1:{port}");
    let name = |port| format!("localhost:{port}");
    assert_eq!(said_by(address(port), address(port)).await, "tcp: Ok(\"cba\")");
    assert_eq!(said_by(name(port), name(port)).await, "tcp: Ok(\"cba\")");
    assert_eq!(said_by(address(other), address(port)).await, "tcp: Err(PermissionDenied)");
    assert_eq!(said_by(name(other), name(port)).await, "tcp: Err(PermissionDenied)");
    assert_eq!(said_by(address(port), name(port)).await, "tcp: Err(PermissionDenied)", "nobody looked the name up");
    assert!(said_by(name(port), address(port)).await.starts_with("tcp: Err("), "no name is granted");
}

#[tokio::test]
async fn names_are_looked_up_in_the_async_world_as_they_are_granted() {
    let events = batch(&["lookup"]);
    let found = async |allow: &str| {
        let allow = Allow { tcp: vec![allow.into()], ..Allow::default() };
        let settings = Settings { allow, ..settings(json!({})) };
        said(&connect(&CONCURRENT, &settings).open(0).await.unwrap(), &events).await
    };
    let addresses = found("localhost:1").await;
    assert!(addresses.starts_with("lookup: Ok([IpAddress::"), "{addresses}");
    assert!(found("other.example:1").await.contains("PermanentResolverFailure"));
}
