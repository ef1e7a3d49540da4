//! What the file sink leaves behind, read by others: kills, rotation, compression, full disks, many files.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;

use crate::sump::{Dir, wait_for};

/// Numbered events, some of which go to each of four keys.
fn numbered(events: std::ops::Range<usize>) -> String {
    events
        .map(|number| {
            format!("{{\"id\":{number},\"key\":\"k{}\",\"pad\":\"{}\"}}\n", number % 4, "x".repeat(number % 50))
        })
        .collect()
}

fn configuration(sink: &str) -> Dir {
    Dir::with(&format!(
        r#"
        position_interval = "20ms"
        [source.in]
        type = "file"
        path = "in"
        [pipeline.p]
        key = "{{event:/key}}"
        [pipeline.p.sink.out]
        type = "file"
        {sink}
        "#
    ))
}

/// Kills runs at moments that are drawn, then lets one end. Returns the seed.
fn kill(dir: &Dir, rounds: usize) -> u64 {
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..rounds {
        let before = output_bytes(dir);
        let more = random.u64(0..400_000);
        let mut run = dir.run(["sump.toml"]).start();
        run.reaches("the moment to die", || output_bytes(dir).abs_diff(before) > more);
        run.signal(Signal::KILL);
        run.end();
    }
    dir.done().with(0);
    seed
}

fn outputs(dir: &Dir) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir.path("out")).into_iter().flatten().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        entries.filter(|path| !path.file_name().unwrap().to_string_lossy().starts_with('.')).collect();
    // Finished files by the time in their names, then the one that is not finished: `-` is before `.`.
    files.sort();
    files
}

fn output_bytes(dir: &Dir) -> u64 {
    outputs(dir).iter().filter_map(|path| path.metadata().ok()).map(|metadata| metadata.len()).sum()
}

/// What a program prints.
fn printed(program: &str, args: &[&str], path: &Path) -> String {
    let run = Command::new(program).args(args).arg(path).output();
    let run = run.unwrap_or_else(|error| panic!("{program} is needed: {error}"));
    assert!(run.status.success(), "{program} {args:?} {}: {}", path.display(), String::from_utf8_lossy(&run.stderr));
    String::from_utf8(run.stdout).unwrap()
}

#[test]
fn exactly_once_leaves_each_line_once_and_in_order_whatever_is_killed() {
    let dir =
        configuration("path = \"out/{key}.ndjson\"\nbatch_size = 100\nexactly_once = true\nwhen = 'event.id % 7 != 0'");
    let input = numbered(0..60_000);
    dir.write("in", &input);
    let seed = kill(&dir, 15);
    for key in 0..4 {
        let wanted = (0..60_000).filter(|number| number % 4 == key && number % 7 != 0);
        let wanted: String = wanted.map(|number| numbered(number..number + 1)).collect();
        let there = dir.read(&format!("out/k{key}.ndjson"));
        assert!(there == wanted, "seed {seed}: k{key} has {} bytes of {}", there.len(), wanted.len());
    }
    assert_eq!(dir.done().with(0).written("p:out"), 0, "nothing comes again");
}

#[test]
fn exactly_once_goes_on_by_what_is_in_the_files_and_starts_again_when_asked() {
    let dir = configuration("path = \"out/all.ndjson\"\nexactly_once = true");
    dir.write("in", numbered(0..500));
    dir.done().with(0);
    let earlier = dir.read("data/positions.json");
    dir.append("in", &numbered(500..600));
    dir.done().with(0);
    // What was saved elsewhere says less than the sink has: nothing comes again.
    dir.write("data/positions.json", earlier);
    assert_eq!(dir.done().with(0).written("p:out"), 0);
    assert!(dir.read("out/all.ndjson") == numbered(0..600));
    assert_eq!(dir.run(["sump.toml", "--from-start"]).end().with(0).written("p:out"), 600);
    assert!(dir.read("out/all.ndjson") == numbered(0..600).repeat(2));
    assert_eq!(dir.done().with(0).written("p:out"), 0);
}

