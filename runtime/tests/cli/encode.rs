//! What native sinks send: encoders before a sink.

use std::fs;

use crate::endpoint::{Answer, Endpoint};
use crate::guest::guest;
use crate::sump::{Dir, QUAKES};

/// Quakes through an encoder into `out`.
fn encoding(encoder: &str, more: &str) -> Dir {
    let dir = Dir::with(&format!(
        r#"
        [source.in]
        type = "file"
        path = "in"
        [pipeline.p.sink.out]
        type = "file"
        path = "out"
        encoder = {encoder}
        {more}
        "#
    ));
    dir.write("in", fs::read(QUAKES).unwrap());
    dir
}

fn quakes() -> Vec<serde_json::Value> {
    fs::read_to_string(QUAKES).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_template_makes_a_line_of_each_event() {
    let dir = encoding(r#"{ type = "template", template = "{event:/id},{event:/mag}" }"#, "batch_size = 100");
    let ended = dir.done().with(0);
    let whole = quakes().into_iter().filter(|quake| quake["mag"].is_number());
    let expected: Vec<String> =
        whole.map(|quake| format!("{},{}", quake["id"].as_str().unwrap(), quake["mag"])).collect();
    assert_eq!(dir.lines("out"), expected);
    // Those without a magnitude.
    let rejected = 1707 - expected.len() as u64;
    assert_eq!(ended.counts("p:out")[..4], [expected.len() as u64, 0, rejected, rejected]);
    assert_eq!(dir.dead_letters().len() as u64, rejected);
}

#[test]
fn an_object_a_line_has_the_event_and_where_it_was_read() {
    let dir = encoding(r#""json""#, "");
    assert_eq!(dir.done().with(0).written("p:out"), 1707);
    let lines = dir.lines("out");
    for (line, quake) in lines.iter().zip(quakes()) {
        let object: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(object["payload"], quake);
        assert!(object["partition"].as_str().unwrap().starts_with("in@"), "{line}");
    }
    assert_eq!(lines.len(), 1707);
}

#[test]
fn templates_of_the_sink_read_the_event_and_not_what_was_made_of_it() {
    let dir = encoding(r#"{ type = "csv", columns = ["/id", "/mag"], missing = "empty" }"#, "");
    dir.write("sump.toml", dir.read("sump.toml").replace("path = \"out\"", "path = \"out/{event:/net}.csv\""));
    assert_eq!(dir.done().with(0).written("p:out"), 1707);
    let mut rows = 0;
    for quake in quakes() {
        let (net, id) = (quake["net"].as_str().unwrap(), quake["id"].as_str().unwrap());
        let magnitude = if quake["mag"].is_null() { String::new() } else { quake["mag"].to_string() };
        let row = format!("{id},{magnitude}");
        assert!(dir.lines(&format!("out/{net}.csv")).contains(&row), "{row}");
        rows += 1;
    }
    assert_eq!(rows, 1707);
}

#[test]
fn what_an_encoder_refuses_is_a_dead_letter_with_the_whole_event_and_can_be_sent_again() {
    let dir = encoding(r#"{ type = "template", template = "{event:/id}:{event:/n}" }"#, "");
    dir.write("in", "{\"id\":1}\n{\"id\":2,\"n\":5}\nno JSON\n");
    assert_eq!(dir.done().with(0).written("p:out"), 1);
    assert_eq!(dir.dead("payload"), ["{\"id\":1}", "no JSON"]);
    assert_eq!(dir.dead("code"), ["missing", "missing"]);
    assert_eq!(dir.dead("kind"), ["rejected", "rejected"]);
    assert_eq!(dir.dead("attempts"), ["0", "0"]);
    dir.write("sump.toml", dir.read("sump.toml").replace("{event:/id}:{event:/n}", "again {event:/id}"));
    dir.replay("send", ["sump.toml"]).end().with(0);
    assert_eq!(dir.lines("out"), ["2:5", "again 1"]);
    let listed = dir.replay("list", ["--json"]).end().with(0).output;
    let waiting =
        listed.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["waiting"].clone());
    assert_eq!(waiting.filter_map(|waiting| waiting.as_u64()).sum::<u64>(), 1, "{listed}");
}

#[test]
fn events_of_a_disk_buffer_are_encoded_when_they_come_out_of_it() {
    let dir = encoding(r#"{ type = "template", template = "{event:/id}" }"#, "buffer.type = \"disk\"");
    assert_eq!(dir.done().with(0).written("p:out"), 1707);
    let ids: Vec<String> = quakes().iter().map(|quake| quake["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(dir.lines("out"), ids);
}

#[test]
fn a_request_says_what_the_encoder_made() {
    let endpoint = Endpoint::always(Answer::Status(200));
    let dir = encoding("{ type = 'csv', columns = ['/id'] }", "");
    let file = "type = \"file\"\n        path = \"out\"";
    let text = dir.read("sump.toml");
    assert!(text.contains(file), "{text}");
    dir.write("sump.toml", text.replace(file, &format!("type = 'http'\nurl = '{}'", endpoint.url)));
    dir.done().with(0);
    assert!(endpoint.asked().iter().all(|asked| asked.headers["content-type"] == "text/csv"));
    assert!(!endpoint.asked().is_empty());
}

#[test]
fn an_encoder_that_can_not_be_is_told_with_its_place() {
    let said = |encoder: &str| encoding(encoder, "").run(["sump.toml"]).end().with(2).errors;
    assert!(said(r#""jsno""#).contains("did you mean `json`?"));
    assert!(said(r#""csv""#).contains("`columns` is missing"));
    assert!(said(r#"{ type = "template", template = "{event.id}" }"#).contains("unknown place `{event.id}`"));
    assert!(said(r#"{ type = "json", fields = ["payload", "size"] }"#).contains("`size`"));
    assert!(said(r#"{ type = "csv", columns = ["/a"], header = true }"#).contains("unknown key `header`"));
    let component = encoding(r#""json""#, "")
        .read("sump.toml")
        .replace("type = \"file\"\n        path = \"out\"", "type = \"wasm\"\n        path = \"x.wasm\"");
    let dir = Dir::with(&component);
    dir.run(["sump.toml"]).end().with(2).saying(&["is a component, which takes no encoder"]);
}

#[test]
fn a_component_makes_values_and_what_breaks_it_is_alone_among_the_dead_letters() {
    let guest = guest("guest-encoder");
    let dir = encoding(
        &format!(r#"{{ type = "wasm", path = "{}", limits = {{ cpu = "200ms" }} }}"#, guest.display()),
        "batch_size = 3",
    );
    let words = ["a", "two", "drop", "trap", "b", "refuse", "fail", "two", "spin", "c", "twice"];
    dir.write("in", words.map(|word| format!("{word}\n")).concat());
    let ended = dir.done().with(0);
    assert_eq!(dir.lines("out"), ["A", "0 of 1", "1 of 1", "B", "0 of 0", "1 of 0", "C"]);
    // Halves are calls of their own, in which rows begin anew.
    let dead: Vec<(String, String)> = dir.dead("payload").into_iter().zip(dir.dead("code")).collect();
    let expected =
        [("trap", "trap"), ("refuse", "odd"), ("fail", "bad-batch"), ("spin", "cpu-limit"), ("twice", "bad-encoding")];
    assert_eq!(dead, expected.map(|(word, code)| (word.to_owned(), code.to_owned())));
    assert_eq!(ended.counts("p:out")[..4], [5, 0, 5, 5]);
}

#[test]
fn the_configuration_of_an_encoder_is_checked_and_one_that_can_not_be_opened_lets_its_events_wait() {
    let encoder = |config: &str| {
        format!(r#"{{ type = "wasm", path = "{}", config = {config} }}"#, guest("guest-encoder").display())
    };
    let dir = encoding(&encoder(r#"{ fields = "id" }"#), "");
    dir.sump(["check", "sump.toml"]).end().with(2).saying(&["fields"]);
    let dir = encoding(&encoder(r#"{ open = "fail" }"#), "gate.probe = \"20ms\"");
    let mut run = dir.run(["sump.toml", "--drain-timeout", "200ms"]).start();
    run.until("the gate is closed", || !dir.has("out"));
    let ended = run.end();
    assert_eq!(ended.code, Some(75), "{}", ended.errors);
    assert!(ended.errors.contains("no-key"), "{}", ended.errors);
    assert!(dir.dead_letters().is_empty());
    dir.write("sump.toml", dir.read("sump.toml").replace("open = \"fail\"", "fields = [\"id\", \"mag\"]"));
    assert_eq!(dir.done().with(0).written("p:out"), 1707);
}

#[test]
fn an_encoder_in_c_adds_where_an_event_was_read() {
    let enrich = guest("enrich");
    let encoder = format!(
        "{{ type = 'wasm', path = '{}', config = {{ name = 'site', value = 'zürich', origin = 'at' }} }}",
        enrich.display()
    );
    let dir = encoding(&encoder, "");
    // What is no object becomes a dead letter, and shifts what comes behind.
    let lines = fs::read_to_string(QUAKES).unwrap().replacen('\n', "\nno json\n", 1);
    dir.write("in", &lines);
    let ended = dir.done().with(0);
    assert_eq!(ended.counts("p:out")[..4], [1707, 0, 1, 1]);
    let mut read = 0;
    let mut made = dir.lines("out").into_iter();
    for line in lines.lines() {
        let position = read;
        read += line.len() as u64 + 1;
        let Ok(mut expected) = serde_json::from_str::<serde_json::Value>(line) else { continue };
        let mut object: serde_json::Value = serde_json::from_str(&made.next().unwrap()).unwrap();
        let at = object.as_object_mut().unwrap().remove("at").unwrap();
        assert_eq!(at["position"], position);
        assert!(at["partition"].as_str().unwrap().starts_with("in@") && at["time"].is_number(), "{at}");
        expected["site"] = "zürich".into();
        assert_eq!(object, expected);
    }
    assert_eq!(made.next(), None);
}
