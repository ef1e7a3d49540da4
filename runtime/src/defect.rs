//! Defects that tests switch on, to see that the model of the delivery path finds them.
//!
//! Outside of tests `on` is a constant `false`, and nothing of this is left in the program.

/// A mistake that somebody could make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Defect {
    /// A position passes events that are not final.
    AcknowledgeEarly,
    /// What is settled for an assignment that was revoked counts for the next one.
    CountOldAssignment,
    /// Each sink resumes where the fastest has come to.
    SaveHighest,
    /// A block that is handed over while a partition is revoked begins an assignment of its own.
    AssignByBlock,
    /// A sink passes over less than it has, after a restart.
    ResumeEarly,
    /// The last events of a split are given up silently.
    ForgetInSplit,
    /// An instance that broke stays in use.
    ReuseBroken,
    /// Events count as final before their dead letters are durable.
    SettleBeforeDurable,
    /// Refused events are settled as if they were written.
    RefusedAsWritten,
    /// Written events are tried again with those that were refused.
    RetryWritten,
    /// What the sink did not try counts as written.
    IgnoreStoppedAt,
    /// What comes again comes in the opposite order.
    ReversePieces,
    /// The gate opens without a probe.
    OpenUnprobed,
    /// A halted sink charges its events an attempt.
    ChargeHalted,
    /// Unknown outcomes are repeated without a bound.
    IgnoreUnknownBudget,
    /// Attempts are repeated without a bound.
    IgnoreAttempts,
    /// A call may take as long as it likes.
    IgnoreDeadline,
    /// What is left when the queue closes is given up.
    DropLastBatch,
    /// The halves of a batch begin with no attempt spent.
    FreshHalves,
    /// The search for bad events never ends early.
    EndlessSearch,
    /// Memory is not given back.
    LeakCharge,
    /// Memory is given back while events are still on their way.
    ReleaseEarly,
    /// The event at a batch's boundary is in both batches.
    DeliverTwice,
    /// A batch has one event more than allowed.
    ExceedBatch,
    /// What an unknown outcome left is merged with other events.
    MergeUnknown,
    /// More calls are in flight than an instance takes.
    Overlap,
    /// The rejected events of a batch are told with the reason of the first.
    WrongReason,
    /// A dropped event is counted as written.
    MiscountDropped,
    /// What routes reject is not kept.
    ForgetUnrouted,
    /// The source goes on after the last event that was read, not the last that is final.
    ResumePast,
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
