//! Reads dead letters again, oldest first.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, ErrorKind};
use std::ops::Range;
use std::path::Path;

use super::directory::Segment;
use super::filter::Filter;
use super::letter::Letter;
use super::marks::Ranges;

/// So many letters are found at a time, at most.
const LETTERS: usize = 1000;
/// Or so many bytes of them, unless one alone has more.
const BYTES: u64 = 1 << 20;

/// What was there at one moment. What is added to a directory later is not in it.
#[derive(Clone, Debug)]
pub struct Snapshot {
    segments: Vec<(Segment, u64)>,
}

impl Snapshot {
    /// Of a directory; of nothing, if there is none.
    pub fn take(directory: &Path) -> io::Result<Snapshot> {
        let mut segments = Vec::new();
        for segment in Segment::all(directory)? {
            match fs::metadata(segment.path()) {
                Ok(metadata) => segments.push((segment, metadata.len())),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Snapshot { segments })
    }
}

/// A dead letter, and where it lies.
#[derive(Clone, Debug)]
pub struct Found {
    /// The number of its segment.
    pub segment: u64,
    /// Its line, newline included.
    pub bytes: Range<u64>,
    /// Whether it was sent again.
    pub done: bool,
    /// What the line says.
    pub letter: Letter,
}

/// Dead letters that a filter selects, as they are read.
#[derive(Debug)]
pub struct Scan {
    rest: VecDeque<(Segment, u64)>,
    open: Option<Open>,
    filter: Filter,
    with_done: bool,
    quiet: bool,
    /// Letters on which the condition of the filter failed.
    pub unevaluated: u64,
    /// Lines that can't be read.
    pub unreadable: u64,
}

#[derive(Debug)]
struct Open {
    segment: Segment,
    lines: Lines,
    done: Ranges,
}

impl Scan {
    /// What a filter selects; `with_done`: of what was sent again, too.
    pub fn new(snapshot: &Snapshot, filter: Filter, with_done: bool) -> Scan {
        let rest = snapshot.segments.clone().into();
        Scan { rest, open: None, filter, with_done, quiet: false, unevaluated: 0, unreadable: 0 }
    }

    /// The same for who reads what was read before: what can't be read was told then.
    pub fn again(snapshot: &Snapshot, filter: Filter, with_done: bool) -> Scan {
        Scan { quiet: true, ..Scan::new(snapshot, filter, with_done) }
    }

    /// The next letters, of one segment; none at the end. Blocks.
    ///
    /// What can't be read, because it is torn or was changed, is told as a warning and passed over.
    pub fn read(&mut self) -> io::Result<Vec<Found>> {
        loop {
            let Some(mut open) = self.open.take() else {
                match self.rest.pop_front() {
                    Some((segment, len)) => self.open = Open::new(segment, len)?,
                    None => return Ok(Vec::new()),
                }
                continue;
            };
            let found = open.read(self.with_done, self.quiet, &mut self.unreadable)?;
            if found.is_empty() {
                if !self.quiet {
                    open.tell_torn()?;
                }
                continue;
            }
            self.open = Some(open);
            let found = self.filter.select(found, &mut self.unevaluated).map_err(io::Error::other)?;
            if !found.is_empty() {
                return Ok(found);
            }
        }
    }
}

impl Open {
    /// `None` where it was removed meanwhile.
    fn new(segment: Segment, len: u64) -> io::Result<Option<Open>> {
        let file = match File::open(segment.path()) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let (lines, done) = (Lines::new(BufReader::with_capacity(256 << 10, file), len), segment.done()?);
        Ok(Some(Open { segment, lines, done }))
    }

    /// Some letters, at least one unless there are no more.
    fn read(&mut self, with_done: bool, quiet: bool, unreadable: &mut u64) -> io::Result<Vec<Found>> {
        let (mut found, mut line, mut size) = (Vec::new(), Vec::new(), 0);
        while found.len() < LETTERS && size < BYTES {
            let Some(bytes) = self.lines.next(&mut line, (!with_done).then_some(&self.done))? else { break };
            match Letter::parse(line.strip_suffix(b"\n").unwrap_or(&line)) {
                Ok(letter) => {
                    size += bytes.end - bytes.start;
                    let (segment, done) = (self.segment.number, self.done.end_at(bytes.start).is_some());
                    found.push(Found { segment, bytes, done, letter });
                }
                Err(error) => {
                    *unreadable += 1;
                    if quiet {
                        continue;
                    }
                    let file = self.segment.path();
                    tracing::warn!(file = %file.display(), byte = bytes.start, "passed over a line that is no dead letter: {error}");
                }
            }
        }
        Ok(found)
    }

