//! Several writes in flight, by key, by destination, by rate.

use std::collections::BTreeSet;

use crate::delivery::tests::*;
use crate::expr::Template;
use crate::units::rate::Rate;

/// The calls of a run with the key of event n being n modulo `keys`, in the order of their first delivery, by key.
fn by_key(calls: &[Vec<u64>], keys: u64) -> BTreeMap<u64, Vec<u64>> {
    let (mut seen, mut by_key) = (BTreeSet::new(), BTreeMap::<u64, Vec<u64>>::new());
    for event in calls.iter().flatten().filter(|event| seen.insert(**event)) {
        by_key.entry(event % keys).or_default().push(*event);
    }
    by_key
}

fn by_key_run(acts: impl IntoIterator<Item = (u64, Vec<Act>)>, lanes: usize, keys: u64) -> Run {
    let mut run = run(acts).concurrency(lanes, 1);
    run.settings.order = Order::Key;
    run.keys = Some(keys);
    run.script.takes = Duration::from_millis(2);
    run
}

#[tokio::test(start_paused = true)]
async fn events_with_the_same_key_keep_their_order_through_retries() {
    let acts = (0..5_000).filter(|event| event % 7 == 0).map(|event| (event, vec![Act::Transient; 2]));
    let mut run = by_key_run(acts, 8, 50).batch_size(100);
    run.block = 333;
    let ran = run.over(5_000).await;
    assert_eq!((ran.acknowledged, ran.metrics.written.get(), ran.dead.len()), (5_000, 5_000, 0));
    assert!(ran.most_in_flight > 4, "lanes work side by side: {}", ran.most_in_flight);
    for (key, events) in by_key(&ran.calls, 50) {
        assert!(events.is_sorted(), "key {key}: {events:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lane_waits_for_its_batch_to_fill_while_there_is_room() {
    let mut run = by_key_run([], 2, 40).batch_size(10);
    run.block = 5;
    let ran = run.over(400).await;
    let partly = ran.calls.iter().filter(|call| call.len() < 10).count();
    assert!(partly <= 2, "the last of each lane alone is not full: {:?}", ran.calls);
}

#[tokio::test(start_paused = true)]
async fn a_key_whose_events_fail_holds_back_its_own_lane_only() {
    let mut run = by_key_run([(0, vec![Act::BatchTransient; 9])], 4, 4).batch_size(10);
    run.settings.retry.initial = Duration::from_secs(600);
    run.settings.retry.max = Duration::from_secs(600);
    run.give_up = Some(Duration::from_secs(60));
    let ran = run.over(400).await;
    let held = ran.metrics.abandoned.get();
    assert!((100..400).contains(&held), "{held}");
    assert_eq!((ran.metrics.written.get() + held, ran.acknowledged), (400, 0));
}

#[tokio::test(start_paused = true)]
async fn without_keys_the_lanes_take_turns() {
    let mut run = by_key_run([], 4, 1).batch_size(10);
    (run.keys, run.block) = (None, 10);
    let ran = run.over(400).await;
    assert_eq!((ran.acknowledged, ran.most_in_flight, ran.took), (400, 4, Duration::from_millis(20)));
}

#[tokio::test(start_paused = true)]
async fn time_that_is_up_ends_every_lane() {
    let mut run = by_key_run((0..400).map(|event| (event, vec![Act::Hang; 9])), 4, 40).batch_size(10);
    run.give_up = Some(Duration::from_secs(5));
    run.keep_unfinished = true;
    let ran = run.over(400).await;
    assert_eq!((ran.took, ran.dead.len(), ran.acknowledged), (Duration::from_secs(5), 400, 400));
}

#[tokio::test(start_paused = true)]
async fn adaptive_concurrency_rises_while_it_costs_nothing() {
    let mut run = run([]).batch_size(1);
    run.settings.concurrency = Concurrency::Adaptive;
    run.script.takes = Duration::from_millis(10);
    let ran = run.over(4_000).await;
    assert_eq!((ran.acknowledged, ran.most_in_flight), (4_000, 64));
    assert!(ran.took < Duration::from_secs(3), "{:?}", ran.took);
}

#[tokio::test(start_paused = true)]
async fn a_batch_goes_to_one_destination_and_each_is_filled_exactly() {
    let mut run = run([]).batch_size(100);
    (run.keys, run.block) = (Some(3), 70);
    run.script.contract.destination = Some(Template::parse("t/{key}").unwrap());
    let ran = run.over(1_000).await;
    assert!(ran.calls.iter().all(|call| call.iter().all(|event| event % 3 == call[0] % 3)));
    let mut sizes: Vec<usize> = ran.calls.iter().map(Vec::len).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [33, 33, 34, 100, 100, 100, 100, 100, 100, 100, 100, 100]);
    assert_eq!(ran.acknowledged, 1_000);
    assert!(by_key(&ran.calls, 3).values().all(|events| events.is_sorted()));
}

#[tokio::test(start_paused = true)]
async fn one_destination_too_many_sends_the_oldest_on_its_way() {
    let mut run = run([]).batch_size(100);
    (run.keys, run.block) = (Some(50), 50);
    run.settings.max_groups = NonZeroUsize::new(10).unwrap();
    run.settings.batch_timeout = Duration::from_secs(3_600);
    run.script.contract.destination = Some(Template::parse("{key}").unwrap());
    let ran = run.over(100).await;
    assert_eq!((ran.acknowledged, ran.took), (100, Duration::ZERO));
    assert!(ran.calls.iter().all(|call| call.len() <= 2), "{:?}", ran.calls);
}

#[tokio::test(start_paused = true)]
async fn a_rate_is_not_exceeded() {
    let mut run = run([]).batch_size(10);
    run.settings.rate_limit = Some(Rate::parse("100/s").unwrap());
    let ran = run.over(1_000).await;
    assert_eq!((ran.acknowledged, ran.took), (1_000, Duration::from_millis(9_900)));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_for_its_rate_does_not_begin_once_the_gate_is_closed() {
    let mut run = run([(0, vec![Act::BatchHalted])]).batch_size(1).concurrency(2, 1);
    run.settings.rate_limit = Some(Rate::parse("1/s").unwrap());
    run.script.takes = Duration::from_millis(10);
    let ran = run.over(3).await;
    assert_eq!((ran.calls.len(), ran.acknowledged), (4, 3));
    assert_eq!(ran.took, Duration::from_millis(32_020), "one call before the probe, three from then on");
}

#[tokio::test(start_paused = true)]
async fn sinks_that_do_not_close_hold_the_end_up_for_one_timeout_together() {
    let mut run = run([]).batch_size(1).concurrency(8, 1);
    (run.script.clings, run.script.takes) = (true, Duration::from_secs(1));
    let ran = run.over(8).await;
    assert_eq!((ran.opened, ran.acknowledged, ran.took), (8, 8, Duration::from_secs(31)));
}
