//! What sources and sinks of Kafka share: the settings of a connection, and where its client's own log goes.
//!
//! `docs/kafka.md` says which of librdkafka's properties are refused, and why.

mod connection;
mod log;
mod properties;

pub use connection::{Connection, Mechanism, Sasl, Servers, Tls};
pub use log::log;
pub use properties::Properties;
