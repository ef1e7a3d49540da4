//! Segments on a disk that works, and on one that does not.

use futures_util::FutureExt;
use serde_json::{Value, json};

use super::faults::{Fault, Faulty};
use super::*;
use crate::batch::{Batch, BatchBuilder, Event, Partition};
use crate::delivery::dead_letters::{Filter, Marks, Scan, Snapshot};
use crate::envelope::PathName;
use crate::sink::Failure;

fn batch(payloads: &[&[u8]]) -> Batch {
    let mut builder = BatchBuilder::new();
    for (position, payload) in (0..).zip(payloads) {
        let headers: &[(&[u8], &[u8])] = &[(b"a", b"1")];
        let event = Event { payload: Some(payload), key: None, timestamp: 5, headers, position };
        builder.push(&Partition::from("file@1"), event);
    }
    builder.finish().unwrap()
}

async fn put(segments: &Segments, payloads: &[&[u8]]) -> Result<(), Unkept> {
    let path = PathName { pipeline: "quakes".into(), sink: "alerts".into() };
    let failure = Failure::rejected("too-large", "more than 5 bytes");
    let batch = batch(payloads);
    let letter = DeadLetter { attempts: 3, ..DeadLetter::untried(&path, &batch, &failure) };
    segments.put(letter).await
}

fn faulty(directory: &Path, faults: &[Fault]) -> Segments {
    Segments::on(Faulty::new(faults.iter().copied()), directory.into(), 1 << 20, None)
}

fn texts(directory: &Path) -> Vec<String> {
    Segment::all(directory).unwrap().iter().map(|segment| fs::read_to_string(segment.path()).unwrap()).collect()
}

fn lines(directory: &Path) -> Vec<Vec<Value>> {
    let parse = |line: &str| serde_json::from_str(line).unwrap();
    texts(directory).iter().map(|text| text.lines().map(parse).collect()).collect()
}

/// What a reader finds.
fn payloads(directory: &Path) -> Vec<String> {
    let mut scan = Scan::new(&Snapshot::take(directory).unwrap(), Filter::default(), false);
    let mut payloads = Vec::new();
    loop {
        let found = scan.read().unwrap();
        if found.is_empty() {
            return payloads;
        }
        payloads.extend(found.into_iter().map(|found| String::from_utf8(found.letter.payload.unwrap().0).unwrap()));
    }
}

#[tokio::test]
async fn a_dead_letter_keeps_the_whole_event_and_its_story() {
    let directory = tempfile::tempdir().unwrap();
    let segments = Segments::new(directory.path().into(), 1 << 20).of(&"in".into());
    put(&segments, &[b"quake", b"\xff"]).await.unwrap();
    let mut lines = lines(directory.path()).remove(0);
    lines[0]["time"] = json!(0);
    assert_eq!(
        lines[0],
        json!({
            "pipeline": "quakes", "sink": "alerts", "source": "in", "kind": "rejected", "code": "too-large",
            "message": "more than 5 bytes", "attempts": 3, "first_attempt": null, "time": 0, "replays": 0,
            "partition": "file@1", "position": 0, "range": null, "timestamp": 5, "key": null,
            "headers": [["a", "1"]], "payload": "quake",
        })
    );
    assert_eq!(lines[1]["payload"], json!({ "base64": "/w==" }));
}

#[tokio::test]
async fn a_run_begins_its_own_segment() {
    let directory = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let segments = Segments::new(directory.path().into(), 1 << 20);
        put(&segments, &[b"one"]).await.unwrap();
        put(&segments, &[b"two"]).await.unwrap();
    }
    assert_eq!(lines(directory.path()).iter().map(Vec::len).collect::<Vec<_>>(), [2, 2]);
}

#[tokio::test]
async fn what_exceeds_the_bound_is_not_kept_until_there_is_room() {
    let directory = tempfile::tempdir().unwrap();
    let segments = Segments::new(directory.path().into(), 400);
    put(&segments, &[b"one"]).await.unwrap();
    assert!(matches!(put(&segments, &[b"two"]).await, Err(Unkept::Full { .. })));
    fs::remove_file(directory.path().join("00000001.ndjson")).unwrap();
    drop(fs::remove_file(directory.path().join("replay.lock")));
    put(&segments, &[b"two"]).await.unwrap();
}

#[tokio::test]
async fn what_was_sent_again_makes_room() {
    let directory = tempfile::tempdir().unwrap();
    put(&Segments::new(directory.path().into(), 400), &[b"one"]).await.unwrap();
    let full = Segments::new(directory.path().into(), 400);
    assert!(matches!(put(&full, &[b"two"]).await, Err(Unkept::Full { .. })));
    let len = texts(directory.path())[0].len() as u64;
    let lock = ReplayLock::take(directory.path()).unwrap();
    Marks::open(directory.path(), &lock).mark(&[(1, 0..len)]).unwrap();
    assert!(
        matches!(put(&full, &[b"two"]).await, Err(Unkept::Full { .. })),
        "while somebody replays nothing is removed"
    );
    drop(lock);
    put(&full, &[b"two"]).await.unwrap();
    assert_eq!(payloads(directory.path()), ["two"]);
}

#[tokio::test]
async fn more_than_the_bound_passes_alone() {
    let directory = tempfile::tempdir().unwrap();
    let segments = Segments::new(directory.path().into(), 100);
    put(&segments, &[b"one", b"two"]).await.unwrap();
    assert!(matches!(put(&segments, &[b"three"]).await, Err(Unkept::Full { .. })));
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let error = put(&Segments::new(file.join("dead"), 300), &[b"one"]).await.unwrap_err();
    assert!(error.to_string().contains("file/dead"), "{error}");
}

