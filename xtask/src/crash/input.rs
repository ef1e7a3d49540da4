//! Numbered quakes, one a line, all lines of the same length.

use std::fs::OpenOptions;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Result;

/// A file of events that are numbered from 0.
pub(crate) struct Input {
    path: PathBuf,
    events: u64,
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

impl Input {
    pub(crate) fn create(path: PathBuf, events: u64) -> Result<Input> {
        let mut input = Input { path, events: 0 };
        input.append(events)?;
        Ok(input)
    }

    pub(crate) fn append(&mut self, events: u64) -> Result<()> {
        let mut file = BufWriter::new(OpenOptions::new().create(true).append(true).open(&self.path)?);
        for number in self.events..self.events + events {
            file.write_all(line(number).as_bytes())?;
        }
        file.flush()?;
        self.events += events;
        Ok(())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn events(&self) -> u64 {
        self.events
    }

    /// The event that begins at a position.
    pub(crate) fn number_at(&self, position: u64) -> u64 {
        position / line(0).len() as u64
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
}
