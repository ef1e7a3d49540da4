//! Appends events to files, one line each.
//!
//! The payload is written as it is, and a newline. A newline in it is white space if it is JSON, and becomes a space;
//! else the event is rejected, because its reader would see two. A tombstone has no line and counts as written.

mod appender;
mod checkpoint;
mod compress;
mod disk;
mod medium;
mod once;
mod path;
mod reopen;
mod rotate;
mod settings;
mod writer;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::task::{JoinSet, spawn_blocking};

use self::disk::{Disk, How};
use self::medium::Medium;
use self::writer::Writer;
use super::{Connect, Contract, Failure, Outcome, Sink, WriteContext, WriteError};
use crate::batch::{Batch, Partition};

pub use compress::Compression;
pub use path::PathTemplate;
pub use reopen::Reopen;
pub use rotate::Rotate;
pub use settings::{Fsync, Settings};

/// Between two looks for files that have come to their age.
const ROTATE_PAUSE: Duration = Duration::from_millis(10);

/// After one could not be finished.
const ROTATE_AGAIN: Duration = Duration::from_secs(10);

/// Appends lines to the file, or the files, that a path names. All instances share them.
///
/// A batch is one write to each file, and one that fails is taken back, so that a file has whole lines only.
#[derive(Debug)]
pub struct FileSink {
    contract: Contract,
    fsync: Fsync,
    rotates: bool,
    reopen: Reopen,
    writer: Arc<Mutex<Writer>>,
}

impl FileSink {
    /// Nothing is opened yet. With `exactly_once`, positions are kept beside the files.
    pub fn new(settings: &Settings, exactly_once: bool, reopen: Reopen) -> FileSink {
        let how = How {
            durable: settings.fsync != Fsync::Never,
            compression: settings.compression,
            known: exactly_once,
            root: settings.path.constant().is_none().then(|| PathBuf::from(settings.path.root())),
        };
        let open = move |path: &Path| Disk::open(path, &how).map(|disk| Arc::new(disk) as Arc<dyn Medium>);
        let writer = Arc::new(Mutex::new(Writer::new(settings, Box::new(open), exactly_once)));
        let (fsync, rotates) = (settings.fsync, settings.rotate.age.is_some());
        FileSink { contract: Contract::default(), fsync, rotates, reopen, writer }
    }
}

#[async_trait]
impl Connect for FileSink {
    fn contract(&self) -> &Contract {
        &self.contract
    }

    /// Where the path is the same for all events, its file is opened; else each when its first event comes.
    async fn open(&self, _: u32) -> Result<Arc<dyn Sink>, Failure> {
        let writer = self.writer.clone();
        spawn_blocking(move || locked(&writer).open()).await.map_err(|error| broken(&error))??;
        let written = Arc::new(Notify::new());
        let mut tasks = JoinSet::new();
        if let Fsync::Every(interval) = self.fsync {
            tasks.spawn(sync_every(interval, self.writer.clone(), written.clone()));
        }
        if self.rotates {
            tasks.spawn(rotate_in_time(self.writer.clone()));
        }
        tasks.spawn(leave_moved(self.reopen.clone(), self.writer.clone()));
        Ok(Arc::new(Instance { writer: self.writer.clone(), written, _tasks: tasks }))
    }

    /// A write that was given up goes on, and is awaited.
    async fn stored(&self, saved: &BTreeMap<Partition, u64>) -> Result<BTreeMap<Partition, u64>, Failure> {
        let (writer, saved) = (self.writer.clone(), saved.clone());
        spawn_blocking(move || locked(&writer).stored(&saved)).await.map_err(|error| broken(&error))?
    }
}

struct Instance {
    writer: Arc<Mutex<Writer>>,
    written: Arc<Notify>,
    /// They end with the instance.
    _tasks: JoinSet<()>,
}

#[async_trait]
impl Sink for Instance {
    /// A write that is given up goes on, and what comes after it waits.
    async fn write(&self, batch: &Batch, context: &WriteContext) -> Result<Outcome, WriteError> {
        let (writer, batch, context) = (self.writer.clone(), batch.clone(), context.clone());
        let outcome = spawn_blocking(move || locked(&writer).write(&batch, &context)).await;
        self.written.notify_one();
        outcome.unwrap_or_else(|error| Err(WriteError::Lost(broken(&error))))
    }

    async fn close(&self) -> Result<(), Failure> {
        let writer = self.writer.clone();
        spawn_blocking(move || locked(&writer).finish()).await.map_err(|error| broken(&error))?
    }
}

/// Syncs what was written, so long after the first write that was not synced.
async fn sync_every(interval: Duration, writer: Arc<Mutex<Writer>>, written: Arc<Notify>) {
    loop {
        written.notified().await;
        tokio::time::sleep(interval).await;
        let writer = writer.clone();
        match spawn_blocking(move || sync(&writer)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!("a power cut may lose what was written: it can't be synced: {error}"),
            Err(error) => tracing::error!("a power cut may lose what was written: syncing broke: {error}"),
        }
    }
}

