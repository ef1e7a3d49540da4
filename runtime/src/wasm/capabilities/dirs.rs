//! Directories of the host that a component sees.

use std::path::PathBuf;

use wasmtime_wasi::{FsPerms, WasiCtxBuilder};

use super::BadGrant;
use crate::wasm::settings::{Access, AllowDir};

/// A directory, the path under which the guest sees it, and what it may do there.
#[derive(Debug)]
pub(super) struct Grant {
    host: PathBuf,
    guest: String,
    access: FsPerms,
}

impl Grant {
    /// Fails when the directory is not there, or the guest's path is not absolute.
    pub(super) fn new(dir: &AllowDir) -> Result<Grant, BadGrant> {
        let bad = |problem: String| BadGrant::Dir { dir: dir.host.display().to_string(), problem };
        if !dir.host.is_dir() {
            return Err(bad("is not a directory: create it, or name another".into()));
        }
        if !dir.guest.starts_with('/') {
            return Err(bad(format!("has the guest path `{}`: it must begin with `/`", dir.guest)));
        }
        let access = match dir.access {
            Access::ReadOnly => FsPerms::ReadOnly,
            Access::ReadWrite => FsPerms::ReadWrite,
        };
        Ok(Grant { host: dir.host.clone(), guest: dir.guest.clone(), access })
    }

    pub(super) fn open_in(&self, context: &mut WasiCtxBuilder) -> Result<(), BadGrant> {
        let opened = context.preopened_dir(&self.host, &self.guest, self.access);
        opened.map(|_| ()).map_err(|error| BadGrant::Dir {
            dir: self.host.display().to_string(),
            problem: format!("can't be opened: {error}"),
        })
    }
}
