//! From a plan to running parts.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tracing::warn;

use super::components::Components;
use super::data_dir::{DataDir, DataDirError};
use super::feed::{Fan, Feed, FeedSignals, Outlet};
use super::groups::Groups;
use super::guarantee::{Guarantee, guarantees};
use super::keys::Keys;
use super::overview::{Overview, SinkView, SourceView};
use super::positions::{SavedSource, Store};
use super::route::Router;
use super::run::{Pipelines, Signals};
use crate::config::{self, Diagnostic, Plan, SinkKind, SourceKind};
use crate::delivery;
use crate::delivery::{
    Again, Buffer, BufferParts, Counted, DeadLetters, Delivery, ExactlyOnceParts, LetterCounts, Parts, Relay, Segments,
    Stopped,
};
use crate::envelope::{Ledger, PathName};
use crate::metrics::{PipelineMetrics, SinkMetrics, SourceMetrics};
use crate::sink::Connect;
use crate::sink::console::Console;
use crate::sink::encode::Encoder;
use crate::sink::file::{FileSink, Reopen};
use crate::sink::http::HttpSink;
use crate::sink::null::Null;
use crate::source::file::Files;
use crate::source::generate::Generator;
use crate::source::http::Http;
use crate::source::kafka::Kafka;
use crate::source::stdin::Stdin;
use crate::source::{Open, Resume};

/// The name of what is not a sink's: no sink may be called so.
pub(super) const NOBODY: &str = "*";

/// What the parts need to know of the process that they run in.
pub struct Host<'a> {
    /// Where positions and dead letters are kept.
    pub data_dir: PathBuf,
    /// Where compiled components are kept.
    pub cache_dir: PathBuf,
    /// Names this run in partitions that no other run can read.
    pub run: String,
    /// Whether standard output takes colours.
    pub colour: bool,
    /// Says when files may have been moved away.
    pub reopen: Reopen,
    /// Begin at the beginning, whatever was delivered before.
    pub from_start: bool,
    /// Reads an environment variable.
    pub environment: config::Environment<'a>,
}

