//! Numbered quakes, one a line, all lines of the same length.

use std::collections::HashMap;
use std::fs::{self, Metadata, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::Result;
use serde_json::Value;

/// Events that are numbered from 0, in one file, or in one after another.
pub(crate) struct Input {
    path: PathBuf,
    events: u64,
    /// Events in a file before it is renamed; 0: it never is.
    rotated: u64,
    /// The files, the one that is written last.
    files: Vec<Made>,
    /// So many files were removed, because all of them was saved.
    removed: u64,
}

/// A file, as the memo of the source tells it from others: the inode of one that was removed may be used again.
#[derive(PartialEq, Eq, Hash)]
struct Made {
    inode: u64,
    born: Option<u64>,
}

impl Made {
    fn of(metadata: &Metadata) -> Made {
        let born = metadata.created().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        Made { inode: metadata.ino(), born: born.map(|since| since.as_nanos() as u64) }
    }
}

fn line(number: u64) -> String {
    format!(
        "{{\"time\":1517356800000,\"mag\":1.5,\"place\":\"somewhere\",\"lon\":1.0,\"lat\":2.0,\"depth\":3.0,\"id\":\"n{number:09}\"}}\n"
    )
}

/// The number in a line of output; none where the line was torn before it.
pub(crate) fn number_in(line: &str) -> Option<u64> {
    let after = line.match_indices('n').map(|(at, _)| &line[at + 1..]);
    let mut numbers =
        after.filter_map(|rest| rest.get(..9)).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    numbers.next()?.parse().ok()
}

/// Files that are kept after all of them was saved.
const KEPT: u64 = 10;

impl Input {
    pub(crate) fn create(path: PathBuf, events: u64, rotated: u64) -> Result<Input> {
        let mut input = Input { path, events: 0, rotated, files: Vec::new(), removed: 0 };
        input.append(events)?;
        Ok(input)
    }

    pub(crate) fn append(&mut self, events: u64) -> Result<()> {
        let end = self.events + events;
        while self.events < end {
            if self.rotated > 0 && self.events > 0 && self.events.is_multiple_of(self.rotated) {
                fs::rename(&self.path, self.renamed(self.events / self.rotated - 1))?;
            }
            let file = OpenOptions::new().create(true).append(true).open(&self.path)?;
            let made = Made::of(&file.metadata()?);
            if self.files.last() != Some(&made) {
                self.files.push(made);
            }
            let here = match self.rotated {
                0 => end,
                each => end.min((self.events / each + 1) * each),
            };
            let mut file = BufWriter::new(file);
            for number in self.events..here {
                file.write_all(line(number).as_bytes())?;
            }
            file.flush()?;
            self.events = here;
        }
        Ok(())
    }

    fn renamed(&self, file: u64) -> PathBuf {
        self.path.with_extension(format!("ndjson.{file:06}"))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn events(&self) -> u64 {
        self.events
    }

    /// The event that is the first not to be saved in each file, where the whole state of a source was saved as `saved`,
    /// and `positions` are those of one sink.
    pub(crate) fn saved(&self, saved: &Value, positions: &Value) -> Saved {
        let length = line(0).len() as u64;
        let at = |partition: &str| positions[partition].as_u64().unwrap_or(0) / length;
        let mut of_files = HashMap::new();
        for known in saved["memo"].as_array().into_iter().flatten() {
            if let (Some(inode), Some(partition)) = (known["inode"].as_u64(), known["partition"].as_str()) {
                of_files.insert(Made { inode, born: known["born"].as_u64() }, at(partition));
            }
        }
        let of = |(number, made): (usize, &Made)| match (number as u64) < self.removed {
            true => self.rotated,
            false => of_files.get(made).copied().unwrap_or(0),
        };
        Saved { rotated: self.rotated, files: self.files.iter().enumerate().map(of).collect() }
    }

    /// Removes files of which all was saved long ago.
    pub(crate) fn remove(&mut self, saved: &Saved) -> Result<()> {
        while self.rotated > 0 {
            let all =
                (self.removed..=self.removed + KEPT).all(|file| saved.files.get(file as usize) == Some(&self.rotated));
            if !all {
                break;
            }
            fs::remove_file(self.renamed(self.removed))?;
            self.removed += 1;
        }
        Ok(())
    }
}

/// What was saved.
pub(crate) struct Saved {
    rotated: u64,
    /// So many events of each file.
    files: Vec<u64>,
}

impl Saved {
    /// Whether the next run would pass over an event.
    pub(crate) fn has(&self, number: u64) -> bool {
        let (file, event) = match self.rotated {
            0 => (0, number),
            each => (number / each, number % each),
        };
        self.files.get(file as usize).is_some_and(|saved| event < *saved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_one_length_and_their_number_is_found() {
        assert_eq!(line(0).len(), line(123_456_789).len());
        assert_eq!(number_in(&line(123_456_789)), Some(123_456_789));
        assert_eq!(number_in("1517356800000,1.5,somewhere,1.0,2.0,3.0,n000000042"), Some(42));
        assert_eq!(number_in("{\"time\":1517356800000,\"id\":\"n0000"), None);
    }

    #[test]
    fn what_is_saved_is_told_file_by_file() {
        let saved = Saved { rotated: 10, files: vec![10, 3] };
        assert!((0..13).all(|number| saved.has(number)) && (13..40).all(|number| !saved.has(number)));
        let saved = Saved { rotated: 0, files: vec![7] };
        assert!(saved.has(6) && !saved.has(7));
    }
}