    /// A line without its end was not acknowledged. While somebody writes, it is only not there yet.
    fn tell_torn(&self) -> io::Result<()> {
        let torn = self.lines.torn;
        if torn > 0 && !self.segment.is_owned()? {
            let file = self.segment.path();
            tracing::warn!(file = %file.display(), bytes = torn, "passed over a torn line at the end: its event was not acknowledged and came again");
        }
        Ok(())
    }
}

/// The whole lines of a file, up to a length.
#[derive(Debug)]
pub(super) struct Lines {
    reader: BufReader<File>,
    at: u64,
    len: u64,
    /// Bytes behind the last newline, once the end is reached.
    torn: u64,
}

impl Lines {
    pub(super) fn new(reader: BufReader<File>, len: u64) -> Lines {
        Lines { reader, at: 0, len, torn: 0 }
    }

    /// The bytes of the next line that does not begin in `done`, which is put in place of `line`.
    pub(super) fn next(&mut self, line: &mut Vec<u8>, done: Option<&Ranges>) -> io::Result<Option<Range<u64>>> {
        if let Some(end) = done.and_then(|done| done.end_at(self.at)) {
            self.reader.seek_relative((end - self.at) as i64)?;
            self.at = end;
        }
        line.clear();
        if self.at >= self.len {
            return Ok(None);
        }
        let read = self.reader.read_until(b'\n', line)? as u64;
        let bytes = self.at..self.at + read;
        if !line.ends_with(b"\n") || bytes.end > self.len {
            (self.torn, self.at) = (self.len - bytes.start, self.len);
            return Ok(None);
        }
        self.at = bytes.end;
        Ok(Some(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::{Marks, ReplayLock};
    use std::path::PathBuf;

    fn line(payload: &str) -> String {
        let letter = serde_json::json!({
            "pipeline": "p", "sink": "s", "kind": "rejected", "code": "bad", "message": "", "attempts": 1, "time": 5,
            "partition": "f@1", "position": 7, "timestamp": 3, "key": null, "headers": [], "payload": payload,
        });
        format!("{letter}\n")
    }

    fn write(folder: &Path, number: u64, text: &str) -> PathBuf {
        let path = Segment::new(folder, number).path();
        fs::write(&path, text).unwrap();
        path
    }

    fn payloads(folder: &Path, with_done: bool) -> (Vec<String>, u64) {
        let mut scan = Scan::new(&Snapshot::take(folder).unwrap(), Filter::default(), with_done);
        let mut payloads = Vec::new();
        loop {
            let found = scan.read().unwrap();
            if found.is_empty() {
                return (payloads, scan.unreadable);
            }
            payloads
                .extend(found.iter().map(|found| String::from_utf8(found.letter.payload.clone().unwrap().0).unwrap()));
        }
    }

    #[test]
    fn torn_and_foreign_lines_are_passed_over_and_what_is_behind_them_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let torn = &line("torn")[..30];
        write(folder.path(), 1, &(line("a") + "no letter\n" + &line("b") + torn));
        write(folder.path(), 2, &(line("c") + &line("d")));
        write(folder.path(), 3, torn);
        write(folder.path(), 4, "");
        assert_eq!(payloads(folder.path(), false), (["a", "b", "c", "d"].map(String::from).to_vec(), 1));
    }

    #[test]
    fn what_is_done_is_read_only_when_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let len = line("a").len() as u64;
        write(folder.path(), 1, &(line("a") + &line("b") + &line("c")));
        let lock = ReplayLock::take(folder.path()).unwrap();
        Marks::open(folder.path(), &lock).mark(&[(1, len..2 * len)]).unwrap();
        assert_eq!(payloads(folder.path(), false).0, ["a", "c"]);
        assert_eq!(payloads(folder.path(), true).0, ["a", "b", "c"]);
    }

    #[test]
    fn what_comes_after_the_snapshot_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = write(folder.path(), 1, &line("a"));
        let snapshot = Snapshot::take(folder.path()).unwrap();
        fs::write(&path, line("a") + &line("b")).unwrap();
        write(folder.path(), 2, &line("c"));
        let mut scan = Scan::new(&snapshot, Filter::default(), false);
        assert_eq!(scan.read().unwrap().len(), 1);
        assert!(scan.read().unwrap().is_empty());
    }

    #[test]
    fn many_letters_come_in_portions() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), 1, &(0..2500).map(|number| line(&number.to_string())).collect::<String>());
        let numbers: Vec<String> = (0..2500).map(|number| number.to_string()).collect();
        assert_eq!(payloads(folder.path(), false).0, numbers);
    }
}
