//! The wasm host against guests that behave and guests that do not.
#![allow(clippy::unwrap_used, clippy::panic, reason = "what is shared between tests may fail like a test")]

#[path = "../support/guest.rs"]
mod guest;

mod capabilities;
mod concurrent;
mod encoder;
mod guests;
mod http;
mod languages;
mod limits;
mod load;
mod plain;
