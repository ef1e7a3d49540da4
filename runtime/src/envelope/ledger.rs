//! The account of one source: how far each sink that it feeds has come in each of its partitions.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};

use arrow_buffer::ScalarBuffer;
use arrow_schema::ArrowError;
use tokio::sync::Notify;

use super::progress::Progress;
use super::{Block, Charge, Envelope, Final, Receipt};
use crate::batch::{Batch, Partition, RowSet};
use crate::defect::{self, Defect};
use crate::metrics::SinkMetrics;

/// The way of events from a source to one sink of one pipeline, or to the pipeline's dead letters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PathName {
    /// The pipeline.
    pub pipeline: Arc<str>,
    /// The sink.
    pub sink: Arc<str>,
}

impl fmt::Display for PathName {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}:{}", self.pipeline, self.sink)
    }
}

/// Where each path goes on in each partition.
pub type Positions = BTreeMap<PathName, BTreeMap<Partition, u64>>;

/// The account of one source.
#[derive(Debug, Default)]
pub struct Ledger {
    paths: Vec<Path>,
    changed: Arc<Notify>,
    landed: Arc<Notify>,
}

impl Ledger {
    /// An account without paths.
    pub fn new() -> Ledger {
        Ledger::default()
    }

    /// Adds a path. It passes over events before the position that it resumes from.
    pub fn path(&mut self, name: PathName, resume: BTreeMap<Partition, u64>, metrics: Arc<SinkMetrics>) -> Path {
        self.add(name, resume, metrics, false)
    }

    /// Adds the way of events from a disk buffer on: they were counted before, and stay in the buffer when they are given up.
    pub fn path_of_buffer(&mut self, name: PathName, metrics: Arc<SinkMetrics>) -> Path {
        self.add(name, BTreeMap::new(), metrics, true)
    }

    fn add(
        &mut self,
        name: PathName,
        resume: BTreeMap<Partition, u64>,
        metrics: Arc<SinkMetrics>,
        buffered: bool,
    ) -> Path {
        let (changed, landed) = (self.changed.clone(), self.landed.clone());
        let account = Arc::new(Account { metrics, buffered, changed, landed });
        let resume = RwLock::new(Arc::new(resume));
        let path = Path(Arc::new(Shared { name, resume, account, assignments: Mutex::default() }));
        self.paths.push(path.clone());
        path
    }

    /// Begins an assignment of a partition on every path, at the position of its first event to come.
    /// What is settled for an earlier assignment of it counts no more, and what is queued of that is revoked.
    pub fn assign(&self, partition: &Partition, begin: u64) {
        for path in &self.paths {
            path.0.assign(partition, begin);
        }
    }

    /// Takes a partition away: no call with events of it begins from here on, and whoever holds some gives them up. What
    /// is in flight still counts, until the assignment [ends](Self::end).
    pub fn revoke(&self, partition: &Partition) {
        for path in &self.paths {
            if let Some(assignment) = locked(&path.0.assignments).get(partition) {
                assignment.progress().revoke();
            }
        }
    }

    /// Returns once nothing is in flight of partitions that were revoked.
    pub async fn landed(&self, partitions: &[Partition]) {
        loop {
            let landed = self.landed.notified();
            tokio::pin!(landed);
            // Registered before looking: what lands between looking and waiting is not missed.
            landed.as_mut().enable();
            if !partitions.iter().any(|partition| self.is_in_flight(partition)) {
                return;
            }
            landed.await;
        }
    }

    fn is_in_flight(&self, partition: &Partition) -> bool {
        let in_flight = |path: &Path| {
            locked(&path.0.assignments).get(partition).is_some_and(|assignment| assignment.progress().is_in_flight())
        };
        self.paths.iter().any(in_flight) && !defect::on(Defect::ForgetFlights)
    }

    /// Ends the assignment of a partition: what is settled for it counts no more. Its positions stay.
    pub fn end(&self, partition: &Partition) {
        for path in &self.paths {
            locked(&path.0.assignments).remove(partition);
        }
    }

    /// Forgets a partition that has come to its end, where everything of it is final: it has no position any more.
    pub fn forget(&self, partition: &Partition) {
        self.end(partition);
        self.rewind(partition);
    }

    /// No path passes over events of a partition any more, whatever it had before.
    pub fn rewind(&self, partition: &Partition) {
        for path in &self.paths {
            let mut resume = path.0.resume.write().unwrap_or_else(PoisonError::into_inner);
            if resume.contains_key(partition) {
                Arc::make_mut(&mut resume).remove(partition);
            }
        }
    }

