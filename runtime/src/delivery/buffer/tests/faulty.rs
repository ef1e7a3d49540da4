//! A disk in memory that fails when it is told to, and loses power.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex};

use crate::delivery::buffer::disk::{Disk, LogFile};
use crate::delivery::buffer::log::locked;

/// What goes wrong from now on.
#[derive(Debug, Default)]
pub(super) struct Faults {
    /// Bytes that can still be written.
    pub(super) space: Option<u64>,
    /// The most bytes that one write takes.
    pub(super) short: Option<usize>,
    /// What writes fail with.
    pub(super) write: Option<ErrorKind>,
    /// Syncs that fail, once each.
    pub(super) syncs: usize,
    /// Whether cutting a file off fails.
    pub(super) truncate: bool,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Faulty {
    pub(super) faults: Arc<Mutex<Faults>>,
    files: Arc<Mutex<BTreeMap<String, Contents>>>,
}

type Contents = Arc<Mutex<Bytes>>;

#[derive(Debug, Default)]
struct Bytes {
    now: Vec<u8>,
    durable: Vec<u8>,
}

#[derive(Debug)]
struct Opened {
    faults: Arc<Mutex<Faults>>,
    contents: Contents,
}

impl Faulty {
    /// What was not synced is lost, but for so many bytes of each file.
    pub(super) fn power_cut(&self, torn: usize) {
        for contents in locked(&self.files).values() {
            let mut bytes = locked(contents);
            let keep = (bytes.durable.len() + torn).min(bytes.now.len()).max(bytes.durable.len());
            let torn = bytes.now.get(bytes.durable.len()..keep).map(<[u8]>::to_vec).unwrap_or_default();
            bytes.durable.extend(torn);
            bytes.now = bytes.durable.clone();
        }
    }

    pub(super) fn heal(&self) {
        *locked(&self.faults) = Faults::default();
    }

    /// Names of segments, oldest first.
    pub(super) fn segments(&self) -> Vec<String> {
        locked(&self.files).keys().filter(|name| name.ends_with(".log")).cloned().collect()
    }

    /// Changes what a file holds.
    pub(super) fn edit(&self, name: &str, edit: impl FnOnce(&mut Vec<u8>)) {
        let files = locked(&self.files);
        let mut bytes = locked(&files[name]);
        edit(&mut bytes.now);
        bytes.durable = bytes.now.clone();
    }

    /// The same files on another disk.
    pub(super) fn copy(&self) -> Faulty {
        let copy = Faulty::default();
        for (name, contents) in &*locked(&self.files) {
            let bytes = locked(contents);
            let bytes = Bytes { now: bytes.now.clone(), durable: bytes.durable.clone() };
            locked(&copy.files).insert(name.clone(), Arc::new(Mutex::new(bytes)));
        }
        copy
    }

    fn file(&self, name: &str) -> io::Result<Contents> {
        locked(&self.files).get(name).cloned().ok_or_else(|| ErrorKind::NotFound.into())
    }
}

impl Disk for Faulty {
    fn names(&self) -> io::Result<Vec<String>> {
        Ok(locked(&self.files).keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn LogFile>> {
        let contents = Contents::default();
        assert!(locked(&self.files).insert(name.into(), contents.clone()).is_none(), "{name} was there");
        Ok(Arc::new(Opened { faults: self.faults.clone(), contents }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn LogFile>> {
        Ok(Arc::new(Opened { faults: self.faults.clone(), contents: self.file(name)? }))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let removed = locked(&self.files).remove(name).ok_or(ErrorKind::NotFound)?;
        let freed = locked(&removed).now.len() as u64;
        if let Some(space) = &mut locked(&self.faults).space {
            *space += freed;
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(self.file(name).ok().map(|contents| locked(&contents).now.clone()))
    }

    fn replace(&self, name: &str, contents: &[u8]) -> io::Result<()> {
        if locked(&self.faults).space.is_some_and(|space| space < contents.len() as u64) {
            return Err(ErrorKind::StorageFull.into());
        }
        let bytes = Bytes { now: contents.to_vec(), durable: contents.to_vec() };
        locked(&self.files).insert(name.into(), Arc::new(Mutex::new(bytes)));
        Ok(())
    }
}

impl LogFile for Opened {
    fn len(&self) -> io::Result<u64> {
        Ok(locked(&self.contents).now.len() as u64)
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let contents = locked(&self.contents);
        let there = contents.now.get(offset as usize..).unwrap_or_default();
        let read = there.len().min(bytes.len());
        bytes[..read].copy_from_slice(&there[..read]);
        Ok(read)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut faults = locked(&self.faults);
        if let Some(kind) = faults.write {
            return Err(kind.into());
        }
        let mut most = bytes.len().min(faults.short.unwrap_or(usize::MAX));
        if let Some(space) = &mut faults.space {
            if *space == 0 {
                return Err(ErrorKind::StorageFull.into());
            }
            most = most.min(*space as usize);
            *space -= most as u64;
        }
        let mut contents = locked(&self.contents);
        let end = offset as usize + most;
        if contents.now.len() < end {
            contents.now.resize(end, 0);
        }
        contents.now[offset as usize..end].copy_from_slice(&bytes[..most]);
        Ok(most)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        let mut faults = locked(&self.faults);
        if faults.truncate {
            return Err(ErrorKind::Other.into());
        }
        let mut contents = locked(&self.contents);
        let freed = contents.now.len().saturating_sub(len as usize) as u64;
        contents.now.truncate(len as usize);
        contents.durable.truncate(len as usize);
        if let Some(space) = &mut faults.space {
            *space += freed;
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut faults = locked(&self.faults);
        if faults.syncs > 0 {
            faults.syncs -= 1;
            return Err(ErrorKind::Other.into());
        }
        let mut contents = locked(&self.contents);
        contents.durable = contents.now.clone();
        Ok(())
    }
}
