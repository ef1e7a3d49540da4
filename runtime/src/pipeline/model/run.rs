//! Runs a schedule: one run after another, each on a runtime of its own whose time is paused.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::letters::Letters;
use super::schedule::{KEY, Pipeline, Run, Schedule};
use super::verify::Ended;
use super::world::{NOBODY, Violation, World};
use super::{encoder, sink, source};
use crate::delivery::{Delivery, ExactlyOnceParts, Parts, Stopped};
use crate::envelope::{Ledger, PathName};
use crate::expr::{Condition, Template};
use crate::metrics::{PipelineMetrics, SourceMetrics};
use crate::pipeline::feed::{Fan, Feed, FeedError, FeedSignals, Outlet};
use crate::pipeline::keys::Keys;
use crate::pipeline::positions::{SavedSource, Store};
use crate::pipeline::route::Router;
use crate::sink::encode::Encoder;

/// No schedule takes longer, in virtual time.
const FOREVER: Duration = Duration::from_secs(3000);

/// What a schedule did.
#[derive(Clone, Debug, Default)]
pub(super) struct Ran {
    pub(super) calls: usize,
    pub(super) violation: Option<Violation>,
    pub(super) trace: Vec<String>,
}

/// Runs all of it, or up to the first violation.
pub(super) fn run(schedule: &Arc<Schedule>, traced: bool) -> Ran {
    let world = World::new(schedule.clone(), traced);
    let store = store(&world);
    let mut ran = Ran::default();
    for number in 0..schedule.runs.len() {
        run_once(&world, &store, number);
        let state = world.lock();
        ran.calls += state.calls;
        if state.violation.is_some() {
            break;
        }
    }
    drop(store);
    let mut state = world.lock();
    state.check_nothing_outlives();
    ran.violation = state.violation.take();
    ran.trace = state.trace.take().unwrap_or_default();
    ran
}

