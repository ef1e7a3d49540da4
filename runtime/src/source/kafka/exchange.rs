//! Between the thread that polls and the task that owns the source.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;

use arrow_schema::ArrowError;
use tokio::sync::{Notify, watch};

use crate::batch::{Partition, RowSet};
use crate::envelope::Block;
use crate::source::{Demand, Input, SourceError};

/// Blocks that are read ahead.
const AHEAD: usize = 2;

/// Both ends have it.
#[derive(Debug)]
pub(super) struct Exchange {
    state: Mutex<State>,
    /// There is something new to take.
    news: Notify,
    thread: OnceLock<Thread>,
    ended: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct State {
    inputs: VecDeque<Result<Input, SourceError>>,
    blocks: usize,
    asked: Asked,
    memo: BTreeMap<Partition, u64>,
    lag: Vec<(Arc<str>, u64)>,
}

/// What the thread is asked for.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// What is final, since the last time.
    pub(super) acknowledged: BTreeMap<Partition, u64>,
    /// Revoked partitions of which nothing is on its way any more.
    pub(super) released: BTreeSet<Partition>,
    /// To commit, to leave the group, and to end.
    pub(super) close: bool,
}

impl Exchange {
    /// Nothing was read yet. `memo` is what was last committed for each partition.
    pub(super) fn new(memo: BTreeMap<Partition, u64>) -> Exchange {
        Exchange {
            state: Mutex::new(State { memo, ..State::default() }),
            news: Notify::new(),
            thread: OnceLock::new(),
            ended: watch::Sender::new(false),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // The source's end.

    /// Whose thread this is.
    pub(super) fn set_thread(&self, thread: Thread) {
        self.thread.get_or_init(|| thread);
    }

    /// Waits for what comes next. Nothing is lost when the future is dropped.
    pub(super) async fn next(&self, demand: Demand) -> Result<Input, SourceError> {
        loop {
            if let Some(input) = self.try_next(demand) {
                return input;
            }
            self.news.notified().await;
        }
    }

    fn try_next(&self, demand: Demand) -> Option<Result<Input, SourceError>> {
        let input = {
            let mut state = self.lock();
            let block = matches!(state.inputs.front()?, Ok(Input::Block(_)));
            if block && demand == Demand::Nothing {
                return None;
            }
            state.blocks -= usize::from(block);
            // It says so to whoever asks.
            match state.inputs.front()? {
                Ok(Input::Ended) => return Some(Ok(Input::Ended)),
                _ => state.inputs.pop_front()?,
            }
        };
        self.wake();
        Some(input)
    }

    /// In each of these partitions, everything before the position is final.
    pub(super) fn acknowledge(&self, positions: &BTreeMap<Partition, u64>) {
        self.lock()
            .asked
            .acknowledged
            .extend(positions.iter().map(|(partition, position)| (partition.clone(), *position)));
        self.wake();
    }

    /// Nothing of these partitions is on its way any more.
    pub(super) fn release(&self, partitions: Vec<Partition>) {
        if !partitions.is_empty() {
            self.lock().asked.released.extend(partitions);
            self.wake();
        }
    }

    /// The thread is to leave the group, and to end.
    pub(super) fn close(&self) {
        self.lock().asked.close = true;
        self.wake();
    }

    /// Returns once the thread has ended.
    pub(super) async fn ended(&self) {
        // The sender is here, and so never gone.
        self.ended.subscribe().wait_for(|ended| *ended).await.ok();
    }

    /// What was last committed for each partition.
    pub(super) fn memo(&self) -> BTreeMap<Partition, u64> {
        self.lock().memo.clone()
    }

    /// For each topic, events that are not final here.
    pub(super) fn lag(&self) -> Vec<(Arc<str>, u64)> {
        self.lock().lag.clone()
    }

    fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    // The thread's end.

    /// What is asked for, since the last time.
    pub(super) fn asked(&self) -> Asked {
        let asked = &mut self.lock().asked;
        let close = asked.close;
        std::mem::replace(asked, Asked { close, ..Asked::default() })
    }

    /// Whether another block may be handed over.
    pub(super) fn has_room(&self) -> bool {
        self.lock().blocks < AHEAD
    }

    /// Hands something over, in order.
    pub(super) fn hand(&self, input: Result<Input, SourceError>) {
        let mut state = self.lock();
        state.blocks += usize::from(matches!(input, Ok(Input::Block(_))));
        state.inputs.push_back(input);
        drop(state);
        self.news.notify_one();
    }

    /// Partitions are taken away: what was read of them and not taken yet is withdrawn, and that is told at once.
    ///
    /// Fails as [`Batch::select`](crate::batch::Batch::select) does.
    pub(super) fn revoke(&self, partitions: Vec<Partition>) -> Result<(), ArrowError> {
        let gone: BTreeSet<&Partition> = partitions.iter().collect();
        let mut state = self.lock();
        let mut kept = VecDeque::with_capacity(state.inputs.len() + 1);
        for input in std::mem::take(&mut state.inputs) {
            kept.extend(match input {
                Ok(Input::Assigned(mut assigned)) => {
                    assigned.retain(|(partition, _)| !gone.contains(partition));
                    Some(Ok(Input::Assigned(assigned)))
                }
                Ok(Input::Block(block)) => without(*block, &gone)?.map(|block| Ok(Input::Block(Box::new(block)))),
                other => Some(other),
            });
        }
        kept.push_front(Ok(Input::Revoked(partitions)));
        state.blocks = kept.iter().filter(|input| matches!(input, Ok(Input::Block(_)))).count();
        state.inputs = kept;
        drop(state);
        self.news.notify_one();
        Ok(())
    }

    /// So far the group has it that these partitions were read; `None`: of this one it has nothing.
    pub(super) fn remember(&self, partition: &Partition, committed: Option<u64>) {
        let mut state = self.lock();
        match committed {
            Some(committed) => state.memo.insert(partition.clone(), committed),
            None => state.memo.remove(partition),
        };
    }

    /// For each topic, events that are not final here.
    pub(super) fn set_lag(&self, lag: Vec<(Arc<str>, u64)>) {
        self.lock().lag = lag;
    }

    /// The thread has ended.
    pub(super) fn set_ended(&self) {
        self.ended.send_replace(true);
    }
}

/// A block without the events of some partitions; `None` where nothing is left.
fn without(block: Block, gone: &BTreeSet<&Partition>) -> Result<Option<Block>, ArrowError> {
    let origin = block.batch.origin();
    if !origin.partitions().iter().any(|partition| gone.contains(partition)) {
        return Ok(Some(block));
    }
    let stays = |partition: &u32| !gone.contains(&origin.partitions()[*partition as usize]);
    let rows = origin.spans().filter(|(_, partition)| stays(partition));
    let rows = RowSet::from_ranges(rows.map(|(span, _)| span.start as u32..span.end as u32));
    let batch = block.batch.select(&rows)?;
    let ends: Vec<(Partition, u64)> =
        block.ends.into_iter().filter(|(partition, _)| !gone.contains(partition)).collect();
    Ok((!ends.is_empty()).then_some(Block { batch, ends, rejects: None }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{BatchBuilder, Event};
    use crate::source::kafka::begin::name;
    use futures_util::FutureExt;

    fn block(events: &[(i32, u64)]) -> Result<Input, SourceError> {
        let mut builder = BatchBuilder::new();
        let mut ends = BTreeMap::new();
        for (number, position) in events {
            builder.push(&name("t", *number), Event { position: *position, ..Event::default() });
            ends.insert(name("t", *number), position + 1);
        }
        let batch = builder.finish().unwrap();
        Ok(Input::Block(Box::new(Block { batch, ends: ends.into_iter().collect(), rejects: None })))
    }

    fn next(exchange: &Exchange, demand: Demand) -> Option<Input> {
        exchange.next(demand).now_or_never().map(Result::unwrap)
    }

    #[test]
    fn no_block_comes_where_none_can_be_taken_and_the_end_comes_after_all() {
        let exchange = Exchange::new(BTreeMap::new());
        assert!(next(&exchange, Demand::Events).is_none());
        exchange.hand(Ok(Input::Assigned(vec![(name("t", 0), 0)])));
        (0..AHEAD as u64).for_each(|position| exchange.hand(block(&[(0, position)])));
        exchange.hand(Ok(Input::Ended));
        assert!(!exchange.has_room());
        assert!(matches!(next(&exchange, Demand::Nothing), Some(Input::Assigned(_))));
        assert!(next(&exchange, Demand::Nothing).is_none());
        assert!(matches!(next(&exchange, Demand::Events), Some(Input::Block(_))));
        assert!(exchange.has_room() && next(&exchange, Demand::Nothing).is_none());
        assert!(matches!(next(&exchange, Demand::Events), Some(Input::Block(_))));
        for demand in [Demand::Nothing, Demand::Events, Demand::Nothing] {
            assert!(matches!(next(&exchange, demand), Some(Input::Ended)));
        }
    }

    #[test]
    fn what_is_taken_away_is_withdrawn_and_told_before_all_else() {
        let exchange = Exchange::new(BTreeMap::new());
        exchange.hand(Ok(Input::Assigned(vec![(name("t", 0), 0), (name("t", 1), 0)])));
        exchange.hand(block(&[(0, 0), (0, 1), (1, 0), (0, 2)]));
        exchange.hand(block(&[(0, 3)]));
        exchange.revoke(vec![name("t", 0)]).unwrap();
        let Some(Input::Revoked(revoked)) = next(&exchange, Demand::Nothing) else { panic!() };
        assert_eq!(revoked, [name("t", 0)]);
        let Some(Input::Assigned(assigned)) = next(&exchange, Demand::Events) else { panic!() };
        assert_eq!(assigned, [(name("t", 1), 0)]);
        let Some(Input::Block(left)) = next(&exchange, Demand::Events) else { panic!() };
        assert_eq!((left.batch.len(), left.batch.origin().partition_of(0)), (1, &name("t", 1)));
        assert_eq!(left.ends, [(name("t", 1), 1)]);
        assert!(next(&exchange, Demand::Events).is_none() && exchange.has_room());
    }

    #[test]
    fn what_is_asked_for_is_told_once_and_the_close_for_good() {
        let exchange = Exchange::new(BTreeMap::new());
        exchange.acknowledge(&BTreeMap::from([(name("t", 0), 4)]));
        exchange.acknowledge(&BTreeMap::from([(name("t", 0), 7)]));
        exchange.release(vec![name("t", 1)]);
        exchange.close();
        let asked = exchange.asked();
        assert_eq!(asked.acknowledged, BTreeMap::from([(name("t", 0), 7)]));
        assert!(asked.close && asked.released.contains(&name("t", 1)));
        let asked = exchange.asked();
        assert!(asked.close && asked.released.is_empty() && asked.acknowledged.is_empty());
    }
}
