//! Batches for tests, event by event.
use serde::Serialize;

use crate::batch::Batch;
use crate::bindings::plain::sump::sink::events;

/// A batch that grows event by event. `key`, `header`, `timestamp` and `origin` are about the latest event.
///
/// ```
/// use sump_sdk::Batch;
/// use sump_sdk::testing;
///
/// let batch: Batch = testing::batch().text("a").key("k").header("x", "y").tombstone().into();
/// assert_eq!(batch.len(), 2);
/// assert_eq!(batch.event(0).unwrap().header("x"), Some(&b"y"[..]));
/// assert_eq!(batch.event(1).unwrap().payload(), None);
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "a batch is for writing"]
pub struct BatchBuilder {
    events: Vec<Draft>,
}

#[derive(Debug, Clone, Default)]
struct Draft {
    payload: Option<Vec<u8>>,
    key: Option<Vec<u8>>,
    headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    timestamp: i64,
    origin: Option<(String, u64)>,
}

impl BatchBuilder {
    /// Adds an event with a payload in JSON.
    ///
    /// # Panics
    /// When the value has no JSON form, such as a map with keys that are not strings.
    #[expect(clippy::expect_used, reason = "a test that gives what has no JSON form is wrong itself")]
    pub fn event(self, payload: impl Serialize) -> Self {
        self.bytes(serde_json::to_vec(&payload).expect("the payload has a JSON form"))
    }

    /// Adds an event with a payload of text.
    pub fn text(self, payload: &str) -> Self {
        self.bytes(payload)
    }

    /// Adds an event with a payload of bytes.
    pub fn bytes(self, payload: impl AsRef<[u8]>) -> Self {
        self.push(Draft { payload: Some(payload.as_ref().to_vec()), ..Draft::default() })
    }

    /// Adds an event without a payload.
    pub fn tombstone(self) -> Self {
        self.push(Draft::default())
    }

    /// Adds an event for each line.
    pub fn lines(self, lines: &str) -> Self {
        lines.lines().fold(self, |batch, line| batch.text(line))
    }

    /// Gives the latest event a key.
    pub fn key(self, key: impl AsRef<[u8]>) -> Self {
        self.latest(|event| event.key = Some(key.as_ref().to_vec()))
    }

    /// Gives the latest event a header.
    pub fn header(self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        let header = (name.as_ref().to_vec(), Some(value.as_ref().to_vec()));
        self.latest(|event| event.headers.push(header))
    }

    /// Gives the latest event its time, in milliseconds since the Unix epoch; 0 otherwise.
    pub fn timestamp(self, milliseconds: i64) -> Self {
        self.latest(|event| event.timestamp = milliseconds)
    }

    /// Says where the latest event was read. Otherwise it is partition `test/0`, and its index.
    pub fn origin(self, partition: &str, position: u64) -> Self {
        self.latest(|event| event.origin = Some((partition.to_owned(), position)))
    }

    /// The finished batch.
    pub fn build(&self) -> Batch {
        let events = &self.events;
        let keyed = events.iter().any(|event| event.key.is_some());
        let headed = events.iter().any(|event| !event.headers.is_empty());
        Batch::new(events::Batch {
            payload: column(events.iter().map(|event| event.payload.as_deref())),
            key: keyed.then(|| column(events.iter().map(|event| event.key.as_deref()))),
            timestamps: events.iter().map(|event| event.timestamp).collect(),
            headers: headed.then(|| self.headers()),
            origin: self.origins(),
        })
    }

    fn push(mut self, event: Draft) -> Self {
        self.events.push(event);
        self
    }

    fn latest(mut self, change: impl FnOnce(&mut Draft)) -> Self {
        if let Some(event) = self.events.last_mut() {
            change(event);
        }
        self
    }

    fn headers(&self) -> events::Headers {
        let all = || self.events.iter().flat_map(|event| &event.headers);
        let mut offsets = vec![0];
        for event in &self.events {
            offsets.push(offsets[offsets.len() - 1] + narrow(event.headers.len()));
        }
        events::Headers {
            offsets,
            names: column(all().map(|(name, _)| Some(name.as_slice()))),
            values: column(all().map(|(_, value)| value.as_deref())),
        }
    }

