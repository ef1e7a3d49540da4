//! A file of events that whole processes are measured with.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::figures::Fail;

const QUAKES: &[u8] = include_bytes!("../../../data/earthquakes.ndjson");

/// The quake events, over and over, one a line: about 226 bytes each.
pub(crate) fn create(folder: &Path, lines: usize) -> Result<PathBuf, Fail> {
    let path = folder.join("in.ndjson");
    let mut file = BufWriter::new(File::create(&path)?);
    for line in QUAKES.split_inclusive(|byte| *byte == b'\n').cycle().take(lines) {
        file.write_all(line)?;
    }
    file.flush()?;
    Ok(path)
}
