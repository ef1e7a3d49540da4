//! Writes batches into the files that their events go to.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::appender::Appender;
use super::checkpoint::{Checkpoint, sync_folder};
use super::compress::Compressor;
use super::medium::Medium;
use super::rotate;
use super::{Fsync, PathTemplate, Rotate, Settings};
use crate::batch::Batch;
use crate::sink::outcome::Refusals;
use crate::sink::{Failure, FailureKind, Outcome, Refusal, WriteContext, WriteError, lines};

/// A buffer that grew beyond this for one large batch is given back.
const KEEP: usize = 4 << 20;

/// How often it is seen whether a file is still what is found under its name.
const LOOK: Duration = Duration::from_secs(1);

/// Opens a file for appending.
pub(super) type Opener = Box<dyn Fn(&Path) -> io::Result<Arc<dyn Medium>> + Send>;

/// All files of one sink.
pub(super) struct Writer {
    pub(super) path: PathTemplate,
    pub(super) fsync: Fsync,
    rotate: Rotate,
    compressor: Option<Compressor>,
    max_open_files: usize,
    opener: Opener,
    files: HashMap<String, Slot>,
    /// Counts uses of files, so that it is known which was used last.
    uses: u64,
    looked: Instant,
    text: Vec<u8>,
    pub(super) once: Option<Once>,
}

/// What a sink has beside its files that is to have each event exactly once.
#[derive(Debug)]
pub(super) struct Once {
    /// Where its checkpoint is.
    pub(super) path: PathBuf,
    /// Open from the first use on.
    pub(super) checkpoint: Option<Checkpoint>,
    /// Files may have what the checkpoint does not know of.
    pub(super) torn: bool,
    /// A file could not be synced: nothing that comes after is said to be.
    pub(super) unsynced: bool,
}

#[derive(Debug)]
struct Slot {
    appender: Appender,
    used: u64,
}

/// The events of a batch that go to one file.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) rows: Vec<u32>,
    pub(super) text: Vec<u8>,
}

impl Writer {
    /// With `exactly_once`, positions are kept beside the files.
    pub(super) fn new(settings: &Settings, opener: Opener, exactly_once: bool) -> Writer {
        let path = settings.path.clone();
        let once =
            exactly_once.then(|| Once { path: path.checkpoint(), checkpoint: None, torn: false, unsynced: false });
        Writer {
            path,
            fsync: settings.fsync,
            rotate: settings.rotate.clone(),
            compressor: settings.compression.map(Compressor::new),
            max_open_files: settings.max_open_files.get(),
            opener,
            files: HashMap::new(),
            uses: 0,
            looked: Instant::now(),
            text: Vec::new(),
            once,
        }
    }

    /// Opens the file that all events go to, so that what is wrong with it is known before any event comes. One that was
    /// moved away is left for a new one.
    pub(super) fn open(&mut self) -> Result<(), Failure> {
        self.open_checkpoint()?;
        let Some(path) = self.path.constant().map(str::to_owned) else { return Ok(()) };
        self.leave_moved();
        self.file(&path).map(|_| ()).map_err(|error| self.failure(&path, &error))
    }

    /// Leaves files that are no more what is found under their names: what comes next goes to new ones.
    pub(super) fn leave_moved(&mut self) {
        self.looked = Instant::now();
        let moved = self.files.iter().filter(|(_, slot)| slot.appender.is_gone()).map(|(path, _)| path.clone());
        for path in moved.collect::<Vec<_>>() {
            tracing::info!(file = path, "was moved away, and is begun anew");
            self.close(&path);
        }
    }

    /// An event that can't be a line, or whose path can't be made, is rejected.
    pub(super) fn write(&mut self, batch: &Batch, context: &WriteContext) -> Result<Outcome, WriteError> {
        if self.looked.elapsed() >= LOOK {
            self.leave_moved();
        }
        if self.once.is_some() {
            return self.write_once(batch, context.next.as_ref());
        }
        let refused = match self.path.constant().map(str::to_owned) {
            Some(path) => self.write_one(&path, batch)?,
            None => self.write_several(batch)?,
        };
        Ok(Outcome::new(batch.len(), refused, None)?)
    }

