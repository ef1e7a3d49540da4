//! What authors of encoders implement: events in, values out, and nothing else.
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::batch::Batch;
use crate::context::Opening;
use crate::encoded::Encoded;
use crate::encoded::Values;
use crate::error::Error;
use crate::event::Event;

/// An encoder that takes one event at a time. Export it with [`encoder!`](crate::encoder).
///
/// What a native sink sends is made by it, once for each event; retries send the same values again. It is pure: nothing
/// that it imports is open, clocks stand still, and the same events have to give the same values.
///
/// ```
/// use sump_sdk::{Encoder, Error, Event, Opening, Values};
///
/// struct Shout;
///
/// impl Encoder for Shout {
///     type Config = sump_sdk::NoConfig;
///
///     fn open(_: Self::Config, _: &Opening) -> Result<Self, Error> {
///         Ok(Self)
///     }
///
///     fn encode(&mut self, event: Event<'_>, values: &mut Values<'_>) -> Result<(), Error> {
///         let text = event.text()?.to_uppercase();
///         values.push(text).key("loud");
///         Ok(())
///     }
/// }
///
/// sump_sdk::encoder!(Shout);
/// ```
pub trait Encoder: Sized + 'static {
    /// What `encoder.config` in the pipeline's configuration holds. The runtime checks it against the JSON Schema of this
    /// type.
    type Config: DeserializeOwned + JsonSchema;

    /// Media type of a value, such as `application/json`.
    const CONTENT_TYPE: Option<&'static str> = None;
    /// Never take more than this many events in one call.
    const MAX_EVENTS: Option<u32> = None;
    /// Never take more than this many bytes of payload in one call.
    const MAX_BYTES: Option<u32> = None;

    /// Prepares the encoder, once.
    ///
    /// # Errors
    /// Pauses the sink until an operator acts.
    fn open(config: Self::Config, opening: &Opening) -> Result<Self, Error>;

    /// Makes none, one or several values of an event. They are delivered together.
    ///
    /// # Errors
    /// Makes a dead letter of this event, whatever the kind. Values that it has by then are forgotten.
    fn encode(&mut self, event: Event<'_>, values: &mut Values<'_>) -> Result<(), Error>;
}

/// An encoder that takes whole batches, so that it can make one value of several events. Export it with
/// [`batch_encoder!`](crate::batch_encoder).
///
/// Which events come in one batch depends on time and load: what is made of them must not need others.
pub trait BatchEncoder: Sized + 'static {
    /// What `encoder.config` in the pipeline's configuration holds. The runtime checks it against the JSON Schema of this
    /// type.
    type Config: DeserializeOwned + JsonSchema;

    /// Media type of a value, such as `application/json`.
    const CONTENT_TYPE: Option<&'static str> = None;
    /// Never take more than this many events in one call.
    const MAX_EVENTS: Option<u32> = None;
    /// Never take more than this many bytes of payload in one call.
    const MAX_BYTES: Option<u32> = None;

    /// Prepares the encoder, once.
    ///
    /// # Errors
    /// Pauses the sink until an operator acts.
    fn open(config: Self::Config, opening: &Opening) -> Result<Self, Error>;

    /// Makes values of events, each of which it names. Events that no value names are left out.
    ///
    /// # Errors
    /// Is about all events of the batch: the runtime splits it to find those at fault.
    fn encode(&mut self, batch: &Batch, values: &mut Encoded) -> Result<(), Error>;
}