/// A plan can't be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The configuration asks for what there is not.
    #[error("the configuration does not fit what is there")]
    Config(Vec<Diagnostic>),
    /// The data directory can't be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// A disk buffer can't be opened.
    #[error("the disk buffer {path} can't be read: {error}")]
    Buffer {
        /// Its directory.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A disk buffer has events that could not be written exactly once.
    #[error("{path} holds events of a run without `exactly_once`: deliver them without it first, or remove the folder")]
    Leftover {
        /// Its directory.
        path: PathBuf,
    },
    /// What an earlier run saved can't be read.
    #[error("{path}: {error}: repair it, or remove it to deliver everything again")]
    Positions {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// What can be opened, by pipeline and sink.
#[derive(Default)]
pub(super) struct Ends {
    pub(super) connects: BTreeMap<PathName, Arc<dyn Connect>>,
    /// Of sinks that don't send payloads as they are.
    pub(super) encoders: BTreeMap<PathName, Arc<dyn Encoder>>,
}

/// Loads components and holds them against the plan; what is guaranteed then. Opens nothing, and connects to nothing.
pub async fn check(plan: &Plan, host: &Host<'_>) -> Result<Vec<Guarantee>, Vec<Diagnostic>> {
    let groups = Groups::default();
    let Ends { connects, .. } = ends(plan, host, &groups).await?;
    let replayable = |source: &config::Source| open(plan, source, &host.run, &groups).replayable();
    let stops_in_order = |pipeline: &str, sink: &str| {
        let path = PathName { pipeline: pipeline.into(), sink: sink.into() };
        connects.get(&path).is_some_and(|connect| connect.contract().stops_in_order)
    };
    Ok(guarantees(plan, replayable, stops_in_order))
}

/// Builds everything, without starting it.
pub async fn build(plan: &Plan, host: &Host<'_>) -> Result<Pipelines, BuildError> {
    let groups = Groups::of(plan);
    let Ends { connects, encoders } = ends(plan, host, &groups).await.map_err(BuildError::Config)?;
    let data_dir = DataDir::open(&host.data_dir)?;
    let path = data_dir.positions();
    let store = Store::open(path.clone()).map_err(|error| BuildError::Positions { path, error })?;
    warn_of_orphans(&data_dir.buffers(), plan);
    let dead_letters = Segments::new(data_dir.dead_letters(), plan.settings.dead_letters.max_size);
    let letters = LetterCounts::default();
    let mut builder = Builder {
        plan,
        connects,
        encoders,
        store,
        buffers: data_dir.buffers(),
        dead_letters: dead_letters.clone(),
        signals: Signals::new(),
        overview: Overview { letters, dead_letters: Some(dead_letters), ..Overview::default() },
        from_start: host.from_start,
    };
    let feeds = plan.sources.iter().map(|source| builder.feed(source, open(plan, source, &host.run, &groups)));
    let feeds = feeds.collect::<Result<_, _>>()?;
    Ok(Pipelines {
        feeds,
        overview: builder.overview,
        signals: builder.signals,
        held: Box::new(data_dir),
        failed: None,
    })
}

/// Disk buffers of sinks that the plan does not have any more are kept, and nobody delivers them.
fn warn_of_orphans(buffers: &Path, plan: &Plan) {
    let folders = |path: &Path| std::fs::read_dir(path).into_iter().flatten().flatten();
    for pipeline in folders(buffers) {
        for sink in folders(&pipeline.path()) {
            let known = plan.pipelines.iter().filter(|known| *known.name == *pipeline.file_name());
            let known = known.flat_map(|known| &known.sinks).any(|known| *known.name == *sink.file_name());
            let has_events = folders(&sink.path()).any(|file| file.path().extension().is_some_and(|end| end == "log"));
            if has_events && !known {
                warn!(
                    "{} holds events of a sink that is not configured any more: configure it again to deliver them, or \
                     remove the folder",
                    sink.path().display()
                );
            }
        }
    }
}

pub(super) fn open(plan: &Plan, source: &config::Source, run: &str, groups: &Groups) -> Box<dyn Open> {
    let framing = source.framing.clone();
    match &source.kind {
        SourceKind::Stdin(_) => Box::new(Stdin::new(framing, run)),
        SourceKind::File(settings) => Box::new(Files::new(settings.clone(), framing)),
        SourceKind::Generate(settings) => Box::new(Generator::new(settings.clone(), run)),
        SourceKind::Http(settings) => Box::new(Http::new((**settings).clone(), run)),
        SourceKind::Kafka(settings) => {
            let connection = plan.kafka(&settings.connection).cloned();
            Box::new(Kafka::new(&source.name, settings.clone(), connection, groups.member(&source.name)))
        }
    }
}

pub(super) fn path_of(pipeline: &config::Pipeline, sink: &config::Sink) -> PathName {
    PathName { pipeline: pipeline.name.as_str().into(), sink: sink.name.as_str().into() }
}

pub(super) async fn ends(plan: &Plan, host: &Host<'_>, groups: &Groups) -> Result<Ends, Vec<Diagnostic>> {
    let components = Components::load(plan, &host.cache_dir).await?;
    let (mut ends, mut problems) = (Ends::default(), Vec::new());
    for source in &plan.sources {
        if let Err((key, message)) = open(plan, source, &host.run, groups).check() {
            problems.push(plan.error_at_source(&source.name, &format!("/{key}"), message));
        }
    }
    for pipeline in &plan.pipelines {
        for sink in &pipeline.sinks {
            let encoder = components.encoder(plan, pipeline, sink).unwrap_or_else(|errors| {
                problems.extend(errors);
                None
            });
            let connect: Arc<dyn Connect> = match &sink.kind {
                SinkKind::Console(settings) => Arc::new(Console::new(settings, host.colour)),
                SinkKind::Null(_) => Arc::new(Null::new()),
                SinkKind::File(settings) => {
                    Arc::new(FileSink::new(settings, sink.delivery.exactly_once, host.reopen.clone()))
                }
                SinkKind::Http(settings) => {
                    let media_type = encoder.as_ref().and_then(|encoder| encoder.contract().content_type.clone());
                    match HttpSink::new(settings, sink.delivery.timeout, media_type.as_deref()) {
                        Ok(connect) => Arc::new(connect),
                        Err(error) => {
                            problems.push(plan.error_at(&pipeline.name, &sink.name, &error.pointer, error.message));
                            continue;
                        }
                    }
                }
                SinkKind::Kafka(settings) => groups.sink(plan, pipeline, sink, settings),
                SinkKind::Wasm(settings) => match components.sink(plan, pipeline, sink, settings, host) {
                    Ok(connect) => connect,
                    Err(errors) => {
                        problems.extend(errors);
                        continue;
                    }
                },
            };
            ends.connects.insert(path_of(pipeline, sink), connect);
            ends.encoders.extend(encoder.map(|encoder| (path_of(pipeline, sink), encoder)));
        }
    }
    if problems.is_empty() { Ok(ends) } else { Err(problems) }
}

/// What the parts of one run share while they are built.
struct Builder<'a> {
    plan: &'a Plan,
    connects: BTreeMap<PathName, Arc<dyn Connect>>,
    encoders: BTreeMap<PathName, Arc<dyn Encoder>>,
    store: Store,
    buffers: PathBuf,
    dead_letters: Segments,
    signals: Signals,
    overview: Overview,
    from_start: bool,
}

/// What the pipelines of a source share while they are built.
struct FanParts<'a> {
    saved: &'a SavedSource,
    /// Whether what was not acknowledged can be read again.
    replayable: bool,
    /// Whether what a stop leaves undelivered would be gone.
    keep_unfinished: bool,
    ledger: &'a mut Ledger,
    deliveries: &'a mut JoinSet<Result<(), Stopped>>,
    source: &'a Arc<str>,
}

