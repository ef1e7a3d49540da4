//! What runs over files see.

use super::*;
use std::fs;
use std::io::Write;
use std::path::Path;

use arrow_array::Array;

/// What a run saw.
#[derive(Default)]
struct Run {
    assigned: Vec<(Partition, u64)>,
    lines: Vec<String>,
    resume: Resume,
}

async fn run(folder: &Path, glob: &str, start: Start, resume: &Resume) -> Result<Run, SourceError> {
    let path = Globs::new(vec![format!("{}/{glob}", folder.display())]).unwrap();
    let files = Files::new(Settings { start, ..Settings::new(path) }, framing::Settings::default());
    assert!(files.replayable());
    let mut source = files.open(resume.clone()).await?;
    let mut run = Run { resume: resume.clone(), ..Run::default() };
    run.resume.memo = source.memo();
    loop {
        match source.next(Demand::Events).await? {
            Input::Assigned(partitions) => {
                run.resume.positions.extend(partitions.clone());
                run.assigned = partitions;
            }
            Input::Block(block) => {
                let payload = block.batch.payload();
                run.lines.extend((0..payload.len()).map(|row| String::from_utf8_lossy(payload.value(row)).into()));
                run.resume.positions.extend(block.ends);
            }
            Input::Revoked(_) | Input::Rewound(_) => panic!("files are not revoked"),
            Input::Finished(partitions) => run.resume.positions.retain(|partition, _| !partitions.contains(partition)),
            Input::Ended => break,
        }
    }
    source.acknowledge(&run.resume.positions).await?;
    Ok(run)
}

#[tokio::test]
async fn files_are_read_once_in_the_order_of_their_names_and_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("b"), "b1\nb2").unwrap();
    fs::write(folder.path().join("a"), "a1\n").unwrap();
    fs::hard_link(folder.path().join("a"), folder.path().join("c")).unwrap();
    let first = run(folder.path(), "*", Start::Beginning, &Resume::default()).await.unwrap();
    assert_eq!(first.lines, ["a1", "b1", "b2"]);
    assert_eq!(first.assigned.len(), 2);

    let nothing = run(folder.path(), "*", Start::Beginning, &first.resume).await.unwrap();
    assert!(nothing.lines.is_empty());
    assert_eq!(nothing.assigned.iter().map(|(_, position)| *position).collect::<Vec<_>>(), [3, 5]);

    fs::write(folder.path().join("a"), "a1\na2\n").unwrap();
    fs::rename(folder.path().join("b"), folder.path().join("0")).unwrap();
    let more = run(folder.path(), "*", Start::Beginning, &nothing.resume).await.unwrap();
    assert_eq!(more.lines, ["a2"]);
    assert!(more.assigned[0].0.as_str().contains("/b@"), "a renamed file keeps its name: {:?}", more.assigned);
}

#[tokio::test]
async fn only_what_is_added_is_read_where_that_was_asked_for_and_all_of_what_replaced_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a");
    fs::write(&file, "old\nhalf").unwrap();
    let first = run(folder.path(), "a", Start::End, &Resume::default()).await.unwrap();
    assert_eq!((first.lines.len(), first.assigned[0].1), (0, 8));
    fs::write(&file, "old\nhalf a line\nnew\n").unwrap();
    let more = run(folder.path(), "a", Start::End, &first.resume).await.unwrap();
    assert_eq!(more.lines, [" a line", "new"]);
    fs::write(&file, "cut\n").unwrap();
    let cut = run(folder.path(), "a", Start::End, &more.resume).await.unwrap();
    assert_eq!(cut.lines, ["cut"]);
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let error = run(folder.path(), "*.log", Start::Beginning, &Resume::default()).await.err().unwrap();
    assert!(error.message.contains("no file matches") && error.message.contains("*.log"), "{error}");
}

#[tokio::test]
async fn a_file_that_is_gone_before_its_turn_is_left_to_the_next_run() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings::new(Globs::new(vec![format!("{}/*", folder.path().display())]).unwrap());
    fs::write(folder.path().join("a"), "a\n").unwrap();
    fs::write(folder.path().join("b"), "b\n").unwrap();
    let found = look::look(&settings, Resume::default()).unwrap().found;
    fs::remove_file(folder.path().join("a")).unwrap();
    fs::write(folder.path().join("new"), "new\n").unwrap();
    fs::rename(folder.path().join("new"), folder.path().join("b")).unwrap();
    let mut reader =
        Reader::spawn("test", move |hand| read_all(&found, &settings, &framing::Settings::default(), hand)).unwrap();
    assert!(matches!(reader.next(Demand::Events).await, Ok(Input::Assigned(_))));
    assert!(matches!(reader.next(Demand::Events).await, Ok(Input::Ended)));
}

#[tokio::test]
async fn where_reading_began_is_kept_even_if_no_position_was() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a"), "old\n").unwrap();
    let mut first = run(folder.path(), "a", Start::End, &Resume::default()).await.unwrap();
    first.resume.positions.clear();
    fs::write(folder.path().join("a"), "old\nnew\n").unwrap();
    fs::write(folder.path().join("later"), "whole\n").unwrap();
    let more = run(folder.path(), "*", Start::End, &first.resume).await.unwrap();
    assert_eq!(more.lines, ["new", "whole"], "a file that came later is read from its beginning");
}

