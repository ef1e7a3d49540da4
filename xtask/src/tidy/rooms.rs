//! Rooms: the modules of the runtime use each other in one direction.

use super::code::{bracketed, name, words};
use super::{File, Violation, assert_found, assert_none, tree};

struct Room {
    name: &'static str,
    /// The rooms that it may name, all above it.
    uses: &'static [&'static str],
}

/// From the top down. A new room takes its place here, and says what it needs.
#[rustfmt::skip]
const ROOMS: [Room; 18] = [
    Room { name: "defect", uses: &[] },
    Room { name: "units", uses: &[] },
    Room { name: "net", uses: &["units"] },
    Room { name: "kafka", uses: &["units"] },
    Room { name: "batch", uses: &["units"] },
    Room { name: "metrics", uses: &[] },
    Room { name: "expr", uses: &["batch"] },
    Room { name: "envelope", uses: &["defect", "batch", "metrics"] },
    Room { name: "source", uses: &["units", "net", "kafka", "batch", "metrics", "envelope"] },
    Room { name: "sink", uses: &["units", "net", "kafka", "batch", "metrics", "expr"] },
    Room { name: "wasm", uses: &["units", "net", "batch", "metrics", "sink"] },
    Room { name: "delivery", uses: &["defect", "units", "batch", "metrics", "expr", "envelope", "sink"] },
    Room { name: "config", uses: &["units", "kafka", "expr", "source", "sink", "wasm", "delivery"] },
    Room { name: "trial", uses: &["units", "batch", "metrics", "envelope", "sink", "wasm", "delivery", "config"] },
    Room { name: "pipeline", uses: &["defect", "units", "kafka", "batch", "metrics", "expr", "envelope", "source", "sink", "wasm", "delivery", "config"] },
    Room { name: "admin", uses: &["batch", "metrics", "pipeline"] },
    Room { name: "project", uses: &[] },
    Room { name: "cli", uses: &["units", "batch", "metrics", "expr", "envelope", "source", "sink", "wasm", "delivery", "config", "trial", "pipeline", "admin", "project"] },
];

/// `(room, other)`: the room knows only what the other one's own file offers, its types, and none of its modules.
const TYPES_ONLY: [(&str, &str); 1] = [("delivery", "sink")];

/// The room that a file belongs to, by its path.
pub(super) fn room_of(path: &str) -> Option<&str> {
    let inside = path.strip_prefix("runtime/src/")?;
    let room = inside.split('/').next()?;
    Some(room.strip_suffix(".rs").unwrap_or(room)).filter(|room| !["lib", "main"].contains(room))
}

fn direction(file: &File) -> Vec<Violation> {
    let Some(own) = room_of(&file.path).filter(|_| file.is_rust()) else { return Vec::new() };
    let Some(room) = ROOMS.iter().find(|room| room.name == own) else {
        return vec![file.at(
            0,
            format!("`{own}` is no room: move the file into one, or give it a place in xtask/src/tidy/rooms.rs"),
        )];
    };
    let mut violations = Vec::new();
    for byte in words(&file.code, "crate") {
        let Some(path) = file.code[byte..].strip_prefix("crate::") else {
            if file.code[byte..].starts_with("crate as") {
                violations.push(file.at(byte, "`crate` under another name hides which room is meant: name the room"));
            }
            continue;
        };
        let other = name(path);
        if other.is_empty() {
            violations.push(file.at(byte, "one `use crate::ROOM::…` a line, so that a scan sees which rooms are used"));
        } else if other != own && !room.uses.contains(&other) {
            violations.push(file.at(byte, not_above(room, other)));
        } else if TYPES_ONLY.contains(&(own, other)) && names_a_module(&path[other.len()..]) {
            let problem =
                format!("`{own}` knows the types of `{other}`, not what is inside: use what {other}.rs itself offers");
            violations.push(file.at(byte, problem));
        }
    }
    violations.extend(
        words(&file.code, "super::super").map(|byte| file.at(byte, "write `crate::ROOM::…` instead of `super::super`")),
    );
    violations.extend(by_the_back_door(file, own));
    violations
}

