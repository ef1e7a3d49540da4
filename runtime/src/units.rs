//! Durations, sizes and addresses as people write them: `"1s"`, `"500ms"`, `30`, `"10MiB"`, `"127.0.0.1:9600"`.

pub mod address;
pub mod duration;
pub mod size;
