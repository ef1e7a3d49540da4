//! What it costs to hand events to a guest: through the host as it runs in production, and, for comparison, as a list
//! of records, which are there before the call. Times are of the processor, on one thread, everything between batch and
//! outcome included.
//!
//! An argument runs only the cases that have it in their names. `SUMP_GUESTS` names the folder of the guests; without it
//! they are built.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use sump::batch::{Batch, BatchBuilder, Event, Partition};
use sump::sink::{Connect, Outcome, Sink, WriteContext};
use sump::wasm::{Host, Settings};
use tokio::runtime::Runtime;
use tokio::time::Instant;
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Config, Engine, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

mod records {
    #![allow(missing_docs, reason = "generated")]
    wasmtime::component::bindgen!({
        path: "../tests/guests/records/wit",
        world: "records",
        ownership: Borrowing { duplicate_if_necessary: false },
        exports: { default: async },
    });
}

use records::exports::bench::records::sink::{Event as Record, Header};

type Fail = Box<dyn std::error::Error>;

const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_millis(40);
const HEADERS: [(&[u8], &[u8]); 2] = [(b"content-type", b"application/json"), (b"trace", b"4bf92f3577b34da6")];

#[derive(Clone, Copy)]
struct Case {
    search: bool,
    bytes: usize,
    headers: usize,
    events: usize,
}

impl Case {
    fn name(&self) -> String {
        let mode = if self.search { "search" } else { "offsets" };
        format!("{mode}/{}B/{}h/{}", self.bytes, self.headers, self.events)
    }

    fn batch(&self) -> Result<Batch, Fail> {
        let (mut builder, partition) = (BatchBuilder::new(), Partition::from("bench"));
        for row in 0..self.events {
            let payload: Vec<u8> = (0..self.bytes).map(|i| b'a' + ((row * 31 + i * 7) % 26) as u8).collect();
            let (payload, headers) = (Some(payload.as_slice()), &HEADERS[..self.headers]);
            builder.push(&partition, Event { payload, headers, position: row as u64, ..Event::default() });
        }
        Ok(builder.finish()?)
    }
}

fn main() -> Result<(), Fail> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let chosen = std::env::args().skip(1).find(|argument| !argument.starts_with("--")).unwrap_or_default();
    let columns = Columns::new()?;
    let mut records = Records::new(&runtime)?;
    let mut out = std::io::stdout();
    writeln!(out, "{:<24}{:>14}{:>14}{:>16}{:>9}", "case", "M events/s", "ns/event", "records, ns", "ratio")?;
    for search in [false, true] {
        for headers in [0, 2] {
            for bytes in [64, 256, 1024] {
                for events in [1, 100, 500, 1000] {
                    let case = Case { search, bytes, headers, events };
                    if !case.name().contains(&chosen) {
                        continue;
                    }
                    let ours = columns.measure(&runtime, case)?;
                    let theirs = records.measure(&runtime, case)?;
                    let (name, rate, ratio) = (case.name(), 1e3 / ours, theirs / ours);
                    writeln!(out, "{name:<24}{rate:>14.1}{ours:>14.1}{theirs:>16.1}{ratio:>9.1}")?;
                    report(&name, 1e9 / ours, "events/s")?;
                    report(&name, ours, "ns/event")?;
                    report(&format!("{name}/records"), theirs, "ns/event")?;
                }
            }
        }
    }
    Ok(())
}

/// Appends to the file that the caller asked for, one JSON object a line.
fn report(case: &str, value: f64, unit: &str) -> Result<(), Fail> {
    let Some(file) = std::env::var_os("SUMP_BENCH_JSON") else { return Ok(()) };
    let line = serde_json::json!({ "bench": "boundary", "case": case, "value": value, "unit": unit });
    Ok(writeln!(OpenOptions::new().create(true).append(true).open(file)?, "{line}")?)
}

/// The median of some rounds, in nanoseconds an event.
fn measured(events: usize, mut call: impl FnMut() -> Result<(), Fail>) -> Result<f64, Fail> {
    let mut rounds = Vec::new();
    for _ in 0..=ROUNDS {
        let (begun, mut calls) = (on_processor(), 0);
        while on_processor() - begun < ROUND {
            for _ in 0..16 {
                call()?;
            }
            calls += 16;
        }
        rounds.push((on_processor() - begun).as_nanos() as f64 / (calls * events) as f64);
    }
    // The first warms up.
    rounds.remove(0);
    rounds.sort_by(f64::total_cmp);
    Ok(rounds[ROUNDS / 2])
}

