//! What a user may set about the delivery to a sink.

use std::fmt;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::adaptive;
use crate::units;
use crate::units::rate::Rate;

/// The settings that every sink has, in the same table as its own.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Events in a batch, at most.
    pub batch_size: NonZeroUsize,
    /// Bytes in a batch, at most; an event larger than that goes alone.
    #[serde(with = "units::size")]
    pub batch_bytes: u64,
    /// How long a batch waits for more, from its first event on.
    #[serde(with = "units::duration")]
    pub batch_timeout: Duration,
    /// How long one attempt may take, opening included.
    #[serde(with = "units::duration")]
    pub timeout: Duration,
    /// Writes in flight.
    pub concurrency: Concurrency,
    /// Which order is kept where several writes are in flight.
    pub order: Order,
    /// Destinations whose batches are open at a time, where a template says where an event goes.
    pub max_groups: NonZeroUsize,
    /// Events over time, at most. Unset: as fast as they are taken.
    pub rate_limit: Option<Rate>,
    /// Whether its neighbours wait for it: without, what finds its queue full while its gate is closed becomes dead
    /// letters.
    pub required: bool,
    /// Whether the sink stores positions with its data, so that it has each event exactly once.
    pub exactly_once: bool,
    /// When to try again.
    pub retry: RetrySettings,
    /// What waits for the sink.
    pub buffer: BufferSettings,
    /// When to hold everything back.
    pub gate: GateSettings,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            batch_size: const { NonZeroUsize::new(1000).unwrap() },
            batch_bytes: 10_000_000,
            batch_timeout: Duration::from_secs(1),
            timeout: Duration::from_secs(30),
            concurrency: Concurrency::Fixed(NonZeroUsize::MIN),
            order: Order::None,
            max_groups: const { NonZeroUsize::new(1000).unwrap() },
            rate_limit: None,
            required: true,
            exactly_once: false,
            retry: RetrySettings::default(),
            buffer: BufferSettings::default(),
            gate: GateSettings::default(),
        }
    }
}

impl Settings {
    /// Whether the source's order is kept, or that of its keys.
    pub fn is_ordered(&self) -> bool {
        self.order == Order::Key || self.concurrency == Concurrency::Fixed(NonZeroUsize::MIN)
    }
}

/// How many writes may be in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Concurrency {
    /// So many. With one, the source's order is kept.
    Fixed(NonZeroUsize),
    /// As many as make the destination no slower: at most 64.
    Adaptive,
}

impl Concurrency {
    /// The most that are ever in flight.
    pub fn most(self) -> NonZeroUsize {
        match self {
            Concurrency::Fixed(writes) => writes,
            Concurrency::Adaptive => const { NonZeroUsize::new(adaptive::MOST).unwrap() },
        }
    }
}

/// Which order is kept where several writes are in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// None.
    None,
    /// Events with the same key keep theirs.
    Key,
}

/// `retry`: when events that were not written are tried again.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetrySettings {
    /// Attempts in all, or `"unlimited"`, before events that fail transiently become dead letters.
    #[serde(with = "attempts")]
    pub attempts: Option<NonZeroU32>,
    /// The first pause.
    #[serde(with = "units::duration")]
    pub initial: Duration,
    /// The longest pause.
    #[serde(with = "units::duration")]
    pub max: Duration,
    /// No attempt begins later than this after the first one. Unset: no such bound.
    #[serde(with = "units::duration::option")]
    pub max_elapsed: Option<Duration>,
    /// The longest pause that a destination may ask for.
    #[serde(with = "units::duration")]
    pub max_advice: Duration,
    /// Attempts in all whose outcome stayed unknown, before the events become dead letters.
    pub unknown: NonZeroU32,
    /// What an outage of the destination means.
    pub outage: Outage,
}

impl Default for RetrySettings {
    fn default() -> RetrySettings {
        RetrySettings {
            attempts: NonZeroU32::new(3),
            initial: Duration::from_secs(1),
            max: Duration::from_secs(30),
            max_elapsed: None,
            max_advice: Duration::from_secs(300),
            unknown: const { NonZeroU32::new(3).unwrap() },
            outage: Outage::DeadLetter,
        }
    }
}

