//! Standard input, or another stream that can be read once.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::framing;
use super::reader::{Hand, Reader, Stop};
use super::{Demand, Input, Open, Resume, Source, SourceError};
use crate::batch::Partition;

/// There is nothing to set beside the framing.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {}

/// Reads standard input to its end. Positions are byte offsets in what this run reads.
///
/// A thread stands in the read, so that an input on which nothing comes keeps nobody from ending.
#[derive(Debug)]
pub struct Stdin {
    framing: framing::Settings,
    partition: Partition,
    stream: Option<Arc<OwnedFd>>,
}

impl Stdin {
    /// Standard input, in the partition `stdin@RUN`.
    pub fn new(framing: framing::Settings, run: &str) -> Stdin {
        Stdin { framing, partition: Partition::new(format!("stdin@{run}")), stream: None }
    }

    /// The same with another stream in place of standard input.
    pub fn with_stream(self, stream: OwnedFd) -> Stdin {
        Stdin { stream: Some(Arc::new(stream)), ..self }
    }
}

#[async_trait]
impl Open for Stdin {
    fn replayable(&self) -> bool {
        false
    }

    /// Whoever writes to it may go on for ever.
    fn ends(&self) -> bool {
        false
    }

    /// Nothing is there to go back to, whatever `resume` says.
    async fn open(&self, _: Resume) -> Result<Box<dyn Source>, SourceError> {
        let (framing, partition) = (self.framing.clone(), self.partition.clone());
        let stream = self.stream.clone();
        let reader = Reader::spawn("stdin", move |hand| match stream {
            Some(stream) => read(&stream, &framing, &partition, hand),
            None => read(io::stdin(), &framing, &partition, hand),
        })?;
        Ok(Box::new(Reading { reader }))
    }
}

fn read(stream: impl AsFd, framing: &framing::Settings, partition: &Partition, hand: &Hand) -> Result<(), Stop> {
    hand.over(Input::Assigned(vec![(partition.clone(), 0)]))?;
    hand.over_all(stream, &mut framing.framer(partition.clone(), 0), "standard input")?;
    Ok(())
}

struct Reading {
    reader: Reader,
}

#[async_trait]
impl Source for Reading {
    async fn next(&mut self, demand: Demand) -> Result<Input, SourceError> {
        self.reader.next(demand).await
    }

    /// What was read is gone: there is nobody to tell.
    async fn acknowledge(&mut self, _: &BTreeMap<Partition, u64>) -> Result<(), SourceError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    async fn open(stream: impl Into<OwnedFd>) -> Box<dyn Source> {
        let stdin = Stdin::new(framing::Settings::default(), "r1").with_stream(stream.into());
        stdin.open(Resume::default()).await.unwrap()
    }

    #[tokio::test]
    async fn lines_come_as_soon_as_they_are_written() {
        let (reader, mut writer) = io::pipe().unwrap();
        let mut source = open(reader).await;
        let Ok(Input::Assigned(assigned)) = source.next(Demand::Events).await else { panic!() };
        assert_eq!(assigned, [(Partition::from("stdin@r1"), 0)]);
        for (text, events, end) in [("a\nb\nc", 2, 4), ("d\n", 1, 7)] {
            writer.write_all(text.as_bytes()).unwrap();
            let Ok(Input::Block(block)) = source.next(Demand::Events).await else { panic!() };
            assert_eq!((block.batch.len(), block.ends[0].1), (events, end));
        }
        drop(writer);
        assert!(matches!(source.next(Demand::Events).await, Ok(Input::Ended)));
    }

    #[tokio::test]
    async fn a_source_on_which_nothing_comes_can_be_dropped() {
        let (reader, writer) = io::pipe().unwrap();
        let mut source = open(reader).await;
        assert!(matches!(source.next(Demand::Events).await, Ok(Input::Assigned(_))));
        drop(source);
        drop(writer);
    }

    #[tokio::test]
    async fn what_can_not_be_read_is_told() {
        let mut source = open(std::fs::File::open(".").unwrap()).await;
        assert!(matches!(source.next(Demand::Events).await, Ok(Input::Assigned(_))));
        let error = source.next(Demand::Events).await.unwrap_err();
        assert!(error.message.contains("standard input can't be read"), "{error}");
    }
}
