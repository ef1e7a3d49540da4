//! `sump replay list`: how many dead letters there are of what.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Exit, directory, result, say_passed_over, time};
use crate::cli::args::ReplayList;
use crate::cli::summary::{aligned, grouped};
use crate::delivery::{Found, Scan, Snapshot};
use crate::units;

/// Letters that are counted together.
#[derive(Serialize)]
struct Group {
    pipeline: String,
    sink: String,
    kind: String,
    code: String,
    /// Not sent again yet.
    waiting: u64,
    /// Sent again, failed again and kept anew, or discarded.
    done: u64,
    /// Of their lines.
    bytes: u64,
    /// Milliseconds since the Unix epoch.
    first: u64,
    last: u64,
}

impl Group {
    fn new(found: &Found) -> Group {
        let letter = &found.letter;
        Group {
            pipeline: letter.pipeline.clone(),
            sink: letter.sink.clone(),
            kind: letter.kind.clone(),
            code: letter.code.clone(),
            waiting: 0,
            done: 0,
            bytes: 0,
            first: letter.time,
            last: letter.time,
        }
    }

    fn add(&mut self, found: &Found) {
        *(if found.done { &mut self.done } else { &mut self.waiting }) += 1;
        self.bytes += found.bytes.end - found.bytes.start;
        self.first = self.first.min(found.letter.time);
        self.last = self.last.max(found.letter.time);
    }

    fn row(&self) -> [String; 9] {
        [
            self.pipeline.clone(),
            self.sink.clone(),
            self.kind.clone(),
            self.code.clone(),
            time(self.first),
            time(self.last),
            grouped(self.waiting),
            grouped(self.done),
            units::size::about(self.bytes),
        ]
    }
}

pub(super) fn list(args: &ReplayList) -> anyhow::Result<Exit> {
    let directory = match directory(&args.place)? {
        Ok(directory) => directory,
        Err(exit) => return Ok(exit),
    };
    let mut groups: BTreeMap<[String; 4], Group> = BTreeMap::new();
    let mut scan = Scan::new(&Snapshot::take(&directory)?, args.select.filter(), true);
    loop {
        let found = scan.read()?;
        if found.is_empty() {
            break;
        }
        for found in &found {
            let letter = &found.letter;
            let key = [&letter.pipeline, &letter.sink, &letter.code, &letter.kind].map(Clone::clone);
            groups.entry(key).or_insert_with(|| Group::new(found)).add(found);
        }
    }
    say_passed_over(scan.unevaluated, scan.unreadable);
    match args.json {
        true => {
            let lines: Result<String, _> =
                groups.values().map(|group| Ok::<_, serde_json::Error>(serde_json::to_string(group)? + "\n")).collect();
            result(&lines?)?;
        }
        false if groups.is_empty() => result("no dead letters\n")?,
        false => {
            let head =
                ["pipeline", "sink", "kind", "code", "first", "last", "waiting", "done", "size"].map(String::from);
            let rows: Vec<[String; 9]> = [head].into_iter().chain(groups.values().map(Group::row)).collect();
            result(&aligned(&rows, 6))?;
        }
    }
    Ok(Exit::Done)
}