/// What to do when nothing can be written at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outage {
    /// Let the attempts run out.
    DeadLetter,
    /// Close the gate and wait.
    Wait,
}

/// `buffer`: what waits for the sink.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct BufferSettings {
    /// Where events wait.
    #[serde(rename = "type")]
    pub kind: BufferKind,
    /// Bytes of events from routing until they are final; of a disk buffer, the bytes of its files. Unset: 64 MiB in
    /// memory, 1 GiB on disk.
    #[serde(with = "units::size::option")]
    pub max_bytes: Option<u64>,
    /// What happens to new events meanwhile.
    pub when_full: WhenFull,
}

impl Default for BufferSettings {
    fn default() -> BufferSettings {
        BufferSettings { kind: BufferKind::Memory, max_bytes: None, when_full: WhenFull::Block }
    }
}

impl BufferSettings {
    /// The bound in bytes, set or not.
    pub fn bound(&self) -> u64 {
        self.max_bytes.unwrap_or(match self.kind {
            BufferKind::Memory => 64 << 20,
            BufferKind::Disk => 1 << 30,
        })
    }
}

/// Where events wait for a sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BufferKind {
    /// A kill loses them here; a source that can be read again gives them again.
    Memory,
    /// In files of the data directory, where they survive a kill and a power cut.
    Disk,
}

/// What happens to new events while a buffer is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenFull {
    /// The source waits.
    Block,
    /// They are dropped, and counted.
    DropNewest,
}

/// `gate`: when everything is held back.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct GateSettings {
    /// How often a sink whose gate is closed is tried.
    #[serde(with = "units::duration")]
    pub probe: Duration,
}

impl Default for GateSettings {
    fn default() -> GateSettings {
        GateSettings { probe: Duration::from_secs(30) }
    }
}

/// As it would be written.
impl fmt::Display for Concurrency {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Concurrency::Fixed(writes) => writes.fmt(f),
            Concurrency::Adaptive => f.write_str("\"adaptive\""),
        }
    }
}

impl Serialize for Concurrency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Concurrency::Fixed(writes) => serializer.serialize_u64(writes.get() as u64),
            Concurrency::Adaptive => serializer.serialize_str("adaptive"),
        }
    }
}

impl<'de> Deserialize<'de> for Concurrency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Concurrency, D::Error> {
        let kept = NumberOr { word: "adaptive", expecting: "a number of writes from 1 on, or `adaptive`" };
        Ok(deserializer.deserialize_any(kept)?.map_or(Concurrency::Adaptive, |writes| {
            Concurrency::Fixed(NonZeroUsize::try_from(writes).unwrap_or(NonZeroUsize::MAX))
        }))
    }
}

/// A number of attempts, or `"unlimited"`.
mod attempts {
    use super::{Deserializer, NonZeroU32, NumberOr, Serializer};

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<NonZeroU32>, D::Error> {
        let attempts = NumberOr { word: "unlimited", expecting: "a number of attempts from 1 on, or `unlimited`" };
        deserializer.deserialize_any(attempts)
    }

    pub(super) fn serialize<S: Serializer>(attempts: &Option<NonZeroU32>, serializer: S) -> Result<S::Ok, S::Error> {
        match attempts {
            Some(attempts) => serializer.serialize_u32(attempts.get()),
            None => serializer.serialize_str("unlimited"),
        }
    }
}

/// A number from 1 on, or one word, which gives none.
struct NumberOr {
    word: &'static str,
    expecting: &'static str,
}

impl Visitor<'_> for NumberOr {
    type Value = Option<NonZeroU32>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.expecting)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        match text.parse() {
            _ if text == self.word => Ok(None),
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
        }
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
        let whole = u32::try_from(number).ok().and_then(NonZeroU32::new);
        whole.map(Some).ok_or_else(|| E::invalid_value(de::Unexpected::Signed(number), &self))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
        let whole = u32::try_from(number).ok().and_then(NonZeroU32::new);
        whole.map(Some).ok_or_else(|| E::invalid_value(de::Unexpected::Unsigned(number), &self))
    }
}
