//! A case, carried out.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use super::bed::{Bed, Fate, Made};
use super::case::{Case, Setup};
use super::delivered::deliver;
use super::event;
use super::heard::Heard;
use super::script::{Asked, Script};
use super::word::Word;
use crate::batch::Batch;
use crate::delivery;
use crate::sink::Failure;
use crate::wasm::Component;

/// What happened in a case.
#[derive(Debug)]
pub(super) struct Happened {
    /// How opening failed.
    pub(super) open: Option<Told>,
    /// What became of the batch.
    pub(super) fate: Option<Fate>,
    pub(super) values: Vec<Made>,
    /// How closing failed.
    pub(super) close: Option<Told>,
    pub(super) requests: Vec<Asked>,
    /// The numbers of answers that nobody asked for.
    pub(super) unused: Vec<usize>,
    /// What nobody expected of connections.
    pub(super) odd: Vec<String>,
    pub(super) files: BTreeMap<String, Vec<u8>>,
    pub(super) printed: Vec<String>,
    /// What the runtime said of it.
    pub(super) warned: Vec<String>,
}

/// A failure, in the words of cases and in those of people.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) word: Word,
    pub(super) message: String,
}

/// Carries it out. Fails with what is wrong with the case itself.
pub(super) fn carry_out(component: &Component, setup: &Setup, case: &Case) -> Result<Happened, String> {
    let mut setup = setup.clone();
    setup.config.extend(case.config.clone());
    setup.timeout = case.timeout.unwrap_or(setup.timeout);
    let batch = event::batch(&case.events, setup.now).map_err(|error| format!("`events`: {error}"))?;
    let heard = Heard::default();
    let happened = heard.during(|| {
        still_time()?.block_on(async {
            let endpoint = Arc::new(Script::new(case.answers.clone(), case.connections.clone()));
            let concurrency = case.deliver.as_ref().map_or(NonZeroUsize::MIN, |settings| settings.concurrency.most());
            let bed = Bed::new(component, &setup, Arc::clone(&endpoint) as _, &case.files, concurrency)?;
            let called = match &case.deliver {
                None => call(&bed, &batch, case.attempt.get()).await,
                Some(settings) => {
                    let settings = delivery::Settings { timeout: setup.timeout, ..settings.clone() };
                    let words = deliver(&bed, settings, batch, case.within).await?;
                    Called { fate: Some(Fate::Each(words)), ..Called::default() }
                }
            };
            endpoint.settle().await;
            let files = bed.files().map_err(|error| format!("the files that it wrote can't be read: {error}"))?;
            let Called { open, fate, values, close } = called;
            let (requests, unused, odd) = (endpoint.take_asked(), endpoint.unused(), endpoint.oddities());
            let (printed, warned) = (Vec::new(), Vec::new());
            Ok(Happened { open, fate, values, close, requests, unused, odd, files, printed, warned })
        })
    });
    // What is printed last is told when the instance is gone.
    let records = heard.take();
    happened.map(|happened| Happened { printed: records.printed, warned: records.warned, ..happened })
}

/// What came of one call, and of opening and closing around it.
#[derive(Default)]
struct Called {
    open: Option<Told>,
    fate: Option<Fate>,
    values: Vec<Made>,
    close: Option<Told>,
}

async fn call(bed: &Bed, batch: &Batch, attempt: u32) -> Called {
    let mut open = match bed.open().await {
        Ok(open) => open,
        Err(failure) => return Called { open: Some(Told::of(&failure)), ..Called::default() },
    };
    let answered = bed.call(&mut open, batch, attempt).await;
    let is_lost = matches!(answered.fate, Fate::Lost(_));
    let close = if is_lost { None } else { bed.close(open).await.err() };
    let close = close.as_ref().map(Told::of);
    Called { open: None, fate: Some(answered.fate), values: answered.values, close }
}

impl Told {
    pub(super) fn of(failure: &Failure) -> Told {
        Told { word: Word::of(failure), message: failure.to_string() }
    }
}

/// A runtime whose clock goes on only while everybody waits: what would take minutes takes no time, and always the same.
pub(super) fn still_time() -> Result<tokio::runtime::Runtime, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.map_err(|error| format!("there is no runtime: {error}"))
}
