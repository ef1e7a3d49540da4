//! Where an exactly-once sink goes on, stored beside its files: positions, and the length of each file with them.
//!
//! A log of lines, each a checksum and JSON. It begins with a snapshot. Before anything is added to a file that the log
//! does not name, it gets the file's length; after each batch, the new lengths together with the new positions. That
//! line is what makes a batch written: what a kill leaves in the files beyond the last one is cut off at start.
//!
//! A kill leaves what was written to the system's cache, a power cut only what was synced. So a line says up to which
//! batch all files were synced, and the snapshot which boot of the machine it is from: after another boot only batches
//! up to there count. One sync for many batches is enough that way.
//!
//! The snapshot is written anew as a whole (a new file, synced, renamed, and the folder synced) at start and when the log
//! has grown.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tracing::{info, warn};
use xxhash_rust::xxh3::xxh3_64;

/// A log that has grown beyond this begins anew with the next sync.
const GROWN: u64 = 8 << 20;

const VERSION: u32 = 1;

/// The digits of a checksum, and a space.
const HEAD: usize = 17;

/// By partition.
pub(super) type Positions = BTreeMap<String, u64>;
/// By path.
pub(super) type Lengths = BTreeMap<String, u64>;

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    /// The first one.
    Begin { version: u32, boot: String, fresh: bool, positions: Positions, files: Lengths },
    /// Before anything is added to these files.
    Open(Lengths),
    /// A batch is in the files.
    Written { positions: Positions, files: Lengths },
    /// So many batches since the first line would survive a power cut.
    Synced(u64),
}

/// The log of one sink, which nobody else has open.
#[derive(Debug)]
pub(super) struct Checkpoint {
    path: PathBuf,
    file: Arc<File>,
    bytes: u64,
    /// Where the path goes on.
    positions: Positions,
    /// Files that the log names, with their lengths.
    files: Lengths,
    /// Batches since the first line.
    written: u64,
    /// It is the first one of this sink: what was saved elsewhere held until now.
    fresh: bool,
}

/// What a log says.
#[derive(Debug, Default, PartialEq, Eq)]
struct State {
    positions: Positions,
    files: Lengths,
    /// Nothing was ever stored.
    fresh: bool,
}

impl Checkpoint {
    /// Opens the log, brings the files back to what it says, and begins it anew.
    ///
    /// Fails with [`ErrorKind::ResourceBusy`] when another process has it open.
    pub(super) fn open(path: &Path) -> io::Result<Checkpoint> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder)?;
        }
        let file = locked(path)?;
        let boot = boot();
        let nothing = State { fresh: true, ..State::default() };
        let state = read(&file, &boot)?.unwrap_or(nothing);
        for (file, len) in &state.files {
            cut_off(Path::new(file), *len)?;
        }
        let State { positions, fresh, .. } = state;
        let file = Arc::new(file);
        let mut checkpoint =
            Checkpoint { path: path.to_owned(), file, bytes: 0, positions, files: Lengths::new(), written: 0, fresh };
        checkpoint.begin_anew()?;
        Ok(checkpoint)
    }

    /// Where the path goes on. What was saved elsewhere counts as long as nothing was stored here, ever.
    pub(super) fn stored(&mut self, saved: Positions) -> io::Result<Positions> {
        if self.fresh {
            self.positions = saved.clone();
            self.fresh = false;
            self.begin_anew()?;
        }
        let known = saved.into_keys().map(|partition| (partition, 0));
        Ok(known.chain(self.positions.clone()).collect())
    }

    /// The length up to which a file is what the log says; `None` where it has to be told first.
    pub(super) fn length(&self, path: &str) -> Option<u64> {
        self.files.get(path).copied()
    }

    /// Something will be added to these files, which have these lengths. Durable when it returns.
    pub(super) fn opened(&mut self, files: Lengths) -> io::Result<()> {
        self.add(&Line::Open(files.clone()))?;
        self.file.sync_data()?;
        self.files.extend(files);
        Ok(())
    }

    /// A batch is in the files. With `synced`, it and all before it would survive a power cut when this returns.
    ///
    /// Where it fails nothing is stored, unless [`uncertain`](Written::Uncertain).
    pub(super) fn written(&mut self, positions: Positions, files: Lengths, synced: bool) -> Result<(), Unwritten> {
        let line = Line::Written { positions: positions.clone(), files: files.clone() };
        self.add(&line).map_err(Unwritten::Not)?;
        self.positions.extend(positions);
        self.files.extend(files);
        self.written += 1;
        self.fresh = false;
        if synced {
            let all = self.written;
            self.add(&Line::Synced(all)).and_then(|()| self.file.sync_data()).map_err(Unwritten::Uncertain)?;
        }
        Ok(())
    }

    /// Batches so far, to be told to [`synced`](Self::synced) once their files are.
    pub(super) fn batches(&self) -> u64 {
        self.written
    }

    /// The first batches would survive a power cut once the answer, which has to be synced, is. `open` are the files that
    /// may be added to.
    pub(super) fn synced(&mut self, batches: u64) -> io::Result<Arc<File>> {
        self.add(&Line::Synced(batches))?;
        Ok(self.file.clone())
    }

    /// Whether it is worth while to begin the log anew, which asks for all files to be synced.
    pub(super) fn is_grown(&self) -> bool {
        self.bytes > GROWN
    }

    /// Begins the log anew. All files are synced, and those that are not kept are closed.
    pub(super) fn compact(&mut self, keep: impl Fn(&str) -> bool) -> io::Result<()> {
        self.files.retain(|path, _| keep(path));
        self.begin_anew()
    }

    /// A new file with one line takes the place of the log.
    fn begin_anew(&mut self) -> io::Result<()> {
        let mut name = self.path.clone().into_os_string();
        name.push(".new");
        let new = PathBuf::from(name);
        let file = OpenOptions::new().create(true).truncate(true).write(true).read(true).open(&new)?;
        lock(&file)?;
        let line = Line::Begin {
            version: VERSION,
            boot: boot(),
            fresh: self.fresh,
            positions: self.positions.clone(),
            files: self.files.clone(),
        };
        let text = encode(&line)?;
        (&file).write_all(&text)?;
        file.sync_all()?;
        std::fs::rename(&new, &self.path)?;
        sync_folder(&self.path)?;
        (self.file, self.bytes, self.written) = (Arc::new(file), text.len() as u64, 0);
        Ok(())
    }

    /// Adds a line, or nothing.
    fn add(&mut self, line: &Line) -> io::Result<()> {
        let text = encode(line)?;
        if let Err(error) = (&*self.file).write_all(&text) {
            // A part of a line ends the log.
            self.file.set_len(self.bytes)?;
            (&*self.file).seek(SeekFrom::Start(self.bytes))?;
            return Err(error);
        }
        self.bytes += text.len() as u64;
        Ok(())
    }
}

