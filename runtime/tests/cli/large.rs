//! Large runs in little memory.

use crate::sump::Dir;

const MOST: u64 = 200 << 20;

fn peak(sink: &str) -> (Dir, u64) {
    let dir = Dir::with(&format!("[source.g]\ntype = 'generate'\ncount = 3_000_000\n[pipeline.p.sink.out]\n{sink}\n"));
    let mut run = dir.run(["sump.toml"]).start();
    let peak = run.peak_memory();
    assert_eq!(run.end().with(0).written("p:out"), 3_000_000);
    (dir, peak)
}

#[test]
fn three_million_events_into_nothing() {
    let (_, peak) = peak("type = 'null'");
    assert!(peak > 0 && peak < MOST, "{peak} bytes resident");
}

#[test]
fn three_million_events_into_a_file() {
    let (dir, peak) = peak("type = 'file'\npath = 'out'");
    assert!(peak > 0 && peak < MOST, "{peak} bytes resident");
    assert_eq!(dir.length("out"), 3_000_000 * 65);
}
