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
