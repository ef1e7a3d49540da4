//! The whole buffer: what goes in at one end of a queue, and what comes out at the other.

use super::*;
use crate::delivery::queue::Queue;
use crate::envelope::Block;

pub(super) struct Whole {
    queue: Queue,
    pub(super) buffer: Buffer,
    pub(super) metrics: Arc<SinkMetrics>,
    path: Path,
    ledger: Ledger,
    stop: watch::Sender<bool>,
    give_up: watch::Sender<bool>,
    pub(super) next: u64,
}

impl Whole {
    fn new(disk: &Faulty, settings: BufferSettings) -> Whole {
        Whole::over(Arc::new(disk.clone()), settings)
    }

    pub(super) fn over(disk: Arc<dyn Disk>, settings: BufferSettings) -> Whole {
        let metrics = Arc::new(SinkMetrics::default());
        let name = PathName { pipeline: "p".into(), sink: "s".into() };
        let (stop, give_up) = (watch::Sender::new(false), watch::Sender::new(false));
        let parts = BufferParts {
            path: name.clone(),
            settings: &settings,
            again: Again::default(),
            metrics: metrics.clone(),
            position_interval: Duration::from_secs(1),
            stop: stop.subscribe(),
            give_up: give_up.subscribe(),
        };
        let buffer = Buffer::on(disk, parts, "memory").unwrap();
        let mut ledger = Ledger::new();
        let path = ledger.path(name, BTreeMap::new(), metrics.clone());
        let queue = Queue::new(&settings, Some(buffer.clone()), false);
        Whole { queue, buffer, metrics, path, ledger, stop, give_up, next: 0 }
    }

    pub(super) async fn push(&mut self, events: u64) {
        let (partition, end) = (Partition::from("a@1"), self.next + events);
        let block = Block { batch: batch(self.next..end), ends: vec![(partition, end)], rejects: None };
        self.next = end;
        let rows = crate::batch::RowSet::all(block.batch.len());
        let envelope = self.path.take(&block, &rows).unwrap().unwrap();
        let room = self.queue.room(envelope.batch().bytes()).await;
        self.queue.push(envelope, room);
    }

    /// Whether the source may forget everything that was pushed.
    pub(super) fn is_final(&self) -> bool {
        self.ledger.acknowledged().values().all(|position| *position == self.next)
    }

