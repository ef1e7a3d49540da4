//! The wasm host against guests that behave and guests that do not.

mod capabilities;
mod concurrent;
mod guests;
mod http;
mod limits;
mod load;
mod plain;
