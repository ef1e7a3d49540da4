//! Following files while they change.

use std::fs::OpenOptions;
use std::io::Write;

use tempfile::TempDir;

use super::*;
use crate::source::file::Files;
use crate::source::file::settings::{Globs, Start};
use crate::source::{Demand, Open, Resume, Source};

/// Nothing should come near it.
const PATIENCE: Duration = Duration::from_secs(30);

/// A folder whose files are followed.
struct Folder(TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn append(&self, name: &str, text: impl AsRef<[u8]>) {
        let mut file = OpenOptions::new().create(true).append(true).open(self.path(name)).unwrap();
        file.write_all(text.as_ref()).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        std::fs::rename(self.path(from), self.path(to)).unwrap();
    }

    fn settings(&self, glob: &str, watch: Watch) -> Settings {
        let path = Globs::new(vec![self.path(glob).display().to_string()]).unwrap();
        Settings { follow: true, watch, poll_interval: Duration::from_millis(20), ..Settings::new(path) }
    }

    async fn follow(&self, glob: &str) -> Following {
        Following::open(self.settings(glob, Watch::Auto), Resume::default()).await
    }
}

/// A source that is open, and what it gave.
struct Following {
    source: Box<dyn Source>,
    resume: Resume,
    /// The name under which it was first seen, and the line.
    lines: Vec<(String, String)>,
    rejects: Vec<(u64, u64)>,
    finished: Vec<Partition>,
}

impl Following {
    async fn open(settings: Settings, resume: Resume) -> Following {
        let framing = framing::Settings { max_event_bytes: 100_000, ..framing::Settings::default() };
        Following::framed(settings, framing, resume).await
    }

    async fn framed(settings: Settings, framing: framing::Settings, resume: Resume) -> Following {
        let files = Files::new(settings, framing);
        assert!(!files.ends());
        let source = files.open(resume.clone()).await.unwrap();
        let mut following = Following { source, resume, lines: Vec::new(), rejects: Vec::new(), finished: Vec::new() };
        // The first is what there is.
        following.step().await;
        following
    }

    /// Takes what comes, and acknowledges it at once.
    async fn step(&mut self) {
        let next = tokio::time::timeout(PATIENCE, self.source.next(Demand::Events));
        match next.await.expect("nothing comes any more").unwrap() {
            Input::Assigned(partitions) => self.resume.positions.extend(partitions),
            Input::Block(block) => {
                let (payload, origin) = (block.batch.payload(), block.batch.origin());
                for (rows, partition) in origin.spans() {
                    let name = origin.partitions()[partition as usize].as_str();
                    let name = name.rsplit('/').next().unwrap().split('@').next().unwrap();
                    let line = |row| String::from_utf8_lossy(payload.value(row)).into_owned();
                    self.lines.extend(rows.map(|row| (name.to_owned(), line(row))));
                }
                self.rejects.extend(block.rejects.and_then(|rejects| rejects.range));
                self.resume.positions.extend(block.ends);
            }
            Input::Finished(partitions) => {
                self.resume.positions.retain(|partition, _| !partitions.contains(partition));
                self.finished.extend(partitions);
            }
            Input::Revoked(_) | Input::Rewound(_) | Input::Ended => panic!("it goes on for ever"),
        }
        self.source.acknowledge(&self.resume.positions).await.unwrap();
        self.resume.memo = self.source.memo();
    }

    /// Steps until there are so many lines.
    async fn lines(&mut self, count: usize) -> Vec<(String, String)> {
        while self.lines.len() < count {
            self.step().await;
        }
        assert_eq!(self.lines.len(), count);
        std::mem::take(&mut self.lines)
    }

    /// Steps until something was told that is no line.
    async fn until(&mut self, is: impl Fn(&Following) -> bool) {
        while !is(self) {
            // What comes by itself is heard of at the next call.
            let next = tokio::time::timeout(Duration::from_millis(20), self.step());
            drop(next.await);
            self.source.acknowledge(&self.resume.positions).await.unwrap();
        }
    }

    fn known(&self) -> usize {
        self.resume.memo.as_array().unwrap().len()
    }
}

fn lines(lines: &[(&str, &str)]) -> Vec<(String, String)> {
    lines.iter().map(|(name, line)| ((*name).to_owned(), (*line).to_owned())).collect()
}

