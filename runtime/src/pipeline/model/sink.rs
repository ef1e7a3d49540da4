//! A sink that does what its schedule says.

use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::sleep;

use super::calls::{Call, End, Told};
use super::instances::Instance;
use super::line;
use super::once;
use super::schedule::{Act, Closing, Opening};
use super::world::{State, World};
use crate::batch::{Batch, Partition, RowSet};
use crate::sink::{Connect, Contract, Failure, FailureKind, Outcome, Refusal, Sink, WriteContext, WriteError};

const TRANSIENT: FailureKind = FailureKind::Transient { after: None };
const CODES: [&str; 3] = ["busy-0", "busy-1", "busy-2"];
const BAD: [&str; 3] = ["bad-0", "bad-1", "bad-2"];

/// Opens instances of one path's sink.
pub(super) struct Scripted {
    pub(super) world: World,
    pub(super) path: usize,
    pub(super) contract: Contract,
    pub(super) takes: (u64, u64),
}

struct Open {
    world: World,
    path: usize,
    instance: usize,
    takes: (u64, u64),
}

#[async_trait]
impl Connect for Scripted {
    fn contract(&self) -> &Contract {
        &self.contract
    }

    async fn stored(&self, saved: &BTreeMap<Partition, u64>) -> Result<BTreeMap<Partition, u64>, Failure> {
        once::stored(&self.world, self.path, saved).await
    }

    async fn open(&self, _: u32) -> Result<Arc<dyn Sink>, Failure> {
        let (instance, what) = self.world.with(|state| {
            let what = state.opening(self.path);
            let path = &mut state.paths[self.path];
            path.instances.push(Instance::opening());
            path.opening.begin();
            let (name, instance) = (path.name.clone(), path.instances.len() - 1);
            state.note(|| format!("{name} opens instance {instance}: {what:?}"));
            (instance, what)
        });
        let mut opening = InOpening { world: &self.world, path: self.path, instance, done: false };
        let failure = match what {
            Opening::Works => None,
            Opening::Slow(millis) => {
                sleep(Duration::from_millis(millis)).await;
                None
            }
            Opening::Hang => std::future::pending().await,
            Opening::Transient => Some(Failure::transient("open-down", "")),
            Opening::Halted => Some(Failure::halted("open-401", "")),
            Opening::Rejected => Some(Failure::rejected("open-400", "")),
            Opening::Panic => Some(Failure::halted("panic", "")),
        };
        opening.done = true;
        self.world.with(|state| state.opened(self.path, instance, failure.as_ref()));
        match failure {
            None => Ok(Arc::new(Open { world: self.world.clone(), path: self.path, instance, takes: self.takes })),
            Some(_) if what == Opening::Panic => resume_unwind(Box::new("as told")),
            Some(failure) => Err(failure),
        }
    }
}

/// An instance that is being opened. Dropping it is how that ends when time is up.
struct InOpening<'a> {
    world: &'a World,
    path: usize,
    instance: usize,
    done: bool,
}

impl Drop for InOpening<'_> {
    fn drop(&mut self) {
        if !self.done {
            let failure = Failure::transient("open-timeout", "");
            self.world.with(|state| state.opened(self.path, self.instance, Some(&failure)));
        }
    }
}

impl State {
    fn opened(&mut self, path: usize, instance: usize, failure: Option<&Failure>) {
        let probe = self.sink(path).map_or(Duration::ZERO, |sink| sink.settings.gate.probe);
        let last = self.calls;
        // What a killed run drops is of no account.
        let Some(path) = self.paths.get_mut(path).filter(|_| !self.killed) else { return };
        path.open_failed |= failure.is_some();
        path.opening.end();
        match failure {
            None => path.instances[instance].opened = Some(tokio::time::Instant::now()),
            // Whatever is not transient is halted.
            Some(failure) if failure.kind == TRANSIENT => path.gate.open(),
            Some(_) => path.gate.close(probe, last),
        }
        path.instances[instance].lost = failure.is_some();
    }

    fn closes(&mut self, path: usize, instance: usize) -> Closing {
        let what = self.closing(path);
        let name = self.paths[path].name.clone();
        self.note(|| format!("{name} closes instance {instance}: {what:?}"));
        let here = &mut self.paths[path].instances[instance];
        let problem = match (here.lost, here.closed, here.in_flight) {
            (true, ..) => Some("which was lost"),
            (_, true, _) => Some("which is closed"),
            (.., calls) if calls > 0 => Some("which has calls in flight"),
            _ => None,
        };
        here.closed = true;
        if let Some(problem) = problem {
            self.fail("instance", || format!("{name} closes instance {instance}, {problem}"));
        }
        what
    }
}

