//! A sink of a user's own, without any configuration: `csv-by-day` with the quakes on standard input.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;

use crate::guest::guest;
use crate::sump::{Dir, QUAKES};

/// How many quakes each UTC day has.
fn days() -> BTreeMap<String, usize> {
    let mut days = BTreeMap::new();
    for line in fs::read_to_string(QUAKES).unwrap().lines() {
        let quake: Value = serde_json::from_str(line).unwrap();
        // All of them are in January and February of 2018, which began at this second.
        let day = quake["time"].as_i64().unwrap().div_euclid(1000).div_euclid(86_400) - 17_532;
        let name =
            if day < 31 { format!("2018-01-{:02}.csv", day + 1) } else { format!("2018-02-{:02}.csv", day - 30) };
        *days.entry(name).or_default() += 1;
    }
    days
}

fn rows(dir: &Dir, folder: &str) -> BTreeMap<String, usize> {
    let files = fs::read_dir(dir.path(folder)).unwrap();
    let rows = |name: &str| dir.lines(&format!("{folder}/{name}")).len() - 1;
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    names.map(|name| (name.clone(), rows(&name))).collect()
}

#[test]
fn quakes_become_one_csv_file_a_day() {
    let dir = Dir::new();
    fs::create_dir(dir.path("days")).unwrap();
    let csv = guest("csv-by-day");
    let run = |grant: &str| {
        let run = dir.run([csv.to_str().unwrap(), "--set", "dir=/csv", "--allow-dir", grant]);
        run.input(fs::read(QUAKES).unwrap())
    };
    let ended = run("days:/csv:rw").end().with(0);
    assert_eq!(ended.counts("main:csv_by_day")[..5], [1707, 0, 0, 0, 0]);
    assert_eq!(rows(&dir, "days"), days());
    let header = |name: &String| dir.lines(&format!("days/{name}"))[0].clone();
    assert!(days().keys().all(|name| header(name) == "time,mag,place,lon,lat,depth,id"));
}

#[test]
fn what_is_no_quake_is_a_dead_letter_and_the_others_are_written() {
    let dir = Dir::new();
    fs::create_dir(dir.path("days")).unwrap();
    let csv = guest("csv-by-day");
    let quakes = fs::read_to_string(QUAKES).unwrap();
    let input = format!("not json\n{quakes}{{\"mag\":1}}\n");
    let run = dir.run([csv.to_str().unwrap(), "--allow-dir", "days:/out:rw", "--strict"]).input(input);
    let ended = run.end().with(1).saying(&["2 events in the dead letters: data/dead_letters"]);
    assert_eq!(ended.counts("main:csv_by_day")[..4], [1707, 0, 2, 2]);
    assert_eq!(rows(&dir, "days"), days());
    assert_eq!(dir.dead("payload"), ["not json", "{\"mag\":1}"]);
    assert_eq!(dir.dead("kind"), ["rejected", "rejected"]);
    assert_eq!(dir.dead("attempts"), ["1", "1"]);
    assert!(dir.dead_letters()[0]["first_attempt"].is_u64());
}

#[test]
fn a_directory_that_is_not_granted_for_writing_holds_the_events_back() {
    let dir = Dir::new();
    fs::create_dir(dir.path("days")).unwrap();
    let csv = guest("csv-by-day");
    let run = dir.run([csv.to_str().unwrap(), "--allow-dir", "days:/out", "--drain-timeout", "300ms"]);
    let ended = run.input(fs::read(QUAKES).unwrap()).end().saying(&["the gate is closed", "no-access"]);
    assert_eq!(ended.written("main:csv_by_day"), 0);
    assert!(fs::read_dir(dir.path("days")).unwrap().next().is_none());
    // What came by standard input is nowhere else.
    assert_eq!((dir.dead("code").len(), &*dir.dead("code")[0]), (1707, "stopped"));
}
