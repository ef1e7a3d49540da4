//! Components of the async world.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use sump::sink::{Connect, Failure, FailureKind, Outcome, Sink, WriteError};
use sump::wasm::{Limits, Settings, World};
use tokio::task::JoinSet;

use crate::guests::{CONCURRENT, batch, connect, context, lost, said, settings, write};

async fn opened(limits: Limits) -> Arc<dyn Sink> {
    let settings = Settings { limits, ..settings(json!({})) };
    connect(&CONCURRENT, &settings).open(0).await.unwrap()
}

fn patient() -> Limits {
    Limits { cpu: Duration::from_secs(600), ..Limits::default() }
}

#[tokio::test]
async fn writes_overlap() {
    assert_eq!(CONCURRENT.world(), World::AsyncSink);
    let connector = connect(&CONCURRENT, &settings(json!({})));
    assert_eq!((connector.contract().overlap.get(), connector.contract().stops_in_order), (4, false));
    let sink = opened(Limits::default()).await;
    let mut waiting = JoinSet::new();
    for _ in 0..3 {
        let sink = Arc::clone(&sink);
        waiting.spawn(async move { write(&sink, &["wait"]).await });
    }
    tokio::task::yield_now().await;
    assert_eq!(write(&sink, &["release"]).await, Ok(Outcome::Written));
    while let Some(written) = waiting.join_next().await {
        assert_eq!(written.unwrap(), Ok(Outcome::Written));
    }
    assert_eq!(said(&sink, &batch(&["most"])).await, "most: 4");
    assert_eq!(sink.close().await, Ok(()));
}

#[tokio::test]
async fn failures_keep_their_kind_and_the_instance() {
    let sink = opened(Limits::default()).await;
    for _ in 0..2 {
        let busy = WriteError::Failed(Failure::transient("busy", "come back"));
        assert_eq!(write(&sink, &["transient"]).await, Err(busy));
    }
    let halted = connect(&CONCURRENT, &settings(json!({ "open": "halted" }))).open(0).await.err().unwrap();
    assert_eq!(halted, Failure::halted("no-table", "create it"));
}

#[tokio::test]
async fn a_trap_loses_every_call() {
    let sink = opened(Limits::default()).await;
    let (waiting, trapped) = tokio::join!(lost(&sink, &["forever"]), lost(&sink, &["trap"]));
    for failure in [waiting, trapped] {
        assert_eq!((failure.kind, &*failure.code), (FailureKind::Unknown, "trap"));
    }
    lost(&sink, &["a"]).await;
}

#[tokio::test]
async fn a_call_given_up_retires_the_instance_and_spares_the_others() {
    let sink = opened(Limits::default()).await;
    let (neighbour, releaser) = (Arc::clone(&sink), Arc::clone(&sink));
    let mut others = JoinSet::new();
    others.spawn(async move { write(&neighbour, &["wait"]).await });
    let (events, context) = (batch(&["forever"]), context());
    let given_up = tokio::time::timeout(Duration::from_millis(100), sink.write(&events, &context));
    let late = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        write(&releaser, &["release"]).await
    };
    let (given_up, released) = tokio::join!(given_up, late);
    assert!(given_up.is_err());
    assert_eq!(released, Ok(Outcome::Written));
    assert_eq!(others.join_next().await.unwrap().unwrap(), Ok(Outcome::Written));
    assert_eq!(&*lost(&sink, &["a"]).await.code, "lost");
}

#[tokio::test]
async fn a_loop_that_stands_still_ends_every_call() {
    for stuck in ["spin", "sleep"] {
        let sink = opened(patient()).await;
        let (neighbour, mut others) = (Arc::clone(&sink), JoinSet::new());
        others.spawn(async move { lost(&neighbour, &["forever"]).await });
        tokio::task::yield_now().await;
        let (events, context) = (batch(&[stuck]), context());
        assert!(tokio::time::timeout(Duration::from_millis(100), sink.write(&events, &context)).await.is_err());
        assert_eq!(&*others.join_next().await.unwrap().unwrap().code, "stuck", "{stuck}");
    }
}

#[tokio::test]
async fn time_on_the_processor_without_giving_way_is_bounded() {
    let sink = opened(Limits { cpu: Duration::from_millis(50), ..Limits::default() }).await;
    let (other, spinning) = tokio::join!(lost(&sink, &["forever"]), lost(&sink, &["spin"]));
    assert_eq!((&*other.code, &*spinning.code), ("cpu-limit", "cpu-limit"));
}

#[tokio::test]
async fn opening_can_be_given_up() {
    let connector = connect(&CONCURRENT, &Settings { limits: patient(), ..settings(json!({ "open": "spin" })) });
    assert!(tokio::time::timeout(Duration::from_millis(100), connector.open(0)).await.is_err());
}
