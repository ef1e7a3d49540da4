//! Calls under way whose order the sink keeps: each writes after the one before it, and not at all behind one that failed.

use std::sync::Arc;

use tokio::sync::Notify;

use super::calls::{Call, End, Told};
use super::world::{State, World};
use crate::sink::FailureKind;

/// The calls in a sink, in the order in which they began.
#[derive(Clone, Debug, Default)]
pub(super) struct Line {
    places: Vec<Place>,
    moved: Arc<Notify>,
}

#[derive(Clone, Debug)]
struct Place {
    call: usize,
    /// It has written, and nothing of it comes again.
    through: bool,
    /// One ahead of it has events that come again.
    behind: bool,
}

impl Line {
    /// Whether a call may write; none while that is not known.
    fn may_write(&self, call: usize) -> Option<bool> {
        let place = self.places.iter().position(|place| place.call == call)?;
        let ahead = &self.places[..place];
        match self.places[place].behind {
            true => Some(false),
            false => ahead.iter().all(|place| place.through).then_some(true),
        }
    }
}

/// A call in the line waits until it is known whether it may write.
pub(super) async fn stand(world: &World, call: &Call) -> bool {
    let moved = world.with(|state| state.paths[call.path].line.moved.clone());
    loop {
        let notified = moved.notified();
        tokio::pin!(notified);
        notified.as_mut().enable();
        if let Some(may) = world.with(|state| state.paths[call.path].line.may_write(call.number)) {
            return may;
        }
        notified.await;
    }
}

/// Whether something that was told of events makes some come again.
fn comes_again(told: &[Told]) -> bool {
    let again = |kind: FailureKind| matches!(kind, FailureKind::Transient { .. } | FailureKind::Unknown);
    told.iter().any(|told| match told {
        Told::Written => false,
        Told::Refused(kind, _) => again(*kind),
        Told::Untried => true,
    })
}

impl State {
    /// A call begins. Whether it is one whose order the sink keeps.
    pub(super) fn join_line(&mut self, call: &Call) -> bool {
        let lines_up = self.sink(call.path).is_some_and(|sink| sink.ahead() > 1);
        if lines_up {
            let place = Place { call: call.number, through: false, behind: false };
            self.paths[call.path].line.places.push(place);
        }
        lines_up
    }

    /// A call has written what it will, and tells this of each row: those behind it may go on.
    pub(super) fn through(&mut self, call: &Call, told: &[Told]) {
        let line = &mut self.paths[call.path].line;
        if let Some(place) = line.places.iter_mut().find(|place| place.call == call.number)
            && !comes_again(told)
        {
            place.through = true;
            line.moved.notify_waiters();
        }
    }

    pub(super) fn leave_line(&mut self, call: &Call, end: &End) {
        let again = match end {
            End::Events(told) => comes_again(told),
            End::Failed(..) | End::Behind | End::Lost(_) | End::Dropped => true,
        };
        let line = &mut self.paths[call.path].line;
        let Some(place) = line.places.iter().position(|place| place.call == call.number) else { return };
        line.places.remove(place);
        line.places[place..].iter_mut().for_each(|place| place.behind |= again);
        line.moved.notify_waiters();
    }
}