#[tokio::test]
async fn a_large_put_is_cut_into_segments_and_only_one_line_makes_a_larger_one() {
    let directory = tempfile::tempdir().unwrap();
    let segments = Segments::new(directory.path().into(), 1 << 30);
    let large = vec![b'x'; 6 << 20];
    let huge = vec![b'y'; 17 << 20];
    put(&segments, &[&large, &large, &large, &huge, b"small"]).await.unwrap();
    let sizes: Vec<usize> = texts(directory.path()).iter().map(|text| text.lines().count()).collect();
    assert_eq!(sizes, [2, 1, 1, 1]);
    let larger = texts(directory.path()).iter().filter(|text| text.len() > SEGMENT_BYTES).count();
    assert_eq!(larger, 1);
}

#[tokio::test]
async fn what_comes_together_is_synced_once() {
    let directory = tempfile::tempdir().unwrap();
    let medium = Faulty::new([]);
    let segments = Segments::on(medium.clone(), directory.path().into(), 1 << 20, None);
    put(&segments, &[b"first"]).await.unwrap();
    let before = medium.syncs();
    let one = |number: u64| {
        let segments = &segments;
        async move { put(segments, &[number.to_string().as_bytes()]).await }
    };
    let mut puts: Vec<_> = (0..20).map(|number| Box::pin(one(number))).collect();
    {
        let _held = locked(&segments.shared.current);
        assert!(puts.iter_mut().all(|put| put.now_or_never().is_none()));
    }
    for put in puts {
        put.await.unwrap();
    }
    assert_eq!((medium.syncs() - before, payloads(directory.path()).len()), (1, 21));
}

#[tokio::test]
async fn a_torn_line_is_passed_over_and_spoils_nothing() {
    for after in [1, 100, 250, 400] {
        let directory = tempfile::tempdir().unwrap();
        let segments = faulty(directory.path(), &[Fault::Short(after, ErrorKind::StorageFull)]);
        assert!(matches!(put(&segments, &[b"a", b"b"]).await, Err(Unkept::Full { .. })));
        put(&segments, &[b"a", b"b"]).await.unwrap();
        drop(segments);
        // It was never on its own; the first segment, of which nothing was acknowledged, is gone.
        assert_eq!(payloads(directory.path()), ["a", "b"], "{after}");
    }
    let directory = tempfile::tempdir().unwrap();
    let segments = Segments::new(directory.path().into(), 1 << 20);
    put(&segments, &[b"before"]).await.unwrap();
    drop(segments);
    let script = Faulty::new([]);
    let segments = Segments::on(script.clone(), directory.path().into(), 1 << 20, None);
    put(&segments, &[b"mine"]).await.unwrap();
    script.fail(Fault::Short(30, ErrorKind::StorageFull));
    assert!(matches!(put(&segments, &[b"torn"]).await, Err(Unkept::Full { .. })));
    put(&segments, &[b"torn"]).await.unwrap();
    drop(segments);
    assert!(!texts(directory.path())[1].ends_with('\n'), "the medium could not cut it off");
    assert_eq!(payloads(directory.path()), ["before", "mine", "torn"]);
}

#[tokio::test]
async fn a_disk_without_room_is_waited_for_wherever_it_shows() {
    let faults = [
        Fault::Create(libc::ENOSPC),
        Fault::Append(libc::ENOSPC),
        Fault::Sync(libc::ENOSPC),
        Fault::Sync(libc::EDQUOT),
    ];
    for fault in faults {
        let directory = tempfile::tempdir().unwrap();
        let segments = faulty(directory.path(), &[fault, fault]);
        for _ in 0..2 {
            let full = put(&segments, &[b"one"]).await.unwrap_err();
            assert!(matches!(full, Unkept::Full { .. }), "{fault:?}: {full}");
        }
        put(&segments, &[b"one"]).await.unwrap();
        assert_eq!(texts(directory.path()).len(), 1, "{fault:?}: attempts leave no files behind");
        assert_eq!(payloads(directory.path()), ["one"]);
    }
}

#[tokio::test]
async fn an_error_of_the_disk_is_told_and_nothing_counts_as_kept() {
    for fault in
        [Fault::Create(libc::EIO), Fault::Append(libc::EIO), Fault::Sync(libc::EIO), Fault::Append(libc::EROFS)]
    {
        let directory = tempfile::tempdir().unwrap();
        let segments = faulty(directory.path(), &[fault]);
        let error = put(&segments, &[b"one"]).await.unwrap_err();
        assert!(matches!(error, Unkept::Failed { .. }), "{fault:?}: {error}");
        assert!(error.to_string().contains(&*directory.path().to_string_lossy()), "{error}");
        assert!(payloads(directory.path()).is_empty(), "{fault:?}");
    }
}

#[tokio::test]
async fn after_a_failed_sync_a_segment_is_not_written_again() {
    let directory = tempfile::tempdir().unwrap();
    let medium = Faulty::new([]);
    let segments = Segments::on(medium.clone(), directory.path().into(), 1 << 20, None);
    put(&segments, &[b"one"]).await.unwrap();
    medium.fail(Fault::Sync(libc::ENOSPC));
    assert!(put(&segments, &[b"two"]).await.is_err());
    put(&segments, &[b"two"]).await.unwrap();
    assert_eq!(lines(directory.path()).iter().map(Vec::len).collect::<Vec<_>>(), [1, 1]);
}
