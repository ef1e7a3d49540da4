//! `sump test`: components that behave, and what it tells of those that do not.

use crate::guest::guest;
use crate::sump::{Dir, Ended};

/// Tries a component with more arguments.
fn trial(dir: &Dir, package: &str, args: &[&str]) -> Ended {
    dir.sump(["test"].iter().chain(args)).arg(guest(package)).end()
}

/// Fails unless the trial failed and has told all of this.
#[track_caller]
fn failed(ended: Ended, parts: &[&str]) {
    let ended = ended.with(1);
    for part in parts {
        assert!(ended.output.contains(part), "`{part}` is not in:\n{}", ended.output);
    }
}

#[test]
fn every_language_bears_what_every_component_has_to() {
    // One guest for each SDK, and one without.
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/guests");
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let packages: Vec<String> = names.filter(|name| name.starts_with("words-") || name == "plain").collect();
    assert!(packages.len() > 2, "{packages:?}");
    for package in packages {
        let dir = Dir::new();
        let package = if package == "plain" { "guest-plain" } else { &package };
        let ended = trial(&dir, package, &[]).with(0);
        assert!(ended.output.contains("  ok      100,000 events"), "{package}: {}", ended.output);
        assert!(ended.output.contains("14 passed, 0 failed in "), "{package}: {}", ended.output);
    }
}

#[test]
fn what_a_component_does_badly_is_told() {
    let dir = Dir::new();
    let plain = |set: &[&str]| {
        let set: Vec<&str> = set.iter().flat_map(|set| ["--set", set]).collect();
        trial(&dir, "guest-plain", &[set.as_slice(), &["--allow-http", "https://a.example"]].concat())
    };
    failed(plain(&["open=halted"]), &["it does not open: halted (no-table): create it", "0 passed, 1 failed"]);
    failed(plain(&["write=trap"]), &["FAILED  one event", "the instance is lost: unknown (trap)", "log: "]);
    failed(plain(&["write=trap-second"]), &["FAILED  the same batch three times", "FAILED  100,000 events"]);
    failed(plain(&["write=eat"]), &["FAILED  one event", "(memory-limit)"]);
    // An hour of the trial's time.
    failed(plain(&["write=sleep"]), &["the instance is lost: unknown (timeout): no answer within 30s"]);
    failed(plain(&["write=bad-index"]), &["its answer contradicts itself"]);
    failed(plain(&["write=unknown"]), &["FAILED  a batch without events", "without events it fails: unknown (lost)"]);
    failed(plain(&["write=go-on"]), &["it says that it stops in order, and goes on behind event 0"]);
    failed(plain(&["close=fail"]), &["it does not close: unknown (unflushed): perhaps"]);
    failed(
        plain(&["write=post-and-forget", "url=https://a.example/x"]),
        &[
            "ok      one event",
            "FAILED  endpoints that refuse every connection",
            "it calls everything written, though none of its requests (1) was answered",
        ],
    );
    failed(plain(&["write=post-and-forget", "url=https://b.example/x"]), &["denied: POST https://b.example/x"]);
}

const ALERTS: &str = r#"
[setup]
config = { url = "https://hooks.example.com/quakes", min_mag = 5.0 }
allow.http = ["https://hooks.example.com"]

[[case]]
name = "strong quakes are posted, and the others done"
events = ['{"mag": 5.1}', '{"mag": 2.0}', 'no json', '{"mag": 6.0}']
[case.expect]
outcome = ["written", "written", "rejected: not-json", "written"]
[[case.expect.requests]]
method = "POST"
url = "https://hooks.example.com/quakes"
headers = { content-type = "application/json" }
body.json = [{ mag = 5.1 }, { mag = 6.0 }]

[[case]]
name = "a busy endpoint says when"
events = ['{"mag": 5.1}']
answers = [{ status = 429, headers = { retry-after = "90" } }]
expect.outcome = "transient: http-429, after 90s"

[[case]]
name = "hours without an answer"
timeout = "10h"
events = ['{"mag": 5.1}']
answers = [{ delay = "9h 30m" }]
expect.outcome = "unknown: http-no-answer"
"#;

