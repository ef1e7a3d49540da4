//! Compresses what is added to a file, so that what is added at once can be read by itself.
//!
//! Each batch becomes a gzip member or a zstd frame of its own in each of its files; readers take a file of several as
//! one stream. So a batch counts as written when all of it can be read back, and a kill leaves whole ones and perhaps
//! the beginning of one, which is cut off at start.

use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom, Write};

use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};

/// How files are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// As gzip does.
    Gzip,
    /// As zstd does.
    Zstd,
}

/// zstd's own default.
const ZSTD_LEVEL: i32 = 3;

/// Compresses one text after another.
pub(super) struct Compressor {
    kind: Compression,
    packed: Vec<u8>,
    zstd: Option<zstd::bulk::Compressor<'static>>,
}

impl Compressor {
    pub(super) fn new(kind: Compression) -> Compressor {
        Compressor { kind, packed: Vec::new(), zstd: None }
    }

    /// A member or frame that holds the text, valid until the next call.
    pub(super) fn pack(&mut self, text: &[u8]) -> io::Result<&[u8]> {
        self.packed.clear();
        match self.kind {
            Compression::Gzip => {
                let mut encoder = GzEncoder::new(std::mem::take(&mut self.packed), flate2::Compression::default());
                encoder.write_all(text)?;
                self.packed = encoder.finish()?;
            }
            Compression::Zstd => {
                let zstd = match &mut self.zstd {
                    Some(zstd) => zstd,
                    none => {
                        let mut zstd = zstd::bulk::Compressor::new(ZSTD_LEVEL)?;
                        zstd.include_checksum(true)?;
                        none.insert(zstd)
                    }
                };
                self.packed.reserve(zstd::zstd_safe::compress_bound(text.len()));
                zstd.compress_to_buffer(text, &mut self.packed)?;
            }
        }
        Ok(&self.packed)
    }
}

/// The length up to which a file has whole members or frames, of which one begins at `from`.
pub(super) fn whole(kind: Compression, mut file: &File, from: u64) -> io::Result<u64> {
    file.seek(SeekFrom::Start(from))?;
    let mut read = Counted { reader: BufReader::with_capacity(256 << 10, file), count: from };
    let mut end = from;
    loop {
        if read.fill_buf()?.is_empty() {
            return Ok(end);
        }
        let member = match kind {
            Compression::Gzip => io::copy(&mut GzDecoder::new(&mut read), &mut io::sink()),
            Compression::Zstd => zstd::stream::read::Decoder::with_buffer(&mut read)
                .and_then(|decoder| io::copy(&mut decoder.single_frame(), &mut io::sink())),
        };
        match member {
            Ok(_) => end = read.count,
            // The disk can't be read, which says nothing about what is on it.
            Err(error) if error.raw_os_error().is_some() && error.kind() != ErrorKind::InvalidInput => {
                return Err(error);
            }
            Err(_) => return Ok(end),
        }
    }
}

/// Counts what is consumed.
struct Counted<R> {
    reader: R,
    count: u64,
}

impl<R: BufRead> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let some = available.len().min(buffer.len());
        buffer[..some].copy_from_slice(&available[..some]);
        self.consume(some);
        Ok(some)
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.reader.fill_buf()
    }

    fn consume(&mut self, some: usize) {
        self.count += some as u64;
        self.reader.consume(some);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_the_last_whole_one_is_found_wherever_it_is_torn() {
        for kind in [Compression::Gzip, Compression::Zstd] {
            let mut compressor = Compressor::new(kind);
            let mut packed = |text: &str| compressor.pack(text.as_bytes()).unwrap().to_vec();
            let (first, second) = (packed(&"one\n".repeat(1000)), packed("two\n"));
            for cut in 0..second.len() {
                let mut file = tempfile::tempfile().unwrap();
                file.write_all(&[&first[..], &second[..cut]].concat()).unwrap();
                assert_eq!(whole(kind, &file, 0).unwrap(), first.len() as u64, "{kind:?} {cut}");
                assert_eq!(whole(kind, &file, first.len() as u64).unwrap(), first.len() as u64, "{kind:?} {cut}");
            }
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&[&first[..], &second[..]].concat()).unwrap();
            assert_eq!(whole(kind, &file, 0).unwrap(), (first.len() + second.len()) as u64);
        }
    }
}
