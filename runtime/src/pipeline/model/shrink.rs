//! Makes a schedule that shows something wrong smaller, for people.

use std::sync::Arc;

use super::run::run;
use super::schedule::{Schedule, Sink};

/// A smaller schedule in which the same invariant breaks: fewer runs, fewer events, fewer acts.
pub(super) fn shrink(schedule: Schedule) -> Schedule {
    let Some(rule) = broken(&schedule) else { return schedule };
    let mut smallest = schedule;
    // Each step may make room for others; a few times round is enough.
    for _ in 0..3 {
        let before = format!("{smallest:?}").len();
        for step in steps(&smallest) {
            let mut smaller = smallest.clone();
            step(&mut smaller);
            if broken(&smaller) == Some(rule) {
                smallest = smaller;
            }
        }
        if format!("{smallest:?}").len() == before {
            break;
        }
    }
    smallest
}

fn broken(schedule: &Schedule) -> Option<&'static str> {
    run(&Arc::new(schedule.clone()), false).violation.map(|violation| violation.rule)
}

type Step = Box<dyn Fn(&mut Schedule)>;

fn steps(schedule: &Schedule) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for _ in 1..schedule.runs.len() {
        steps.push(Box::new(|schedule| {
            if schedule.runs.len() > 1 {
                schedule.runs.remove(0);
            }
        }));
    }
    steps.push(Box::new(|schedule| schedule.runs.iter_mut().for_each(|run| run.keeping.clear())));
    steps.push(Box::new(|schedule| schedule.runs.iter_mut().for_each(|run| (run.reassigns, run.pauses) = (0, 0))));
    for drop in [32, 16, 8, 4, 2, 1, 1, 1] {
        steps.push(Box::new(move |schedule| drop_events(schedule, drop)));
    }
    for (pipeline, sinks) in schedule.pipelines.iter().enumerate() {
        for (sink, plan) in sinks.sinks.iter().enumerate() {
            let mut change = |step: fn(&mut Sink)| {
                steps.push(Box::new(move |schedule| step(&mut schedule.pipelines[pipeline].sinks[sink])));
            };
            change(|sink| sink.acts.clear());
            change(|sink| sink.asks.clear());
            change(|sink| sink.opens.clear());
            change(|sink| sink.closes.clear());
            change(|sink| sink.takes = (0, 0));
            for &event in plan.acts.keys() {
                steps.push(Box::new(move |schedule| {
                    schedule.pipelines[pipeline].sinks[sink].acts.remove(&event);
                }));
            }
        }
    }
    steps
}

/// The last events, and what was to happen to them.
fn drop_events(schedule: &mut Schedule, events: usize) {
    let left = schedule.events.len().saturating_sub(events).max(1);
    schedule.events.truncate(left);
    for partition in &mut schedule.partitions {
        partition.first = partition.first.min(left);
        partition.len = left.saturating_sub(partition.first).min(partition.len);
    }
    for sink in schedule.pipelines.iter_mut().flat_map(|pipeline| &mut pipeline.sinks) {
        sink.acts.retain(|event, _| *event < left);
    }
}
