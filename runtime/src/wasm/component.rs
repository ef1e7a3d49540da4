//! A component: loaded, compiled, described, and ready to be opened.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use wasmtime::component::{InstancePre, Linker};
use wasmtime_wasi::cli::{WasiCli, WasiCliView};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView};
use wasmtime_wasi::p2::bindings::cli::environment;
use wasmtime_wasi::p2::bindings::filesystem::preopens;
use wasmtime_wasi::p2::bindings::sockets::{ip_name_lookup as p2_lookup, tcp as p2_tcp, tcp_create_socket};
use wasmtime_wasi::p3::bindings::sockets::ip_name_lookup as p3_lookup;
use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsView};

use super::binary::{self, Binary, Unfit, World};
use super::cache::{Cache, Entry, Key};
use super::capabilities::Sockets;
use super::describe;
use super::engine::Engines;
use super::interfaces::Import;
use super::schema::{self, Problem};
use super::state::State;
use super::v0_1::concurrent::AsyncSinkComponentPre;
use super::v0_1::encoder::EncoderComponentPre;
use super::v0_1::plain::SinkComponentPre;
use crate::units::text;

/// Compiles and runs components. Cloning is cheap.
#[derive(Clone)]
pub struct Host {
    engines: Engines,
    cache: Cache,
}

/// This machine can't run components.
#[derive(Debug, thiserror::Error)]
#[error("WebAssembly can't be run here: {0}")]
pub struct HostError(String);

/// A component that can't be used. Says what to do about it.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct LoadError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: LoadReason,
}

/// Why a component can't be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadReason {
    /// The file can't be read.
    #[error("it can't be read: {0}")]
    Read(#[from] io::Error),
    /// It is no component that fits.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// It can't be compiled for this machine.
    #[error("it does not compile: {0}")]
    Compile(String),
    /// An import or export has a type that does not fit.
    #[error("it does not fit this runtime: {0}; build it against WASI 0.2 or 0.3.0 and this version's `wit/sink.wit`")]
    Link(String),
    /// It does not say what it is.
    #[error("its `describe` failed: {0}; `describe` does no I/O, and returns at once")]
    Describe(String),
}

/// What a component says about itself.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Description {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// JSON Schema of its configuration.
    pub config_schema: Option<Value>,
    /// Never more events than this in one call.
    pub max_events: Option<u32>,
    /// Never more bytes of payload than this in one call.
    pub max_bytes: Option<u32>,
    /// A write stops at the first event that is neither written nor rejected, where order was promised.
    pub stops_in_order: bool,
    /// Media type of what an encoder makes.
    pub content_type: Option<String>,
}

/// The component, bound to the interface that it exports.
#[derive(Clone)]
pub(super) enum Adapter {
    Sink(SinkComponentPre<State>),
    AsyncSink(AsyncSinkComponentPre<State>),
    Encoder(EncoderComponentPre<State>),
}

/// A component that can be opened any number of times. Cloning is cheap.
#[derive(Clone)]
pub struct Component(Arc<Loaded>);

struct Loaded {
    adapter: Adapter,
    /// Their clock stops with the last of them, and nothing would interrupt a guest any more.
    _engines: Engines,
    entry: Entry,
    size: usize,
    cached: bool,
}

impl Host {
    /// Compiled components are kept in `cache`, a folder for this user alone.
    ///
    /// Fails where the machine can't run WebAssembly. A folder that can't be used is logged, and nothing is cached.
    pub fn new(cache: PathBuf) -> Result<Host, HostError> {
        Host::with(false, &cache)
    }

    /// The same, but the components count the instructions that they run: see [`Usage::fuel`](super::Usage::fuel).
    pub fn metered(cache: PathBuf) -> Result<Host, HostError> {
        Host::with(true, &cache)
    }

    fn with(metered: bool, cache: &Path) -> Result<Host, HostError> {
        let engines = Engines::new(metered).map_err(|error| HostError(error.to_string()))?;
        Ok(Host { engines, cache: Cache::in_folder(cache) })
    }

    /// Loads a component: reads what it is, compiles it, and has it describe itself, unless that is cached.
    ///
    /// Takes up to many seconds, and blocks for them.
    pub fn load(&self, path: &Path) -> Result<Component, LoadError> {
        self.read(path).map_err(|reason| LoadError { path: path.to_owned(), reason })
    }

