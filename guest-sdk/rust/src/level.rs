//! The shapes of a sink as one plain and one async trait, and those of an encoder as one, which the component and the testing module drive.
use std::marker::PhantomData;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::batch::Batch;
use crate::context::Context;
use crate::context::Opening;
use crate::encoded::Encoded;
use crate::encoded::Values;
use crate::encoder::BatchEncoder;
use crate::encoder::Encoder;
use crate::error::Error;
use crate::outcome;
use crate::report::Report;
use crate::sink::AsyncBatchSink;
use crate::sink::AsyncEventSink;
use crate::sink::BatchSink;
use crate::sink::EventSink;

/// What a sink says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// JSON Schema of the configuration.
    pub schema: String,
    /// Never take more than this many events in one call.
    pub max_events: Option<u32>,
    /// Never take more than this many bytes of payload in one call.
    pub max_bytes: Option<u32>,
    /// See `BatchSink::STOPS_IN_ORDER`.
    pub stops_in_order: bool,
    /// Media type of what an encoder makes.
    pub content_type: Option<&'static str>,
}

/// A sink of which one call is made at a time.
pub trait Plain {
    /// The user's type.
    type Sink: 'static;
    /// Does not need a sink.
    fn about() -> About;
    /// The configuration is JSON.
    fn open(config: &str, opening: &Opening) -> Result<Self::Sink, Error>;
    /// The outcomes of a batch.
    fn write(sink: &mut Self::Sink, batch: &Batch, context: &Context) -> Result<Report, Error>;
    /// The last call.
    fn close(sink: &mut Self::Sink) -> Result<(), Error>;
}

/// A sink whose writes overlap.
pub trait Overlapping {
    /// The user's type.
    type Sink: 'static;
    /// Does not need a sink.
    fn about() -> About;
    /// The configuration is JSON.
    fn open(config: &str, opening: &Opening) -> impl Future<Output = Result<Self::Sink, Error>>;
    /// The outcomes of a batch.
    fn write(sink: &Self::Sink, batch: &Batch, context: &Context) -> impl Future<Output = Result<Report, Error>>;
    /// The last call.
    fn close(sink: &Self::Sink) -> impl Future<Output = Result<(), Error>>;
}

/// An encoder.
pub trait Encoding {
    /// The user's type.
    type Encoder: 'static;
    /// Does not need an encoder.
    fn about() -> About;
    /// The configuration is JSON.
    fn open(config: &str, opening: &Opening) -> Result<Self::Encoder, Error>;
    /// The values of a batch.
    fn encode(encoder: &mut Self::Encoder, batch: &Batch) -> Result<Encoded, Error>;
}

/// An encoder of one event at a time.
#[derive(Debug)]
pub struct EncodedEvents<E>(PhantomData<E>);

/// An encoder of whole batches.
#[derive(Debug)]
pub struct EncodedBatches<E>(PhantomData<E>);

impl<E: Encoder> Encoding for EncodedEvents<E> {
    type Encoder = E;

    fn about() -> About {
        About { content_type: E::CONTENT_TYPE, ..about::<E::Config>(E::MAX_EVENTS, E::MAX_BYTES, true) }
    }

    fn open(config: &str, opening: &Opening) -> Result<E, Error> {
        E::open(configuration(config)?, opening)
    }

    fn encode(encoder: &mut E, batch: &Batch) -> Result<Encoded, Error> {
        let mut encoded = Encoded::new(batch.len(), 0);
        for event in batch.events() {
            let (index, before) = (event.index(), encoded.len());
            if let Err(error) = encoder.encode(event, &mut Values::new(&mut encoded, index)) {
                encoded.truncate(before);
                encoded.refuse(index, error);
            }
        }
        Ok(encoded)
    }
}

impl<E: BatchEncoder> Encoding for EncodedBatches<E> {
    type Encoder = E;

    fn about() -> About {
        About { content_type: E::CONTENT_TYPE, ..about::<E::Config>(E::MAX_EVENTS, E::MAX_BYTES, true) }
    }

    fn open(config: &str, opening: &Opening) -> Result<E, Error> {
        E::open(configuration(config)?, opening)
    }

    fn encode(encoder: &mut E, batch: &Batch) -> Result<Encoded, Error> {
        let mut encoded = Encoded::new(batch.len(), 0);
        encoder.encode(batch, &mut encoded)?;
        Ok(encoded)
    }
}

/// One event at a time, plain.
#[derive(Debug)]
pub struct Events<S>(PhantomData<S>);

/// Whole batches, plain.
#[derive(Debug)]
pub struct Batches<S>(PhantomData<S>);

