//! Durations, sizes, rates and addresses as people write them: `"1s"`, `30`, `"10MiB"`, `"100/s"`, `"127.0.0.1:9600"`.

pub mod address;
pub mod duration;
pub mod rate;
pub mod size;
