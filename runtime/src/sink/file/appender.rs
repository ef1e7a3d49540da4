//! Adds a batch to a file, or nothing.

use std::io;
use std::sync::Arc;

use super::medium::Medium;

/// One open file.
#[derive(Debug)]
pub(super) struct Appender {
    medium: Arc<dyn Medium>,
    /// Where to cut off before anything else is written: a write failed, and what it left could not be taken back yet.
    torn: Option<u64>,
    /// Something was written and not synced.
    dirty: bool,
}

impl Appender {
    pub(super) fn new(medium: Arc<dyn Medium>) -> Appender {
        Appender { medium, torn: None, dirty: false }
    }

    /// Adds whole lines, durably if `sync` is set. Where that fails, none of them stays.
    pub(super) fn append(&mut self, lines: &[u8], sync: bool) -> io::Result<()> {
        self.mend()?;
        let before = self.medium.len()?;
        let added = self.medium.append(lines).and_then(|()| if sync { self.medium.sync() } else { Ok(()) });
        self.dirty |= !sync;
        added.inspect_err(|_| {
            self.torn = Some(before);
            if let Err(error) = self.mend() {
                tracing::warn!("what a failed write left of a batch can't be taken back yet: {error}");
            }
        })
    }

    /// Takes back what a failed write left.
    fn mend(&mut self) -> io::Result<()> {
        if let Some(len) = self.torn {
            self.medium.truncate(len)?;
            self.torn = None;
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
        if sync && self.dirty {
            self.medium.sync()?;
        }
        self.medium.finish()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::io::ErrorKind;
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
            Ok(self.text.lock().unwrap().len() as u64)
        }

        fn append(&self, bytes: &[u8]) -> io::Result<()> {
            self.call("append")?;
            let mut text = self.text.lock().unwrap();
            let fits = bytes.len().min(self.room.lock().unwrap().saturating_sub(text.len()));
            text.extend_from_slice(&bytes[..fits]);
            if fits == bytes.len() { Ok(()) } else { Err(ErrorKind::StorageFull.into()) }
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
        let mut appender = Appender::new(fake.clone());
        appender.append(b"one\n", false).unwrap();
        assert_eq!(appender.append(b"two\nthree\n", false).unwrap_err().kind(), ErrorKind::StorageFull);
        assert_eq!(fake.text(), "one\n");
        appender.append(b"two\n", false).unwrap();
        assert_eq!(fake.text(), "one\ntwo\n");
    }

    #[test]
    fn nothing_is_added_behind_a_torn_line() {
        let fake = Fake::with_room(8);
        let mut appender = Appender::new(fake.clone());
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
    fn what_could_not_be_synced_is_taken_back() {
        let fake = Fake::with_room(100);
        let mut appender = Appender::new(fake.clone());
        *fake.failing.lock().unwrap() = vec!["sync"];
        appender.append(b"one\n", true).unwrap_err();
        assert_eq!(fake.text(), "");
    }

    #[test]
    fn a_file_is_synced_once_for_what_was_written() {
        let fake = Fake::with_room(100);
        let mut appender = Appender::new(fake.clone());
        assert!(appender.take_dirty().is_none());
        appender.append(b"one\n", false).unwrap();
        assert!(appender.take_dirty().is_some() && appender.take_dirty().is_none());
        appender.append(b"two\n", false).unwrap();
        appender.finish(true).unwrap();
        assert_eq!(*fake.calls.lock().unwrap(), ["append", "append", "sync", "finish"]);
    }
}
