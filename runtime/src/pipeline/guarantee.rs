//! What holds for events on their way from a source to a sink, whatever happens, and which settings weaken it.
//!
//! A rule is a line: where its setting is so, it weakens the claim to a level.

use std::num::NonZeroU32;
use std::time::Duration;

use serde::Serialize;

use crate::config::{Encoder, Plan, SinkKind, Source, SourceKind};
use crate::delivery::{self, Outage, WhenFull};
use crate::sink::file::Fsync;
use crate::units;

/// What holds on the path from a source to a sink.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Guarantee {
    /// The source.
    pub source: String,
    /// The pipeline.
    pub pipeline: String,
    /// The sink.
    pub sink: String,
    /// Whether events can be lost.
    pub loss: Claim<Loss>,
    /// Whether events can be written twice.
    pub duplicates: Claim<Duplicates>,
    /// In which order they are written.
    pub order: Claim<Order>,
    /// What survives once it counts as written.
    pub durability: Claim<Durability>,
    /// Which events are kept as dead letters, and not written.
    pub dead_letters: Claim<Letters>,
}

/// A level, and the settings that cause it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Claim<L> {
    /// The weakest that any of the reasons leaves.
    pub level: L,
    /// One for each setting that weakens it.
    pub because: Vec<Reason>,
}

/// A setting, and what it means here.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reason {
    /// Its key in the table of the sink; those of a source or of the whole begin at the top.
    pub key: String,
    /// What it is set to, as it would be written.
    pub value: String,
    /// What follows.
    pub effect: &'static str,
}

/// Words for levels, which get weaker from the first to the last.
macro_rules! levels {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            /// All, the strongest first.
            pub const ALL: &'static [$name] = &[$($name::$variant),*];

            /// For people.
            pub fn text(self) -> &'static str {
                match self { $($name::$variant => $text,)* }
            }
        }
    };
}

levels! {
    /// Whether events can be lost: neither written nor kept.
    Loss {
        /// Never.
        None = "none",
        /// By a kill or a crash of the machine, before they were in the disk buffer.
        KillUnbuffered = "by a kill, before they are in the buffer",
        /// By a kill or a crash of the machine.
        Kill = "by a kill",
        /// Whenever the sink is too slow.
        WhenFull = "while the buffer is full",
    }
}

levels! {
    /// Whether events can be written twice.
    Duplicates {
        /// Never by themselves.
        None = "none",
        /// At least once.
        Possible = "possible",
    }
}

levels! {
    /// In which order events are written.
    Order {
        /// That of each of the source's partitions, through retries.
        Source = "as in the source",
        /// That, but for events of a batch that are tried again.
        BetweenBatches = "between batches only",
        /// That of the events with the same key.
        ByKey = "as in the source, for each key",
        /// Any.
        None = "none",
    }
}

levels! {
    /// What survives once it counts as written.
    Durability {
        /// A power cut loses nothing.
        Disk = "survives a power cut",
        /// What the sink's destination promises.
        Destination = "as the destination has it",
        /// A kill loses nothing, a power cut may.
        System = "survives a kill",
        /// Nothing is kept.
        None = "none",
    }
}

levels! {
    /// Which events are kept as dead letters, and not written.
    Letters {
        /// Those that are rejected, and those that fail again and again.
        Failing = "rejected and failing events",
        /// And those that come while the gate is closed and the buffer full.
        Closed = "rejected and failing events, and those that nobody waits for",
        /// And all that come while the destination can't be reached.
        Outage = "rejected and failing events, and all in an outage",
    }
}

/// What the guarantees of a path rest on.
struct Facts<'a> {
    /// Whether its source can be read again.
    replayable: bool,
    source: &'a Source,
    position_interval: Duration,
    kind: &'a SinkKind,
    encoder: Option<&'a Encoder>,
    delivery: &'a delivery::Settings,
    /// Whether the sink stops at the first event that is neither written nor rejected.
    stops_in_order: bool,
}

/// What holds on each path of a plan, in its order. Whether a source can be read again and whether a sink stops in
/// order is what the parts say of themselves.
pub(super) fn guarantees(
    plan: &Plan,
    replayable: impl Fn(&Source) -> bool,
    stops_in_order: impl Fn(&str, &str) -> bool,
) -> Vec<Guarantee> {
    let mut guarantees = Vec::new();
    for pipeline in &plan.pipelines {
        let Some(source) = plan.source(&pipeline.source) else { continue };
        for sink in &pipeline.sinks {
            let facts = Facts {
                replayable: replayable(source),
                source,
                position_interval: plan.settings.position_interval,
                kind: &sink.kind,
                encoder: sink.encoder.as_ref(),
                delivery: &sink.delivery,
                stops_in_order: stops_in_order(&pipeline.name, &sink.name),
            };
            guarantees.push(Guarantee {
                source: source.name.clone(),
                pipeline: pipeline.name.clone(),
                sink: sink.name.clone(),
                loss: claim(Loss::None, LOSS, &facts),
                duplicates: claim(Duplicates::None, DUPLICATES, &facts),
                order: claim(Order::Source, ORDER, &facts),
                durability: claim(Durability::Disk, DURABILITY, &facts),
                dead_letters: claim(Letters::Failing, LETTERS, &facts),
            });
        }
    }
    guarantees
}

