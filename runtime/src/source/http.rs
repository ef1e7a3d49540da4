//! Events that are sent to an HTTP server of its own.
//!
//! ```text
//! connection ─▶ request: head ─▶ auth ─▶ body ─▶ decompress ─▶ frame ─▶ offer ─▶ next ─▶ block
//!                  ▲                                                     (taken)     │
//!                  └── answer ◀── done: handed over, or with `ack` final ◀───────────┘
//! ```
//!
//! Each request is a task; what it holds is bounded by connections, and by a pool of bytes for bodies.

mod answer;
mod auth;
mod body;
mod decode;
mod frame;
mod gather;
mod request;
mod server;
mod settings;
mod tls;

use std::collections::{BTreeMap, VecDeque};
use std::future::pending;
use std::time::Instant;

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{info, warn};

use self::gather::{Content, Gathered, Numbering};
use self::request::{Offer, Shared};
use self::server::Server;
use self::tls::Certificates;
use super::{Demand, Input, Open, Resume, Source, SourceError};
use crate::batch::Partition;
use crate::envelope::Block;

pub use settings::{Auth, Format, Invalid, Settings, Tls};

/// Requests that wait to be taken. Their bodies have a bound of their own.
const OFFERS: usize = 256;

/// Bytes of payload of a request that is put together with others.
const SMALL: usize = 32 << 10;

/// Bytes of payload from which on no more are put together.
const ENOUGH: usize = 256 << 10;

/// A server. Positions are running numbers from 0, in the partition `http@RUN`.
#[derive(Debug)]
pub struct Http {
    settings: Settings,
    partition: Partition,
}

impl Http {
    /// Nobody is listening yet.
    pub fn new(settings: Settings, run: &str) -> Http {
        Http { settings, partition: Partition::new(format!("http@{run}")) }
    }
}

#[async_trait]
impl Open for Http {
    fn replayable(&self) -> bool {
        false
    }

    /// Whoever gets no 200 has to send it again.
    fn senders_repeat(&self) -> bool {
        self.settings.ack
    }

    fn check(&self) -> Result<(), (&'static str, String)> {
        let certificates = self.settings.tls.as_ref().map(Certificates::read).transpose();
        certificates.map(drop).map_err(|message| ("tls", message))
    }

    fn ends(&self) -> bool {
        false
    }

    /// Begins with number 0, whatever `resume` says: the partition is that of one run.
    async fn open(&self, _: Resume) -> Result<Box<dyn Source>, SourceError> {
        Ok(Box::new(Receiving::start(self.settings.clone(), self.partition.clone()).await?))
    }
}

struct Receiving {
    settings: Settings,
    partition: Partition,
    server: Server,
    offers: mpsc::Receiver<Offer>,
    /// What came while others were put together, and was not among them.
    aside: Option<Offer>,
    held: watch::Sender<Option<Instant>>,
    assigned: bool,
    /// The number of the next event.
    next: u64,
    /// Numbered, and not handed over yet.
    ready: VecDeque<Block>,
    /// Everything before this was handed over.
    handed: u64,
    /// For each request that was taken and is not done, the number after its events. They ascend.
    waiting: VecDeque<(u64, oneshot::Sender<()>)>,
}

impl Receiving {
    async fn start(settings: Settings, partition: Partition) -> Result<Receiving, SourceError> {
        let (sender, offers) = mpsc::channel(OFFERS);
        let held = watch::Sender::new(None);
        let server = Server::start(&settings, Shared::new(&settings, sender, held.subscribe())).await?;
        let scheme = if settings.tls.is_some() { "https" } else { "http" };
        info!("events are taken at {scheme}://{}{}", server.address, settings.path);
        Ok(Receiving {
            settings,
            partition,
            server,
            offers,
            aside: None,
            held,
            assigned: false,
            next: 0,
            ready: VecDeque::new(),
            handed: 0,
            waiting: VecDeque::new(),
        })
    }

