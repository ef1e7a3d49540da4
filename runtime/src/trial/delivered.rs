//! A case whose events go the way of production: batched, tried again, given up.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

use super::bed::Bed;
use super::event::PARTITION;
use super::word::Word;
use crate::batch::{Batch, Partition, RowSet};
use crate::delivery::{BufferKind, DeadLetter, DeadLetters, Delivery, Parts, Settings, Unkept, Witness};
use crate::envelope::{Block, Ledger, PathName};
use crate::metrics::SinkMetrics;
use crate::sink::Connect;

/// Delivers the events of a batch, and says what became of each: a dead letter is told by its failure, and what is not
/// final by then was not tried to its end.
///
/// Fails with what is wrong with the case.
pub(super) async fn deliver(
    bed: &Bed,
    settings: Settings,
    events: Batch,
    within: Duration,
) -> Result<Vec<Word>, String> {
    let connect = bed.connect().ok_or("`deliver`: an encoder delivers nothing: take it out")?;
    if settings.buffer.kind != BufferKind::Memory || settings.exactly_once {
        return Err("`deliver`: no disk and no positions are kept: take `buffer` and `exactly_once` out".to_owned());
    }
    let fates = Arc::new(Fates(Mutex::new(vec![Word::NotTried; events.len()])));
    if !events.is_empty() {
        run(connect, settings, events, within, &fates).await?;
    }
    let words = fates.0.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(words.clone())
}

async fn run(
    connect: Arc<dyn Connect>,
    settings: Settings,
    events: Batch,
    within: Duration,
    fates: &Arc<Fates>,
) -> Result<(), String> {
    let metrics = Arc::new(SinkMetrics::default());
    let path = PathName { pipeline: "test".into(), sink: "test".into() };
    let mut ledger = Ledger::new();
    let way = ledger.path(path.clone(), BTreeMap::new(), metrics.clone());
    let (time_up, give_up) = watch::channel(false);
    let delivery = Delivery::new(Parts {
        path,
        settings,
        connect,
        encoder: None,
        dead_letters: Arc::clone(fates) as _,
        buffer: None,
        witness: Some(Arc::clone(fates) as _),
        metrics,
        keep_unfinished: false,
        give_up,
    });
    let (partition, end) = (Partition::from(PARTITION), events.len() as u64);
    ledger.assign(&partition, 0);
    let rows = RowSet::all(events.len());
    let block = Block { batch: events, ends: vec![(partition, end)], rejects: None };
    if let Some(taken) = way.take(&block, &rows).map_err(|error| error.to_string())? {
        let room = delivery.queue().room(taken.batch().bytes()).await;
        delivery.queue().push(taken, room);
    }
    delivery.queue().close();
    let clock = async {
        tokio::time::sleep(within).await;
        time_up.send_replace(true);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        biased;
        ended = delivery.run() => ended.map_err(|stopped| stopped.to_string()),
        () = clock => Ok(()),
    }
}

/// What became of each event, by its position.
struct Fates(Mutex<Vec<Word>>);

impl Fates {
    fn note(&self, events: &Batch, word: &Word) {
        let mut words = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for position in events.origin().positions() {
            if let Some(fate) = words.get_mut(*position as usize) {
                *fate = word.clone();
            }
        }
    }
}

#[async_trait]
impl DeadLetters for Fates {
    async fn put(&self, letter: DeadLetter<'_>) -> Result<(), Unkept> {
        self.note(letter.batch, &Word::of(letter.failure));
        Ok(())
    }
}

#[async_trait]
impl Witness for Fates {
    async fn done(&self, events: &Batch) {
        self.note(events, &Word::Done);
    }
}