    fn write_one(&mut self, path: &str, batch: &Batch) -> Result<Vec<Refusal>, Failure> {
        let (mut text, mut refused) = (std::mem::take(&mut self.text), Refusals::default());
        text.clear();
        if !lines::all(batch, &mut text) {
            for row in 0..batch.len() {
                if lines::one(batch, row, &mut text).is_err() {
                    refused.add(row as u32, not_a_line());
                }
            }
        }
        let appended = self.append(path, &text).map_err(|error| self.failure(path, &error));
        if text.capacity() <= KEEP {
            self.text = text;
        }
        appended.map(|()| refused.finish())
    }

    fn write_several(&mut self, batch: &Batch) -> Result<Vec<Refusal>, Failure> {
        let (mut groups, mut refused) = (HashMap::new(), Refusals::default());
        let mut path = String::new();
        for row in 0..batch.len() {
            if let Err(failure) = self.add_row(batch, row, &mut path, &mut groups) {
                refused.add(row as u32, failure);
            }
        }
        let (mut written, mut full) = (false, None);
        for (path, group) in groups {
            match self.append(&path, &group.text).map_err(|error| self.failure(&path, &error)) {
                Ok(()) => written = true,
                Err(failure) => {
                    // Some have room while others have none: these are tried again, until they are the only ones left.
                    let failure = match is_full(&failure) {
                        true => Failure { kind: FailureKind::Transient { after: None }, ..failure },
                        false => failure,
                    };
                    full = full.or_else(|| Some(failure.clone()).filter(is_full));
                    group.rows.iter().for_each(|row| refused.add(*row, failure.clone()));
                }
            }
        }
        match full.filter(|_| !written) {
            Some(full) => Err(Failure { kind: FailureKind::Halted, ..full }),
            None => Ok(refused.finish()),
        }
    }

    /// Adds the line of an event to those that go to the same file. `path` is room for its path.
    pub(super) fn add_row(
        &self,
        batch: &Batch,
        row: usize,
        path: &mut String,
        groups: &mut HashMap<String, Group>,
    ) -> Result<(), Failure> {
        self.path.of(batch, row, path)?;
        if !groups.contains_key(path) {
            groups.insert(path.clone(), Group::default());
        }
        let Some(group) = groups.get_mut(path) else { return Ok(()) };
        lines::one(batch, row, &mut group.text).map_err(|_| not_a_line())?;
        group.rows.push(row as u32);
        Ok(())
    }

    fn append(&mut self, path: &str, text: &[u8]) -> io::Result<()> {
        // Tombstones have no lines.
        if text.is_empty() {
            return Ok(());
        }
        let sync = self.fsync == Fsync::Batch;
        self.make_room(path, text.len())?;
        self.append_text(path, text, sync)
    }

    /// Adds lines to a file, compressed if that is wanted.
    pub(super) fn append_text(&mut self, path: &str, text: &[u8], sync: bool) -> io::Result<()> {
        let Some(mut compressor) = self.compressor.take() else { return self.file(path)?.append(text, sync) };
        let appended = compressor.pack(text).and_then(|packed| self.file(path)?.append(packed, sync));
        self.compressor = Some(compressor);
        appended
    }

    /// Finishes a file that is due for that, so that so much can be added to a new one.
    pub(super) fn make_room(&mut self, path: &str, more: usize) -> io::Result<()> {
        if self.rotate == Rotate::default() {
            return Ok(());
        }
        let rotate = self.rotate.clone();
        let appender = self.file(path)?;
        if !rotate.is_due(appender.len(), more, appender.begun()) {
            return Ok(());
        }
        self.finish_file(path)
    }

