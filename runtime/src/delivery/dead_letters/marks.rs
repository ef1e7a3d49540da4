//! Which lines of a segment are done: ranges of its bytes, appended to a file beside it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use super::directory::{ReplayLock, Segment};
use super::medium::{Disk, Log, Medium};

/// Ranges of bytes, neither overlapping nor touching.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    /// The end of the range in which a byte lies.
    pub(super) fn end_at(&self, byte: u64) -> Option<u64> {
        self.0.range(..=byte).next_back().map(|(_, end)| *end).filter(|end| *end > byte)
    }

    pub(super) fn add(&mut self, range: Range<u64>) {
        let Range { mut start, mut end } = range;
        while let Some((from, to)) = self.0.range(..=end).next_back().map(|(from, to)| (*from, *to))
            && to >= start
        {
            self.0.remove(&from);
            (start, end) = (start.min(from), end.max(to));
        }
        self.0.insert(start, end);
    }
}

/// Reads marks. Lines that a kill or a power cut tore are no marks. No file, no marks.
pub(super) fn read(path: &Path) -> io::Result<Ranges> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Ranges::default()),
        Err(error) => return Err(error),
    };
    let mut ranges = Ranges::default();
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        match std::str::from_utf8(line).ok().and_then(parse) {
            Some(range) => ranges.add(range),
            None => {
                tracing::warn!(file = %path.display(), "passed over a torn mark: its dead letters count as not done")
            }
        }
    }
    Ok(ranges)
}

/// `START END CHECK`: the bytes that are done, and eight digits of a hash of both numbers.
fn print(range: &Range<u64>) -> String {
    let numbers = format!("{} {}", range.start, range.end);
    format!("{numbers} {:08x}\n", check(&numbers))
}

fn parse(line: &str) -> Option<Range<u64>> {
    let (numbers, sum) = line.strip_suffix('\n')?.rsplit_once(' ')?;
    let (start, end) = numbers.split_once(' ')?;
    let range = start.parse().ok()?..end.parse().ok()?;
    (u32::from_str_radix(sum, 16).ok()? == check(numbers) && range.start < range.end).then_some(range)
}

fn check(numbers: &str) -> u32 {
    xxh3_64(numbers.as_bytes()) as u32
}

/// Marks lines of a directory's segments as done. There is one at a time.
#[derive(Debug)]
pub struct Marks {
    directory: PathBuf,
    medium: Arc<dyn Medium>,
    open: BTreeMap<u64, Box<dyn Log>>,
}

impl Marks {
    /// Of a directory whose lock is held.
    pub fn open(directory: &Path, _lock: &ReplayLock) -> Marks {
        Marks { directory: directory.to_owned(), medium: Arc::new(Disk), open: BTreeMap::new() }
    }

    /// Marks lines by the number of their segment and their bytes, newline included. Returns once that is durable.
    pub fn mark(&mut self, lines: &[(u64, Range<u64>)]) -> io::Result<()> {
        let mut by_segment: BTreeMap<u64, Ranges> = BTreeMap::new();
        for (number, range) in lines {
            by_segment.entry(*number).or_default().add(range.clone());
        }
        for (number, Ranges(ranges)) in by_segment {
            let text: String = ranges.into_iter().map(|(start, end)| print(&(start..end))).collect();
            // Dropped where it fails: it is opened again and what is torn cut off.
            let mut log = match self.open.remove(&number) {
                Some(log) => log,
                None => self.medium.open(&Segment::new(&self.directory, number).marks())?,
            };
            log.append_all(text.as_bytes()).and_then(|()| log.sync())?;
            self.open.insert(number, log);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::dead_letters::segments::faults::{Fault, Faulty};
    use proptest::prelude::*;

    fn ranges(ranges: &[(u64, u64)]) -> Ranges {
        Ranges(ranges.iter().copied().collect())
    }

    proptest! {
        #[test]
        fn ranges_hold_what_was_added_and_nothing_else(added in prop::collection::vec((0u64..60, 1u64..9), 0..12)) {
            let mut ranges = Ranges::default();
            added.iter().for_each(|(start, len)| ranges.add(*start..start + len));
            for byte in 0..80 {
                let there = added.iter().any(|(start, len)| (*start..start + len).contains(&byte));
                prop_assert_eq!(ranges.end_at(byte).is_some(), there);
            }
            let flat: Vec<u64> = ranges.0.iter().flat_map(|(start, end)| [*start, *end]).collect();
            prop_assert!(flat.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", ranges);
        }
    }

    #[test]
    fn marks_are_read_again_up_to_what_is_torn() {
        let folder = tempfile::tempdir().unwrap();
        let lock = ReplayLock::take(folder.path()).unwrap();
        let path = Segment::new(folder.path(), 3).marks();
        Marks::open(folder.path(), &lock).mark(&[(3, 10..20), (3, 40..44), (3, 20..30)]).unwrap();
        let whole = fs::read(&path).unwrap();
        assert_eq!(whole.iter().filter(|byte| **byte == b'\n').count(), 2, "neighbours are one mark");
        for len in 0..whole.len() {
            fs::write(&path, &whole[..len]).unwrap();
            let first = whole.iter().position(|byte| *byte == b'\n').unwrap();
            assert_eq!(read(&path).unwrap(), if len > first { ranges(&[(10, 30)]) } else { ranges(&[]) });
            // What is added behind a torn mark is not mixed up with it.
            Marks::open(folder.path(), &lock).mark(&[(3, 90..99)]).unwrap();
            assert_eq!(read(&path).unwrap().end_at(95), Some(99));
            assert_eq!(read(&path).unwrap().end_at(15).is_some(), len > first);
        }
        fs::write(&path, "0 1000000 00000000\n").unwrap();
        assert_eq!(read(&path).unwrap(), ranges(&[]), "a mark that does not check out");
    }

    #[test]
    fn a_mark_that_fails_is_no_mark_and_spoils_no_later_one() {
        let folder = tempfile::tempdir().unwrap();
        let lock = ReplayLock::take(folder.path()).unwrap();
        for fault in [Fault::Short(3, ErrorKind::StorageFull), Fault::Append(libc::EIO)] {
            let medium = Faulty::new([fault]);
            let mut marks = Marks { medium, ..Marks::open(folder.path(), &lock) };
            marks.mark(&[(1, 0..10)]).unwrap_err();
            marks.mark(&[(1, 10..20)]).unwrap();
            assert_eq!(read(&Segment::new(folder.path(), 1).marks()).unwrap(), ranges(&[(10, 20)]));
        }
    }
}