#[test]
fn an_event_that_is_refused_is_a_dead_letter_and_the_rest_is_written_once() {
    let dir = configuration("path = \"out/{key}.ndjson\"\nexactly_once = true");
    let bad = "{\"id\":1,\"key\":\"../k\"}\n";
    dir.write("in", numbered(0..250) + bad + &numbered(250..300) + bad);
    dir.done().with(0);
    assert_eq!(dir.dead("code"), ["path", "path"]);
    assert_eq!(outputs(&dir).iter().map(|path| fs::read_to_string(path).unwrap().lines().count()).sum::<usize>(), 300);
    dir.done().with(0);
    assert_eq!(dir.dead("code").len(), 2, "the last one is passed over too");
}

/// Finished files and the one that is not, each read by a program of its kind, one after the other.
fn read_back(dir: &Dir, kind: &str) -> String {
    let read = |path: &PathBuf| match kind {
        "gzip" => {
            printed("gzip", &["--test"], path);
            printed("gzip", &["--decompress", "--stdout"], path)
        }
        "zstd" => {
            printed("zstd", &["--quiet", "--test"], path);
            printed("zstd", &["--quiet", "--decompress", "--stdout"], path)
        }
        _ => fs::read_to_string(path).unwrap(),
    };
    outputs(dir).iter().map(read).collect()
}

#[test]
fn rotated_and_compressed_files_have_each_line_once_whatever_is_killed() {
    for (kind, end) in [("gzip", "ndjson.gz"), ("zstd", "ndjson.zst")] {
        let dir = configuration(&format!(
            "path = \"out/all.{end}\"\nbatch_size = 100\nexactly_once = true\ncompression = \"{kind}\"\nrotate.size = \"30KB\""
        ));
        let input = numbered(0..60_000);
        dir.write("in", &input);
        let seed = kill(&dir, 8);
        let there = read_back(&dir, kind);
        assert!(there == input, "{kind}, seed {seed}: {} bytes of {}", there.len(), input.len());
        let files = outputs(&dir);
        assert!(files.len() > 4, "{files:?}");
        assert!(files.iter().all(|path| path.metadata().unwrap().len() <= 30_000), "{files:?}");
    }
}

#[test]
fn at_least_once_no_line_is_lost_or_torn_by_a_kill_while_files_are_rotated() {
    for (kind, settings) in [("plain", ""), ("gzip", "compression = \"gzip\"")] {
        let dir = configuration(&format!("path = \"out/all\"\nbatch_size = 100\n{settings}\nrotate.size = \"40KB\""));
        let input = numbered(0..40_000);
        dir.write("in", &input);
        let seed = kill(&dir, 8);
        let there = read_back(&dir, kind);
        let (there, wanted): (BTreeSet<&str>, BTreeSet<&str>) = (there.lines().collect(), input.lines().collect());
        assert!(there == wanted, "{kind}, seed {seed}: {} different lines of {}", there.len(), wanted.len());
    }
}

#[test]
fn finished_files_beyond_the_count_are_removed() {
    let dir = configuration("path = \"out/all.ndjson\"\nbatch_size = 100\nrotate = { size = \"20KB\", count = 3 }");
    dir.write("in", numbered(0..10_000));
    dir.done().with(0);
    let files = outputs(&dir);
    assert_eq!(files.len(), 4, "{files:?}");
    let kept: String = files.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    assert!(numbered(0..10_000).ends_with(&kept), "the newest are kept");
}