#[tokio::test]
async fn what_is_added_comes_when_its_line_ends_and_new_files_are_found() {
    for watch in [Watch::Auto, Watch::Poll] {
        let folder = Folder::new();
        folder.write("a.log", "a1\na2 is no");
        let mut following = Following::open(folder.settings("*.log", watch), Resume::default()).await;
        assert_eq!(following.lines(1).await, lines(&[("a.log", "a1")]));
        folder.append("a.log", "t whole yet");
        folder.append("b.log", "b1\n");
        folder.append("other", "not meant\n");
        assert_eq!(following.lines(1).await, lines(&[("b.log", "b1")]));
        folder.append("a.log", "\n");
        assert_eq!(following.lines(1).await, lines(&[("a.log", "a2 is not whole yet")]));
        assert_eq!(following.known(), 2);
    }
}

#[tokio::test]
async fn a_renamed_file_is_read_to_its_end_and_then_what_took_its_place() {
    for watch in [Watch::Auto, Watch::Poll] {
        let folder = Folder::new();
        folder.write("a.log", "1\n");
        let mut following = Following::open(folder.settings("a.log", watch), Resume::default()).await;
        assert_eq!(following.lines(1).await, lines(&[("a.log", "1")]));
        let partition = following.resume.positions.keys().next().unwrap().clone();
        for round in 0..5 {
            folder.append("a.log", format!("{round} old\n"));
            if round > 0 {
                folder.rename("a.log.1", "a.log.2");
            }
            folder.rename("a.log", "a.log.1");
            folder.append("a.log.1", format!("{round} late\n"));
            folder.append("a.log", format!("{round} new\n"));
            let came = following.lines(3).await;
            let texts: Vec<String> = came.into_iter().map(|(_, line)| line).collect();
            // With a look now and then, the new file may be seen before the last line of the old one.
            let mut sorted = texts.clone();
            sorted.sort();
            let mut expected = ["late", "new", "old"].map(|what| format!("{round} {what}"));
            expected.sort();
            assert_eq!(sorted, expected);
            assert!(
                texts.iter().position(|text| text.ends_with("old"))
                    < texts.iter().position(|text| text.ends_with("new"))
            );
        }
        assert!(following.resume.positions.contains_key(&partition) || following.finished.contains(&partition));
    }
}

