//! Adds a batch to a file, or nothing.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::SystemTime;

use super::medium::Medium;

/// One open file.
#[derive(Debug)]
pub(super) struct Appender {
    medium: Arc<dyn Medium>,
    /// How long the file is, unless someone else changed that.
    len: u64,
    begun: SystemTime,
    /// Bytes at the end to cut off before anything else is written: what a failed write left, and could not be taken
    /// back yet. Nobody else writes the file, so that they are the last.
    torn: usize,
    /// Something was written that nobody has taken to sync it.
    dirty: bool,
    /// Something was written that is not known to be synced: who has taken it may not be done.
    unsynced: bool,
}

impl Appender {
    pub(super) fn new(medium: Arc<dyn Medium>) -> io::Result<Appender> {
        let (len, begun) = (medium.len()?, medium.begun());
        Ok(Appender { medium, len, begun, torn: 0, dirty: false, unsynced: false })
    }

    /// How long the file is.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// When it was begun.
    pub(super) fn begun(&self) -> SystemTime {
        self.begun
    }

    /// Cuts the file back to a length that it had.
    pub(super) fn take_back(&mut self, len: u64) -> io::Result<()> {
        self.mend()?;
        self.medium.truncate(len)?;
        self.len = len;
        Ok(())
    }

    /// Syncs what was written, also where somebody else does so at the moment.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.dirty = false;
        if std::mem::take(&mut self.unsynced) { self.medium.sync() } else { Ok(()) }
    }

    /// Adds whole lines, durably if `sync` is set. Where that fails, none of them stays.
    pub(super) fn append(&mut self, lines: &[u8], sync: bool) -> io::Result<()> {
        self.mend()?;
        let mut added = 0;
        let done = self.add(lines, &mut added).and_then(|()| if sync { self.medium.sync() } else { Ok(()) });
        self.dirty |= !sync;
        self.unsynced |= !sync;
        if done.is_ok() {
            self.len += added as u64;
        }
        done.inspect_err(|_| {
            self.torn = added;
            if let Err(error) = self.mend() {
                tracing::warn!("what a failed write left of a batch can't be taken back yet: {error}");
            }
        })
    }

    /// Adds all lines, and counts the bytes that were added even where not all could be.
    fn add(&self, lines: &[u8], added: &mut usize) -> io::Result<()> {
        while *added < lines.len() {
            match self.medium.append(&lines[*added..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(more) => *added += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Takes back what a failed write left. The length is asked for only here: no write pays for it, and it is right
    /// even after someone emptied the file in between.
    fn mend(&mut self) -> io::Result<()> {
        if self.torn > 0 {
            let len = self.medium.len()?;
            self.medium.truncate(len.saturating_sub(self.torn as u64))?;
            self.torn = 0;
        }
        Ok(())
    }

    /// What has to be synced, once.
    pub(super) fn take_dirty(&mut self) -> Option<Arc<dyn Medium>> {
        std::mem::take(&mut self.dirty).then(|| self.medium.clone())
    }

    /// Whether the file is no more what is found under its name.
    pub(super) fn is_gone(&self) -> bool {
        self.medium.is_gone()
    }

    /// Syncs what was not synced if `sync` is set, and leaves the file in good order.
    pub(super) fn finish(mut self, sync: bool) -> io::Result<()> {
        self.mend()?;
        if sync && self.unsynced {
            self.medium.sync()?;
        }
        self.medium.finish()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::sync::Mutex;

    /// A disk with room for so many bytes, on which other calls can be made to fail.
    #[derive(Debug, Default)]
    pub(in crate::sink::file) struct Fake {
        pub(in crate::sink::file) text: Mutex<Vec<u8>>,
        pub(in crate::sink::file) room: Mutex<usize>,
        pub(in crate::sink::file) failing: Mutex<Vec<&'static str>>,
        pub(in crate::sink::file) calls: Mutex<Vec<&'static str>>,
    }

    impl Fake {
        pub(in crate::sink::file) fn with_room(room: usize) -> Arc<Fake> {
            Arc::new(Fake { room: Mutex::new(room), ..Fake::default() })
        }

        fn call(&self, name: &'static str) -> io::Result<()> {
            self.calls.lock().unwrap().push(name);
            if self.failing.lock().unwrap().contains(&name) { Err(ErrorKind::Other.into()) } else { Ok(()) }
        }

        pub(in crate::sink::file) fn text(&self) -> String {
            String::from_utf8(self.text.lock().unwrap().clone()).unwrap()
        }
    }

    impl Medium for Fake {
        fn len(&self) -> io::Result<u64> {
            self.call("len")?;
            Ok(self.text.lock().unwrap().len() as u64)
        }

        fn append(&self, bytes: &[u8]) -> io::Result<usize> {
            self.call("append")?;
            let mut text = self.text.lock().unwrap();
            let fits = bytes.len().min(self.room.lock().unwrap().saturating_sub(text.len()));
            text.extend_from_slice(&bytes[..fits]);
            if fits > 0 { Ok(fits) } else { Err(ErrorKind::StorageFull.into()) }
        }

        fn begun(&self) -> SystemTime {
            SystemTime::UNIX_EPOCH
        }

        fn truncate(&self, len: u64) -> io::Result<()> {
            self.call("truncate")?;
            self.text.lock().unwrap().truncate(len as usize);
            Ok(())
        }

        fn sync(&self) -> io::Result<()> {
            self.call("sync")
        }

        fn is_gone(&self) -> bool {
            self.failing.lock().unwrap().contains(&"gone")
        }

        fn finish(&self) -> io::Result<()> {
            self.call("finish")
        }
    }

    #[test]
    fn a_batch_that_does_not_fit_leaves_nothing() {
        let fake = Fake::with_room(8);
        let mut appender = Appender::new(fake.clone()).unwrap();
        appender.append(b"one\n", false).unwrap();
        assert_eq!(appender.append(b"two\nthree\n", false).unwrap_err().kind(), ErrorKind::StorageFull);
        assert_eq!(fake.text(), "one\n");
        appender.append(b"two\n", false).unwrap();
        assert_eq!(fake.text(), "one\ntwo\n");
    }

    #[test]
    fn nothing_is_added_behind_a_torn_line() {
        let fake = Fake::with_room(8);
        let mut appender = Appender::new(fake.clone()).unwrap();
        *fake.failing.lock().unwrap() = vec!["truncate"];
        appender.append(b"one\ntwo\nthree\n", false).unwrap_err();
        *fake.room.lock().unwrap() = 100;
        appender.append(b"four\n", false).unwrap_err();
        assert_eq!(fake.text(), "one\ntwo\n", "torn, and not yet mended");
        fake.failing.lock().unwrap().clear();
        appender.append(b"four\n", false).unwrap();
        assert_eq!(fake.text(), "four\n");
    }

    #[test]
    fn a_file_whose_length_is_not_known_is_mended_later() {
        let fake = Fake::with_room(8);
        let mut appender = Appender::new(fake.clone()).unwrap();
        appender.append(b"one\n", false).unwrap();
        *fake.failing.lock().unwrap() = vec!["len"];
        appender.append(b"two\nthree\n", false).unwrap_err();
        appender.append(b"four\n", false).unwrap_err();
        assert_eq!(fake.text(), "one\ntwo\n", "torn, and not yet mended");
        fake.failing.lock().unwrap().clear();
        appender.finish(false).unwrap();
        assert_eq!(fake.text(), "one\n");
    }

    #[test]
    fn what_is_taken_back_is_right_after_someone_emptied_the_file() {
        let fake = Fake::with_room(8);
        let mut appender = Appender::new(fake.clone()).unwrap();
        appender.append(b"one\ntwo\n", false).unwrap();
        fake.text.lock().unwrap().clear();
        appender.append(b"three\nfour\n", false).unwrap_err();
        assert_eq!(fake.text(), "");
    }

    #[test]
    fn what_could_not_be_synced_is_taken_back() {
        let fake = Fake::with_room(100);
        let mut appender = Appender::new(fake.clone()).unwrap();
        *fake.failing.lock().unwrap() = vec!["sync"];
        appender.append(b"one\n", true).unwrap_err();
        assert_eq!(fake.text(), "");
    }

    #[test]
    fn a_file_is_synced_once_for_what_was_written() {
        let fake = Fake::with_room(100);
        let mut appender = Appender::new(fake.clone()).unwrap();
        assert!(appender.take_dirty().is_none());
        appender.append(b"one\n", false).unwrap();
        assert!(appender.take_dirty().is_some() && appender.take_dirty().is_none());
        appender.append(b"two\n", false).unwrap();
        appender.finish(true).unwrap();
        assert_eq!(*fake.calls.lock().unwrap(), ["len", "append", "append", "sync", "finish"]);
    }
}
