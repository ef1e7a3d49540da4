//! Whole pipelines, built from a configuration and run.

use std::sync::mpsc;
use std::time::Duration;

use super::*;
use crate::config::{Text, load_texts};
use crate::delivery::Filter;
use crate::metrics::SourceState;

/// Runs a configuration on a runtime of one thread, where whoever does not give way holds everybody up.
fn run(configuration: &str) -> (Ended, Overview) {
    run_with(configuration, Duration::from_secs(60))
}

fn run_with(configuration: &str, drain_timeout: Duration) -> (Ended, Overview) {
    let text = Text::new("test.toml", configuration.to_owned());
    let (plan, _) = load_texts(&[text], &|_| None).unwrap();
    let (done, ended) = mpsc::channel();
    std::thread::spawn(move || {
        let folder = tempfile::tempdir().unwrap();
        let host = host(folder.path());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let ended = runtime.block_on(async {
            let pipelines = build(&plan, &host).await.unwrap();
            let overview = pipelines.overview();
            (pipelines.run(drain_timeout).await, overview)
        });
        drop(done.send(ended));
    });
    ended.recv_timeout(Duration::from_secs(60)).expect("the run to end")
}

fn host(folder: &std::path::Path) -> Host<'static> {
    Host {
        data_dir: folder.join("data"),
        cache_dir: folder.join("cache"),
        run: "run".into(),
        colour: false,
        from_start: false,
        reopen: Default::default(),
        environment: &|_| None,
    }
}

#[test]
fn a_source_that_ends_while_a_queue_is_full_lets_the_others_run() {
    let (ended, overview) = run(r#"
        [source.events]
        type = "generate"
        count = 100_000
        [pipeline.main.sink.slow]
        type = "null"
        buffer.max_bytes = "64KiB"
        [pipeline.main.sink.fast]
        type = "null"
        "#);
    assert!(ended.errors.is_empty() && ended.undelivered == 0, "{ended:?}");
    assert_eq!(overview.sinks.iter().map(|sink| sink.metrics.written.get()).collect::<Vec<_>>(), [100_000; 2]);
}

#[test]
fn a_source_that_is_not_there_ends_the_run_with_its_name() {
    let (ended, _) = run(r#"
        [source.events]
        type = "file"
        path = "no/such/*.file"
        [pipeline.main.sink.null]
        type = "null"
        "#);
    assert!(matches!(&*ended.errors, [FeedError::NotOpened { source_name, .. }] if &**source_name == "events"));
}

/// A sink whose file is a folder can't be opened.
fn with_a_closed_gate(of_the_sink: &str) -> (Ended, Overview) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().display();
    let configuration = format!(
        r#"
        [source.events]
        type = "generate"
        count = 100_000
        [pipeline.main.sink.closed]
        type = "file"
        path = "{path}/."
        buffer.max_bytes = "64KiB"
        {of_the_sink}
        [pipeline.main.sink.open]
        type = "null"
        "#
    );
    run_with(&configuration, Duration::from_secs(1))
}

#[test]
fn a_source_held_back_by_a_closed_gate_ends_like_one_that_has_ended() {
    let (ended, overview) = with_a_closed_gate("");
    assert!(ended.errors.is_empty(), "{ended:?}");
    let gate = overview.sinks[0].gate.closed();
    assert!(gate.is_some() && overview.sources[0].metrics.state() == SourceState::Ended, "{gate:?}");
    assert!(ended.dead_lettered > 0, "what was read can't be read again, and is kept: {ended:?}");
}

#[test]
fn neighbours_do_not_wait_for_a_sink_that_is_not_required() {
    let (ended, overview) = with_a_closed_gate("required = false");
    assert!(ended.errors.is_empty(), "{ended:?}");
    assert_eq!(overview.sinks[1].metrics.written.get(), 100_000);
    assert_eq!((overview.sinks[0].metrics.dead_lettered.get(), ended.undelivered), (100_000, 0));
}

#[test]
fn events_get_the_key_that_their_pipeline_gives_them() {
    let folder = tempfile::tempdir().unwrap();
    let configuration = format!(
        r#"
        [source.events]
        type = "generate"
        count = 100
        [pipeline.main]
        key = "{{event:/n}}"
        [pipeline.main.sink.files]
        type = "file"
        path = "{}/{{key}}.txt"
        when = "key != '7'"
        "#,
        folder.path().display()
    );
    let (ended, overview) = run(&configuration);
    assert!(ended.errors.is_empty() && ended.undelivered == 0, "{ended:?}");
    assert_eq!(overview.sinks[0].metrics.written.get(), 99);
    assert!(folder.path().join("42.txt").exists() && !folder.path().join("7.txt").exists());
}

#[test]
fn dead_letters_of_several_sinks_are_sent_again_side_by_side() {
    let configuration = |path: &str| {
        format!(
            r#"
            [source.events]
            type = "generate"
            count = 3_000
            [pipeline.main.sink.a]
            type = "file"
            path = "{path}"
            [pipeline.main.sink.b]
            type = "file"
            path = "{path}.b"
            "#
        )
    };
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out").display().to_string();
    let plan = |path: &str| load_texts(&[Text::new("test.toml", configuration(path))], &|_| None).unwrap().0;
    let host = host(folder.path());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        // No event has a header: all are rejected.
        let pipelines = build(&plan("{header:none}"), &host).await.unwrap();
        assert_eq!(pipelines.run(Duration::from_secs(60)).await.dead_lettered, 6_000);
        for (again, expected) in [(false, 3_000), (false, 0), (true, 3_000)] {
            let request = Request { filter: Filter::default(), to: None, again };
            let (replay, plan) = (Replay::open(&host.data_dir, request).unwrap(), plan(&out));
            let outlook = replay.outlook(&plan).unwrap();
            let pipelines = replay.build(&plan, &host, &outlook).await.unwrap();
            let overview = pipelines.overview();
            let ended = pipelines.run(Duration::from_secs(60)).await;
            assert!(ended.errors.is_empty() && ended.undelivered == 0 && ended.dead_lettered == 0, "{ended:?}");
            let written: u64 = overview.sinks.iter().map(|sink| sink.metrics.written.get()).sum();
            assert_eq!((outlook.sendable(), written), (2 * expected, 2 * expected));
        }
    });
    assert_eq!(std::fs::read_to_string(out).unwrap().lines().count(), 6_000);
}

#[test]
fn a_batch_does_not_wait_for_events_that_have_no_room() {
    let (ended, overview) = run(r#"
        [source.events]
        type = "generate"
        count = 100_000
        [pipeline.main.sink.null]
        type = "null"
        batch_size = 1_000_000
        batch_timeout = "1h"
        buffer.max_bytes = "1MiB"
        "#);
    assert!(ended.errors.is_empty() && ended.undelivered == 0, "{ended:?}");
    assert_eq!(overview.sinks[0].metrics.written.get(), 100_000);
}
