//! Events made up here: for trying things out, and for measuring everything but a source.

mod columns;
mod settings;

use std::collections::BTreeMap;
use std::future::pending;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep_until};

use self::columns::Columns;
use super::{Demand, Input, Open, Resume, Source, SourceError};
use crate::batch::Partition;
use crate::units::rate::Rate;

pub use settings::Settings;

/// Events in a block, unless they are large.
const EVENTS: usize = 4096;

/// How often events come under a rate that asks for more than one in this time.
const TICK: Duration = Duration::from_millis(10);

/// How much of what was not taken in time is made up for.
const CATCH_UP: Duration = Duration::from_secs(1);

/// Makes events up. Positions are running numbers from 0, in the partition `generate@RUN`.
///
/// The payload is a JSON object `{"n":0,"text":"…"}`. Events are made once, and come again in every block: `n`, key and
/// headers repeat, only positions and times differ. So an event costs next to nothing.
#[derive(Debug)]
pub struct Generator {
    settings: Settings,
    partition: Partition,
}

impl Generator {
    /// Nothing is made yet.
    pub fn new(settings: Settings, run: &str) -> Generator {
        Generator { settings, partition: Partition::new(format!("generate@{run}")) }
    }
}

#[async_trait]
impl Open for Generator {
    fn replayable(&self) -> bool {
        false
    }

    fn ends(&self) -> bool {
        self.settings.count.is_some()
    }

    /// Begins with number 0, whatever `resume` says: the partition is that of one run.
    async fn open(&self, _: Resume) -> Result<Box<dyn Source>, SourceError> {
        Ok(Box::new(Generating {
            columns: Columns::new(&self.settings)?,
            partition: self.partition.clone(),
            pace: self.settings.rate.map(Pace::new),
            left: self.settings.count.unwrap_or(u64::MAX),
            assigned: false,
            next: 0,
        }))
    }
}

struct Generating {
    columns: Columns,
    partition: Partition,
    pace: Option<Pace>,
    assigned: bool,
    /// How many events are to come.
    left: u64,
    /// The number of the next one.
    next: u64,
}

#[async_trait]
impl Source for Generating {
    async fn next(&mut self, demand: Demand) -> Result<Input, SourceError> {
        if !self.assigned {
            self.assigned = true;
            return Ok(Input::Assigned(vec![(self.partition.clone(), 0)]));
        }
        if self.left == 0 {
            return Ok(Input::Ended);
        }
        if demand == Demand::Nothing {
            pending::<()>().await;
        }
        let most = self.left.min(self.columns.events() as u64);
        let events = match &mut self.pace {
            Some(pace) => pace.due(most).await,
            None => most,
        };
        let block = self.columns.block(&self.partition, self.next, events as usize)?;
        self.next += events;
        self.left -= events;
        Ok(Input::Block(Box::new(block)))
    }

    /// Nothing can be made again.
    async fn acknowledge(&mut self, _: &BTreeMap<Partition, u64>) -> Result<(), SourceError> {
        Ok(())
    }
}

/// When events are due.
#[derive(Debug)]
struct Pace {
    rate: Rate,
    /// Since when `sent` events were due.
    since: Option<Instant>,
    sent: u64,
}

impl Pace {
    fn new(rate: Rate) -> Pace {
        Pace { rate, since: None, sent: 0 }
    }

    /// Waits until events are due, and says how many: at least one, at most `most`. They count as sent.
    async fn due(&mut self, most: u64) -> u64 {
        let rate = self.rate.a_second();
        let since = *self.since.get_or_insert_with(Instant::now);
        let together = (rate * TICK.as_secs_f64()).clamp(1.0, most.max(1) as f64) as u64;
        let late = Duration::try_from_secs_f64((self.sent + together) as f64 / rate).unwrap_or(Duration::MAX);
        match since.checked_add(late) {
            Some(when) => sleep_until(when).await,
            None => pending().await,
        }
        let due = (since.elapsed().as_secs_f64() * rate) as u64;
        let events = due.saturating_sub(self.sent).clamp(together, most.max(1)).min(most);
        self.sent += events;
        if due.saturating_sub(self.sent) as f64 > rate * CATCH_UP.as_secs_f64() {
            (self.since, self.sent) = (Some(Instant::now()), 0);
        }
        events
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::Block;
    use futures_util::FutureExt;

    async fn open(settings: Settings) -> Box<dyn Source> {
        let mut source = Generator::new(settings, "r").open(Resume::default()).await.unwrap();
        let Ok(Input::Assigned(assigned)) = source.next(Demand::Nothing).await else { panic!() };
        assert_eq!(assigned, [(Partition::from("generate@r"), 0)]);
        source
    }

    async fn block(source: &mut Box<dyn Source>) -> Block {
        match source.next(Demand::Events).await {
            Ok(Input::Block(block)) => *block,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn as_many_events_come_as_were_asked_for() {
        let mut source = open(Settings { count: Some(10_000), ..Settings::default() }).await;
        let (mut events, mut number) = (Vec::new(), 0);
        for _ in 0..3 {
            assert!(source.next(Demand::Nothing).now_or_never().is_none());
            let block = block(&mut source).await;
            for position in block.batch.origin().positions() {
                assert_eq!(*position, number);
                number += 1;
            }
            assert_eq!(block.ends, [(Partition::from("generate@r"), number)]);
            events.push(block.batch.len());
        }
        assert_eq!(events, [4096, 4096, 1808]);
        assert!(matches!(source.next(Demand::Nothing).await, Ok(Input::Ended)));
    }

    #[tokio::test(start_paused = true)]
    async fn events_come_at_the_rate_that_was_asked_for() {
        for (rate, seconds, expected) in [(1000.0, 2, 2000), (2.0, 5, 10), (100_000.0, 1, 100_000), (0.1, 30, 3)] {
            let mut source = open(Settings { rate: Rate::new(rate), ..Settings::default() }).await;
            let end = Instant::now() + Duration::from_secs(seconds) + Duration::from_millis(1);
            let mut events = 0;
            while let Ok(block) = tokio::time::timeout_at(end, block(&mut source)).await {
                events += block.batch.len();
            }
            let tick = (rate / 100.0) as usize + 1;
            assert!(events.abs_diff(expected) < tick.max(2), "{rate}: {events}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_not_taken_is_made_up_for_in_part() {
        let mut source = open(Settings { rate: Rate::new(1000.0), ..Settings::default() }).await;
        block(&mut source).await;
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!(block(&mut source).await.batch.len(), 4096);
        assert_eq!(block(&mut source).await.batch.len(), 10, "an hour is not made up for");
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_is_given_up_loses_nothing() {
        let mut source = open(Settings { rate: Rate::new(10.0), ..Settings::default() }).await;
        for _ in 0..4 {
            let wait = source.next(Demand::Events);
            assert!(tokio::time::timeout(Duration::from_millis(20), wait).await.is_err());
        }
        assert_eq!(block(&mut source).await.batch.origin().positions(), [0]);
        assert_eq!(block(&mut source).await.batch.origin().positions(), [1]);
    }
}
