//! Dead letters sent again: the ordinary delivery, fed from segments instead of a source.
//!
//! ```text
//! segments ─▶ Letters ─▶ feed ─▶ queue ─▶ lane ─▶ Restored ─▶ the sink      ─┐
//!              by place          by place    └──▶ Renewed  ─▶ dead letters  ─┴▶ marks, once that is final
//! ```
//!
//! Each destination has a feed of its own, so that none waits for another. On the way the origin of an event is the
//! place of its letter; at both ends of the way it is what it was when the event was read first, so that whatever
//! identifies the event to its destination is the same as ever. A letter is marked when the sink says that its event is
//! written, or when it is durably kept as a new letter, and nothing else is ever marked.

mod counter;
mod desk;
mod ends;
mod source;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::task::JoinSet;

use super::build::{self, BuildError, Ends, Host, NOBODY};
use super::data_dir::{DataDir, DataDirError};
use super::feed::{Fan, Feed, FeedSignals, Outlet};
use super::groups::Groups;
use super::keys::Keys;
use super::overview::{Overview, SinkView, SourceView};
use super::positions::Store;
use super::route::Router;
use super::run::{Pipelines, Signals};
use crate::config::{Plan, Routing, Sink};
use crate::delivery::{
    BufferKind, BufferSettings, Delivery, Filter, Held, Marks, Parts, ReplayLock, Scan, Segments, Snapshot, WhenFull,
};
use crate::envelope::{Ledger, PathName};
use crate::metrics::{PipelineMetrics, SinkMetrics, SourceMetrics};
use crate::sink::Connect;
use crate::sink::encode::Encoder;
use crate::source::Resume;

pub use counter::Outlook;
use desk::Desk;
use ends::{Renewed, Restored};
use source::Letters;

/// What is to be sent again.
#[derive(Clone, Debug)]
pub struct Request {
    /// Which dead letters.
    pub filter: Filter,
    /// Where to, if not to the sink that each belongs to.
    pub to: Option<PathName>,
    /// What was sent again before, too.
    pub again: bool,
}

