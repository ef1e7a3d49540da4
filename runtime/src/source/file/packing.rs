//! Files that are compressed: what they are packed with, and what is in them.

use std::fs::File;
use std::io::{self, BufRead, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use flate2::bufread::MultiGzDecoder;

use super::settings::Compression;

/// So many first bytes say what a file is.
const MAGIC: usize = 4;

/// So much of a compressed file is read at once.
const READ: usize = 64 << 10;

/// What a file is packed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    /// Nothing.
    Plain,
    /// One gzip member after another.
    Gzip,
    /// One zstd frame after another.
    Zstd,
    /// There are too few bytes to tell.
    Unclear,
}

impl Packing {
    /// Of a file that begins like this.
    pub(super) fn of(path: &Path, head: &[u8], compression: Compression) -> Packing {
        match compression {
            Compression::None => Packing::Plain,
            Compression::Gzip => Packing::Gzip,
            Compression::Zstd => Packing::Zstd,
            Compression::Auto => match path.extension().and_then(|end| end.to_str()) {
                Some("gz") => Packing::Gzip,
                Some("zst") => Packing::Zstd,
                _ => Packing::by_magic(head),
            },
        }
    }

    /// RFC 1952 section 2.3.1; RFC 8878 sections 3.1.1 and 3.1.2, whose skippable frames may come first.
    fn by_magic(head: &[u8]) -> Packing {
        const GZIP: &[u8] = &[0x1f, 0x8b, 8];
        const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
        match head {
            [] => Packing::Unclear,
            [first, 0x2a, 0x4d, 0x18, ..] if first >> 4 == 5 => Packing::Zstd,
            _ if head.starts_with(GZIP) => Packing::Gzip,
            _ if head.starts_with(ZSTD) => Packing::Zstd,
            _ if GZIP.starts_with(head) || ZSTD.starts_with(head) => Packing::Unclear,
            _ => Packing::Plain,
        }
    }

    /// Looks at the first bytes of a file.
    pub(super) fn look(path: &Path, file: &File, compression: Compression) -> io::Result<Packing> {
        let mut head = [0; MAGIC];
        let read = file.read_at(&mut head, 0)?;
        Ok(Packing::of(path, &head[..read], compression))
    }

    /// What unpacks it, from its beginning. A file that is not `complete` may go on behind what is its end by now.
    pub(super) fn unpacker(self, file: Arc<File>, complete: bool) -> io::Result<Option<Unpacker>> {
        let stream = Stream { file, next: 0, buffer: Vec::new(), used: 0, complete };
        let decoder = match self {
            Packing::Plain | Packing::Unclear => return Ok(None),
            Packing::Gzip => Decoder::Gzip(Box::new(MultiGzDecoder::new(stream))),
            Packing::Zstd => Decoder::Zstd(zstd::stream::read::Decoder::with_buffer(stream)?),
        };
        Ok(Some(Unpacker { decoder, at: 0, failed: None }))
    }
}

/// What comes out of a compressed file next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unpacked {
    /// So many bytes.
    Bytes(usize),
    /// Nothing for now, or nothing at all where the file is complete.
    End,
}

/// Reads what is in a compressed file. It can only go forward: what it has passed is unpacked again from the beginning.
pub(super) struct Unpacker {
    decoder: Decoder,
    /// Where in what is unpacked it is.
    at: u64,
    /// What is to be told once what came before it was taken.
    failed: Option<io::Error>,
}

enum Decoder {
    Gzip(Box<MultiGzDecoder<Stream>>),
    Zstd(zstd::stream::read::Decoder<'static, Stream>),
}

impl Unpacker {
    /// Where the next byte is, in what is unpacked.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// How many bytes of the file itself were read.
    pub(super) fn packed(&self) -> u64 {
        match &self.decoder {
            Decoder::Gzip(decoder) => decoder.get_ref().next,
            Decoder::Zstd(decoder) => decoder.get_ref().next,
        }
    }