/// Where a setting weakens a claim, and to what: the level, the setting if it holds, and what follows from it.
type Rule<L> = (L, fn(&Facts) -> Option<Setting>, &'static str);

/// A key and its value, as they would be written.
type Setting = (String, String);

#[rustfmt::skip]
const LOSS: &[Rule<Loss>] = &[
    (Loss::KillUnbuffered, |f| f.forgets().filter(|_| f.on_disk()), "it can't be read again: a kill loses what was read and not yet in the disk buffer"),
    (Loss::Kill, |f| f.forgets().filter(|_| !f.on_disk()), "it can't be read again: a kill loses what was read and is not final"),
    (Loss::None, |f| f.senders_repeat(), "whoever gets no 200 has to send the events again"),
    (Loss::WhenFull, |f| text("buffer.when_full", "drop_newest", f.delivery.buffer.when_full == WhenFull::DropNewest), "new events are dropped while the buffer is full"),
];

#[rustfmt::skip]
const DUPLICATES: &[Rule<Duplicates>] = &[
    (Duplicates::Possible, |f| time("position_interval", f.position_interval, f.replayable && !f.delivery.exactly_once), "after a kill, what was written and not yet saved as final comes again"),
    (Duplicates::Possible, |f| time("position_interval", f.position_interval, !f.replayable && f.on_disk()), "after a kill, what was written out of the disk buffer and not yet saved as final comes again"),
    (Duplicates::Possible, |f| f.source("revoke_timeout", &f.revoked_after()?, !f.delivery.exactly_once), "what of a partition is on its way to the sink when another process gets it, and takes longer than this, comes again there"),
    (Duplicates::Possible, |f| f.senders_repeat(), "whoever gets no answer sends the events again, which may be delivered already"),
    (Duplicates::Possible, |f| number("retry.unknown", f.delivery.retry.unknown, f.tries_again() && !f.delivery.exactly_once), "a write that failed or gave no answer may have been done, and is tried again"),
    (Duplicates::Possible, |f| text("type", f.kind.type_name(), matches!(f.kind, SinkKind::Wasm(_))), "a batch in which the component traps is tried again in halves"),
    (Duplicates::Possible, |f| f.encoder(|encoder| matches!(encoder, Encoder::Wasm(_))), "where one of the values of an event has to be tried again, all of them are"),
];

#[rustfmt::skip]
const ORDER: &[Rule<Order>] = &[
    (Order::BetweenBatches, |f| text("type", f.kind.type_name(), !f.stops_in_order), "it goes on behind an event that has to be tried again, which then comes later"),
    (Order::ByKey, |f| text("type", "kafka", matches!(f.kind, SinkKind::Kafka(_))), "each partition of a topic keeps the order, and each key has its partition"),
    (Order::ByKey, |f| text("order", "key", f.overlaps() && f.delivery.order == delivery::Order::Key), "events with different keys are written at the same time"),
    (Order::None, |f| number("concurrency", f.delivery.concurrency, f.overlaps() && f.delivery.order == delivery::Order::None), "batches are written at the same time, and end in any order"),
];

#[rustfmt::skip]
const DURABILITY: &[Rule<Durability>] = &[
    (Durability::Destination, |f| text("type", "wasm", matches!(f.kind, SinkKind::Wasm(_))), "events are written when the component says so"),
    (Durability::Destination, |f| text("type", "http", matches!(f.kind, SinkKind::Http(_))), "events are written when the server says so"),
    (Durability::Destination, |f| text("type", "kafka", matches!(f.kind, SinkKind::Kafka(_))), "events are written once all replicas in sync have them"),
    (Durability::System, |f| time("fsync", f.synced_every()?, true), "a power cut may lose what was written within that time before it"),
    (Durability::System, |f| text("fsync", "never", f.fsync() == Some(Fsync::Never)), "a power cut may lose what the system had not yet put on the disk"),
    (Durability::None, |f| text("type", "console", matches!(f.kind, SinkKind::Console(_))), "events are shown, not kept"),
    (Durability::None, |f| text("type", "null", matches!(f.kind, SinkKind::Null(_))), "nothing is kept"),
];

#[rustfmt::skip]
const LETTERS: &[Rule<Letters>] = &[
    (Letters::Failing, |f| f.forgets().filter(|_| !f.on_disk()), "it can't be read again: what a stop leaves undelivered is kept"),
    (Letters::Failing, |f| number("retry.attempts", f.delivery.retry.attempts?, true), "so many attempts are made"),
    (Letters::Failing, |f| time("retry.max_elapsed", f.delivery.retry.max_elapsed?, true), "no attempt begins later than this after the first"),
    (Letters::Failing, |f| number("retry.unknown", f.delivery.retry.unknown, true), "so many attempts are made whose outcome stays unknown"),
    (Letters::Failing, |f| f.encoder(|encoder| !matches!(encoder, Encoder::Raw(_) | Encoder::Json(_))), "what it can't encode is kept"),
    (Letters::Closed, |f| number("required", false, !f.delivery.required), "nobody waits for it: what finds its buffer full while its gate is closed is kept"),
    (Letters::Outage, |f| text("retry.outage", "dead_letter", f.delivery.retry.outage == Outage::DeadLetter), "events don't wait for the end of an outage: their attempts run out"),
];

/// What the rules leave of a claim that nothing weakens.
fn claim<L: Ord + Copy>(strongest: L, rules: &[Rule<L>], facts: &Facts) -> Claim<L> {
    let mut claim = Claim { level: strongest, because: Vec::new() };
    for (level, setting, effect) in rules {
        if let Some((key, value)) = setting(facts) {
            claim.level = claim.level.max(*level);
            claim.because.push(Reason { key, value, effect });
        }
    }
    claim
}

impl Facts<'_> {
    /// A key of the source.
    fn source(&self, key: &str, value: &str, holds: bool) -> Option<Setting> {
        text(&format!("source.{}.{key}", self.source.name), value, holds)
    }

    /// The setting because of which nobody has the events that a kill takes.
    fn forgets(&self) -> Option<Setting> {
        match &self.source.kind {
            SourceKind::Http(settings) => self.ack(false, !settings.ack),
            kind => self.source("type", kind.type_name(), !self.replayable),
        }
    }

    /// The setting because of which those who sent them do.
    fn senders_repeat(&self) -> Option<Setting> {
        self.ack(true, matches!(&self.source.kind, SourceKind::Http(settings) if settings.ack))
    }

    fn ack(&self, value: bool, holds: bool) -> Option<Setting> {
        number(&format!("source.{}.ack", self.source.name), value, holds)
    }

    /// The kind of the encoder, where it is one of these.
    fn encoder(&self, is: fn(&Encoder) -> bool) -> Option<Setting> {
        text("encoder.type", self.encoder.filter(|encoder| is(encoder))?.type_name(), true)
    }

    fn revoked_after(&self) -> Option<String> {
        match &self.source.kind {
            SourceKind::Kafka(settings) => Some(units::duration::print(settings.revoke_timeout)),
            SourceKind::Stdin(_) | SourceKind::File(_) | SourceKind::Generate(_) | SourceKind::Http(_) => None,
        }
    }

    fn on_disk(&self) -> bool {
        self.delivery.buffer.kind == delivery::BufferKind::Disk
    }

    fn overlaps(&self) -> bool {
        self.delivery.concurrency.most().get() > 1
    }

    fn tries_again(&self) -> bool {
        let retry = &self.delivery.retry;
        retry.attempts != NonZeroU32::new(1) || retry.unknown.get() > 1 || retry.outage == Outage::Wait
    }

    fn fsync(&self) -> Option<Fsync> {
        match self.kind {
            SinkKind::File(settings) => Some(settings.fsync),
            SinkKind::Console(_) | SinkKind::Null(_) | SinkKind::Http(_) | SinkKind::Kafka(_) | SinkKind::Wasm(_) => {
                None
            }
        }
    }

    fn synced_every(&self) -> Option<Duration> {
        match self.fsync()? {
            Fsync::Every(interval) => Some(interval),
            Fsync::Batch | Fsync::Never => None,
        }
    }
}

/// Text as TOML has it. What stands here needs no escapes.
fn text(key: &str, value: &str, holds: bool) -> Option<Setting> {
    holds.then(|| (key.to_owned(), format!("\"{value}\"")))
}

fn number(key: &str, value: impl ToString, holds: bool) -> Option<Setting> {
    holds.then(|| (key.to_owned(), value.to_string()))
}

fn time(key: &str, value: Duration, holds: bool) -> Option<Setting> {
    text(key, &units::duration::print(value), holds)
}

#[cfg(test)]
mod tests;