/// Why a batch is not stored.
#[derive(Debug)]
pub(super) enum Unwritten {
    /// It is not.
    Not(io::Error),
    /// Perhaps it is.
    Uncertain(io::Error),
}

fn encode(line: &Line) -> io::Result<Vec<u8>> {
    let json = serde_json::to_vec(line)?;
    let mut text = format!("{:016x} ", xxh3_64(&json)).into_bytes();
    text.extend_from_slice(&json);
    text.push(b'\n');
    Ok(text)
}

/// `None` where the line is torn.
fn decode(line: &[u8]) -> Option<Line> {
    let json = line.strip_suffix(b"\n")?.get(HEAD..)?;
    let sum = std::str::from_utf8(&line[..HEAD - 1]).ok()?;
    (u64::from_str_radix(sum, 16).ok()? == xxh3_64(json)).then(|| serde_json::from_slice(json).ok())?
}

/// What the log says up to its last whole line; `None` where there is none.
fn read(mut file: &File, boot: &str) -> io::Result<Option<State>> {
    file.rewind()?;
    let (mut lines, mut reader, mut text) = (Vec::new(), BufReader::new(file.take(u64::MAX)), Vec::new());
    while reader.read_until(b'\n', &mut text)? > 0 {
        let Some(line) = decode(&text) else { break };
        lines.push(line);
        text.clear();
    }
    Ok(replay(lines, boot))
}

fn replay(lines: Vec<Line>, now: &str) -> Option<State> {
    let mut lines = lines.into_iter();
    let Line::Begin { version: VERSION, boot, fresh, positions, files } = lines.next()? else { return None };
    let rest: Vec<Line> = lines.collect();
    let synced = rest.iter().filter_map(|line| if let Line::Synced(batches) = line { Some(*batches) } else { None });
    let mut count = if boot == now { u64::MAX } else { synced.max().unwrap_or(0) };
    let mut state = State { positions, files, fresh };
    for line in rest {
        match line {
            Line::Open(files) => state.files.extend(files),
            Line::Written { positions, files } if count > 0 => {
                count -= 1;
                state.fresh = false;
                state.positions.extend(positions);
                state.files.extend(files);
            }
            Line::Written { .. } | Line::Synced(_) | Line::Begin { .. } => {}
        }
    }
    Some(state)
}

/// Cuts off what was added to a file and is not in the log.
fn cut_off(path: &Path, len: u64) -> io::Result<()> {
    let file = match OpenOptions::new().write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            info!(file = %path.display(), "is not there any more, and begun anew");
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() == len {
        return Ok(());
    }
    if metadata.len() < len {
        warn!(file = %path.display(), "is shorter than what was written: someone else cut it off");
        return Ok(());
    }
    info!(file = %path.display(), bytes = metadata.len() - len, "cut off what a kill left, which comes again");
    file.set_len(len)?;
    file.sync_all()
}

