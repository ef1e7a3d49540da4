//! Other programs that do what Sump does, for benchmarks: packages of Debian, unpacked and not installed, because some of
//! them exclude each other, and none is to run as a service here.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use crate::command::{command, metadata, run, target_folder};
use crate::report::note;

/// The environment variable that names the folder of the peers to benchmarks.
pub(crate) const FOLDER_VARIABLE: &str = "SUMP_PEERS";

/// Peers, and the libraries that machines may not have.
const PACKAGES: [&str; 9] = [
    "rsyslog",
    "libestr0",
    "libfastjson4",
    "liblognorm5",
    "syslog-ng-core",
    "libivykis0",
    "libnet1",
    "libwrap0",
    "libjson-c5",
];

/// The folder of the peers, which are fetched if they are not there.
pub(crate) fn folder() -> Result<PathBuf> {
    let folder = target_folder(&metadata()?)?.join("peers");
    if folder.join("usr/sbin/syslog-ng").is_file() && folder.join("usr/sbin/rsyslogd").is_file() {
        return Ok(folder);
    }
    let packages = folder.join("packages");
    fs::create_dir_all(&packages).with_context(|| format!("cannot make {}", packages.display()))?;
    note(format!("fetching: {}", PACKAGES.join(" ")));
    let mut download = command("apt-get", &[&["download"], &PACKAGES[..]].concat());
    download.current_dir(&packages);
    if run(&mut download).is_err() {
        // The lists of packages may be older than what there is.
        run(&mut command("apt-get", &["update"]))?;
        run(&mut download)?;
    }
    for entry in fs::read_dir(&packages)? {
        let package = entry?.path();
        run(command("dpkg", &["-x"]).arg(&package).arg(&folder))?;
    }
    ensure!(folder.join("usr/sbin/syslog-ng").is_file(), "there is no syslog-ng in its package");
    Ok(folder)
}
