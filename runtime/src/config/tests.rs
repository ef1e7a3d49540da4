//! Whole configurations, right and wrong.

use std::sync::Arc;

use expect_test::{Expect, expect};

use crate::config::{CommandLine, Diagnostic, Plan, Style, Text, from_command_line, load_texts, print, render};

fn environment(name: &str) -> Option<String> {
    match name {
        "TOKEN" => Some("hunter2".into()),
        "SIZE" => Some("250".into()),
        "WORD" => Some("swordfish".into()),
        _ => None,
    }
}

fn read(files: &[(&str, &str)]) -> Result<(Plan, Vec<Diagnostic>), Vec<Diagnostic>> {
    let texts: Vec<Arc<Text>> = files.iter().map(|(name, contents)| Text::new(name, (*contents).into())).collect();
    load_texts(&texts, &environment)
}

fn check_errors(files: &[(&str, &str)], expected: Expect) {
    let problems = read(files).expect_err("it is wrong");
    expected.assert_eq(&render(&problems, Style::Plain));
}

#[test]
fn all_errors_of_a_file_are_told_at_once() {
    check_errors(
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

              x `path`: a path, a glob such as `logs/*.ndjson`, or a list of them
               ,-[a.toml:5:1]
             5 | path = 5
               :        |
               :        `-- not accepted
               `----

            config::value

              x `framing` does not take `linse`
               ,-[a.toml:6:1]
             6 | framing = "linse"
               :           ^^^|^^^
               :              `-- not one of its words
               `----
              help: did you mean `lines`?

            config::type

              x there is no source of type `kafka`
               ,-[a.toml:9:1]
             9 | type = "kafka"
               :        ^^^|^^^
               :           `-- not a type
               `----
              help: the types are `stdin`, `file`, `generate`

            config::unknown_source

              x there is no source `quake`
                ,-[a.toml:12:1]
             12 | source = "quake"
                :          ^^^|^^^
                :             `-- not among the sources
                `----
              help: did you mean `quakes`?

            config::value

              x `match` does not take `some`
                ,-[a.toml:13:1]
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
                ,-[a.toml:18:1]
             18 | timeout = "soon"
                :           ^^^|^^
                :              `-- not accepted
                `----
              help: write `1s`, `500ms`, `5m`, or seconds as a number

            config::value

              x `retry.attempts` does not take `0`
                ,-[a.toml:19:1]
             19 | retry = { attempts = 0, initial = "1 parsec", tries = 3 }
                :                      |
                :                      `-- not a number of attempts from 1 on, or `unlimited`
                `----
              help: write a number of attempts from 1 on, or `unlimited`

            config::value

              x `retry.initial`: `1 parsec` is not a duration
                ,-[a.toml:19:1]
             19 | retry = { attempts = 0, initial = "1 parsec", tries = 3 }
                :                                   ^^^^^|^^^^
                :                                        `-- not accepted
                `----
              help: write `1s`, `500ms`, `5m`, or seconds as a number

            config::unknown_key

              x unknown key `tries`
                ,-[a.toml:19:1]
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

              x not a condition: unexpected `>`
                ,-[a.toml:22:1]
             22 | when = "event.mag ==> 4"
                :                     |
                :                     `-- here
                `----
              help: write a condition in CEL, such as `event.mag >= 4.5`

        "#]],
    );
}