#[test]
fn cases_say_what_a_component_gets_and_what_comes_of_it() {
    let dir = Dir::new();
    std::fs::create_dir(dir.path("tests")).unwrap();
    dir.write("tests/alerts.toml", ALERTS);
    dir.write("tests/other.py", "no case");
    let ended = trial(&dir, "http-alerts", &[]).with(0);
    let begun = "\ntests/alerts.toml\n  ok      strong quakes are posted, and the others done (";
    assert!(ended.output.starts_with(begun), "{}", ended.output);
    assert!(ended.output.contains("\nconformance, set up as tests/alerts.toml\n"), "{}", ended.output);
    assert!(ended.output.contains("\n17 passed, 0 failed in "), "{}", ended.output);

    let ended = trial(&dir, "http-alerts", &["--only", "busy"]).with(0);
    assert!(ended.output.contains("1 passed, 0 failed"), "{}", ended.output);
    trial(&dir, "http-alerts", &["--only", "nothing"]).with(2).saying(&["there is nothing to try"]);
}

#[test]
fn the_cases_of_the_page_pass() {
    let page = include_str!("../../../docs/testing.md");
    let blocks: Vec<&str> = page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let cases = blocks[..2].concat();
    let dir = Dir::new();
    std::fs::create_dir(dir.path("tests")).unwrap();
    dir.write("tests/page.toml", cases);
    let ended = trial(&dir, "http-alerts", &[]).with(0);
    for name in ["a busy endpoint says when to come again", "what is busy comes again"] {
        assert!(ended.output.contains(&format!("  ok      {name} (")), "{}", ended.output);
    }
}

#[test]
fn what_differs_is_told_with_its_place() {
    let dir = Dir::new();
    std::fs::create_dir(dir.path("tests")).unwrap();
    let wrong = ALERTS.replace("5.1 }, {", "5.2 }, {").replace("9h 30m", "8h");
    dir.write("tests/alerts.toml", format!("{wrong}\n[[case]]\nname = 'open'\nevents = ['{{}}']\n"));
    failed(
        trial(&dir, "http-alerts", &[]),
        &[
            ") at tests/alerts.toml:6:1\n",
            "request 1: body: expected \"[{\\\"mag\\\":5.2},{\\\"mag\\\":6.0}]\", found \"[{\\\"mag\\\": 5.1},{\\\"mag\\\": 6.0}]\"",
            "outcome: expected \"unknown: http-no-answer\", found [\"written\"]",
            "it says nothing of what is expected: add `expect`",
            "15 passed, 3 failed",
        ],
    );
}

#[test]
fn a_file_of_cases_that_is_wrong_is_told_as_a_configuration_is() {
    let dir = Dir::new();
    std::fs::create_dir(dir.path("tests")).unwrap();
    dir.write("tests/a.toml", "[[case]]\nname = 'a'\nevent = ['x']\n[case.expect]\noutcome = 'writen'\n[[case]]\nanswers = [{ status = 7 }]\n");
    let ended = trial(&dir, "http-alerts", &[]).with(2);
    ended.saying(&[
        "unknown key `event`",
        "did you mean `events`",
        "tests/a.toml:3:1",
        "`writen` is no outcome",
        "tests/a.toml:5:11",
        "`case[1].name` is missing",
        "`7` is no status of an answer",
    ]);
}

#[test]
fn files_and_variables_are_those_of_the_case() {
    let dir = Dir::new();
    std::fs::create_dir(dir.path("tests")).unwrap();
    dir.write(
        "tests/plain.toml",
        r#"
[setup]
allow.dirs = [{ guest = "/out", access = "read-write" }, { guest = "/in" }]
allow.env = { GRANTED = "yes" }

[[case]]
name = "a file is written"
config = { write = "write-dir", file = "/out/a" }
events = ["x"]
expect = { outcome = "rejected: write", files = { "/out/a" = "written", "/in/b" = "there" } }
files = { "/in/b" = "there" }

[[case]]
name = "a variable is seen, and a line is heard"
config = { write = "flood" }
events = ["x"]
expect = { outcome = "written", log = [] }

[[case]]
name = "a file that is there is read"
config = { write = "read-dir", file = "/in/deep/b" }
events = [{ payload = { base64 = "AP8=" }, key = "k", headers = { a = "b" } }, { key = "a tombstone" }]
expect = { outcome = "rejected: read" }
files = { "/in/deep/b" = "there", "/elsewhere" = "" }
"#,
    );
    failed(
        trial(&dir, "guest-plain", &[]),
        &[
            "ok      a file is written",
            "lines: expected 0 of them, found 202",
            "log: flood flood",
            "`files`: `/elsewhere` is in no folder that the component sees",
        ],
    );
}

