//! A file system that fails on demand.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::{Arc, Mutex};

use crate::delivery::dead_letters::medium::{Disk, Log, Medium};

/// What goes wrong next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::delivery::dead_letters) enum Fault {
    /// The next write adds so many bytes, the one after it fails, and what was added can't be cut off.
    Short(usize, ErrorKind),
    /// The next write fails with this error of the system, and adds nothing.
    Append(i32),
    /// The next sync fails.
    Sync(i32),
    /// The next file can't be made.
    Create(i32),
}

type Script = Arc<Mutex<VecDeque<Fault>>>;

/// The disk, with faults in their order.
#[derive(Debug)]
pub(in crate::delivery::dead_letters) struct Faulty {
    script: Script,
    /// How often anything was synced.
    syncs: Arc<Mutex<usize>>,
}

impl Faulty {
    pub(in crate::delivery::dead_letters) fn new(faults: impl IntoIterator<Item = Fault>) -> Arc<Faulty> {
        let script = Arc::new(Mutex::new(faults.into_iter().collect()));
        Arc::new(Faulty { script, syncs: Arc::default() })
    }

    pub(in crate::delivery::dead_letters) fn syncs(&self) -> usize {
        *self.syncs.lock().unwrap()
    }

    /// Fails so next, after what it was told before.
    pub(in crate::delivery::dead_letters) fn fail(&self, fault: Fault) {
        self.script.lock().unwrap().push_back(fault);
    }

    fn log(&self, log: Box<dyn Log>) -> Box<dyn Log> {
        Box::new(FaultyLog { log, script: self.script.clone(), torn: false, syncs: self.syncs.clone() })
    }
}

/// Takes the next fault, if it is of a kind.
fn next(script: &Script, kind: impl Fn(Fault) -> bool) -> Option<Fault> {
    let mut script = script.lock().unwrap();
    if script.front().is_some_and(|fault| kind(*fault)) { script.pop_front() } else { None }
}

impl Medium for Faulty {
    fn make_directory(&self, path: &Path) -> io::Result<()> {
        Disk.make_directory(path)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn Log>> {
        match next(&self.script, |fault| matches!(fault, Fault::Create(_))) {
            Some(Fault::Create(error)) => Err(io::Error::from_raw_os_error(error)),
            _ => Ok(self.log(Disk.create(path)?)),
        }
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Log>> {
        Ok(self.log(Disk.open(path)?))
    }
}

#[derive(Debug)]
struct FaultyLog {
    log: Box<dyn Log>,
    script: Script,
    torn: bool,
    syncs: Arc<Mutex<usize>>,
}

impl Log for FaultyLog {
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match next(&self.script, |fault| matches!(fault, Fault::Short(..) | Fault::Append(_))) {
            Some(Fault::Short(0, kind)) => Err(kind.into()),
            Some(Fault::Short(most, kind)) => {
                self.torn = true;
                self.script.lock().unwrap().push_front(Fault::Short(0, kind));
                self.log.append(&bytes[..most.min(bytes.len())])
            }
            Some(Fault::Append(error)) => Err(io::Error::from_raw_os_error(error)),
            _ => self.log.append(bytes),
        }
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        if self.torn { Err(ErrorKind::Other.into()) } else { self.log.truncate(len) }
    }

    fn sync(&mut self) -> io::Result<()> {
        *self.syncs.lock().unwrap() += 1;
        match next(&self.script, |fault| matches!(fault, Fault::Sync(_))) {
            Some(Fault::Sync(error)) => Err(io::Error::from_raw_os_error(error)),
            _ => self.log.sync(),
        }
    }
}
