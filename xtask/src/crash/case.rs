//! What is killed.

use std::path::Path;

/// A configuration, and where its sink writes.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// The sink `p.out`; `{OUT}` is a folder for it, `{GUESTS}` where the components are.
    sink: &'static str,
    /// A file in the folder.
    pub(crate) output: &'static str,
    /// Events at first, and so many more whenever all are read.
    pub(crate) events: u64,
    /// What is saved may be ahead of what is written, because a buffer on disk has the rest.
    pub(crate) buffered: bool,
    /// Nothing may come twice. What a kill left in the output is cut off by the next run: only the end is looked at.
    pub(crate) once: bool,
    /// Events in a file that is followed while it is written; then it is renamed, and the next one begins. 0: one file
    /// has all, and is read to its end.
    pub(crate) rotated: u64,
}

pub(crate) const CASES: [Case; 8] = [
    Case {
        name: "file",
        sink: "type = \"file\"\npath = \"{OUT}/lines\"\nbatch_size = 20",
        output: "lines",
        events: 200_000,
        buffered: false,
        once: false,
        rotated: 0,
    },
    Case {
        name: "slow",
        sink: "type = \"file\"\npath = \"{OUT}/lines\"\nfsync = \"batch\"\nbatch_size = 50\nbuffer.max_bytes = \"256KiB\"",
        output: "lines",
        events: 50_000,
        buffered: false,
        once: false,
        rotated: 0,
    },
    Case {
        name: "wasm",
        sink: WASM,
        output: "2018-01-31.csv",
        events: 100_000,
        buffered: false,
        once: false,
        rotated: 0,
    },
    Case {
        name: "disk",
        sink: "type = \"file\"\npath = \"{OUT}/lines\"\nbatch_size = 20\nbuffer.type = \"disk\"",
        output: "lines",
        events: 200_000,
        buffered: true,
        once: false,
        rotated: 0,
    },
    Case {
        name: "disk-slow",
        sink: "type = \"file\"\npath = \"{OUT}/lines\"\nfsync = \"batch\"\nbatch_size = 200\nbuffer.type = \"disk\"",
        output: "lines",
        events: 50_000,
        buffered: true,
        once: false,
        rotated: 0,
    },
    Case {
        name: "file-once",
        sink: "type = \"file\"\npath = \"{OUT}/lines\"\nexactly_once = true\nbatch_size = 20",
        output: "lines",
        events: 200_000,
        buffered: false,
        once: true,
        rotated: 0,
    },
    Case {
        name: "follow",
        sink: "type = \"file\"\npath = \"{OUT}/lines\"\nbatch_size = 100\nbatch_timeout = \"5ms\"",
        output: "lines",
        events: 10_000,
        buffered: false,
        once: false,
        rotated: 2_000,
    },
    Case {
        name: "follow-disk",
        sink: "type = \"file\"\npath = \"{OUT}/lines\"\nbatch_size = 100\nbatch_timeout = \"5ms\"\nbuffer.type = \"disk\"",
        output: "lines",
        events: 10_000,
        buffered: true,
        once: false,
        rotated: 2_000,
    },
];

const WASM: &str = "type = \"wasm\"\npath = \"{GUESTS}/csv_by_day.wasm\"\n\
    allow.dirs = [{ host = \"{OUT}\", guest = \"/out\", access = \"read-write\" }]";

impl Case {
    pub(crate) fn configuration(&self, folder: &Path, guests: &Path, input: &Path) -> String {
        let out = folder.join("out");
        let sink = self.sink.replace("{OUT}", &out.to_string_lossy()).replace("{GUESTS}", &guests.to_string_lossy());
        let input = input.display();
        let source = match self.rotated {
            0 => format!("path = \"{input}\""),
            _ => format!("path = \"{input}*\"\nfollow = true\npoll_interval = \"50ms\""),
        };
        format!("position_interval = \"20ms\"\n[source.in]\ntype = \"file\"\n{source}\n[pipeline.p.sink.out]\n{sink}\n")
    }
}