/// A replay can't begin.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The data directory can't be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// Another one is going on.
    #[error(transparent)]
    Held(#[from] Held),
    /// Dead letters can't be read.
    #[error("dead letters can't be read: {0}")]
    Read(#[from] io::Error),
    /// There is no such sink.
    #[error("the configuration has no sink `{0}`; its sinks are {1}")]
    NoSink(PathName, String),
    /// The configuration asks for what there is not.
    #[error(transparent)]
    Build(#[from] BuildError),
}

/// Dead letters of a data directory at one moment, and the right to mark them.
pub struct Replay {
    directory: PathBuf,
    snapshot: Snapshot,
    /// `None`, where nothing is to be sent.
    lock: Option<Arc<ReplayLock>>,
    request: Request,
}

impl Replay {
    /// Of a data directory, beside a run that may be going on.
    pub fn open(data_dir: &Path, request: Request) -> Result<Replay, ReplayError> {
        let directory = DataDir::look(data_dir)?;
        // Without a directory there is nothing to mark.
        let lock = if directory.is_dir() { Some(ReplayLock::take(&directory)?) } else { None };
        Ok(Replay { snapshot: Snapshot::take(&directory)?, directory, lock, request })
    }

    /// The same to look at only: nothing can be sent.
    pub fn look(data_dir: &Path, request: Request) -> Result<Replay, ReplayError> {
        let directory = DataDir::look(data_dir)?;
        Ok(Replay { snapshot: Snapshot::take(&directory)?, directory, lock: None, request })
    }

    /// What would go where, and what nowhere. Reads all of it; blocks.
    pub fn outlook(&self, plan: &Plan) -> Result<Outlook, ReplayError> {
        if let Some(to) = &self.request.to
            && sink_of(plan, to).is_none()
        {
            return Err(ReplayError::NoSink(to.clone(), all_sinks(plan)));
        }
        let mut scan = Scan::new(&self.snapshot, self.request.filter.clone(), self.request.again);
        let there = |path: &PathName| sink_of(plan, path).is_some();
        Ok(Outlook::of(&mut scan, self.request.to.as_ref(), there)?)
    }

    /// Everything that it takes to send what the outlook promises, not started yet.
    pub async fn build(self, plan: &Plan, host: &Host<'_>, outlook: &Outlook) -> Result<Pipelines, ReplayError> {
        let Ends { mut connects, mut encoders } =
            build::ends(&only(plan, outlook), host, &Groups::default()).await.map_err(BuildError::Config)?;
        let lock = match self.lock {
            Some(lock) => lock,
            None => ReplayLock::take(&self.directory)?,
        };
        let signals = Signals::new();
        let marks = Marks::open(&self.directory, &lock);
        let max_size = plan.settings.dead_letters.max_size;
        let files = Segments::for_replay(self.directory.clone(), max_size, lock.clone());
        let mut builder = Builder {
            desk: Arc::new(Desk::new(marks, signals.clone())),
            snapshot: self.snapshot,
            request: self.request,
            plan,
            files,
            signals,
            overview: Overview::default(),
        };
        let mut feeds = Vec::new();
        for path in outlook.destinations.keys() {
            if let (Some(sink), Some(connect)) = (sink_of(plan, path), connects.remove(path)) {
                let connect = Arc::new(Restored::new(connect, builder.desk.clone()));
                let encoder = encoders.remove(path).map(|encoder| Restored::new(encoder, builder.desk.clone()));
                feeds.push(builder.feed(path, sink, connect, encoder.map(|encoder| Arc::new(encoder) as _)));
            }
        }
        let Builder { desk, overview, signals, .. } = builder;
        Ok(Pipelines { feeds, overview, signals, held: Box::new(lock), failed: Some(desk.failed()) })
    }
}

struct Builder<'a> {
    desk: Arc<Desk>,
    snapshot: Snapshot,
    request: Request,
    plan: &'a Plan,
    files: Segments,
    signals: Signals,
    overview: Overview,
}

impl Builder<'_> {
    fn feed(
        &mut self,
        path: &PathName,
        sink: &Sink,
        connect: Arc<dyn Connect>,
        encoder: Option<Arc<dyn Encoder>>,
    ) -> Feed {
        let name: Arc<str> = path.to_string().into();
        let source = Arc::new(SourceMetrics::default());
        self.overview.sources.push(SourceView {
            name: name.clone(),
            metrics: source.clone(),
            ends: true,
            store: Store::unused(),
        });
        let metrics = Arc::new(SinkMetrics::default());
        let dead_letters = Arc::new(Renewed::new(self.files.clone(), self.desk.clone()));
        let delivery = Delivery::new(Parts {
            path: path.clone(),
            settings: settings(sink),
            connect,
            encoder,
            dead_letters: dead_letters.clone(),
            buffer: None,
            witness: Some(self.desk.clone()),
            metrics: metrics.clone(),
            // What is not sent stays where it is.
            keep_unfinished: false,
            give_up: self.signals.give_up.subscribe(),
        });
        let (queue, gate) = (delivery.queue().clone(), delivery.gate());
        let mut ledger = Ledger::new();
        let account = ledger.path(path.clone(), BTreeMap::new(), metrics.clone());
        let (to, through) = (queue.clone(), gate.clone());
        let sinks = vec![Outlet { path: account, queue: to, gate: through, required: true, exactly_once: None }];
        let mut nobodys = |pipeline: &Arc<str>| {
            let path = PathName { pipeline: pipeline.clone(), sink: NOBODY.into() };
            ledger.path(path, BTreeMap::new(), self.overview.rejects.clone())
        };
        let (rejects, framing) = (nobodys(&path.pipeline), nobodys(&NOBODY.into()));
        // Which sink takes an event was decided when it was routed.
        let router = Router::new(Routing::default(), vec![None], Arc::new(PipelineMetrics::default()));
        self.overview.sinks.push(SinkView {
            source: name.clone(),
            account: None,
            path: path.clone(),
            metrics,
            queue,
            gate,
            relay: None,
            takes_dead_letters: false,
        });
        let mut deliveries = JoinSet::new();
        deliveries.spawn(delivery.run());
        Feed {
            open: Box::new(self.letters(path)),
            name,
            resume: Resume::default(),
            ledger,
            fans: vec![Fan { keys: Keys(None), router, sinks, rejects, dead_letters: dead_letters.clone() }],
            framing,
            dead_letters,
            store: Store::unused(),
            position_interval: self.plan.settings.position_interval,
            metrics: source,
            deliveries,
            signals: FeedSignals { stop: self.signals.stop.subscribe(), give_up: self.signals.give_up.subscribe() },
        }
    }

    fn letters(&self, path: &PathName) -> Letters {
        let Request { filter, to, again } = &self.request;
        let filter = Filter { whole: true, ..filter.clone() };
        let of = to.is_none().then(|| path.clone());
        Letters::new(self.snapshot.clone(), filter, of, *again, self.desk.clone())
    }
}

/// Those of a sink, but nothing is dropped, and what waits is in memory: on disk it is already.
fn settings(sink: &Sink) -> crate::delivery::Settings {
    let max_bytes = sink.delivery.buffer.max_bytes.filter(|_| sink.delivery.buffer.kind == BufferKind::Memory);
    let buffer = BufferSettings { kind: BufferKind::Memory, max_bytes, when_full: WhenFull::Block };
    crate::delivery::Settings { buffer, ..sink.delivery.clone() }
}

fn sink_of<'a>(plan: &'a Plan, path: &PathName) -> Option<&'a Sink> {
    let pipeline = plan.pipelines.iter().find(|pipeline| pipeline.name == *path.pipeline)?;
    pipeline.sinks.iter().find(|sink| sink.name == *path.sink)
}

fn all_sinks(plan: &Plan) -> String {
    let of = |pipeline: &crate::config::Pipeline| {
        let name = pipeline.name.clone();
        pipeline.sinks.iter().map(move |sink| format!("`{name}:{}`", sink.name)).collect::<Vec<_>>()
    };
    plan.pipelines.iter().flat_map(of).collect::<Vec<_>>().join(", ")
}

/// The plan without the sinks that get nothing: they need not be there.
fn only(plan: &Plan, outlook: &Outlook) -> Plan {
    let mut plan = plan.clone();
    for pipeline in &mut plan.pipelines {
        let name: Arc<str> = pipeline.name.as_str().into();
        pipeline.sinks.retain(|sink| {
            outlook.destinations.contains_key(&PathName { pipeline: name.clone(), sink: sink.name.as_str().into() })
        });
    }
    plan
}
