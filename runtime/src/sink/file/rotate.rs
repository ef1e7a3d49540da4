//! When a file is finished and another one begun in its place, and what the finished one is called.
//!
//! `events.ndjson` becomes `events-20261125-015924-120.ndjson`, by the time in UTC at which it is finished, to the
//! millisecond: names that sort, never change again, and that a pattern for the file's kind still finds.

use std::io::{self, ErrorKind};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde::{Deserialize, Serialize};

use crate::units;

/// `rotate`: when a file is finished. With nothing set, never.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rotate {
    /// Before it would be larger than this.
    #[serde(with = "units::size::option")]
    pub size: Option<u64>,
    /// So long after it was begun; where it is not open then, with the next event.
    #[serde(with = "units::duration::option")]
    pub age: Option<Duration>,
    /// Finished files that are kept of each; all, if unset.
    pub count: Option<NonZeroUsize>,
}

impl Rotate {
    /// Whether a file that has `len` bytes and was begun then is to be finished before `more` are added.
    pub(super) fn is_due(&self, len: u64, more: usize, begun: SystemTime) -> bool {
        let full = self.size.is_some_and(|size| len + more as u64 > size);
        let old = self.age.is_some_and(|age| begun.elapsed().is_ok_and(|passed| passed >= age));
        len > 0 && (full || old)
    }
}

/// Gives a file the name of a finished one, never that of another file.
pub(super) fn finish(path: &Path, now: SystemTime) -> io::Result<PathBuf> {
    let (stem, end) = parts(path);
    // Where the name is taken, the next millisecond is as good.
    for more in 0..=u64::MAX {
        let time = stamp(now + Duration::from_millis(more));
        let finished = path.with_file_name(format!("{stem}-{time}{end}"));
        match renameat_with(CWD, path, CWD, &finished, RenameFlags::NOREPLACE) {
            Ok(()) => return Ok(finished),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            // Not every file system can refuse by itself; nobody else gives such names.
            Err(rustix::io::Errno::INVAL) if !finished.exists() => {
                std::fs::rename(path, &finished)?;
                return Ok(finished);
            }
            Err(rustix::io::Errno::INVAL) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}

/// Removes the oldest finished files of a path, but for so many.
pub(super) fn prune(path: &Path, keep: usize) -> io::Result<()> {
    let (stem, end) = parts(path);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut finished = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name();
        if name.to_str().is_some_and(|name| is_finished(name, &stem, &end)) {
            finished.push(name);
        }
    }
    finished.sort_unstable();
    let many = finished.len().saturating_sub(keep);
    finished.drain(..many).try_for_each(|name| std::fs::remove_file(folder.join(name)))
}

/// Whether that is what a finished file of this kind is called.
fn is_finished(name: &str, stem: &str, end: &str) -> bool {
    let rest = name.strip_prefix(stem).and_then(|rest| rest.strip_prefix('-')?.strip_suffix(end));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    rest.is_some_and(|rest| rest.split('-').map(str::len).eq([8, 6, 3]) && rest.split('-').all(digits))
}

/// What is before the endings of a file's name, and these.
fn parts(path: &Path) -> (String, String) {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    match name.char_indices().skip(1).find(|(_, letter)| *letter == '.') {
        Some((dot, _)) => (name[..dot].to_owned(), name[dot..].to_owned()),
        None => (name, String::new()),
    }
}

/// `20261125-015924-120`, in UTC.
fn stamp(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (seconds, millis) = (since.as_secs(), since.subsec_millis());
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}{month:02}{day:02}-{hour:02}{minute:02}{second:02}-{millis:03}")
}

/// The date of a day since 1970, by the rules of the Gregorian calendar: eras of 400 years that begin in March.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn times_are_those_of_the_calendar() {
        let at = |seconds| stamp(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "19700101-000000-000");
        assert_eq!(at(951_782_399), "20000228-235959-000");
        assert_eq!(at(951_782_400), "20000229-000000-000");
        assert_eq!(at(1_795_571_964), "20261125-015924-000");
    }

    #[test]
    fn a_finished_file_takes_no_other_name_and_the_oldest_go() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.b.ndjson.gz");
        let now = UNIX_EPOCH + Duration::from_secs(60);
        for text in ["1", "2", "3"] {
            fs::write(&path, text).unwrap();
            finish(&path, now).unwrap();
        }
        fs::write(&path, "4").unwrap();
        finish(&path, now - Duration::from_millis(1)).unwrap();
        for other in ["a-elsewhere.b.ndjson.gz", "a-19700101-000100-000.b.ndjson", "a-19700101-000100.b.ndjson.gz"] {
            fs::write(folder.path().join(other), "kept").unwrap();
        }
        prune(&path, 2).unwrap();
        let mut names: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        let expected = [
            "a-19700101-000100-000.b.ndjson",
            "a-19700101-000100-001.b.ndjson.gz",
            "a-19700101-000100-002.b.ndjson.gz",
            "a-19700101-000100.b.ndjson.gz",
            "a-elsewhere.b.ndjson.gz",
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn a_file_is_finished_before_it_is_too_large_or_too_old() {
        let begun = SystemTime::now() - Duration::from_secs(10);
        let rotate = |size, age| Rotate { size, age, count: None };
        assert!(!rotate(None, None).is_due(1 << 40, 1, begun));
        assert!(!rotate(Some(10), None).is_due(6, 4, begun) && rotate(Some(10), None).is_due(6, 5, begun));
        assert!(!rotate(Some(10), None).is_due(0, 50, begun), "one batch that is larger goes alone");
        assert!(rotate(None, Some(Duration::from_secs(10))).is_due(1, 1, begun));
        assert!(!rotate(None, Some(Duration::from_secs(60))).is_due(1, 1, begun));
    }
}
