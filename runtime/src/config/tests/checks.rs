//! What is said about what can be read and is still wrong, as it is shown.

use crate::config::tests::{shown, told};
use crate::config::{CommandLine, from_command_line};

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
        "values_beyond_their_range",
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
[pipeline.loop.sink.c]
type = "file"
path = "by/{key}.log"
[pipeline.loop.sink.d]
type = "file"
path = "by/{key}.log"
[pipeline."../up".sink.c]
"#,
        )],
        "parts_that_do_not_fit_together",
    );
}

#[test]
fn connections_that_are_wrong() {
    told(
        &[
            (
                "a.toml",
                r#"[source.in]
type = "stdin"
[connection.a]
bootstrap_servers = "kafka://a"
tls = { ca = "ca.pem", cret = "x" }
sasl = { mechanism = "SCRAM", username = "u", password = "${TOKEN}" }
[connection.a.properties]
acks = 1
linger.ms = "soon"
lingr.ms = 5
ssl.key.password = ["${TOKEN}"]
[connection.b]
type = "redis"
[connection.c]
[pipeline.p.sink.s]
type = "null"
"#,
            ),
            ("b.conf", "[connection:Kafka]\nbootstrap_servers=a,b:1x\ntls=perhaps\nproperties.group.id=x\n"),
        ],
        "connections_that_are_wrong",
    );
}

#[test]
fn exactly_once_where_it_can_not_hold() {
    let text = r#"[source.files]
type = "file"
path = "in"
[source.piped]
type = "stdin"
[pipeline.right.sink.a]
type = "file"
path = "a"
exactly_once = true
[pipeline.right]
source = "files"
[pipeline.wrong]
source = "piped"
[pipeline.wrong.sink.b]
type = "file"
path = "b"
exactly_once = true
fsync = "never"
required = false
concurrency = "adaptive"
buffer = { type = "disk", when_full = "drop_newest" }
[pipeline.letters]
source = "files"
dead_letters.sink = "kept"
[pipeline.letters.sink.shown]
type = "console"
exactly_once = true
[pipeline.letters.sink.kept]
type = "file"
path = "c"
exactly_once = true
"#;
    told(&[("a.toml", text)], "exactly_once_where_it_can_not_hold");
}

#[test]
fn exactly_once_where_kafka_can_not_hold_it() {
    let text = r#"[connection.here]
bootstrap_servers = "a"
[connection.there]
bootstrap_servers = "b"
[source.k]
type = "kafka"
connection = "here"
group = "g"
topics = "t"
properties = { "isolation.level" = "read_uncommitted" }
[source.files]
type = "file"
path = "in"
[pipeline.wrong]
source = "k"
otherwise = "reject"
on_condition_error = "reject"
[pipeline.wrong.sink.once]
type = "kafka"
connection = "there"
topic = "u"
exactly_once = true
[pipeline.other]
source = "k"
[pipeline.other.sink.shown]
type = "console"
[pipeline.ends]
source = "files"
[pipeline.ends.sink.once]
type = "kafka"
connection = "here"
topic = "u"
exactly_once = true
[source.l]
type = "kafka"
connection = "here"
group = "l"
topics = "t"
[pipeline.right]
source = "l"
dead_letters.sink = "letters"
[pipeline.right.sink.once]
type = "kafka"
connection = "here"
topic = "u"
exactly_once = true
[pipeline.right.sink.letters]
type = "kafka"
connection = "there"
topic = "u"
compression = "lz4"
[source.m]
type = "kafka"
connection = "here"
group = "m"
topics = "t"
[pipeline.together]
source = "m"
dead_letters.sink = "letters"
[pipeline.together.sink.once]
type = "kafka"
connection = "here"
topic = "u"
exactly_once = true
[pipeline.together.sink.letters]
type = "kafka"
connection = "here"
topic = "u"
compression = "lz4"
"#;
    let right = text.replace("[connection.here]", "instance = \"a\"\n[connection.here]");
    told(&[("a.toml", &right)], "exactly_once_where_kafka_can_not_hold_it");
    told(&[("a.toml", text)], "exactly_once_by_nobody");
}

#[test]
fn a_source_that_is_not_read_is_a_warning() {
    told(
        &[(
            "a.toml",
            "[source.one]\ntype = 'stdin'\n[source.two]\ntype = 'generate'\n[pipeline.p]\nsource = 'one'\n[pipeline.p.sink.s]\ntype = 'null'\n",
        )],
        "a_source_that_is_not_read_is_a_warning",
    );
}

#[test]
fn tables_and_values_in_each_others_place() {
    told(
        &[
            ("a.toml", "source = 5\ndead_letters = '1GiB'\n[pipeline.p]\nsink = []\n[pipeline.q.sink]\ns = 'null'\n"),
            ("b.conf", "[pipeline:p:s]\ntype=null\n"),
        ],
        "tables_and_values_in_each_others_place",
    );
}

#[test]
fn a_source_where_a_sink_belongs() {
    told(
        &[(
            "pipelines.conf",
            "[source:MySource]\ntype=stdin\n[pipeline:P:MySource]\nmax_event_bytes=1MiB\n[pipeline:P:MySink]\ntype=null\n",
        )],
        "a_source_where_a_sink_belongs",
    );
}

#[test]
fn nothing_at_all() {
    told(&[], "nothing_at_all");
    told(&[("a.yaml", "a: 1")], "neither_toml_nor_ini");
}

#[test]
fn the_command_line() {
    let strings = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let problems = from_command_line(&CommandLine {
        component: "sinks/out.wasm",
        set: &strings(&["measurement", "a.b=1", "a.b=2", "a.b.c=3"]),
        allow_http: &strings(&["https://a"]),
        allow_tcp: &[],
        allow_dir: &strings(&["/tmp", "/a:/b:rx"]),
        allow_env: &[],
    })
    .expect_err("it is wrong");
    shown(&problems, "the_command_line");
}

#[test]
fn a_sink_for_dead_letters_that_can_not_be_one() {
    let pipeline = |name: &str, to: &str, when: &str| {
        format!(
            "[pipeline.{name}]\ndead_letters = {to}\n[pipeline.{name}.sink.archive]\ntype = 'null'\n\
             [pipeline.{name}.sink.letters]\ntype = 'null'\n{when}\n"
        )
    };
    let text = [
        "[source.in]\ntype = 'stdin'\n".to_owned(),
        pipeline("right", "{ sink = 'letters' }", ""),
        pipeline("near", "{ sink = 'leters' }", ""),
        pipeline("far", "{ sink = 'elsewhere' }", ""),
        pipeline("asked", "{ sink = 'letters' }", "when = 'event.mag > 1'"),
        pipeline("unnamed", "{}", ""),
        pipeline("unknown", "{ sink = 'letters', max_size = 5 }", ""),
        "[pipeline.alone]\ndead_letters.sink = 'only'\n[pipeline.alone.sink.only]\ntype = 'null'\n".to_owned(),
    ];
    told(&[("a.toml", &text.concat())], "a_sink_for_dead_letters_that_can_not_be_one");
}