fn store(world: &World) -> Store {
    let world = world.clone();
    Store::witnessed(Arc::new(move |positions| {
        world.with(|state| {
            // Which ones fail follows from what was saved before.
            let chance = state.schedule.runs[state.run].unsaved;
            let drawn = (state.began.elapsed().as_millis() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33;
            if drawn % 100 < chance {
                return Err(std::io::Error::other("as told"));
            }
            state.save(positions);
            Ok(())
        })
    }))
}

fn run_once(world: &World, store: &Store, number: usize) {
    let builder = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = builder.expect("a runtime without I/O");
    let plan = world.lock().schedule.runs[number].clone();
    fastrand::seed(plan.seed);
    runtime.block_on(async {
        world.with(|state| state.begin(number));
        let (signals, feed) = build(world, store);
        let ended = attend(world, &plan, &signals, feed).await;
        world.with(|state| {
            if ended == Ended::Killed {
                state.note(|| "killed".into());
            } else {
                let all_read = plan.stop.is_none() && plan.give_up.is_none();
                state.check_ended(ended, all_read);
                state.check_end_of_time();
            }
            // What happens while the tasks of this run are dropped has not happened.
            state.killed = true;
        });
    });
}

/// One channel for each who listens: they hear of it in their order, as the same schedule is always the same.
#[derive(Default)]
struct Signals {
    stop: watch::Sender<bool>,
    give_up: Vec<watch::Sender<bool>>,
}

impl Signals {
    fn give_up(&mut self) -> watch::Receiver<bool> {
        let (sender, receiver) = watch::channel(false);
        self.give_up.push(sender);
        receiver
    }
}

/// Until the run ends, or is ended.
async fn attend(world: &World, plan: &Run, signals: &Signals, feed: Feed) -> Ended {
    let after = async |time: Option<u64>| match time {
        Some(millis) => sleep(Duration::from_millis(millis)).await,
        None => std::future::pending().await,
    };
    let kill = async {
        after(plan.kill).await;
        world.with(|state| state.killed = true);
    };
    let stop = async {
        after(plan.stop).await;
        signals.stop.send_replace(true);
        std::future::pending::<()>().await
    };
    let give_up = async {
        after(plan.give_up).await;
        world.with(|state| {
            state.note(|| "time is up".into());
            state.given_up = Some(Instant::now());
        });
        signals.stop.send_replace(true);
        for give_up in &signals.give_up {
            give_up.send_replace(true);
        }
        std::future::pending::<()>().await
    };
    tokio::select! {
        biased;
        () = world.wrong.notified() => Ended::Killed,
        () = kill => Ended::Killed,
        () = stop => Ended::Killed,
        () = give_up => Ended::Killed,
        ended = feed.run() => judge(world, ended),
        () = sleep(FOREVER) => {
            world.with(|state| state.fail("terminates", || format!("it did not end within {FOREVER:?}")));
            Ended::Killed
        }
    }
}

/// Errors that the schedule asked for are none.
fn judge(world: &World, ended: Result<(), FeedError>) -> Ended {
    let Err(error) = ended else { return Ended::Well };
    world.with(|state| {
        let expected = state.failing
            && matches!(
                error,
                FeedError::NotOpened { .. }
                    | FeedError::Source { .. }
                    | FeedError::DeadLetters(_)
                    | FeedError::Stopped(Stopped::DeadLetters { .. })
            );
        if !expected {
            state.fail("breaks", || format!("the run ended by itself: {error}"));
        }
        state.note(|| format!("ends: {error}"));
    });
    Ended::Failed
}

/// The parts of a run, put together like those of a configuration.
fn build(world: &World, store: &Store) -> (Signals, Feed) {
    let mut signals = Signals::default();
    let schedule = world.lock().schedule.clone();
    let saved = store.of("source");
    let mut ledger = Ledger::new();
    let mut deliveries = JoinSet::new();
    let rejects = |ledger: &mut Ledger, pipeline: &str| {
        let name = PathName { pipeline: pipeline.into(), sink: NOBODY.into() };
        let number = world.lock().path(&name).expect("a path for each pipeline");
        let metrics = world.lock().paths[number].metrics.clone();
        let resume = saved.path(&name);
        ledger.path(name, resume, metrics)
    };
    let framing = rejects(&mut ledger, NOBODY);
    let mut fans = Vec::new();
    for (number, pipeline) in schedule.pipelines.iter().enumerate() {
        let name = format!("p{number}");
        let (router, sinks) = fan(world, &saved, pipeline, &name, &mut signals, &mut ledger, &mut deliveries);
        let (rejects, dead_letters) = (rejects(&mut ledger, &name), Arc::new(Letters(world.clone())));
        let keys = Keys(pipeline.keyed.then(|| Template::parse(KEY).expect("a template of the model")));
        fans.push(Fan { keys, router, sinks, rejects, dead_letters });
    }
    let feed = Feed {
        name: "source".into(),
        open: Box::new(source::Scripted(world.clone())),
        resume: saved.resume(ledger.positions().keys()),
        ledger,
        fans,
        framing,
        dead_letters: Arc::new(Letters(world.clone())),
        store: store.clone(),
        position_interval: schedule.position_interval,
        metrics: Arc::new(SourceMetrics::default()),
        deliveries,
        signals: FeedSignals { stop: signals.stop.subscribe(), give_up: signals.give_up() },
    };
    (signals, feed)
}

fn fan(
    world: &World,
    saved: &SavedSource,
    pipeline: &Pipeline,
    name: &str,
    signals: &mut Signals,
    ledger: &mut Ledger,
    deliveries: &mut JoinSet<Result<(), Stopped>>,
) -> (Router, Vec<Outlet>) {
    let (mut sinks, mut conditions) = (Vec::new(), Vec::new());
    for (number, plan) in pipeline.sinks.iter().enumerate() {
        let path = PathName { pipeline: name.into(), sink: format!("s{number}").into() };
        let condition = plan.when.map(|when| Condition::parse(&when.text()).expect("a condition of the model"));
        conditions.push(condition);
        let mut state = world.lock();
        let at = state.path(&path).expect("a path for each sink");
        let metrics = state.paths[at].metrics.clone();
        let connect =
            sink::Scripted { world: world.clone(), path: at, contract: plan.contract.clone(), takes: plan.takes };
        let delivery = Delivery::new(Parts {
            path: path.clone(),
            settings: plan.settings.clone(),
            connect: Arc::new(connect),
            encoder: plan
                .encoding
                .clone()
                .map(|encoding| Arc::new(encoder::Scripted::new(world.clone(), at, encoding)) as Arc<dyn Encoder>),
            dead_letters: Arc::new(Letters(world.clone())),
            buffer: None,
            witness: None,
            metrics: metrics.clone(),
            keep_unfinished: !state.schedule.replayable,
            give_up: signals.give_up(),
        });
        let (queue, gate) = (delivery.queue().clone(), delivery.gate());
        state.paths[at].queue = Some(queue.clone());
        state.paths[at].real_gate = Some(gate.clone());
        let account = ledger.path(path.clone(), saved.path(&path), metrics);
        let exactly_once = plan.settings.exactly_once.then(|| {
            let (account, saved) = (account.clone(), saved.path(&path));
            let interval = state.schedule.position_interval;
            delivery.exactly_once(ExactlyOnceParts { account, saved, from_start: false, interval })
        });
        sinks.push(Outlet { path: account, queue, gate, required: plan.settings.required, exactly_once });
        deliveries.spawn(delivery.run());
    }
    (Router::new(pipeline.routing.clone(), conditions, Arc::new(PipelineMetrics::default())), sinks)
}
