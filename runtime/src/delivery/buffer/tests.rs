//! The log on a disk that fails, tears and forgets, against what it promises; and the whole buffer under paused time.

mod faulty;
mod full;
mod model;
mod whole;

use std::collections::BTreeMap;
use std::io::ErrorKind;

use super::log::Written;
use super::recover::{Found, recover};
use super::serve::records;
use super::*;
use crate::batch::{Batch, BatchBuilder, Event};
use faulty::Faulty;

/// Where a segment ends, in these tests.
const SEGMENT: u64 = 6_000;

/// Events with these positions.
fn batch(positions: std::ops::Range<u64>) -> Batch {
    let mut builder = BatchBuilder::new();
    for position in positions {
        let payload = format!("event {position}");
        let event = Event { payload: Some(payload.as_bytes()), position, ..Event::default() };
        builder.push(&Partition::from("a@1"), event);
    }
    builder.finish().unwrap()
}

fn again(position: u64) -> Again {
    Again { source: "in".into(), positions: Some(BTreeMap::from([(Partition::from("a@1"), position)])) }
}

fn opened(disk: &Faulty, again: &Again) -> (Log, Reader, Found) {
    let (log, found) = recover(Arc::new(disk.clone()), again, SEGMENT).unwrap();
    let reader = Reader::new(&log, found.position);
    (log, reader, found)
}

/// Makes events durable whose positions are their numbers.
fn append(log: &mut Log, events: u64) -> io::Result<()> {
    let end = log.end();
    let Some(written) = ahead(log, end..end + events)? else { panic!("nothing waits to be durable") };
    sync(log, &written)
}

/// Writes events whose positions are their numbers, or says that they have to wait.
fn ahead(log: &mut Log, events: std::ops::Range<u64>) -> io::Result<Option<Written>> {
    let first = events.start;
    log.append(&records(&[batch(events)], first).unwrap())
}

fn sync(log: &mut Log, written: &Written) -> io::Result<()> {
    let synced = written.sync();
    match synced {
        Ok(()) => log.made_durable(written),
        Err(_) => log.distrust(written),
    }
    synced
}

/// All that comes out, by position, and how many events are lost.
fn rest(reader: &mut Reader) -> (Vec<u64>, u64) {
    let (mut events, mut lost) = (Vec::new(), 0);
    loop {
        // Less than one record: many calls, of which none may take what is passed over for the end.
        let reads = reader.read(64).unwrap();
        if reads.is_empty() {
            return (events, lost);
        }
        for read in reads {
            lost += read.lost;
            for (row, position) in read.batch.origin().positions().iter().enumerate() {
                assert_eq!(read.batch.payload().value(row), format!("event {position}").as_bytes());
            }
            events.extend(read.batch.origin().positions());
        }
    }
}

#[test]
fn what_is_durable_comes_back_in_order() {
    let disk = Faulty::default();
    let (mut log, mut reader, _) = opened(&disk, &Again::default());
    for _ in 0..20 {
        append(&mut log, 3).unwrap();
    }
    assert!(disk.segments().len() > 2, "{:?}", disk.segments());
    assert_eq!(rest(&mut reader), ((0..60).collect(), 0));
    log.save(10).unwrap();
    disk.power_cut(0);
    let (_, mut reader, found) = opened(&disk, &Again::default());
    assert_eq!((found.events, found.lost), (50, 0));
    assert_eq!(rest(&mut reader), ((10..60).collect(), 0));
}

#[test]
fn what_is_passed_over_is_not_the_end() {
    let disk = Faulty::default();
    let (mut log, ..) = opened(&disk, &Again::default());
    for _ in 0..50 {
        append(&mut log, 2).unwrap();
    }
    assert_eq!(rest(&mut Reader::new(&log, 91)), ((91..100).collect(), 0));
}