    fn origins(&self) -> events::Origin {
        let mut origin = events::Origin { partitions: Vec::new(), runs: Vec::new(), positions: Vec::new() };
        for (index, event) in self.events.iter().enumerate() {
            let (partition, position) = event.origin.clone().unwrap_or_else(|| ("test/0".to_owned(), index as u64));
            let known = origin.partitions.iter().position(|known| *known == partition);
            let partition = narrow(known.unwrap_or_else(|| {
                origin.partitions.push(partition);
                origin.partitions.len() - 1
            }));
            if origin.runs.last().is_none_or(|run| run.partition != partition) {
                origin.runs.push(events::Run { start: narrow(index), partition });
            }
            origin.positions.push(position);
        }
        origin
    }
}

impl From<BatchBuilder> for Batch {
    fn from(builder: BatchBuilder) -> Self {
        builder.build()
    }
}

fn column<'a>(values: impl Iterator<Item = Option<&'a [u8]>>) -> events::Column {
    let (mut offsets, mut bytes, mut validity) = (vec![0], Vec::new(), Vec::new());
    for (index, value) in values.enumerate() {
        if index % 8 == 0 {
            validity.push(0_u8);
        }
        if let Some(value) = value {
            bytes.extend_from_slice(value);
            validity[index / 8] |= 1 << (index % 8);
        }
        offsets.push(narrow(bytes.len()));
    }
    let present: u32 = validity.iter().map(|bits| bits.count_ones()).sum();
    let nulls = present as usize + 1 < offsets.len();
    events::Column { offsets, bytes, validity: nulls.then_some(validity) }
}

#[expect(clippy::expect_used, reason = "a test with a batch over 4 GiB is wrong itself")]
fn narrow(count: usize) -> u32 {
    u32::try_from(count).expect("a batch for a test is small")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_reads_back_as_it_was_built() {
        let batch = batch();
        let event = |index: usize| batch.event(index).unwrap();
        assert_eq!(batch.payload().iter().collect::<Vec<_>>(), [Some(&b"a"[..]), None, Some(b""), Some(b"4")]);
        assert_eq!(batch.payload().offsets(), [0, 1, 1, 1, 2]);
        assert_eq!(event(0).key(), None);
        assert_eq!(event(2).key(), Some(&b"k"[..]));
        assert_eq!(event(0).headers().count(), 0);
        assert_eq!(event(2).headers().map(|(name, _)| name).collect::<Vec<_>>(), [b"x", b"z"]);
        assert_eq!(event(2).header("z"), Some(&b"2"[..]));
        assert_eq!(batch.timestamps(), [0, 0, 7, 0]);
        assert_eq!(batch.runs().collect::<Vec<_>>(), [(0, "test/0"), (2, "t/1"), (3, "test/0")]);
        let origin = |index: usize| (event(index).partition(), event(index).position());
        assert_eq!([0, 1, 2, 3].map(origin), [("test/0", 0), ("test/0", 1), ("t/1", 40), ("test/0", 3)]);
        assert_eq!(event(2).idempotency_key(&crate::testing::context()), "pipeline/sink/t/1/40");
        assert!(batch.event(4).is_none());
    }

    fn batch() -> Batch {
        let batch = BatchBuilder::default().text("a").tombstone().bytes("");
        batch.key("k").header("x", "1").header("z", "2").timestamp(7).origin("t/1", 40).event(4).build()
    }

    #[test]
    fn a_batch_without_nulls_keys_and_headers_has_none_of_their_columns() {
        let batch = BatchBuilder::default().lines("a\nb").build();
        assert!(batch.payload().validity().is_none() && batch.key().is_none() && batch.headers().is_none());
    }

    #[test]
    fn payloads_are_read_as_what_they_are_or_rejected() {
        let batch = BatchBuilder::default().text("x").text("[]").bytes([0xff]).tombstone().text("7").build();
        let codes: Vec<_> =
            batch.events().map(|event| event.json::<u32>().map_err(|error| error.code().to_owned())).collect();
        let code = |code: &str| Err(code.to_owned());
        assert_eq!(codes, [code("not-json"), code("wrong-shape"), code("not-json"), code("no-payload"), Ok(7)]);
        assert_eq!(batch.event(2).unwrap().text().unwrap_err().code(), "not-utf8");
    }
}
