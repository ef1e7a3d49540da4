//! Files, named by globs, read line by line from where the last run got to.

mod copy;
mod follow;
mod identity;
mod look;
mod packing;
mod scan;
mod settings;
mod state;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use rustix::fs::{Advice, fadvise};
use tracing::{debug, error, info, warn};

use self::identity::Inode;
use self::look::{Found, Looked};
use self::packing::{Packing, Unpacked, Unpacker};
use self::state::State;
use super::framing::{self, Aside, Lines};
use super::reader::{Hand, Reader, Stop};
use super::{Demand, Input, Open, Resume, Source, SourceError};
use crate::batch::Partition;

pub use settings::{Compression, Globs, Settings, Start, Watch};

/// Reads files. Positions are byte offsets; of a compressed file, in what is in it.
///
/// Each file is a partition `PATH@ID`, with the path under which it was first seen. Device, inode, the time when it was
/// made and a fingerprint of its first bytes tell whether it is still the same: after it was renamed it is, after it was
/// cut off it is another. One that has another name by now is looked for in the folder that it was in, so that what was
/// added before it was renamed is read too.
///
/// Without `follow` files are read to their ends, one after another in the order of their names, and then the source
/// has ended. A last line without a newline is an event as it is. What is added to it later is another one, of the next
/// run.
///
/// With `follow` they take turns, and the source goes on with what is added. A line is an event once its newline is
/// there, or once its file was deleted. A file is forgotten when it was deleted and everything of it is final, or when it
/// was nowhere to be seen for a day.
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
        !self.settings.follow
    }

    /// Without `follow`, fails when a glob matches nothing, or a file can't be read: leaving it out would lose its events.
    async fn open(&self, resume: Resume) -> Result<Box<dyn Source>, SourceError> {
        let (settings, positions, began) = (self.settings.clone(), resume.positions.clone(), SystemTime::now());
        let looked = tokio::task::spawn_blocking(move || look::look(&settings, resume)).await;
        let Looked { table, found, missing, forgotten } =
            looked.map_err(|error| SourceError { message: format!("looking for files failed: {error}") })??;
        let state = Arc::new(State::new(table));
        for (inode, partition) in forgotten {
            state.forget(partition, inode);
        }
        let (settings, framing, shared) = (self.settings.clone(), self.framing.clone(), state.clone());
        let reader = Reader::spawn("files", move |hand| match settings.follow {
            true => {
                let begin = follow::Begin { positions, found, missing, looked: began };
                follow::follow(&settings, &framing, hand, &shared, begin)
            }
            false => read_all(&found, &settings, &framing, hand),
        })?;
        Ok(Box::new(Reading { reader, state, follow: self.settings.follow }))
    }
}

/// Reads each file to its end.
fn read_all(found: &[Found], settings: &Settings, framing: &framing::Settings, hand: &Hand) -> Result<(), Stop> {
    hand.over(Input::Assigned(found.iter().map(|found| (found.partition.clone(), found.begin)).collect()))?;
    let mut lines = framing.framer(Partition::from(""), 0);
    let (mut bytes, mut damaged) = (0, Vec::new());
    for found in found {
        lines.enter(found.partition.clone(), Aside::at(found.begin));
        match read(found, settings, &mut lines, hand)? {
            Read::Bytes(read) => bytes += read,
            Read::Damaged => damaged.push(found.path.display().to_string()),
        }
    }
    if !damaged.is_empty() {
        let message = format!("{} can't be unpacked to the end; everything else was read", damaged.join(", "));
        return Err(Stop::Failed(SourceError { message }));
    }
    if bytes == 0
        && let Some(first) = found.first()
    {
        info!(
            files = found.len(),
            partition = first.partition.as_str(),
            position = first.begin,
            "nothing new: {} was read up to byte {} before; --from-start reads it again",
            first.path.display(),
            first.begin,
        );
    }
    Ok(())
}

/// What came of reading a file.
enum Read {
    /// It was read to its end, by so many bytes.
    Bytes(u64),
    /// What it holds can't be unpacked.
    Damaged,
}

