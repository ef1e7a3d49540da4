//! The four shapes of a sink: one event at a time or whole batches, plain or async.
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::batch::Batch;
use crate::context::Context;
use crate::context::Opening;
use crate::error::Error;
use crate::event::Event;
use crate::report::Report;

/// The configuration of a sink that needs none.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoConfig {}

/// A sink that writes one event at a time. Export it with [`event_sink!`](crate::event_sink).
///
/// The outcomes of a batch come from the results of its events: `Ok` is written, an error refuses that event alone. Where
/// order was promised, the first event that is neither written nor rejected ends the batch; what follows comes again.
/// [`Error::halted`] is about the sink, not the event, and always ends the batch: what was written stays written, and the
/// rest waits until an operator has acted. No event becomes a dead letter for it.
pub trait EventSink: Sized + 'static {
    /// What `config` in the pipeline's configuration holds. The runtime checks it against the JSON Schema of this type.
    type Config: DeserializeOwned + JsonSchema;

    /// Never take more than this many events in one call.
    const MAX_EVENTS: Option<u32> = None;
    /// Never take more than this many bytes of payload in one call.
    const MAX_BYTES: Option<u32> = None;

    /// Prepares the sink, once, before any write.
    ///
    /// # Errors
    /// Anything but a transient error pauses the sink until an operator acts.
    fn open(config: Self::Config, opening: &Opening) -> Result<Self, Error>;

    /// Called before the events of each batch.
    ///
    /// # Errors
    /// Befalls all events of the batch; none is processed.
    fn begin(&mut self, context: &Context) -> Result<(), Error> {
        let _ = context;
        Ok(())
    }

    /// Writes one event, or keeps it for [`flush`](Self::flush).
    ///
    /// # Errors
    /// Befalls this event alone.
    fn process(&mut self, context: &Context, event: Event<'_>) -> Result<(), Error>;

    /// Called after the events of each batch. What `process` kept has to be written here: the runtime forgets the
    /// events of the batch afterwards.
    ///
    /// # Errors
    /// Befalls all events of the batch that `process` took.
    fn flush(&mut self, context: &Context) -> Result<(), Error> {
        let _ = context;
        Ok(())
    }

    /// Called once, when the instance is no longer needed; not after a trap or a timeout.
    ///
    /// # Errors
    /// Are logged; every event is settled by then.
    fn close(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

/// A sink that writes whole batches. Export it with [`batch_sink!`](crate::batch_sink).
pub trait BatchSink: Sized + 'static {
    /// What `config` in the pipeline's configuration holds. The runtime checks it against the JSON Schema of this type.
    type Config: DeserializeOwned + JsonSchema;

    /// Never take more than this many events in one call.
    const MAX_EVENTS: Option<u32> = None;
    /// Never take more than this many bytes of payload in one call.
    const MAX_BYTES: Option<u32> = None;
    /// Whether a write stops at the first event that is neither written nor rejected, and says where, when the context
    /// is `ordered`. One that writes all of a batch or nothing can say so.
    const STOPS_IN_ORDER: bool = false;

    /// Prepares the sink, once, before any write.
    ///
    /// # Errors
    /// Anything but a transient error pauses the sink until an operator acts.
    fn open(config: Self::Config, opening: &Opening) -> Result<Self, Error>;

    /// Writes a batch and says what became of its events.
    ///
    /// # Errors
    /// Befalls all events of the batch, none of which is known to be written.
    fn write(&mut self, batch: &Batch, context: &Context) -> Result<Report, Error>;

    /// Called once, when the instance is no longer needed; not after a trap or a timeout.
    ///
    /// # Errors
    /// Are logged; every event is settled by then.
    fn close(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

/// An [`EventSink`] whose writes overlap in one instance. Export it with
/// [`async_event_sink!`](crate::async_event_sink). Implement its methods as `async fn`.
///
/// Await only what the SDK offers for async sinks, such as [`Request::send_async`](crate::http::Request::send_async):
/// a call that blocks holds up every write of the instance.
pub trait AsyncEventSink: Sized + 'static {
    /// What `config` in the pipeline's configuration holds. The runtime checks it against the JSON Schema of this type.
    type Config: DeserializeOwned + JsonSchema;

    /// Never take more than this many events in one call.
    const MAX_EVENTS: Option<u32> = None;
    /// Never take more than this many bytes of payload in one call.
    const MAX_BYTES: Option<u32> = None;
    /// How many events of one batch are processed at the same time where no order was promised.
    const IN_FLIGHT: usize = 1;

    /// Prepares the sink, once, before any write.
    ///
    /// # Errors
    /// Anything but a transient error pauses the sink until an operator acts.
    fn open(config: Self::Config, opening: &Opening) -> impl Future<Output = Result<Self, Error>>;

    /// Writes one event.
    ///
    /// # Errors
    /// Befalls this event alone, as for an [`EventSink`].
    fn process(&self, context: &Context, event: Event<'_>) -> impl Future<Output = Result<(), Error>>;

    /// Called once, when the instance is no longer needed; not after a trap or a timeout.
    ///
    /// # Errors
    /// Are logged; every event is settled by then.
    fn close(&self) -> impl Future<Output = Result<(), Error>> {
        async { Ok(()) }
    }
}

/// A [`BatchSink`] whose writes overlap in one instance. Export it with
/// [`async_batch_sink!`](crate::async_batch_sink). Implement its methods as `async fn`.
///
/// Await only what the SDK offers for async sinks, such as [`Request::send_async`](crate::http::Request::send_async):
/// a call that blocks holds up every write of the instance.
pub trait AsyncBatchSink: Sized + 'static {
    /// What `config` in the pipeline's configuration holds. The runtime checks it against the JSON Schema of this type.
    type Config: DeserializeOwned + JsonSchema;

    /// Never take more than this many events in one call.
    const MAX_EVENTS: Option<u32> = None;
    /// Never take more than this many bytes of payload in one call.
    const MAX_BYTES: Option<u32> = None;
    /// Whether a write stops at the first event that is neither written nor rejected, and says where, when the context
    /// is `ordered`. One that writes all of a batch or nothing can say so.
    const STOPS_IN_ORDER: bool = false;

    /// Prepares the sink, once, before any write.
    ///
    /// # Errors
    /// Anything but a transient error pauses the sink until an operator acts.
    fn open(config: Self::Config, opening: &Opening) -> impl Future<Output = Result<Self, Error>>;

    /// Writes a batch and says what became of its events.
    ///
    /// # Errors
    /// Befalls all events of the batch, none of which is known to be written.
    fn write(&self, batch: &Batch, context: &Context) -> impl Future<Output = Result<Report, Error>>;

    /// Called once, when the instance is no longer needed; not after a trap or a timeout.
    ///
    /// # Errors
    /// Are logged; every event is settled by then.
    fn close(&self) -> impl Future<Output = Result<(), Error>> {
        async { Ok(()) }
    }
}