#[test]
fn an_encoder_is_held_to_its_values() {
    let dir = Dir::new();
    std::fs::create_dir(dir.path("tests")).unwrap();
    dir.write(
        "tests/enrich.toml",
        r#"
[setup]
config = { name = "site", value = "z", origin = "at" }

[[case]]
name = "members are added"
events = ['{"a": 1}', 'x', '{"site": 1, "at": 2}']
expect.outcome = ["encoded", "rejected: not-json", "encoded"]
expect.values = [
  { payload.json = { a = 1, site = "z", at = { partition = "test/0", position = 0, time = 1767225600000 } } },
  '{"site": 1, "at": 2}',
]
"#,
    );
    let ended = trial(&dir, "enrich", &[]).with(0);
    assert!(ended.output.contains("\n15 passed, 0 failed in "), "{}", ended.output);
}

#[test]
fn what_happens_is_written_down_and_all_else_left_as_it_is() {
    let dir = Dir::new();
    std::fs::create_dir(dir.path("tests")).unwrap();
    let given = r#"# Kept.
[setup]
config = { url = "https://hooks.example.com/quakes", min_mag = 5.0 } # kept, too
allow.http = ["https://hooks.example.com"]

[[case]]
name = "new"
events = ['{"mag": 5.1}', 'no json']

[[case]]
name = "stale"
events = ['{"mag": 5.1}', '{"mag": 6}']
expect.outcome = "rejected"
[[case.expect.requests]]
headers = { content-type = "text/plain" }
body.json = [{ mag = 5.0 }]

[[case]]
name = "well"
events = ['{"mag": 5.1}']
expect = { outcome = "written" } # kept
"#;
    dir.write("tests/a.toml", given);
    let ended = trial(&dir, "http-alerts", &["--bless", "--junit", "out.xml"]).with(0);
    for line in ["  BLESSED new (", "  BLESSED stale (", "  ok      well ("] {
        assert!(ended.output.contains(line), "{}", ended.output);
    }
    let expected = given
        .replace(
            "'no json']\n",
            r#"'no json']

[case.expect]
outcome = ["written", "rejected: not-json"]
requests = [
  { method = "POST", url = "https://hooks.example.com/quakes", headers = { content-type = "application/json", idempotency-key = "343f655233860975d46b69e5722b500c" }, body = '[{"mag": 5.1}]' },
]
"#,
        )
        .replace("\"rejected\"", "\"written\"")
        .replace(
            r#"[[case.expect.requests]]
headers = { content-type = "text/plain" }
body.json = [{ mag = 5.0 }]
"#,
            r#"expect.requests = [
  { method = "POST", url = "https://hooks.example.com/quakes", headers = { content-type = "application/json" }, body = { json = [{ mag = 5.1 }, { mag = 6 }] } },
]
"#,
        );
    assert_eq!(dir.read("tests/a.toml"), expected);
    assert!(dir.read("out.xml").contains("<testsuites name=\"sump test\" tests=\"17\" failures=\"0\""));
    let ended = trial(&dir, "http-alerts", &[]).with(0);
    assert!(ended.output.contains("17 passed, 0 failed"), "{}", ended.output);
}

#[test]
fn examples_pass_their_cases_and_bear_what_every_component_has_to() {
    let folder = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../example-sinks"));
    let mut tried = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let example = entry.unwrap().path();
        let cases = example.join("tests");
        // One that speaks something else than HTTP has none: there are no endpoints for that.
        if !cases.join("cases.toml").is_file() {
            continue;
        }
        let package = example.file_name().unwrap().to_str().unwrap();
        let dir = Dir::new();
        let ended =
            dir.sump(["test".as_ref(), "--tests".as_ref(), cases.as_os_str()]).arg(guest(package)).end().with(0);
        assert!(ended.output.contains("\nconformance, set up as "), "{package}: {}", ended.output);
        tried += 1;
    }
    assert!(tried >= 7, "{tried}");
}

#[test]
fn an_encoder_that_is_not_pure_is_told() {
    let dir = Dir::new();
    std::fs::create_dir(dir.path("tests")).unwrap();
    dir.write(
        "tests/odd.toml",
        "[[case]]\nname = 'one'\nevents = ['count']\nexpect.values = [{ payload = '1', key = 'k0' }]\n",
    );
    let ended = trial(&dir, "guest-encoder", &[]);
    failed(
        ended,
        &["  ok      one (", "FAILED  the same batch three times", "it makes other values of the same events"],
    );
}

