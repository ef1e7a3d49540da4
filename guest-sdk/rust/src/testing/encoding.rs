//! An encoder under test.
use serde::Serialize;

use crate::batch::Batch;
use crate::encoded::Encoded;
use crate::encoder::BatchEncoder;
use crate::encoder::Encoder;
use crate::error::Error;
use crate::level::EncodedBatches;
use crate::level::EncodedEvents;
use crate::level::Encoding;
use crate::testing;

/// An open encoder.
///
/// ```
/// use sump_sdk::testing::{self, TestEncoder};
/// use sump_sdk::{Encoder, Error, Event, Opening, Values};
///
/// struct Words;
///
/// impl Encoder for Words {
///     type Config = sump_sdk::NoConfig;
///
///     fn open(_: Self::Config, _: &Opening) -> Result<Self, Error> {
///         Ok(Self)
///     }
///
///     fn encode(&mut self, event: Event<'_>, values: &mut Values<'_>) -> Result<(), Error> {
///         event.text()?.split(' ').for_each(|word| drop(values.push(word)));
///         Ok(())
///     }
/// }
///
/// let mut words = TestEncoder::events::<Words>(serde_json::json!({})).unwrap();
/// let made = words.encode(testing::batch().text("two words").tombstone());
/// assert_eq!(made.texts(), ["two", "words"]);
/// assert_eq!(made.values[1].events, [0]);
/// assert_eq!(made.refused[0].1.code(), "no-payload");
/// ```
#[derive(Debug)]
pub struct TestEncoder<E> {
    encoder: E,
    encode: fn(&mut E, &Batch) -> Result<Encoded, Error>,
}

/// What was made of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// In order.
    pub values: Vec<MadeValue>,
    /// Each event of which nothing can be made, and why.
    pub refused: Vec<(usize, Error)>,
}

/// One value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeValue {
    /// `None` is a tombstone.
    pub payload: Option<Vec<u8>>,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Names and values.
    pub headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// The events that it was made of.
    pub events: Vec<usize>,
}

impl TestEncoder<()> {
    /// Opens an encoder that takes one event at a time, with this `config`, in [`testing::opening()`].
    ///
    /// # Errors
    /// What the encoder's `open` says, or `config` does not fit its type.
    pub fn events<E: Encoder>(config: impl Serialize) -> Result<TestEncoder<E>, Error> {
        open::<EncodedEvents<E>>(config)
    }

    /// Opens an encoder that takes whole batches.
    ///
    /// # Errors
    /// As for [`events`](Self::events).
    pub fn batches<E: BatchEncoder>(config: impl Serialize) -> Result<TestEncoder<E>, Error> {
        open::<EncodedBatches<E>>(config)
    }
}

impl<E> TestEncoder<E> {
    /// Encodes a batch.
    ///
    /// # Panics
    /// When the encoder fails over the whole batch: see [`try_encode`](Self::try_encode).
    #[expect(clippy::expect_used, reason = "in a test, it is how a wrong answer is told")]
    pub fn encode(&mut self, batch: impl Into<Batch>) -> Made {
        self.try_encode(batch).expect("the encoder fails over the whole batch")
    }

    /// Encodes a batch.
    ///
    /// # Errors
    /// What befalls all of its events.
    pub fn try_encode(&mut self, batch: impl Into<Batch>) -> Result<Made, Error> {
        let encoded = (self.encode)(&mut self.encoder, &batch.into())?;
        let owned = |bytes: &[u8]| bytes.to_vec();
        let value = |value: usize| MadeValue {
            payload: encoded.payload_of(value).map(owned),
            key: encoded.key_of(value).map(owned),
            headers: encoded.headers_of(value).map(|(name, value)| (name.to_vec(), value.map(owned))).collect(),
            events: encoded.events_of(value).iter().map(|event| *event as usize).collect(),
        };
        let each = |(error, events): (&Error, &[u32])| {
            events.iter().map(|event| (*event as usize, error.clone())).collect::<Vec<_>>()
        };
        let mut refused: Vec<(usize, Error)> = encoded.refused().refused().flat_map(each).collect();
        refused.sort_by_key(|(event, _)| *event);
        Ok(Made { values: (0..encoded.len()).map(value).collect(), refused })
    }
}

impl Made {
    /// The payloads as text; what is no text, or a tombstone, is empty.
    pub fn texts(&self) -> Vec<&str> {
        let payloads = self.values.iter().map(|value| value.payload.as_deref().unwrap_or_default());
        payloads.map(|payload| str::from_utf8(payload).unwrap_or_default()).collect()
    }
}

fn open<L: Encoding>(config: impl Serialize) -> Result<TestEncoder<L::Encoder>, Error> {
    let config = serde_json::to_string(&config).map_err(|error| Error::halted("config", error.to_string()))?;
    Ok(TestEncoder { encoder: L::open(&config, &testing::opening())?, encode: L::encode })
}
