//! What a component may use beside its events: nothing, unless it is granted.

mod addresses;
mod dirs;
mod http;
mod tcp;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use wasmtime_wasi::{Deterministic, HostMonotonicClock, HostWallClock, WasiCtx};

use super::interfaces::{GRANT_DIRS, GRANT_ENV, GRANT_TCP};
use super::output::Output;
use super::settings::Allow;
use super::stage::Stage;
use crate::sink::{Failure, FailureKind, Outcome, WriteError};
use crate::units::text;

pub(super) use http::Hooks;
pub(super) use tcp::{Connections, Sockets, Staged, View};

/// A grant that can't be given as it is written.
#[derive(Debug, thiserror::Error)]
pub enum BadGrant {
    /// `allow.http`
    #[error("`allow.http`: `{to}` {problem}")]
    Http {
        /// The destination as written.
        to: String,
        /// What is wrong, and what would be accepted.
        problem: String,
    },
    /// `allow.tcp`
    #[error("`allow.tcp`: `{to}` {problem}")]
    Tcp {
        /// The destination as written.
        to: String,
        /// What is wrong, and what would be accepted.
        problem: String,
    },
    /// `allow.dirs`
    #[error("`allow.dirs`: `{dir}` {problem}")]
    Dir {
        /// The directory as written.
        dir: String,
        /// What is wrong, and what would be accepted.
        problem: String,
    },
    /// `allow.env`
    #[error("`allow.env`: the variable `{0}` is not set: set it, or take it out")]
    Env(String),
    /// The client for requests can't be made.
    #[error("`allow.http` can't be granted: {0}")]
    Client(String),
}

/// What one sink's component may use, for all its instances.
pub(super) struct Capabilities {
    dirs: Vec<dirs::Grant>,
    env: Vec<(String, String)>,
    http: Arc<http::Http>,
    tcp: Arc<tcp::Tcp>,
    stage: Option<Stage>,
    denials: Arc<Denials>,
}

/// What one instance has of the host.
pub(super) struct Context {
    pub(super) wasi: WasiCtx,
    pub(super) connections: Connections,
}

impl Capabilities {
    /// Fails when a grant can't be given. `env` has the values of the variables that are granted, and perhaps others.
    /// What is granted is that of the world, unless there is a stage.
    pub(super) fn new(
        pipeline: &str,
        sink: &str,
        allow: &Allow,
        env: &BTreeMap<String, String>,
        stage: Option<&Stage>,
    ) -> Result<Capabilities, BadGrant> {
        let denials = Arc::new(Denials::new(pipeline, sink));
        let value = |name: &String| env.get(name).cloned().ok_or_else(|| BadGrant::Env(name.clone()));
        Ok(Capabilities {
            dirs: allow.dirs.iter().map(dirs::Grant::new).collect::<Result<_, _>>()?,
            env: allow.env.iter().map(|name| Ok((name.clone(), value(name)?))).collect::<Result<_, _>>()?,
            http: Arc::new(http::Http::new(&allow.http, Arc::clone(&denials), stage)?),
            tcp: Arc::new(tcp::Tcp::new(&allow.tcp, Arc::clone(&denials))?),
            stage: stage.cloned(),
            denials,
        })
    }

    /// For one instance. Fails when a directory is gone.
    pub(super) fn context(&self, stdout: Output, stderr: Output) -> Result<Context, BadGrant> {
        let mut context = WasiCtx::builder();
        let connections = Connections::new(Arc::clone(&self.tcp));
        // On a stage connections are made before this is asked, and those that it is asked of lead nowhere.
        let permitted = self.stage.is_none().then(|| connections.clone());
        context.stdout(stdout).stderr(stderr).envs(&self.env).allow_udp(false);
        // Without a grant not even a socket is made, which would take of what the host has few of.
        context.allow_tcp(self.tcp.is_granted()).allow_ip_name_lookup(self.tcp.is_granted());
        context.socket_addr_check(move |address, used| {
            let permitted = permitted.as_ref().is_some_and(|permitted| permitted.permits(address, used));
            Box::pin(async move { permitted })
        });
        if let Some(stage) = &self.stage {
            stage.set(&mut context);
        }
        for dir in &self.dirs {
            dir.open_in(&mut context)?;
        }
        Ok(Context { wasi: context.build(), connections })
    }

    /// For an instance that is to give the same answers always: its clocks stand still, and what it draws is no surprise.
    pub(super) fn inert(&self, stdout: Output, stderr: Output) -> Context {
        let same = || Deterministic::new(vec![SAME]);
        let mut context = WasiCtx::builder();
        context.stdout(stdout).stderr(stderr).allow_tcp(false).allow_udp(false);
        context.wall_clock(Still).monotonic_clock(Still);
        context.secure_random(same()).insecure_random(same()).insecure_random_seed(u128::from_ne_bytes([SAME; 16]));
        Context { wasi: context.build(), connections: Connections::new(Arc::clone(&self.tcp)) }
    }

