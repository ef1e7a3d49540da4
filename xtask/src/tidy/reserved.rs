//! Names that only some places may use.

use super::code::words;
use super::rooms::room_of;
use super::{Exceptions, File, Violation, assert_found, assert_none, only_in, tree};

struct Reserved {
    names: &'static [&'static str],
    /// The rooms that may use them.
    rooms: &'static [&'static str],
    /// How the paths of files begin that may use them too.
    also: &'static [&'static str],
    problem: &'static str,
}

/// Files that count as `cli`: the program's own, and the tests that people choose and read schedules with.
const LIKE_CLI: [&str; 2] = ["runtime/src/main.rs", "runtime/src/pipeline/model/tests.rs"];

const RESERVED: [Reserved; 5] = [
    Reserved {
        names: &["wasmtime", "wasmtime_wasi", "wasmtime_wasi_http"],
        rooms: &["wasm"],
        also: &[],
        problem: "only `wasm` names Wasmtime: the rest of the runtime must not notice what runs a guest",
    },
    Reserved {
        names: &["rdkafka", "rdkafka_sys"],
        rooms: &["kafka"],
        also: &["runtime/src/source/kafka", "runtime/src/sink/kafka"],
        problem: "only `kafka`, and Kafka's source and sink, name rdkafka: nobody else speaks to a broker",
    },
    Reserved {
        names: &["anyhow"],
        rooms: &["cli"],
        also: &[],
        problem: "only `cli` uses anyhow: elsewhere an error is a type of its own, which callers can tell apart",
    },
    Reserved {
        names: &["println!", "print!", "eprintln!", "eprint!", "process::exit"],
        rooms: &["cli"],
        also: &[],
        problem: "only `cli` prints and ends the process: use `tracing`, or return what there is to say",
    },
    Reserved {
        names: &["env::var", "env::var_os", "env::vars", "env::vars_os", "env::args", "env::args_os", "env::{"],
        rooms: &["cli"],
        also: &[],
        problem: "only `cli` reads the environment: take the value as an argument",
    },
];

/// What sinks and guests must not know: the duty to settle an event is the delivery's.
const DUTIES: [&str; 2] = ["Envelope", "Receipt"];

/// Files with `unsafe` in them.
const UNSAFE: &Exceptions = &[
    (
        "runtime/src/source/kafka/fetched.rs",
        "the safe interface of rdkafka gives one message a call, with allocations for each",
    ),
    ("runtime/src/kafka/membership.rs", "rdkafka keeps the C handle of a group's metadata to itself"),
    ("runtime/src/sink/kafka/native.rs", "whole batches go to librdkafka without a copy by its C interface alone"),
    ("runtime/src/sink/kafka/transactional.rs", "rdkafka has transactions for its own producers alone"),
    ("runtime/src/wasm/cache.rs", "compiled code is trusted input to wasmtime: the folder is this user's alone"),
    ("runtime/benches/support/process.rs", "only `wait4` tells what a single child has used"),
];

fn reserved(file: &File) -> Vec<Violation> {
    let room = if LIKE_CLI.contains(&&*file.path) { Some("cli") } else { room_of(&file.path) };
    let Some(room) = room.filter(|_| file.is_rust()) else { return Vec::new() };
    let allowed = |reserved: &Reserved| {
        reserved.rooms.contains(&room) || reserved.also.iter().any(|place| file.path.starts_with(place))
    };
    let barred = RESERVED.iter().filter(|reserved| !allowed(reserved));
    let found = barred.flat_map(|reserved| reserved.names.iter().map(|name| (*name, reserved.problem)));
    found.flat_map(|(name, problem)| words(&file.code, name).map(move |byte| file.at(byte, problem))).collect()
}

fn duties(file: &File) -> Vec<Violation> {
    if !matches!(room_of(&file.path), Some("sink" | "wasm")) || !file.is_rust() {
        return Vec::new();
    }
    let found = DUTIES.iter().flat_map(|name| words(&file.code, name).map(move |byte| (name, byte)));
    found
        .map(|(name, byte)| {
            file.at(byte, format!("a sink takes a `Batch`, never a `{name}`: only the delivery settles events"))
        })
        .collect()
}

fn unsafe_code(files: &[File], exceptions: &Exceptions) -> Vec<Violation> {
    only_in(
        files,
        "unsafe",
        exceptions,
        "no `unsafe` here: find a safe way, or add the file to `UNSAFE` in xtask/src/tidy/reserved.rs",
    )
}

#[test]
fn reserved_names_stay_in_their_rooms() {
    assert_none(tree().iter().flat_map(reserved).collect());
}

#[test]
fn sinks_never_hold_the_duty_to_settle() {
    assert_none(tree().iter().flat_map(duties).collect());
}

#[test]
fn unsafe_is_where_its_reason_is_listed() {
    assert_none(unsafe_code(tree(), UNSAFE));
}

#[test]
fn a_reserved_name_elsewhere_is_found() {
    let check = |path: &str, text: &str| reserved(&File::new(path, text));
    assert_found(
        &check("runtime/src/delivery.rs", "//! wasmtime\nuse wasmtime::Store;"),
        &["delivery.rs:2: only `wasm` names"],
    );
    assert_found(&check("runtime/src/wasm/store.rs", "use wasmtime::Store;"), &[]);
    assert_found(
        &check("runtime/src/sink/file.rs", "use rdkafka::Message;"),
        &["file.rs:1: only `kafka`, and Kafka's"],
    );
    for path in ["runtime/src/sink/kafka/producer.rs", "runtime/src/source/kafka.rs", "runtime/src/kafka.rs"] {
        assert_found(&check(path, "use rdkafka::Message;"), &[]);
    }
    assert_found(
        &check("runtime/src/wasm.rs", "fn f() -> anyhow::Result<()> {}"),
        &["wasm.rs:1: only `cli` uses anyhow"],
    );
    assert_found(&check("runtime/src/sink/null.rs", "println!()"), &["null.rs:1: only `cli` prints"]);
    assert_found(&check("runtime/src/config.rs", "std::env::var_os(name)"), &["config.rs:1: only `cli` reads"]);
    let cli = "use anyhow::Result; println!(); std::process::exit(1); std::env::args();";
    assert_found(&check("runtime/src/cli/run.rs", cli), &[]);
    assert_found(&check("runtime/src/main.rs", cli), &[]);
}

#[test]
fn a_sink_with_a_duty_is_found() {
    let check = |path: &str| duties(&File::new(path, "/// Not an Envelope.\nfn f(receipt: Receipt) {}"));
    assert_found(&check("runtime/src/sink/file.rs"), &["file.rs:2: a sink takes a `Batch`, never a `Receipt`"]);
    assert_found(&check("runtime/src/wasm/instance.rs"), &["instance.rs:2: a sink takes"]);
    assert_found(&check("runtime/src/delivery/lane.rs"), &[]);
}

#[test]
fn unlisted_unsafe_is_found() {
    let files = [File::new("runtime/src/batch.rs", "// unsafe\n#![deny(unsafe_code)]\nunsafe {}")];
    assert_found(&unsafe_code(&files, &[]), &["batch.rs:3: no `unsafe` here"]);
}
