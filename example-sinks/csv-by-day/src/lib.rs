//! Writes quakes into one CSV file for each UTC day, such as `/out/2018-01-31.csv`, one event at a time.
//!
//! A batch whose rows could not all be written comes again, so that a file can hold a quake twice, but never half of one.
//! Leave `concurrency` at 1: two instances must not append to one file.
//!
//! ```toml
//! [pipeline.quakes.sink.csv]
//! type = "wasm"
//! path = "csv_by_day.wasm"
//! allow.dirs = [{ host = "/var/lib/quakes", guest = "/out", access = "read-write" }]
//! ```
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;

use serde::Deserialize;
use serde::Serialize;
use sump_sdk::Context;
use sump_sdk::Error;
use sump_sdk::Event;
use sump_sdk::EventSink;
use sump_sdk::Opening;
use time::Date;
use time::UtcDateTime;

/// What `config` in the pipeline's configuration may hold.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The directory of the files, as the sandbox names it.
    pub dir: PathBuf,
}

impl Default for Config {
    fn default() -> Self {
        Self { dir: PathBuf::from("/out") }
    }
}

/// What an event has to hold, and the columns of the files.
#[derive(Deserialize, Serialize)]
struct Quake<'a> {
    time: i64,
    mag: f64,
    #[serde(borrow)]
    place: std::borrow::Cow<'a, str>,
    lon: f64,
    lat: f64,
    depth: f64,
    id: &'a str,
}

/// The sink: what a batch adds to each day's file is kept until the batch ends, and then written at once.
#[derive(Debug)]
pub struct CsvByDay {
    dir: PathBuf,
    days: BTreeMap<Date, Vec<u8>>,
}

impl EventSink for CsvByDay {
    type Config = Config;

    fn open(config: Config, _: &Opening) -> Result<Self, Error> {
        std::fs::read_dir(&config.dir).map_err(|error| disk(&config.dir, &error))?;
        Ok(Self { dir: config.dir, days: BTreeMap::new() })
    }

    fn begin(&mut self, _: &Context) -> Result<(), Error> {
        self.days.clear();
        Ok(())
    }

    fn process(&mut self, _: &Context, event: Event<'_>) -> Result<(), Error> {
        let quake: Quake<'_> = event.json()?;
        let time = UtcDateTime::from_unix_timestamp(quake.time.div_euclid(1000));
        let time = time.map_err(|error| Error::rejected("no-such-day", error.to_string()))?;
        let rows = self.days.entry(time.date()).or_default();
        csv::WriterBuilder::new().has_headers(false).from_writer(rows).serialize(&quake)?;
        Ok(())
    }

    fn flush(&mut self, _: &Context) -> Result<(), Error> {
        for (day, rows) in std::mem::take(&mut self.days) {
            let path = self.dir.join(format!("{day}.csv"));
            append(&path, &rows).map_err(|error| disk(&path, &error))?;
        }
        Ok(())
    }
}

/// Adds rows to a file, after the header if it is new, and all of them or none: half a row would spoil the next one.
fn append(path: &Path, rows: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    let length = file.metadata()?.len();
    let header = if length == 0 { HEADER } else { b"" };
    let written = file.write_all(&[header, rows].concat()).and_then(|()| file.sync_data());
    if written.is_err() {
        file.set_len(length)?;
    }
    written
}

const HEADER: &[u8] = b"time,mag,place,lon,lat,depth,id\n";

/// What a failing disk means: a full one may have room again, and one that may not be written needs an operator. After
/// anything else part of the rows may be there.
fn disk(path: &Path, error: &io::Error) -> Error {
    let message = format!("{}: {error}", path.display());
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::transient("disk-full", message),
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            Error::halted("no-access", message)
        }
        _ => Error::unknown("disk", message),
    }
}

sump_sdk::event_sink!(CsvByDay);