/// In the room's own file `super` is the crate, so that `super::ROOM` would pass unseen.
fn by_the_back_door(file: &File, own: &str) -> Vec<Violation> {
    if file.path != format!("runtime/src/{own}.rs") {
        return Vec::new();
    }
    let other = |byte: &usize| {
        let other = name(&file.code[byte + "super::".len()..]);
        other != own && ROOMS.iter().any(|room| room.name == other)
    };
    let found = words(&file.code, "super::").filter(other);
    found.map(|byte| file.at(byte, "write `crate::ROOM::…` to name another room")).collect()
}

fn not_above(room: &Room, other: &str) -> String {
    let uses = if room.uses.is_empty() { "no other room".to_owned() } else { room.uses.join(", ") };
    format!(
        "`{}` must not know `{other}`; it uses {uses}. Move what both need further up, or hand it in from `pipeline`",
        room.name
    )
}

/// Whether a path behind a room goes on into a module: types begin with a capital letter.
fn names_a_module(path: &str) -> bool {
    let Some(path) = path.strip_prefix("::") else { return true };
    let items = if path.starts_with('{') { bracketed(path).trim_matches(['{', '}']) } else { name(path) };
    let mut items = items.split(',').map(str::trim).filter(|item| !item.is_empty());
    items.any(|item| !item.starts_with(|first: char| first.is_ascii_uppercase()))
}

#[test]
fn rooms_use_only_rooms_above_them() {
    assert_none(tree().iter().flat_map(direction).collect());
}

#[test]
fn the_table_points_up() {
    for (index, room) in ROOMS.iter().enumerate() {
        let above: Vec<&str> = ROOMS[..index].iter().map(|room| room.name).collect();
        assert!(room.uses.iter().all(|used| above.contains(used)), "`{}` uses a room below it", room.name);
    }
}

#[test]
fn a_step_down_is_found() {
    let check = |path: &str, text: &str| direction(&File::new(path, text));
    let text = "use crate::batch::Batch;\nuse crate::units;\nuse crate::delivery::Gate;\n// crate::delivery\n";
    assert_found(&check("runtime/src/source/file.rs", text), &["file.rs:3: `source` must not know `delivery`"]);
    assert_found(&check("runtime/src/batch.rs", "use crate::{units, cli};"), &["batch.rs:1: one `use crate::ROOM"]);
    assert_found(&check("runtime/src/batch/a.rs", "use crate::*;"), &["a.rs:1: one `use crate::ROOM"]);
    assert_found(&check("runtime/src/batch/a.rs", "use crate as c;"), &["a.rs:1: `crate` under another name"]);
    assert_found(&check("runtime/src/batch/a.rs", "use super::super::cli;"), &["a.rs:1: write `crate::ROOM"]);
    assert_found(&check("runtime/src/batch.rs", "use super::cli;"), &["batch.rs:1: write `crate::ROOM"]);
    assert_found(&check("runtime/src/batch.rs", "pub(crate) mod a; mod tests { use super::*; }"), &[]);
    assert_found(&check("runtime/src/helpers.rs", ""), &["helpers.rs:1: `helpers` is no room"]);
    assert_found(&check("runtime/benches/path.rs", "use crate::cli;"), &[]);
}

#[test]
fn a_concrete_sink_in_the_delivery_is_found() {
    let check = |text: &str| direction(&File::new("runtime/src/delivery/lane.rs", text));
    assert_found(&check("use crate::sink::{Connect, Outcome};\nuse crate::sink::Sink;"), &[]);
    assert_found(&check("use crate::sink::file::File;"), &["lane.rs:1: `delivery` knows the types of `sink`"]);
    assert_found(
        &check("use crate::sink::{\n    Connect,\n    file::File,\n};"),
        &["lane.rs:1: `delivery` knows the types"],
    );
    assert_found(&check("use crate::sink;"), &["lane.rs:1: `delivery` knows the types of `sink`"]);
}