#[test]
fn a_file_that_is_old_enough_is_finished_though_no_event_comes() {
    for more in ["", "exactly_once = true", "path = 'out/{event:/key}'"] {
        let dir = configuration(&format!("path = 'out/all'\nrotate.age = '300ms'\nbatch_timeout = '1ms'\n{more}"));
        let config = dir
            .read("sump.toml")
            .replace("type = \"file\"\n        path = \"in\"", "type = 'file'\npath = 'in'\nfollow = true");
        let config = if more.starts_with("path") { config.replace("path = 'out/all'\n", "") } else { config };
        dir.write("sump.toml", config);
        dir.write("in", numbered(0..100));
        let mut run = dir.run(["sump.toml"]).start();
        let text = || -> Vec<String> {
            let finished = outputs(&dir).into_iter().filter(|path| path.to_string_lossy().contains("-20"));
            let mut lines: Vec<String> = finished
                .flat_map(|path| fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect::<Vec<_>>())
                .collect();
            lines.sort();
            lines
        };
        let expected = |events: usize| {
            let mut lines: Vec<String> = numbered(0..events).lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        run.until("finished files", || text() == expected(100));
        dir.append("in", &numbered(100..150));
        run.until("the next finished files", || text() == expected(150));
        run.signal(Signal::TERM);
        run.end().with(0);
        assert_eq!(text(), expected(150));
    }
}

#[test]
fn a_file_that_another_program_moved_away_is_begun_anew_at_a_signal() {
    let dir = Dir::with(
        "[source.in]\ntype = 'stdin'\n[pipeline.p.sink.out]\ntype = 'file'\npath = 'out'\nbatch_timeout = '1ms'\n",
    );
    let mut run = dir.run(["sump.toml"]).open_input().start();
    run.feed("one\n");
    run.until("the first line", || dir.has("out") && dir.read("out") == "one\n");
    fs::rename(dir.path("out"), dir.path("out.1")).unwrap();
    run.signal(Signal::USR1);
    run.until("the file to be let go", || is_free(&dir.path("out.1")));
    run.feed("two\n");
    run.until("the second line", || dir.has("out") && dir.read("out") == "two\n");
    run.end().with(0);
    assert_eq!(dir.read("out.1"), "one\n");
}

/// Whether nobody holds its lock.
fn is_free(path: &Path) -> bool {
    fs::File::open(path).unwrap().try_lock().is_ok()
}

#[test]
fn ten_thousand_keys_with_few_files_open() {
    let dir = configuration("path = \"out/{key}\"\nfsync = \"never\"\nbatch_size = 10000\nmax_open_files = 50");
    let line = |number: usize| format!("{{\"id\":{number},\"key\":\"{}\"}}\n", number % 10_000);
    dir.write("in", (0..30_000).map(line).collect::<String>());
    dir.done().with(0);
    let files = outputs(&dir);
    assert_eq!(files.len(), 10_000);
    for path in files.iter().step_by(997) {
        let number: usize = path.file_name().unwrap().to_str().unwrap().parse().unwrap();
        assert_eq!(fs::read_to_string(path).unwrap(), [0, 10_000, 20_000].map(|more| line(number + more)).concat());
    }
}

/// A file system of its own, with little room.
struct Small(PathBuf);

impl Small {
    /// `None` where it can't be mounted: that takes root.
    fn mount(path: PathBuf) -> Option<Small> {
        fs::create_dir_all(&path).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(&path).output();
        mounted.is_ok_and(|done| done.status.success()).then_some(Small(path))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // Lazily: the test may have failed with files open.
        Command::new("umount").arg("--lazy").arg(&self.0).status().ok();
    }
}

#[test]
fn a_full_disk_is_waited_for_and_nothing_is_lost_or_a_dead_letter() {
    for settings in ["", "exactly_once = true", "compression = \"gzip\""] {
        let dir = configuration(&format!("path = \"out/all\"\nbatch_size = 100\ngate.probe = \"50ms\"\n{settings}"));
        let Some(_mounted) = Small::mount(dir.path("out")) else {
            #[expect(clippy::print_stderr, reason = "a test that could not run says so")]
            {
                eprintln!("not run: a small file system can't be mounted here");
            }
            return;
        };
        dir.write("out/.ballast", vec![0; 900 << 10]);
        let input = numbered(0..8_000);
        dir.write("in", &input);
        let run = dir.run(["sump.toml"]).start();
        // Compressed, it would fit.
        let fits = settings.starts_with("compression");
        if !fits {
            wait_for("a full disk", || run.said().contains("disk-full"));
        }
        fs::remove_file(dir.path("out/.ballast")).unwrap();
        run.end().with(0);
        let there = read_back(&dir, if fits { "gzip" } else { "" });
        assert!(there == input, "{settings}: {} bytes of {}", there.len(), input.len());
        assert!(dir.dead_letters().is_empty());
    }
}