    /// Returns once anything was settled or abandoned since the last return.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// For each assigned partition, the position before which every event is final on every path.
    pub fn acknowledged(&self) -> BTreeMap<Partition, u64> {
        let mut lowest = BTreeMap::new();
        for path in &self.paths {
            for (partition, assignment) in &*locked(&path.0.assignments) {
                let position = assignment.progress().position() + u64::from(defect::on(Defect::AcknowledgeEarly));
                lowest
                    .entry(partition.clone())
                    .and_modify(|low: &mut u64| {
                        *low =
                            if defect::on(Defect::AcknowledgeHighest) { position.max(*low) } else { position.min(*low) }
                    })
                    .or_insert(position);
            }
        }
        lowest
    }

    /// Where each path goes on, to be saved. Partitions that are not assigned keep what they resumed from.
    pub fn positions(&self) -> Positions {
        let of = |path: &Path| {
            let mut positions = BTreeMap::clone(&path.0.resume());
            for (partition, assignment) in &*locked(&path.0.assignments) {
                let position = assignment.progress().position() + u64::from(defect::on(Defect::SaveAhead));
                positions.entry(partition.clone()).and_modify(|p| *p = position.max(*p)).or_insert(position);
            }
            (path.0.name.clone(), positions)
        };
        self.paths.iter().map(of).collect()
    }

    /// Partitions of whose assignment an event was given up: the source has to go on from what was acknowledged.
    pub fn abandoned(&self) -> Vec<Partition> {
        let mut partitions = Vec::new();
        for path in &self.paths {
            let assignments = locked(&path.0.assignments);
            partitions
                .extend(assignments.values().filter(|a| a.progress().is_abandoned()).map(|a| a.partition.clone()));
        }
        partitions.sort_unstable();
        partitions.dedup();
        partitions
    }

    /// Events on all paths that are not final.
    pub fn open(&self) -> u64 {
        let open = |path: &Path| locked(&path.0.assignments).values().map(|a| a.progress().open()).sum::<u64>();
        self.paths.iter().map(open).sum()
    }
}

/// See [`PathName`]. Cloning gives the same path.
#[derive(Clone, Debug)]
pub struct Path(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    name: PathName,
    resume: RwLock<Arc<BTreeMap<Partition, u64>>>,
    account: Arc<Account>,
    assignments: Mutex<BTreeMap<Partition, Arc<Assignment>>>,
}

/// What a path and its assignments share. These have it instead of the path, which has them.
#[derive(Debug)]
struct Account {
    metrics: Arc<SinkMetrics>,
    /// Whether its events are in a disk buffer.
    buffered: bool,
    changed: Arc<Notify>,
    landed: Arc<Notify>,
}

impl Path {
    /// Its name.
    pub fn name(&self) -> &PathName {
        &self.0.name
    }

    /// Resumes from other positions than those that it was made with. Comes before anything is assigned.
    pub fn resume_from(&self, positions: BTreeMap<Partition, u64>) {
        *self.0.resume.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(positions);
    }

    /// For each assigned partition, the position before which everything is final, and the end of what was read.
    pub fn progress(&self) -> Vec<(Partition, u64, u64)> {
        let of = |(partition, assignment): (&Partition, &Arc<Assignment>)| {
            let progress = assignment.progress();
            (partition.clone(), progress.position(), progress.end())
        };
        locked(&self.0.assignments).iter().map(of).collect()
    }

    /// Takes `rows` of a block on: the others are final here, because the path does not want them. `None` where
    /// nothing is left to deliver. Every block goes through every path, even where it takes nothing of it.
    ///
    /// Fails when the rows can't be copied out; the block is not accounted for then.
    pub fn take(&self, block: &Block, rows: &RowSet) -> Result<Option<Envelope>, ArrowError> {
        let batch = block.batch.select(&self.unseen(&block.batch, rows))?;
        let receipt = self.issue(&batch);
        for (partition, end) in &block.ends {
            self.0.assignment(partition, *end).progress().reach(*end);
        }
        // A block of which nothing was taken may have moved the position.
        self.0.account.changed.notify_one();
        Ok((!batch.is_empty()).then(|| Envelope::new(batch, receipt, Charge::default())))
    }

    /// Takes what framing rejected on, all of it, without moving the position: the block that it is from does.
    ///
    /// Fails when they can't be copied out.
    pub fn take_rejects(&self, batch: &Batch) -> Result<Option<Envelope>, ArrowError> {
        let unseen = batch.select(&self.unseen(batch, &RowSet::all(batch.len())))?;
        let receipt = self.issue(&unseen);
        Ok((!unseen.is_empty()).then(|| Envelope::new(unseen, receipt, Charge::default())))
    }

    /// Takes events on under numbers of the caller's, which ascend, one for each event: their origin says nothing of
    /// this path's positions. Everything before `end` has been seen then; the position moves over gaps.
    pub fn take_as(&self, batch: Batch, partition: &Partition, numbers: ScalarBuffer<u64>, end: u64) -> Envelope {
        debug_assert_eq!(batch.len(), numbers.len());
        let assignment = self.0.assignment(partition, end);
        let taken = {
            let mut progress = assignment.progress();
            let taken = progress.take(numbers);
            progress.reach(end);
            taken
        };
        let mut receipt = Receipt::default();
        receipt.push(&assignment, taken);
        self.0.account.changed.notify_one();
        Envelope::new(batch, receipt, Charge::default())
    }

