//! What right configurations mean.

use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Duration;

use expect_test::expect;
use serde_json::json;

use crate::config::tests::read;
use crate::config::{CommandLine, Match, OnConditionError, Otherwise, Plan, SinkKind, SourceKind, Style};
use crate::config::{from_command_line, render};
use crate::delivery;
use crate::delivery::Concurrency;

fn plan(files: &[(&str, &str)]) -> Plan {
    match read(files) {
        Ok((plan, warnings)) => {
            assert!(warnings.is_empty(), "{}", render(&warnings, Style::Plain));
            plan
        }
        Err(problems) => panic!("{}", render(&problems, Style::Plain)),
    }
}

#[test]
fn what_is_left_open_has_its_default() {
    let plan = plan(&[("a.toml", "[source.in]\ntype = 'stdin'\n[pipeline.p.sink.s]\ntype = 'null'\n")]);
    assert_eq!((plan.settings.position_interval, &plan.settings.data_dir), (Duration::from_secs(1), &None));
    let [pipeline] = plan.pipelines.as_slice() else { panic!("there is one") };
    assert_eq!((pipeline.name.as_str(), pipeline.source.as_str()), ("p", "in"));
    assert_eq!(pipeline.routing.mode, Match::All);
    assert_eq!(pipeline.routing.otherwise, Otherwise::Drop);
    assert_eq!(pipeline.routing.on_condition_error, OnConditionError::False);
    assert_eq!(pipeline.sinks[0].delivery, delivery::Settings::default());
    assert!(pipeline.sinks[0].when.is_none());
    assert!(matches!(plan.source("in").map(|source| &source.kind), Some(SourceKind::Stdin(_))));
}

#[test]
fn an_ini_file_sets_what_a_toml_file_leaves_open() {
    let plan = plan(&[
        (
            "base.toml",
            "[source.in]\ntype = 'stdin'\n[pipeline.MyPipeline.sink.MySink]\ntype = 'file'\nbatch_size = 7\n\
             retry = { attempts = 2, initial = '2s' }\n",
        ),
        (
            "pipelines.conf",
            "\u{feff}# for one machine\r\n[pipeline:MyPipeline:MySink]\r\npath = out.log\r\nbatch_size=100\r\n\
             batch_timeout=1.5\r\ntimeout: 30\r\nretry.attempts=unlimited\r\n\r\n[pipeline:MyPipeline]\r\n\
             on_condition_error=reject\r\n",
        ),
    ]);
    let pipeline = &plan.pipelines[0];
    assert_eq!(pipeline.routing.on_condition_error, OnConditionError::Reject);
    let sink = &pipeline.sinks[0];
    assert_eq!(sink.delivery.batch_size.get(), 100);
    assert_eq!(sink.delivery.batch_timeout, Duration::from_millis(1500));
    assert_eq!(sink.delivery.timeout, Duration::from_secs(30));
    assert_eq!(sink.delivery.retry.attempts, None);
    assert_eq!(sink.delivery.retry.initial, Duration::from_secs(2));
    let SinkKind::File(settings) = &sink.kind else { panic!("a file sink") };
    assert_eq!(settings.path.constant(), Some("out.log"));
}

#[test]
fn order_is_that_of_the_first_mention() {
    let plan = plan(&[
        (
            "a.toml",
            "[source.z]\ntype = 'stdin'\n[pipeline.b.sink.z.retry]\nattempts = 1\n[pipeline.a.sink.k]\ntype = 'null'\n\
             [pipeline.b.sink.a]\ntype = 'null'\n[pipeline.b.sink.z]\ntype = 'null'\n",
        ),
        ("b.conf", "[pipeline:b:first]\ntype=null\n[pipeline:b:a]\ntimeout=1\n[pipeline:0:s]\ntype=null\n"),
    ]);
    let names: Vec<(&str, Vec<&str>)> = plan
        .pipelines
        .iter()
        .map(|pipeline| {
            (pipeline.name.as_str(), pipeline.sinks.iter().map(|sink| sink.name.as_str()).collect::<Vec<_>>())
        })
        .collect();
    assert_eq!(names, [("b", vec!["z", "a", "first"]), ("a", vec!["k"]), ("0", vec!["s"])]);
}

#[test]
fn lists_are_replaced_and_tables_merged() {
    let plan = plan(&[
        (
            "a.toml",
            "[source.in]\ntype = 'stdin'\n[pipeline.p.sink.s]\ntype = 'wasm'\npath = 's.wasm'\n\
             config = { a = 1, list = [1, 2] }\nallow = { env = ['A', 'B'], http = ['https://a'] }\n",
        ),
        ("b.toml", "[pipeline.p.sink.s]\nconfig = { b.c = true, list = [3] }\n"),
        ("c.conf", "[pipeline:p:s]\nallow.env = C, D,\n"),
    ]);
    let config = plan.config_of("p", "s", None).unwrap();
    assert_eq!(config, json!({"a": 1, "b": {"c": true}, "list": [3]}));
    let SinkKind::Wasm(settings) = &plan.pipelines[0].sinks[0].kind else { panic!("a wasm sink") };
    assert_eq!(settings.allow.env, ["C", "D"]);
    assert_eq!(settings.allow.http.len(), 1);
}

