//! Durations, sizes and rates as people write them: `"1s"`, `"500ms"`, `30`, `"10MiB"`, `"100/s"`.

pub mod duration;
pub mod rate;
pub mod size;
