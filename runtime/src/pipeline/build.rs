//! From a plan to running parts.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::task::JoinSet;
use tracing::warn;

use super::data_dir::{DataDir, DataDirError};
use super::feed::{Fan, Feed, FeedSignals};
use super::overview::{Overview, SinkView, SourceView};
use super::positions::{SavedSource, Store};
use super::route::Router;
use super::run::{Pipelines, Signals};
use crate::config::{self, Diagnostic, Plan, SinkKind, SourceKind};
use crate::delivery::{Again, Buffer, BufferParts, DeadLetters, Delivery, Parts, Segments, Stopped};
use crate::envelope::{Ledger, PathName};
use crate::metrics::{PipelineMetrics, SinkMetrics, SourceMetrics};
use crate::sink::Connect;
use crate::sink::console::Console;
use crate::sink::file::FileSink;
use crate::sink::null::Null;
use crate::source::Open;
use crate::source::file::Files;
use crate::source::generate::Generator;
use crate::source::stdin::Stdin;
use crate::wasm;

/// The name of what is not a sink's: no sink may be called so.
const NOBODY: &str = "*";

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
    /// What an earlier run saved can't be read.
    #[error("{path}: {error}: repair it, or remove it to deliver everything again")]
    Positions {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// Sinks that can be opened, by pipeline and name.
type Connects = BTreeMap<PathName, Arc<dyn Connect>>;

/// Loads components and holds them against the plan. Opens nothing, and connects to nothing.
pub async fn check(plan: &Plan, host: &Host<'_>) -> Result<(), Vec<Diagnostic>> {
    connects(plan, host).await.map(drop)
}

/// Builds everything, without starting it.
pub async fn build(plan: &Plan, host: &Host<'_>) -> Result<Pipelines, BuildError> {
    let connects = connects(plan, host).await.map_err(BuildError::Config)?;
    let data_dir = DataDir::open(&host.data_dir)?;
    let path = data_dir.positions();
    let store = Store::open(path.clone()).map_err(|error| BuildError::Positions { path, error })?;
    warn_of_orphans(&data_dir.buffers(), plan);
    let dead_letters = Segments::new(data_dir.dead_letters(), plan.settings.dead_letters.max_size);
    let mut builder = Builder {
        plan,
        connects,
        store,
        buffers: data_dir.buffers(),
        dead_letters: Arc::new(dead_letters),
        signals: Signals::new(),
        overview: Overview::default(),
        from_start: host.from_start,
    };
    let feeds = plan.sources.iter().map(|source| builder.feed(source, open(source, &host.run)));
    let feeds = feeds.collect::<Result<_, _>>()?;
    Ok(Pipelines { feeds, overview: builder.overview, signals: builder.signals, data_dir })
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

fn open(source: &config::Source, run: &str) -> Box<dyn Open> {
    let framing = source.framing.clone();
    match &source.kind {
        SourceKind::Stdin(_) => Box::new(Stdin::new(framing, run)),
        SourceKind::File(settings) => Box::new(Files::new(settings.clone(), framing)),
        SourceKind::Generate(settings) => Box::new(Generator::new(settings.clone(), run)),
    }
}

async fn connects(plan: &Plan, host: &Host<'_>) -> Result<Connects, Vec<Diagnostic>> {
    let components = components(plan, &host.cache_dir).await?;
    let (mut connects, mut problems) = (Connects::new(), Vec::new());
    for pipeline in &plan.pipelines {
        for sink in &pipeline.sinks {
            let connect: Arc<dyn Connect> = match &sink.kind {
                SinkKind::Console(settings) => Arc::new(Console::new(settings, host.colour)),
                SinkKind::Null(_) => Arc::new(Null::new()),
                SinkKind::File(settings) => Arc::new(FileSink::new(settings)),
                SinkKind::Wasm(settings) => match component(plan, pipeline, sink, settings, &components, host) {
                    Ok(connect) => connect,
                    Err(errors) => {
                        problems.extend(errors);
                        continue;
                    }
                },
            };
            let path = PathName { pipeline: pipeline.name.as_str().into(), sink: sink.name.as_str().into() };
            connects.insert(path, connect);
        }
    }
    if problems.is_empty() { Ok(connects) } else { Err(problems) }
}

type Components = BTreeMap<PathBuf, Result<wasm::Component, String>>;

/// Every component of a plan, each loaded once. Compiling takes its time, and happens on threads that may block.
async fn components(plan: &Plan, cache_dir: &Path) -> Result<Components, Vec<Diagnostic>> {
    let mut paths: Vec<PathBuf> = Vec::new();
    for sink in plan.pipelines.iter().flat_map(|pipeline| &pipeline.sinks) {
        if let SinkKind::Wasm(settings) = &sink.kind
            && !paths.contains(&settings.path)
        {
            paths.push(settings.path.clone());
        }
    }
    let mut components = Components::new();
    if paths.is_empty() {
        return Ok(components);
    }
    let no_host = |error: String| vec![Diagnostic::error("wasm::host", error)];
    let host = wasm::Host::new(cache_dir.to_owned()).map_err(|error| no_host(error.to_string()))?;
    let mut loading = JoinSet::new();
    for path in paths {
        let host = host.clone();
        loading.spawn_blocking(move || {
            let component = host.load(&path).map_err(|error| error.to_string());
            (path, component)
        });
    }
    while let Some(loaded) = loading.join_next().await {
        let (path, component) = loaded.map_err(|error| no_host(error.to_string()))?;
        components.insert(path, component);
    }
    Ok(components)
}

fn component(
    plan: &Plan,
    pipeline: &config::Pipeline,
    sink: &config::Sink,
    settings: &wasm::Settings,
    components: &Components,
    host: &Host,
) -> Result<Arc<dyn Connect>, Vec<Diagnostic>> {
    let error = |pointer: &str, message: String| plan.error_at(&pipeline.name, &sink.name, pointer, message);
    let component = match components.get(&settings.path) {
        Some(Ok(component)) => component,
        Some(Err(message)) => return Err(vec![error("/path", message.clone())]),
        None => return Err(vec![error("/path", "the component was not loaded".into())]),
    };
    let mut settings = settings.clone();
    let schema = component.description().config_schema.as_ref();
    if let Some(config) = plan.config_of(&pipeline.name, &sink.name, schema) {
        settings.config = config;
    }
    if let Err(problems) = component.check_config(&settings.config) {
        let place = |problem: wasm::Problem| error(&format!("/config{}", problem.place), problem.message);
        return Err(problems.into_iter().map(place).collect());
    }
    let mut environment = BTreeMap::new();
    for name in &settings.allow.env {
        if let Some(value) = (host.environment)(name) {
            environment.insert(name.clone(), value);
        }
    }
    let concurrency = sink.delivery.concurrency;
    match component.connect(&pipeline.name, &sink.name, &settings, &environment, concurrency) {
        Ok(connector) => Ok(Arc::new(connector)),
        Err(failure) => Err(vec![error("/allow", failure.to_string())]),
    }
}

/// What the parts of one run share while they are built.
struct Builder<'a> {
    plan: &'a Plan,
    connects: Connects,
    store: Store,
    buffers: PathBuf,
    dead_letters: Arc<dyn DeadLetters>,
    signals: Signals,
    overview: Overview,
    from_start: bool,
}

impl Builder<'_> {
    fn feed(&mut self, source: &config::Source, open: Box<dyn Open>) -> Result<Feed, BuildError> {
        let name: Arc<str> = source.name.as_str().into();
        let saved = if self.from_start { SavedSource::default() } else { self.store.of(&name) };
        let metrics = Arc::new(SourceMetrics::default());
        self.overview.sources.push(SourceView { name: name.clone(), metrics: metrics.clone() });
        let mut ledger = Ledger::new();
        let mut deliveries = JoinSet::new();
        let framing = self.rejects(&mut ledger, &saved, NOBODY);
        let (plan, mut fans, mut names) = (self.plan, Vec::new(), Vec::new());
        for pipeline in plan.pipelines.iter().filter(|pipeline| pipeline.source == source.name) {
            fans.push(self.fan(pipeline, &saved, &mut ledger, &mut deliveries, open.replayable())?);
            let path = |sink: &str| PathName { pipeline: pipeline.name.as_str().into(), sink: sink.into() };
            names.extend(pipeline.sinks.iter().map(|sink| path(&sink.name)));
        }
        Ok(Feed {
            resume: saved.resume(names.iter()),
            name,
            open,
            ledger,
            fans,
            framing,
            dead_letters: self.dead_letters.clone(),
            store: self.store.clone(),
            position_interval: self.plan.settings.position_interval,
            metrics,
            deliveries,
            signals: FeedSignals { stop: self.signals.stop.subscribe(), give_up: self.signals.give_up.subscribe() },
        })
    }

    fn fan(
        &mut self,
        pipeline: &config::Pipeline,
        saved: &SavedSource,
        ledger: &mut Ledger,
        deliveries: &mut JoinSet<Result<(), Stopped>>,
        replayable: bool,
    ) -> Result<Fan, BuildError> {
        let metrics = Arc::new(PipelineMetrics::default());
        self.overview.pipelines.push((pipeline.name.as_str().into(), metrics.clone()));
        let (mut sinks, mut conditions) = (Vec::new(), Vec::new());
        for sink in &pipeline.sinks {
            let path = PathName { pipeline: pipeline.name.as_str().into(), sink: sink.name.as_str().into() };
            let Some(connect) = self.connects.remove(&path) else { continue };
            conditions.push(sink.when.clone());
            let metrics = Arc::new(SinkMetrics::default());
            let again = Again {
                source: if replayable { pipeline.source.clone() } else { String::new() },
                positions: saved.path(&path),
            };
            let buffer = self.buffer(&path, sink, again, &metrics)?;
            let delivery = Delivery::new(Parts {
                path: path.clone(),
                settings: sink.delivery.clone(),
                connect,
                dead_letters: self.dead_letters.clone(),
                buffer,
                metrics: metrics.clone(),
                keep_unfinished: !replayable,
                give_up: self.signals.give_up.subscribe(),
            });
            let (queue, gate) = (delivery.queue().clone(), delivery.gate());
            sinks.push((ledger.path(path.clone(), saved.path(&path), metrics.clone()), queue.clone()));
            self.overview.sinks.push(SinkView { path, metrics, queue, gate });
            deliveries.spawn(delivery.run());
        }
        Ok(Fan {
            router: Router::new(pipeline.routing.clone(), conditions, metrics),
            sinks,
            rejects: self.rejects(ledger, saved, &pipeline.name),
        })
    }

    /// The disk buffer of a sink, if it has one or an earlier run left one.
    fn buffer(
        &self,
        path: &PathName,
        sink: &config::Sink,
        again: Again,
        metrics: &Arc<SinkMetrics>,
    ) -> Result<Option<Buffer>, BuildError> {
        let directory = self.buffers.join(&*path.pipeline).join(&*path.sink);
        let parts = BufferParts {
            path: path.clone(),
            settings: &sink.delivery.buffer,
            again,
            metrics: metrics.clone(),
            position_interval: self.plan.settings.position_interval,
            stop: self.signals.stop.subscribe(),
            give_up: self.signals.give_up.subscribe(),
        };
        Buffer::open(&directory, parts).map_err(|error| BuildError::Buffer { path: directory, error })
    }

    /// The way of what no sink takes to the dead letters.
    fn rejects(&self, ledger: &mut Ledger, saved: &SavedSource, pipeline: &str) -> crate::envelope::Path {
        let path = PathName { pipeline: pipeline.into(), sink: NOBODY.into() };
        let resume = saved.path(&path);
        ledger.path(path, resume, self.overview.rejects.clone())
    }
}
