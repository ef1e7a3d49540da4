//! What is said about what can be read and is still wrong, as it is shown.

use expect_test::expect;

use crate::config::tests::told;
use crate::config::{CommandLine, Style, from_command_line, render};

#[test]
fn values_beyond_their_range() {
    told(
        &[
            (
                "a.toml",
                "[source.in]\ntype = 'generate'\nsize = 3\n[pipeline.p.sink.s]\ntype = 'null'\nconcurrency = 5000\n",
            ),
            (
                "b.toml",
                r#"position_interval = 0
[pipeline.p.sink.s]
batch_bytes = "2GiB"
batch_timeout = -1
timeout = "0s"
buffer.max_bytes = 12345678901234567890
gate.probe = 0.0
retry = { initial = "1m", unknown = 5000000000 }
"#,
            ),
        ],
        expect![[r#"
            config::value

              x `size`: `3` is out of range
               ,-[a.toml:3:8]
             3 | size = 3
               :        |
               :        `-- not accepted
               `----
              help: a generated event has 20 bytes to 16MiB

            config::range

              x `concurrency` is out of range
               ,-[a.toml:6:15]
             6 | concurrency = 5000
               :               ^^|^
               :                 `-- out of range
               `----
              help: write 1 to 1024

            config::range

              x `position_interval` is nothing
               ,-[b.toml:1:21]
             1 | position_interval = 0
               :                     |
               :                     `-- out of range
               `----
              help: write a duration above zero, such as `1s`

            config::range

              x `batch_bytes` is out of range
               ,-[b.toml:3:15]
             3 | batch_bytes = "2GiB"
               :               ^^^|^^
               :                  `-- out of range
               `----
              help: write 1B to 1GiB

            config::value

              x `batch_timeout`: `-1` is not a duration
               ,-[b.toml:4:17]
             4 | batch_timeout = -1
               :                 ^|
               :                  `-- not accepted
               `----
              help: seconds are zero or more

            config::range

              x `timeout` is nothing
               ,-[b.toml:5:11]
             5 | timeout = "0s"
               :           ^^|^
               :             `-- out of range
               `----
              help: write a duration above zero, such as `1s`

            config::toml

              x `12345678901234567890` is out of range
               ,-[b.toml:6:20]
             6 | buffer.max_bytes = 12345678901234567890
               :                    ^^^^^^^^^^|^^^^^^^^^
               :                              `-- too large
               `----
              help: whole numbers go up to 9223372036854775807

            config::range

              x `gate.probe` is nothing
               ,-[b.toml:7:14]
             7 | gate.probe = 0.0
               :              ^|^
               :               `-- out of range
               `----
              help: write a duration above zero, such as `1s`

            config::range

              x `retry.max` is `30s`, less than `retry.initial`, which is `1m`
               ,-[b.toml:8:21]
             8 | retry = { initial = "1m", unknown = 5000000000 }
               :                     ^^|^
               :                       `-- the longest pause is shorter than the first
               `----
              help: set `retry.max` to at least `retry.initial`

            config::value

              x `retry.unknown` does not take `5000000000`
               ,-[b.toml:8:37]
             8 | retry = { initial = "1m", unknown = 5000000000 }
               :                                     ^^^^^|^^^^
               :                                          `-- not a whole number from 1 to 4294967295
               `----
              help: write a whole number from 1 to 4294967295

        "#]],
    );
}

#[test]
fn parts_that_do_not_fit_together() {
    told(
        &[(
            "a.toml",
            r#"[source.one]
type = "stdin"
[source.two]
type = "stdin"
[source.files]
type = "file"
path = ["logs/*.log", "more/*.log"]

[connection.kafka]
bootstrap_servers = "localhost"

[pipeline.none]
source = "one"

[pipeline.unsaid.sink.x]
type = "null"

[pipeline.loop]
source = "files"
[pipeline.loop.sink.a]
type = "file"
path = "more/a.log"
[pipeline.loop.sink.b]
type = "file"
path = "./more/b/../a.log"
[pipeline."../up".sink.c]
"#,
        )],
        expect![[r#"
            config::conflict

              x two sources read standard input
               ,-[a.toml:2:8]
             2 | type = "stdin"
               :        ^^^|^^^
               :           `-- and this one the others
               `----
               ,-[a.toml:4:8]
             4 | type = "stdin"
               :        ^^^|^^^
               :           `-- it would get some of the events
               `----
              help: let several pipelines name the same source: each gets all of its events

            config::unknown_key

              x connection `kafka` is of no use
               ,-[a.toml:9:13]
             9 | [connection.kafka]
               :             ^^|^^
               :               `-- no kind of sink or source here takes a connection yet
               `----
              help: remove the section, and write its settings where they are used

            config::missing

              x pipeline `none` has no sink
                ,-[a.toml:12:1]
             12 | [pipeline.none]
                : ^^^^^^^|^^^^^^^
                :        `-- its events would go nowhere
                `----
              help: add `[pipeline.none.sink.NAME]`; `type = "null"` only counts

            config::missing

              x `source` is missing
                ,-[a.toml:15:11]
             15 | [pipeline.unsaid.sink.x]
                :           ^^^|^^
                :              `-- pipeline `unsaid` needs it
                `----
              help: there are several: add `source = …` with one of `one`, `two`, `files`

            config::conflict

              x the pipeline reads what it writes, without end
               ,-[a.toml:7:8]
             7 | path = ["logs/*.log", "more/*.log"]
               :        ^^^^^^^^^^^^^^|^^^^^^^^^^^^^
               :                      `-- and read again here
               `----
                ,-[a.toml:22:8]
             22 | path = "more/a.log"
                :        ^^^^^^|^^^^^
                :              `-- written here
                `----
              help: write elsewhere than `more/a.log`, or narrow the glob

            config::conflict

              x two sinks write the same file
                ,-[a.toml:25:8]
             22 | path = "more/a.log"
                :        ^^^^^^|^^^^^
                :              `-- and by this one
             23 | [pipeline.loop.sink.b]
             24 | type = "file"
             25 | path = "./more/b/../a.log"
                :        ^^^^^^^^^|^^^^^^^^^
                :                 `-- written by this sink
                `----
              help: give each its own path: lines of two writers would be mixed

            config::conflict

              x the pipeline reads what it writes, without end
               ,-[a.toml:7:8]
             7 | path = ["logs/*.log", "more/*.log"]
               :        ^^^^^^^^^^^^^^|^^^^^^^^^^^^^
               :                      `-- and read again here
               `----
                ,-[a.toml:25:8]
             25 | path = "./more/b/../a.log"
                :        ^^^^^^^^^|^^^^^^^^^
                :                 `-- written here
                `----
              help: write elsewhere than `./more/b/../a.log`, or narrow the glob

            config::missing

              x `type` is missing
                ,-[a.toml:26:1]
             26 | [pipeline."../up".sink.c]
                : ^^^^^^^^^^^^|^^^^^^^^^^^^
                :             `-- sink `c` of pipeline `../up` needs it
                `----
              help: add `type = …` with one of `console`, `null`, `file`, `wasm`

            config::name

              x `../up` can't be the name of a pipeline
                ,-[a.toml:26:11]
             26 | [pipeline."../up".sink.c]
                :           ^^^|^^^
                :              `-- not a name
                `----
              help: use letters, digits, `_`, `-` and `.`, which is not first; at most 100 bytes

            config::missing

              x `source` is missing
                ,-[a.toml:26:11]
             26 | [pipeline."../up".sink.c]
                :           ^^^|^^^
                :              `-- pipeline `../up` needs it
                `----
              help: there are several: add `source = …` with one of `one`, `two`, `files`

        "#]],
    );
}

#[test]
fn a_source_that_is_not_read_is_a_warning() {
    told(
        &[(
            "a.toml",
            "[source.one]\ntype = 'stdin'\n[source.two]\ntype = 'generate'\n[pipeline.p]\nsource = 'one'\n[pipeline.p.sink.s]\ntype = 'null'\n",
        )],
        expect![[r#"
            config::unused

              ! source `two` is not read
               ,-[a.toml:3:1]
             3 | [source.two]
               : ^^^^^^|^^^^^
               :       `-- no pipeline names it
               `----
              help: add `source = "two"` to a pipeline, or remove it

        "#]],
    );
}

#[test]
fn tables_and_values_in_each_others_place() {
    told(
        &[
            ("a.toml", "source = 5\ndead_letters = '1GiB'\n[pipeline.p]\nsink = []\n[pipeline.q.sink]\ns = 'null'\n"),
            ("b.conf", "[pipeline:p:s]\ntype=null\n"),
        ],
        expect![[r#"
            config::value

              x `source` is not a table
               ,-[a.toml:1:10]
             1 | source = 5
               :          |
               :          `-- the configuration needs a table here
               `----
              help: write a section, such as `[source.NAME]` or `[pipeline.NAME.sink.NAME]`

            config::value

              x `dead_letters` does not take `1GiB`
               ,-[a.toml:2:16]
             2 | dead_letters = '1GiB'
               :                ^^^|^^
               :                   `-- not a table
               `----
              help: write a table

            config::value

              x `s` is not a table
               ,-[a.toml:6:5]
             6 | s = 'null'
               :     ^^^|^^
               :        `-- sink `s` of pipeline `q` needs a table here
               `----
              help: write a section, such as `[source.NAME]` or `[pipeline.NAME.sink.NAME]`

        "#]],
    );
}

#[test]
fn a_source_where_a_sink_belongs() {
    told(
        &[(
            "pipelines.conf",
            "[source:MySource]\ntype=stdin\n[pipeline:P:MySource]\nmax_event_bytes=1MiB\n[pipeline:P:MySink]\ntype=null\n",
        )],
        expect![[r#"
            config::missing

              x sink `MySource` of pipeline `P` has no `type`
               ,-[pipelines.conf:3:1]
             3 | [pipeline:P:MySource]
               : ^^^^^^^^^^|^^^^^^^^^^
               :           `-- a source has this name, no sink
               `----
              help: the settings of a source belong into `[source:MySource]`

        "#]],
    );
}

#[test]
fn nothing_at_all() {
    told(
        &[],
        expect![[r#"
        config::missing

          x there is no pipeline
          help: add `[pipeline.NAME]` with a `source`, and a sink in `[pipeline.NAME.sink.NAME]`

    "#]],
    );
    told(
        &[("a.yaml", "a: 1")],
        expect![[r#"
        config::file

          x `a.yaml` is neither TOML nor INI by its name
          help: name the file `….toml`, or `….conf` or `….ini`

    "#]],
    );
}

#[test]
fn the_command_line() {
    let strings = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let problems = from_command_line(&CommandLine {
        component: "sinks/out.wasm",
        set: &strings(&["measurement", "a.b=1", "a.b=2", "a.b.c=3"]),
        allow_http: &strings(&["https://a"]),
        allow_dir: &strings(&["/tmp", "/a:/b:rx"]),
        allow_env: &[],
    })
    .expect_err("it is wrong");
    expect![[r#"
        config::set

          x `--set measurement` does not say what to set
           ,-[command line:1:31]
         1 | sump run sinks/out.wasm --set measurement --set a.b=1 --set a.b=2 --set a.b.c=3 --allow-http https://a --allow-dir /tmp --allow-dir /a:/b:rx
           :                               ^^^^^|^^^^^
           :                                    `-- not `KEY=VALUE`
           `----
          help: write `--set KEY=VALUE`; dots in the key reach nested tables

        config::duplicate

          x `a.b` is set twice
           ,-[command line:1:61]
         1 | sump run sinks/out.wasm --set measurement --set a.b=1 --set a.b=2 --set a.b.c=3 --allow-http https://a --allow-dir /tmp --allow-dir /a:/b:rx
           :                                                             ^|^
           :                                                              `-- set again here
           `----
          help: leave one out

        config::duplicate

          x `a.b.c` is set twice
           ,-[command line:1:73]
         1 | sump run sinks/out.wasm --set measurement --set a.b=1 --set a.b=2 --set a.b.c=3 --allow-http https://a --allow-dir /tmp --allow-dir /a:/b:rx
           :                                                                         ^^|^^
           :                                                                           `-- set again here
           `----
          help: leave one out

        config::allow

          x `--allow-dir /tmp` does not name two directories
           ,-[command line:1:116]
         1 | sump run sinks/out.wasm --set measurement --set a.b=1 --set a.b=2 --set a.b.c=3 --allow-http https://a --allow-dir /tmp --allow-dir /a:/b:rx
           :                                                                                                                    ^^|^
           :                                                                                                                      `-- not `HOST:GUEST`
           `----
          help: write `--allow-dir HOST:GUEST`, and `--allow-dir HOST:GUEST:rw` to let the component write

        config::allow

          x `--allow-dir /a:/b:rx` does not name two directories
           ,-[command line:1:133]
         1 | sump run sinks/out.wasm --set measurement --set a.b=1 --set a.b=2 --set a.b.c=3 --allow-http https://a --allow-dir /tmp --allow-dir /a:/b:rx
           :                                                                                                                                     ^^^^|^^^
           :                                                                                                                                         `-- not `HOST:GUEST`
           `----
          help: write `--allow-dir HOST:GUEST`, and `--allow-dir HOST:GUEST:rw` to let the component write

    "#]].assert_eq(&render(&problems, Style::Plain));
}