    /// Finishes the open files that have come to their age. Says when to look again, where that is to be done.
    pub(super) fn rotate_old(&mut self) -> io::Result<Option<Duration>> {
        let Some(age) = self.rotate.age else { return Ok(None) };
        // What is not in good order is so before the next event is written.
        if self.once.as_ref().is_some_and(|once| once.torn || once.checkpoint.is_none()) {
            return Ok(Some(age));
        }
        let (mut old, mut next) = (Vec::new(), age);
        for (path, slot) in self.files.iter().filter(|(_, slot)| slot.appender.len() > 0) {
            match age.checked_sub(slot.appender.begun().elapsed().unwrap_or_default()).filter(|left| !left.is_zero()) {
                Some(left) => next = next.min(left),
                None => old.push(path.clone()),
            }
        }
        old.iter().try_for_each(|path| self.finish_file(path))?;
        Ok(Some(next))
    }

    fn finish_file(&mut self, path: &str) -> io::Result<()> {
        // What the checkpoint says of this file must be so for good.
        self.sync_all()?;
        self.close(path);
        let finished = rotate::finish(Path::new(path), SystemTime::now())?;
        if self.fsync != Fsync::Never {
            sync_folder(Path::new(path))?;
        }
        tracing::debug!(file = %finished.display(), "finished");
        if let Some(keep) = self.rotate.count
            && let Err(error) = rotate::prune(Path::new(path), keep.get())
        {
            tracing::warn!(file = path, "finished files beyond `rotate.count` can't be removed: {error}");
        }
        Ok(())
    }

    pub(super) fn file(&mut self, path: &str) -> io::Result<&mut Appender> {
        self.uses += 1;
        if !self.files.contains_key(path) {
            if self.files.len() >= self.max_open_files
                && let Some((oldest, _)) = self.files.iter().min_by_key(|(_, slot)| slot.used)
            {
                self.close(&oldest.clone());
            }
            let appender = Appender::new((self.opener)(Path::new(path))?)?;
            self.files.insert(path.to_owned(), Slot { appender, used: 0 });
        }
        let slot = self.files.get_mut(path).ok_or(ErrorKind::NotFound)?;
        slot.used = self.uses;
        Ok(&mut slot.appender)
    }

    fn close(&mut self, path: &str) {
        let Some(slot) = self.files.remove(path) else { return };
        if let Err(error) = slot.appender.finish(self.fsync != Fsync::Never) {
            tracing::warn!(file = path, "could not be closed in good order: {error}");
            self.once.iter_mut().for_each(|once| once.unsynced = true);
        }
    }

    /// Forgets all files without another word to them.
    pub(super) fn drop_files(&mut self) {
        self.files.clear();
    }

    /// The files that are open.
    pub(super) fn open_paths(&self) -> Vec<String> {
        self.files.keys().cloned().collect()
    }

    /// Syncs what was written to files that are open.
    pub(super) fn sync_files(&mut self) -> io::Result<()> {
        self.files.values_mut().try_for_each(|slot| slot.appender.sync())
    }

    /// What has to be synced, once for each write.
    pub(super) fn take_dirty(&mut self) -> Vec<Arc<dyn Medium>> {
        self.files.values_mut().filter_map(|slot| slot.appender.take_dirty()).collect()
    }

    /// Closes all files, synced unless that is not wanted. Says what went wrong with the first that could not be.
    pub(super) fn finish(&mut self) -> Result<(), Failure> {
        let sync = self.fsync != Fsync::Never;
        let files = std::mem::take(&mut self.files);
        let finished = files.into_iter().map(|(path, slot)| (slot.appender.finish(sync), path));
        let failed: Vec<_> = finished.filter_map(|(done, path)| done.err().map(|error| (path, error))).collect();
        if let Some((path, error)) = failed.first() {
            self.once.iter_mut().for_each(|once| once.unsynced = true);
            return Err(self.failure(path, error));
        }
        self.sync_all().map_err(|error| self.failure("the checkpoint", &error))
    }

    /// What an error means. Where the path is the event's doing, nothing is wrong with the sink.
    pub(super) fn failure(&self, path: &str, error: &io::Error) -> Failure {
        let of = |kind, code| Failure::new(kind, code, format!("{path} can't be written: {error}"));
        let operator = match self.path.constant() {
            Some(_) => FailureKind::Halted,
            None => FailureKind::Rejected,
        };
        match error.kind() {
            // Whoever makes room is an operator. Until then everything waits, and nothing becomes a dead letter.
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                of(FailureKind::Halted, DISK_FULL)
            }
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => of(operator, "denied"),
            ErrorKind::IsADirectory
            | ErrorKind::NotADirectory
            | ErrorKind::InvalidFilename
            | ErrorKind::CrossesDevices => of(operator, "path"),
            ErrorKind::ResourceBusy => of(FailureKind::Halted, "locked"),
            _ => of(FailureKind::Transient { after: None }, "io"),
        }
    }
}

