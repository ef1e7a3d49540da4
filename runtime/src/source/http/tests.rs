//! The source against connections that tests hold.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use futures_util::FutureExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

async fn open(change: impl FnOnce(&mut Settings)) -> Receiving {
    let mut settings = Settings::new(SocketAddr::from(([127, 0, 0, 1], 0)));
    change(&mut settings);
    let mut source = Receiving::start(settings, Partition::from("http@r")).await.unwrap();
    assert_eq!(assigned(&mut source).await, 0);
    source
}

async fn assigned(source: &mut Receiving) -> u64 {
    match source.next(Demand::Nothing).await {
        Ok(Input::Assigned(assigned)) => assigned[0].1,
        other => panic!("{other:?}"),
    }
}

async fn block(source: &mut Receiving) -> Block {
    match source.next(Demand::Events).await {
        Ok(Input::Block(block)) => *block,
        other => panic!("{other:?}"),
    }
}

/// Sends a request on a connection of its own.
async fn post(source: &Receiving, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(source.server.address).await.unwrap();
    let head = format!("POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all((head + body).as_bytes()).await.unwrap();
    stream
}

async fn status(mut stream: TcpStream) -> String {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.split(' ').nth(1).unwrap_or_default().to_owned()
}

async fn acknowledge(source: &mut Receiving, position: u64) {
    source.acknowledge(&BTreeMap::from([(source.partition.clone(), position)])).await.unwrap();
}

/// Waits until so many requests have offered their events.
async fn offers(source: &Receiving, number: usize) {
    while source.offers.len() < number {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn requests_are_answered_in_the_order_of_their_positions() {
    let mut source = open(|_| ()).await;
    let first = post(&source, "1\n2\n").await;
    assert_eq!(block(&mut source).await.ends, [(Partition::from("http@r"), 2)]);
    let second = post(&source, "3\n").await;
    let next = block(&mut source).await;
    assert_eq!((next.batch.origin().positions(), next.ends[0].1), (&[2][..], 3));
    acknowledge(&mut source, 1).await;
    assert_eq!(source.waiting.len(), 2, "one of its events is not final");
    acknowledge(&mut source, 2).await;
    assert_eq!((status(first).await.as_str(), source.waiting.len()), ("200", 1));
    acknowledge(&mut source, 3).await;
    assert_eq!(status(second).await, "200");
}

#[tokio::test]
async fn small_requests_that_are_there_become_one_block_and_a_large_one_stays_itself() {
    let mut source = open(|settings| settings.headers = vec!["host".into()]).await;
    let large = format!("\"{}\"", "x".repeat(2 * SMALL));
    let mut waiting = Vec::new();
    for (number, body) in ["1", "2\n3", &large, "4"].into_iter().enumerate() {
        waiting.push(post(&source, body).await);
        offers(&source, number + 1).await;
    }
    let blocks = [block(&mut source).await, block(&mut source).await, block(&mut source).await];
    assert_eq!(blocks.each_ref().map(|block| (block.batch.len(), block.ends[0].1)), [(3, 3), (1, 4), (1, 5)]);
    assert_eq!(blocks[0].batch.payload().iter().flatten().collect::<Vec<_>>(), [b"1", b"2", b"3"]);
    assert!(blocks[0].batch.headers().unwrap().of(2).eq([(&b"host"[..], Some(&b"a"[..]))]));
    acknowledge(&mut source, 5).await;
    for waiting in waiting {
        assert_eq!(status(waiting).await, "200");
    }
}

#[tokio::test]
async fn what_is_rejected_for_two_reasons_is_numbered_behind_what_is_not() {
    let mut source = open(|settings| settings.max_event_bytes = 5).await;
    let waiting = post(&source, "no\n1\n\"long one\"\n2\n").await;
    let (first, second) = (block(&mut source).await, block(&mut source).await);
    let positions = |block: &Block| block.rejects.as_ref().unwrap().batch.origin().positions().to_vec();
    assert_eq!((first.batch.origin().positions(), positions(&first), first.ends[0].1), (&[0, 1][..], vec![2], 3));
    assert_eq!((second.batch.len(), positions(&second), second.ends[0].1), (0, vec![3], 4));
    acknowledge(&mut source, 3).await;
    assert_eq!(source.waiting.len(), 1);
    acknowledge(&mut source, 4).await;
    assert_eq!(status(waiting).await, "200");
}

#[tokio::test]
async fn nothing_is_taken_of_a_request_that_was_sent_away_or_has_gone() {
    let mut source = open(|settings| settings.wait = std::time::Duration::from_millis(20)).await;
    let away = post(&source, "1").await;
    assert!(source.next(Demand::Nothing).now_or_never().is_none());
    assert_eq!(status(away).await, "503");
    // By now nothing is taken for long enough that others need not wait.
    assert_eq!(status(post(&source, "2").await).await, "503");
    assert_eq!(source.offers.len(), 1);
    assert!(source.next(Demand::Events).now_or_never().is_none());
    let taken = post(&source, "3").await;
    let block = block(&mut source).await;
    assert_eq!((block.batch.payload().value(0), block.ends[0].1), (&b"3"[..], 1));
    acknowledge(&mut source, 1).await;
    assert_eq!(status(taken).await, "200");
}

#[tokio::test]
async fn what_was_given_up_is_told_and_the_partition_begins_anew() {
    let mut source = open(|_| ()).await;
    let lost = post(&source, "1\n2").await;
    block(&mut source).await;
    source.given_up();
    assert_eq!(status(lost).await, "503");
    assert_eq!(assigned(&mut source).await, 2);
    let taken = post(&source, "3").await;
    assert_eq!(block(&mut source).await.batch.origin().positions(), [2]);
    acknowledge(&mut source, 3).await;
    assert_eq!(status(taken).await, "200");
}

#[tokio::test]
async fn a_stop_sends_away_what_was_not_handed_over_and_waits_for_the_rest() {
    let mut source = open(|_| ()).await;
    let handed = post(&source, "1").await;
    block(&mut source).await;
    let offered = post(&source, "2").await;
    offers(&source, 1).await;
    source.stop();
    assert_eq!(status(offered).await, "503");
    acknowledge(&mut source, 1).await;
    assert_eq!(status(handed).await, "200");
    source.close().await;
    assert!(TcpStream::connect(source.server.address).await.is_err());
}

#[tokio::test]
async fn the_end_tells_those_who_still_wait() {
    let mut source = open(|_| ()).await;
    let waiting = post(&source, "1").await;
    block(&mut source).await;
    let (told, ()) = tokio::join!(status(waiting), source.close());
    assert_eq!(told, "503");
}

#[tokio::test]
async fn without_ack_a_request_is_answered_when_it_is_handed_over() {
    let mut source = open(|settings| settings.ack = false).await;
    let waiting = post(&source, "1").await;
    block(&mut source).await;
    assert_eq!((status(waiting).await.as_str(), source.waiting.len()), ("202", 0));
}
