//! Files of cases: what a component is given, and what is expected of it.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use chrono::DateTime;
use serde::Deserialize;
use serde::de::{self, Deserializer};
use serde_json::{Map, Value};

use super::answer::Answer;
use super::content::Content;
use super::event::Given;
use super::talk::Talk;
use super::word::Word;
use crate::delivery;
use crate::units;
use crate::wasm::{Access, AllowHttp, Limits};

/// One file: what its cases have in common, and the cases.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CaseFile {
    /// What all cases have in common.
    #[serde(default)]
    pub(super) setup: Setup,
    /// The cases, in order.
    #[serde(default, rename = "case")]
    pub(super) cases: Vec<Case>,
}

/// How a component is configured, and what surrounds it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Setup {
    /// What `open` gets.
    pub config: Map<String, Value>,
    /// What it may use.
    pub allow: Grants,
    /// What it may take.
    pub limits: Limits,
    /// How long a call may take, by the clock of the trial.
    #[serde(with = "units::duration")]
    pub timeout: Duration,
    /// What its wall clock says at the beginning, in milliseconds since the Unix epoch.
    #[serde(deserialize_with = "moment")]
    pub now: i64,
}

impl Default for Setup {
    fn default() -> Setup {
        Setup {
            config: Map::new(),
            allow: Grants::default(),
            limits: Limits::default(),
            timeout: delivery::Settings::default().timeout,
            // The beginning of 2026.
            now: 1_767_225_600_000,
        }
    }
}

/// What a component on trial may use. Everything else is denied.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Grants {
    /// Where it may send requests, which go to the endpoints of the case.
    pub http: Vec<AllowHttp>,
    /// Where it may connect to, `HOST:PORT`, which leads to the connections of the case.
    pub tcp: Vec<String>,
    /// Folders that it sees, empty but for the files of the case.
    pub dirs: Vec<Folder>,
    /// Environment variables that it sees.
    pub env: BTreeMap<String, String>,
}

/// A folder that a component sees.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Folder {
    /// Its absolute path, as the component sees it.
    pub guest: String,
    /// What may be done in it.
    #[serde(default)]
    pub access: Access,
}

/// One call of a component, from its opening to its closing, or a delivery to it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    /// What it shows.
    pub(super) name: String,
    /// Keys of the configuration beside those of the setup, or in their place.
    #[serde(default)]
    pub(super) config: Map<String, Value>,
    /// The events of the batch.
    #[serde(default)]
    pub(super) events: Vec<Given>,
    /// Which attempt at them this is.
    #[serde(default = "first")]
    pub(super) attempt: NonZeroU32,
    /// The events go the way of production, with these settings of a pipeline's sink, and not in one call.
    pub(super) deliver: Option<delivery::Settings>,
    /// When a delivery is given up, by the clock of the trial.
    #[serde(default = "hour", with = "units::duration")]
    pub(super) within: Duration,
    /// Files that are there before, by their paths in the folders that the component sees.
    #[serde(default)]
    pub(super) files: BTreeMap<String, Content>,
    /// What endpoints answer, in order. Where there is none, 200 always.
    #[serde(default)]
    pub(super) answers: Vec<Answer>,
    /// What happens over connections, each in the order in which they are made.
    #[serde(default)]
    pub(super) connections: Vec<Talk>,
    /// Another one than the setup's.
    #[serde(default, with = "units::duration::option")]
    pub(super) timeout: Option<Duration>,
    /// What is to happen.
    pub(super) expect: Option<Expect>,
}

/// What is to happen. What is absent may be anything.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Expect {
    /// How opening fails.
    pub(super) open: Option<Word>,
    /// What becomes of the batch as a whole or of each of its events.
    pub(super) outcome: Option<Outcome>,
    /// The values that an encoder makes, written as events are.
    pub(super) values: Option<Vec<Given>>,
    /// How closing fails.
    pub(super) close: Option<Word>,
    /// All requests, in order.
    pub(super) requests: Option<Vec<Request>>,
    /// All files that are there afterwards, by their paths.
    pub(super) files: Option<BTreeMap<String, Content>>,
    /// All lines that the component prints.
    pub(super) log: Option<Vec<String>>,
}

/// What becomes of a batch.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Outcome {
    /// The same of each event, or of the batch as a whole.
    All(Word),
    /// Of each event, in order.
    Each(Vec<Word>),
}

impl<'de> Deserialize<'de> for Outcome {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Outcome, D::Error> {
        struct TextOrList;

        impl<'de> de::Visitor<'de> for TextOrList {
            type Value = Outcome;

            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("an outcome such as \"written\", or a list with one for each event")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Outcome, E> {
                text.parse().map(Outcome::All).map_err(E::custom)
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, list: A) -> Result<Outcome, A::Error> {
                Vec::deserialize(de::value::SeqAccessDeserializer::new(list)).map(Outcome::Each)
            }
        }

        deserializer.deserialize_any(TextOrList)
    }
}

/// A request that a component makes. What is absent may be anything.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Request {
    /// Such as `POST`.
    pub(super) method: Option<String>,
    /// All of it, with its query.
    pub(super) url: Option<String>,
    /// Headers that it has to have; it may have others.
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    /// All of it.
    pub(super) body: Option<Content>,
}

fn hour() -> Duration {
    Duration::from_secs(3600)
}

fn first() -> NonZeroU32 {
    NonZeroU32::MIN
}

fn moment<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let text = String::deserialize(deserializer)?;
    let moment = DateTime::parse_from_rfc3339(&text).map(|moment| moment.timestamp_millis());
    let moment = moment.ok().filter(|moment| *moment >= 0);
    moment
        .ok_or_else(|| de::Error::custom(format!("`{text}` is no moment: write `2026-01-31T09:00:00Z`, from 1970 on")))
}
