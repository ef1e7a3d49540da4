//! Defects that tests switch on, to see that the model of the delivery path finds them.
//!
//! Outside of tests `on` is a constant `false`, and nothing of this is left in the program.

/// A mistake that somebody could make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Defect {
    /// The source is acknowledged past an event that is not final.
    AcknowledgeEarly,
    /// The source is acknowledged where the fastest sink is.
    AcknowledgeHighest,
    /// A position is saved past an event that is not final.
    SaveAhead,
    /// After a restart the source goes on where the fastest sink was.
    ResumePast,
    /// After a restart a sink does not pass over what it has.
    ForgetResume,
    /// What is settled for an assignment that has ended counts for the next one.
    CountOldAssignment,
    /// An event of a batch that is split counts as written, and is in neither half.
    ForgetInSplit,
    /// An instance that broke stays in use.
    ReuseBroken,
    /// All lanes share an instance, however few calls it takes.
    OneInstanceForAll,
    /// An instance that was lost is closed.
    CloseLost,
    /// An instance is closed while calls are in flight in it.
    CloseUnderCalls,
    /// Events count as final while there is no room for their dead letters.
    SettleBeforeDurable,
    /// Refused events are settled as if they were written.
    RefusedAsWritten,
    /// Written events are tried again with those that were refused.
    RetryWritten,
    /// What the sink did not try counts as written.
    IgnoreStoppedAt,
    /// What comes again comes in the opposite order.
    ReversePieces,
    /// What may be written comes again in other batches.
    RepeatInParts,
    /// A closed gate lets everything pass.
    OpenUnprobed,
    /// The gate of a halted sink closes after its instance.
    CloseBeforeGate,
    /// A halted sink charges its events an attempt.
    ChargeHalted,
    /// Transient failures are repeated without a bound.
    IgnoreAttempts,
    /// Unknown outcomes are repeated without a bound.
    IgnoreUnknownBudget,
    /// A call may take twice as long as its timeout.
    IgnoreDeadline,
    /// The halves of a batch begin with no attempt spent.
    FreshHalves,
    /// The search for bad events does not end before all are found.
    EndlessSearch,
    /// Events are tried after time was up.
    GoOnAfterTheEnd,
    /// What is left when the queue closes is given up.
    DropLastBatch,
    /// Memory is not given back.
    LeakCharge,
    /// Memory is given back while events are on their way.
    ReleaseEarly,
    /// A batch has one event more than allowed.
    ExceedBatch,
    /// Dead letters are told with a reason that is not theirs.
    WrongReason,
    /// A dropped event is counted as written.
    MiscountDropped,
    /// What routes reject is not kept.
    ForgetUnrouted,
    /// Events go to lanes without regard to their keys.
    SpreadIgnoringKeys,
    /// A batch has events for several destinations.
    MixDestinations,
    /// New events of a required sink become dead letters while its gate is closed.
    DivertRequired,
    /// New events of a sink that is not required become dead letters while its queue has room.
    DivertEarly,
    /// The answer to a call that began before the gate closed opens it.
    OpenLate,
    /// Events are handed to calls faster than their rate.
    IgnoreRate,
    /// Adaptive calls begin with as many at a time as there may ever be.
    IgnoreLimit,
    /// A call that waited for its rate begins though the gate closed meanwhile.
    PassBeforePace,
    /// Where the sink says that it goes on is not heeded at start.
    IgnoreStored,
    /// A sink that may have events is not asked whether it has them.
    RepeatStored,
    /// What follows from an answer does not wait until the sink has said what it has.
    ConcludeUnasked,
    /// The positions that are stored cover an event that was refused.
    CoverRefused,
    /// Events of a partition that was taken away are delivered.
    DeliverRevoked,
    /// A partition is let go while calls with its events are in flight.
    ForgetFlights,
    /// A partition that was let go is acknowledged for.
    AcknowledgeRevoked,
    /// A partition is let go before what is final of it is acknowledged.
    LetGoUnacknowledged,
    /// Calls begin though events of one ahead of them come again.
    AheadGoesOn,
    /// What an encoder made of an event loses one of its values on the way to the batcher.
    ForgetValue,
    /// An event is written once its first value is.
    SettleFirstValue,
    /// The values of one event go in several batches.
    CutGroup,
}

/// Whether a defect is switched on.
#[cfg(not(test))]
#[inline(always)]
pub(crate) const fn on(_: Defect) -> bool {
    false
}

#[cfg(test)]
pub(crate) use switch::{on, with};

#[cfg(test)]
mod switch {
    use std::cell::Cell;

    use super::Defect;

    thread_local! {
        static ON: Cell<Option<Defect>> = const { Cell::new(None) };
    }

    /// Whether a defect is switched on in this thread.
    pub(crate) fn on(defect: Defect) -> bool {
        ON.get() == Some(defect)
    }

    /// Runs something in this thread with a defect, or with none.
    pub(crate) fn with<T>(defect: Option<Defect>, run: impl FnOnce() -> T) -> T {
        struct Off;
        impl Drop for Off {
            fn drop(&mut self) {
                ON.set(None);
            }
        }
        let _off = Off;
        ON.set(defect);
        run()
    }
}
