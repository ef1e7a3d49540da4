//! The SDK carries the contract with it, so that it builds from the crate alone.

#[test]
fn the_contract_is_the_one_of_the_project() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit/sink.wit");
    let project = std::fs::read_to_string(root).unwrap();
    let own = include_str!("../wit/deps/sump-sink/sink.wit");
    assert!(own == project, "copy wit/sink.wit to guest-sdk/rust/wit/deps/sump-sink/sink.wit");
}