impl Builder<'_> {
    fn feed(&mut self, source: &config::Source, open: Box<dyn Open>) -> Result<Feed, BuildError> {
        let name: Arc<str> = source.name.as_str().into();
        let saved = if self.from_start { SavedSource::default() } else { self.store.of(&name) };
        let metrics = Arc::new(SourceMetrics::default());
        let (ends, store) = (open.ends(), self.store.clone());
        let view = SourceView { name: name.clone(), metrics: metrics.clone(), ends, store };
        self.overview.sources.push(view);
        let mut ledger = Ledger::new();
        let mut deliveries = JoinSet::new();
        let framing = self.rejects(&mut ledger, &saved, NOBODY);
        let (plan, mut fans) = (self.plan, Vec::new());
        for pipeline in plan.pipelines.iter().filter(|pipeline| pipeline.source == source.name) {
            let replayable = open.replayable();
            fans.push(self.fan(
                pipeline,
                &mut FanParts {
                    saved: &saved,
                    replayable,
                    keep_unfinished: !replayable && !open.senders_repeat(),
                    ledger: &mut ledger,
                    deliveries: &mut deliveries,
                    source: &name,
                },
            )?);
        }
        Ok(Feed {
            // What is rejected without a sink needs its events as much as a sink does.
            resume: Resume { from_start: self.from_start, ..saved.resume(ledger.positions().keys()) },
            dead_letters: self.counted(Arc::new(self.dead_letters.of(&name))),
            name,
            open,
            ledger,
            fans,
            framing,
            store: self.store.clone(),
            position_interval: self.plan.settings.position_interval,
            metrics,
            deliveries,
            signals: FeedSignals { stop: self.signals.stop.subscribe(), give_up: self.signals.give_up.subscribe() },
        })
    }

    fn fan(&mut self, pipeline: &config::Pipeline, parts: &mut FanParts) -> Result<Fan, BuildError> {
        let metrics = Arc::new(PipelineMetrics::default());
        self.overview.pipelines.push((pipeline.name.as_str().into(), metrics.clone()));
        let files = self.dead_letters.of(parts.source);
        let mut relayed = self.relay(pipeline, parts)?;
        let (dead_letters, relay): (Arc<dyn DeadLetters>, _) = match &relayed {
            Some((relay, _)) => (relay.clone(), Some(relay.view())),
            None => (Arc::new(files), None),
        };
        let dead_letters = self.counted(dead_letters);
        let (mut sinks, mut conditions) = (Vec::new(), Vec::new());
        for sink in &pipeline.sinks {
            let path = path_of(pipeline, sink);
            if let Some((_, view)) = relayed.take_if(|(_, view)| view.path == path) {
                self.overview.sinks.push(view);
                continue;
            }
            let again = match parts.replayable {
                true => Again { source: pipeline.source.clone(), positions: parts.saved.known(&path) },
                false => Again::default(),
            };
            let settings = sink.delivery.clone();
            let Some((delivery, view)) =
                self.delivery(parts.source, &path, settings, dead_letters.clone(), again, parts.keep_unfinished)?
            else {
                continue;
            };
            conditions.push(sink.when.clone());
            let account = parts.ledger.path(path.clone(), parts.saved.path(&path), view.metrics.clone());
            let exactly_once = sink.delivery.exactly_once.then(|| {
                delivery.exactly_once(ExactlyOnceParts {
                    account: account.clone(),
                    saved: self.store.of(parts.source).path(&path),
                    from_start: self.from_start,
                    interval: self.plan.settings.position_interval,
                })
            });
            sinks.push(Outlet {
                path: account.clone(),
                queue: view.queue.clone(),
                gate: view.gate.clone(),
                required: sink.delivery.required,
                exactly_once,
            });
            self.overview.sinks.push(SinkView { relay: relay.clone(), account: Some(account), ..view });
            parts.deliveries.spawn(delivery.run());
        }
        Ok(Fan {
            keys: Keys(pipeline.routing.key.clone()),
            router: Router::new(pipeline.routing.clone(), conditions, metrics),
            sinks,
            rejects: self.rejects(parts.ledger, parts.saved, &pipeline.name),
            dead_letters,
        })
    }

    /// The disk buffer of a sink, if it has one or an earlier run left one.
    fn buffer(
        &self,
        path: &PathName,
        settings: &delivery::BufferSettings,
        again: Again,
        metrics: &Arc<SinkMetrics>,
    ) -> Result<Option<Buffer>, BuildError> {
        let directory = self.buffers.join(&*path.pipeline).join(&*path.sink);
        let parts = BufferParts {
            path: path.clone(),
            settings,
            again,
            metrics: metrics.clone(),
            position_interval: self.plan.settings.position_interval,
            stop: self.signals.stop.subscribe(),
            give_up: self.signals.give_up.subscribe(),
        };
        Buffer::open(&directory, parts).map_err(|error| BuildError::Buffer { path: directory, error })
    }

    /// The same, counted.
    fn counted(&self, dead_letters: Arc<dyn DeadLetters>) -> Arc<dyn DeadLetters> {
        Arc::new(Counted::new(dead_letters, self.overview.letters.clone()))
    }

    /// The delivery to the sink that gets the pipeline's dead letters, if one does, and the way there.
    fn relay(
        &mut self,
        pipeline: &config::Pipeline,
        parts: &mut FanParts,
    ) -> Result<Option<(Arc<Relay>, SinkView)>, BuildError> {
        let Some(to) = &pipeline.routing.dead_letters else { return Ok(None) };
        let Some(sink) = pipeline.sinks.iter().find(|sink| sink.name == to.sink) else { return Ok(None) };
        let (path, files) = (path_of(pipeline, sink), self.dead_letters.of(parts.source));
        // Whoever hands a letter over waits for it: there is nothing to wait for.
        let settings = delivery::Settings { batch_timeout: Duration::ZERO, ..sink.delivery.clone() };
        // What is left at a stop is kept by the one who waits.
        let rejected = self.counted(Arc::new(files.clone()));
        let delivery = self.delivery(parts.source, &path, settings, rejected, Again::default(), false)?;
        let Some((delivery, view)) = delivery else { return Ok(None) };
        let (source, give_up) = (parts.source.clone(), self.signals.give_up.subscribe());
        let relay = Relay::new(path, source, &delivery, view.metrics.clone(), files, give_up);
        parts.deliveries.spawn(delivery.run());
        Ok(Some((Arc::new(relay), SinkView { takes_dead_letters: true, ..view })))
    }

    /// The delivery to a sink, not running yet; `None` where it was taken before.
    fn delivery(
        &mut self,
        source: &Arc<str>,
        path: &PathName,
        settings: delivery::Settings,
        dead_letters: Arc<dyn DeadLetters>,
        again: Again,
        keep_unfinished: bool,
    ) -> Result<Option<(Delivery, SinkView)>, BuildError> {
        let Some(connect) = self.connects.remove(path) else { return Ok(None) };
        let metrics = Arc::new(SinkMetrics::default());
        let buffer = self.buffer(path, &settings.buffer, again, &metrics)?;
        if settings.exactly_once && buffer.is_some() {
            let path = self.buffers.join(&*path.pipeline).join(&*path.sink);
            return Err(BuildError::Leftover { path });
        }
        let delivery = Delivery::new(Parts {
            path: path.clone(),
            settings,
            connect,
            encoder: self.encoders.remove(path),
            dead_letters,
            buffer,
            witness: None,
            metrics: metrics.clone(),
            keep_unfinished,
            give_up: self.signals.give_up.subscribe(),
        });
        let (queue, gate) = (delivery.queue().clone(), delivery.gate());
        let view = SinkView {
            source: source.clone(),
            path: path.clone(),
            metrics,
            queue,
            gate,
            account: None,
            relay: None,
            takes_dead_letters: false,
        };
        Ok(Some((delivery, view)))
    }

    /// The way of what no sink takes to the dead letters.
    fn rejects(&self, ledger: &mut Ledger, saved: &SavedSource, pipeline: &str) -> crate::envelope::Path {
        let path = PathName { pipeline: pipeline.into(), sink: NOBODY.into() };
        let resume = saved.path(&path);
        ledger.path(path, resume, self.overview.rejects.clone())
    }
}
