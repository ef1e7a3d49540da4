//! One dead letter as it is read again.

use std::fmt;

use arrow_array::TimestampMillisecondArray;
use arrow_array::builder::{ArrayBuilder, BinaryBuilder, UInt64Builder};
use arrow_schema::ArrowError;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::record::Past;
use crate::batch::{Batch, Headers, Origin, Partition, Run};
use crate::envelope::PathName;

/// The event and its story. `docs/dead-letters.md` says what the fields mean; those that older lines don't have are
/// optional.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Letter {
    /// The pipeline.
    pub pipeline: String,
    /// The sink, or `*`.
    pub sink: String,
    /// The source.
    #[serde(default)]
    pub source: Option<String>,
    /// What the last failure meant.
    pub kind: String,
    /// Its identifier.
    pub code: String,
    /// The same for people.
    pub message: String,
    /// How many attempts there were, over all replays.
    pub attempts: u32,
    /// When the first began, in milliseconds since the Unix epoch.
    #[serde(default)]
    pub first_attempt: Option<u64>,
    /// When it was given up, in milliseconds since the Unix epoch.
    pub time: u64,
    /// How many times it was sent again.
    #[serde(default)]
    pub replays: u32,
    /// Where it was read.
    pub partition: String,
    /// And where in there.
    pub position: u64,
    /// Where the whole event is, if the payload is only its beginning.
    #[serde(default)]
    pub range: Option<(u64, u64)>,
    /// The event's own time, in milliseconds since the Unix epoch.
    pub timestamp: i64,
    /// Its key.
    pub key: Option<Bytes>,
    /// Names and values.
    pub headers: Vec<(Bytes, Option<Bytes>)>,
    /// What it carries; `None` is a tombstone.
    pub payload: Option<Bytes>,
}

impl Letter {
    /// Reads one line, without its newline.
    pub fn parse(line: &[u8]) -> Result<Letter, serde_json::Error> {
        serde_json::from_slice(line)
    }

    /// Whose it is.
    pub fn path(&self) -> PathName {
        PathName { pipeline: self.pipeline.as_str().into(), sink: self.sink.as_str().into() }
    }

    /// Whether the payload is all of the event.
    pub fn is_whole(&self) -> bool {
        self.range.is_none() && self.code != "too-long"
    }

    /// What a new dead letter of the same event has to say of this one.
    pub fn past(&self) -> Past {
        let (source, replays) = (self.source.clone(), self.replays.saturating_add(1));
        Past { source, attempts: self.attempts, first_attempt: self.first_attempt, replays }
    }
}

/// Bytes that are written as text, or else as `{"base64": "…"}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(&self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => serializer.collect_map([("base64", STANDARD.encode(&self.0))]),
        }
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        deserializer.deserialize_any(TextOrBase64).map(Bytes)
    }
}

struct TextOrBase64;

impl<'de> Visitor<'de> for TextOrBase64 {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("text, or `{\"base64\": \"…\"}`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Vec<u8>, E> {
        Ok(text.as_bytes().to_vec())
    }

    fn visit_string<E: de::Error>(self, text: String) -> Result<Vec<u8>, E> {
        Ok(text.into_bytes())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<u8>, A::Error> {
        let Some((key, value)) = map.next_entry::<String, String>()? else {
            return Err(de::Error::missing_field("base64"));
        };
        if key != "base64" {
            return Err(de::Error::unknown_field(&key, &["base64"]));
        }
        STANDARD.decode(value).map_err(|error| de::Error::custom(format!("not base64: {error}")))
    }
}

/// The events of some letters as they were when they were read first: payload, key, headers, timestamp and origin.
///
/// Fails only if a column exceeds 2³¹ − 1 bytes.
pub fn batch_of<'a>(letters: impl ExactSizeIterator<Item = &'a Letter> + Clone) -> Result<Batch, ArrowError> {
    let timestamps: Vec<i64> = letters.clone().map(|letter| letter.timestamp).collect();
    let origin = origin(letters.clone())?;
    let (mut payload, mut key) = (BinaryBuilder::new(), BinaryBuilder::new());
    let (mut names, mut values, mut pairs) = (BinaryBuilder::new(), BinaryBuilder::new(), vec![0]);
    let mut keyed = false;
    for letter in letters {
        payload.append_option(letter.payload.as_ref().map(|bytes| &bytes.0));
        key.append_option(letter.key.as_ref().map(|bytes| &bytes.0));
        keyed |= letter.key.is_some();
        for (name, value) in &letter.headers {
            names.append_value(&name.0);
            values.append_option(value.as_ref().map(|bytes| &bytes.0));
        }
        pairs.push(names.len() as i32);
    }
    let headers = match names.len() {
        0 => None,
        _ => Some(Headers::new(pairs, names.finish(), values.finish())?),
    };
    Batch::new(payload.finish(), TimestampMillisecondArray::from(timestamps), origin)
        .and_then(|batch| batch.with_key(keyed.then(|| key.finish())))
        .and_then(|batch| batch.with_headers(headers))
        .map_err(|uneven| ArrowError::from_external_error(Box::new(uneven)))
}