#[test]
fn a_write_that_was_torn_anywhere_costs_nothing_before_it() {
    let disk = Faulty::default();
    let (mut log, _, _) = opened(&disk, &Again::default());
    append(&mut log, 2).unwrap();
    append(&mut log, 2).unwrap();
    let before = log.bytes() as usize;
    append(&mut log, 2).unwrap();
    let (whole, name) = (log.bytes() as usize, disk.segments()[0].clone());
    assert_eq!(disk.segments().len(), 1);
    for len in before..whole {
        let torn = disk.copy();
        torn.edit(&name, |bytes| bytes.truncate(len));
        let (mut log, mut reader, found) = opened(&torn, &Again::default());
        assert_eq!((found.events, found.lost, found.torn), (4, 0, (len - before) as u64), "{len}");
        append(&mut log, 1).unwrap();
        assert_eq!(rest(&mut reader), ((0..5).collect(), 0), "{len}");
    }
}

#[test]
fn a_damaged_record_is_left_out_and_counted_and_all_others_are_there() {
    let disk = Faulty::default();
    let (mut log, _, _) = opened(&disk, &Again::default());
    append(&mut log, 2).unwrap();
    let from = log.bytes() as usize;
    append(&mut log, 2).unwrap();
    let (to, name) = (log.bytes() as usize, disk.segments()[0].clone());
    append(&mut log, 2).unwrap();
    for byte in from..to {
        let damaged = disk.copy();
        damaged.edit(&name, |bytes| bytes[byte] ^= 0x10);
        let (_, mut reader, found) = opened(&damaged, &Again::default());
        assert_eq!((found.events, found.lost), (4, 2), "byte {byte}");
        // It is reported once, and known from then on.
        assert_eq!(rest(&mut reader), (vec![0, 1, 4, 5], 0), "byte {byte}");
        assert_eq!(opened(&damaged, &Again::default()).2.lost, 0);
    }
}

#[test]
fn damage_that_arises_while_the_log_is_open_is_counted() {
    let disk = Faulty::default();
    let (mut log, mut reader, _) = opened(&disk, &Again::default());
    for _ in 0..3 {
        append(&mut log, 1).unwrap();
    }
    let last = log.bytes() as usize - 1;
    disk.edit(&disk.segments()[0], |bytes| bytes[last] ^= 1);
    assert_eq!(rest(&mut reader), (vec![0, 1], 1));
}

#[test]
fn a_damaged_last_record_is_counted_where_it_is_known_to_have_been_durable() {
    let disk = Faulty::default();
    let (mut log, _, _) = opened(&disk, &Again::default());
    append(&mut log, 2).unwrap();
    append(&mut log, 3).unwrap();
    log.save(0).unwrap();
    let last = log.bytes() as usize - 1;
    disk.edit(&disk.segments()[0], |bytes| bytes[last] ^= 1);
    let (log, mut reader, found) = opened(&disk, &Again::default());
    assert_eq!((found.events, found.lost, log.end()), (2, 3, 5));
    assert_eq!(rest(&mut reader), (vec![0, 1], 0));
}

#[test]
fn a_segment_without_a_head_still_gives_its_records() {
    let disk = Faulty::default();
    let (mut log, _, _) = opened(&disk, &Again::default());
    append(&mut log, 2).unwrap();
    disk.edit(&disk.segments()[0], |bytes| bytes[3] ^= 1);
    let (_, mut reader, found) = opened(&disk, &Again::default());
    assert_eq!((found.events, found.lost), (2, 0));
    assert_eq!(rest(&mut reader), (vec![0, 1], 0));
}

#[test]
fn short_writes_are_gone_on_with() {
    let disk = Faulty::default();
    locked(&disk.faults).short = Some(7);
    let (mut log, mut reader, _) = opened(&disk, &Again::default());
    append(&mut log, 10).unwrap();
    assert_eq!(rest(&mut reader), ((0..10).collect(), 0));
}

#[test]
fn a_disk_without_room_keeps_what_it_has_and_takes_more_once_there_is_room() {
    for truncate in [false, true] {
        let disk = Faulty::default();
        let (mut log, mut reader, _) = opened(&disk, &Again::default());
        append(&mut log, 2).unwrap();
        *locked(&disk.faults) = faulty::Faults { space: Some(300), truncate, ..Default::default() };
        for _ in 0..3 {
            let error = append(&mut log, 2).unwrap_err();
            assert_eq!((error.kind(), log.end()), (ErrorKind::StorageFull, 2));
        }
        assert_eq!(rest(&mut reader), (vec![0, 1], 0));
        disk.heal();
        append(&mut log, 2).unwrap();
        assert_eq!(rest(&mut reader), (vec![2, 3], 0));
        disk.power_cut(0);
        assert_eq!(rest(&mut opened(&disk, &Again::default()).1), ((0..4).collect(), 0), "{truncate}");
    }
}