    /// Fills the spare capacity of a buffer. An error without a number of the system's own is about what the file holds.
    pub(super) fn read(&mut self, into: &mut Vec<u8>) -> io::Result<Unpacked> {
        let spare = (into.capacity() - into.len()) as u64;
        self.read_at_most(into, spare)
    }

    /// Passes over what comes before a position, one buffer of it. `None` where it is there.
    pub(super) fn forward(&mut self, to: u64, scratch: &mut Vec<u8>) -> io::Result<Option<Unpacked>> {
        let left = to.saturating_sub(self.at);
        if left == 0 {
            return Ok(None);
        }
        scratch.clear();
        scratch.reserve(READ);
        let passed = self.read_at_most(scratch, left.min(READ as u64));
        scratch.clear();
        passed.map(Some)
    }

    fn read_at_most(&mut self, into: &mut Vec<u8>, most: u64) -> io::Result<Unpacked> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let before = into.len();
        let ended = match &mut self.decoder {
            Decoder::Gzip(decoder) => decoder.take(most).read_to_end(into),
            Decoder::Zstd(decoder) => decoder.take(most).read_to_end(into),
        };
        let read = into.len() - before;
        self.at += read as u64;
        match ended {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if read == 0 => return Err(error),
            // What came before it first.
            Err(error) => self.failed = Some(error),
            Ok(_) => {}
        }
        Ok(if read == 0 { Unpacked::End } else { Unpacked::Bytes(read) })
    }
}

/// The bytes of a file that may grow.
struct Stream {
    file: Arc<File>,
    /// What is read next.
    next: u64,
    buffer: Vec<u8>,
    /// How much of the buffer was taken.
    used: usize,
    complete: bool,
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let there = self.fill_buf()?;
        let read = there.len().min(into.len());
        into[..read].copy_from_slice(&there[..read]);
        self.consume(read);
        Ok(read)
    }
}

