//! The two engines that compile and run components, and the clock that interrupts what runs too long.

use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use wasmtime::{Config, Engine, EngineWeak, WasmBacktraceDetails};

/// How often running guests give way to others and their limits are looked at.
pub(super) const TICK: Duration = Duration::from_millis(10);

/// Both engines. Cloning is cheap.
#[derive(Clone)]
pub(super) struct Engines {
    plain: Engine,
    concurrent: Engine,
    _ticker: Arc<Ticker>,
}

impl Engines {
    pub(super) fn new() -> Result<Engines, wasmtime::Error> {
        let engines = [Engine::new(&config(false))?, Engine::new(&config(true))?];
        let ticker = Ticker::start(engines.each_ref().map(Engine::weak))?;
        let [plain, concurrent] = engines;
        Ok(Engines { plain, concurrent, _ticker: Arc::new(ticker) })
    }

    /// An empty async call costs several times as much in the engine that supports concurrency; the other one refuses
    /// components that use async types.
    pub(super) fn of(&self, concurrent: bool) -> &Engine {
        if concurrent { &self.concurrent } else { &self.plain }
    }
}

fn config(concurrent: bool) -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .concurrency_support(concurrent)
        .wasm_component_model_async(concurrent)
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .memory_init_cow(true);
    config
}

/// A thread that counts up the epochs until it is dropped. A task would wait behind the guest that it must interrupt.
struct Ticker {
    _stop: mpsc::Sender<()>,
}

impl Ticker {
    fn start(engines: [EngineWeak; 2]) -> Result<Ticker, std::io::Error> {
        let (stop, stopped) = mpsc::channel::<()>();
        thread::Builder::new().name("sump-epochs".into()).spawn(move || {
            while stopped.recv_timeout(TICK) == Err(mpsc::RecvTimeoutError::Timeout) {
                for engine in engines.iter().filter_map(EngineWeak::upgrade) {
                    engine.increment_epoch();
                }
            }
        })?;
        Ok(Ticker { _stop: stop })
    }
}