#[test]
fn a_disk_that_fails_to_write_costs_nothing() {
    let disk = Faulty::default();
    let (mut log, mut reader, _) = opened(&disk, &Again::default());
    locked(&disk.faults).write = Some(ErrorKind::Other);
    assert!(append(&mut log, 2).is_err() && append(&mut log, 2).is_err());
    disk.heal();
    append(&mut log, 2).unwrap();
    assert_eq!(rest(&mut reader), (vec![0, 1], 0));
}

#[test]
fn after_a_failed_sync_another_file_takes_the_same_events() {
    for truncate in [false, true] {
        let disk = Faulty::default();
        let (mut log, mut reader, _) = opened(&disk, &Again::default());
        append(&mut log, 2).unwrap();
        *locked(&disk.faults) = faulty::Faults { syncs: 1, truncate, ..Default::default() };
        assert!(append(&mut log, 2).is_err());
        assert_eq!(disk.segments().len(), 1);
        append(&mut log, 2).unwrap();
        assert_eq!(disk.segments().len(), 2);
        assert_eq!(rest(&mut reader), ((0..4).collect(), 0));
        // A kill leaves what the system still has of the file that is not trusted.
        let (_, mut reader, found) = opened(&disk, &Again::default());
        assert_eq!((found.events, found.lost), (4, 0));
        assert_eq!(rest(&mut reader), ((0..4).collect(), 0), "{truncate}");
    }
}

#[test]
fn what_is_written_ahead_is_there_once_it_is_durable_too() {
    let disk = Faulty::default();
    let (mut log, mut reader, _) = opened(&disk, &Again::default());
    let first = ahead(&mut log, 0..3).unwrap().unwrap();
    let second = ahead(&mut log, 3..5).unwrap().unwrap();
    sync(&mut log, &first).unwrap();
    assert_eq!((log.end(), rest(&mut reader)), (3, ((0..3).collect(), 0)));
    // All that is durable is delivered: what is not may not go with it.
    log.reclaim(3, true);
    sync(&mut log, &second).unwrap();
    assert_eq!((log.end(), rest(&mut reader)), (5, ((3..5).collect(), 0)));
    disk.power_cut(0);
    assert_eq!(rest(&mut opened(&disk, &Again::default()).1), ((0..5).collect(), 0));
    log.reclaim(5, true);
    assert!(disk.segments().is_empty());
}

#[test]
fn a_segment_begins_when_all_before_it_is_durable() {
    let disk = Faulty::default();
    let (mut log, mut reader, _) = opened(&disk, &Again::default());
    let (mut written, mut end) = (Vec::new(), 0);
    while let Some(more) = ahead(&mut log, end..end + 3).unwrap() {
        written.push(more);
        end += 3;
    }
    assert!(written.len() > 1 && disk.segments().len() == 1);
    for written in &written {
        assert!(ahead(&mut log, end..end + 3).unwrap().is_none());
        sync(&mut log, written).unwrap();
    }
    append(&mut log, 3).unwrap();
    assert_eq!(disk.segments().len(), 2);
    assert_eq!(rest(&mut reader), ((0..end + 3).collect(), 0));
}

