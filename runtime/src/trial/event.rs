//! Events as they are written down, and the batch that they make.

use std::collections::BTreeMap;
use std::fmt;

use arrow_schema::ArrowError;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, Visitor};

use super::content::Content;
use crate::batch::{Batch, BatchBuilder, Event, Partition};

/// The partition that events of a trial are from.
pub(super) const PARTITION: &str = "test/0";

/// One event: its payload as text, or a table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Given {
    /// Absent in a tombstone.
    pub(super) payload: Option<Content>,
    /// The key, if it has one.
    pub(super) key: Option<Content>,
    /// Names and values.
    pub(super) headers: BTreeMap<String, String>,
    /// Milliseconds since the Unix epoch. Absent: when the case begins.
    pub(super) timestamp: Option<i64>,
}

impl Given {
    /// One that has a payload and nothing else.
    pub fn bytes(payload: &[u8]) -> Given {
        Given { payload: Some(Content::Bytes(payload.to_vec())), ..Given::default() }
    }
}

impl<'de> Deserialize<'de> for Given {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Given, D::Error> {
        deserializer.deserialize_any(TextOrTable)
    }
}

struct TextOrTable;

impl<'de> Visitor<'de> for TextOrTable {
    type Value = Given;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("the payload as text, or a table such as { payload = \"…\", key = \"k\", headers = { a = \"b\" } }")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Given, E> {
        Ok(Given::bytes(text.as_bytes()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Given, A::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            payload: Option<Content>,
            key: Option<Content>,
            #[serde(default)]
            headers: BTreeMap<String, String>,
            timestamp: Option<i64>,
        }
        let Table { payload, key, headers, timestamp } = Table::deserialize(MapAccessDeserializer::new(map))?;
        Ok(Given { payload, key, headers, timestamp })
    }
}

/// The batch of these events, at positions from 0 on. `now` is the time of those that have none.
pub(super) fn batch(events: &[Given], now: i64) -> Result<Batch, ArrowError> {
    let (mut builder, partition) = (BatchBuilder::new(), Partition::from(PARTITION));
    for (position, event) in (0..).zip(events) {
        let [payload, key] = [&event.payload, &event.key].map(|content| content.as_ref().map(Content::bytes));
        let headers: Vec<(&[u8], &[u8])> =
            event.headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        let timestamp = event.timestamp.unwrap_or(now);
        let (payload, key, headers) = (payload.as_deref(), key.as_deref(), headers.as_slice());
        builder.push(&partition, Event { payload, key, timestamp, headers, position });
    }
    builder.finish()
}
