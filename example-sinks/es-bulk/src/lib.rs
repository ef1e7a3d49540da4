//! Makes what the `_bulk` interface of Elasticsearch, OpenSearch and their like takes: for each event an action line and
//! the document.
//!
//! The value of an event is both lines, so that a batch is the body of one request, and what the answer says of its
//! items is about one event each. Documents have an id, taken from the event or from where it was read: what is sent twice is
//! indexed once.
//!
//! ```toml
//! [pipeline.quakes.sink.search]
//! type = "http"
//! url = "https://search.example.com/_bulk"
//! encoder = { type = "wasm", path = "es_bulk.wasm", config = { index = "quakes", id = "/id" } }
//! ```
//!
//! With `concurrency = 1` the documents of one id are indexed in the order of their events.
use std::io::Write;

use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;
use sump_sdk::Encoder;
use sump_sdk::Error;
use sump_sdk::Event;
use sump_sdk::Opening;
use sump_sdk::Values;

/// What `config` may hold.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The index, alias or data stream.
    pub index: String,
    /// A JSON pointer to the field with the id of a document, such as `/id`. Without it, the id is where the event was read.
    #[serde(default)]
    pub id: Option<String>,
    /// What is done with a document. Data streams only take `create`.
    #[serde(default)]
    pub action: Action,
}

/// What is done with a document.
#[derive(Debug, Clone, Copy, Default, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It replaces one that has the same id.
    #[default]
    Index,
    /// It is refused where there is one with the same id.
    Create,
}

/// The encoder.
#[derive(Debug)]
pub struct EsBulk {
    config: Config,
}

/// The line before a document.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Line<'a> {
    Index(Target<'a>),
    Create(Target<'a>),
    Delete(Target<'a>),
}

#[derive(Serialize)]
struct Target<'a> {
    #[serde(rename = "_index")]
    index: &'a str,
    #[serde(rename = "_id")]
    id: &'a str,
}

impl Encoder for EsBulk {
    type Config = Config;

    const CONTENT_TYPE: Option<&'static str> = Some("application/x-ndjson");

    fn open(config: Config, _: &Opening) -> Result<Self, Error> {
        match &config.id {
            Some(id) if !id.starts_with('/') => {
                Err(Error::halted("config", format!("`id`: `{id}` is no JSON pointer: write `/{id}`")))
            }
            _ => Ok(Self { config }),
        }
    }

    fn encode(&mut self, event: Event<'_>, values: &mut Values<'_>) -> Result<(), Error> {
        let Config { index, id, action } = &self.config;
        let Some(payload) = event.payload() else {
            // A tombstone takes the document away that its key names.
            let id = event.key().and_then(|key| str::from_utf8(key).ok());
            let id = id.ok_or_else(|| Error::rejected("no-id", "a tombstone needs a key that is text"))?;
            return finish(values, &Line::Delete(Target { index, id }), None);
        };
        let document: Value = event.json()?;
        if !document.is_object() {
            return Err(Error::rejected("no-object", "a document is a JSON object"));
        }
        let id = match id {
            None => format!("{}/{}", event.partition(), event.position()),
            Some(pointer) => match document.pointer(pointer) {
                Some(Value::String(text)) => text.clone(),
                Some(Value::Number(number)) => number.to_string(),
                _ => return Err(Error::rejected("no-id", format!("there is no text or number at `{pointer}`"))),
            },
        };
        let target = Target { index, id: &id };
        let line = match action {
            Action::Index => Line::Index(target),
            Action::Create => Line::Create(target),
        };
        finish(values, &line, Some(payload))
    }
}

/// The action line, and the document as it is, but on one line.
fn finish(values: &mut Values<'_>, line: &Line<'_>, document: Option<&[u8]>) -> Result<(), Error> {
    let mut value = values.empty();
    serde_json::to_writer(&mut value, line).map_err(|error| Error::rejected("action", error.to_string()))?;
    if let Some(document) = document {
        value.write_all(b"\n")?;
        // Line breaks in JSON are blanks.
        value.payload().extend(document.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }));
    }
    Ok(())
}

sump_sdk::encoder!(EsBulk);
