//! Goes on at the ends of files: with what is added to them, with what takes their place, and with new ones.

mod names;
mod turn;
mod watch;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use rustix::process::{Resource, getrlimit};
use tracing::{info, warn};

use self::watch::Watcher;
use super::identity::{self, Inode};
use super::look::Found;
use super::packing::Unpacker;
use super::settings::{Settings, Watch};
use super::state::State;
use crate::batch::Partition;
use crate::source::Input;
use crate::source::framing::{self, Aside, Lines};
use crate::source::reader::{Hand, Stop};

/// How often everything is looked at where changes are heard, in case that one was not.
const SWEEP: Duration = Duration::from_secs(60);

/// How often to look after files that are gone, and whether anybody still wants to hear.
const TICK: Duration = Duration::from_secs(1);

/// A deleted file is let go when nothing was added to it for so many intervals of looking.
const QUIET: u32 = 5;

/// A file that begins like one that is known may be a copy of it: so long is waited for that one to be cut off.
const COPYING: Duration = Duration::from_secs(10);

/// The time of a file may be as much behind that of the clock.
const GRAIN: Duration = Duration::from_millis(20);

/// Where each assignment is saved, everything is that is known. So long is waited for others for each file, so that the
/// work grows with the files, and not with their square.
const GATHERING: Duration = Duration::from_micros(20);

/// So many problems are remembered as told.
const MOST_TOLD: usize = 1000;

/// What one thread does for all files of a source.
struct Follower<'a> {
    settings: &'a Settings,
    framing: &'a framing::Settings,
    hand: &'a Hand,
    state: &'a State,
    /// Where an earlier run got to.
    positions: BTreeMap<Partition, u64>,
    watcher: Watcher,
    files: HashMap<Inode, Followed>,
    /// Which file is at a path.
    names: HashMap<PathBuf, Inode>,
    /// Paths of which a name that globs match is a link to another one: events come under that.
    links: HashMap<PathBuf, PathBuf>,
    /// The same the other way round.
    reals: HashMap<PathBuf, PathBuf>,
    /// Files with something to read, each once.
    queue: VecDeque<Inode>,
    /// Open files, those that were opened first in front.
    open: VecDeque<Inode>,
    most_open: usize,
    /// Files that no path leads to, as far as can be seen.
    gone: BTreeSet<Inode>,
    /// Files of earlier runs that are nowhere to be seen.
    missing: BTreeSet<Inode>,
    lines: Lines,
    /// The file whose partition the lines are of.
    current: Option<Inode>,
    /// Paths at which something new was seen.
    fresh: BTreeSet<PathBuf>,
    /// When something was begun with last.
    assigned: Instant,
    /// Files that may be copies of one that is known, made before that is cut off: where, and since when they are known of.
    alike: HashMap<Inode, (PathBuf, Instant)>,
    /// Which file left a path last, until it was read to its end.
    left: HashMap<PathBuf, Inode>,
    /// Files that lost their last name.
    lost: BTreeSet<Inode>,
    /// When everything was heard last. What was made since and is nowhere to be heard of has come and gone unseen.
    heard: SystemTime,
    /// What was said of files and folders, so that it is said once.
    told: BTreeSet<String>,
    behind: u64,
}

/// A file that is followed.
struct Followed {
    inode: Inode,
    partition: Partition,
    /// All names by which it is known to be there.
    names: Vec<PathBuf>,
    /// Where it really is, or was last.
    home: PathBuf,
    /// Where reading goes on, while it is not the current one.
    aside: Aside,
    /// How much of the file itself was read.
    seen: u64,
    /// How much of it there is to read, and what of that was counted.
    left: u64,
    counted: u64,
    open: Option<Opened>,
    /// Whether it is in the queue.
    ready: bool,
    /// What was in its place before is read first.
    after: Option<Inode>,
    /// When something was last read of it, or it was seen to be gone.
    touched: Instant,
    /// What it holds can't be unpacked.
    damaged: bool,
}

struct Opened {
    file: Arc<File>,
    unpacker: Option<Box<Unpacker>>,
    /// It is too short yet to tell what it holds.
    unclear: bool,
}

/// Where following begins.
pub(super) struct Begin {
    /// Where an earlier run got to.
    pub(super) positions: BTreeMap<Partition, u64>,
    pub(super) found: Vec<Found>,
    /// Files of earlier runs that were not found.
    pub(super) missing: BTreeSet<Inode>,
    /// When somebody began to look for them.
    pub(super) looked: SystemTime,
}

/// Follows files until nobody wants to hear of them.
pub(super) fn follow(
    settings: &Settings,
    framing: &framing::Settings,
    hand: &Hand,
    state: &State,
    begin: Begin,
) -> Result<(), Stop> {
    let Begin { positions, found, missing, looked } = begin;
    let mut follower = Follower {
        settings,
        framing,
        hand,
        state,
        positions,
        watcher: Watcher::new(settings.watch == Watch::Auto, &settings.path),
        files: HashMap::new(),
        names: HashMap::new(),
        links: HashMap::new(),
        reals: HashMap::new(),
        queue: VecDeque::new(),
        open: VecDeque::new(),
        most_open: most_open(),
        gone: BTreeSet::new(),
        missing,
        lines: framing.framer(Partition::from(""), 0),
        current: None,
        fresh: BTreeSet::new(),
        assigned: Instant::now(),
        alike: HashMap::new(),
        left: HashMap::new(),
        lost: BTreeSet::new(),
        heard: looked,
        told: BTreeSet::new(),
        behind: 0,
    };
    follower.begin(found)?;
    follower.run()
}

/// A quarter of the files that the process may have open.
fn most_open() -> usize {
    getrlimit(Resource::Nofile).current.map_or(4096, |most| (most / 4).clamp(16, 4096) as usize)
}