/// What a call will do.
struct Plan {
    /// Events that are really written.
    wrote: Vec<usize>,
    slow: u64,
    how: How,
}

enum How {
    Events(Vec<Told>, Option<u32>),
    Failed(FailureKind, &'static str),
    Lie,
    Trap,
    Panic,
    Hang,
    Behind,
}

#[async_trait]
impl Sink for Open {
    async fn write(&self, batch: &Batch, context: &WriteContext) -> Result<Outcome, WriteError> {
        if batch.is_empty() {
            return once::store_positions(&self.world, self.path, self.instance, context).await;
        }
        let call = Call::begin(&self.world, self.path, self.instance, batch, context);
        let lines_up = self.world.with(|state| state.join_line(&call));
        let broke = self.world.with(|state| state.paths[self.path].instances[self.instance].broke.clone());
        let notified = broke.notified();
        tokio::pin!(notified);
        notified.as_mut().enable();
        let pause = async |millis| {
            if millis > 0 {
                sleep(Duration::from_millis(millis)).await
            }
        };
        let work = async {
            if lines_up {
                pause(self.takes.0).await;
                context.turn.end();
                if !line::stand(&self.world, &call).await {
                    return How::Behind;
                }
            }
            let Plan { wrote, slow, how } = self.world.with(|state| state.plan(&call, context.ordered));
            pause(self.takes.0 + slow).await;
            self.world.with(|state| {
                state.write(&call, &wrote);
                if let How::Events(told, _) = &how {
                    state.through(&call, told);
                }
                // Nothing is stored where nothing was written.
                if let Some(next) = context.next.as_ref().filter(|_| !wrote.is_empty()) {
                    state.store(self.path, Some(&call), &wrote, next.after(batch.origin(), wrote.len()));
                }
            });
            pause(self.takes.1).await;
            if let How::Hang = how {
                std::future::pending::<()>().await;
            }
            how
        };
        let how = tokio::select! {
            biased;
            () = notified => {
                call.end(End::Lost("trap"));
                return Err(WriteError::Lost(Failure::unknown("trap", "")));
            }
            how = work => how,
        };
        self.answer(call, batch.len(), how)
    }

    async fn close(&self) -> Result<(), Failure> {
        match self.world.with(|state| state.closes(self.path, self.instance)) {
            Closing::Works => Ok(()),
            Closing::Fails => Err(Failure::transient("close", "")),
            Closing::Hangs => std::future::pending().await,
            Closing::Panics => resume_unwind(Box::new("as told")),
            Closing::Slow(millis) => {
                sleep(Duration::from_millis(millis)).await;
                Ok(())
            }
        }
    }
}

impl Open {
    fn answer(&self, call: Call, rows: usize, how: How) -> Result<Outcome, WriteError> {
        match how {
            How::Events(told, stopped_at) => {
                let refused = told.iter().enumerate().filter_map(|(row, told)| match *told {
                    Told::Refused(kind, code) => {
                        let failure = Failure::new(kind, code, "");
                        Some(Refusal { rows: RowSet::from_rows(vec![row as u32]), failure })
                    }
                    _ => None,
                });
                let outcome = Outcome::new(rows, refused.collect(), stopped_at);
                call.end(End::Events(told));
                Ok(outcome?)
            }
            How::Failed(kind, code) => {
                call.end(End::Failed(kind, code));
                Err(Failure::new(kind, code, "").into())
            }
            How::Behind => {
                call.end(End::Behind);
                Err(Failure::transient("behind", "").into())
            }
            How::Lie => {
                call.end(End::Failed(FailureKind::Unknown, "bad-report"));
                let refused =
                    vec![Refusal { rows: RowSet::from_rows(vec![rows as u32]), failure: Failure::rejected("no", "") }];
                Ok(Outcome::new(rows, refused, None)?)
            }
            How::Trap => {
                let broke = self.world.with(|state| {
                    let instance = &mut state.paths[self.path].instances[self.instance];
                    instance.broken = true;
                    instance.broke.clone()
                });
                call.end(End::Lost("trap"));
                broke.notify_waiters();
                Err(WriteError::Lost(Failure::unknown("trap", "")))
            }
            How::Panic => {
                call.end(End::Lost("panic"));
                resume_unwind(Box::new("as told"))
            }
            // It does not get here.
            How::Hang => Err(Failure::unknown("hang", "").into()),
        }
    }
}

impl State {
    fn plan(&mut self, call: &Call, ordered: bool) -> Plan {
        let mut told = vec![Told::Untried; call.rows.len()];
        let plan = self.plan_rows(call, ordered, &mut told);
        let answers = matches!(plan.how, How::Events(..));
        for (event, told) in call.events.iter().zip(&call.of_events(&told)) {
            // The answer may come too late, and the sink goes on behind what it rejects.
            let forgotten = match told {
                Told::Refused(FailureKind::Rejected, _) => true,
                Told::Refused(..) => !answers,
                _ => false,
            };
            self.paths[call.path].events[*event].now.forgotten |= forgotten;
        }
        plan
    }