fn on_processor() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Where a guest is, once it is built.
fn guest(package: &str) -> Result<PathBuf, Fail> {
    let file = Path::new(&package.replace('-', "_")).with_extension("wasm");
    if let Some(folder) = std::env::var_os("SUMP_GUESTS") {
        return Ok(Path::new(&folder).join(file));
    }
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guests");
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--profile", "guest", "--target", "wasm32-wasip2", "--package", package])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .env("CARGO_TARGET_DIR", &target)
        .env_remove("RUSTFLAGS")
        .status()?;
    if !status.success() {
        return Err(format!("building {package} failed: `rustup target add wasm32-wasip2`?").into());
    }
    Ok(target.join("wasm32-wasip2/guest").join(file))
}

/// The host as it is.
struct Columns {
    component: sump::wasm::Component,
}

impl Columns {
    fn new() -> Result<Columns, Fail> {
        let host = Host::new(Path::new(env!("CARGO_TARGET_TMPDIR")).join("wasm-cache"))?;
        Ok(Columns { component: host.load(&guest("guest-bench")?)? })
    }

    fn measure(&self, runtime: &Runtime, case: Case) -> Result<f64, Fail> {
        let mode = if case.search { "search" } else { "offsets" };
        let settings = Settings { config: serde_json::json!({ "mode": mode }), ..Settings::new("guest.wasm") };
        let sink = self.component.connect("bench", "sink", &settings, &BTreeMap::new(), NonZeroUsize::MIN)?;
        let sink: Arc<dyn Sink> = runtime.block_on(sink.open(0)).map_err(|failure| failure.to_string())?;
        let batch = case.batch()?;
        let timeout = Duration::from_secs(30);
        let (pipeline, name) = (Arc::from("bench"), Arc::from("sink"));
        let deadline = Instant::now() + Duration::from_secs(3600);
        let context = WriteContext {
            pipeline,
            sink: name,
            attempt: 1,
            deadline,
            timeout,
            ordered: true,
            turn: Default::default(),
            next: None,
        };
        measured(case.events, || match runtime.block_on(sink.write(&batch, &context))? {
            Outcome::Written => Ok(()),
            other => Err(format!("{other:?}").into()),
        })
    }
}

/// A host whose guests can be interrupted as they can in production, which passes a list of records.
struct Records {
    store: Store<Wasi>,
    guest: records::Records,
}

struct Wasi {
    context: WasiCtx,
    table: ResourceTable,
}

impl WasiView for Wasi {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.context, table: &mut self.table }
    }
}

impl Records {
    fn new(runtime: &Runtime) -> Result<Records, Fail> {
        let mut config = Config::new();
        config.epoch_interruption(true).concurrency_support(false).wasm_component_model_async(false);
        let engine = Engine::new(&config)?;
        let component = Component::from_file(&engine, guest("guest-records")?)?;
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        let state = Wasi { context: WasiCtx::builder().build(), table: ResourceTable::new() };
        let mut store = Store::new(&engine, state);
        // Nobody counts them up.
        store.set_epoch_deadline(1);
        let guest = runtime.block_on(records::Records::instantiate_async(&mut store, &component, &linker))?;
        Ok(Records { store, guest })
    }

    /// From the same batch as the columns. What is measured is the call alone, without making the records.
    fn measure(&mut self, runtime: &Runtime, case: Case) -> Result<f64, Fail> {
        let batch = case.batch()?;
        let Records { store, guest } = self;
        let headers = headers(&batch);
        let records = records(&batch, &headers);
        measured(case.events, || {
            runtime.block_on(guest.bench_records_sink().call_write(&mut *store, &records, case.search))?;
            Ok(())
        })
    }
}

fn headers(batch: &Batch) -> Vec<Vec<Header<'_>>> {
    let of = |row| batch.headers().into_iter().flat_map(move |headers| headers.of(row));
    let header = |(name, value): (_, Option<_>)| Header { name, value: value.unwrap_or_default() };
    (0..batch.len()).map(|row| of(row).map(header).collect()).collect()
}

fn records<'a>(batch: &'a Batch, headers: &'a [Vec<Header<'a>>]) -> Vec<Record<'a>> {
    let record = |row: usize| Record {
        payload: Some(batch.payload().value(row)),
        key: None,
        timestamp: batch.timestamps()[row],
        headers: &headers[row],
        partition: batch.origin().partition_of(row).as_str(),
        position: batch.origin().positions()[row],
    };
    (0..batch.len()).map(record).collect()
}
