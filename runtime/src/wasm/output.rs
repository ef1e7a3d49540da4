//! What guests print: log records of their sink.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncWrite;
use tokio::time::Instant;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use crate::units::text;

/// A longer line becomes several records.
const MAX_LINE: usize = 4 << 10;
/// So many records a period; the others are counted.
const MAX_RECORDS: u32 = 100;
const PERIOD: Duration = Duration::from_secs(10);

/// Standard output or error of one instance. It takes everything and never fails: a guest that prints too much must
/// not trap for it.
#[derive(Clone)]
pub(super) struct Output(Arc<Mutex<Lines>>);

impl Output {
    /// `stream` is `stdout` or `stderr`.
    pub(super) fn new(pipeline: &str, sink: &str, instance: u32, stream: &'static str) -> Output {
        let (pipeline, sink) = (pipeline.to_owned(), sink.to_owned());
        let record = move |line: &str| {
            tracing::info!(target: "sump::guest", pipeline, sink, instance, stream, "{line}");
        };
        Output(Arc::new(Mutex::new(Lines::new(Box::new(record)))))
    }

    fn take(&self, bytes: &[u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take(bytes, Instant::now());
    }
}

/// Cuts what is printed into lines, and counts those that are too many.
struct Lines {
    record: Box<dyn FnMut(&str) + Send>,
    begun: VecDeque<u8>,
    period: Option<Instant>,
    records: u32,
    dropped: u64,
}

impl Lines {
    fn new(record: Box<dyn FnMut(&str) + Send>) -> Lines {
        Lines { record, begun: VecDeque::new(), period: None, records: 0, dropped: 0 }
    }

    fn take(&mut self, bytes: &[u8], now: Instant) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            for piece in piece.chunks(MAX_LINE) {
                self.begun.extend(piece);
                if piece.ends_with(b"\n") || self.begun.len() >= MAX_LINE {
                    let line: Vec<u8> = self.begun.drain(..).collect();
                    self.line(&line, now);
                }
            }
        }
    }

    fn line(&mut self, line: &[u8], now: Instant) {
        if self.period.is_none_or(|begun| now.duration_since(begun) >= PERIOD) {
            self.period = Some(now);
            self.records = 0;
            self.say_dropped();
        }
        if self.records == MAX_RECORDS {
            self.dropped += 1;
            return;
        }
        let line = text::clean(&String::from_utf8_lossy(line), MAX_LINE);
        if !line.is_empty() {
            self.records += 1;
            (self.record)(&line);
        }
    }

    fn say_dropped(&mut self) {
        if self.dropped > 0 {
            (self.record)(&format!("({} more lines were left out)", self.dropped));
            self.dropped = 0;
        }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        let rest: Vec<u8> = self.begun.drain(..).collect();
        if !rest.is_empty() {
            self.line(&rest, Instant::now());
        }
        self.say_dropped();
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl AsyncWrite for Output {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        self.take(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[async_trait::async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {}
}

impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.take(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(64 << 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(print: impl FnOnce(&mut Lines)) -> Vec<String> {
        let records = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&records);
        let mut lines = Lines::new(Box::new(move |line| shared.lock().unwrap().push(line.to_owned())));
        print(&mut lines);
        drop(lines);
        Arc::into_inner(records).unwrap().into_inner().unwrap()
    }

    #[test]
    fn lines_are_put_together_from_pieces() {
        let now = Instant::now();
        let records = recorded(|lines| {
            for piece in ["on", "e\ntwo\n\nth", "ree"] {
                lines.take(piece.as_bytes(), now);
            }
        });
        assert_eq!(records, ["one", "two", "three"]);
    }

    #[test]
    fn a_flood_is_counted_and_not_recorded() {
        let now = Instant::now();
        let records = recorded(|lines| {
            for _ in 0..1000 {
                lines.take(b"x\n", now);
            }
            lines.take(b"later\n", now + PERIOD);
        });
        assert_eq!(records.len(), MAX_RECORDS as usize + 2);
        assert_eq!(records[100..], ["(900 more lines were left out)", "later"]);
    }

    #[test]
    fn what_could_steer_a_terminal_is_taken_out() {
        assert_eq!(recorded(|lines| lines.take(b"\x1b[31mred\r\n", Instant::now())), ["[31mred"]);
    }
}
