//! Reading: a file's turn, until its end or for a few blocks, so that no file keeps others waiting.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use tracing::{debug, error, info, warn};

use super::{Followed, Follower, Opened};
use crate::batch::Partition;
use crate::source::file::copy::{self, Copied};
use crate::source::file::identity::{Inode, Known, Look};
use crate::source::file::look::Found;
use crate::source::file::packing::{Packing, Unpacked};
use crate::source::framing::Aside;
use crate::source::reader::Stop;
use crate::source::{Input, SourceError};

/// Blocks that are read of a file in one turn.
const BLOCKS: usize = 4;

/// Pieces of a compressed file that are passed over in one turn.
const PIECES: usize = 64;

/// Compressed files whose state is kept. One that is left behind is unpacked again from its beginning.
const UNPACKERS: usize = 4;

/// No more files than that are looked at to find out whether they wait for each other.
const MOST_WAITING: usize = 64;

/// Why a turn ended early.
pub(super) enum Trouble {
    Stop(Stop),
    File(io::Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Trouble {
        Trouble::File(error)
    }
}

impl From<Stop> for Trouble {
    fn from(stop: Stop) -> Trouble {
        Trouble::Stop(stop)
    }
}

impl From<SourceError> for Trouble {
    fn from(error: SourceError) -> Trouble {
        Trouble::Stop(Stop::Failed(error))
    }
}

/// What became of a file while it was read.
enum Change {
    /// Nothing but that it may have grown.
    None,
    /// It was written anew, after what was read now.
    After,
    /// It was written anew, and what was read now is of that already.
    Before,
}

/// How a turn ended.
enum Turn {
    /// There is more to read.
    More,
    /// The end was reached.
    End,
    /// It is not where it was.
    Moved,
    /// It was written anew.
    Replaced,
}

/// Whether a file is open.
enum Access {
    Open,
    /// It is too short to tell what it holds.
    Unclear,
    /// No path leads to it.
    Moved,
}

impl Follower<'_> {
    /// Reads some of a file that was taken from the queue.
    pub(super) fn turn(&mut self, inode: Inode) -> Result<(), Stop> {
        if !self.files.contains_key(&inode) {
            return Ok(());
        }
        if self.has_to_wait(inode) {
            self.queue.push_back(inode);
            return Ok(());
        }
        let turn = self.read(inode);
        if let Some(file) = self.files.get_mut(&inode) {
            file.after = None;
            file.ready = false;
        }
        self.account(inode);
        match turn {
            Ok(Turn::More) => self.make_ready(inode),
            Ok(Turn::End) => {}
            Ok(Turn::Moved) => self.is_lost(inode)?,
            Ok(Turn::Replaced) => self.replace(inode)?,
            Err(Trouble::Stop(stop)) => return Err(stop),
            Err(Trouble::File(error)) => self.failed(inode, &error)?,
        }
        Ok(())
    }

    /// Whether what was in a file's place before has something to be read.
    fn has_to_wait(&self, inode: Inode) -> bool {
        let before = |inode: Inode| {
            let before = self.files.get(&inode)?.after?;
            self.files.get(&before).is_some_and(|before| before.ready).then_some(before)
        };
        // Files that changed places would wait for each other: any of them may begin.
        let mut all = std::iter::successors(before(inode), |inode| before(*inode)).take(MOST_WAITING);
        before(inode).is_some() && !all.any(|before| before == inode)
    }

    fn read(&mut self, inode: Inode) -> Result<Turn, Trouble> {
        match self.open(inode)? {
            Access::Open => {}
            Access::Unclear => {
                let known = self.state.table().known(inode);
                let seen = self.files.get(&inode).map_or(0, |file| file.seen);
                // More was there before, even if nobody read it.
                let cut_off = known.is_some_and(|known| known.head as u64 > seen);
                return Ok(if cut_off { Turn::Replaced } else { Turn::End });
            }
            Access::Moved => return Ok(Turn::Moved),
        }
        self.enter(inode)?;
        if !self.forward(inode)? {
            return Ok(Turn::More);
        }
        for _ in 0..BLOCKS {
            let Some(opened) = self.files.get_mut(&inode).and_then(|file| file.open.as_mut()) else { break };
            let at = self.lines.next_byte();
            let mut buffer = self.lines.buffer();
            let held = buffer.len();
            let end = opened.fill(at, &mut buffer)?;
            let change = self.check(inode, at, &buffer[held..])?;
            if let Change::Before = change {
                return Ok(Turn::Replaced);
            }
            self.hand_over(buffer, false)?;
            match change {
                Change::None if end => return Ok(Turn::End),
                Change::None => {}
                Change::After | Change::Before => return Ok(Turn::Replaced),
            }
        }
        Ok(Turn::More)
    }

