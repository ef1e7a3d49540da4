//! A thread for a source that reads by calls that block, so that neither the runtime nor the exit waits for a read.

use std::os::fd::AsFd;
use std::thread;

use rustix::buffer::spare_capacity;
use tokio::sync::mpsc;

use super::framing::Lines;
use super::{Demand, Input, SourceError};
use crate::envelope::Block;

/// Blocks that are read ahead. Each holds about one read buffer.
const AHEAD: usize = 2;

/// The end of the thread that the source keeps. When it is dropped, the thread ends with its next block.
#[derive(Debug)]
pub(super) struct Reader {
    inputs: mpsc::Receiver<Result<Input, SourceError>>,
    /// What was taken from the thread and could not be handed over yet.
    head: Option<Result<Input, SourceError>>,
    ended: bool,
}

/// The end that the thread keeps.
#[derive(Debug)]
pub(super) struct Hand(mpsc::Sender<Result<Input, SourceError>>);

/// Why a thread ends before its input does.
pub(super) enum Stop {
    /// It can't go on.
    Failed(SourceError),
    /// Nobody takes what it reads any more.
    NotWanted,
}

impl From<SourceError> for Stop {
    fn from(error: SourceError) -> Stop {
        Stop::Failed(error)
    }
}

impl Hand {
    /// Waits until there is room.
    pub(super) fn over(&self, input: Input) -> Result<(), Stop> {
        self.0.blocking_send(Ok(input)).map_err(|_| Stop::NotWanted)
    }

    /// The same for each of some blocks.
    pub(super) fn over_blocks(&self, blocks: Vec<Block>) -> Result<(), Stop> {
        blocks.into_iter().try_for_each(|block| self.over(Input::Block(Box::new(block))))
    }

    /// Whether nobody takes anything any more.
    pub(super) fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    /// Reads a stream, which is called `name`, and hands its blocks over. Returns how many bytes there were.
    pub(super) fn over_all(&self, stream: impl AsFd, lines: &mut Lines, name: &str) -> Result<u64, Stop> {
        let mut bytes = 0;
        loop {
            let mut buffer = lines.buffer();
            let read = match rustix::io::read(&stream, spare_capacity(&mut buffer)) {
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => {
                    let error = std::io::Error::from(error);
                    return Err(Stop::Failed(SourceError { message: format!("{name} can't be read: {error}") }));
                }
                Ok(read) => read,
            };
            bytes += read as u64;
            let blocks = if read == 0 { lines.finish(buffer)? } else { lines.frame(buffer)? };
            self.over_blocks(blocks)?;
            if read == 0 {
                return Ok(bytes);
            }
        }
    }
}

impl Reader {
    /// Begins to read. When `read` returns, the source has ended.
    pub(super) fn spawn<F>(name: &str, read: F) -> Result<Reader, SourceError>
    where
        F: FnOnce(&Hand) -> Result<(), Stop> + Send + 'static,
    {
        let (sender, inputs) = mpsc::channel(AHEAD);
        let run = move || {
            let hand = Hand(sender);
            let last = match read(&hand) {
                Ok(()) => Ok(Input::Ended),
                Err(Stop::Failed(error)) => Err(error),
                Err(Stop::NotWanted) => return,
            };
            // Nobody may be there to take it, which is as well.
            hand.0.blocking_send(last).ok();
        };
        // Nobody joins the thread: it may stand in a read that never returns.
        let started = thread::Builder::new().name(name.to_owned()).spawn(run);
        started.map_err(|error| SourceError { message: format!("no thread to read {name} with: {error}") })?;
        Ok(Reader { inputs, head: None, ended: false })
    }

    /// As [`Source::next`](super::Source::next).
    pub(super) async fn next(&mut self, demand: Demand) -> Result<Input, SourceError> {
        if self.ended {
            return Ok(Input::Ended);
        }
        if self.head.is_none() {
            self.head = self.inputs.recv().await;
        }
        if demand == Demand::Nothing && matches!(self.head, Some(Ok(Input::Block(_)))) {
            std::future::pending::<()>().await;
        }
        let input = self.head.take().unwrap_or_else(|| {
            Err(SourceError { message: "the thread that reads has ended before its input".into() })
        })?;
        self.ended = matches!(input, Input::Ended);
        Ok(input)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{BatchBuilder, Partition};
    use futures_util::FutureExt;

    fn block() -> Input {
        Input::Block(Box::new(Block { batch: BatchBuilder::new().finish().unwrap(), ends: Vec::new(), rejects: None }))
    }

    #[tokio::test]
    async fn no_block_comes_where_none_can_be_taken_and_it_is_not_lost() {
        let assigned = || Input::Assigned(vec![(Partition::from("p"), 0)]);
        let mut reader =
            Reader::spawn("test", move |hand| hand.over(assigned()).and_then(|()| hand.over(block()))).unwrap();
        assert!(matches!(reader.next(Demand::Nothing).await, Ok(Input::Assigned(_))));
        while reader.head.is_none() {
            tokio::task::yield_now().await;
            assert!(reader.next(Demand::Nothing).now_or_never().is_none());
        }
        assert!(matches!(reader.next(Demand::Events).await, Ok(Input::Block(_))));
        assert!(matches!(reader.next(Demand::Nothing).await, Ok(Input::Ended)));
        assert!(matches!(reader.next(Demand::Events).await, Ok(Input::Ended)));
    }

    #[tokio::test]
    async fn a_failure_and_a_dead_thread_are_no_end() {
        let failed = |_: &Hand| Err(Stop::Failed(SourceError { message: "no".into() }));
        let mut reader = Reader::spawn("test", failed).unwrap();
        assert_eq!(reader.next(Demand::Nothing).await.unwrap_err().message, "no");
        let mut reader = Reader::spawn("test", |_| Err(Stop::NotWanted)).unwrap();
        assert!(reader.next(Demand::Events).await.unwrap_err().message.contains("before its input"));
    }

    #[tokio::test]
    async fn the_thread_ends_when_nobody_wants_its_blocks() {
        let (ended, wait) = tokio::sync::oneshot::channel();
        let reader = Reader::spawn("test", move |hand| {
            let stop = loop {
                if let Err(stop) = hand.over(block()) {
                    break stop;
                }
            };
            ended.send(matches!(stop, Stop::NotWanted)).ok();
            Err(stop)
        });
        drop(reader.unwrap());
        assert_eq!(wait.await, Ok(true));
    }
}