    fn plan_rows(&mut self, call: &Call, ordered: bool, told: &mut [Told]) -> Plan {
        let stops = ordered && self.sink(call.path).is_some_and(|sink| sink.contract.stops_in_order);
        let once = self.paths[call.path].has.is_some();
        let (mut slow, mut stopped_at) = (0, None);
        for (row, what) in call.rows.iter().enumerate() {
            let act = what.of.last().and_then(|event| self.act(call.path, *event));
            let before = || written(call, told);
            let all = || call.events.clone();
            let plan = |wrote, how| Plan { wrote, slow, how };
            told[row] = match act {
                None => Told::Written,
                Some(Act::Slow(millis)) => {
                    slow += millis;
                    Told::Written
                }
                Some(Act::Transient(code)) => Told::Refused(TRANSIENT, CODES[code as usize]),
                Some(Act::Advised(millis)) => Told::Refused(advised(millis), "429"),
                Some(Act::Reject(code)) => Told::Refused(FailureKind::Rejected, BAD[code as usize]),
                Some(Act::Unknown) => Told::Refused(FailureKind::Unknown, "lost"),
                Some(Act::Halted) => Told::Refused(FailureKind::Halted, "401"),
                Some(Act::AllTransient) => return plan(vec![], How::Failed(TRANSIENT, "down")),
                Some(Act::AllAdvised(millis)) => return plan(vec![], How::Failed(advised(millis), "all-429")),
                Some(Act::AllRejected) => return plan(vec![], How::Failed(FailureKind::Rejected, "400")),
                Some(Act::AllUnknown) => return plan(before(), How::Failed(FailureKind::Unknown, "all-lost")),
                Some(Act::AllHalted) => return plan(vec![], How::Failed(FailureKind::Halted, "all-401")),
                Some(Act::WrittenUnknown) => return plan(all(), How::Failed(FailureKind::Unknown, "all-lost")),
                Some(Act::Trap) => return plan(vec![], How::Trap),
                Some(Act::WrittenTrap) => return plan(before(), How::Trap),
                Some(Act::Panic) => return plan(before(), How::Panic),
                Some(Act::Hang) => return plan(vec![], How::Hang),
                Some(Act::WrittenHang) => return plan(before(), How::Hang),
                Some(Act::Lie) => return plan(all(), How::Lie),
                Some(Act::Idle) => {
                    stopped_at = Some(row as u32);
                    break;
                }
            };
            let done =
                told[row] == Told::Written || matches!(told[row], Told::Refused(FailureKind::Rejected, _)) && !once;
            if (stops || once) && !done {
                stopped_at = Some(row as u32 + 1);
                break;
            }
        }
        Plan { wrote: written(call, told), slow, how: How::Events(told.to_vec(), stopped_at) }
    }

    /// What the sink does with an event this time.
    fn act(&mut self, path: usize, event: usize) -> Option<Act> {
        if !self.trouble() {
            return None;
        }
        let tries = &mut self.paths[path].events[event].tries;
        *tries += 1;
        let tried = *tries - 1;
        self.sink(path)?.acts.get(&event)?.get(tried).copied()
    }
}

/// The events that the sink has all of.
fn written(call: &Call, told: &[Told]) -> Vec<usize> {
    let told = call.of_events(told);
    let written = call.events.iter().zip(told).filter(|(_, told)| *told == Told::Written);
    written.map(|(event, _)| *event).collect()
}

fn advised(millis: u64) -> FailureKind {
    FailureKind::Transient { after: Some(Duration::from_millis(millis)) }
}