    fn hand_over(&mut self, buffer: Vec<u8>, ended: bool) -> Result<(), Trouble> {
        let blocks = if ended { self.lines.finish(buffer) } else { self.lines.frame(buffer) }?;
        Ok(self.hand.over_blocks(blocks)?)
    }

    /// Opens a file by one of its names, unless it is open.
    fn open(&mut self, inode: Inode) -> io::Result<Access> {
        let Some(file) = self.files.get_mut(&inode) else { return Ok(Access::Moved) };
        let (path, opened) = match file.open.take_if(|open| open.unclear) {
            Some(open) => (file.path().to_owned(), open.file),
            None if file.open.is_some() => return Ok(Access::Open),
            None => match file.find()? {
                Some((path, opened)) => (path, Arc::new(opened)),
                None => return Ok(Access::Moved),
            },
        };
        self.open.retain(|open| *open != inode);
        let packing = Packing::look(&path, &opened, self.settings.compression)?;
        let unclear = packing == Packing::Unclear;
        if unclear {
            file.seen = opened.metadata()?.len();
            file.left = file.seen;
        }
        let unpacker = packing.unpacker(opened.clone(), false)?.map(Box::new);
        let packed = unpacker.is_some();
        file.open = Some(Opened { file: opened, unpacker, unclear });
        self.close_others(packed);
        self.open.push_back(inode);
        Ok(if unclear { Access::Unclear } else { Access::Open })
    }

    /// Closes files until there is room for another one: those that were opened first. What is gone stays open, because
    /// nobody could open it again.
    fn close_others(&mut self, packed: bool) {
        let mut unpackers = 0;
        if packed {
            let is_packed = |inode: &&Inode| {
                self.files.get(inode).and_then(|file| file.open.as_ref()).is_some_and(|open| open.unpacker.is_some())
            };
            unpackers = self.open.iter().filter(is_packed).count();
        }
        for _ in 0..self.open.len() {
            let too_many = self.open.len() >= self.most_open;
            if !too_many && unpackers < UNPACKERS {
                break;
            }
            let Some(first) = self.open.pop_front() else { break };
            let open = self.files.get(&first).and_then(|file| file.open.as_ref());
            let is_packed = open.is_some_and(|open| open.unpacker.is_some());
            if self.gone.contains(&first) || !(too_many || is_packed) {
                self.open.push_back(first);
                continue;
            }
            unpackers -= usize::from(packed && is_packed);
            self.close(first);
        }
    }

    /// Closes a file. Reading goes on in it where it is, once it was opened again.
    pub(super) fn close(&mut self, inode: Inode) {
        if self.current == Some(inode) {
            self.leave();
        }
        self.open.retain(|open| *open != inode);
        if let Some(file) = self.files.get_mut(&inode) {
            file.open = None;
        }
    }

    /// Goes on in the partition of an open file.
    fn enter(&mut self, inode: Inode) -> io::Result<()> {
        if self.current == Some(inode) {
            return Ok(());
        }
        self.leave();
        let Some(file) = self.files.get_mut(&inode) else { return Ok(()) };
        if let (Some(open), Some((start, kept))) = (&file.open, file.aside.passed_over())
            && kept.is_empty()
        {
            kept.resize(self.framing.max_event_bytes as usize, 0);
            let read = open.file.read_at(kept, start)?;
            kept.truncate(read);
        }
        self.lines.enter(file.partition.clone(), std::mem::take(&mut file.aside));
        self.current = Some(inode);
        Ok(())
    }

    /// Leaves the current partition. Of a plain file nothing is kept that can be read again: there may be very many.
    fn leave(&mut self) {
        let Some(inode) = self.current.take() else { return };
        let Some(file) = self.files.get_mut(&inode) else { return drop(self.lines.leave(false)) };
        let packed = file.open.as_ref().is_some_and(|open| open.unpacker.is_some());
        file.aside = self.lines.leave(packed);
        if let Some((_, kept)) = file.aside.passed_over().filter(|_| !packed) {
            *kept = Vec::new();
        }
    }

    /// Unpacks a compressed file up to where reading goes on. Whether that was reached.
    fn forward(&mut self, inode: Inode) -> io::Result<bool> {
        let Some(file) = self.files.get_mut(&inode) else { return Ok(true) };
        let Some(Opened { unpacker: Some(unpacker), .. }) = &mut file.open else { return Ok(true) };
        let mut scratch = Vec::new();
        for _ in 0..PIECES {
            match unpacker.forward(self.lines.next_byte(), &mut scratch)? {
                Some(Unpacked::Bytes(_)) => {}
                // There is less in it than was read of it: that comes to light when it is read.
                None | Some(Unpacked::End) => return Ok(true),
            }
        }
        Ok(false)
    }

