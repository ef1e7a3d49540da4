//! Files, named by globs, read line by line from where the last run got to.

mod identity;
mod scan;
mod settings;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use rustix::fs::{Advice, fadvise};
use tracing::{debug, info, warn};

use self::identity::{Identity, Inode, Table};
use super::framing;
use super::reader::{Hand, Reader, Stop};
use super::{Demand, Input, Open, Resume, Source, SourceError};
use crate::batch::Partition;

pub use settings::{Globs, Settings, Start};

/// Reads files to their ends, one after another in the order of their names. Positions are byte offsets.
///
/// Each file is a partition `PATH@ID`, with the path under which it was first seen. Device, inode and a fingerprint of
/// its first bytes tell whether it is still the same: after it was renamed it is, after it was cut off it is another.
///
/// A last line without a newline is an event as it is. What is added to it later is another one, of the next run.
#[derive(Debug)]
pub struct Files {
    settings: Settings,
    framing: framing::Settings,
}

impl Files {
    /// Nothing is opened yet.
    pub fn new(settings: Settings, framing: framing::Settings) -> Files {
        Files { settings, framing }
    }
}

#[async_trait]
impl Open for Files {
    fn replayable(&self) -> bool {
        true
    }

    fn ends(&self) -> bool {
        true
    }

    /// Fails when a glob matches nothing, or a file can't be read: leaving it out would lose its events.
    async fn open(&self, resume: Resume) -> Result<Box<dyn Source>, SourceError> {
        let settings = self.settings.clone();
        let looked = tokio::task::spawn_blocking(move || look(&settings, resume)).await;
        let (table, files) =
            looked.map_err(|error| SourceError { message: format!("looking for files failed: {error}") })??;
        let framing = self.framing.clone();
        let reader = Reader::spawn("files", move |hand| read_all(&files, &framing, hand))?;
        Ok(Box::new(Reading { reader, memo: table.memo() }))
    }
}

/// A file that is to be read.
#[derive(Debug)]
struct Found {
    path: PathBuf,
    inode: Inode,
    partition: Partition,
    begin: u64,
}

/// Finds out which files there are, and where to go on in each.
fn look(settings: &Settings, resume: Resume) -> Result<(Table, Vec<Found>), SourceError> {
    let mut table = Table::from_memo(resume.memo)?;
    let (mut files, mut seen) = (Vec::new(), BTreeSet::new());
    for path in scan::scan(&settings.path)? {
        let found = look_at(&path, settings.start, &mut table, &resume.positions)
            .map_err(|error| SourceError { message: format!("{} can't be read: {error}", path.display()) })?;
        // A file may have several names.
        if seen.insert(found.inode) {
            files.push(found);
        }
    }
    Ok((table, files))
}

fn look_at(path: &Path, start: Start, table: &mut Table, positions: &BTreeMap<Partition, u64>) -> io::Result<Found> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    let identity = table.identify(path, &file, positions)?;
    let begin = match (&identity, start) {
        (Identity::Known(partition), _) => positions.get(partition).copied().unwrap_or(0),
        (Identity::New(_), Start::End) => metadata.len(),
        // What replaced a file was written after it.
        (Identity::New(_), Start::Beginning) | (Identity::Replaced(_), _) => 0,
    };
    let partition = identity.partition().clone();
    Ok(Found { path: path.to_owned(), inode: Inode::from(&metadata), partition, begin })
}

/// What the thread does.
fn read_all(files: &[Found], framing: &framing::Settings, hand: &Hand) -> Result<(), Stop> {
    hand.over(Input::Assigned(files.iter().map(|found| (found.partition.clone(), found.begin)).collect()))?;
    let mut bytes = 0;
    for found in files {
        bytes += read(found, framing, hand)?;
    }
    if bytes == 0
        && let Some(found) = files.first()
    {
        info!(
            files = files.len(),
            partition = found.partition.as_str(),
            position = found.begin,
            "nothing new: {} was read up to byte {} before; --from-start reads it again",
            found.path.display(),
            found.begin,
        );
    }
    Ok(())
}

fn read(found: &Found, framing: &framing::Settings, hand: &Hand) -> Result<u64, Stop> {
    let name = found.path.display().to_string();
    let failed = |error: io::Error| SourceError { message: format!("{name} can't be read: {error}") };
    let mut file = match File::open(&found.path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(left_out(&name)),
        file => file.map_err(failed)?,
    };
    if Inode::from(&file.metadata().map_err(failed)?) != found.inode {
        return Ok(left_out(&name));
    }
    file.seek(SeekFrom::Start(found.begin)).map_err(failed)?;
    if let Err(error) = fadvise(&file, found.begin, None, Advice::Sequential) {
        debug!(file = name, "reading ahead was not asked for: {error}");
    }
    let bytes = hand.over_all(&file, framing.framer(found.partition.clone(), found.begin), &name)?;
    debug!(file = name, partition = found.partition.as_str(), begin = found.begin, bytes, "read to its end");
    Ok(bytes)
}

/// A file that was moved between the look and its turn is found by the next run, under its new name.
fn left_out(name: &str) -> u64 {
    warn!(file = name, "moved away before it could be read: the next run reads what took its place");
    0
}