/// One event at a time, async.
#[derive(Debug)]
pub struct AsyncEvents<S>(PhantomData<S>);

/// Whole batches, async.
#[derive(Debug)]
pub struct AsyncBatches<S>(PhantomData<S>);

impl<S: EventSink> Plain for Events<S> {
    type Sink = S;

    fn about() -> About {
        about::<S::Config>(S::MAX_EVENTS, S::MAX_BYTES, true)
    }

    fn open(config: &str, opening: &Opening) -> Result<S, Error> {
        S::open(configuration(config)?, opening)
    }

    fn write(sink: &mut S, batch: &Batch, context: &Context) -> Result<Report, Error> {
        outcome::write(sink, batch, context)
    }

    fn close(sink: &mut S) -> Result<(), Error> {
        sink.close()
    }
}

impl<S: BatchSink> Plain for Batches<S> {
    type Sink = S;

    fn about() -> About {
        about::<S::Config>(S::MAX_EVENTS, S::MAX_BYTES, S::STOPS_IN_ORDER)
    }

    fn open(config: &str, opening: &Opening) -> Result<S, Error> {
        S::open(configuration(config)?, opening)
    }

    fn write(sink: &mut S, batch: &Batch, context: &Context) -> Result<Report, Error> {
        sink.write(batch, context)
    }

    fn close(sink: &mut S) -> Result<(), Error> {
        sink.close()
    }
}

impl<S: AsyncEventSink> Overlapping for AsyncEvents<S> {
    type Sink = S;

    fn about() -> About {
        about::<S::Config>(S::MAX_EVENTS, S::MAX_BYTES, true)
    }

    async fn open(config: &str, opening: &Opening) -> Result<S, Error> {
        S::open(configuration(config)?, opening).await
    }

    async fn write(sink: &S, batch: &Batch, context: &Context) -> Result<Report, Error> {
        outcome::write_async(sink, batch, context).await
    }

    async fn close(sink: &S) -> Result<(), Error> {
        sink.close().await
    }
}

impl<S: AsyncBatchSink> Overlapping for AsyncBatches<S> {
    type Sink = S;

    fn about() -> About {
        about::<S::Config>(S::MAX_EVENTS, S::MAX_BYTES, S::STOPS_IN_ORDER)
    }

    async fn open(config: &str, opening: &Opening) -> Result<S, Error> {
        S::open(configuration(config)?, opening).await
    }

    async fn write(sink: &S, batch: &Batch, context: &Context) -> Result<Report, Error> {
        sink.write(batch, context).await
    }

    async fn close(sink: &S) -> Result<(), Error> {
        sink.close().await
    }
}

fn about<C: JsonSchema>(max_events: Option<u32>, max_bytes: Option<u32>, stops_in_order: bool) -> About {
    let schema = schemars::schema_for!(C).as_value().to_string();
    About { schema, max_events, max_bytes, stops_in_order, content_type: None }
}

/// Reads a sink's configuration; the error names the field.
fn configuration<C: DeserializeOwned>(config: &str) -> Result<C, Error> {
    let mut json = serde_json::Deserializer::from_str(config);
    serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let field = if path == "." { String::new() } else { format!(" `{path}`") };
        Error::halted("config", format!("configuration{field}: {}", error.into_inner()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    struct Config {
        #[expect(dead_code, reason = "only read by serde")]
        limits: Limits,
    }

    #[derive(Debug, serde::Deserialize)]
    struct Limits {
        #[expect(dead_code, reason = "only read by serde")]
        size: u32,
    }

    #[test]
    fn a_configuration_of_the_wrong_type_names_the_field() {
        let error = configuration::<Config>(r#"{"limits":{"size":"big"}}"#).unwrap_err();
        assert_eq!((error.kind(), error.code()), (crate::Kind::Halted, "config"));
        assert!(error.message().starts_with("configuration `limits.size`: invalid type: string \"big\""), "{error}");
    }

    #[test]
    fn a_configuration_that_lacks_a_field_names_it() {
        let error = configuration::<Config>(r#"{"limits":{}}"#).unwrap_err();
        assert!(error.message().starts_with("configuration `limits`: missing field `size`"), "{error}");
    }

    #[test]
    fn the_schema_is_that_of_the_configuration() {
        let about = about::<crate::NoConfig>(Some(3), None, true);
        let schema: serde_json::Value = serde_json::from_str(&about.schema).unwrap();
        assert_eq!(schema["additionalProperties"], false);
        assert_eq!((about.max_events, about.max_bytes, about.stops_in_order), (Some(3), None, true));
    }
}