/// Opens the log and locks it, though it may be begun anew in between.
fn locked(path: &Path) -> io::Result<File> {
    loop {
        let file = OpenOptions::new().create(true).truncate(false).write(true).read(true).open(path)?;
        lock(&file)?;
        let (here, there) = (file.metadata()?, path.metadata());
        if there.is_ok_and(|there| (here.dev(), here.ino()) == (there.dev(), there.ino())) {
            return Ok(file);
        }
    }
}

fn lock(file: &File) -> io::Result<()> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => {
            Err(io::Error::new(ErrorKind::ResourceBusy, "another process or sink has its checkpoint"))
        }
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// A name that was given or taken survives a power cut from here on.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// Changes with each start of the machine. Where it can't be told, each start of the program counts as one.
fn boot() -> String {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    text.map(|text| text.trim().to_owned()).unwrap_or_else(|_| format!("unknown-{:x}", fastrand::u64(..)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn map(entries: &[(&str, u64)]) -> BTreeMap<String, u64> {
        entries.iter().map(|(name, number)| ((*name).to_owned(), *number)).collect()
    }

    fn begin(boot: &str) -> Line {
        let (positions, files) = (map(&[("a", 5)]), map(&[("f", 10)]));
        Line::Begin { version: VERSION, boot: boot.into(), fresh: false, positions, files }
    }

    fn written(position: u64, len: u64) -> Line {
        Line::Written { positions: map(&[("a", position)]), files: map(&[("f", len)]) }
    }

    #[test]
    fn after_a_kill_all_that_was_written_counts_and_after_a_power_cut_what_was_synced() {
        let lines =
            || vec![begin("boot"), written(6, 20), Line::Synced(1), Line::Open(map(&[("g", 3)])), written(7, 30)];
        let state = |position, len| {
            let files = map(&[("f", len), ("g", 3)]);
            Some(State { positions: map(&[("a", position)]), files, fresh: false })
        };
        assert_eq!(replay(lines(), "boot"), state(7, 30));
        assert_eq!(replay(lines(), "another"), state(6, 20));
        assert_eq!(replay(vec![begin("boot"), written(6, 20)], "another").unwrap().positions, map(&[("a", 5)]));
        assert_eq!(replay(vec![written(6, 20)], "boot"), None);
    }

    #[test]
    fn a_torn_line_ends_the_log() {
        let text = encode(&begin("boot")).unwrap();
        assert!(decode(&text).is_some());
        for end in 0..text.len() {
            assert!(decode(&text[..end]).is_none());
        }
        let mut wrong = text.clone();
        wrong[HEAD + 12] ^= 1;
        assert!(decode(&wrong).is_none());
    }

    #[test]
    fn files_are_brought_back_to_what_the_log_says() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let log = folder.path().join(".log");
        let mut checkpoint = Checkpoint::open(&log).unwrap();
        assert_eq!(checkpoint.stored(map(&[("a", 3)])).unwrap(), map(&[("a", 3)]), "nothing was ever stored");
        assert_eq!(Checkpoint::open(&log).unwrap_err().kind(), ErrorKind::ResourceBusy);
        checkpoint.opened(Lengths::from([(at("f"), 0), (at("new"), 0), (at("gone"), 0)])).unwrap();
        fs::write(at("f"), "one\ntwo\nthr").unwrap();
        fs::write(at("new"), "never").unwrap();
        fs::write(at("else"), "not mine").unwrap();
        checkpoint.written(map(&[("a", 8)]), Lengths::from([(at("f"), 8)]), false).unwrap();
        drop(checkpoint);
        let mut checkpoint = Checkpoint::open(&log).unwrap();
        assert_eq!(checkpoint.stored(map(&[("a", 99), ("b", 7)])).unwrap(), map(&[("a", 8), ("b", 0)]));
        let text = |name: &str| fs::read_to_string(at(name)).unwrap();
        assert_eq!([text("f"), text("new"), text("else")], ["one\ntwo\n", "", "not mine"]);
        assert_eq!(checkpoint.length(&at("f")), None);
    }

    #[test]
    fn a_log_that_begins_anew_says_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join(".log");
        let mut checkpoint = Checkpoint::open(&log).unwrap();
        checkpoint.opened(map(&[("/nowhere/f", 0), ("/nowhere/g", 5)])).unwrap();
        checkpoint.written(map(&[("a", 8)]), map(&[("/nowhere/f", 8)]), true).unwrap();
        checkpoint.compact(|path| path.ends_with('f')).unwrap();
        checkpoint.written(map(&[("b", 9)]), map(&[("/nowhere/f", 9)]), false).unwrap();
        assert!(log.metadata().unwrap().len() < 500);
        let state = read(&File::open(&log).unwrap(), &boot()).unwrap().unwrap();
        let (positions, files) = (map(&[("a", 8), ("b", 9)]), map(&[("/nowhere/f", 9)]));
        assert_eq!(state, State { positions, files, fresh: false });
    }
}
