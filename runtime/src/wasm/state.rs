//! What belongs to one store: its capabilities and its limits.

use std::collections::HashMap;
use std::sync::Arc;

use wasmtime::component::ResourceTable;
use wasmtime::{AsContext, Engine, Store, UpdateDeadline};
use wasmtime_wasi::sockets::WasiSocketsCtxView;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::capabilities::{Capabilities, Connections, Context, Hooks, Staged, Ungranted, View};
use super::limits::{Cpu, Memory};
use super::settings::Limits;
use super::stage::Stage;
use super::trap;
use crate::sink::Failure;

/// The most files, streams, requests and the like that an instance holds at a time.
const MAX_RESOURCES: usize = 10_000;
/// Bytes that one call of the host copies out of a guest at most.
const MAX_LIFTED: usize = 128 << 20;

/// So much that it never ends.
const FUEL: u64 = u64::MAX;

/// See the module.
pub(super) struct State {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    hooks: Hooks,
    connections: Connections,
    /// The names whose addresses are being asked for, by the resource that gives them.
    asked: HashMap<u32, String>,
    ungranted: Ungranted,
    table: ResourceTable,
    memory: Memory,
    stage: Option<Stage>,
    /// Its sockets that are connected to the stage, by the resource.
    staged: HashMap<u32, Staged>,
}

impl State {
    /// What the guest has nothing of.
    pub(super) fn ungranted(&self) -> &Ungranted {
        &self.ungranted
    }

    /// For looking names up, and connecting.
    pub(super) fn network(&mut self) -> View<'_> {
        let State { wasi, table, connections, asked, stage, staged, .. } = self;
        let sockets = WasiSocketsCtxView { ctx: wasi.sockets(), table };
        View { sockets, connections, asked, stage: stage.as_ref(), staged }
    }

    /// What the limits of memory have seen.
    pub(super) fn memory(&mut self) -> &mut Memory {
        &mut self.memory
    }

    /// What a call into this store that did not return means.
    pub(super) fn failure(&self, error: &wasmtime::Error) -> Failure {
        trap::failure(error, self.memory.was_refused())
    }
}

/// A store whose guest gives way at every tick, and ends when it has spent its time on the processor.
pub(super) fn store(
    engine: &Engine,
    context: Context,
    capabilities: &Capabilities,
    limits: &Limits,
) -> (Store<State>, Arc<Cpu>) {
    let mut table = ResourceTable::new();
    table.set_max_capacity(MAX_RESOURCES);
    let stage = capabilities.stage().cloned();
    let cpu = Cpu::new(limits.cpu);
    let memory = Memory::new(limits.memory, stage.as_ref().map(|stage| Arc::clone(stage.usage())));
    let (hooks, ungranted) = (capabilities.hooks(), capabilities.ungranted());
    let Context { wasi, connections } = context;
    let (http, asked) = (WasiHttpCtx::new(), HashMap::new());
    let state =
        State { wasi, http, hooks, connections, asked, ungranted, table, memory, stage, staged: HashMap::new() };
    let mut store = Store::new(engine, state);
    store.limiter(|state| &mut state.memory);
    store.set_hostcall_fuel(MAX_LIFTED);
    store.set_max_component_handles(MAX_RESOURCES);
    // An error where nothing is counted, which is everywhere but in a host that meters.
    store.set_fuel(FUEL).ok();
    let meter = Arc::clone(&cpu);
    store.epoch_deadline_callback(move |_| {
        meter.check().map_err(wasmtime::Error::new)?;
        Ok(UpdateDeadline::Yield(1))
    });
    store.set_epoch_deadline(1);
    (store, cpu)
}

/// A call has returned: what it used is counted.
pub(super) fn note_use(store: impl AsContext<Data = State>) {
    let store = store.as_context();
    if let Some(stage) = &store.data().stage
        && let Ok(left) = store.get_fuel()
    {
        stage.usage().note_fuel(FUEL - left);
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.hooks, table: &mut self.table, ctx: &mut self.http }
    }
}
