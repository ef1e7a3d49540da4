//! Sump runs pipelines: events from sources, by routes, into sinks, built in or sandboxed WebAssembly components.
//!
//! The modules are rooms. Each uses only rooms that stand above it in this list; `ARCHITECTURE.md` says what each
//! holds and must not know, and a test in `xtask` keeps it so.

mod defect;

pub mod units;

pub mod net;

pub mod kafka;

pub mod batch;
pub mod metrics;

pub mod expr;

pub mod envelope;

pub mod source;

pub mod sink;

pub mod wasm;

pub mod delivery;

pub mod config;

pub mod trial;

pub mod pipeline;

pub mod admin;

pub mod project;

pub mod cli;
