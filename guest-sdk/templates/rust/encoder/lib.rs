//! An encoder for Sump that gives each event the shape that its destination takes.
//!
//! ```toml
//! [pipeline.events.sink.out]
//! type = "file"
//! path = "out.ndjson"
//! encoder = { type = "wasm", path = "build/{{name}}.wasm", config = { kind = "quake" } }
//! ```
use serde::{Deserialize, Serialize};
use sump_sdk::{Encoder, Error, Event, Opening, Values};

/// What `config` has to hold.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What the events are.
    pub kind: String,
}

/// What an event has to hold.
#[derive(Deserialize)]
struct Item {
    id: serde_json::Value,
}

/// What is made of it.
#[derive(Serialize)]
struct Record<'a> {
    kind: &'a str,
    id: serde_json::Value,
}

/// The encoder.
#[derive(Debug)]
pub struct Shape {
    config: Config,
}

impl Encoder for Shape {
    type Config = Config;

    const CONTENT_TYPE: Option<&'static str> = Some("application/json");

    fn open(config: Config, _: &Opening) -> Result<Self, Error> {
        Ok(Self { config })
    }

    fn encode(&mut self, event: Event<'_>, values: &mut Values<'_>) -> Result<(), Error> {
        // What is not JSON, or has no `id`, is rejected here, and becomes a dead letter.
        let item: Item = event.json()?;
        // No value at all would leave the event out, several would make several of it.
        let record = Record { kind: &self.config.kind, id: item.id };
        serde_json::to_writer(values.empty(), &record).map_err(|error| Error::rejected("record", error.to_string()))
    }
}

sump_sdk::encoder!(Shape);