impl Follower<'_> {
    fn begin(&mut self, found: Vec<Found>) -> Result<(), Stop> {
        let assigned = found.iter().map(|found| (found.partition.clone(), found.begin)).collect();
        self.hand.over(Input::Assigned(assigned))?;
        let moved: HashMap<PathBuf, Inode> = found
            .iter()
            .filter_map(|found| {
                found.was.as_ref().filter(|was| **was != found.path).map(|was| (was.clone(), found.inode))
            })
            .collect();
        for found in found {
            let after = moved.get(&found.path).copied();
            self.add(found, after);
        }
        // Nobody heard of what happened before the folders were watched.
        self.sweep(true)?;
        info!(
            files = self.files.len(),
            watched_folders = self.watcher.watched(),
            "following {}",
            self.settings.path.iter().collect::<Vec<_>>().join(", ")
        );
        Ok(())
    }

    fn run(mut self) -> Result<(), Stop> {
        let mut swept = Instant::now();
        let mut ticked = swept;
        loop {
            if self.hand.is_closed() {
                return Err(Stop::NotWanted);
            }
            let every = if self.watcher.is_blind() { self.settings.poll_interval } else { SWEEP };
            if self.queue.is_empty() {
                let most = every.saturating_sub(swept.elapsed()).min(TICK.saturating_sub(ticked.elapsed()));
                self.watcher.wait(if self.fresh.is_empty() { most } else { most.min(self.gathering()) });
            }
            let heard = self.watcher.hear();
            if heard.everything || swept.elapsed() >= every {
                let missed = heard.missed;
                self.look_at(heard);
                self.sweep(missed)?;
                swept = Instant::now();
            } else {
                self.look_at(heard);
                self.settle()?;
            }
            if ticked.elapsed() >= TICK.min(self.settings.poll_interval) {
                self.look_after_gone()?;
                if let Some(timeout) = self.framing.timeout() {
                    self.end_waiting(timeout)?;
                }
                ticked = Instant::now();
            }
            if let Some(inode) = self.queue.pop_front() {
                self.turn(inode)?;
            }
        }
    }

    /// Enters a file that is read from now on.
    fn add(&mut self, found: Found, after: Option<Inode>) {
        let Found { path, inode, partition, begin, size, .. } = found;
        self.names.insert(path.clone(), inode);
        self.missing.remove(&inode);
        let followed = Followed {
            inode,
            partition,
            names: vec![path.clone()],
            home: path,
            aside: Aside::at(begin),
            seen: begin,
            left: size.saturating_sub(begin),
            counted: 0,
            open: None,
            ready: false,
            after: after.filter(|before| *before != inode),
            touched: Instant::now(),
            damaged: false,
        };
        self.files.insert(inode, followed);
        self.account(inode);
        self.make_ready(inode);
    }

    /// How long others are waited for before new files are begun with.
    fn gathering(&self) -> Duration {
        (GATHERING * self.files.len() as u32).min(TICK).saturating_sub(self.assigned.elapsed())
    }

    /// There may be something to read.
    fn make_ready(&mut self, inode: Inode) {
        if let Some(file) = self.files.get_mut(&inode).filter(|file| !file.ready && !file.damaged) {
            file.ready = true;
            self.queue.push_back(inode);
        }
    }

    /// Looks after files that no path leads to: they are let go when nobody writes to them any more, and forgotten.
    fn look_after_gone(&mut self) -> Result<(), Stop> {
        let now = identity::now();
        for inode in self.gone.clone() {
            let Some(file) = self.files.get_mut(&inode) else { continue };
            let quiet = file.touched.elapsed() >= QUIET * self.settings.poll_interval;
            let metadata = file.open.as_ref().map(|open| open.file.metadata());
            match metadata {
                _ if file.ready => {}
                Some(Ok(metadata)) if metadata.len() != file.seen => self.make_ready(inode),
                Some(Ok(_)) if !quiet => {}
                Some(Ok(metadata)) => match metadata.nlink() {
                    0 => self.finish(inode)?,
                    // It was moved to where nobody looks, and may come back.
                    _ => self.close(inode),
                },
                Some(Err(_)) => self.close(inode),
                None => {
                    if self.state.table().is_gone_for_good(inode, now) {
                        self.let_go(inode);
                    }
                }
            }
        }
        self.fresh.extend(self.alike.values().map(|(path, _)| path.clone()));
        self.settle()?;
        self.alike.retain(|_, (_, since)| since.elapsed() < 2 * COPYING);
        self.left.retain(|_, inode| self.files.get(inode).is_some_and(|file| file.ready));
        let long_gone: Vec<(Inode, Partition)> = {
            let mut table = self.state.table();
            let gone = self.missing.iter().filter(|inode| table.is_gone_for_good(**inode, now)).copied();
            let gone: Vec<Inode> = gone.collect();
            table
                .files()
                .filter(|(inode, _)| gone.contains(inode))
                .map(|(inode, known)| (inode, Partition::from(known.partition.as_str())))
                .collect()
        };
        for (inode, partition) in long_gone {
            self.missing.remove(&inode);
            self.state.forget(partition, inode);
        }
        Ok(())
    }

    /// Says something once.
    fn tell(&mut self, what: String) {
        if self.told.len() > MOST_TOLD {
            self.told.clear();
        }
        if self.told.insert(what.clone()) {
            warn!("{what}");
        }
    }

    fn trouble(&mut self, path: &Path, error: &io::Error) {
        self.tell(format!("{} can't be read: {error}; it is tried again", path.display()));
    }
}

impl Followed {
    /// A name of it.
    fn path(&self) -> &Path {
        self.names.first().unwrap_or(&self.home)
    }
}

#[cfg(test)]
mod tests;
