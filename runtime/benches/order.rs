//! What the order of keys costs: a sink that takes 2 ms a write, 16 lanes, 100,000 keys, batches of 1,000; the same
//! events without order beside it, round by round. Throughput by the clock, cost by time on the processor.

#[path = "support/figures.rs"]
mod figures;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use figures::{Fail, median, report};
use rustix::time::{ClockId, clock_gettime};
use sump::batch::{Batch, BatchBuilder, Event, Partition, RowSet};
use sump::delivery::{Concurrency, DeadLetter, DeadLetters, Delivery, Order, Parts, Settings, Unkept};
use sump::envelope::{Block, Ledger, PathName};
use sump::metrics::SinkMetrics;
use sump::sink::{Connect, Contract, Failure, Outcome, Sink, WriteContext, WriteError};
use tokio::sync::watch;
use tokio::task::JoinSet;

const ROUNDS: usize = 7;
const EVENTS: usize = 2_000 * BLOCK;
const BLOCK: usize = 4096;
const KEYS: usize = 100_000;
const LANES: usize = 16;
const WRITE: Duration = Duration::from_millis(2);

fn main() -> Result<(), Fail> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let blocks = blocks()?;
    let (mut unordered, mut by_key) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        unordered.push(runtime.block_on(round(&blocks, Order::None))?);
        by_key.push(runtime.block_on(round(&blocks, Order::Key))?);
    }
    let speed = |rounds: &[Round]| median(rounds.iter().map(|round| round.events_a_second).collect());
    let cost = |rounds: &[Round]| median(rounds.iter().map(|round| round.nanoseconds_an_event).collect());
    report("order", "unordered", speed(&unordered) / 1e6, "M events/s")?;
    report("order", "by key", speed(&by_key) / 1e6, "M events/s")?;
    report("order", "by key, of unordered", 100.0 * speed(&by_key) / speed(&unordered), "%")?;
    report("order", "unordered: CPU", cost(&unordered), "ns/event")?;
    report("order", "by key: CPU beyond unordered", cost(&by_key) - cost(&unordered), "ns/event")?;
    Ok(())
}

struct Round {
    events_a_second: f64,
    nanoseconds_an_event: f64,
}

/// Blocks that come again and again.
fn blocks() -> Result<Vec<Block>, Fail> {
    let (partition, mut random) = (Partition::new("bench"), fastrand::Rng::with_seed(7));
    (0..64)
        .map(|_| {
            let mut builder = BatchBuilder::new();
            for position in 0..BLOCK as u64 {
                let key = random.usize(..KEYS).to_string();
                let event =
                    Event { payload: Some(&[b'x'; 64]), key: Some(key.as_bytes()), position, ..Event::default() };
                builder.push(&partition, event);
            }
            Ok(Block { batch: builder.finish()?, ends: vec![(partition.clone(), BLOCK as u64)], rejects: None })
        })
        .collect()
}

async fn round(blocks: &[Block], order: Order) -> Result<Round, Fail> {
    let name = PathName { pipeline: "bench".into(), sink: order_name(order).into() };
    let metrics = Arc::new(SinkMetrics::default());
    let mut ledger = Ledger::new();
    let path = ledger.path(name.clone(), BTreeMap::new(), metrics.clone());
    let lanes = NonZeroUsize::new(LANES).ok_or("no lanes")?;
    let (_time_is_up, give_up) = watch::channel(false);
    let delivery = Delivery::new(Parts {
        path: name,
        settings: Settings { concurrency: Concurrency::Fixed(lanes), order, ..Settings::default() },
        connect: Arc::new(Slow(Contract::default())),
        encoder: None,
        dead_letters: Arc::new(Nowhere),
        buffer: None,
        witness: None,
        metrics: metrics.clone(),
        keep_unfinished: false,
        give_up,
    });
    let queue = delivery.queue().clone();
    let (began, cpu) = (Instant::now(), processor_time());
    let mut delivering = JoinSet::new();
    delivering.spawn(delivery.run());
    for number in 0..EVENTS / BLOCK {
        let block = &blocks[number % blocks.len()];
        if let Some(envelope) = path.take(block, &RowSet::all(BLOCK))? {
            let room = queue.room(envelope.batch().bytes()).await;
            queue.push(envelope, room);
        }
    }
    queue.close();
    delivering.join_next().await.ok_or("no delivery")???;
    let (took, cpu) = (began.elapsed().as_secs_f64(), processor_time() - cpu);
    if metrics.written.get() != EVENTS as u64 {
        return Err(format!("{} of {EVENTS} events were written", metrics.written.get()).into());
    }
    Ok(Round { events_a_second: EVENTS as f64 / took, nanoseconds_an_event: cpu / EVENTS as f64 })
}

fn order_name(order: Order) -> &'static str {
    match order {
        Order::None => "none",
        Order::Key => "key",
    }
}

/// Takes its time, and nothing else.
struct Slow(Contract);

#[async_trait]
impl Connect for Slow {
    fn contract(&self) -> &Contract {
        &self.0
    }

    async fn open(&self, _: u32) -> Result<Arc<dyn Sink>, Failure> {
        Ok(Arc::new(Slow(self.0.clone())))
    }
}

#[async_trait]
impl Sink for Slow {
    async fn write(&self, _: &Batch, _: &WriteContext) -> Result<Outcome, WriteError> {
        tokio::time::sleep(WRITE).await;
        Ok(Outcome::Written)
    }
}

/// Nothing fails here.
struct Nowhere;

#[async_trait]
impl DeadLetters for Nowhere {
    async fn put(&self, letter: DeadLetter<'_>) -> Result<(), Unkept> {
        Err(Unkept::Failed { message: format!("{} at {:?}", letter.failure, SystemTime::now()) })
    }
}

/// Nanoseconds that this process has been on processors.
fn processor_time() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}
