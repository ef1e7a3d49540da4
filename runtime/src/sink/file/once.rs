//! Writes a batch into its files together with the positions at which the path goes on, or leaves nothing of it.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io;
use std::sync::Arc;

use super::Fsync;
use super::checkpoint::{Checkpoint, Lengths, Positions, Unwritten};
use super::writer::{Group, Writer};
use crate::batch::{Batch, Partition, RowSet};
use crate::sink::{Failure, FailureKind, Next, Outcome, Refusal, WriteError};

impl Writer {
    /// Where each partition goes on by what the files have. Files that may have more are brought back first.
    pub(super) fn stored(&mut self, saved: &BTreeMap<Partition, u64>) -> Result<BTreeMap<Partition, u64>, Failure> {
        self.open_checkpoint()?;
        let saved = saved.iter().map(|(partition, position)| (partition.to_string(), *position)).collect();
        let stored = self.checkpoint().and_then(|checkpoint| checkpoint.stored(saved));
        let stored = stored.map_err(|error| self.failure("the checkpoint", &error))?;
        Ok(stored.into_iter().map(|(partition, position)| (Partition::new(partition), position)).collect())
    }

    /// Opens the checkpoint, if there is to be one and it is not open, and brings the files back to it.
    pub(super) fn open_checkpoint(&mut self) -> Result<(), Failure> {
        let Some(once) = self.once.as_mut().filter(|once| once.checkpoint.is_none() || once.torn) else {
            return Ok(());
        };
        once.checkpoint = None;
        let path = once.path.clone();
        // They hold their locks, and are shorter afterwards.
        self.drop_files();
        let checkpoint = Checkpoint::open(&path).map_err(|error| self.failure(&path.display().to_string(), &error))?;
        if let Some(once) = &mut self.once {
            (once.checkpoint, once.torn, once.unsynced) = (Some(checkpoint), false, false);
        }
        Ok(())
    }

    fn checkpoint(&mut self) -> io::Result<&mut Checkpoint> {
        let checkpoint = self.once.as_mut().and_then(|once| once.checkpoint.as_mut());
        checkpoint.ok_or_else(|| io::Error::other("the checkpoint is not open"))
    }

    /// Stops before the first event that can't be written.
    pub(super) fn write_once(&mut self, batch: &Batch, next: Option<&Next>) -> Result<Outcome, WriteError> {
        if self.once.as_ref().is_some_and(|once| once.torn) {
            // Nobody asked since: what it has is not known.
            return Err(Failure::unknown("torn", "an earlier write may have left a part of its batch").into());
        }
        self.open_checkpoint()?;
        let (mut end, mut refusal) = (batch.len(), None);
        let groups = loop {
            let (groups, stopped) = self.groups(batch, end);
            if let Some((row, failure)) = stopped {
                (end, refusal) = (row, Some(failure));
            }
            let Err((path, error)) = self.prepare(&groups) else { break groups };
            let failure = self.failure(&path, &error);
            let first = groups.get(&path).and_then(|group| group.rows.first());
            match first.filter(|_| failure.kind == FailureKind::Rejected) {
                Some(first) => (end, refusal) = (*first as usize, Some(failure)),
                None => return Err(failure.into()),
            }
        };
        let positions = match next {
            None => Positions::new(),
            Some(next) if end == batch.len() => names(next.after_all()),
            Some(next) => names(&next.after(batch.origin(), end)),
        };
        self.put_all(&groups, positions)?;
        match refusal {
            None => Ok(Outcome::Written),
            Some(failure) => {
                let refused = vec![Refusal { rows: RowSet::range(end..end + 1), failure }];
                Ok(Outcome::new(batch.len(), refused, Some(end as u32 + 1))?)
            }
        }
    }

    /// The lines of the events before `end` by their files, up to the first that can't be written.
    fn groups(&self, batch: &Batch, end: usize) -> (HashMap<String, Group>, Option<(usize, Failure)>) {
        let (mut groups, mut path) = (HashMap::new(), String::new());
        for row in 0..end {
            if let Err(failure) = self.add_row(batch, row, &mut path, &mut groups) {
                return (groups, Some((row, failure)));
            }
        }
        (groups, None)
    }

    /// Sees to it that the checkpoint knows all files, with their lengths, before anything is added to one.
    fn prepare(&mut self, groups: &HashMap<String, Group>) -> Result<(), (String, io::Error)> {
        let mut opened = Lengths::new();
        for (path, group) in groups.iter().filter(|(_, group)| !group.text.is_empty()) {
            let at = |error| (path.clone(), error);
            self.make_room(path, group.text.len()).map_err(at)?;
            let len = self.file(path).map_err(at)?.len();
            if self.checkpoint().map_err(at)?.length(path) != Some(len) {
                opened.insert(path.clone(), len);
            }
        }
        if opened.is_empty() {
            return Ok(());
        }
        let told = self.checkpoint().and_then(|checkpoint| checkpoint.opened(opened));
        told.map_err(|error| ("the checkpoint".to_owned(), error))
    }