#[test]
fn connections_go_as_the_case_says_and_never_leave_the_process() {
    let dir = Dir::new();
    std::fs::create_dir(dir.path("tests")).unwrap();
    // The guest connects, says its payloads, and takes what is said until the end as the reason of a failure.
    dir.write(
        "tests/tcp.toml",
        r#"
[setup]
config = { write = "tcp", to = "redis.internal:6379" }
allow.tcp = ["redis.internal:6379", "10.9.8.7:5432"]

[[case]]
name = "an answer"
events = ["PI", "NG"]
connections = [{ to = "redis.internal:6379", delay = "10s", talk = [{ hear = "PI" }, { hear = "NG", delay = "15s", say = "PONG" }] }]
expect.outcome = "written"

[[case]]
name = "an address"
config = { to = "10.9.8.7:5432" }
events = ["PING"]
connections = [{ to = "10.9.8.7:5432", talk = [{ say = "hello, " }, { hear = "PING", say = "PONG", end = "close" }] }]
expect.outcome = "written"

[[case]]
name = "a refusal"
events = ["PING"]
connections = [{ fault = "refused" }]
expect.outcome = "written"

[[case]]
name = "a reset"
events = ["PING"]
connections = [{ talk = [{ hear = "PING", end = "reset" }] }]
expect.outcome = "written"

[[case]]
name = "silence"
events = ["PING"]
connections = [{ fault = "silence" }]
expect.outcome = "unknown: timeout"

[[case]]
name = "another word"
events = ["PANG!"]
connections = [{ talk = [{ hear = "PING" }] }, {}]
expect.outcome = "rejected: tcp"

[[case]]
name = "nobody there"
events = ["PING"]
expect.outcome = "rejected: tcp"

[[case]]
name = "elsewhere"
config = { to = "other.internal:1" }
events = ["PING"]
expect.outcome = "rejected: tcp"
"#,
    );
    let ended = trial(&dir, "guest-plain", &[]);
    assert!(!ended.output.contains("FAILED  elsewhere"), "{}", ended.output);
    failed(
        ended,
        &[
            "found \"rejected: tcp\" of the whole batch: Ok(\"PONG\")",
            "found \"rejected: tcp\" of the whole batch: Ok(\"hello, PONG\")",
            "found \"rejected: tcp\" of the whole batch: Err(ConnectionRefused)",
            "found \"rejected: tcp\" of the whole batch: Err(Uncategorized)",
            "  ok      silence (",
            "connection 1, step 1: expected to hear \"PING\", heard \"PANG!\"",
            "`connections`, number 2: nobody connected",
            "connection 1: `connections` has none for it: redis.internal:6379",
            "conformance, set up as tests/tcp.toml: not tried",
        ],
    );
}

#[test]
fn a_delivery_goes_the_way_of_production() {
    let dir = Dir::new();
    std::fs::create_dir(dir.path("tests")).unwrap();
    dir.write(
        "tests/alerts.toml",
        r#"
[setup]
config = { url = "https://hooks.example.com/quakes", min_mag = 5.0 }
allow.http = ["https://hooks.example.com"]

[[case]]
name = "what is busy comes again, and what is refused is found in halves"
events = ['{"mag": 5.1}', '{"mag": 5.2}', '{"mag": 5.3}']
deliver = { batch_size = 2 }
answers = [
  { status = 503 }, { status = 429, headers = { retry-after = "120" } }, { status = 413 }, { status = 413 }, {}, { fault = "silence" }, {},
]
[case.expect]
outcome = ["rejected: http-413", "written", "written"]
requests = [
  { body = '[{"mag": 5.1},{"mag": 5.2}]' },
  { body = '[{"mag": 5.1},{"mag": 5.2}]' },
  { body = '[{"mag": 5.1},{"mag": 5.2}]' },
  { body = '[{"mag": 5.1}]' },
  { body = '[{"mag": 5.2}]' },
  { body = '[{"mag": 5.3}]' },
  { body = '[{"mag": 5.3}]' },
]

[[case]]
name = "attempts run out"
events = ['{"mag": 5.1}']
deliver = { retry.attempts = 2 }
answers = [{ status = 503 }, { status = 503 }]
expect.outcome = ["transient: http-503"]

[[case]]
name = "a sink that waits for an operator is not given up"
events = ['{"mag": 5.1}']
deliver = { gate.probe = "30s" }
within = "100s"
answers = [{ status = 401 }, { status = 401 }, { status = 401 }, { status = 401 }]
expect.outcome = ["not tried"]

[[case]]
name = "what a trial does not keep is told"
events = ['{"mag": 5.1}']
deliver = { buffer.type = "disk" }
expect.outcome = "written"
"#,
    );
    let ended = trial(&dir, "http-alerts", &["--only", "a"]);
    failed(
        ended,
        &[
            "ok      what is busy comes again",
            "ok      attempts run out",
            "ok      a sink that waits for an operator",
            "`deliver`: no disk and no positions are kept",
        ],
    );
}