    /// Returns once something holds.
    async fn until(&self, holds: impl Fn(&Whole) -> bool) {
        while !holds(self) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    pub(super) async fn pop(&self) -> Vec<u64> {
        let (_, envelope) = self.queue.pop().await.unwrap();
        let events = envelope.batch().origin().positions().to_vec();
        envelope.settle(Final::Written);
        events
    }
}

pub(super) fn on_disk(max_bytes: u64) -> BufferSettings {
    BufferSettings { kind: BufferKind::Disk, max_bytes: Some(max_bytes), ..BufferSettings::default() }
}

/// Runs a test beside the buffer's own work.
pub(super) async fn beside(whole: &mut Whole, test: impl AsyncFnOnce(&mut Whole)) {
    let (buffer, queue) = (whole.buffer.clone(), whole.queue.clone());
    tokio::select! {
        () = buffer.serve(&queue) => {}
        () = test(whole) => {}
    }
    buffer.finish().await;
}

#[tokio::test(start_paused = true)]
async fn events_are_final_for_the_source_once_they_are_durable() {
    let disk = Faulty::default();
    let mut whole = Whole::new(&disk, on_disk(1 << 20));
    beside(&mut whole, async |whole| {
        whole.push(10).await;
        assert!(!whole.is_final());
        let envelope = whole.queue.pop().await.unwrap().1;
        assert!(whole.is_final() && envelope.is_buffered());
        assert_eq!((whole.metrics.buffered.get(), whole.metrics.in_buffer()), (10, 10));
        envelope.settle(Final::Written);
        assert_eq!((whole.metrics.in_buffer(), whole.metrics.waiting()), (0, 0));
    })
    .await;
    assert!(disk.segments().is_empty());
}

#[tokio::test(start_paused = true)]
async fn syncs_that_fail_lose_nothing_and_give_nothing_twice() {
    for truncate in [false, true] {
        let disk = Faulty::default();
        let mut whole = Whole::new(&disk, on_disk(1 << 20));
        beside(&mut whole, async |whole| {
            *locked(&disk.faults) = faulty::Faults { syncs: 3, truncate, ..Default::default() };
            for _ in 0..40 {
                whole.push(50).await;
            }
            let mut events = Vec::new();
            while (events.len() as u64) < whole.next {
                events.extend(whole.pop().await);
            }
            assert_eq!(events, Vec::from_iter(0..whole.next));
            assert!(whole.is_final() && whole.buffer.trouble().is_none());
            assert_eq!((locked(&disk.faults).syncs, whole.metrics.buffered.get()), (0, whole.next));
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_given_up_stays_for_the_next_run_and_is_not_abandoned() {
    let disk = Faulty::default();
    let mut whole = Whole::new(&disk, on_disk(1 << 20));
    beside(&mut whole, async |whole| {
        whole.push(5).await;
        assert_eq!(whole.pop().await, [0, 1, 2, 3, 4]);
        whole.push(5).await;
        drop(whole.queue.pop().await);
    })
    .await;
    assert_eq!((whole.metrics.abandoned.get(), whole.metrics.in_buffer()), (0, 5));
    let mut next = Whole::new(&disk, on_disk(1 << 20));
    assert_eq!(next.metrics.recovered.get(), 5);
    assert!(next.buffer.bytes() > 0, "what was found counts towards the bound");
    beside(&mut next, async |next| assert_eq!(next.pop().await, [5, 6, 7, 8, 9])).await;
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_is_taken_away_waits_for_what_is_being_written_and_gives_up_the_rest() {
    let disk = Faulty::default();
    let mut whole = Whole::new(&disk, on_disk(1 << 20));
    beside(&mut whole, async |whole| {
        whole.push(5).await;
        let durable = whole.queue.pop().await.unwrap().1;
        locked(&disk.faults).write = Some(ErrorKind::Other);
        // One group that can't be written, and two that are put together meanwhile.
        for _ in 0..3 {
            whole.push(5).await;
            whole.until(|whole| locked(&whole.buffer.shared.intake).pending.is_empty()).await;
        }
        whole.until(|whole| whole.buffer.trouble().is_some()).await;
        whole.push(7).await;
        let partitions = [Partition::from("a@1")];
        whole.ledger.revoke(&partitions[0]);
        whole.queue.give_up_revoked().unwrap();
        let landed = tokio::time::timeout(Duration::from_secs(60), whole.ledger.landed(&partitions));
        assert!(landed.await.is_err(), "it was let go while its events were being written");
        disk.heal();
        whole.ledger.landed(&partitions).await;
        assert_eq!(whole.ledger.acknowledged()[&partitions[0]], 20);
        whole.ledger.end(&partitions[0]);
        // What is durable is this buffer's to deliver, whoever has the partition now.
        durable.settle(Final::Written);
        let mut delivered = Vec::new();
        while delivered.len() < 15 {
            delivered.extend(whole.pop().await);
        }
        assert_eq!(delivered, Vec::from_iter(5..20));
        whole.until(|whole| whole.metrics.revoked.get() == 7).await;
        assert_eq!(locked(&whole.buffer.shared.intake).pending_bytes, 0);
    })
    .await;
    assert_eq!((whole.metrics.buffered.get(), whole.metrics.written.get(), whole.metrics.abandoned.get()), (20, 20, 0));
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_stops_the_intake_alone_and_is_gone_on_from() {
    let disk = Faulty::default();
    let mut whole = Whole::new(&disk, on_disk(1 << 20));
    beside(&mut whole, async |whole| {
        whole.push(5).await;
        let first = whole.queue.pop().await.unwrap().1;
        locked(&disk.faults).space = Some(100);
        whole.push(5).await;
        while whole.buffer.trouble().is_none() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(!whole.is_final());
        first.settle(Final::Written);
        disk.heal();
        assert_eq!(whole.pop().await, [5, 6, 7, 8, 9]);
        assert!(whole.is_final() && whole.buffer.trouble().is_none());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_files_stay_within_the_bound_and_the_source_waits() {
    const BOUND: u64 = 100 << 10;
    let disk = Faulty::default();
    let mut whole = Whole::new(&disk, on_disk(BOUND));
    beside(&mut whole, async |whole| {
        let (buffer, queue) = (whole.buffer.clone(), whole.queue.clone());
        let pushing = async {
            for _ in 0..200 {
                whole.push(50).await;
                assert!(buffer.bytes() <= BOUND, "{}", buffer.bytes());
            }
        };
        let popping = async {
            let mut next = 0;
            while next < 200 * 50 {
                let (_, envelope) = queue.pop().await.unwrap();
                assert_eq!(envelope.batch().origin().positions()[0], next);
                next += envelope.len() as u64;
                tokio::time::sleep(Duration::from_millis(1)).await;
                envelope.settle(Final::Written);
            }
        };
        tokio::join!(pushing, popping);
    })
    .await;
    assert_eq!((whole.metrics.written.get(), whole.metrics.in_buffer()), (10_000, 0));
}

#[tokio::test(start_paused = true)]
async fn the_newest_are_dropped_where_that_is_asked_for() {
    let settings = BufferSettings { when_full: WhenFull::DropNewest, ..on_disk(30 << 10) };
    let mut whole = Whole::new(&Faulty::default(), settings);
    beside(&mut whole, async |whole| {
        for _ in 0..20 {
            whole.push(100).await;
        }
        let dropped = whole.metrics.dropped.get();
        assert!((100..2_000).contains(&dropped), "{dropped}");
        assert_eq!(whole.pop().await[0], 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_event_beyond_the_bound_passes_alone() {
    let mut whole = Whole::new(&Faulty::default(), on_disk(500));
    beside(&mut whole, async |whole| {
        for events in 0..3 {
            whole.push(100).await;
            assert_eq!(whole.pop().await[0], events * 100);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn at_a_stop_what_is_durable_stays_and_what_is_not_is_handed_back() {
    let disk = Faulty::default();
    let mut whole = Whole::new(&disk, on_disk(1 << 20));
    beside(&mut whole, async |whole| {
        whole.push(5).await;
        drop(whole.queue.pop().await);
        locked(&disk.faults).write = Some(ErrorKind::Other);
        whole.push(3).await;
        whole.stop.send_replace(true);
        whole.queue.close();
        whole.give_up.send_replace(true);
        let (_, rest) = whole.queue.pop().await.unwrap();
        assert_eq!((rest.len(), rest.is_buffered()), (3, false));
        rest.settle(Final::DeadLettered);
        assert!(whole.queue.pop().await.is_none());
    })
    .await;
    assert_eq!(whole.metrics.in_buffer(), 5);
}

#[tokio::test(start_paused = true)]
async fn what_is_left_comes_before_what_is_new_where_memory_is_asked_for() {
    let disk = Faulty::default();
    let mut whole = Whole::new(&disk, on_disk(1 << 20));
    beside(&mut whole, async |whole| {
        whole.push(5).await;
        drop(whole.queue.pop().await);
    })
    .await;
    let mut next = Whole::new(&disk, BufferSettings::default());
    next.next = 100;
    beside(&mut next, async |next| {
        next.push(1).await;
        next.queue.close();
        let all = [next.pop().await, next.pop().await];
        assert_eq!(all, [vec![0, 1, 2, 3, 4], vec![100]]);
        assert!(next.queue.pop().await.is_none());
    })
    .await;
    assert!(disk.segments().is_empty());
    assert_eq!(next.metrics.events.get(), 1);
}
