//! What endpoints are to answer, as it is written down.

use std::collections::BTreeMap;
use std::time::Duration;

use http::{HeaderName, HeaderValue, StatusCode};
use serde::Deserialize;
use serde::de::{self, Deserializer};

use super::content::Content;
use crate::units;

/// The answer to one request, or to all from then on.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Answer {
    /// How the URL of requests begins that get it. Absent: any.
    pub(super) to: Option<String>,
    #[serde(default, deserialize_with = "status")]
    pub(super) status: StatusCode,
    #[serde(default, deserialize_with = "headers")]
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    #[serde(default)]
    pub(super) body: Content,
    /// How long nothing comes.
    #[serde(default, with = "units::duration")]
    pub(super) delay: Duration,
    /// How long nothing comes once half of the body is there.
    #[serde(default, with = "units::duration")]
    pub(super) pause: Duration,
    /// What goes wrong.
    pub(super) fault: Option<Fault>,
    /// All further requests get it too.
    #[serde(default)]
    pub(super) repeat: bool,
}

/// What goes wrong with a request, after its delay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Fault {
    /// The name leads nowhere.
    NoHost,
    /// Nothing listens.
    Refused,
    /// The connection breaks before there is an answer.
    Reset,
    /// It breaks once half of the body is there.
    ResetInBody,
    /// Nothing ever comes.
    Silence,
}

impl Default for Answer {
    /// 200, at once, with no body.
    fn default() -> Answer {
        Answer {
            to: None,
            status: StatusCode::OK,
            headers: Vec::new(),
            body: Content::default(),
            delay: Duration::ZERO,
            pause: Duration::ZERO,
            fault: None,
            repeat: false,
        }
    }
}

impl Answer {
    /// The same for every request.
    pub(super) fn always(fault: Option<Fault>) -> Answer {
        Answer { fault, repeat: true, ..Answer::default() }
    }
}

fn status<'de, D: Deserializer<'de>>(deserializer: D) -> Result<StatusCode, D::Error> {
    let code = u16::deserialize(deserializer)?;
    let status = StatusCode::from_u16(code).ok().filter(|status| !status.is_informational());
    status.ok_or_else(|| de::Error::custom(format!("`{code}` is no status of an answer: those are 200 to 999")))
}

fn headers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(HeaderName, HeaderValue)>, D::Error> {
    let given = BTreeMap::<String, String>::deserialize(deserializer)?;
    let header = |(name, value): (String, String)| {
        let bad =
            || de::Error::custom(format!("`{name}: {value}` can't be a header: a name in plain letters is meant"));
        let (name, value) = (HeaderName::try_from(&name), HeaderValue::try_from(&value));
        name.ok().zip(value.ok()).ok_or_else(bad)
    };
    given.into_iter().map(header).collect()
}