/// Writes go on meanwhile: only the list is taken under the lock.
fn sync(writer: &Mutex<Writer>) -> std::io::Result<()> {
    let (files, batches) = {
        let mut writer = locked(writer);
        (writer.take_dirty(), writer.unsynced_batches())
    };
    let done = files.iter().try_for_each(|file| file.sync());
    let log = locked(writer).files_synced(batches, done.is_ok());
    done?;
    log?.map_or(Ok(()), |log| log.sync_data())
}

/// Finishes files when they have come to their age, whether events come or not.
async fn rotate_in_time(writer: Arc<Mutex<Writer>>) {
    loop {
        let writer = writer.clone();
        let next = match spawn_blocking(move || locked(&writer).rotate_old()).await {
            Ok(Ok(Some(next))) => next,
            Ok(Ok(None)) => return,
            Ok(Err(error)) => {
                tracing::warn!("a file that is old enough can't be finished, and it is tried again: {error}");
                ROTATE_AGAIN
            }
            Err(error) => return tracing::error!("finishing files broke: {error}"),
        };
        tokio::time::sleep(next.max(ROTATE_PAUSE)).await;
    }
}

/// Files that were moved away are left as soon as somebody says that they were.
async fn leave_moved(reopen: Reopen, writer: Arc<Mutex<Writer>>) {
    loop {
        reopen.asked().await;
        let writer = writer.clone();
        if let Err(error) = spawn_blocking(move || locked(&writer).leave_moved()).await {
            tracing::error!("files that were moved away can't be left: {error}");
        }
    }
}

/// A panic in a write leaves at worst a part of a batch, which is in no buffer any more.
fn locked(writer: &Mutex<Writer>) -> MutexGuard<'_, Writer> {
    writer.lock().unwrap_or_else(PoisonError::into_inner)
}

fn broken(error: &tokio::task::JoinError) -> Failure {
    Failure::unknown("broken", format!("a write ended before its time: {error}"))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::batch::{BatchBuilder, Event, Partition};
    use std::fs;
    use tokio::time::Instant;

    fn batch(lines: &[&str]) -> Batch {
        let mut builder = BatchBuilder::new();
        for line in lines {
            let event = Event { payload: Some(line.as_bytes()), key: Some(b"k"), ..Event::default() };
            builder.push(&Partition::from("p"), event);
        }
        builder.finish().unwrap()
    }

    pub(super) fn context() -> WriteContext {
        let timeout = Duration::from_secs(1);
        WriteContext {
            pipeline: "p".into(),
            sink: "s".into(),
            attempt: 1,
            deadline: Instant::now() + timeout,
            timeout,
            ordered: true,
            turn: Default::default(),
            next: None,
        }
    }

    fn sink(path: &Path) -> FileSink {
        let path = PathTemplate::new(&path.display().to_string()).unwrap();
        FileSink::new(&Settings::new(path, Fsync::default()), false, Reopen::default())
    }

    #[tokio::test]
    async fn several_instances_share_a_file_and_it_can_be_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/{key}.log");
        let sink = sink(&path);
        let (one, two) = (sink.open(0).await.unwrap(), sink.open(1).await.unwrap());
        one.write(&batch(&["1"]), &context()).await.unwrap();
        two.write(&batch(&["2"]), &context()).await.unwrap();
        one.close().await.unwrap();
        two.write(&batch(&["3"]), &context()).await.unwrap();
        two.close().await.unwrap();
        let again = sink.open(0).await.unwrap();
        again.write(&batch(&["4"]), &context()).await.unwrap();
        assert_eq!(fs::read_to_string(folder.path().join("a/k.log")).unwrap(), "1\n2\n3\n4\n");
    }

    #[tokio::test]
    async fn what_is_wrong_with_a_file_is_known_when_it_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        let failure = sink(folder.path()).open(0).await.err().unwrap();
        assert_eq!((failure.kind.name(), &*failure.code), ("halted", "path"));
        let path = folder.path().join("f");
        let (first, second) = (sink(&path), sink(&path));
        let instance = first.open(0).await.unwrap();
        let failure = second.open(0).await.err().unwrap();
        assert_eq!((failure.kind.name(), &*failure.code), ("halted", "locked"));
        instance.close().await.unwrap();
        second.open(0).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_written_is_synced_in_time() {
        let folder = tempfile::tempdir().unwrap();
        let sink = sink(&folder.path().join("f"));
        let instance = sink.open(0).await.unwrap();
        instance.write(&batch(&["1"]), &context()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(900)).await;
        assert_eq!(locked(&sink.writer).take_dirty().len(), 1);
        instance.write(&batch(&["2"]), &context()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1100)).await;
        assert!(locked(&sink.writer).take_dirty().is_empty());
    }
}