const DISK_FULL: &str = "disk-full";

fn is_full(failure: &Failure) -> bool {
    &*failure.code == DISK_FULL
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Writer").field("path", &self.path).field("files", &self.files).finish_non_exhaustive()
    }
}

fn not_a_line() -> Failure {
    let message = "the payload has a newline and is not JSON: a file of lines can't hold it as one event";
    Failure::rejected("newline", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: usize = 100;

    use crate::batch::{BatchBuilder, Event, Partition};
    use crate::sink::file::appender::tests::Fake;
    use std::sync::Mutex;

    fn batch(events: &[(&str, &str)]) -> Batch {
        let mut builder = BatchBuilder::new();
        for (key, payload) in events {
            let event = Event { key: Some(key.as_bytes()), payload: Some(payload.as_bytes()), ..Event::default() };
            builder.push(&Partition::from("p"), event);
        }
        builder.finish().unwrap()
    }

    impl Writer {
        fn put(&mut self, batch: &Batch) -> Result<Outcome, WriteError> {
            self.write(batch, &crate::sink::file::tests::context())
        }
    }

    type Opened = Arc<Mutex<Vec<(String, Arc<Fake>)>>>;

    /// Every file is a fake with so much room; paths that contain `!` can't be opened.
    fn writer(path: &str, fsync: Fsync, room: usize) -> (Writer, Opened) {
        let opened = Opened::default();
        let files = opened.clone();
        let opener = move |path: &Path| -> io::Result<Arc<dyn Medium>> {
            if path.to_string_lossy().contains('!') {
                return Err(ErrorKind::PermissionDenied.into());
            }
            let fake = Fake::with_room(room);
            files.lock().unwrap().push((path.display().to_string(), fake.clone()));
            Ok(fake)
        };
        let settings = Settings::new(PathTemplate::new(path).unwrap(), fsync);
        (Writer::new(&settings, Box::new(opener), false), opened)
    }

    fn refused(outcome: Result<Outcome, WriteError>) -> Vec<(Vec<u32>, &'static str, String)> {
        match outcome.unwrap() {
            Outcome::Written => Vec::new(),
            Outcome::Partial { refused, .. } => {
                let one = |refusal: Refusal| {
                    let Failure { kind, code, .. } = refusal.failure;
                    (refusal.rows.iter().collect(), kind.name(), code.to_string())
                };
                refused.into_iter().map(one).collect()
            }
        }
    }

    #[test]
    fn a_batch_is_one_write() {
        let (mut writer, opened) = writer("f", Fsync::Batch, 1000);
        assert_eq!(writer.put(&batch(&[("k", "one"), ("k", "two")])), Ok(Outcome::Written));
        let (path, fake) = opened.lock().unwrap()[0].clone();
        assert_eq!((path.as_str(), fake.text().as_str()), ("f", "one\ntwo\n"));
        assert_eq!(*fake.calls.lock().unwrap(), ["len", "append", "sync"]);
    }

    #[test]
    fn only_the_event_that_is_no_line_is_rejected() {
        let (mut writer, opened) = writer("f", Fsync::Never, 1000);
        let outcome = writer.put(&batch(&[("k", "one"), ("k", "a\nb"), ("k", "two"), ("k", "\n\n")]));
        assert_eq!(refused(outcome), [(vec![1, 3], "rejected", "newline".into())]);
        assert_eq!(opened.lock().unwrap()[0].1.text(), "one\ntwo\n");
        let mut builder = BatchBuilder::new();
        builder.push(&Partition::from("p"), Event::default());
        assert_eq!(writer.put(&builder.finish().unwrap()), Ok(Outcome::Written), "a tombstone");
    }

    #[test]
    fn a_full_disk_is_waited_for_and_leaves_nothing() {
        let (mut writer, opened) = writer("f", Fsync::Never, 5);
        let error = writer.put(&batch(&[("k", "one"), ("k", "two")])).unwrap_err();
        assert_eq!(error.failure().kind, FailureKind::Halted, "waits for room, and becomes no dead letter");
        assert_eq!(&*error.failure().code, "disk-full");
        let fake = opened.lock().unwrap()[0].1.clone();
        assert_eq!(fake.text(), "");
        *fake.room.lock().unwrap() = 100;
        assert_eq!(writer.put(&batch(&[("k", "one")])), Ok(Outcome::Written));
        assert_eq!(fake.text(), "one\n");
    }

    #[test]
    fn what_an_operator_must_mend_halts_unless_the_event_named_it() {
        let (mut one, _) = writer("!", Fsync::Never, 100);
        assert_eq!(one.open().unwrap_err().kind, FailureKind::Halted);
        assert_eq!(one.put(&batch(&[("k", "x")])).unwrap_err().failure().kind, FailureKind::Halted);
        let (mut several, opened) = writer("d/{key}", Fsync::Never, 100);
        let outcome = several.put(&batch(&[("a", "1"), ("!", "2"), ("../b", "3"), ("a", "4")]));
        let mut outcome = refused(outcome);
        outcome.sort();
        assert_eq!(outcome, [(vec![1], "rejected", "denied".into()), (vec![2], "rejected", "path".into())]);
        assert_eq!(opened.lock().unwrap()[0].1.text(), "1\n4\n");
        let busy = one.failure("f", &ErrorKind::ResourceBusy.into());
        assert_eq!((busy.kind, &*busy.code), (FailureKind::Halted, "locked"));
    }

    #[test]
    fn few_files_are_open_and_one_that_is_closed_is_in_good_order() {
        let (mut writer, opened) = writer("d/{key}", Fsync::Every(std::time::Duration::from_secs(1)), 100);
        for key in 0..OPEN + 10 {
            writer.put(&batch(&[("0", "again"), (&key.to_string(), "x")])).unwrap();
            assert!(writer.files.len() <= OPEN);
        }
        let opened = opened.lock().unwrap();
        assert_eq!(opened.len(), OPEN + 10, "the file that was used all the time was never closed");
        assert_eq!(*opened[1].1.calls.lock().unwrap(), ["len", "append", "sync", "finish"]);
        assert_eq!(writer.take_dirty().len(), OPEN);
        assert!(writer.take_dirty().is_empty());
    }

    #[test]
    fn closing_syncs_unless_that_is_not_wanted_and_tells_what_failed() {
        for (fsync, calls) in [
            (Fsync::Never, vec!["len", "append", "finish"]),
            (Fsync::Every(std::time::Duration::from_secs(1)), vec!["len", "append", "sync", "finish"]),
            (Fsync::Batch, vec!["len", "append", "sync", "finish"]),
        ] {
            let (mut writer, opened) = writer("f", fsync, 100);
            writer.put(&batch(&[("k", "x")])).unwrap();
            writer.finish().unwrap();
            assert_eq!(*opened.lock().unwrap()[0].1.calls.lock().unwrap(), calls);
        }
        let (mut writer, opened) = writer("f", Fsync::default(), 100);
        writer.put(&batch(&[("k", "x")])).unwrap();
        *opened.lock().unwrap()[0].1.failing.lock().unwrap() = vec!["sync"];
        assert_eq!(&*writer.finish().unwrap_err().code, "io");
    }

    #[test]
    fn opening_again_leaves_a_file_that_was_moved_away() {
        let (mut writer, opened) = writer("f", Fsync::Never, 100);
        writer.open().unwrap();
        writer.open().unwrap();
        assert_eq!(opened.lock().unwrap().len(), 1);
        *opened.lock().unwrap()[0].1.failing.lock().unwrap() = vec!["gone"];
        writer.open().unwrap();
        assert_eq!(opened.lock().unwrap().len(), 2);
    }
}
