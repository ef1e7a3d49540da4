//! A sink for Sump that posts each event to an HTTP endpoint, many at a time in one instance.
//!
//! ```toml
//! [pipeline.events.sink.out]
//! type = "wasm"
//! path = "build/{{name}}.wasm"
//! config = { url = "https://example.com/events" }
//! concurrency = 8
//! allow.http = [{ to = "https://example.com" }]
//! ```
use serde::Deserialize;
use sump_sdk::http::Request;
use sump_sdk::{AsyncEventSink, Context, Error, Event, Opening};

/// What `config` has to hold.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where events are posted.
    pub url: String,
}

/// The sink. Writes overlap, so that they share it.
#[derive(Debug)]
pub struct Sink {
    config: Config,
}

impl AsyncEventSink for Sink {
    type Config = Config;
    const IN_FLIGHT: usize = 8;

    async fn open(config: Config, _: &Opening) -> Result<Self, Error> {
        Ok(Self { config })
    }

    async fn process(&self, context: &Context, event: Event<'_>) -> Result<(), Error> {
        let request = Request::post(&self.config.url)
            .header("content-type", "application/json")
            // Ends before the runtime would, which has to drop the instance to abandon a call.
            .timeout(context.timeout * 9 / 10)
            .body(event.bytes()?);
        // 2xx is written; every other answer has an error of the kind that the runtime's own HTTP sink makes of it.
        request.send_async().await?.outcome()
    }
}

sump_sdk::async_event_sink!(Sink);
