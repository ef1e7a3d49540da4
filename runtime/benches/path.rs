//! What the way of a batch costs, from a source's block to the acknowledgement, where neither source nor sink does
//! anything: generated blocks of 4,096 events into `null`. Time on the processor of the whole process, all threads.
//!
//! A batch that straddles two blocks is copied. How many were is counted, and what a copy costs is measured apart.

#[path = "support/figures.rs"]
mod figures;

use std::hint::black_box;
use std::time::Duration;

use figures::{Fail, median, report};
use rustix::time::{ClockId, clock_gettime};
use sump::batch::{Batch, BatchBuilder, Event, Partition};
use sump::config::{self, Text};
use sump::pipeline::{self, Host};
use sump::source::generate::{self, Generator};
use sump::source::{Demand, Input, Open, Resume};

const ROUNDS: usize = 7;
/// Events in a block of the generator.
const BLOCK: usize = 4096;
/// Blocks that the queue holds, about.
const QUEUED: usize = 150;

/// Events in a batch, and batches in a round. Batches as large as a block are never copied.
const CASES: [(usize, usize); 5] = [(1, 200_000), (100, 20_000), (1000, 20_000), (BLOCK, 10_000), (10_000, 4_000)];

fn main() -> Result<(), Fail> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let block = runtime.block_on(making())?;
    report("path", "making a block of 4096, not of the path", block, "us")?;
    for (events, batches) in CASES {
        let copy = median((0..ROUNDS).map(|_| copying(events)).collect::<Result<_, _>>()?);
        let (mut took, mut copied) = (Vec::new(), 0.0);
        for _ in 0..ROUNDS {
            let round = runtime.block_on(round(events, batches))?;
            took.push(round.cpu / round.batches);
            copied = round.copied / round.batches;
        }
        let (name, took) = (format!("batches of {events}"), median(took));
        report("path", &name, took, "us/batch")?;
        report("path", &format!("{name}: copied"), copied * 100.0, "%")?;
        report("path", &format!("{name}: one copy"), copy, "us")?;
        let beside = took - copied * copy - block * events as f64 / BLOCK as f64;
        report("path", &format!("{name}: beside copies and making"), beside, "us/batch")?;
    }
    Ok(())
}

/// What one run took.
struct Round {
    /// Microseconds, from before the source is opened until everything is acknowledged.
    cpu: f64,
    batches: f64,
    copied: f64,
}

async fn round(events: usize, batches: usize) -> Result<Round, Fail> {
    let count = events * batches;
    let text = format!(
        "[source.made]\ntype = \"generate\"\ncount = {count}\n\
         [pipeline.bench]\nsource = \"made\"\n\
         [pipeline.bench.sink.none]\ntype = \"null\"\nbatch_size = {events}\n"
    );
    let no_variables = |_: &str| None;
    let (plan, _) = config::load_texts(&[Text::new("bench.toml", text)], &no_variables)
        .map_err(|problems| format!("{problems:?}"))?;
    let folder = tempfile::tempdir()?;
    let host = Host {
        data_dir: folder.path().join("data"),
        cache_dir: folder.path().join("cache"),
        run: "bench".into(),
        colour: false,
        from_start: true,
        reopen: Default::default(),
        environment: &no_variables,
    };
    let pipelines = pipeline::build(&plan, &host).await?;
    let overview = pipelines.overview();
    let began = processor_time();
    let ended = pipelines.run(Duration::from_secs(60)).await;
    let cpu = processor_time() - began;
    let metrics = &overview.sinks[0].metrics;
    if !ended.errors.is_empty() || metrics.written.get() != count as u64 {
        return Err(format!("{} of {count} events were written: {ended:?}", metrics.written.get()).into());
    }
    Ok(Round { cpu, batches: metrics.attempts.get() as f64, copied: metrics.copied_batches.get() as f64 })
}

/// Microseconds that the generator takes for a block.
async fn making() -> Result<f64, Fail> {
    const BLOCKS: usize = 20_000;
    let settings = generate::Settings { count: Some((BLOCKS * BLOCK) as u64), ..generate::Settings::default() };
    let mut source = Generator::new(settings, "bench").open(Resume::default()).await?;
    let began = processor_time();
    while let Input::Assigned(_) | Input::Block(_) = black_box(source.next(Demand::Events).await?) {}
    Ok((processor_time() - began) / BLOCKS as f64)
}

/// Microseconds to put together a batch of so many events which the blocks of the generator leave in parts. The blocks
/// are others each time, as those are that come out of the queue: none is in a cache any more.
fn copying(events: usize) -> Result<f64, Fail> {
    const REPEATS: usize = 200;
    let blocks = (0..QUEUED).map(|_| block()).collect::<Result<Vec<_>, _>>()?;
    let mut next = blocks.iter().cycle();
    let mut parts = || {
        let (mut parts, mut left) = (Vec::new(), events);
        while left > 0 {
            let part = if parts.is_empty() { left.div_ceil(2).min(BLOCK) } else { left.min(BLOCK) };
            parts.extend(next.next().map(|block| block.slice(0..part)));
            left -= part;
        }
        parts
    };
    let mut took = 0.0;
    for _ in 0..REPEATS {
        let parts = parts();
        let began = processor_time();
        black_box(Batch::concat(&parts)?);
        took += processor_time() - began;
    }
    Ok(took / REPEATS as f64)
}

fn block() -> Result<Batch, Fail> {
    let (mut builder, partition) = (BatchBuilder::new(), Partition::new("bench"));
    for position in 0..BLOCK as u64 {
        builder.push(&partition, Event { payload: Some(&[b'x'; 64]), position, ..Event::default() });
    }
    Ok(builder.finish()?)
}

/// Microseconds that this process has been on processors.
fn processor_time() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}
