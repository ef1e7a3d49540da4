//! Write sinks and encoders for Sump in Rust: a trait to implement, a macro to export it, and a module to test it.
#![doc = include_str!("../README.md")]
mod batch;
mod bindings;
#[doc(hidden)]
pub mod component;
mod context;
mod encoded;
mod encoder;
mod error;
mod event;
pub mod http;
mod level;
mod outcome;
mod report;
mod sink;
#[cfg(not(target_family = "wasm"))]
pub mod testing;

pub use batch::Batch;
pub use batch::Column;
pub use batch::Headers;
pub use context::Context;
pub use context::Opening;
pub use encoded::Encoded;
pub use encoded::Value;
pub use encoded::Values;
pub use encoder::BatchEncoder;
pub use encoder::Encoder;
pub use error::Error;
pub use error::Kind;
pub use event::Event;
pub use report::Report;
pub use sink::AsyncBatchSink;
pub use sink::AsyncEventSink;
pub use sink::BatchSink;
pub use sink::EventSink;
pub use sink::NoConfig;

/// The sink in the project's README is compiled, too.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
