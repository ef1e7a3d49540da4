//! Events as the body of a request.

use std::borrow::Cow;
use std::io::{self, Write};

use arrow_array::Array;
use bytes::Bytes;
use flate2::write::GzEncoder;
use serde::de::IgnoredAny;
use tokio::task::spawn_blocking;

use super::settings::{Body, Compression, Joined, Settings};
use crate::batch::Batch;
use crate::sink::outcome::Refusals;
use crate::sink::{Failure, Refusal, lines};

/// Compressing or checking more than this takes longer than other tasks of the thread should wait.
const AT_ONCE: usize = 64 << 10;
/// So much is gathered before it is compressed: it is still in the processor's cache then.
const STEP: usize = 32 << 10;

/// A JSON array.
static ARRAY: Joined = Joined { prefix: Cow::Borrowed("["), separator: Cow::Borrowed(","), suffix: Cow::Borrowed("]") };
/// One event.
static EVENT: Joined = Joined { prefix: Cow::Borrowed(""), separator: Cow::Borrowed(""), suffix: Cow::Borrowed("") };

/// How bodies are made.
#[derive(Clone, Debug)]
pub(super) struct Form {
    pub(super) body: Body,
    strict: bool,
    compression: Compression,
}

/// A body that was made.
#[derive(Debug)]
pub(super) struct Made {
    /// None where no event has anything to send.
    pub(super) bytes: Option<Bytes>,
    /// Events that have no place in it.
    pub(super) refused: Vec<Refusal>,
}

impl Form {
    pub(super) fn new(settings: &Settings) -> Form {
        Form { body: settings.body.clone(), strict: settings.strict, compression: settings.compression }
    }

    /// The body for a batch. Tombstones have nothing in it.
    pub(super) async fn of(&self, batch: &Batch) -> Result<Made, Failure> {
        let made = if self.is_quick(batch) {
            self.make(batch)
        } else {
            let (form, batch) = (self.clone(), batch.clone());
            let made = spawn_blocking(move || form.make(&batch)).await;
            made.unwrap_or_else(|error| Err(io::Error::other(error)))
        };
        made.map_err(|error| Failure::transient("body", format!("the body can't be made: {error}")))
    }

    fn is_quick(&self, batch: &Batch) -> bool {
        let copied = self.compression == Compression::None && self.body != Body::Array && !self.strict;
        copied || batch.payload_bytes() <= AT_ONCE
    }

    fn make(&self, batch: &Batch) -> io::Result<Made> {
        let (mut out, mut refused) = (Out::new(self.compression, batch)?, Refusals::default());
        let any = match &self.body {
            Body::Ndjson => self.lines(batch, &mut out, &mut refused)?,
            Body::Array => self.joined(&ARRAY, batch, &mut out, &mut refused)?,
            Body::Each => self.joined(&EVENT, batch, &mut out, &mut refused)?,
            Body::Joined(joined) => self.joined(joined, batch, &mut out, &mut refused)?,
        };
        let bytes = if any { Some(out.finish()?) } else { None };
        Ok(Made { bytes, refused: refused.finish() })
    }

    /// All that is asked of the payload of one event.
    fn check(&self, payload: &[u8]) -> Result<(), Failure> {
        let checked = self.strict || self.body == Body::Array;
        if checked && serde_json::from_slice::<IgnoredAny>(payload).is_err() {
            return Err(Failure::rejected("json", "the payload is not JSON"));
        }
        Ok(())
    }

    /// Whether there are any.
    fn lines(&self, batch: &Batch, out: &mut Out, refused: &mut Refusals) -> io::Result<bool> {
        // Compressed while it is in the cache; else in one go.
        let rows = if out.packer.is_some() { 256 } else { batch.len() };
        let mut any = false;
        for start in (0..batch.len()).step_by(rows.max(1)) {
            let part = batch.slice(start..batch.len().min(start + rows));
            if !self.strict && lines::all(&part, &mut out.text) {
                any = true;
                out.step()?;
                continue;
            }
            for row in 0..part.len() {
                if part.payload().is_null(row) {
                    continue;
                }
                let line = self.check(part.payload().value(row)).and_then(|()| {
                    lines::one(&part, row, &mut out.text).map_err(|lines::NotALine| {
                        let message = "the payload has a newline and is not JSON: a line can't hold it";
                        Failure::rejected("newline", message)
                    })
                });
                match line {
                    Ok(()) => any = true,
                    Err(failure) => refused.add((start + row) as u32, failure),
                }
                out.step()?;
            }
        }
        Ok(any)
    }

    /// The payloads as they are. Whether there are any.
    fn joined(&self, joined: &Joined, batch: &Batch, out: &mut Out, refused: &mut Refusals) -> io::Result<bool> {
        let (payload, mut any) = (batch.payload(), false);
        for row in (0..batch.len()).filter(|row| !payload.is_null(*row)) {
            let value = payload.value(row);
            if let Err(failure) = self.check(value) {
                refused.add(row as u32, failure);
                continue;
            }
            let before = if any { &joined.separator } else { &joined.prefix };
            out.text.extend_from_slice(before.as_bytes());
            out.text.extend_from_slice(value);
            any = true;
            out.step()?;
        }
        if any {
            out.text.extend_from_slice(joined.suffix.as_bytes());
        }
        Ok(any)
    }
}