    /// Looks whether a file is still the one that it was when this was read at `at`.
    fn check(&mut self, inode: Inode, at: u64, read: &[u8]) -> io::Result<Change> {
        let Some(file) = self.files.get_mut(&inode) else { return Ok(Change::None) };
        let Some(open) = &file.open else { return Ok(Change::None) };
        let metadata = open.file.metadata()?;
        let end = open.unpacker.as_ref().map_or(at + read.len() as u64, |unpacker| unpacker.packed());
        (file.seen, file.left) = (end, metadata.len().saturating_sub(end));
        if !read.is_empty() {
            file.touched = Instant::now();
        }
        if at == 0 && open.unpacker.is_none() {
            // By now something else may be at its beginning.
            self.state.table().begins_with(inode, read);
        }
        let shorter = metadata.len() < end;
        if !shorter && self.state.table().is_still(&file.home, &open.file, &metadata)? {
            return Ok(Change::None);
        }
        if open.unpacker.is_some() {
            return Ok(Change::After);
        }
        // Files only grow from their beginnings: if this was read of the new one, it is still there.
        let mut now = vec![0; read.len()];
        let there = open.file.read_at(&mut now, at)?;
        Ok(if now[..there] == *read { Change::Before } else { Change::After })
    }

    /// The number of bytes that are there to be read, after a turn.
    pub(super) fn account(&mut self, inode: Inode) {
        if let Some(file) = self.files.get_mut(&inode) {
            self.behind = self.behind + file.left - file.counted;
            file.counted = file.left;
            self.state.set_behind(self.behind);
        }
    }

    /// What was read of a file is gone, and something else is in its place: another partition.
    fn replace(&mut self, inode: Inode) -> Result<(), Stop> {
        if self.current == Some(inode) {
            self.leave();
        }
        let Some(file) = self.files.get_mut(&inode) else { return Ok(()) };
        let (end, known) = (file.aside.position(), self.state.table().known(inode));
        let replaced = file.open.as_ref().map_or(Err(io::ErrorKind::NotFound.into()), |open| {
            let look = Look {
                path: file.names.first().unwrap_or(&file.home),
                file: &open.file,
                metadata: &open.file.metadata()?,
                compression: self.settings.compression,
                positions: &self.positions,
            };
            self.state.table().replace(&look)
        });
        let partition = match replaced {
            Ok(partition) => partition,
            Err(error) => return self.failed(inode, &error),
        };
        info!(
            was = file.partition.as_str(),
            read_to = end,
            partition = partition.as_str(),
            "{} was cut off and is written anew",
            file.path().display()
        );
        let before = std::mem::replace(&mut file.partition, partition.clone());
        (file.aside, file.seen, file.damaged) = (Aside::at(0), 0, false);
        let home = file.home.clone();
        self.close(inode);
        self.go_on_in_copy(inode, known, before, &home, end);
        self.hand.over(Input::Assigned(vec![(partition, 0)]))?;
        self.make_ready(inode);
        Ok(())
    }

    /// A partition goes on in a copy of what its file held before it was cut off, if there is one: what was not read yet
    /// is there. Else it has come to its end.
    fn go_on_in_copy(&mut self, inode: Inode, known: Option<Known>, partition: Partition, home: &Path, end: u64) {
        let is_other = |other: Inode| other == inode || self.files.contains_key(&other);
        let copied = known.and_then(|known| copy::find(&known, home, end, is_other).map(|copied| (known, copied)));
        let Some((known, Copied { path, inode: copy, size })) = copied else {
            return self.state.end(partition, inode, end);
        };
        let Ok(metadata) = std::fs::metadata(&path) else { return self.state.end(partition, inode, end) };
        info!(partition = partition.as_str(), "it goes on in its copy {}", path.display());
        self.state.table().moved_into(known, copy, &metadata, &path);
        self.fresh.remove(&path);
        self.alike.remove(&copy);
        self.add(Found { path, inode: copy, partition, begin: end, size, was: None }, None);
        if let Some(file) = self.files.get_mut(&inode) {
            file.after = Some(copy);
        }
    }

    /// A file can't be read on.
    fn failed(&mut self, inode: Inode, error: &io::Error) -> Result<(), Stop> {
        if self.current == Some(inode) {
            self.current = None;
            let position = self.lines.leave(false).position();
            if let Some(file) = self.files.get_mut(&inode) {
                file.aside = Aside::at(position);
            }
        }
        let Some(file) = self.files.get_mut(&inode) else { return Ok(()) };
        let (path, packed) = (file.path().to_owned(), file.open.as_ref().is_some_and(|open| open.unpacker.is_some()));
        if !packed || error.raw_os_error().is_some() {
            self.close(inode);
            self.trouble(&path, error);
            return Ok(());
        }
        if !matches!(self.check(inode, 0, &[]), Ok(Change::None)) {
            return self.replace(inode);
        }
        if let Some(file) = self.files.get_mut(&inode) {
            error!(
                partition = file.partition.as_str(),
                position = file.aside.position(),
                "{} is damaged ({error}): what comes before was read, and nothing more is",
                path.display()
            );
            file.damaged = true;
        }
        self.close(inode);
        Ok(())
    }

