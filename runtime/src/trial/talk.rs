//! Connections over TCP, as they are written down, and what came of each.

use std::time::Duration;

use serde::Deserialize;
use tokio::time::sleep;

use super::content::{Content, shown};
use crate::units;
use crate::wasm::{Connection, End};

/// What happens over one connection, or over all from then on.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Talk {
    /// `HOST:PORT` as the component names it. Absent: any.
    pub(super) to: Option<String>,
    /// How long it takes to connect.
    #[serde(default, with = "units::duration")]
    pub(super) delay: Duration,
    /// Why it does not come to be.
    pub(super) fault: Option<Unconnected>,
    /// Who says what, in order. Then the endpoint closes when the component does.
    #[serde(default)]
    pub(super) talk: Vec<Exchange>,
    /// All further connections go like this.
    #[serde(default)]
    pub(super) repeat: bool,
}

/// Why there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Unconnected {
    /// Nothing listens.
    Refused,
    /// Nothing ever comes.
    Silence,
}

/// A step: what the endpoint hears, and what it does then.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Exchange {
    /// Exactly these bytes have to come, before anything else happens.
    pub(super) hear: Option<Content>,
    /// How long nothing happens then.
    #[serde(with = "units::duration")]
    pub(super) delay: Duration,
    /// What is said.
    pub(super) say: Option<Content>,
    /// How the endpoint ends the connection.
    pub(super) end: Option<Ends>,
}

/// How an endpoint ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Ends {
    /// It says no more.
    Close,
    /// It breaks.
    Reset,
}

/// Plays the endpoint's part. Fails with what the component said that nobody expected.
pub(super) async fn talk(steps: &[Exchange], connection: &Connection) -> Result<(), String> {
    for (number, step) in (1..).zip(steps) {
        if let Some(expected) = &step.hear {
            hear(&expected.bytes(), connection).await.map_err(|heard| {
                connection.to_guest.end(End::Reset);
                format!("step {number}: expected to hear {expected}, heard {heard}")
            })?;
        }
        sleep(step.delay).await;
        if let Some(said) = &step.say {
            connection.to_guest.write(&said.bytes());
        }
        match step.end {
            Some(Ends::Close) => connection.to_guest.end(End::Closed),
            Some(Ends::Reset) => {
                connection.to_guest.end(End::Reset);
                connection.from_guest.end(End::Reset);
                return Ok(());
            }
            None => {}
        }
    }
    connection.from_guest.ready().await;
    let more = connection.from_guest.take(usize::MAX);
    connection.to_guest.end(End::Closed);
    match more {
        Ok(more) => Err(format!("behind the last step it says {}", shown(&more))),
        Err(_) => Ok(()),
    }
}

/// Hears so many bytes, which have to be these. Fails with what came instead.
async fn hear(expected: &[u8], connection: &Connection) -> Result<(), String> {
    let mut heard = Vec::new();
    while heard.len() < expected.len() {
        connection.from_guest.ready().await;
        match connection.from_guest.take(expected.len() - heard.len()) {
            Ok(more) => heard.extend(more),
            Err(_) => return Err(format!("{}, and the end", shown(&heard))),
        }
        if !expected.starts_with(&heard) {
            // What came with it makes it plain where it went wrong.
            heard.extend(connection.from_guest.take(usize::MAX).unwrap_or_default());
            return Err(shown(&heard));
        }
    }
    Ok(())
}
