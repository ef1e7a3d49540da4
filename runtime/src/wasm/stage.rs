//! What surrounds a component that is tried, in place of the world: endpoints that answer in this process, clocks that go
//! with the runtime's, and chance that is the same each time.

mod pipe;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::http::{Request, Response};
use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use tokio::time::Instant;
use wasmtime_wasi::{Deterministic, HostMonotonicClock, HostWallClock, WasiCtxBuilder};

pub use pipe::{End, Pipe};

/// What the monotonic clock says at first: language runtimes take one that says 0 for broken.
const BEGUN: Duration = Duration::from_secs(1);
/// Bytes that are drawn before they come again.
const DRAWN: usize = 4 << 10;

/// The body of an answer, which may end before it is whole.
pub type AnswerBody = UnsyncBoxBody<Bytes, NoAnswer>;

/// Answers requests in place of the network.
#[async_trait]
pub trait Endpoint: Send + Sync {
    /// Answers one request that a grant covers, as it would be sent: with a whole URL, and the headers that the host adds.
    async fn answer(&self, request: Request<Bytes>) -> Result<Response<AnswerBody>, NoAnswer>;

    /// Takes a connection over TCP to `HOST:PORT`, which a grant covers. It is there after the time that this returns.
    fn connect(&self, to: &str, connection: Connection) -> Result<Duration, NoAnswer> {
        let _ = (to, connection);
        Err(NoAnswer::Refused)
    }
}

/// Both directions of a connection. Cloning gives the same one.
#[derive(Clone, Debug, Default)]
pub struct Connection {
    /// What the endpoint says.
    pub to_guest: Pipe,
    /// What it hears.
    pub from_guest: Pipe,
}

/// Why there is no answer, or no more of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// The name leads nowhere.
    #[error("there is no such host")]
    NoHost,
    /// Nothing was sent.
    #[error("the connection was refused")]
    Refused,
    /// What was sent may have arrived.
    #[error("the connection was reset")]
    Reset,
}

/// See the module. Cloning gives the same one.
#[derive(Clone)]
pub struct Stage {
    endpoint: Arc<dyn Endpoint>,
    /// What the wall clock says at `origin`, since the Unix epoch.
    began: Duration,
    origin: Instant,
    /// Those that were looked up, each of which has an address by its place.
    names: Arc<Mutex<Vec<String>>>,
    usage: Arc<Usage>,
}

/// What instances on a stage have used.
#[derive(Debug, Default)]
pub struct Usage {
    memory: AtomicU64,
    fuel: AtomicU64,
}

impl Usage {
    /// The most bytes that memories and tables of one instance ever had.
    pub fn memory(&self) -> u64 {
        self.memory.load(Ordering::Relaxed)
    }

    /// Instructions of WebAssembly, about, that the instance has run which was called last: where the host counts them, and
    /// 0 elsewhere. See [`Host::metered`](super::Host::metered).
    pub fn fuel(&self) -> u64 {
        self.fuel.load(Ordering::Relaxed)
    }

    pub(super) fn note_memory(&self, bytes: u64) {
        self.memory.fetch_max(bytes, Ordering::Relaxed);
    }

    pub(super) fn note_fuel(&self, used: u64) {
        self.fuel.store(used, Ordering::Relaxed);
    }
}

impl Stage {
    /// Its clocks go on as those of the async runtime that it is made in do, from `began` on, which is since the Unix epoch.
    pub fn new(endpoint: Arc<dyn Endpoint>, began: Duration) -> Stage {
        Stage { endpoint, began, origin: Instant::now(), names: Arc::default(), usage: Arc::default() }
    }

    /// What its instances have used. It is counted on while they are called.
    pub fn usage(&self) -> &Arc<Usage> {
        &self.usage
    }

    /// The address that a name has here: one of a private network.
    pub(super) fn address_of(&self, name: &str) -> IpAddr {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let place = names.iter().position(|known| known == name).unwrap_or_else(|| {
            names.push(name.to_owned());
            names.len() - 1
        });
        // Behind that of the guest.
        Ipv4Addr::from_bits(Ipv4Addr::new(10, 0, 0, 2).to_bits() + place as u32).into()
    }

    /// Connects to the endpoint, by the name that has this address.
    pub(super) fn connect(&self, address: SocketAddr, connection: Connection) -> Result<Duration, NoAnswer> {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let name = names.iter().find(|name| self.address_of(name) == address.ip());
        let to = name.map_or_else(|| address.to_string(), |name| format!("{name}:{}", address.port()));
        self.endpoint.connect(&to, connection)
    }

    pub(super) fn endpoint(&self) -> &Arc<dyn Endpoint> {
        &self.endpoint
    }

    /// Gives an instance its clocks and its chance.
    pub(super) fn set(&self, context: &mut WasiCtxBuilder) {
        let clock = || Clock { began: self.began, origin: self.origin };
        let drawn = || {
            let mut chance = fastrand::Rng::with_seed(0);
            Deterministic::new(std::iter::repeat_with(|| chance.u8(..)).take(DRAWN).collect())
        };
        context.wall_clock(clock()).monotonic_clock(clock());
        context.secure_random(drawn()).insecure_random(drawn()).insecure_random_seed(0);
    }
}

impl fmt::Debug for Stage {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Stage").field("began", &self.began).finish_non_exhaustive()
    }
}

/// The runtime's clock, which a test may have stopped.
struct Clock {
    began: Duration,
    origin: Instant,
}

impl HostWallClock for Clock {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }

    fn now(&self) -> Duration {
        self.began + self.origin.elapsed()
    }
}

impl HostMonotonicClock for Clock {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        u64::try_from((BEGUN + self.origin.elapsed()).as_nanos()).unwrap_or(u64::MAX)
    }
}