struct Reading {
    reader: Reader,
    memo: serde_json::Value,
}

#[async_trait]
impl Source for Reading {
    async fn next(&mut self, demand: Demand) -> Result<Input, SourceError> {
        self.reader.next(demand).await
    }

    /// The positions are kept by who asks for them.
    async fn acknowledge(&mut self, _: &BTreeMap<Partition, u64>) -> Result<(), SourceError> {
        Ok(())
    }

    fn memo(&self) -> serde_json::Value {
        self.memo.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    use arrow_array::Array;

    /// What a run saw.
    #[derive(Default)]
    struct Run {
        assigned: Vec<(Partition, u64)>,
        lines: Vec<String>,
        resume: Resume,
    }

    async fn run(folder: &Path, glob: &str, start: Start, resume: &Resume) -> Result<Run, SourceError> {
        let path = Globs::new(vec![format!("{}/{glob}", folder.display())]).unwrap();
        let files = Files::new(Settings { path, start }, framing::Settings::default());
        assert!(files.replayable());
        let mut source = files.open(resume.clone()).await?;
        let mut run = Run { resume: resume.clone(), ..Run::default() };
        run.resume.memo = source.memo();
        loop {
            match source.next(Demand::Events).await? {
                Input::Assigned(partitions) => {
                    run.resume.positions.extend(partitions.clone());
                    run.assigned = partitions;
                }
                Input::Block(block) => {
                    let payload = block.batch.payload();
                    run.lines.extend((0..payload.len()).map(|row| String::from_utf8_lossy(payload.value(row)).into()));
                    run.resume.positions.extend(block.ends);
                }
                Input::Revoked(_) | Input::Rewound(_) => panic!("files are not revoked"),
                Input::Ended => break,
            }
        }
        source.acknowledge(&run.resume.positions).await?;
        Ok(run)
    }

    #[tokio::test]
    async fn files_are_read_once_in_the_order_of_their_names_and_gone_on_with() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("b"), "b1\nb2").unwrap();
        fs::write(folder.path().join("a"), "a1\n").unwrap();
        fs::hard_link(folder.path().join("a"), folder.path().join("c")).unwrap();
        let first = run(folder.path(), "*", Start::Beginning, &Resume::default()).await.unwrap();
        assert_eq!(first.lines, ["a1", "b1", "b2"]);
        assert_eq!(first.assigned.len(), 2);

        let nothing = run(folder.path(), "*", Start::Beginning, &first.resume).await.unwrap();
        assert!(nothing.lines.is_empty());
        assert_eq!(nothing.assigned.iter().map(|(_, position)| *position).collect::<Vec<_>>(), [3, 5]);

        fs::write(folder.path().join("a"), "a1\na2\n").unwrap();
        fs::rename(folder.path().join("b"), folder.path().join("0")).unwrap();
        let more = run(folder.path(), "*", Start::Beginning, &nothing.resume).await.unwrap();
        assert_eq!(more.lines, ["a2"]);
        assert!(more.assigned[0].0.as_str().contains("/b@"), "a renamed file keeps its name: {:?}", more.assigned);
    }

    #[tokio::test]
    async fn only_what_is_added_is_read_where_that_was_asked_for_and_all_of_what_replaced_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a");
        fs::write(&file, "old\nhalf").unwrap();
        let first = run(folder.path(), "a", Start::End, &Resume::default()).await.unwrap();
        assert_eq!((first.lines.len(), first.assigned[0].1), (0, 8));
        fs::write(&file, "old\nhalf a line\nnew\n").unwrap();
        let more = run(folder.path(), "a", Start::End, &first.resume).await.unwrap();
        assert_eq!(more.lines, [" a line", "new"]);
        fs::write(&file, "cut\n").unwrap();
        let cut = run(folder.path(), "a", Start::End, &more.resume).await.unwrap();
        assert_eq!(cut.lines, ["cut"]);
    }

    #[tokio::test]
    async fn what_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = run(folder.path(), "*.log", Start::Beginning, &Resume::default()).await.err().unwrap();
        assert!(error.message.contains("no file matches") && error.message.contains("*.log"), "{error}");
    }

    #[tokio::test]
    async fn a_file_that_is_gone_before_its_turn_is_left_to_the_next_run() {
        let folder = tempfile::tempdir().unwrap();
        let settings = |glob: &str| {
            let path = Globs::new(vec![format!("{}/{glob}", folder.path().display())]).unwrap();
            Settings { path, start: Start::Beginning }
        };
        fs::write(folder.path().join("a"), "a\n").unwrap();
        fs::write(folder.path().join("b"), "b\n").unwrap();
        let (_, files) = look(&settings("*"), Resume::default()).unwrap();
        fs::remove_file(folder.path().join("a")).unwrap();
        fs::write(folder.path().join("new"), "new\n").unwrap();
        fs::rename(folder.path().join("new"), folder.path().join("b")).unwrap();
        let mut reader =
            Reader::spawn("test", move |hand| read_all(&files, &framing::Settings::default(), hand)).unwrap();
        assert!(matches!(reader.next(Demand::Events).await, Ok(Input::Assigned(_))));
        assert!(matches!(reader.next(Demand::Events).await, Ok(Input::Ended)));
    }
}