    /// Takes a request, and small ones that are there already together with it.
    fn take(&mut self, first: Offer) -> Result<(), SourceError> {
        let Some(first) = self.accept(first, 0) else { return Ok(()) };
        let small = can_be_put_together(&first);
        let mut gathered = Gathered::new(first);
        while small && gathered.bytes() < ENOUGH {
            let Ok(offer) = self.offers.try_recv() else { break };
            if !can_be_put_together(&offer.content) {
                self.aside = Some(offer);
                break;
            }
            if let Some(content) = self.accept(offer, gathered.len()) {
                gathered.add(content);
            }
        }
        let numbering = Numbering {
            partition: &self.partition,
            next: &mut self.next,
            names: &self.settings.headers,
            most: self.settings.max_event_bytes,
        };
        self.ready.extend(gathered.blocks(numbering)?);
        Ok(())
    }

    /// Tells a request that its events are taken, which come after `before` others. Nothing is left of one that was sent
    /// away meanwhile.
    fn accept(&mut self, offer: Offer, before: usize) -> Option<Content> {
        let Offer { content, taken } = offer;
        let (done, wait) = oneshot::channel();
        taken.send(wait).ok()?;
        let events = before + content.framed.events.len() + content.framed.rejected();
        self.waiting.push_back((self.next + events as u64, done));
        Some(content)
    }

    /// Everything before a number is done.
    fn done(&mut self, before: u64) {
        while let Some((_, done)) = self.waiting.pop_front_if(|(end, _)| *end <= before) {
            // Whoever waited may be gone.
            done.send(()).ok();
        }
    }
}

fn can_be_put_together(content: &Content) -> bool {
    content.framed.rejected() == 0 && content.framed.events.bytes.len() <= SMALL
}

#[async_trait]
impl Source for Receiving {
    async fn next(&mut self, demand: Demand) -> Result<Input, SourceError> {
        if !self.assigned {
            self.assigned = true;
            return Ok(Input::Assigned(vec![(self.partition.clone(), self.next)]));
        }
        if demand == Demand::Nothing {
            let began = |held: &mut Option<Instant>| {
                let begins = held.is_none();
                held.get_or_insert_with(Instant::now);
                begins
            };
            self.held.send_if_modified(began);
            pending::<()>().await;
        }
        self.held.send_if_modified(|held| held.take().is_some());
        loop {
            if let Some(block) = self.ready.pop_front() {
                self.handed = block.ends.iter().map(|(_, end)| *end).max().unwrap_or(self.handed);
                if !self.settings.ack {
                    self.done(self.handed);
                }
                return Ok(Input::Block(Box::new(block)));
            }
            let offer = match self.aside.take() {
                Some(offer) => offer,
                None => tokio::select! {
                    biased;
                    Some(offer) = self.offers.recv() => offer,
                    () = self.server.ended() => {
                        return Err(SourceError { message: format!("the server at {} broke down", self.server.address) });
                    }
                },
            };
            self.take(offer)?;
        }
    }

    async fn acknowledge(&mut self, positions: &BTreeMap<Partition, u64>) -> Result<(), SourceError> {
        if let Some(position) = positions.get(&self.partition).filter(|_| self.settings.ack) {
            self.done(*position);
        }
        Ok(())
    }

    fn acknowledges_promptly(&self) -> bool {
        self.settings.ack
    }

    fn given_up(&mut self) {
        if std::mem::take(&mut self.assigned) {
            warn!(partition = %self.partition, "events were given up: those who wait for them are told to send them again");
            self.waiting.clear();
            self.ready.clear();
        }
    }

    fn stop(&mut self) {
        self.server.stop();
        self.offers.close();
        while self.offers.try_recv().is_ok() {}
        self.aside = None;
        self.ready.clear();
        self.waiting.retain(|(end, _)| *end <= self.handed);
    }

    async fn close(&mut self) {
        self.stop();
        self.waiting.clear();
        self.server.close().await;
    }
}

#[cfg(test)]
mod tests;
