//! What sources and sinks of Kafka share: the settings of a connection, where its client's own log goes, and the
//! membership of a group whose positions a sink stores.
//!
//! `docs/kafka.md` says which of librdkafka's properties are refused, and why.

mod connection;
mod log;
mod membership;
mod properties;

pub use connection::{Connection, Mechanism, Sasl, Servers, Tls};
pub use log::log;
pub use membership::{Consumes, Membership, Pledge, Seat};
pub use properties::Properties;