    /// All lines, and the positions; or nothing.
    fn put_all(&mut self, groups: &HashMap<String, Group>, positions: Positions) -> Result<(), WriteError> {
        let (mut touched, mut lengths) = (Vec::new(), Lengths::new());
        // A panic leaves it so.
        self.set_torn(true);
        for (path, group) in groups.iter().filter(|(_, group)| !group.text.is_empty()) {
            let before = self.file(path).map(|appender| appender.len());
            let added = before.and_then(|before| {
                touched.push((path.clone(), before));
                self.append_text(path, &group.text, false)?;
                Ok(self.file(path)?.len())
            });
            match added {
                Ok(len) => lengths.insert(path.clone(), len),
                Err(error) => return Err(self.take_back(&touched, path, &error)),
            };
        }
        let sync = self.fsync == Fsync::Batch;
        if sync && let Err(error) = self.sync_files() {
            return Err(self.take_back(&touched, "a file", &error));
        }
        let sync = sync && self.once.as_ref().is_some_and(|once| !once.unsynced);
        let written = match self.checkpoint() {
            Ok(checkpoint) => checkpoint.written(positions, lengths, sync),
            Err(error) => Err(Unwritten::Not(error)),
        };
        match written {
            Ok(()) => {
                self.set_torn(false);
                Ok(())
            }
            Err(Unwritten::Not(error)) => Err(self.take_back(&touched, "the checkpoint", &error)),
            Err(Unwritten::Uncertain(error)) => {
                Err(Failure::unknown("io", format!("the checkpoint can't be synced: {error}")).into())
            }
        }
    }

    /// Cuts files back to their lengths before a write that failed.
    fn take_back(&mut self, touched: &[(String, u64)], path: &str, error: &io::Error) -> WriteError {
        let failure = self.failure(path, error);
        for (path, before) in touched {
            if let Err(error) = self.file(path).and_then(|appender| appender.take_back(*before)) {
                let message = format!("what a failed write left in {path} can't be taken back: {error}");
                return Failure::unknown("torn", message).into();
            }
        }
        self.set_torn(false);
        match failure.kind {
            // It was open before, so that this is not the event's doing.
            FailureKind::Rejected => Failure { kind: FailureKind::Transient { after: None }, ..failure }.into(),
            _ => failure.into(),
        }
    }

    fn set_torn(&mut self, torn: bool) {
        self.once.iter_mut().for_each(|once| once.torn = torn);
    }

    /// Batches that will be safe from a power cut once the files that [`take_dirty`](Self::take_dirty) gives are synced;
    /// `None` where that is of no use.
    pub(super) fn unsynced_batches(&self) -> Option<u64> {
        let once = self.once.as_ref().filter(|once| !once.unsynced && !once.torn)?;
        Some(once.checkpoint.as_ref()?.batches())
    }

    /// Files that were to be synced are, or are not. What is given back is to be synced then.
    pub(super) fn files_synced(&mut self, batches: Option<u64>, done: bool) -> io::Result<Option<Arc<File>>> {
        let Some(once) = &mut self.once else { return Ok(None) };
        once.unsynced |= !done;
        let Some(batches) = batches.filter(|_| !once.unsynced) else { return Ok(None) };
        if self.checkpoint()?.is_grown() {
            self.sync_all()?;
            return Ok(None);
        }
        // The log has begun anew meanwhile, and with it the count.
        let checkpoint = self.checkpoint()?;
        if checkpoint.batches() < batches { Ok(None) } else { checkpoint.synced(batches).map(Some) }
    }

    /// Everything so far would survive a power cut, and the checkpoint says so.
    pub(super) fn sync_all(&mut self) -> io::Result<()> {
        if self.once.as_ref().is_none_or(|once| once.torn || once.unsynced || once.checkpoint.is_none()) {
            return Ok(());
        }
        let synced = self.sync_files();
        if let Some(once) = self.once.as_mut().filter(|_| synced.is_err()) {
            once.unsynced = true;
        }
        synced?;
        let open: Vec<String> = self.open_paths();
        let checkpoint = self.checkpoint()?;
        if checkpoint.is_grown() {
            return checkpoint.compact(|path| open.iter().any(|known| known == path));
        }
        let all = checkpoint.batches();
        checkpoint.synced(all)?.sync_data()
    }
}

