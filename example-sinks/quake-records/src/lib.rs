//! Makes Kafka records of quakes: keyed by the network that reported them, so that those of one network keep their order,
//! with headers that consumers can filter by.
//!
//! A quake that was felt by many makes a second record, of another kind. One that is under review still is left out.
//!
//! ```toml
//! [pipeline.quakes.sink.kafka]
//! type = "kafka"
//! connection = "cluster"
//! topic = "quakes"
//! encoder = { type = "wasm", path = "quake_records.wasm", config = { felt_by = 100 } }
//! ```
use serde::Deserialize;
use serde::Serialize;
use sump_sdk::Encoder;
use sump_sdk::Error;
use sump_sdk::Event;
use sump_sdk::Opening;
use sump_sdk::Values;

/// What `config` may hold.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// So many reports make an alert.
    pub felt_by: u32,
    /// Leave out what nobody has reviewed.
    pub reviewed_only: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { felt_by: 1000, reviewed_only: false }
    }
}

/// What an event has to hold.
#[derive(Deserialize)]
struct Quake<'a> {
    #[serde(borrow)]
    id: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    net: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    place: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    status: std::borrow::Cow<'a, str>,
    mag: Option<f64>,
    felt: Option<u32>,
}

/// What a record carries.
#[derive(Serialize)]
struct Record<'a> {
    id: &'a str,
    place: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    mag: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    felt: Option<u32>,
}

/// The encoder.
#[derive(Debug)]
pub struct QuakeRecords {
    config: Config,
}

impl Encoder for QuakeRecords {
    type Config = Config;

    const CONTENT_TYPE: Option<&'static str> = Some("application/json");

    fn open(config: Config, _: &Opening) -> Result<Self, Error> {
        Ok(Self { config })
    }

    fn encode(&mut self, event: Event<'_>, values: &mut Values<'_>) -> Result<(), Error> {
        let quake: Quake<'_> = event.json()?;
        if self.config.reviewed_only && quake.status != "reviewed" {
            // No value and no error: left out on purpose.
            return Ok(());
        }
        add(values, &quake, "quake", None)?;
        if quake.felt.is_some_and(|felt| felt >= self.config.felt_by) {
            add(values, &quake, "alert", quake.felt)?;
        }
        Ok(())
    }
}

fn add(values: &mut Values<'_>, quake: &Quake<'_>, kind: &str, felt: Option<u32>) -> Result<(), Error> {
    let Quake { id, place, mag, .. } = quake;
    let mut value =
        values.empty().key(quake.net.as_bytes()).header("kind", kind).header("status", quake.status.as_bytes());
    let record = Record { id, place, mag: *mag, felt };
    serde_json::to_writer(&mut value, &record).map_err(|error| Error::rejected("record", error.to_string()))
}

sump_sdk::encoder!(QuakeRecords);
