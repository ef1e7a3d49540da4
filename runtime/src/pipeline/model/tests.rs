//! The schedules that are tried, and what is printed of those that show something wrong.
#![expect(
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "what is tried is told, and may be chosen, from outside"
)]

use std::panic::catch_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::draw::Rng;
use super::run::{Ran, run};
use super::schedule::Schedule;
use super::shrink::shrink;
use super::world::Violation;
use crate::defect::{self, Defect};

/// How many schedules are tried unless somebody says otherwise.
const SCHEDULES: u64 = 100_000;
const THREADS: u64 = 2;
/// What the seeds are drawn from, unless somebody says otherwise.
const BASE: u64 = 20_261_124;
/// A schedule takes milliseconds.
const STUCK: Duration = Duration::from_secs(120);

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

pub(super) fn tell(line: &str) {
    eprintln!("{line}");
}

pub(super) fn of_seed(seed: u64, traced: bool) -> Ran {
    let ran = catch_unwind(|| run(&Arc::new(Schedule::draw(seed)), traced));
    ran.unwrap_or_else(|_| Ran {
        violation: Some(Violation { rule: "breaks", story: "a panic".into() }),
        ..Ran::default()
    })
}

/// What a schedule was and what happened, for people: as small as it shows the same.
fn story(seed: u64) -> String {
    let schedule = catch_unwind(|| shrink(Schedule::draw(seed))).unwrap_or_else(|_| Schedule::draw(seed));
    let ran = run(&Arc::new(schedule.clone()), true);
    let verdict = ran.violation.map_or("nothing is wrong".into(), |wrong| format!("{}: {}", wrong.rule, wrong.story));
    let trace = ran.trace.join("\n");
    format!("{schedule:#?}\n{trace}\nseed {seed}: {verdict}\nagain: SUMP_SEED={seed} cargo test -p sump model\n")
}

/// Tries schedules on some threads, each named by its seed, until they are used up or time is.
struct Trial {
    base: u64,
    next: AtomicU64,
    most: u64,
    until: Option<Instant>,
    calls: AtomicU64,
    stop: AtomicBool,
}

impl Trial {
    fn seed(&self) -> Option<u64> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let more = number < self.most || self.until.is_some_and(|until| Instant::now() < until);
        (more && !self.stop.load(Ordering::Relaxed)).then(|| Rng::new(self.base.wrapping_add(number)).next())
    }

    fn work(&self, done: &mpsc::Sender<(u64, bool)>) {
        while let Some(seed) = self.seed() {
            let ran = of_seed(seed, false);
            self.calls.fetch_add(ran.calls as u64, Ordering::Relaxed);
            if done.send((seed, ran.violation.is_some())).is_err() {
                return;
            }
        }
    }
}

/// The seeds of schedules that went wrong; and how many were tried, with how many calls.
fn try_schedules(base: u64, most: u64, until: Option<Instant>, enough: usize) -> (Vec<u64>, u64, u64) {
    let trial = Arc::new(Trial {
        base,
        next: AtomicU64::new(0),
        most,
        until,
        calls: AtomicU64::new(0),
        stop: AtomicBool::new(false),
    });
    let (done, results) = mpsc::channel();
    for _ in 0..THREADS {
        let (trial, done) = (trial.clone(), done.clone());
        std::thread::spawn(move || trial.work(&done));
    }
    drop(done);
    let (mut wrong, mut tried) = (Vec::new(), 0);
    loop {
        match results.recv_timeout(STUCK) {
            Ok((seed, failed)) => {
                tried += 1;
                if failed {
                    wrong.push(seed);
                    if wrong.len() >= enough {
                        trial.stop.store(true, Ordering::Relaxed);
                    }
                }
            }
            Err(RecvTimeoutError::Disconnected) => return (wrong, tried, trial.calls.load(Ordering::Relaxed)),
            Err(RecvTimeoutError::Timeout) => {
                panic!("a schedule never ends: one of number {tried} to {} from {base}", tried + THREADS)
            }
        }
    }
}

#[test]
fn nothing_is_lost_under_any_schedule() {
    if let Some(seed) = number("SUMP_SEED") {
        let story = story(seed);
        eprintln!("{story}");
        assert!(of_seed(seed, false).violation.is_none(), "seed {seed} shows a violation: see above");
        return;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
    // The same for everybody, so that a change is to blame for what it shows; a soak looks for what nobody has seen.
    let usual = if number("SUMP_SOAK").is_some() { now } else { BASE };
    let base = number("SUMP_BASE").unwrap_or(usual);
    let most = number("SUMP_SCHEDULES").unwrap_or(SCHEDULES);
    let until = number("SUMP_SOAK").map(|minutes| Instant::now() + Duration::from_secs(60 * minutes));
    let enough = number("SUMP_ENOUGH").unwrap_or(1) as usize;
    eprintln!("{most} schedules from SUMP_BASE={base}");
    let (wrong, tried, calls) = try_schedules(base, most, until, enough);
    eprintln!("{tried} schedules tried, with {calls} calls of sinks");
    if enough > 1 {
        for seed in &wrong {
            let wrong = of_seed(*seed, false).violation.expect("the same again");
            eprintln!("{seed}: {} {}", wrong.rule, wrong.story);
        }
    }
    if let Some(seed) = wrong.first() {
        panic!("{}", story(*seed));
    }
}

#[test]
fn the_same_seed_gives_the_same_story() {
    // Calls that are given up together are told so in an order of tokio's choice.
    let given_up = |seed: &u64| Schedule::draw(*seed).runs.iter().any(|run| run.give_up.is_some());
    for seed in (0..300).filter(|seed| !given_up(seed)) {
        let (one, other) = (of_seed(seed, true).trace, of_seed(seed, true).trace);
        let differ = one.iter().zip(&other).position(|(one, other)| one != other);
        assert_eq!(differ.map(|at| (&one[at], &other[at])), None, "seed {seed}");
        assert_eq!(one.len(), other.len(), "seed {seed}");
    }
}

#[test]
fn a_schedule_that_shows_something_wrong_is_made_smaller() {
    defect::with(Some(Defect::ExceedBatch), || {
        let shows = |seed: &u64| Schedule::draw(*seed).events.len() > 20 && of_seed(*seed, false).violation.is_some();
        let seed = (0..).find(shows).expect("some schedule");
        let (whole, small) = (Schedule::draw(seed), shrink(Schedule::draw(seed)));
        assert!(small.events.len() < whole.events.len(), "{} events of {}", small.events.len(), whole.events.len());
        assert_eq!(run(&Arc::new(small), false).violation.map(|wrong| wrong.rule), Some("limits"));
    });
}
