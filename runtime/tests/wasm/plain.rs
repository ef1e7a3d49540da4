//! Components of the plain world.

use std::time::Duration;

use serde_json::json;
use sump::batch::{BatchBuilder, Event, Partition, RowSet};
use sump::sink::{Connect, Failure, FailureKind, Outcome, Refusal, WriteError};
use sump::wasm::World;

use crate::guests::{PLAIN, batch, connect, context, doing, lost, open, said, settings, write};

#[tokio::test]
async fn a_component_says_what_it_is() {
    let description = PLAIN.description();
    assert_eq!((description.name.as_str(), description.version.as_str()), ("guest-plain", "1.2.3"));
    assert_eq!(PLAIN.world(), World::Sink);
    assert_eq!(PLAIN.exports(), ["sump:sink/sink@0.1.0"]);
    let connector = connect(&PLAIN, &settings(json!({})));
    let contract = connector.contract();
    assert_eq!((contract.max_events.unwrap().get(), contract.overlap.get()), (5000, 1));
    assert!(contract.stops_in_order);
    assert!(PLAIN.check_config(&json!({ "n": "x" })).is_err());
}

#[tokio::test]
async fn batches_are_written_and_the_instance_closed() {
    let sink = doing("ok").await;
    assert_eq!(write(&sink, &["a", "b"]).await, Ok(Outcome::Written));
    assert_eq!(write(&sink, &["c"]).await, Ok(Outcome::Written));
    assert_eq!(sink.close().await, Ok(()));
}

#[tokio::test]
async fn all_columns_arrive_sliced_or_not() {
    let mut builder = BatchBuilder::new();
    let (a, b) = (Partition::from("a"), Partition::from("b"));
    builder.push(&a, Event { payload: Some(b"left out"), key: Some(b"x"), ..Event::default() });
    let headers: [(&[u8], &[u8]); 2] = [(b"h", b"1"), (b"i", b"")];
    builder.push(&a, Event { payload: Some(b"one"), timestamp: 5, headers: &headers, position: 7, ..Event::default() });
    builder.push(&b, Event { payload: None, key: Some(b"k"), timestamp: 6, headers: &[], position: 8 });
    builder
        .push(&b, Event { payload: Some(b""), timestamp: 9, headers: &headers[..1], position: 9, ..Event::default() });
    let whole = builder.finish().unwrap();
    let sink = doing("dump").await;
    assert_eq!(
        said(&sink, &whole.slice(1..4)).await,
        "dump: payload one|null| key null|k|null time [5, 6, 9] headers h=1,i=||h=1 runs 0:a|1:b at [7, 8, 9]"
    );
    assert_eq!(
        said(&sink, &whole.slice(0..2)).await,
        "dump: payload left out|one key x|null time [0, 5] headers |h=1,i= runs 0:a at [0, 7]"
    );
    assert_eq!(said(&sink, &batch(&["p"])).await, "dump: payload p key - time [0] headers - runs 0:a at [0]");
}

#[tokio::test]
async fn the_context_and_the_opening_arrive() {
    let events = batch(&["a"]);
    let id = context().batch_id(events.origin());
    assert_eq!(said(&doing("context").await, &events).await, format!("context: p s {id} 1 false true"));
    let failure = open(json!({ "open": "echo" })).await.err().unwrap();
    assert_eq!(failure, Failure::rejected("echo", "p s 3"));
}

#[tokio::test]
async fn events_are_refused_one_by_one() {
    let rows = RowSet::from_rows(vec![1, 3]);
    let refused = vec![Refusal { rows, failure: Failure::rejected("bad", "it is bad") }];
    let expected = Outcome::Partial { refused, stopped_at: 4 };
    assert_eq!(write(&doing("refuse-odd").await, &["a", "b", "c", "d"]).await, Ok(expected));
    let refused = vec![Refusal { rows: RowSet::range(0..1), failure: Failure::rejected("bad", "it is bad") }];
    let expected = Outcome::Partial { refused, stopped_at: 2 };
    assert_eq!(write(&doing("stop").await, &["a", "b", "c", "d"]).await, Ok(expected));
}

#[tokio::test]
async fn failures_keep_their_kind_and_the_instance() {
    let sink = doing("transient").await;
    let kind = FailureKind::Transient { after: Some(Duration::from_millis(250)) };
    for _ in 0..2 {
        assert_eq!(write(&sink, &["a"]).await, Err(WriteError::Failed(Failure::new(kind, "busy", "come back"))));
    }
    let unknown = WriteError::Failed(Failure::unknown("lost", "perhaps"));
    assert_eq!(write(&doing("unknown").await, &["a"]).await, Err(unknown));
    let kind = FailureKind::Transient { after: Some(Duration::from_millis(1500)) };
    assert_eq!(open(json!({ "open": "transient" })).await.err().unwrap().kind, kind);
    let halted = Failure::halted("no-table", "create it");
    assert_eq!(open(json!({ "open": "halted" })).await.err().unwrap(), halted);
    let closed = open(json!({ "close": "fail" })).await.unwrap().close().await;
    assert_eq!(closed, Err(Failure::unknown("unflushed", "perhaps")));
}

#[tokio::test]
async fn lies_are_not_believed() {
    for lie in ["bad-index", "twice"] {
        let sink = doing(lie).await;
        match write(&sink, &["a", "b"]).await {
            Err(WriteError::Failed(failure)) => assert_eq!(&*failure.code, "bad-report"),
            other => panic!("{lie}: {other:?}"),
        }
    }
    let said = said(&doing("ugly-text").await, &batch(&["a"])).await;
    assert!(said.starts_with("a-b-: x[31mx[31m") && said.len() < 3000, "{said}");
}

#[tokio::test]
async fn a_trap_loses_the_instance() {
    let sink = doing("trap-second").await;
    assert_eq!(write(&sink, &["a"]).await, Ok(Outcome::Written));
    let failure = lost(&sink, &["a"]).await;
    assert_eq!((failure.kind, &*failure.code), (FailureKind::Unknown, "trap"));
    assert!(failure.message.contains("it gave up") && failure.message.contains("write"), "{failure}");
    assert_eq!(&*lost(&sink, &["a"]).await.code, "lost");
    assert_eq!(sink.close().await, Ok(()));
    assert_eq!(&*lost(&doing("exit").await, &["a"]).await.code, "exit");
    let failure = open(json!({ "open": "trap" })).await.err().unwrap();
    assert_eq!((failure.kind, &*failure.code), (FailureKind::Unknown, "trap"));
}
