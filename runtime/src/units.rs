//! Durations and sizes as people write them: `"1s"`, `"500ms"`, `30`, `"10MiB"`.

pub mod duration;
pub mod size;