    fn read(&self, path: &Path) -> Result<Component, LoadReason> {
        let bytes = std::fs::read(path)?;
        let key = Key::of(&bytes, &self.engines);
        if let Some((component, entry)) = self.cache.load(&key, &self.engines) {
            let adapter = self.adapter(&component, &entry.binary)?;
            return Ok(self.loaded(adapter, entry, bytes.len(), true));
        }
        let binary = binary::read(&bytes)?;
        let begun = Instant::now();
        let engine = self.engines.of(binary.concurrent).map_err(|error| LoadReason::Compile(reason(&error)))?;
        let component = wasmtime::component::Component::from_binary(engine, &bytes)
            .map_err(|error| LoadReason::Compile(reason(&error)))?;
        let compile_time = begun.elapsed();
        let adapter = self.adapter(&component, &binary)?;
        let description = describe::describe(engine, &adapter).map_err(LoadReason::Describe)?;
        let entry = Entry::new(binary, description, compile_time);
        self.cache.store(&key, &component, &entry);
        Ok(self.loaded(adapter, entry, bytes.len(), false))
    }

    fn loaded(&self, adapter: Adapter, entry: Entry, size: usize, cached: bool) -> Component {
        Component(Arc::new(Loaded { adapter, _engines: self.engines.clone(), entry, size, cached }))
    }

    fn adapter(&self, component: &wasmtime::component::Component, binary: &Binary) -> Result<Adapter, LoadReason> {
        let misfit = |error: wasmtime::Error| LoadReason::Link(reason(&error));
        let linker = linker(component.engine(), binary.concurrent).map_err(misfit)?;
        let pre: InstancePre<State> = linker.instantiate_pre(component).map_err(misfit)?;
        match binary.world {
            World::Sink => SinkComponentPre::new(pre).map(Adapter::Sink),
            World::AsyncSink => AsyncSinkComponentPre::new(pre).map(Adapter::AsyncSink),
            World::Encoder => EncoderComponentPre::new(pre).map(Adapter::Encoder),
        }
        .map_err(misfit)
    }
}

/// Everything of WASI, closed until an instance's capabilities open it.
fn linker(engine: &wasmtime::Engine, concurrent: bool) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    if concurrent {
        wasmtime_wasi::p3::add_to_linker(&mut linker)?;
        wasmtime_wasi_http::p3::add_to_linker(&mut linker)?;
    }
    linker.allow_shadowing(true);
    note_what_is_looked_for(&mut linker)?;
    p2_lookup::add_to_linker::<State, Sockets>(&mut linker, State::network)?;
    p2_tcp::add_to_linker::<State, Sockets>(&mut linker, State::network)?;
    if concurrent {
        p3_lookup::add_to_linker::<State, Sockets>(&mut linker, State::network)?;
    }
    linker.allow_shadowing(false);
    Ok(linker)
}

/// Puts a note before the interfaces that only answer with nothing, or that nothing can be had, where they are closed.
fn note_what_is_looked_for(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    preopens::add_to_linker::<State, WasiFilesystem>(linker, |state| {
        state.ungranted().dirs_wanted();
        state.filesystem()
    })?;
    environment::add_to_linker::<State, WasiCli>(linker, |state| {
        state.ungranted().env_wanted();
        state.cli()
    })?;
    tcp_create_socket::add_to_linker::<State, WasiSockets>(linker, |state| {
        state.ungranted().tcp_wanted();
        state.sockets()
    })
}

/// An error and its causes, in one line.
pub(super) fn reason(error: &wasmtime::Error) -> String {
    text::clean(&format!("{error:#}"), text::MAX_MESSAGE)
}

impl Component {
    /// What it says about itself.
    pub fn description(&self) -> &Description {
        &self.0.entry.description
    }

    /// Which of the contract's worlds it is of.
    pub fn world(&self) -> World {
        self.0.entry.binary.world
    }

    /// What it may use, and what would grant it. Not all of it need be used: language runtimes import more than that.
    pub fn imports(&self) -> Vec<Import> {
        self.0.entry.binary.imports.iter().map(|name| Import::of(name)).collect()
    }

    /// The names of what it exports.
    pub fn exports(&self) -> &[String] {
        &self.0.entry.binary.exports
    }

    /// The size of its file in bytes.
    pub fn size(&self) -> usize {
        self.0.size
    }

    /// How long it took to compile, when that was done.
    pub fn compile_time(&self) -> Duration {
        self.0.entry.compile_time
    }

    /// Whether it was compiled before.
    pub fn is_from_cache(&self) -> bool {
        self.0.cached
    }

    /// Checks a configuration against the component's own schema: every problem at once.
    pub fn check_config(&self, config: &Value) -> Result<(), Vec<Problem>> {
        schema::check(self.description().config_schema.as_ref(), config)
    }

    pub(super) fn adapter(&self) -> &Adapter {
        &self.0.adapter
    }
}
