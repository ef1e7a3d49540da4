//! Components that misbehave cost their own events, and nothing else.

use crate::guest::guest;
use crate::sump::{Dir, Ended};

/// Twenty events, of which the twelfth is `word`, through a component that does what events say, and a file.
fn obeying(word: &str) -> (Dir, Ended) {
    let dir = Dir::with(&format!(
        r#"
        [source.in]
        type = "file"
        path = "in"
        [pipeline.p.sink.guest]
        type = "wasm"
        path = "{}"
        config = {{ write = "obey" }}
        limits.cpu = "100ms"
        limits.memory = "32MiB"
        retry.initial = "5ms"
        retry.max = "5ms"
        [pipeline.p.sink.file]
        type = "file"
        path = "out"
        "#,
        guest("guest-plain").display()
    ));
    let word_at = |number: usize| if number == 12 { word.to_owned() } else { format!("ok {number}") };
    dir.write("in", (0..20).map(|number| word_at(number) + "\n").collect::<String>());
    let ended = dir.done().with(0);
    assert_eq!(dir.read("out"), dir.read("in"), "{word}: the sink beside it");
    (dir, ended)
}

#[test]
fn the_event_at_fault_is_found_and_the_others_are_written() {
    for (word, kind, code) in [
        ("trap", "unknown", "trap"),
        ("exit", "unknown", "exit"),
        ("spin", "unknown", "cpu-limit"),
        ("eat", "unknown", "memory-limit"),
        ("refuse", "rejected", "bad"),
    ] {
        let (dir, ended) = obeying(word);
        assert_eq!(dir.dead("payload"), [word], "{}", ended.errors);
        assert_eq!([&dir.dead("kind")[0], &dir.dead("code")[0]], [kind, code], "{}", ended.errors);
        assert_eq!(ended.written("p:guest"), 19, "{word}");
    }
}

#[test]
fn a_lie_is_not_believed_and_says_nothing_of_any_event() {
    let (dir, ended) = obeying("lie");
    assert_eq!(ended.counts("p:guest")[..4], [0, 40, 0, 20], "{}", ended.errors);
    assert!(dir.dead("kind").iter().all(|kind| kind == "unknown"), "{:?}", dir.dead_letters()[0]);
    assert!(dir.dead("attempts").iter().all(|attempts| attempts == "3"));
}

#[test]
fn a_flood_of_output_is_cut_off() {
    let dir = Dir::with(&format!(
        "[source.in]\ntype = 'file'\npath = 'in'\n[pipeline.p.sink.guest]\ntype = 'wasm'\npath = '{}'\n\
         config = {{ write = 'flood' }}\n",
        guest("guest-plain").display()
    ));
    dir.write("in", "a\n");
    let ended = dir.done().with(0);
    assert_eq!(ended.written("p:guest"), 1);
    assert!(ended.errors.len() < 200_000, "{} bytes of log", ended.errors.len());
    assert!(ended.errors.contains("flood") && ended.output.is_empty());
}