impl BufRead for Stream {
    /// At the end of a file that may go on, it says that it would have to wait: decoders keep their state then.
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.used == self.buffer.len() {
            self.buffer.resize(READ, 0);
            let read = loop {
                match self.file.read_at(&mut self.buffer, self.next) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    read => break read,
                }
            };
            self.used = 0;
            self.buffer.truncate(*read.as_ref().unwrap_or(&0));
            self.next += read? as u64;
            if self.buffer.is_empty() && !self.complete {
                return Err(io::ErrorKind::WouldBlock.into());
            }
        }
        Ok(&self.buffer[self.used..])
    }

    fn consume(&mut self, taken: usize) {
        self.used += taken;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    use flate2::Compression as Level;
    use flate2::write::GzEncoder;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Level::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(text: &[u8]) -> Vec<u8> {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.include_checksum(true).unwrap();
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn text(lines: usize) -> Vec<u8> {
        (0..lines).flat_map(|line| format!("line {line} {}\n", line * 7919 % 1009).into_bytes()).collect()
    }

    fn unpacker(path: &Path, complete: bool) -> Unpacker {
        let file = File::open(path).unwrap();
        let packing = Packing::look(path, &file, Compression::Auto).unwrap();
        packing.unpacker(Arc::new(file), complete).unwrap().unwrap()
    }

    /// Everything that is there, in reads of `size`.
    fn rest(unpacker: &mut Unpacker, size: usize) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        loop {
            let mut buffer = Vec::with_capacity(size);
            match unpacker.read(&mut buffer)? {
                Unpacked::Bytes(read) => assert_eq!(read, buffer.len()),
                Unpacked::End => return Ok(all),
            }
            all.extend(buffer);
        }
    }

    #[test]
    fn what_a_file_is_packed_with_is_told_by_its_name_or_its_first_bytes() {
        let of = |name: &str, head: &[u8]| Packing::of(Path::new(name), head, Compression::Auto);
        for head in [&b"plain"[..], b"\x1f\x8c", b"P*M?", b"P*", b"("] {
            let expected = if head == b"(" { Packing::Unclear } else { Packing::Plain };
            assert_eq!(of("a.log", head), expected, "{head:?}");
        }
        for (packed, packing) in [(gzip(b"a"), Packing::Gzip), (zstd(b"a"), Packing::Zstd)] {
            assert_eq!(of("a.log.1", &packed), packing);
            assert_eq!(of("a.log.1", &packed[..1]), Packing::Unclear);
            assert_eq!(Packing::of(Path::new("a.log"), &packed, Compression::None), Packing::Plain);
        }
        assert_eq!((of("a.gz", b"plain"), of("a.zst", b"")), (Packing::Gzip, Packing::Zstd));
        assert_eq!((of("a", b""), of("a", b"\x50\x2a\x4d\x18")), (Packing::Unclear, Packing::Zstd));
    }

    #[test]
    fn a_file_that_grows_in_any_pieces_is_unpacked_as_far_as_it_goes() {
        for pack in [gzip, zstd] {
            let file = tempfile::NamedTempFile::new().unwrap();
            let all = [pack(&text(3000)), pack(b"second\n"), pack(&text(5))].concat();
            let mut writer = file.reopen().unwrap();
            writer.write_all(&all[..4]).unwrap();
            let mut unpacker = unpacker(file.path(), false);
            let mut seen = rest(&mut unpacker, 1000).unwrap();
            for piece in all[4..].chunks(997) {
                writer.write_all(piece).unwrap();
                seen.extend(rest(&mut unpacker, 1000).unwrap());
            }
            assert_eq!(seen, [text(3000), b"second\n".to_vec(), text(5)].concat());
            assert_eq!((unpacker.at(), unpacker.packed()), (seen.len() as u64, all.len() as u64));
        }
    }

    #[test]
    fn a_position_is_found_again_by_unpacking_up_to_it() {
        for pack in [gzip, zstd] {
            let file = tempfile::NamedTempFile::new().unwrap();
            file.reopen().unwrap().write_all(&pack(&text(50_000))).unwrap();
            let mut unpacker = unpacker(file.path(), true);
            let mut scratch = Vec::new();
            while unpacker.forward(300_001, &mut scratch).unwrap() == Some(Unpacked::Bytes(READ)) {}
            while unpacker.forward(300_001, &mut scratch).unwrap().is_some() {}
            assert_eq!(unpacker.at(), 300_001);
            assert!(rest(&mut unpacker, 4096).unwrap() == text(50_000)[300_001..]);
        }
    }

    #[test]
    fn what_is_cut_short_or_damaged_is_told_after_what_comes_before_it() {
        for pack in [gzip, zstd] {
            let packed = pack(&text(50_000));
            let file = tempfile::NamedTempFile::new().unwrap();
            fs_write(&file, &packed[..packed.len() / 2]);
            let mut cut = unpacker(file.path(), true);
            let mut seen = Vec::with_capacity(1 << 20);
            assert!(matches!(cut.read(&mut seen), Ok(Unpacked::Bytes(_))));
            assert!(!seen.is_empty() && text(50_000).starts_with(&seen));
            assert_eq!(rest(&mut cut, 1 << 20).map(|all| all.len()).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);

            let mut damaged = packed.clone();
            let middle = packed.len() / 2;
            damaged[middle..middle + 64].fill(0xff);
            fs_write(&file, &damaged);
            let error = rest(&mut unpacker(file.path(), true), 1000).map(|all| all.len()).unwrap_err();
            assert!(error.raw_os_error().is_none() && error.kind() != io::ErrorKind::UnexpectedEof, "{error:?}");
        }
        let named = tempfile::Builder::new().suffix(".gz").tempfile().unwrap();
        fs_write(&named, b"not what its name says\n");
        assert!(rest(&mut unpacker(named.path(), true), 1000).unwrap_err().raw_os_error().is_none());
    }

    fn fs_write(file: &tempfile::NamedTempFile, bytes: &[u8]) {
        std::fs::write(file.path(), bytes).unwrap();
    }
}