#[test]
fn a_failed_sync_takes_back_what_was_written_ahead() {
    // Whatever of it the disk may still have, in whatever order it wrote that.
    for (truncate, damaged) in [(false, false), (true, false), (true, true)] {
        let disk = Faulty::default();
        let (mut log, mut reader, _) = opened(&disk, &Again::default());
        append(&mut log, 2).unwrap();
        let from = log.bytes() as usize;
        let first = ahead(&mut log, 2..4).unwrap().unwrap();
        ahead(&mut log, 4..7).unwrap().unwrap();
        *locked(&disk.faults) = faulty::Faults { syncs: 1, truncate, ..Default::default() };
        sync(&mut log, &first).unwrap_err();
        disk.heal();
        append(&mut log, 5).unwrap();
        assert_eq!(rest(&mut reader), ((0..7).collect(), 0));
        if damaged {
            disk.edit(&disk.segments()[0], |bytes| bytes[from + 50] ^= 1);
        }
        let (_, mut reader, found) = opened(&disk, &Again::default());
        assert_eq!((found.events, found.lost), (7, 0), "{truncate} {damaged}");
        assert_eq!(rest(&mut reader), ((0..7).collect(), 0));
    }
}

#[test]
fn what_the_source_gives_again_is_left_out_for_good() {
    let disk = Faulty::default();
    let (mut log, _, _) = opened(&disk, &again(0));
    for _ in 0..5 {
        append(&mut log, 4).unwrap();
    }
    let (log, mut reader, found) = opened(&disk, &again(10));
    assert_eq!((found.events, found.discarded), (10, 10));
    assert_eq!(rest(&mut reader), ((0..10).collect(), 0));
    drop(log);
    // The source has come further meanwhile, and the same events are there a second time.
    let (mut log, _, _) = opened(&disk, &again(10));
    let end = log.end();
    assert_eq!(end, 20);
    let written = log.append(&records(&[batch(10..20)], end).unwrap()).unwrap().unwrap();
    sync(&mut log, &written).unwrap();
    let (_, mut reader, found) = opened(&disk, &again(20));
    assert_eq!((found.events, found.discarded), (20, 0));
    assert_eq!(rest(&mut reader), ((0..20).collect(), 0));
}

#[test]
fn what_has_come_to_its_end_is_kept_and_what_comes_again_is_not() {
    for (positions, kept) in [(Some(BTreeMap::new()), 4), (None, 0)] {
        let disk = Faulty::default();
        let (mut log, _, _) = opened(&disk, &again(0));
        append(&mut log, 4).unwrap();
        let again = Again { source: "in".into(), positions };
        let (_, mut reader, found) = opened(&disk, &again);
        assert_eq!((found.events, found.discarded), (kept, 4 - kept));
        assert_eq!(rest(&mut reader).0.len() as u64, kept);
    }
}

#[test]
fn what_another_source_gave_or_none_can_give_again_is_kept() {
    for (wrote, reads) in [("", "in"), ("", ""), ("other", "in"), ("in", "")] {
        let disk = Faulty::default();
        let named = |name: &str| Again { source: name.into(), ..Again::default() };
        let (mut log, _, _) = opened(&disk, &named(wrote));
        append(&mut log, 4).unwrap();
        let (_, mut reader, found) = opened(&disk, &named(reads));
        assert_eq!((found.events, found.discarded), (4, 0), "{wrote} {reads}");
        assert_eq!(rest(&mut reader), ((0..4).collect(), 0));
    }
}

#[test]
fn what_is_delivered_is_removed_and_numbers_go_on() {
    let disk = Faulty::default();
    let (mut log, _, _) = opened(&disk, &Again::default());
    for _ in 0..20 {
        append(&mut log, 3).unwrap();
    }
    let all = disk.segments().len();
    log.reclaim(30, false);
    assert!((1..all).contains(&disk.segments().len()));
    // Nobody has saved the position before.
    log.reclaim(60, true);
    assert_eq!((disk.segments().len(), log.bytes()), (0, 0));
    assert_eq!(opened(&disk, &Again::default()).0.end(), 60);
}

#[test]
fn segments_that_were_removed_say_where_to_go_on_if_nothing_else_does() {
    let disk = Faulty::default();
    let (mut log, _, _) = opened(&disk, &Again::default());
    for _ in 0..20 {
        append(&mut log, 3).unwrap();
    }
    log.reclaim(30, false);
    let (_, mut reader, found) = opened(&disk, &Again::default());
    assert!(found.position > 0 && found.position <= 30 && found.lost == 0, "{found:?}");
    assert_eq!(rest(&mut reader), ((found.position..60).collect(), 0));
}