#[tokio::test]
async fn a_file_that_comes_and_goes_between_two_looks_is_read() {
    let folder = Folder::new();
    let mut following = folder.follow("a.log").await;
    for round in 0..20 {
        folder.append("a.log", format!("{round}\n"));
        folder.rename("a.log", "half way");
        folder.rename("half way", &format!("a.log.{round}"));
    }
    let mut came: Vec<usize> = following.lines(20).await.into_iter().map(|(_, line)| line.parse().unwrap()).collect();
    came.sort_unstable();
    assert_eq!(came, (0..20).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_file_that_is_cut_off_is_another_one_however_long_it_is_by_then() {
    for watch in [Watch::Auto, Watch::Poll] {
        let folder = Folder::new();
        folder.write("a.log", "first\nsecond\nhal");
        let mut following = Following::open(folder.settings("a.log", watch), Resume::default()).await;
        assert_eq!(following.lines(2).await.len(), 2);
        for text in ["cut\n", "longer than it was before\n", "of another content, but longer than it was before\n"] {
            let file = OpenOptions::new().write(true).truncate(true).open(folder.path("a.log")).unwrap();
            drop(file);
            folder.append("a.log", text);
            assert_eq!(following.lines(1).await[0].1, text.trim_end());
        }
        following.until(|following| following.finished.len() == 3).await;
        assert_eq!((following.known(), following.resume.positions.len()), (1, 1));
    }
}

#[tokio::test]
async fn what_was_not_read_before_a_file_was_cut_off_is_read_in_its_copy() {
    for watch in [Watch::Auto, Watch::Poll] {
        let folder = Folder::new();
        let line = |number: usize| format!("{number:06} {}\n", "x".repeat(90));
        folder.write("a.log", (0..100_000).map(line).collect::<String>());
        let mut following = Following::open(folder.settings("a.log*", watch), Resume::default()).await;
        following.step().await;
        assert!(following.lines.len() < 50_000, "nobody takes more than a few blocks");
        std::fs::copy(folder.path("a.log"), folder.path("a.log.1")).unwrap();
        std::fs::write(folder.path("a.log"), "new\n").unwrap();
        let came = following.lines(100_001).await;
        let came: BTreeSet<&str> = came.iter().map(|(_, line)| line.as_str()).collect();
        assert_eq!(came.len(), 100_001, "a line came twice");
        assert_eq!((following.known(), following.resume.positions.len()), (2, 2));
    }
}

#[tokio::test]
async fn a_deleted_file_is_read_to_its_end_and_forgotten() {
    let folder = Folder::new();
    folder.write("a.log", "1\n");
    folder.write("b.log", "2\n");
    let mut following = folder.follow("*.log").await;
    following.lines(2).await;
    let mut writer = OpenOptions::new().append(true).open(folder.path("a.log")).unwrap();
    std::fs::remove_file(folder.path("a.log")).unwrap();
    writer.write_all(b"3\nits last line has no end").unwrap();
    assert_eq!(following.lines(2).await, lines(&[("a.log", "3"), ("a.log", "its last line has no end")]));
    following.until(|following| following.finished.len() == 1).await;
    following.resume.memo = following.source.memo();
    assert_eq!((following.known(), following.resume.positions.len()), (1, 1));
}

#[tokio::test]
async fn what_happened_in_between_is_found_by_the_next_run() {
    let folder = Folder::new();
    folder.write("a.log", "1\n");
    let mut following = folder.follow("a.log").await;
    following.lines(1).await;
    let resume = following.resume.clone();
    drop(following);
    folder.append("a.log", "2\n");
    folder.rename("a.log", "a.log.1");
    folder.write("a.log", "3\n");
    let mut following = Following::open(folder.settings("a.log", Watch::Auto), resume).await;
    let came: Vec<String> = following.lines(2).await.into_iter().map(|(_, line)| line).collect();
    assert_eq!(came, ["2", "3"]);
    assert_eq!(following.resume.positions.len(), 2);
}

#[tokio::test]
async fn a_file_that_was_empty_when_it_was_last_seen_is_known_under_another_name() {
    let folder = Folder::new();
    folder.write("a.log", "");
    let following = folder.follow("a.log").await;
    let resume = Resume { memo: following.source.memo(), ..following.resume.clone() };
    drop(following);
    folder.append("a.log", "1\n");
    folder.rename("a.log", "a.log.1");
    folder.write("a.log", "2\n");
    let mut following = Following::open(folder.settings("a.log", Watch::Auto), resume).await;
    let came: Vec<String> = following.lines(2).await.into_iter().map(|(_, line)| line).collect();
    assert_eq!(came, ["1", "2"]);
}

#[tokio::test]
async fn files_that_change_places_do_not_wait_for_each_other() {
    let folder = Folder::new();
    folder.write("a.log", "a0\n");
    folder.write("b.log", "b0\n");
    let mut following = folder.follow("*.log").await;
    following.lines(2).await;
    for round in 1..20 {
        folder.append("a.log", format!("a{round}\n"));
        folder.append("b.log", format!("b{round}\n"));
        folder.rename("a.log", "between");
        folder.rename("b.log", "a.log");
        folder.rename("between", "b.log");
        following.lines(2).await;
    }
    assert_eq!(following.resume.positions.len(), 2);
}

#[tokio::test]
async fn a_copy_that_is_seen_before_it_is_whole_is_no_other_file() {
    let folder = Folder::new();
    let lines: String = (0..200).map(|number| format!("{number}\n")).collect();
    folder.write("a.log", &lines);
    let mut following = folder.follow("a.log*").await;
    following.lines(200).await;
    for piece in [0..0, 0..5, 5..lines.len()] {
        folder.append("a.log.1", &lines[piece]);
        // What was heard before this comes is dealt with.
        folder.append("a.log", "more\n");
        following.lines(1).await;
    }
    folder.append("a.log.1", "more\n".repeat(3));
    std::fs::write(folder.path("a.log"), "new\n").unwrap();
    let came: Vec<String> = following.lines(1).await.into_iter().map(|(_, line)| line).collect();
    assert_eq!(came, ["new"]);
    assert_eq!(following.resume.positions.len(), 2);
}

#[tokio::test]
async fn an_event_of_several_lines_ends_when_nothing_comes_for_long() {
    let folder = Folder::new();
    folder.write("a.log", "1\n one\n");
    folder.write("b.log", "2\n half");
    let start = framing::Pattern::new(r"^\d").unwrap();
    let timeout = Some(Duration::from_millis(50));
    let framing =
        framing::Settings { framing: framing::Framing::Multiline { start, timeout }, ..framing::Settings::default() };
    let settings = folder.settings("*.log", Watch::Auto);
    let mut following = Following::framed(settings, framing, Resume::default()).await;
    assert_eq!(following.lines(1).await, lines(&[("a.log", "1\n one")]));
    folder.append("b.log", " of it\n");
    assert_eq!(following.lines(1).await, lines(&[("b.log", "2\n half of it")]));
    folder.append("a.log", "3\n");
    assert_eq!(following.lines(1).await, lines(&[("a.log", "3")]));
}

#[tokio::test]
async fn a_file_that_comes_later_begins_at_its_beginning_and_one_that_was_there_at_its_end() {
    let folder = Folder::new();
    folder.write("a.log", "old\n");
    let settings = Settings { start: Start::End, ..folder.settings("*.log", Watch::Auto) };
    let mut following = Following::open(settings.clone(), Resume::default()).await;
    folder.append("b.log", "b1\n");
    assert_eq!(following.lines(1).await, lines(&[("b.log", "b1")]));
    folder.append("a.log", "a2\n");
    assert_eq!(following.lines(1).await, lines(&[("a.log", "a2")]));
}

#[tokio::test]
async fn a_huge_file_does_not_keep_others_waiting() {
    let folder = Folder::new();
    let line = format!("{}\n", "x".repeat(99));
    folder.write("a.log", line.repeat(400_000));
    (0..50).for_each(|number| folder.write(&format!("b{number}.log"), format!("b{number}\n")));
    let mut following = folder.follow("*.log").await;
    let (mut small, mut large) = (0, 0);
    while small < 50 {
        following.step().await;
        for (name, _) in following.lines.drain(..) {
            if name == "a.log" { large += 1 } else { small += 1 }
        }
    }
    assert!(large < 200_000, "{large} lines of the huge file came first");
}

#[tokio::test]
async fn a_line_that_is_too_long_is_told_with_its_range_while_others_are_read_between() {
    let folder = Folder::new();
    folder.write("a.log", "x".repeat(150_000));
    folder.write("b.log", "b1\n");
    let mut following = folder.follow("*.log").await;
    assert_eq!(following.lines(1).await, lines(&[("b.log", "b1")]));
    folder.append("a.log", "y".repeat(150_000));
    folder.append("b.log", "b2\n");
    assert_eq!(following.lines(1).await, lines(&[("b.log", "b2")]));
    folder.append("a.log", "z\nshort\n");
    assert_eq!(following.lines(1).await, lines(&[("a.log", "short")]));
    assert_eq!(following.rejects, [(0, 300_001)]);
}

#[tokio::test]
async fn compressed_files_that_grow_are_followed() {
    let folder = Folder::new();
    let gzip = |text: &str| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    folder.write("a.gz", gzip("a1\nhal"));
    for number in 0..6 {
        folder.write(&format!("z{number}"), zstd::encode_all(format!("z{number}\n").as_bytes(), 1).unwrap());
    }
    let mut following = folder.follow("*").await;
    following.lines(7).await;
    for round in 0..3 {
        folder.append("a.gz", gzip(&format!("f {round}\nhal")));
        assert_eq!(following.lines(1).await, lines(&[("a.gz", &format!("half {round}"))]));
        for number in 0..6 {
            let packed = zstd::encode_all(format!("more {round}\n").as_bytes(), 1).unwrap();
            folder.append(&format!("z{number}"), packed);
        }
        let mut names: Vec<String> = following.lines(6).await.into_iter().map(|(name, _)| name).collect();
        names.sort();
        assert_eq!(names, (0..6).map(|number| format!("z{number}")).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn links_are_followed_to_where_they_lead() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path("real")).unwrap();
    folder.write("real/0", "1\n");
    std::os::unix::fs::symlink("real/0", folder.path("a.log")).unwrap();
    let mut following = folder.follow("*.log").await;
    assert_eq!(following.lines(1).await, lines(&[("a.log", "1")]));
    folder.append("real/0", "2\n");
    assert_eq!(following.lines(1).await, lines(&[("a.log", "2")]));
    folder.rename("real/0", "real/0.old");
    folder.append("real/0.old", "3\n");
    folder.append("real/0", "4\n");
    assert_eq!(following.lines(2).await, lines(&[("a.log", "3"), ("a.log", "4")]));
}

#[tokio::test]
async fn a_folder_that_comes_later_is_watched_then() {
    let folder = Folder::new();
    let mut following = folder.follow("*/later/*.log").await;
    std::fs::create_dir_all(folder.path("d/later")).unwrap();
    folder.write("d/later/a.log", "1\n");
    assert_eq!(following.lines(1).await, lines(&[("a.log", "1")]));
    folder.append("d/later/a.log", "2\n");
    assert_eq!(following.lines(1).await, lines(&[("a.log", "2")]));
}
