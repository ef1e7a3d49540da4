//! Compressed bodies, a step at a time.

use flate2::{Decompress, FlushDecompress, Status};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use zstd::stream::raw;
use zstd::zstd_safe::{DParameter, InBuffer, OutBuffer};

use super::answer::Refusal;

/// The largest window of a zstd frame, as a power of two: 8 MiB, as RFC 9659 has it for HTTP.
const WINDOW_LOG: u32 = 23;

/// The window of gzip, as a power of two.
const GZIP_WINDOW: u8 = 15;

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Gzip,
    Zstd,
}

/// A body is not what its coding says.
#[derive(Debug)]
pub(super) struct Corrupt(pub(super) String);

impl Coding {
    /// What `Content-Encoding` says; `None` where the body is as it is.
    pub(super) fn of(headers: &HeaderMap) -> Result<Option<Coding>, Refusal> {
        let mut codings = headers.get_all(header::CONTENT_ENCODING).iter();
        let coding = match (codings.next(), codings.next()) {
            (None, _) => return Ok(None),
            (Some(one), None) => one.as_bytes().trim_ascii().to_ascii_lowercase(),
            (Some(_), Some(_)) => b"several".to_vec(),
        };
        match coding.as_slice() {
            b"" | b"identity" => Ok(None),
            b"gzip" | b"x-gzip" => Ok(Some(Coding::Gzip)),
            b"zstd" => Ok(Some(Coding::Zstd)),
            _ => {
                Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "a body may be compressed once, by gzip or zstd")
                    .with(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip, zstd")))
            }
        }
    }
}

/// Decompresses one body.
pub(super) enum Decoder {
    Gzip(Decompress),
    Zstd(raw::Decoder<'static>),
}

impl Decoder {
    /// Fails where there is no memory for one.
    pub(super) fn new(coding: Coding) -> Result<Decoder, Corrupt> {
        match coding {
            Coding::Gzip => Ok(Decoder::Gzip(Decompress::new_gzip(GZIP_WINDOW))),
            Coding::Zstd => {
                let mut decoder = raw::Decoder::new().map_err(corrupt)?;
                decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG)).map_err(corrupt)?;
                Ok(Decoder::Zstd(decoder))
            }
        }
    }

    /// Goes on at a place in what is compressed, into what room there is. Whether all is done.
    pub(super) fn step(&mut self, compressed: &[u8], at: &mut usize, bytes: &mut Vec<u8>) -> Result<bool, Corrupt> {
        if compressed.is_empty() {
            return Ok(true);
        }
        let ended = match self {
            Decoder::Gzip(decoder) => {
                let before = decoder.total_in();
                let status =
                    decoder.decompress_vec(&compressed[*at..], bytes, FlushDecompress::None).map_err(corrupt)?;
                *at += (decoder.total_in() - before) as usize;
                if status == Status::StreamEnd && *at < compressed.len() {
                    // Another member follows.
                    *decoder = Decompress::new_gzip(GZIP_WINDOW);
                    return Ok(false);
                }
                status == Status::StreamEnd
            }
            Decoder::Zstd(decoder) => {
                use raw::Operation;
                let mut input = InBuffer { src: compressed, pos: *at };
                let filled = bytes.len();
                let hint = decoder.run(&mut input, &mut OutBuffer::around_pos(bytes, filled)).map_err(corrupt)?;
                *at = input.pos();
                hint == 0
            }
        };
        match (*at == compressed.len(), ended) {
            (true, true) => Ok(true),
            (true, false) if bytes.len() < bytes.capacity() => Err(Corrupt("its end is missing".into())),
            _ => Ok(false),
        }
    }
}

fn corrupt(error: impl std::fmt::Display) -> Corrupt {
    Corrupt(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        zstd::encode_all(bytes, 3).unwrap()
    }

    /// With so much room at a time.
    fn decode(coding: Coding, compressed: &[u8], room: usize) -> Result<Vec<u8>, Corrupt> {
        let (mut decoder, mut at, mut bytes) = (Decoder::new(coding)?, 0, Vec::new());
        loop {
            bytes.reserve_exact(room);
            if decoder.step(compressed, &mut at, &mut bytes)? {
                return Ok(bytes);
            }
        }
    }

    #[test]
    fn what_was_compressed_comes_back_in_any_steps() {
        let bytes: Vec<u8> = (0..100_000u32).flat_map(|number| (number / 7).to_le_bytes()).collect();
        for room in [1 << 10, 1 << 16, 1 << 20] {
            for (coding, compressed) in [(Coding::Gzip, gzip(&bytes)), (Coding::Zstd, zstd(&bytes))] {
                assert_eq!(decode(coding, &compressed, room).unwrap(), bytes);
                let twice = [&compressed[..], &compressed].concat();
                assert_eq!(decode(coding, &twice, room).unwrap(), [&bytes[..], &bytes].concat());
            }
        }
        for (coding, nothing) in [(Coding::Gzip, gzip(b"")), (Coding::Zstd, zstd(b"")), (Coding::Gzip, Vec::new())] {
            assert_eq!(decode(coding, &nothing, 10).unwrap(), b"");
        }
    }

    #[test]
    fn what_is_cut_off_or_spoilt_is_an_error() {
        let bytes: Vec<u8> = (0..10_000u32).flat_map(u32::to_le_bytes).collect();
        for (coding, compressed) in [(Coding::Gzip, gzip(&bytes)), (Coding::Zstd, zstd(&bytes))] {
            for end in [1, 5, 100, compressed.len() - 1] {
                assert!(decode(coding, &compressed[..end], 1 << 20).is_err(), "{coding:?} {end}");
            }
            assert!(decode(coding, &[&compressed[..], b"more"].concat(), 1 << 20).is_err());
            assert!(decode(coding, b"plain text", 1 << 20).is_err());
        }
    }

    #[test]
    fn a_window_beyond_the_bound_is_refused() {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(24).unwrap();
        encoder.write_all(&vec![b'x'; 20 << 20]).unwrap();
        assert!(decode(Coding::Zstd, &encoder.finish().unwrap(), 1 << 20).is_err());
    }

    #[test]
    fn only_codings_that_are_known_are_taken() {
        for (value, coding) in [
            ("gzip", Some(Coding::Gzip)),
            ("X-GZIP", Some(Coding::Gzip)),
            ("zstd", Some(Coding::Zstd)),
            ("identity", None),
        ] {
            let headers = HeaderMap::from_iter([(header::CONTENT_ENCODING, HeaderValue::from_static(value))]);
            assert_eq!(Coding::of(&headers).unwrap(), coding);
        }
        for value in ["br", "gzip, zstd", "deflate"] {
            let headers = HeaderMap::from_iter([(header::CONTENT_ENCODING, HeaderValue::from_static(value))]);
            let refused = Coding::of(&headers).unwrap_err().answer();
            assert_eq!(refused.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
            assert_eq!(refused.headers()[header::ACCEPT_ENCODING], "gzip, zstd");
        }
    }
}
