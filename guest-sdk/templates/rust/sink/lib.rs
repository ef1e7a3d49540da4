//! A sink for Sump that logs a line for each event: the place to begin.
//!
//! ```toml
//! [pipeline.events.sink.out]
//! type = "wasm"
//! path = "build/{{name}}.wasm"
//! config = { prefix = "seen" }
//! ```
use serde::Deserialize;
use sump_sdk::{Context, Error, Event, EventSink, Opening};

/// What `config` may hold.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What each line begins with.
    #[serde(default = "seen")]
    pub prefix: String,
}

fn seen() -> String {
    "seen".to_owned()
}

/// What an event has to hold.
#[derive(Deserialize)]
struct Item {
    id: serde_json::Value,
}

/// The sink: one instance, open until it is closed or lost.
#[derive(Debug)]
pub struct Sink {
    config: Config,
}

impl EventSink for Sink {
    type Config = Config;

    fn open(config: Config, _: &Opening) -> Result<Self, Error> {
        Ok(Self { config })
    }

    fn process(&mut self, _: &Context, event: Event<'_>) -> Result<(), Error> {
        // What is not JSON, or has no `id`, is rejected here, and becomes a dead letter.
        let item: Item = event.json()?;
        println!("{} {}", self.config.prefix, item.id);
        Ok(())
    }
}

sump_sdk::event_sink!(Sink);
