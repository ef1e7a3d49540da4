//! The sink, run natively on a directory of the test's own.
#![allow(clippy::unwrap_used, reason = "in a test, it is how a wrong answer is told")]
use std::path::Path;

use csv_by_day::CsvByDay;
use serde_json::json;
use sump_sdk::Kind;
use sump_sdk::testing;
use sump_sdk::testing::Harness;

fn quake(id: &str, time: i64, place: &str) -> serde_json::Value {
    json!({ "id": id, "time": time, "mag": 4.5, "place": place, "lon": 1.5, "lat": -2.0, "depth": 10.0, "felt": null })
}

fn open(dir: &Path) -> Harness<CsvByDay> {
    Harness::events::<CsvByDay>(json!({ "dir": dir })).unwrap()
}

// 2018-01-31T01:49:59.650Z and a day later.
const WEDNESDAY: i64 = 1_517_363_399_650;
const THURSDAY: i64 = WEDNESDAY + 86_400_000;

#[test]
fn each_day_has_its_file_with_one_header() {
    let dir = tempfile::tempdir().unwrap();
    let batch = testing::batch().event(quake("a", WEDNESDAY, "Amboy")).event(quake("b", THURSDAY, "Lima"));
    open(dir.path()).write(batch).assert_written();
    open(dir.path()).write(testing::batch().event(quake("c", WEDNESDAY, "Raton"))).assert_written();

    let read = |day: &str| std::fs::read_to_string(dir.path().join(day)).unwrap();
    let header = "time,mag,place,lon,lat,depth,id\n";
    let rows = "1517363399650,4.5,Amboy,1.5,-2.0,10.0,a\n1517363399650,4.5,Raton,1.5,-2.0,10.0,c\n";
    assert_eq!(read("2018-01-31.csv"), format!("{header}{rows}"));
    assert_eq!(read("2018-02-01.csv"), format!("{header}1517449799650,4.5,Lima,1.5,-2.0,10.0,b\n"));
}

#[test]
fn what_needs_quotes_is_quoted() {
    let dir = tempfile::tempdir().unwrap();
    let place = "50km NNW of \"Sangiang\", Indonesia";
    open(dir.path()).write(testing::batch().event(quake("a", WEDNESDAY, place))).assert_written();
    let text = std::fs::read_to_string(dir.path().join("2018-01-31.csv")).unwrap();
    assert!(text.contains(r#","50km NNW of ""Sangiang"", Indonesia","#), "{text}");
}

#[test]
fn an_event_that_is_no_quake_is_rejected_and_the_others_are_written() {
    let dir = tempfile::tempdir().unwrap();
    let batch = testing::batch().text("no json").event(json!({ "id": "x" })).tombstone();
    let batch = batch.event(quake("far", i64::MAX, "nowhere")).event(quake("a", WEDNESDAY, "Amboy"));
    let outcome = open(dir.path()).write(batch);
    let codes: Vec<_> = outcome.refused().into_iter().map(|(_, error)| (error.kind(), error.code())).collect();
    let rejected = |code| (Kind::Rejected, code);
    assert_eq!(codes, ["not-json", "wrong-shape", "no-payload", "no-such-day"].map(rejected));
    assert_eq!(outcome.written(), [4]);
}

#[test]
fn a_directory_that_is_not_granted_halts_the_sink() {
    let error = Harness::events::<CsvByDay>(json!({ "dir": "/no/such/directory" })).err().unwrap();
    assert_eq!((error.kind(), error.code()), (Kind::Halted, "no-access"));
}

#[test]
fn a_directory_that_goes_away_halts_the_sink_and_its_events_wait() {
    let dir = tempfile::tempdir().unwrap();
    let mut sink = open(dir.path());
    dir.close().unwrap();
    let outcome = sink.write(testing::batch().event(quake("a", WEDNESDAY, "Amboy")));
    assert_eq!(outcome.failure().map(|error| error.code()), Some("no-access"));
}

#[test]
fn every_quake_of_the_real_data_finds_its_day() {
    let dir = tempfile::tempdir().unwrap();
    let quakes = include_str!("../../../data/earthquakes.ndjson");
    open(dir.path()).write(testing::batch().lines(quakes)).assert_written();
    let mut rows = 0;
    for file in std::fs::read_dir(dir.path()).unwrap() {
        let mut csv = csv::Reader::from_path(file.unwrap().path()).unwrap();
        assert_eq!(csv.headers().unwrap().len(), 7);
        rows += csv.records().map(Result::unwrap).count();
    }
    assert_eq!(rows, quakes.lines().count());
}