/// What a body is written to.
struct Out {
    /// The body, or what of it was not compressed yet.
    text: Vec<u8>,
    packer: Option<Packer>,
}

enum Packer {
    Gzip(GzEncoder<Vec<u8>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

impl Out {
    fn new(compression: Compression, batch: &Batch) -> io::Result<Out> {
        let packed = || Vec::with_capacity(batch.payload_bytes() / 4);
        let packer = match compression {
            Compression::None => None,
            Compression::Gzip => Some(Packer::Gzip(GzEncoder::new(packed(), flate2::Compression::default()))),
            Compression::Zstd => Some(Packer::Zstd(zstd::stream::write::Encoder::new(packed(), 0)?)),
        };
        let room = if packer.is_some() { 2 * STEP } else { batch.payload_bytes() + batch.len() + 2 };
        Ok(Out { text: Vec::with_capacity(room), packer })
    }

    /// Compresses what is there, once it is enough.
    fn step(&mut self) -> io::Result<()> {
        if self.packer.is_some() && self.text.len() >= STEP { self.pack() } else { Ok(()) }
    }

    fn pack(&mut self) -> io::Result<()> {
        match &mut self.packer {
            Some(Packer::Gzip(packer)) => packer.write_all(&self.text)?,
            Some(Packer::Zstd(packer)) => packer.write_all(&self.text)?,
            None => return Ok(()),
        }
        self.text.clear();
        Ok(())
    }

    fn finish(mut self) -> io::Result<Bytes> {
        self.pack()?;
        Ok(match self.packer {
            Some(Packer::Gzip(packer)) => packer.finish()?,
            Some(Packer::Zstd(packer)) => packer.finish()?,
            None => self.text,
        }
        .into())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::batch::{BatchBuilder, Event, Partition, RowSet};

    fn batch(payloads: &[Option<&str>]) -> Batch {
        let mut builder = BatchBuilder::new();
        for payload in payloads {
            let payload = payload.map(str::as_bytes);
            builder.push(&Partition::from("p"), Event { payload, ..Event::default() });
        }
        builder.finish().unwrap()
    }

    fn made(body: Body, strict: bool, payloads: &[Option<&str>]) -> (Option<String>, Vec<(String, RowSet)>) {
        let form = Form { body, strict, compression: Compression::None };
        let made = form.make(&batch(payloads)).unwrap();
        let text = made.bytes.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap());
        (text, made.refused.into_iter().map(|refusal| (refusal.failure.code.to_string(), refusal.rows)).collect())
    }

    const MIXED: [Option<&str>; 5] = [Some("1"), Some("{\n}"), None, Some("a\nb"), Some("no json")];

    #[test]
    fn each_form_has_the_events_that_it_can_hold() {
        let rows = |rows: &[u32]| RowSet::from_rows(rows.to_vec());
        assert_eq!(
            made(Body::Ndjson, false, &MIXED),
            (Some("1\n{ }\nno json\n".into()), vec![("newline".into(), rows(&[3]))])
        );
        assert_eq!(made(Body::Ndjson, true, &MIXED), (Some("1\n{ }\n".into()), vec![("json".into(), rows(&[3, 4]))]));
        assert_eq!(made(Body::Array, false, &MIXED), (Some("[1,{\n}]".into()), vec![("json".into(), rows(&[3, 4]))]));
        assert_eq!(made(Body::Each, false, &[Some("a\nb")]), (Some("a\nb".into()), vec![]));
        assert_eq!(made(Body::Each, true, &[Some("a\nb")]), (None, vec![("json".into(), rows(&[0]))]));
        let bulk = || Body::Joined(Joined { prefix: "<".into(), ..Joined::default() });
        assert_eq!(made(bulk(), false, &MIXED), (Some("<1\n{\n}\na\nb\nno json\n".into()), vec![]));
        for body in [Body::Ndjson, Body::Array, Body::Each, bulk()] {
            assert_eq!(made(body, false, &[None, None]), (None, vec![]));
        }
        assert_eq!(made(Body::Ndjson, false, &[Some("a"), Some("b")]).0.as_deref(), Some("a\nb\n"));
    }

    #[tokio::test]
    async fn what_is_compressed_is_the_same() {
        let lines: Vec<String> = (0..5000).map(|line| format!("{{\"line\":{line}}}")).collect();
        let mut payloads: Vec<Option<&str>> = lines.iter().map(|line| Some(line.as_str())).collect();
        payloads[3000] = Some("{\n}");
        let batch = batch(&payloads);
        let bytes = async |compression| {
            let form = Form { body: Body::Ndjson, strict: false, compression };
            form.of(&batch).await.unwrap().bytes.unwrap()
        };
        let plain = bytes(Compression::None).await;
        assert_eq!(plain.iter().filter(|byte| **byte == b'\n').count(), 5000);
        let mut text = Vec::new();
        flate2::read::GzDecoder::new(&*bytes(Compression::Gzip).await).read_to_end(&mut text).unwrap();
        assert!(text == plain);
        assert!(zstd::decode_all(&*bytes(Compression::Zstd).await).unwrap() == plain);
    }
}
