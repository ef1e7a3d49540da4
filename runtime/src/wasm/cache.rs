//! Compiled components on disk. Compiled code is trusted when it is loaded, so the folder belongs to the user alone and
//! every entry is checked against its digest. Whatever is wrong with an entry, the component is compiled again.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;
use xxhash_rust::xxh3::Xxh3;

use super::binary::Binary;
use super::component::Description;
use super::engine::Engines;

/// Counted up when entries change their form, or `describe` is called in another way.
const FORMAT: u32 = 2;

/// The folder. Cloning is cheap.
#[derive(Clone, Debug)]
pub(super) struct Cache {
    folder: Option<PathBuf>,
}

/// What is known of a component without running it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Entry {
    pub(super) binary: Binary,
    pub(super) description: Description,
    pub(super) compile_time: Duration,
    /// Of the compiled code; absent in an entry that is not stored.
    code_digest: Option<String>,
}

impl Entry {
    /// Of a component that was just compiled.
    pub(super) fn new(binary: Binary, description: Description, compile_time: Duration) -> Entry {
        Entry { binary, description, compile_time, code_digest: None }
    }
}

/// The name of an entry: hexadecimal.
#[derive(Clone, Debug)]
pub(super) struct Key(String);

impl Key {
    /// Of a component's bytes and all that decides what they are compiled to.
    pub(super) fn of(bytes: &[u8], engines: &Engines) -> Key {
        let mut digest = Digester(Sha256::new());
        FORMAT.hash(&mut digest);
        env!("CARGO_PKG_VERSION").hash(&mut digest);
        engines.settings().hash(&mut digest);
        digest.0.update(bytes);
        Key(hex(&digest.0.finalize()))
    }
}

/// Tells a damaged file, not one that an attacker made: whoever can write to the folder can write any entry. So it is a
/// fast one.
fn digest(mut code: impl Read) -> io::Result<String> {
    let (mut hash, mut buffer) = (Xxh3::new(), vec![0; 64 << 10]);
    loop {
        match code.read(&mut buffer)? {
            0 => return Ok(hex(&hash.digest128().to_be_bytes())),
            read => hash.update(&buffer[..read]),
        }
    }
}

/// Feeds what is hashed to SHA-256: the hashers of the standard library may change with the compiler.
struct Digester(Sha256);

impl Hasher for Digester {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        // Only the whole digest is used.
        0
    }
}

impl Cache {
    /// In a folder, which is made for this user alone. Where that can't be, nothing is cached, which is logged.
    pub(super) fn in_folder(folder: &Path) -> Cache {
        match private(folder) {
            Ok(()) => Cache { folder: Some(folder.to_owned()) },
            Err(error) => {
                let folder = folder.display();
                tracing::warn!("compiled components are not cached in {folder}: {error}");
                Cache { folder: None }
            }
        }
    }

    /// What is stored of a component.
    pub(super) fn load(&self, key: &Key, engines: &Engines) -> Option<(Component, Entry)> {
        let (code, entry) = self.paths(key)?;
        let entry: Entry = serde_json::from_slice(&fs::read(entry).ok()?).ok()?;
        let engine = engines.of(entry.binary.concurrent).ok()?;
        if entry.code_digest != Some(digest(File::open(&code).ok()?).ok()?) {
            return None;
        }
        Some((deserialize(engine, &code)?, entry))
    }

    /// Stores a component. That it can't is logged and nothing worse.
    pub(super) fn store(&self, key: &Key, component: &Component, entry: &Entry) {
        let Some((code_path, entry_path)) = self.paths(key) else { return };
        let stored = component.serialize().map_err(io::Error::other).and_then(|code| {
            let code_digest = Some(digest(&*code)?);
            let entry = serde_json::to_vec(&Entry { code_digest, ..entry.clone() })?;
            write(&code_path, &code)?;
            write(&entry_path, &entry)
        });
        if let Err(error) = stored {
            tracing::warn!("a compiled component is not cached as {}: {error}", code_path.display());
        }
    }

    fn paths(&self, key: &Key) -> Option<(PathBuf, PathBuf)> {
        let folder = self.folder.as_ref()?;
        Some((folder.join(format!("{}.code", key.0)), folder.join(format!("{}.json", key.0))))
    }
}

#[expect(unsafe_code, reason = "compiled code can only be loaded on trust")]
fn deserialize(engine: &Engine, code: &Path) -> Option<Component> {
    // SAFETY: The folder can be written by this user only, and the file has the digest that was noted when this
    // program compiled it; the engine checks version and settings.
    unsafe { Component::deserialize_file(engine, code) }.ok()
}

/// Writes a file that is whole or not there.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let draft = path.with_extension(format!("{}-{number}.draft", std::process::id()));
    let written = create(&draft).and_then(|mut file| file.write_all(bytes)).and_then(|()| fs::rename(&draft, path));
    written.inspect_err(|_| drop(fs::remove_file(&draft)))
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Makes a folder for this user alone, or sees to it that it is.
fn private(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let found = fs::metadata(folder)?;
    if found.uid() != rustix::process::geteuid().as_raw() {
        return Err(io::Error::other("the folder belongs to another user"));
    }
    if found.mode() & 0o077 != 0 {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
