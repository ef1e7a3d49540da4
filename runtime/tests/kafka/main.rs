//! The program against a real Kafka broker, with `kcat` as the independent other side.
//!
//! It needs Apache Kafka: `SUMP_KAFKA=$(cargo xtask kafka) cargo test --test kafka`, or `cargo xtask test`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "what is shared between tests may fail like a test")]

#[path = "../support/kafka.rs"]
mod kafka;

mod broker;
mod faults;
mod once;
mod rights;
mod scaling;
mod sink;
mod source;
#[path = "../cli/sump.rs"]
#[allow(dead_code, reason = "shared with the tests of the command line")]
mod sump;