fn origin<'a>(letters: impl Iterator<Item = &'a Letter>) -> Result<Origin, ArrowError> {
    let (mut partitions, mut runs, mut positions): (Vec<Partition>, Vec<Run>, _) =
        (Vec::new(), Vec::new(), UInt64Builder::new());
    for (row, letter) in (0..).zip(letters) {
        // The one before is the most likely; otherwise there are few.
        let known = partitions.iter().rposition(|known| known.as_str() == letter.partition);
        let partition = known.unwrap_or_else(|| {
            partitions.push(Partition::from(letter.partition.as_str()));
            partitions.len() - 1
        }) as u32;
        if runs.last().is_none_or(|run| run.partition != partition) {
            runs.push(Run { start: row, partition });
        }
        positions.append_value(letter.position);
    }
    Origin::new(partitions, runs, positions.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::{DeadLetter, Past, encode};
    use crate::sink::Failure;
    use arrow_array::Array;
    use arrow_array::BinaryArray;
    use arrow_array::UInt64Array;
    use proptest::prelude::*;

    fn column(values: &[Option<Vec<u8>>]) -> BinaryArray {
        values.iter().map(|value| value.as_deref()).collect()
    }

    proptest! {
        #[test]
        fn what_is_read_again_is_what_was_written(
            events in prop::collection::vec((any::<Option<Vec<u8>>>(), any::<Option<Vec<u8>>>(), any::<i64>()), 1..20),
            pairs in prop::collection::vec((any::<Vec<u8>>(), any::<Option<Vec<u8>>>()), 0..4),
        ) {
            let rows = events.len();
            let payload = column(&events.iter().map(|event| event.0.clone()).collect::<Vec<_>>());
            let key = column(&events.iter().map(|event| event.1.clone()).collect::<Vec<_>>());
            let times: Vec<i64> = events.iter().map(|event| event.2).collect();
            let positions = UInt64Array::from_iter_values(0..rows as u64);
            let origin = Origin::single(Partition::from("p@1"), positions);
            // All headers are the first event's.
            let mut offsets = vec![pairs.len() as i32; rows + 1];
            offsets[0] = 0;
            let names = column(&pairs.iter().map(|pair| Some(pair.0.clone())).collect::<Vec<_>>());
            let values = column(&pairs.iter().map(|pair| pair.1.clone()).collect::<Vec<_>>());
            let headers = Headers::new(offsets, names, values).unwrap();
            let batch = Batch::new(payload, TimestampMillisecondArray::from(times), origin).unwrap();
            let batch = batch.with_key(Some(key)).unwrap().with_headers(Some(headers)).unwrap();

            let path = PathName { pipeline: "p".into(), sink: "s".into() };
            let failure = Failure::rejected("bad", "it is");
            let lines = encode(&DeadLetter::untried(&path, &batch, &failure), |_| Past::default()).unwrap();
            let lines = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            let letters: Vec<Letter> = lines.map(|line| Letter::parse(line).unwrap()).collect();
            let again = batch_of(letters.iter()).unwrap();

            prop_assert_eq!(again.payload(), batch.payload());
            prop_assert_eq!(again.timestamps(), batch.timestamps());
            for row in 0..rows {
                let value = |key: &BinaryArray| key.is_valid(row).then(|| key.value(row).to_vec());
                prop_assert_eq!(again.key().and_then(value), batch.key().and_then(value));
                let of = |batch: &Batch| -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
                    let headers = batch.headers().into_iter().flat_map(|headers| headers.of(row));
                    headers.map(|(name, value)| (name.to_vec(), value.map(<[u8]>::to_vec))).collect()
                };
                prop_assert_eq!(of(&again), of(&batch));
                prop_assert_eq!(again.origin().partition_of(row).as_str(), "p@1");
            }
            prop_assert_eq!(again.origin().positions(), batch.origin().positions());
        }
    }

    #[test]
    fn a_line_without_the_newer_fields_is_read() {
        let line = r#"{"pipeline":"p","sink":"s","kind":"rejected","code":"bad","message":"","attempts":1,"first_attempt":null,
            "time":5,"partition":"f@1","position":7,"timestamp":3,"key":null,"headers":[],"payload":{"base64":"/w=="}}"#;
        let letter = Letter::parse(line.as_bytes()).unwrap();
        assert_eq!(
            (letter.payload, letter.source, letter.replays, letter.range),
            (Some(Bytes(vec![0xff])), None, 0, None)
        );
    }
}
