//! What routing costs an event: conditions over the quake data.

fn main() {}