fn names(positions: &BTreeMap<Partition, u64>) -> Positions {
    positions.iter().map(|(partition, position)| (partition.to_string(), *position)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;
    use std::sync::Mutex;

    use super::*;
    use crate::batch::{BatchBuilder, Event};
    use crate::sink::file::appender::tests::Fake;
    use crate::sink::file::medium::Medium;
    use crate::sink::file::{PathTemplate, Settings};

    type Files = Arc<Mutex<BTreeMap<String, Arc<Fake>>>>;

    /// Every file is a fake with so much room, and the same one whenever it is opened.
    fn writer(folder: &Path, room: usize, fsync: Fsync) -> (Writer, Files) {
        let files = Files::default();
        let opened = files.clone();
        let opener = move |path: &Path| -> io::Result<Arc<dyn Medium>> {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            Ok(opened.lock().unwrap().entry(name).or_insert_with(|| Fake::with_room(room)).clone())
        };
        let path = PathTemplate::new(&format!("{}/{{key}}", folder.display())).unwrap();
        (Writer::new(&Settings::new(path, fsync), Box::new(opener), true), files)
    }

    /// Events at ascending positions.
    fn batch(first: u64, events: &[(&str, &str)]) -> Batch {
        let mut builder = BatchBuilder::new();
        for (position, (key, payload)) in (first..).zip(events) {
            let (key, payload) = (Some(key.as_bytes()), Some(payload.as_bytes()));
            builder.push(&Partition::from("p"), Event { key, payload, position, ..Event::default() });
        }
        builder.finish().unwrap()
    }

    fn next(position: u64) -> Next {
        Next::new(BTreeMap::from([(Partition::from("p"), position)]))
    }

    fn stored(writer: &mut Writer) -> Option<u64> {
        writer.stored(&BTreeMap::new()).unwrap().into_values().next()
    }

    #[test]
    fn a_batch_and_its_positions_are_there_or_nothing_is() {
        let folder = tempfile::tempdir().unwrap();
        let (mut writer, files) = writer(folder.path(), 8, Fsync::Batch);
        assert_eq!(stored(&mut writer), None);
        let first = batch(0, &[("a", "one"), ("b", "two")]);
        assert_eq!(writer.write_once(&first, Some(&next(2))), Ok(Outcome::Written));
        assert_eq!(stored(&mut writer), Some(2));
        let second = batch(2, &[("a", "1"), ("b", "too long"), ("c", "3")]);
        let error = writer.write_once(&second, Some(&next(5))).unwrap_err();
        assert_eq!(&*error.failure().code, "disk-full");
        let text = |name: &str| files.lock().unwrap().get(name).map(|file| file.text()).unwrap_or_default();
        assert_eq!([text("a"), text("b"), text("c")], ["one\n", "two\n", ""]);
        assert_eq!(stored(&mut writer), Some(2));
        *files.lock().unwrap()["b"].room.lock().unwrap() = 100;
        assert_eq!(writer.write_once(&second, Some(&next(5))), Ok(Outcome::Written));
        assert_eq!([text("a"), text("b"), text("c")], ["one\n1\n", "two\ntoo long\n", "3\n"]);
        assert_eq!(stored(&mut writer), Some(5));
    }

    #[test]
    fn what_somebody_else_is_still_syncing_is_not_taken_for_synced() {
        let folder = tempfile::tempdir().unwrap();
        let (mut writer, files) = writer(folder.path(), 100, Fsync::default());
        assert_eq!(stored(&mut writer), None);
        writer.write_once(&batch(0, &[("a", "one")]), Some(&next(1))).unwrap();
        assert_eq!(writer.take_dirty().len(), 1, "now they are being synced");
        let calls = || files.lock().unwrap()["a"].calls.lock().unwrap().clone();
        assert!(!calls().contains(&"sync"));
        writer.sync_all().unwrap();
        assert!(calls().contains(&"sync"), "the checkpoint says that they are");
    }

    #[test]
    fn it_stops_before_the_first_event_that_it_refuses() {
        let folder = tempfile::tempdir().unwrap();
        let (mut writer, files) = writer(folder.path(), 100, Fsync::default());
        let events = batch(0, &[("a", "one"), ("a", "no\nline"), ("a", "two")]);
        let Outcome::Partial { refused, stopped_at } = writer.write_once(&events, Some(&next(9))).unwrap() else {
            panic!("it refuses one")
        };
        assert_eq!((refused[0].rows.clone(), stopped_at), (RowSet::range(1..2), 2));
        assert_eq!((stored(&mut writer), files.lock().unwrap()["a"].text()), (Some(1), "one\n".into()));
    }

    #[test]
    fn where_a_part_can_not_be_taken_back_nothing_is_said_and_nothing_added() {
        let folder = tempfile::tempdir().unwrap();
        let (mut writer, files) = writer(folder.path(), 8, Fsync::default());
        assert_eq!(stored(&mut writer), None);
        writer.write_once(&batch(0, &[("a", "one")]), Some(&next(1))).unwrap();
        *files.lock().unwrap()["a"].failing.lock().unwrap() = vec!["truncate"];
        for _ in 0..2 {
            let error = writer.write_once(&batch(1, &[("a", "far too long")]), Some(&next(2))).unwrap_err();
            assert_eq!(error.failure().kind, FailureKind::Unknown);
        }
        assert_eq!(stored(&mut writer), Some(1), "by the log, to which the files are brought back");
    }
}