    /// No name leads to a file any more.
    fn is_lost(&mut self, inode: Inode) -> Result<(), Stop> {
        if let Some(file) = self.files.get_mut(&inode) {
            for name in std::mem::take(&mut file.names) {
                self.names.remove(&name);
            }
            if !self.gone.contains(&inode) {
                self.lost.insert(inode);
            }
        }
        self.settle()
    }

    /// Nothing is added to a file any more. Its last line is one even if no newline ends it.
    pub(super) fn finish(&mut self, inode: Inode) -> Result<(), Stop> {
        match self.read_last(inode) {
            Ok(()) => {}
            Err(Trouble::Stop(stop)) => return Err(stop),
            Err(Trouble::File(error)) => {
                warn!(file = %inode_path(self, inode), "its last line can't be read: {error}")
            }
        }
        self.let_go(inode);
        Ok(())
    }

    /// A file is not followed any more.
    pub(super) fn let_go(&mut self, inode: Inode) {
        self.close(inode);
        self.gone.remove(&inode);
        self.lost.remove(&inode);
        let Some(file) = self.files.remove(&inode) else { return };
        self.behind -= file.counted;
        self.state.set_behind(self.behind);
        self.names.retain(|_, known| *known != inode);
        debug!(partition = file.partition.as_str(), position = file.aside.position(), "gone, and read to its end");
        self.state.end(file.partition, inode, file.aside.position());
    }

    /// Ends events to which nothing was added for so long.
    pub(super) fn end_waiting(&mut self, timeout: Duration) -> Result<(), Stop> {
        let current = self.current.map(|inode| (inode, self.lines.position()));
        let waits = |file: &&Followed| {
            let position = current.filter(|(inode, _)| *inode == file.inode);
            let position = position.map_or_else(|| file.aside.position(), |(_, position)| position);
            !file.ready && !file.damaged && file.touched.elapsed() >= timeout && position < file.seen
        };
        let waiting: Vec<Inode> = self.files.values().filter(waits).map(|file| file.inode).collect();
        for inode in waiting {
            match self.read(inode) {
                Ok(Turn::End) if self.current == Some(inode) && self.lines.holds_whole_lines() => {
                    let buffer = self.lines.buffer();
                    match self.hand_over(buffer, true) {
                        Err(Trouble::Stop(stop)) => return Err(stop),
                        Err(Trouble::File(_)) | Ok(()) => {}
                    }
                }
                Ok(Turn::End) => {}
                Err(Trouble::Stop(stop)) => return Err(stop),
                // Whatever else there is comes to light in its turn.
                Ok(_) | Err(Trouble::File(_)) => self.make_ready(inode),
            }
            self.account(inode);
        }
        Ok(())
    }

    fn read_last(&mut self, inode: Inode) -> Result<(), Trouble> {
        if let Some(open) = self.files.get_mut(&inode).and_then(|file| file.open.as_mut()) {
            // As short as it is, it holds what it holds.
            open.unclear = false;
        }
        while let Turn::More = self.read(inode)? {}
        if self.current == Some(inode) {
            let buffer = self.lines.buffer();
            self.hand_over(buffer, true)?;
        }
        Ok(())
    }
}

fn inode_path(follower: &Follower, inode: Inode) -> String {
    follower.files.get(&inode).map(|file| file.path().display().to_string()).unwrap_or_default()
}

impl Followed {
    /// Opens it where it is. `None` where no path leads to it.
    fn find(&self) -> io::Result<Option<(PathBuf, File)>> {
        for path in self.names.iter().chain([&self.home]) {
            let file = match File::open(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                file => file?,
            };
            if Inode::from(&file.metadata()?) == self.inode {
                return Ok(Some((path.clone(), file)));
            }
        }
        Ok(None)
    }
}

impl Opened {
    /// Reads into the spare capacity of a buffer. Whether that was the end, for now.
    fn fill(&mut self, at: u64, buffer: &mut Vec<u8>) -> io::Result<bool> {
        if let Some(unpacker) = &mut self.unpacker {
            return Ok(unpacker.read(buffer)? == Unpacked::End);
        }
        let room = buffer.capacity() - buffer.len();
        loop {
            match rustix::io::pread(&self.file, spare_capacity(buffer), at) {
                Err(rustix::io::Errno::INTR) => {}
                read => return Ok(read? < room),
            }
        }
    }
}
