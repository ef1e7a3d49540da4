//! Which events of a block go to which sink of a pipeline.

use std::sync::Arc;

use crate::batch::{Batch, RowSet};
use crate::config::{Match, OnConditionError, Otherwise, Routing};
use crate::expr::Condition;
use crate::metrics::PipelineMetrics;

/// The conditions of a pipeline's sinks, in their order.
#[derive(Debug)]
pub(super) struct Router {
    routing: Routing,
    conditions: Vec<Option<Condition>>,
    metrics: Arc<PipelineMetrics>,
}

/// Where the events of one block go.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Routed {
    /// For each sink, in order.
    pub(super) sinks: Vec<RowSet>,
    /// To be rejected because no sink takes them.
    pub(super) not_taken: RowSet,
    /// To be rejected because only conditions that failed kept them from every sink.
    pub(super) failed: RowSet,
}

impl Router {
    pub(super) fn new(routing: Routing, conditions: Vec<Option<Condition>>, metrics: Arc<PipelineMetrics>) -> Router {
        Router { routing, conditions, metrics }
    }

    /// Asks each condition once.
    pub(super) fn route(&self, batch: &Batch) -> Routed {
        let all = RowSet::all(batch.len());
        let (mut taken, mut failed) = (RowSet::default(), RowSet::default());
        let mut sinks = Vec::with_capacity(self.conditions.len());
        for condition in &self.conditions {
            // Under `first`, what an earlier sink took is not offered to a later one.
            let offered = match self.routing.mode {
                Match::All => all.clone(),
                Match::First => all.without(&taken),
            };
            let rows = match condition {
                None => offered,
                Some(_) if offered.is_empty() => offered,
                Some(condition) => {
                    let verdicts = condition.evaluate(batch);
                    let broken = verdicts.failed.intersection(&offered);
                    self.metrics.condition_errors.add(broken.len() as u64);
                    failed = failed.union(&broken);
                    verdicts.holds.intersection(&offered)
                }
            };
            taken = taken.union(&rows);
            sinks.push(rows);
        }
        let left = all.without(&taken);
        self.metrics.not_taken.add(left.len() as u64);
        let failed = match self.routing.on_condition_error {
            OnConditionError::Reject => failed.intersection(&left),
            OnConditionError::False => RowSet::default(),
        };
        let not_taken = match self.routing.otherwise {
            Otherwise::Reject => left.without(&failed),
            Otherwise::Drop => RowSet::default(),
        };
        Routed { sinks, not_taken, failed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{BatchBuilder, Event, Partition};

    const EVENTS: [&str; 4] = [r#"{"mag":1}"#, r#"{"mag":5}"#, "not json", r#"{"mag":9}"#];

    fn route(routing: Routing, conditions: &[Option<&str>]) -> (Routed, u64, u64) {
        let mut builder = BatchBuilder::new();
        for (position, payload) in (0..).zip(EVENTS) {
            let event = Event { payload: Some(payload.as_bytes()), position, ..Event::default() };
            builder.push(&Partition::from("a"), event);
        }
        let metrics = Arc::new(PipelineMetrics::default());
        let conditions = conditions.iter().map(|text| text.map(|text| Condition::parse(text).unwrap())).collect();
        let routed = Router::new(routing, conditions, metrics.clone()).route(&builder.finish().unwrap());
        (routed, metrics.condition_errors.get(), metrics.not_taken.get())
    }

    fn rows(rows: &[u32]) -> RowSet {
        RowSet::from_rows(rows.to_vec())
    }

    #[test]
    fn every_sink_whose_condition_holds_takes_an_event() {
        let (routed, errors, not_taken) =
            route(Routing::default(), &[Some("event.mag >= 4.5"), Some("event.mag > 8.0"), None]);
        assert_eq!(routed.sinks, [rows(&[1, 3]), rows(&[3]), rows(&[0, 1, 2, 3])]);
        assert_eq!((errors, not_taken), (2, 0));
    }

    #[test]
    fn under_first_only_the_first_of_them_does() {
        let routing = Routing { mode: Match::First, ..Routing::default() };
        let (routed, errors, not_taken) = route(routing, &[Some("event.mag >= 4.5"), Some("event.mag > 0.0"), None]);
        assert_eq!(routed.sinks, [rows(&[1, 3]), rows(&[0]), rows(&[2])]);
        assert_eq!((errors, not_taken), (2, 0));
    }

    #[test]
    fn what_no_sink_takes_is_counted_and_rejected_where_that_was_asked_for() {
        let conditions = [Some("event.mag > 8.0")];
        let (routed, errors, not_taken) = route(Routing::default(), &conditions);
        assert_eq!((routed.not_taken, routed.failed, errors, not_taken), (rows(&[]), rows(&[]), 1, 3));
        let otherwise = Routing { otherwise: Otherwise::Reject, ..Routing::default() };
        let (routed, ..) = route(otherwise.clone(), &conditions);
        assert_eq!((routed.not_taken, routed.failed), (rows(&[0, 1, 2]), rows(&[])));
        let both = Routing { on_condition_error: OnConditionError::Reject, ..otherwise };
        let (routed, ..) = route(both, &conditions);
        assert_eq!((routed.not_taken, routed.failed), (rows(&[0, 1]), rows(&[2])));
    }
}
