//! Posts strong quakes to an HTTP endpoint: one request with a JSON array for each batch, many batches at a time.
//!
//! ```toml
//! [pipeline.quakes.sink.alerts]
//! type = "wasm"
//! path = "http_alerts.wasm"
//! config = { url = "https://hooks.example.com/quakes", min_mag = 5.0 }
//! concurrency = 8
//! allow.http = [{ to = "https://hooks.example.com" }]
//! ```
use serde::Deserialize;
use sump_sdk::AsyncBatchSink;
use sump_sdk::Batch;
use sump_sdk::Context;
use sump_sdk::Error;
use sump_sdk::Kind;
use sump_sdk::Opening;
use sump_sdk::Report;
use sump_sdk::http::Request;

/// What `config` in the pipeline's configuration holds.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where alerts go.
    pub url: String,
    /// The weakest quake that is worth one.
    #[serde(default = "strong")]
    pub min_mag: f64,
}

fn strong() -> f64 {
    4.5
}

/// The one field that decides.
#[derive(Deserialize)]
struct Quake {
    mag: f64,
}

/// The sink. It holds nothing but its configuration, so that any number of writes can be under way.
#[derive(Debug)]
pub struct Alerts {
    config: Config,
}

impl AsyncBatchSink for Alerts {
    type Config = Config;
    // A batch is posted whole or not at all.
    const STOPS_IN_ORDER: bool = true;

    async fn open(config: Config, _: &Opening) -> Result<Self, Error> {
        Ok(Self { config })
    }

    async fn write(&self, batch: &Batch, context: &Context) -> Result<Report, Error> {
        let mut report = Report::written();
        let mut alerts = Vec::new();
        for event in batch.events() {
            match event.json::<Quake>() {
                Ok(quake) if quake.mag >= self.config.min_mag => alerts.push(event),
                Ok(_) => {}
                Err(error) => report.refuse(event.index(), error),
            }
        }
        if alerts.is_empty() {
            return Ok(report);
        }

        let payloads: Vec<&[u8]> = alerts.iter().filter_map(|event| event.payload()).collect();
        let request = Request::post(&self.config.url)
            .header("content-type", "application/json")
            // A destination that has seen this key has the alerts, whatever became of its answer.
            .header("idempotency-key", &context.batch_id)
            // Ends before the runtime would, which has to drop this instance to abandon a call.
            .timeout(context.timeout * 9 / 10)
            .body([&b"["[..], &payloads.join(&b','), b"]"].concat());
        match request.send_async().await?.outcome() {
            // The endpoint refused the alerts; the quakes beneath the threshold are done all the same.
            Err(error) if error.kind() == Kind::Rejected && error.code() != "http-413" => {
                alerts.iter().for_each(|event| report.refuse(event.index(), error.clone()));
            }
            // The runtime repeats the batch, pauses the sink, or halves what is too large.
            outcome => outcome?,
        }
        Ok(report)
    }
}

sump_sdk::async_batch_sink!(Alerts);
