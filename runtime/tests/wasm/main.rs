//! The wasm host against guests that behave and guests that do not.

#[path = "../support/guest.rs"]
mod guest;

mod capabilities;
mod concurrent;
mod guests;
mod http;
mod limits;
mod load;
mod plain;
