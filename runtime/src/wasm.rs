//! Sinks in WebAssembly: components that users wrote, in a sandbox, as [`Connect`](crate::sink::Connect) and
//! [`Sink`](crate::sink::Sink).
//!
//! A component is trusted with nothing: it may trap, run or wait without end, eat memory, print without end and lie in
//! its answers. Each costs the batch at hand an attempt, and nobody else anything.

mod async_instance;
mod binary;
mod cache;
mod capabilities;
mod columns;
mod component;
mod connect;
mod describe;
mod encoder;
mod engine;
mod instance;
mod interfaces;
mod limits;
mod output;
mod schema;
mod settings;
mod stage;
mod state;
mod trap;
mod v0_1;

pub use binary::{Unfit, World};
pub use capabilities::BadGrant;
pub use component::{Component, Description, Host, HostError, LoadError, LoadReason};
pub use connect::{ConnectError, Connector};
pub use encoder::{EncoderError, WasmEncoder};
pub use interfaces::Import;
pub use schema::Problem;
pub use settings::{Access, Allow, AllowDir, AllowHttp, EncoderSettings, Limits, Settings};
pub use stage::{AnswerBody, Connection, End, Endpoint, NoAnswer, Pipe, Stage, Usage};
