//! The program against a real Kafka broker, with `kcat` as the independent other side.
//!
//! It needs Apache Kafka: `SUMP_KAFKA=$(cargo xtask kafka) cargo test --test kafka`, or `cargo xtask test`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "what is shared between tests may fail like a test")]

#[path = "../support/kafka.rs"]
mod kafka;

mod broker;
