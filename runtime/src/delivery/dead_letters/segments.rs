//! Dead letters in files of a directory: lines of JSON, in segments that are appended to by one run each.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;

use super::record;
use super::{DeadLetter, DeadLetters, Unkept};
use crate::units;

/// Where a segment ends and the next begins.
const SEGMENT_BYTES: u64 = 16 << 20;

/// A directory of segments `00000001.ndjson`, `00000002.ndjson`, …, together at most so large. Cloning gives the same.
///
/// A run never appends to a segment of an earlier one, whose last line a kill may have torn.
#[derive(Clone, Debug)]
pub struct Segments {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    directory: PathBuf,
    max_size: u64,
    current: Mutex<Option<Segment>>,
}

#[derive(Debug)]
struct Segment {
    file: File,
    bytes: u64,
}

impl Segments {
    /// In a directory, which is created with the first dead letter.
    pub fn new(directory: PathBuf, max_size: u64) -> Segments {
        Segments { shared: Arc::new(Shared { directory, max_size, current: Mutex::new(None) }) }
    }

    /// The directory.
    pub fn directory(&self) -> &Path {
        &self.shared.directory
    }

    /// How many bytes they have together. Asks the directory, and blocks for that.
    pub fn kept_bytes(&self) -> io::Result<u64> {
        match self.shared.size() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            size => size,
        }
    }

    /// How many they may have.
    pub fn max_bytes(&self) -> u64 {
        self.shared.max_size
    }
}

#[async_trait]
impl DeadLetters for Segments {
    async fn put(&self, letter: DeadLetter<'_>) -> Result<(), Unkept> {
        let mut lines = Vec::new();
        let failed = |message: String| Unkept::Failed { message };
        record::write(&letter, SystemTime::now(), &mut lines).map_err(|error| failed(error.to_string()))?;
        let shared = self.shared.clone();
        let append = tokio::task::spawn_blocking(move || shared.append(&lines));
        append.await.map_err(|error| failed(error.to_string()))?
    }
}

impl Shared {
    fn append(&self, lines: &[u8]) -> Result<(), Unkept> {
        let failed = |error: io::Error| Unkept::Failed { message: format!("{}: {error}", self.directory.display()) };
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        fs::create_dir_all(&self.directory).map_err(failed)?;
        if self.size().map_err(failed)? + lines.len() as u64 > self.max_size {
            let (max_size, place) = (units::size::print(self.max_size), self.directory.display().to_string());
            return Err(Unkept::Full { max_size, place });
        }
        // A segment that failed is left as it is: its last line may be torn, and the next begins a new one.
        let mut segment = match current.take() {
            Some(segment) if segment.bytes < SEGMENT_BYTES => segment,
            _ => self.begin().map_err(failed)?,
        };
        segment.file.write_all(lines).and_then(|()| segment.file.sync_data()).map_err(failed)?;
        segment.bytes += lines.len() as u64;
        *current = Some(segment);
        Ok(())
    }

    fn begin(&self) -> io::Result<Segment> {
        let last = self.numbers()?.into_iter().max().unwrap_or(0);
        let path = self.directory.join(format!("{:08}.ndjson", last + 1));
        let file = OpenOptions::new().append(true).create_new(true).open(path)?;
        // The name has to survive as well as what is in the file.
        File::open(&self.directory)?.sync_all()?;
        Ok(Segment { file, bytes: 0 })
    }

    fn numbers(&self) -> io::Result<Vec<u64>> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let name = entry?.file_name();
            let number: Option<u64> =
                name.to_str().and_then(|name| name.strip_suffix(".ndjson")).and_then(|name| name.parse().ok());
            numbers.extend(number);
        }
        Ok(numbers)
    }

    /// Asked of the directory each time: somebody may have taken segments away.
    fn size(&self) -> io::Result<u64> {
        fs::read_dir(&self.directory)?.map(|entry| Ok(entry?.metadata()?.len())).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{Batch, BatchBuilder, Event, Partition};
    use crate::envelope::PathName;
    use crate::sink::Failure;
    use serde_json::{Value, json};

    fn batch(payloads: &[&[u8]]) -> Batch {
        let mut builder = BatchBuilder::new();
        for (position, payload) in (0..).zip(payloads) {
            let headers: &[(&[u8], &[u8])] = &[(b"a", b"1")];
            let event = Event { payload: Some(payload), key: None, timestamp: 5, headers, position };
            builder.push(&Partition::from("file@1"), event);
        }
        builder.finish().unwrap()
    }

    async fn put(segments: &Segments, payloads: &[&[u8]]) -> Result<(), Unkept> {
        let path = PathName { pipeline: "quakes".into(), sink: "alerts".into() };
        let failure = Failure::rejected("too-large", "more than 5 bytes");
        let batch = batch(payloads);
        segments.put(DeadLetter { path: &path, batch: &batch, failure: &failure, attempts: 3, since: None }).await
    }

    fn lines(directory: &Path) -> Vec<Vec<Value>> {
        let mut paths: Vec<PathBuf> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        let parse = |line: &str| serde_json::from_str(line).unwrap();
        paths.iter().map(|path| fs::read_to_string(path).unwrap().lines().map(parse).collect()).collect()
    }

    #[tokio::test]
    async fn a_dead_letter_keeps_the_whole_event_and_its_story() {
        let directory = tempfile::tempdir().unwrap();
        put(&Segments::new(directory.path().into(), 1 << 20), &[b"quake", b"\xff"]).await.unwrap();
        let mut lines = lines(directory.path()).remove(0);
        lines[0]["time"] = json!(0);
        assert_eq!(
            lines[0],
            json!({
                "pipeline": "quakes", "sink": "alerts", "kind": "rejected", "code": "too-large",
                "message": "more than 5 bytes", "attempts": 3, "first_attempt": null, "time": 0,
                "partition": "file@1", "position": 0, "timestamp": 5, "key": null,
                "headers": [["a", "1"]], "payload": "quake",
            })
        );
        assert_eq!(lines[1]["payload"], json!({ "base64": "/w==" }));
    }

    #[tokio::test]
    async fn a_run_begins_its_own_segment() {
        let directory = tempfile::tempdir().unwrap();
        for _ in 0..2 {
            let segments = Segments::new(directory.path().into(), 1 << 20);
            put(&segments, &[b"one"]).await.unwrap();
            put(&segments, &[b"two"]).await.unwrap();
        }
        assert_eq!(lines(directory.path()).iter().map(Vec::len).collect::<Vec<_>>(), [2, 2]);
    }

    #[tokio::test]
    async fn what_exceeds_the_bound_is_not_kept_until_there_is_room() {
        let directory = tempfile::tempdir().unwrap();
        let segments = Segments::new(directory.path().into(), 300);
        put(&segments, &[b"one"]).await.unwrap();
        assert!(matches!(put(&segments, &[b"two"]).await, Err(Unkept::Full { .. })));
        fs::remove_file(directory.path().join("00000001.ndjson")).unwrap();
        put(&segments, &[b"two"]).await.unwrap();
    }

    #[tokio::test]
    async fn a_directory_that_cannot_be_made_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        let error = put(&Segments::new(file.join("dead"), 300), &[b"one"]).await.unwrap_err();
        assert!(error.to_string().contains("file/dead"), "{error}");
    }
}
