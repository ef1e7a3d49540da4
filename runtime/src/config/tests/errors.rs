//! What is said about what can't be read, as it is shown.

use crate::config::tests::{read, told};

#[test]
fn all_errors_of_a_file_at_once() {
    told(
        &[(
            "a.toml",
            r#"position_intervall = "1s"

[source.quakes]
type = "file"
path = 5
framing = "linse"

[source.spare]
type = "redis"

[pipeline.quakes]
source = "quake"
match = "some"

[pipeline.quakes.sink.alerts]
type = "file"
batchsize = 100
timeout = "soon"
retry = { attempts = 0, initial = "1 parsec", tries = 3 }

[pipeline.quakes.sink.rest]
when = "event.mag ==> 4"
"#,
        )],
        "all_errors_of_a_file_at_once",
    );
}

#[test]
fn errors_across_overlaid_files() {
    told(
        &[
            (
                "base.toml",
                r#"[source.in]
type = "stdin"

[pipeline.main.sink.out]
type = "wasm"
path = "out.wasm"
limits = { memory = "lots" }

[pipeline.main.sink.copy]
type = "file"
path = "out/./all.log"
"#,
            ),
            (
                "pipelines.conf",
                "; for one machine\n[pipeline:main:out]\nbatch_size=0\nallow.htpp=https://a\nretry.initial=1m\n\n\
                 [pipeline:main:more]\ntype=file\npath=out/all.log\n\n[pipelin:main]\nmatch=first\n",
            ),
        ],
        "errors_across_overlaid_files",
    );
}

#[test]
fn several_syntax_errors_and_nothing_that_follows_from_them() {
    told(
        &[
            ("a.toml", "[source.in\ntype = \"stdin\"\n[pipeline.p]\nsource = in\n\n[pipeline.p.sink.s]\ntype = null\n"),
            ("b.conf", "[pipeline:p\n[pipeline:p:s]\nnonsense\n= 5\nx..y=1\nbatch_size=1\nbatch_size = 2\n"),
        ],
        "several_syntax_errors_and_nothing_that_follows_from_them",
    );
}

#[test]
fn references_that_stand_for_nothing() {
    told(
        &[
            (
                "a.toml",
                r#"data_dir = "${NOWHERE}/x/${ALSO_NOT}"
[source.in]
type = "stdin"
[pipeline.p.sink.s]
type = "file"
path = "${file:/does/not/exist}"
"#,
            ),
            ("b.ini", "[pipeline:p:s]\nfsync=${never\ntimeout=${1x}\n"),
        ],
        "references_that_stand_for_nothing",
    );
}

#[test]
fn secrets_are_not_told() {
    told(
        &[(
            "a.toml",
            r#"[source.in]
type = "file"
path = "${TOKEN}["
[pipeline.p]
match = "${TOKEN}"
[pipeline.p.sink.s]
type = "${TOKEN}"
batch_size = "${TOKEN}"
timeout = "${TOKEN}"
when = "${CONDITION}"
retry = { attempts = "${TOKEN}" }
"#,
        )],
        "secrets_are_not_told",
    );
}

#[test]
fn keys_of_an_ini_file_that_reach_too_deep() {
    let line = format!("[pipeline:p:s]\nconfig{}=1\n", ".a".repeat(100_000));
    let problems = read(&[("a.conf", &line)]).expect_err("it is wrong");
    assert_eq!(problems[0].message(), "a key with too many dots");
}
