//! What is said about what can't be read, as it is shown.

use expect_test::expect;

use crate::config::tests::told;

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
type = "kafka"

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
        expect![[r#"
            config::unknown_key

              x unknown key `position_intervall`
               ,-[a.toml:1:1]
             1 | position_intervall = "1s"
               : ^^^^^^^^^|^^^^^^^^
               :          `-- the top of the configuration has no such setting
               `----
              help: did you mean `position_interval`?

            config::value

              x `path` does not take `5`
               ,-[a.toml:5:8]
             5 | path = 5
               :        |
               :        `-- not a path, a glob such as `logs/*.ndjson`, or a list of them
               `----
              help: write a path, a glob such as `logs/*.ndjson`, or a list of them

            config::value

              x `framing` does not take `linse`
               ,-[a.toml:6:11]
             6 | framing = "linse"
               :           ^^^|^^^
               :              `-- not one of its words
               `----
              help: did you mean `lines`?

            config::type

              x there is no source of type `kafka`
               ,-[a.toml:9:8]
             9 | type = "kafka"
               :        ^^^|^^^
               :           `-- not a type
               `----
              help: the types are `stdin`, `file`, `generate`

            config::unknown_source

              x there is no source `quake`
                ,-[a.toml:12:10]
             12 | source = "quake"
                :          ^^^|^^^
                :             `-- not among the sources
                `----
              help: did you mean `quakes`?

            config::value

              x `match` does not take `some`
                ,-[a.toml:13:9]
             13 | match = "some"
                :         ^^^|^^
                :            `-- not one of its words
                `----
              help: it takes: `all`, `first`

            config::missing

              x `path` is missing
                ,-[a.toml:15:1]
             15 | [pipeline.quakes.sink.alerts]
                : ^^^^^^^^^^^^^^|^^^^^^^^^^^^^^
                :               `-- sink `alerts` of pipeline `quakes` needs it
                `----
              help: add `path = …`

            config::unknown_key

              x unknown key `batchsize`
                ,-[a.toml:17:1]
             17 | batchsize = 100
                : ^^^^|^^^^
                :     `-- sink `alerts` of pipeline `quakes` has no such setting
                `----
              help: did you mean `batch_size`?

            config::value

              x `timeout`: `soon` is not a duration
                ,-[a.toml:18:11]
             18 | timeout = "soon"
                :           ^^^|^^
                :              `-- not accepted
                `----
              help: write `1s`, `500ms`, `5m`, or seconds as a number

            config::value

              x `retry.attempts` does not take `0`
                ,-[a.toml:19:22]
             19 | retry = { attempts = 0, initial = "1 parsec", tries = 3 }
                :                      |
                :                      `-- not a number of attempts from 1 on, or `unlimited`
                `----
              help: write a number of attempts from 1 on, or `unlimited`

            config::value

              x `retry.initial`: `1 parsec` is not a duration
                ,-[a.toml:19:35]
             19 | retry = { attempts = 0, initial = "1 parsec", tries = 3 }
                :                                   ^^^^^|^^^^
                :                                        `-- not accepted
                `----
              help: write `1s`, `500ms`, `5m`, or seconds as a number

            config::unknown_key

              x unknown key `tries`
                ,-[a.toml:19:47]
             19 | retry = { attempts = 0, initial = "1 parsec", tries = 3 }
                :                                               ^^|^^
                :                                                 `-- sink `alerts` of pipeline `quakes` has no such setting
                `----
              help: its keys are: `attempts`, `initial`, `max`, `max_elapsed`, `max_advice`, `unknown`, `outage`

            config::missing

              x `type` is missing
                ,-[a.toml:21:1]
             21 | [pipeline.quakes.sink.rest]
                : ^^^^^^^^^^^^^|^^^^^^^^^^^^^
                :              `-- sink `rest` of pipeline `quakes` needs it
                `----
              help: add `type = …` with one of `console`, `null`, `file`, `wasm`

            config::condition

              x not a condition: Syntax error: extraneous input '>' expecting {'[', '{', '(', '.', '-', '!', 'true',
              | 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}
                ,-[a.toml:22:21]
             22 | when = "event.mag ==> 4"
                :                     |
                :                     `-- here
                `----
              help: write a condition in CEL, such as `event.mag >= 4.5`

        "#]],
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
        expect![[r#"
            config::value

              x `limits.memory`: `lots` is not a size
               ,-[base.toml:7:21]
             7 | limits = { memory = "lots" }
               :                     ^^^|^^
               :                        `-- not accepted
               `----
              help: write `64KiB`, `10MiB`, `1GB`, or bytes as a number

            config::value

              x `batch_size` does not take `0`
               ,-[pipelines.conf:3:12]
             3 | batch_size=0
               :            |
               :            `-- not a whole number, 1 or more
               `----
              help: write a whole number, 1 or more

            config::unknown_key

              x unknown key `htpp`
               ,-[pipelines.conf:4:7]
             4 | allow.htpp=https://a
               :       ^^|^
               :         `-- sink `out` of pipeline `main` has no such setting
               `----
              help: did you mean `http`?

            config::range

              x `retry.max` is `30s`, less than `retry.initial`, which is `1m`
               ,-[pipelines.conf:5:15]
             5 | retry.initial=1m
               :               ^|
               :                `-- the longest pause is shorter than the first
               `----
              help: set `retry.max` to at least `retry.initial`

            config::ini

              x unknown section `[pipelin:main]`
                ,-[pipelines.conf:11:1]
             11 | [pipelin:main]
                : ^^^^^^^|^^^^^^
                :        `-- not a section
                `----
              help: did you mean `pipeline`? sections are `[source:NAME]`, `[pipeline:NAME]`, `[pipeline:NAME:SINK]` and
                    `[connection:NAME]`

        "#]],
    );
}

#[test]
fn several_syntax_errors_and_nothing_that_follows_from_them() {
    told(
        &[
            ("a.toml", "[source.in\ntype = \"stdin\"\n[pipeline.p]\nsource = in\n\n[pipeline.p.sink.s]\ntype = null\n"),
            ("b.conf", "[pipeline:p\n[pipeline:p:s]\nnonsense\n= 5\nx..y=1\nbatch_size=1\nbatch_size = 2\n"),
        ],
        expect![[r#"
            config::toml

              x not TOML: unclosed table, expected `]`
               ,-[a.toml:1:10]
             1 | [source.in
               :          |
               :          `-- here
               `----

            config::toml

              x not TOML: invalid float, expected `inf`
               ,-[a.toml:4:10]
             4 | source = in
               :          ^|
               :           `-- here
               `----
              help: text stands in quotes: `"in"`

            config::toml

              x not TOML: invalid float, expected `nan`
               ,-[a.toml:7:8]
             7 | type = null
               :        ^^|^
               :          `-- here
               `----
              help: text stands in quotes: `"null"`

            config::ini

              x a section without its `]`
               ,-[b.conf:1:1]
             1 | [pipeline:p
               : ^^^^^|^^^^^
               :      `-- not closed
               `----
              help: sections are `[source:NAME]`, `[pipeline:NAME]`, `[pipeline:NAME:SINK]` and `[connection:NAME]`

            config::ini

              x neither a section nor `key = value`
               ,-[b.conf:3:1]
             3 | nonsense
               : ^^^^|^^^
               :     `-- not understood
               `----
              help: write `key = value` on one line, lists with commas; comments begin with `#` or `;`

            config::ini

              x a key without a name
               ,-[b.conf:4:1]
             4 | = 5
               : ^
               : `-- the name is missing
               `----
              help: write `key = value`; dots in a key reach nested tables, as in `retry.attempts = 5`

            config::ini

              x a key without a name
               ,-[b.conf:5:1]
             5 | x..y=1
               : ^^|^
               :   `-- the name is missing
               `----
              help: write `key = value`; dots in a key reach nested tables, as in `retry.attempts = 5`

            config::duplicate

              x `batch_size` is set twice
               ,-[b.conf:7:1]
             6 | batch_size=1
               : ^^^^^|^^^^
               :      `-- first set here
             7 | batch_size = 2
               : ^^^^^|^^^^
               :      `-- set again here
               `----
              help: remove one; to change a setting for one machine, put it into a file that is named later

        "#]],
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
        expect![[r#"
            config::reference

              x the environment variable `NOWHERE` is not set
               ,-[a.toml:1:13]
             1 | data_dir = "${NOWHERE}/x/${ALSO_NOT}"
               :             ^^^^^|^^^^
               :                  `-- stands for nothing
               `----
              help: set it in the environment, or give it a default: `${NOWHERE:-default}`

            config::reference

              x the environment variable `ALSO_NOT` is not set
               ,-[a.toml:1:26]
             1 | data_dir = "${NOWHERE}/x/${ALSO_NOT}"
               :                          ^^^^^|^^^^^
               :                               `-- stands for nothing
               `----
              help: set it in the environment, or give it a default: `${ALSO_NOT:-default}`

            config::reference

              x `/does/not/exist` can't be read: No such file or directory (os error 2)
               ,-[a.toml:6:9]
             6 | path = "${file:/does/not/exist}"
               :         ^^^^^^^^^^^|^^^^^^^^^^^
               :                    `-- stands for nothing
               `----
              help: the path is taken from the working directory

            config::reference

              x a reference without its `}`
               ,-[b.ini:2:7]
             2 | fsync=${never
               :       ^^^|^^^
               :          `-- stands for nothing
               `----
              help: write `${NAME}`, `${NAME:-default}` or `${file:PATH}`; `$${` is a plain `${`

            config::reference

              x `${1x}` is not a reference
               ,-[b.ini:3:9]
             3 | timeout=${1x}
               :         ^^|^^
               :           `-- stands for nothing
               `----
              help: write `${NAME}`, `${NAME:-default}` or `${file:PATH}`; `$${` is a plain `${`

        "#]],
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
        expect![[r#"
            config::value

              x `path`: `${TOKEN}[` is not a glob
               ,-[a.toml:3:8]
             3 | path = "${TOKEN}["
               :        ^^^^^|^^^^^
               :             `-- not accepted
               `----
              help: Pattern syntax error near position 7: invalid range pattern

            config::value

              x `match` does not take `${TOKEN}`
               ,-[a.toml:5:9]
             5 | match = "${TOKEN}"
               :         ^^^^^|^^^^
               :              `-- not one of its words
               `----
              help: it takes: `all`, `first`

            config::type

              x there is no sink of type `${TOKEN}`
               ,-[a.toml:7:8]
             7 | type = "${TOKEN}"
               :        ^^^^^|^^^^
               :             `-- not a type
               `----
              help: the types are `console`, `null`, `file`, `wasm`

            config::value

              x `batch_size` does not take `${TOKEN}`
               ,-[a.toml:8:14]
             8 | batch_size = "${TOKEN}"
               :              ^^^^^|^^^^
               :                   `-- not a whole number, 1 or more
               `----
              help: write a whole number, 1 or more

            config::value

              x `timeout`: `${TOKEN}` is not a duration
               ,-[a.toml:9:11]
             9 | timeout = "${TOKEN}"
               :           ^^^^^|^^^^
               :                `-- not accepted
               `----
              help: write `1s`, `500ms`, `5m`, or seconds as a number

            config::condition

              x `${CONDITION}` is not a condition
                ,-[a.toml:10:8]
             10 | when = "${CONDITION}"
                :        ^^^^^^^|^^^^^^
                :               `-- what it stands for can't be read
                `----
              help: write a condition in CEL, such as `event.mag >= 4.5`

            config::value

              x `retry.attempts` does not take `${TOKEN}`
                ,-[a.toml:11:22]
             11 | retry = { attempts = "${TOKEN}" }
                :                      ^^^^^|^^^^
                :                           `-- not a number of attempts from 1 on, or `unlimited`
                `----
              help: write a number of attempts from 1 on, or `unlimited`

        "#]],
    );
}