#[test]
fn what_is_written_over_need_not_be_resolved() {
    let plan = plan(&[
        ("a.toml", "data_dir = '${NOWHERE}'\n[source.in]\ntype = 'stdin'\n[pipeline.p.sink.s]\ntype = 'null'\n"),
        (
            "b.toml",
            "data_dir = '$${x}/${TOKEN}'\n[pipeline.p.sink.s]\nbatch_size = '${SIZE}'\ntimeout = '${EMPTY:-2m}'",
        ),
    ]);
    assert_eq!(plan.settings.data_dir.as_deref(), Some(Path::new("${x}/hunter2")));
    let delivery = &plan.pipelines[0].sinks[0].delivery;
    assert_eq!((delivery.batch_size.get(), delivery.timeout), (250, Duration::from_secs(120)));
}

#[test]
fn a_reference_to_a_file_is_what_it_holds_without_its_last_newline() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("path");
    std::fs::write(&file, "a b.log\r\n").unwrap();
    let contents = format!(
        "[source.in]\ntype = 'stdin'\n[pipeline.p.sink.s]\ntype = 'file'\npath = '${{file:{}}}'\n",
        file.display()
    );
    let plan = plan(&[("a.toml", &contents)]);
    let SinkKind::File(settings) = &plan.pipelines[0].sinks[0].kind else { panic!("a file sink") };
    assert_eq!(settings.path.constant(), Some("a b.log"));
}

#[test]
fn the_command_line_is_a_configuration() {
    let strings = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let (plan, _) = from_command_line(&CommandLine {
        component: "sinks/my out.wasm",
        set: &strings(&["measurement=a=b", "a.b=1", "ratio=0.5", "tags=x, y", "on=yes", "name=5"]),
        allow_http: &strings(&["https://a.example"]),
        allow_tcp: &strings(&["redis.internal:6379"]),
        allow_dir: &strings(&["/tmp:/out:rw", "/etc:/etc"]),
        allow_env: &strings(&["TZ"]),
    })
    .expect("it is right");
    let [pipeline] = plan.pipelines.as_slice() else { panic!("there is one") };
    assert_eq!((pipeline.name.as_str(), pipeline.source.as_str()), ("main", "stdin"));
    assert_eq!(pipeline.sinks[0].name, "my_out");
    assert_eq!(pipeline.sinks[0].delivery.concurrency, Concurrency::Fixed(NonZeroUsize::MIN));
    let schema = json!({
        "properties": {
            "a": {"$ref": "#/$defs/A"},
            "ratio": {"type": ["number", "null"]},
            "tags": {"type": "array", "items": {"type": "string"}},
            "on": {"anyOf": [{"type": "boolean"}, {"type": "null"}]},
            "name": {"type": "string"},
        },
        "$defs": {"A": {"type": "object", "properties": {"b": {"type": "integer"}}}},
    });
    assert_eq!(
        plan.config_of("main", "my_out", Some(&schema)),
        Some(json!({
            "measurement": "a=b", "a": {"b": 1}, "ratio": 0.5, "tags": ["x", "y"], "on": true, "name": "5",
        }))
    );
    let SinkKind::Wasm(settings) = &pipeline.sinks[0].kind else { panic!("a wasm sink") };
    assert_eq!(
        (settings.allow.dirs.len(), settings.allow.tcp.as_slice()),
        (2, &["redis.internal:6379".to_owned()][..])
    );
    let error = plan.error_at("main", "my_out", "/config/a/b", "`1` is not text");
    assert_eq!(format!("{error:?}"), "command line:1:60: `1` is not text");
}

#[test]
fn an_error_of_a_running_part_is_shown_where_its_setting_is_written() {
    let plan = plan(&[
        (
            "a.toml",
            "[source.in]\ntype = 'stdin'\n[pipeline.p.sink.s]\ntype = 'wasm'\npath = 's'\nconfig = { l = [1, 2] }\n",
        ),
        ("b.conf", "[pipeline:p:s]\nconfig.b/c=1\n"),
    ]);
    for (pointer, place) in [
        ("", "a.toml:3:1"),
        ("/config", "a.toml:6:10"),
        ("/config/missing/deeper", "a.toml:6:10"),
        ("/config/l/1", "a.toml:6:20"),
        ("/config/b~1c", "b.conf:2:12"),
    ] {
        let error = plan.error_at("p", "s", pointer, "no");
        assert_eq!(format!("{error:?}"), format!("{place}: no"), "{pointer}");
    }
    expect![[r#"
        config::sink

          x no such file
           ,-[a.toml:5:8]
         5 | path = 's'
           :        ^|^
           :         `-- sink `s`
           `----
          help: build it

    "#]]
    .assert_eq(&render(&[plan.error_at("p", "s", "/path", "no such file").help("build it")], Style::Plain));
}
