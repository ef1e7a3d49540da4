//! What a replay would do.

use std::collections::BTreeMap;
use std::io;

use crate::delivery::Scan;
use crate::envelope::PathName;
use crate::pipeline::build::NOBODY;

/// How many dead letters go where, and how many nowhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outlook {
    /// Letters for each sink that gets some.
    pub destinations: BTreeMap<PathName, u64>,
    /// Letters of sinks that the configuration does not have.
    pub gone: BTreeMap<PathName, u64>,
    /// Letters that were rejected before any sink, by pipeline.
    pub sinkless: BTreeMap<PathName, u64>,
    /// Letters of which only the beginning is kept.
    pub cut: u64,
    /// Letters on which the condition failed.
    pub unevaluated: u64,
    /// Lines that can't be read.
    pub unreadable: u64,
}

impl Outlook {
    pub(super) fn of(scan: &mut Scan, to: Option<&PathName>, there: impl Fn(&PathName) -> bool) -> io::Result<Outlook> {
        let mut outlook = Outlook::default();
        loop {
            let found = scan.read()?;
            if found.is_empty() {
                break;
            }
            for letter in found.iter().map(|found| &found.letter) {
                let path = to.cloned().unwrap_or_else(|| letter.path());
                let counts = match () {
                    () if !letter.is_whole() => {
                        outlook.cut += 1;
                        continue;
                    }
                    () if &*path.sink == NOBODY => &mut outlook.sinkless,
                    () if !there(&path) => &mut outlook.gone,
                    () => &mut outlook.destinations,
                };
                *counts.entry(path).or_default() += 1;
            }
        }
        (outlook.unevaluated, outlook.unreadable) = (scan.unevaluated, scan.unreadable);
        Ok(outlook)
    }

    /// Letters that would be sent.
    pub fn sendable(&self) -> u64 {
        self.destinations.values().sum()
    }

    /// Letters that are meant and can't be sent.
    pub fn left_out(&self) -> u64 {
        self.gone.values().chain(self.sinkless.values()).sum::<u64>() + self.cut
    }
}