    /// What stands in the place of the world, where a component is tried.
    pub(super) fn stage(&self) -> Option<&Stage> {
        self.stage.as_ref()
    }

    /// For one instance: what a guest that looks for it finds nothing of.
    pub(super) fn ungranted(&self) -> Ungranted {
        Ungranted {
            dirs: self.dirs.is_empty(),
            env: self.env.is_empty(),
            tcp: !self.tcp.is_granted(),
            denials: Arc::clone(&self.denials),
        }
    }

    /// For one instance.
    pub(super) fn hooks(&self) -> Hooks {
        Hooks::new(Arc::clone(&self.http))
    }
}

/// What is drawn where nothing may be left to chance: the same byte again and again.
const SAME: u8 = 0x5a;

/// A clock that stands still: at the beginning of the Unix epoch, or of anything.
struct Still;

impl HostWallClock for Still {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }

    fn now(&self) -> Duration {
        Duration::ZERO
    }
}

impl HostMonotonicClock for Still {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        0
    }
}

/// Says once what was denied, and which line would grant it.
#[derive(Debug)]
pub(super) struct Denials {
    pipeline: String,
    sink: String,
    said: Mutex<HashSet<String>>,
    /// Lines that would grant what was looked for or asked for.
    cures: Mutex<BTreeSet<String>>,
}

/// What an instance has nothing of. Looking is no denial, since language runtimes look on their own; a guest that looked
/// and then failed is told of it.
#[derive(Clone, Debug)]
pub(super) struct Ungranted {
    dirs: bool,
    env: bool,
    tcp: bool,
    denials: Arc<Denials>,
}

impl Ungranted {
    /// Adds to failures that wait for an operator the lines that would grant what the guest wanted in vain.
    pub(super) fn explain(&self, answer: Result<Outcome, WriteError>) -> Result<Outcome, WriteError> {
        match answer {
            Ok(Outcome::Partial { mut refused, stopped_at }) => {
                for refusal in &mut refused {
                    self.explain_failure(&mut refusal.failure);
                }
                Ok(Outcome::Partial { refused, stopped_at })
            }
            Ok(Outcome::Written) => answer,
            Err(WriteError::Failed(mut failure)) => {
                self.explain_failure(&mut failure);
                Err(WriteError::Failed(failure))
            }
            Err(WriteError::Lost(_) | WriteError::Superseded(_)) => answer,
        }
    }

    /// The same for one failure.
    pub(super) fn explain_failure(&self, failure: &mut Failure) {
        let cures = self.denials.cures.lock().unwrap_or_else(PoisonError::into_inner);
        if failure.kind == FailureKind::Halted && !cures.is_empty() {
            let cures: Vec<String> = cures.iter().map(|cure| format!("`{cure}`")).collect();
            failure.message = format!("{} (not granted to this sink: {})", failure.message, cures.join(", ")).into();
        }
    }

    /// The guest asks which directories there are.
    pub(super) fn dirs_wanted(&self) {
        if self.dirs {
            self.denials.would_need(GRANT_DIRS);
        }
    }

    /// The guest asks for a socket.
    pub(super) fn tcp_wanted(&self) {
        if self.tcp {
            self.denials.request("a socket", &format!("`{GRANT_TCP}` under this sink"));
        }
    }

    /// The guest asks which variables there are.
    pub(super) fn env_wanted(&self) {
        if self.env {
            self.denials.would_need(GRANT_ENV);
        }
    }
}

/// So many different denials are logged: a guest could go through all addresses there are.
const MAX_DENIALS: usize = 32;
/// So many lines a failure names, each of so many bytes at most: a guest chooses the hosts in them.
const MAX_CURES: usize = 3;
const MAX_CURE: usize = 200;

impl Denials {
    fn new(pipeline: &str, sink: &str) -> Denials {
        Denials {
            pipeline: pipeline.to_owned(),
            sink: sink.to_owned(),
            said: Mutex::default(),
            cures: Mutex::default(),
        }
    }

    /// `what` was denied; `cure` would grant it.
    pub(super) fn request(&self, what: &str, cure: &str) {
        self.would_need(cure);
        if self.is_new(what) {
            let (pipeline, sink) = (&self.pipeline, &self.sink);
            tracing::warn!(pipeline, sink, "denied: {what}: to grant it, write {cure}");
        }
    }

    fn would_need(&self, cure: &str) {
        let mut cures = self.cures.lock().unwrap_or_else(PoisonError::into_inner);
        if cures.len() < MAX_CURES {
            cures.insert(text::clean(cure, MAX_CURE));
        }
    }

    fn is_new(&self, what: &str) -> bool {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.len() < MAX_DENIALS && said.insert(what.to_owned())
    }
}
