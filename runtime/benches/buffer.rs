//! What a disk buffer takes in and gives back, against plain sequential writes of the same bytes to the same disk with a
//! sync as often, alternating. Generated events of 1 KiB go through a buffer into `null`.
//!
//! A commit of the buffer has at most 8 MiB, and has all of that while the disk is slower than the source.

#[path = "support/figures.rs"]
mod figures;

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use figures::{Fail, median, report};
use rustix::time::{ClockId, clock_gettime};
use sump::config::{self, Text};
use sump::pipeline::{self, Host};

const ROUNDS: usize = 5;
const EVENTS: usize = 400_000;
const EVENT: usize = 1 << 10;
/// Bytes between two syncs.
const TOGETHER: usize = 8 << 20;

fn main() -> Result<(), Fail> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let (mut through, mut plain, mut ratios, mut cpu) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        // On the disk where things are built: the folder for temporary files may be memory.
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let written = written(folder.path())?;
        let began = processor_time();
        let buffered = runtime.block_on(buffered(folder.path()))?;
        cpu.push((processor_time() - began) / megabytes());
        plain.push(megabytes() / written.as_secs_f64());
        through.push(megabytes() / buffered.as_secs_f64());
        ratios.push(written.as_secs_f64() / buffered.as_secs_f64() * 100.0);
    }
    report("buffer", "plain writes", median(plain), "MB/s")?;
    report("buffer", "through the buffer", median(through), "MB/s")?;
    report("buffer", "of plain writes", median(ratios), "%")?;
    report("buffer", "on processors", median(cpu), "us/MB")
}

fn megabytes() -> f64 {
    (EVENTS * EVENT) as f64 / 1e6
}

fn written(folder: &Path) -> Result<Duration, Fail> {
    let bytes = vec![b'x'; 1 << 20];
    let began = Instant::now();
    let mut file = File::create(folder.join("plain"))?;
    let (mut left, mut unsynced) = (EVENTS * EVENT, 0);
    while left > 0 {
        let some = left.min(bytes.len());
        file.write_all(&bytes[..some])?;
        (left, unsynced) = (left - some, unsynced + some);
        if unsynced >= TOGETHER || left == 0 {
            file.sync_data()?;
            unsynced = 0;
        }
    }
    Ok(began.elapsed())
}

async fn buffered(folder: &Path) -> Result<Duration, Fail> {
    let text = format!(
        "[source.made]\ntype = \"generate\"\ncount = {EVENTS}\nsize = {EVENT}\n\
         [pipeline.bench.sink.none]\ntype = \"null\"\nbuffer.type = \"disk\"\n"
    );
    let no_variables = |_: &str| None;
    let (plan, _) = config::load_texts(&[Text::new("bench.toml", text)], &no_variables)
        .map_err(|problems| format!("{problems:?}"))?;
    let host = Host {
        data_dir: folder.join("data"),
        cache_dir: folder.join("cache"),
        run: "bench".into(),
        colour: false,
        from_start: true,
        reopen: Default::default(),
        environment: &no_variables,
    };
    let pipelines = pipeline::build(&plan, &host).await?;
    let overview = pipelines.overview();
    let began = Instant::now();
    let ended = pipelines.run(Duration::from_secs(60)).await;
    let took = began.elapsed();
    let metrics = &overview.sinks[0].metrics;
    if !ended.errors.is_empty() || [metrics.written.get(), metrics.buffered.get()] != [EVENTS as u64; 2] {
        return Err(format!("{} of {EVENTS} events were written: {ended:?}", metrics.written.get()).into());
    }
    Ok(took)
}

/// Microseconds that this process has been on processors.
fn processor_time() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}