#[tokio::test]
async fn what_was_added_before_a_file_was_renamed_comes_first() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("a.log"), "1\n").unwrap();
    let first = run(folder.path(), "*.log", Start::Beginning, &Resume::default()).await.unwrap();
    fs::write(path("a.log"), "1\n2\n").unwrap();
    fs::rename(path("a.log"), path("a.log.1")).unwrap();
    fs::write(path("a.log"), "3\n").unwrap();
    let second = run(folder.path(), "*.log", Start::Beginning, &first.resume).await.unwrap();
    assert_eq!(second.lines, ["2", "3"]);
    assert_eq!(second.assigned[0].0, first.assigned[0].0);
    // It is forgotten, but not at once: it may have been moved.
    fs::remove_file(path("a.log.1")).unwrap();
    let third = run(folder.path(), "*.log", Start::Beginning, &second.resume).await.unwrap();
    assert_eq!((third.lines.len(), third.resume.positions.len()), (0, 2));
    let mut memo = third.resume.memo.clone();
    let gone = memo.as_array_mut().unwrap().iter_mut().find(|known| known["gone"].is_u64()).unwrap();
    gone["gone"] = 1.into();
    let resume = Resume { memo, ..third.resume };
    let fourth = run(folder.path(), "*.log", Start::Beginning, &resume).await.unwrap();
    assert_eq!((fourth.resume.positions.len(), fourth.resume.memo.as_array().unwrap().len()), (1, 1));
}

#[tokio::test]
async fn what_was_copied_before_a_file_was_cut_off_is_not_new() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("b.log"), "1\n").unwrap();
    let first = run(folder.path(), "*.log*", Start::Beginning, &Resume::default()).await.unwrap();
    fs::write(path("b.log"), "1\n2\n").unwrap();
    fs::copy(path("b.log"), path("b-1.log")).unwrap();
    fs::write(path("out"), "1\n2\n").unwrap();
    fs::write(path("b.log"), "3\n").unwrap();
    let second = run(folder.path(), "*.log*", Start::Beginning, &first.resume).await.unwrap();
    assert_eq!(second.lines, ["2", "3"]);
    assert_eq!(second.assigned[0], (first.assigned[0].0.clone(), 2));
    let third = run(folder.path(), "*.log*", Start::Beginning, &second.resume).await.unwrap();
    assert!(third.lines.is_empty());
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn compressed_files_are_gone_on_with_in_what_is_in_them() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, zipped) = (folder.path().join("a.zst"), folder.path().join("b"));
    fs::write(&whole, zstd::encode_all(&b"z1\nz2"[..], 1).unwrap()).unwrap();
    let first_member = gzip("g1\ng2\n");
    fs::write(&zipped, &first_member).unwrap();
    let first = run(folder.path(), "*", Start::Beginning, &Resume::default()).await.unwrap();
    assert_eq!(first.lines, ["z1", "z2", "g1", "g2"]);
    assert_eq!(first.resume.positions.values().copied().collect::<Vec<_>>(), [5, 6]);
    // Cut short in the middle of a line: that is left to the next run.
    let both = [first_member, gzip(&format!("g3\n{}\n", "x".repeat(1000)))].concat();
    fs::write(&zipped, &both[..both.len() - 12]).unwrap();
    let second = run(folder.path(), "*", Start::Beginning, &first.resume).await.unwrap();
    assert!(second.lines.is_empty() || second.lines == ["g3"], "{:?}", second.lines);
    fs::write(&zipped, &both).unwrap();
    let third = run(folder.path(), "*", Start::Beginning, &second.resume).await.unwrap();
    assert_eq!([second.lines, third.lines].concat(), ["g3".to_owned(), "x".repeat(1000)]);
}

#[tokio::test]
async fn a_damaged_file_keeps_no_other_from_being_read() {
    let folder = tempfile::tempdir().unwrap();
    let mut damaged = gzip(&(0..10_000).map(|line| format!("{line}\n")).collect::<String>());
    let half = damaged.len() / 2;
    damaged[half..half + 100].fill(0xff);
    fs::write(folder.path().join("a.gz"), &damaged).unwrap();
    fs::write(folder.path().join("b"), "b\n").unwrap();
    let path = Globs::new(vec![format!("{}/*", folder.path().display())]).unwrap();
    let files = Files::new(Settings::new(path), framing::Settings::default());
    let mut source = files.open(Resume::default()).await.unwrap();
    let mut lines = Vec::new();
    let error = loop {
        match source.next(Demand::Events).await {
            Ok(Input::Block(block)) => {
                let payload = block.batch.payload();
                lines.extend((0..payload.len()).map(|row| String::from_utf8_lossy(payload.value(row)).into_owned()));
            }
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(error.message.contains("a.gz can't be unpacked to the end; everything else was read"), "{error}");
    assert_eq!((lines.first().unwrap().as_str(), lines.last().unwrap().as_str()), ("0", "b"));
}
