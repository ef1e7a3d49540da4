//! The other notation.

use crate::sump::{Dir, QUAKES};

#[test]
fn an_ini_file_sets_what_a_toml_file_leaves_open() {
    let dir = Dir::with(
        r#"
        [source.in]
        type = "file"
        path = "in"
        [pipeline.MyPipeline.sink.MySink]
        type = "file"
        path = "wrong"
        "#,
    );
    dir.write("in", "a\nb\nc\n");
    dir.write("pipelines.conf", "[pipeline:MyPipeline:MySink]\npath=${TARGET:-right}\nbatch_size=1\ntimeout=30\n");
    let ended = dir.run(["sump.toml", "pipelines.conf"]).end().with(0);
    assert_eq!(ended.counts("MyPipeline:MySink"), [3, 0, 0, 0, 0, 3]);
    assert_eq!(dir.lines("right"), ["a", "b", "c"]);
    assert!(!dir.has("wrong"));
    let other = dir.run(["sump.toml", "pipelines.conf", "--from-start"]).env("TARGET", "other").end();
    assert_eq!((other.code, dir.lines("other").len()), (Some(0), 3));
}

#[test]
fn ini_alone_is_enough() {
    let dir = Dir::new();
    dir.write(
        "pipelines.conf",
        format!(
            "; comments begin like this\n\
             [source:quakes]\ntype=file\npath={QUAKES}\n\
             [pipeline:MyPipeline]\nsource=quakes\n\
             [pipeline:MyPipeline:Strong]\ntype=file\npath=strong\nwhen=event.mag >= 4.5\nretry.attempts=5\n\
             [pipeline:MyPipeline:Rest]\ntype: null\n"
        ),
    );
    let ended = dir.run(["pipelines.conf"]).end().with(0);
    assert_eq!(ended.written("MyPipeline:Rest"), 1707);
    assert_eq!(ended.written("MyPipeline:Strong"), dir.lines("strong").len() as u64);
    let checked = dir.sump(["check", "pipelines.conf"]).end().with(0);
    assert!(checked.output.contains("retry.attempts = 5") && checked.output.contains("[source.quakes]"));
}
