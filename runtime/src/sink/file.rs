//! Appends events to files, one line each.
//!
//! The payload is written as it is, and a newline. A newline in it is white space if it is JSON, and becomes a space;
//! else the event is rejected, because its reader would see two. A tombstone has no line and counts as written.

mod appender;
mod disk;
mod medium;
mod path;
mod settings;
mod writer;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::task::{JoinSet, spawn_blocking};

use self::disk::Disk;
use self::medium::Medium;
use self::writer::Writer;
use super::{Connect, Contract, Failure, Outcome, Sink, WriteContext, WriteError};
use crate::batch::Batch;

pub use path::PathTemplate;
pub use settings::{Fsync, Settings};

/// Appends lines to the file, or the files, that a path names. All instances share them.
///
/// A batch is one write to each file, and one that fails is taken back, so that a file has whole lines only.
#[derive(Debug)]
pub struct FileSink {
    contract: Contract,
    fsync: Fsync,
    writer: Arc<Mutex<Writer>>,
}

impl FileSink {
    /// Nothing is opened yet.
    pub fn new(settings: &Settings) -> FileSink {
        let durable = settings.fsync != Fsync::Never;
        let open = move |path: &Path| Disk::open(path, durable).map(|disk| Arc::new(disk) as Arc<dyn Medium>);
        FileSink {
            contract: Contract::default(),
            fsync: settings.fsync,
            writer: Arc::new(Mutex::new(Writer::new(settings, Box::new(open)))),
        }
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
        let mut syncing = JoinSet::new();
        if let Fsync::Every(interval) = self.fsync {
            syncing.spawn(sync_every(interval, self.writer.clone(), written.clone()));
        }
        Ok(Arc::new(Instance { writer: self.writer.clone(), written, _syncing: syncing }))
    }
}

struct Instance {
    writer: Arc<Mutex<Writer>>,
    written: Arc<Notify>,
    /// Ends with the instance.
    _syncing: JoinSet<()>,
}

#[async_trait]
impl Sink for Instance {
    /// A write that is given up goes on, and what comes after it waits.
    async fn write(&self, batch: &Batch, _: &WriteContext) -> Result<Outcome, WriteError> {
        let (writer, batch) = (self.writer.clone(), batch.clone());
        let outcome = spawn_blocking(move || locked(&writer).write(&batch)).await;
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
        // Writes go on meanwhile: only the list is taken under the lock.
        let files = locked(&writer).take_dirty();
        let sync = move || files.iter().try_for_each(|file| file.sync());
        match spawn_blocking(sync).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!("a power cut may lose what was written: it can't be synced: {error}"),
            Err(error) => tracing::error!("a power cut may lose what was written: syncing broke: {error}"),
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
mod tests {
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

    fn context() -> WriteContext {
        let timeout = Duration::from_secs(1);
        WriteContext {
            pipeline: "p".into(),
            sink: "s".into(),
            attempt: 1,
            deadline: Instant::now() + timeout,
            timeout,
            ordered: true,
            next: None,
        }
    }

    fn sink(path: &Path) -> FileSink {
        let path = PathTemplate::new(&path.display().to_string()).unwrap();
        FileSink::new(&Settings { path, fsync: Fsync::default() })
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
