//! The two engines that compile and run components, and the clock that interrupts what runs too long.

use std::hash::Hash;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use wasmtime::{Config, Engine, EngineWeak, WasmBacktraceDetails};

/// How often running guests give way to others and their limits are looked at.
pub(super) const TICK: Duration = Duration::from_millis(10);

/// Both engines. Cloning is cheap.
#[derive(Clone)]
pub(super) struct Engines(Arc<Both>);

struct Both {
    plain: Engine,
    /// Made when the first component asks for it: most runs never do.
    concurrent: OnceLock<Engine>,
    metered: bool,
    ticker: Ticker,
}

impl Engines {
    /// What is compiled counts the instructions that it runs, where it is `metered`; that takes its time.
    pub(super) fn new(metered: bool) -> Result<Engines, wasmtime::Error> {
        let plain = Engine::new(&config(false, metered))?;
        let ticker = Ticker::start()?;
        ticker.add(&plain);
        Ok(Engines(Arc::new(Both { plain, concurrent: OnceLock::new(), metered, ticker })))
    }

    /// An empty async call costs several times as much in the engine that supports concurrency; the other one refuses
    /// components that use async types.
    pub(super) fn of(&self, concurrent: bool) -> Result<&Engine, wasmtime::Error> {
        let Both { plain, concurrent: other, metered, ticker } = &*self.0;
        if !concurrent {
            return Ok(plain);
        }
        if let Some(engine) = other.get() {
            return Ok(engine);
        }
        let engine = Engine::new(&config(true, *metered))?;
        Ok(other.get_or_init(|| {
            ticker.add(&engine);
            engine
        }))
    }

    /// Stands for the settings of both engines, which differ in nothing that this program can change.
    pub(super) fn settings(&self) -> impl Hash {
        self.0.plain.precompile_compatibility_hash()
    }
}

fn config(concurrent: bool, metered: bool) -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .consume_fuel(metered)
        .concurrency_support(concurrent)
        .wasm_component_model_async(concurrent)
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .memory_init_cow(true);
    config
}

/// A thread that counts up the epochs until it is dropped. A task would wait behind the guest that it must interrupt.
struct Ticker {
    engines: Arc<Mutex<Vec<EngineWeak>>>,
    _stop: mpsc::Sender<()>,
}

impl Ticker {
    fn start() -> Result<Ticker, std::io::Error> {
        let (stop, stopped) = mpsc::channel::<()>();
        let engines: Arc<Mutex<Vec<EngineWeak>>> = Arc::default();
        let ticked = Arc::clone(&engines);
        thread::Builder::new().name("sump-epochs".into()).spawn(move || {
            while stopped.recv_timeout(TICK) == Err(mpsc::RecvTimeoutError::Timeout) {
                let engines = ticked.lock().unwrap_or_else(PoisonError::into_inner);
                for engine in engines.iter().filter_map(EngineWeak::upgrade) {
                    engine.increment_epoch();
                }
            }
        })?;
        Ok(Ticker { engines, _stop: stop })
    }

    fn add(&self, engine: &Engine) {
        self.engines.lock().unwrap_or_else(PoisonError::into_inner).push(engine.weak());
    }
}
