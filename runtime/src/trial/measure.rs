//! What a component costs: time, instructions and memory, by the size of its batches.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;
use tokio::runtime::Builder;

use super::bed::{Bed, Open};
use super::case::Setup;
use super::event::{self, Given};
use super::happened::still_time;
use crate::batch::Batch;
use crate::wasm::{AnswerBody, Component, Endpoint, NoAnswer};

/// Rounds of calls, of which the middle one counts.
const ROUNDS: usize = 5;
/// How long a round goes on, and the calls before the first.
const ROUND: Duration = Duration::from_millis(100);
/// Calls before instructions are counted, and those that are counted.
const CALLS: (u64, u64) = (3, 5);

/// Measures components in one setup, with the same events.
#[derive(Clone, Debug)]
pub struct Bench {
    /// How they are set up. Every request is answered with 200, at once.
    pub setup: Setup,
    /// Batches are made of these, again and again.
    pub samples: Vec<Given>,
    /// Events in a batch.
    pub sizes: Vec<usize>,
}

/// What one component costs.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    /// What it calls itself.
    pub name: String,
    /// Nanoseconds on the processor until an instance is open.
    pub opening: f64,
    /// One for each size of batches that it takes.
    pub figures: Vec<Figures>,
}

/// What it costs with batches of one size.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Figures {
    /// Events in a batch.
    pub batch: usize,
    /// Events a second, by the clock on the wall.
    pub events_per_second: f64,
    /// Nanoseconds on the processor for each event.
    pub ns_per_event: f64,
    /// Instructions for each event, where they were counted.
    pub fuel_per_event: Option<f64>,
    /// The most memory that the instance had, in bytes.
    pub peak_memory: u64,
    /// The part of the events that was neither written nor encoded.
    pub refused: f64,
}

impl Bench {
    /// Measures a component. `metered` is the same one, loaded by a host that counts instructions. Sizes that the component
    /// does not take are left out.
    ///
    /// Fails with what to tell people: where it can't be set up or opened, or its instance is lost.
    pub fn measure(&self, component: &Component, metered: Option<&Component>) -> Result<Measured, String> {
        let described = component.description();
        let most = described.max_events.map_or(usize::MAX, |most| most as usize);
        let mut figures = Vec::new();
        for size in self.sizes.iter().copied().filter(|size| *size <= most) {
            let batch = self.batch(size)?;
            let mut of_size = self.time(component, &batch)?;
            of_size.fuel_per_event = metered.map(|metered| self.fuel(metered, &batch)).transpose()?;
            figures.push(of_size);
        }
        Ok(Measured {
            name: format!("{} {}", described.name, described.version),
            opening: self.opening(component)?,
            figures,
        })
    }

    fn batch(&self, size: usize) -> Result<Batch, String> {
        let some = [Given::bytes(b"{}")];
        let samples = if self.samples.is_empty() { &some } else { self.samples.as_slice() };
        let events: Vec<Given> = samples.iter().cycle().take(size).cloned().collect();
        event::batch(&events, self.setup.now).map_err(|error| error.to_string())
    }

    fn bed(&self, component: &Component) -> Result<Bed, String> {
        Bed::new(component, &self.setup, Arc::new(Well), &BTreeMap::new(), NonZeroUsize::MIN)
    }

    fn opening(&self, component: &Component) -> Result<f64, String> {
        running(async {
            let bed = self.bed(component)?;
            let mut rounds = Vec::new();
            for _ in 0..ROUNDS {
                let begun = on_processor();
                let open = opened(&bed).await?;
                rounds.push((on_processor() - begun).as_nanos() as f64);
                bed.close(open).await.map_err(|failure| format!("it does not close: {failure}"))?;
            }
            Ok(middle(rounds))
        })
    }

    fn time(&self, component: &Component, batch: &Batch) -> Result<Figures, String> {
        running(async {
            let bed = self.bed(component)?;
            let mut open = opened(&bed).await?;
            let (mut costs, mut rates, mut refused) = (Vec::new(), Vec::new(), 0);
            for round in 0..=ROUNDS {
                let (begun, spent, mut calls) = (Instant::now(), on_processor(), 0);
                while begun.elapsed() < ROUND || calls == 0 {
                    refused = bed.count(&mut open, batch).await.map_err(|failure| lost(batch, &failure))?;
                    calls += 1;
                }
                // The first warms up.
                if round > 0 {
                    let events = (calls * batch.len()) as f64;
                    costs.push((on_processor() - spent).as_nanos() as f64 / events);
                    rates.push(events / begun.elapsed().as_secs_f64());
                }
            }
            Ok(Figures {
                batch: batch.len(),
                events_per_second: middle(rates),
                ns_per_event: middle(costs),
                fuel_per_event: None,
                peak_memory: bed.usage().memory(),
                refused: refused as f64 / batch.len().max(1) as f64,
            })
        })
    }

    /// Time stands still, so that nothing but the component and its events decides what is counted.
    fn fuel(&self, metered: &Component, batch: &Batch) -> Result<f64, String> {
        still_time()?.block_on(async {
            let bed = self.bed(metered)?;
            let mut open = opened(&bed).await?;
            let (before, counted) = CALLS;
            let mut begun = 0;
            for call in 0..before + counted {
                if call == before {
                    begun = bed.usage().fuel();
                }
                bed.count(&mut open, batch).await.map_err(|failure| lost(batch, &failure))?;
            }
            Ok((bed.usage().fuel() - begun) as f64 / (counted * batch.len() as u64) as f64)
        })
    }
}

/// One thread, whose clock is the world's.
fn running<T>(measured: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| format!("there is no runtime: {error}"))?.block_on(measured)
}

async fn opened(bed: &Bed) -> Result<Open, String> {
    bed.open().await.map_err(|failure| format!("it does not open: {failure}"))
}

fn lost(batch: &Batch, failure: &crate::sink::Failure) -> String {
    format!("with {} events a batch the instance is lost: {failure}", batch.len())
}

fn middle(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}

/// How long all threads of this process have been on the processor: a component's files are written by another one.
fn on_processor() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let (seconds, nanos) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
    Duration::new(seconds.unwrap_or(0), nanos.unwrap_or(0))
}

/// Answers everything with 200, and keeps nothing.
struct Well;

#[async_trait]
impl Endpoint for Well {
    async fn answer(&self, _: Request<Bytes>) -> Result<Response<AnswerBody>, NoAnswer> {
        Ok(Response::new(Empty::new().map_err(|never| match never {}).boxed_unsync()))
    }
}
