//! Several calls of one lane under way, in order.

use super::*;

/// Batches of two events, at most three of them under way, each for a second.
fn ahead(acts: impl IntoIterator<Item = (u64, Vec<Act>)>) -> Run {
    let mut run = run(acts).batch_size(2);
    run.script.contract.overlap = NonZeroUsize::new(3).unwrap();
    run.script.contract.ahead = NonZeroUsize::new(3).unwrap();
    run.script.takes = Duration::from_secs(1);
    run
}

#[tokio::test(start_paused = true)]
async fn as_many_are_under_way_as_the_sink_takes() {
    let ran = ahead([]).over(12).await;
    assert_eq!(ran.calls, [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9], [10, 11]]);
    assert_eq!((ran.most_in_flight, ran.took), (3, Duration::from_secs(2)));
    assert_eq!((ran.acknowledged, ran.opened), (12, 1));
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_does_not_say_when_its_turn_is_over_has_one() {
    let mut run = ahead([]);
    run.script.keeps_turn = true;
    let ran = run.over(6).await;
    assert_eq!((ran.most_in_flight, ran.took), (1, Duration::from_secs(3)));
}

#[tokio::test(start_paused = true)]
async fn order_is_kept_through_a_failure_with_others_behind_it() {
    let fails = || vec![Act::BatchTransient];
    let ran = ahead([(0, fails()), (2, fails()), (4, fails())]).over(10).await;
    assert_eq!(ran.calls, [[0, 1], [2, 3], [4, 5], [0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]);
    assert_eq!((ran.acknowledged, ran.dead.len()), (10, 0));
}

#[tokio::test(start_paused = true)]
async fn what_is_left_out_behind_a_failure_is_not_charged() {
    let mut run = ahead([(0, vec![Act::BatchTransient; 2]), (2, vec![Act::BatchTransient; 2]), (4, vec![Act::Reject])]);
    run.settings.retry.attempts = std::num::NonZeroU32::new(2);
    let ran = run.over(8).await;
    let given_up = [dead(&[4], "bad", 1), dead(&[0, 1], "down", 2)].concat();
    assert_eq!((ran.dead, ran.acknowledged, ran.metrics.written.get()), (given_up, 8, 5));
}

#[tokio::test(start_paused = true)]
async fn one_probe_heals_all_that_were_under_way() {
    let halted = || vec![Act::BatchHalted];
    let ran = ahead([(0, halted()), (2, halted()), (4, halted())]).over(8).await;
    assert_eq!((ran.acknowledged, ran.dead.len()), (8, 0));
    assert!(ran.took < Duration::from_secs(40), "{:?}", ran.took);
}

#[tokio::test(start_paused = true)]
async fn what_is_under_way_when_time_is_up_is_kept_where_it_can_not_be_read_again() {
    let mut run = ahead([(0, vec![Act::Hang]), (2, vec![Act::Hang])]);
    run.give_up = Some(Duration::from_secs(10));
    run.keep_unfinished = true;
    let ran = run.over(6).await;
    assert!(ran.ended.is_ok());
    assert_eq!((ran.acknowledged, ran.dead), (6, dead(&[0, 1, 2, 3], "stopped", 0)));
}
