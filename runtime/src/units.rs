//! Durations, sizes, rates and addresses as people write them: `"1s"`, `30`, `"10MiB"`, `"100/s"`, `"127.0.0.1:9600"`;
//! what is not shown to anybody, and what is shown of what others say.

pub mod address;
pub mod duration;
pub mod rate;
mod secret;
pub mod size;
pub mod text;

pub use secret::Secret;