    /// The rows that this path has not had before a restart.
    pub fn unseen(&self, batch: &Batch, rows: &RowSet) -> RowSet {
        let resume = self.0.resume();
        if resume.is_empty() || defect::on(Defect::ForgetResume) {
            return rows.clone();
        }
        let origin = batch.origin();
        let unseen = origin.spans().map(|(span, partition)| {
            let from = resume.get(&origin.partitions()[partition as usize]).copied().unwrap_or(0);
            let seen = origin.positions()[span.clone()].partition_point(|position| *position < from);
            (span.start + seen) as u32..span.end as u32
        });
        rows.intersection(&RowSet::from_ranges(unseen))
    }

    fn issue(&self, batch: &Batch) -> Receipt {
        let origin = batch.origin();
        let mut receipt = Receipt::default();
        for (span, partition) in origin.spans() {
            let positions = origin.position_buffer().slice(span.start, span.len());
            let assignment = self.0.assignment(&origin.partitions()[partition as usize], positions[0]);
            let numbers = assignment.progress().take(positions);
            receipt.push(&assignment, numbers);
        }
        self.0.account.metrics.events.add(batch.len() as u64);
        receipt
    }
}

impl Shared {
    fn resume(&self) -> Arc<BTreeMap<Partition, u64>> {
        self.resume.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn assign(self: &Arc<Self>, partition: &Partition, begin: u64) {
        let begin = self.resume().get(partition).map_or(begin, |resume| begin.max(*resume));
        let progress = Mutex::new(Progress::new(begin));
        let (account, path) = (self.account.clone(), Arc::downgrade(self));
        let assignment = Assignment { partition: partition.clone(), progress, account, path };
        let before = locked(&self.assignments).insert(partition.clone(), Arc::new(assignment));
        if let Some(before) = before {
            before.progress().revoke();
        }
    }

    fn assignment(self: &Arc<Self>, partition: &Partition, begin: u64) -> Arc<Assignment> {
        if let Some(assignment) = locked(&self.assignments).get(partition) {
            return assignment.clone();
        }
        self.assign(partition, begin);
        self.assignment(partition, begin)
    }
}

/// One partition, on one path, from being assigned until it is revoked.
#[derive(Debug)]
pub(super) struct Assignment {
    partition: Partition,
    progress: Mutex<Progress>,
    account: Arc<Account>,
    path: Weak<Shared>,
}

impl Assignment {
    pub(super) fn is_buffered(&self) -> bool {
        self.account.buffered
    }

    /// Where its partition goes on once every event before this number is final.
    pub(super) fn position_at(&self, number: u64) -> (&Partition, u64) {
        (&self.partition, self.progress().position_at(number))
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        locked(&self.progress)
    }

    pub(super) fn settle(&self, numbers: &VecDeque<Range<u64>>, how: Final) {
        let metrics = &self.account.metrics;
        let count = match how {
            Final::Written => &metrics.written,
            Final::DeadLettered => &metrics.dead_lettered,
            Final::Buffered => &metrics.buffered,
            Final::Dropped if defect::on(Defect::MiscountDropped) => &metrics.written,
            Final::Dropped => &metrics.dropped,
            Final::LeftOut => &metrics.left_out,
        };
        let events = numbers.iter().map(|numbers| numbers.end - numbers.start).sum();
        if self.account.buffered {
            metrics.unbuffered.add(events);
        }
        count.add(events);
        if defect::on(Defect::CountOldAssignment)
            && let Some(path) = self.path.upgrade()
            && let Some(new) = locked(&path.assignments).get(&self.partition).cloned()
        {
            return new.progress().settle(numbers.iter().cloned());
        }
        self.progress().settle(numbers.iter().cloned());
        self.account.changed.notify_one();
    }

    pub(super) fn abandon(&self, events: u64) {
        let mut progress = self.progress();
        if progress.is_revoked() {
            return self.account.metrics.revoked.add(events);
        }
        progress.abandon();
        drop(progress);
        if !self.account.buffered {
            self.account.metrics.abandoned.add(events);
        }
        self.account.changed.notify_one();
    }

    pub(super) fn is_revoked(&self) -> bool {
        self.progress().is_revoked()
    }

    /// See [`Progress::depart`].
    pub(super) fn depart(&self) -> bool {
        self.progress().depart()
    }

    pub(super) fn land(&self) {
        if self.progress().land() {
            self.account.landed.notify_waiters();
        }
    }
}

/// A panic while a lock was held can't leave a number half settled: what is behind it stays valid.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