fn read(found: &Found, settings: &Settings, lines: &mut Lines, hand: &Hand) -> Result<Read, Stop> {
    let name = found.path.display().to_string();
    let failed = |error: io::Error| SourceError { message: format!("{name} can't be read: {error}") };
    let mut file = match File::open(&found.path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(left_out(&name)),
        file => file.map_err(failed)?,
    };
    if Inode::from(&file.metadata().map_err(failed)?) != found.inode {
        return Ok(left_out(&name));
    }
    let packing = Packing::look(&found.path, &file, settings.compression).map_err(failed)?;
    if let Packing::Gzip | Packing::Zstd = packing {
        let unpacker = packing.unpacker(Arc::new(file), true).map_err(failed)?;
        return unpacker.map_or(Ok(Read::Bytes(0)), |unpacker| unpack(found, unpacker, lines, hand));
    }
    file.seek(SeekFrom::Start(found.begin)).map_err(failed)?;
    if let Err(error) = fadvise(&file, found.begin, None, Advice::Sequential) {
        debug!(file = name, "reading ahead was not asked for: {error}");
    }
    let bytes = hand.over_all(&file, lines, &name)?;
    debug!(file = name, partition = found.partition.as_str(), begin = found.begin, bytes, "read to its end");
    Ok(Read::Bytes(bytes))
}

/// Reads what is in a compressed file. One that is cut short may still be written: its last line is left to the next run.
fn unpack(found: &Found, mut unpacker: Unpacker, lines: &mut Lines, hand: &Hand) -> Result<Read, Stop> {
    let name = found.path.display().to_string();
    let (mut scratch, mut bytes) = (Vec::new(), 0);
    let ended = loop {
        match unpacker.forward(found.begin, &mut scratch) {
            Ok(None) => {}
            Ok(Some(Unpacked::Bytes(_))) => continue,
            Ok(Some(Unpacked::End)) => {
                let (has, begin) = (unpacker.at(), found.begin);
                warn!(file = name, "{begin} bytes were read of it before, and it has {has} now: nothing is read");
                return Ok(Read::Bytes(0));
            }
            Err(error) => break error,
        }
        let mut buffer = lines.buffer();
        match unpacker.read(&mut buffer) {
            Ok(Unpacked::Bytes(read)) => bytes += read as u64,
            Ok(Unpacked::End) => {
                hand.over_blocks(lines.finish(buffer)?)?;
                return Ok(Read::Bytes(bytes));
            }
            Err(error) => break error,
        }
        hand.over_blocks(lines.frame(buffer)?)?;
    };
    let position = lines.leave(false).position();
    if ended.kind() == io::ErrorKind::UnexpectedEof {
        warn!(file = name, position, "it ends in the middle of what it holds: the next run goes on there");
        return Ok(Read::Bytes(bytes));
    }
    if ended.raw_os_error().is_some() {
        return Err(Stop::Failed(SourceError { message: format!("{name} can't be read: {ended}") }));
    }
    error!(file = name, position, "it is damaged ({ended}): what comes before was read, and nothing more is");
    Ok(Read::Damaged)
}

/// A file that was moved between the look and its turn is found by the next run, under its new name.
fn left_out(name: &str) -> Read {
    warn!(file = name, "moved away before it could be read: the next run reads what took its place");
    Read::Bytes(0)
}

struct Reading {
    reader: Reader,
    state: Arc<State>,
    follow: bool,
}

#[async_trait]
impl Source for Reading {
    async fn next(&mut self, demand: Demand) -> Result<Input, SourceError> {
        let finished = self.state.finished();
        if !finished.is_empty() {
            return Ok(Input::Finished(finished));
        }
        self.reader.next(demand).await
    }

    /// The positions are kept by who asks for them.
    async fn acknowledge(&mut self, positions: &BTreeMap<Partition, u64>) -> Result<(), SourceError> {
        self.state.acknowledge(positions);
        Ok(())
    }

    fn behind(&self) -> Option<u64> {
        self.follow.then(|| self.state.behind())
    }

    fn memo(&self) -> serde_json::Value {
        self.state.memo()
    }
}

#[cfg(test)]
mod tests;
