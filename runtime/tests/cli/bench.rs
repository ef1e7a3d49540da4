//! `sump bench`: figures that are there, and those that are the same each time.

use serde_json::Value;

use crate::guest::guest;
use crate::sump::{Dir, Ended};

/// Measures a component with more arguments.
fn bench(dir: &Dir, package: &str, args: &[&str]) -> Ended {
    dir.sump(["bench"].iter().chain(args)).arg(guest(package)).end()
}

fn json(ended: Ended) -> Value {
    serde_json::from_str(&ended.with(0).output).unwrap()
}

#[test]
fn instructions_are_the_same_each_time() {
    for package in ["guest-plain", "words-c", "words-go"] {
        let fuel = || {
            let measured = json(bench(&Dir::new(), package, &["--json", "--sizes", "100"]));
            measured["measured"][0]["figures"][0]["fuel_per_event"].as_f64().unwrap()
        };
        let first = fuel();
        assert!(first > 0.0 && first == fuel(), "{package}: {first}");
    }
}

#[test]
fn a_component_is_measured_beside_another_one() {
    let dir = Dir::new();
    dir.write("events", "{\"mag\": 5.5}\n{\"mag\": 1}\n");
    let other = guest("http-alerts");
    let set = ["--set", "url=https://a.example/", "--allow-http", "https://a.example", "--events", "events"];
    let compare = ["--compare", other.to_str().unwrap(), "--sizes", "2,40", "--svg", "cost.svg"];
    let args = [set.as_slice(), &compare].concat();
    let measured = json(bench(&dir, "http-alerts", &[args.as_slice(), &["--json"]].concat()));
    for one in measured["measured"].as_array().unwrap() {
        assert!(one["name"].as_str().unwrap().starts_with("http-alerts 0.1.0, "), "{one}");
        for figures in one["figures"].as_array().unwrap() {
            for figure in ["events_per_second", "ns_per_event", "fuel_per_event", "peak_memory"] {
                assert!(figures[figure].as_f64().unwrap() > 0.0, "{figure}: {figures}");
            }
            assert_eq!(figures["refused"], 0.0);
        }
    }
    let ratios = measured["ratios"].as_array().unwrap();
    let of = |key: &str| ratios.iter().map(|ratio| ratio[key].as_f64().unwrap()).collect::<Vec<_>>();
    assert_eq!((of("batch"), of("fuel_per_event")), (vec![2.0, 40.0], vec![1.0, 1.0]));
    assert!(dir.read("cost.svg").contains("<polyline"));

    let ended = bench(&dir, "http-alerts", &args).with(0);
    for part in ["  batch       events/s     ns/event     fuel/event  peak memory\n", "above 1 is more"] {
        assert!(ended.output.contains(part), "{}", ended.output);
    }
}

#[test]
fn what_is_not_measured_is_told() {
    let dir = Dir::new();
    // No more than it takes.
    let measured = json(bench(&dir, "guest-plain", &["--json", "--sizes", "1,5001"]));
    assert_eq!(measured["measured"][0]["figures"].as_array().unwrap().len(), 1);
    let measured = json(bench(&dir, "guest-plain", &["--json", "--sizes", "1", "--no-fuel"]));
    assert!(measured["measured"][0]["figures"][0]["fuel_per_event"].is_null());
    let ended = bench(&dir, "guest-plain", &["--sizes", "4", "--set", "write=refuse-odd"]).with(0);
    ended.saying(&["50% of the events were refused, or not tried"]);
    let ended = bench(&dir, "guest-plain", &["--sizes", "4", "--set", "write=trap"]).with(2);
    ended.saying(&["error: with 4 events a batch the instance is lost: unknown (trap)"]);
    bench(&dir, "http-alerts", &[]).with(2).saying(&["`config`:", "url"]);
    bench(&dir, "guest-plain", &["--sizes", "0"]).with(2).saying(&["1 to 1000000"]);
}
