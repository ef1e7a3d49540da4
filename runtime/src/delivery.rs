//! From a sink's queue to final: one path for all sinks.

mod settings;

pub use settings::{BufferSettings, GateSettings, Outage, RetrySettings, Settings, WhenFull};
