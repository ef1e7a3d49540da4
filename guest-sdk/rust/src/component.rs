//! What the export macros put between the contract's calls and a sink.
use std::cell::RefCell;
use std::rc::Rc;

pub use crate::bindings::encoding;
pub use crate::bindings::encoding::exports::sump::sink::encoder::Encoded;
pub use crate::bindings::overlapping;
pub use crate::bindings::plain;
pub use crate::bindings::plain::sump::sink::events::Batch;
pub use crate::bindings::plain::sump::sink::events::Description;
pub use crate::bindings::plain::sump::sink::events::Failure;
pub use crate::bindings::plain::sump::sink::events::Opening;
pub use crate::bindings::plain::sump::sink::writing::Context;
pub use crate::bindings::plain::sump::sink::writing::Report;
use crate::error::Error;
pub use crate::level::About;
pub use crate::level::AsyncBatches;
pub use crate::level::AsyncEvents;
pub use crate::level::Batches;
pub use crate::level::EncodedBatches;
pub use crate::level::EncodedEvents;
pub use crate::level::Encoding;
pub use crate::level::Events;
pub use crate::level::Overlapping;
pub use crate::level::Plain;

/// The sink of a plain component.
#[derive(Debug)]
pub struct Slot<L: Plain>(RefCell<Option<L::Sink>>);

impl<L: Plain> Slot<L> {
    /// Not open yet.
    pub const fn closed() -> Self {
        Self(RefCell::new(None))
    }

    /// Opens the sink.
    pub fn open(&self, opening: Opening) -> Result<(), Failure> {
        let (config, opening) = crate::Opening::from_wit(opening);
        let sink = L::open(&config, &opening)?;
        self.0.replace(Some(sink));
        Ok(())
    }

    /// Writes a batch.
    pub fn write(&self, batch: Batch, context: Context) -> Result<Report, Failure> {
        let mut slot = self.0.borrow_mut();
        let sink = slot.as_mut().ok_or_else(not_open)?;
        let report = L::write(sink, &crate::Batch::new(batch), &context.into())?;
        Ok(report.into())
    }

    /// Closes and drops the sink.
    pub fn close(&self) -> Result<(), Failure> {
        match self.0.take() {
            Some(mut sink) => Ok(L::close(&mut sink)?),
            None => Ok(()),
        }
    }
}

/// The encoder of a component.
#[derive(Debug)]
pub struct EncoderSlot<L: Encoding>(RefCell<Option<L::Encoder>>);

impl<L: Encoding> EncoderSlot<L> {
    /// Not open yet.
    pub const fn closed() -> Self {
        Self(RefCell::new(None))
    }

    /// Opens the encoder.
    pub fn open(&self, opening: Opening) -> Result<(), Failure> {
        let (config, opening) = crate::Opening::from_wit(opening);
        let encoder = L::open(&config, &opening)?;
        self.0.replace(Some(encoder));
        Ok(())
    }

    /// Encodes a batch.
    pub fn encode(&self, batch: Batch) -> Result<Encoded, Failure> {
        let mut slot = self.0.borrow_mut();
        let encoder = slot.as_mut().ok_or_else(not_open)?;
        let batch = crate::Batch::new(batch);
        Ok(L::encode(encoder, &batch)?.into_wit(batch.len()))
    }
}

/// The sink of an async component.
#[derive(Debug)]
pub struct SharedSlot<L: Overlapping>(RefCell<Option<Rc<L::Sink>>>);

impl<L: Overlapping> SharedSlot<L> {
    /// Not open yet.
    pub const fn closed() -> Self {
        Self(RefCell::new(None))
    }

    /// Keeps an opened sink.
    pub fn put(&self, sink: L::Sink) {
        self.0.replace(Some(Rc::new(sink)));
    }

    /// The sink, for one write.
    pub fn get(&self) -> Result<Rc<L::Sink>, Failure> {
        Ok(self.0.borrow().clone().ok_or_else(not_open)?)
    }

    /// The sink, for its last call.
    pub fn take(&self) -> Option<Rc<L::Sink>> {
        self.0.take()
    }
}

/// Opens an async sink.
pub async fn open<L: Overlapping>(opening: Opening) -> Result<L::Sink, Failure> {
    let (config, opening) = crate::Opening::from_wit(opening);
    Ok(L::open(&config, &opening).await?)
}

/// Writes a batch to an async sink.
pub async fn write<L: Overlapping>(sink: Rc<L::Sink>, batch: Batch, context: Context) -> Result<Report, Failure> {
    let report = L::write(&sink, &crate::Batch::new(batch), &context.into()).await?;
    Ok(report.into())
}

/// Closes an async sink.
pub async fn close<L: Overlapping>(sink: Option<Rc<L::Sink>>) -> Result<(), Failure> {
    match sink {
        Some(sink) => Ok(L::close(&sink).await?),
        None => Ok(()),
    }
}

/// What a sink says of itself, under the name and version of the crate that exports it.
pub fn describe(about: About, name: &str, version: &str) -> Description {
    Description {
        name: name.to_owned(),
        version: version.to_owned(),
        config_schema: Some(about.schema),
        max_events: about.max_events,
        max_bytes: about.max_bytes,
        stops_in_order: about.stops_in_order,
        content_type: about.content_type.map(str::to_owned),
    }
}

fn not_open() -> Error {
    Error::unknown("not-open", "the runtime wrote to an instance that it had not opened")
}

/// Makes a component of a plain sink.
#[doc(hidden)]
#[macro_export]
macro_rules! __plain_component {
    ($level:ident, $sink:ty) => {
        const _: () = {
            type Level = $crate::component::$level<$sink>;
            // Checked natively as well, where the rest is left out.
            const _: fn() -> $crate::component::About = <Level as $crate::component::Plain>::about;

            #[cfg(target_family = "wasm")]
            const _: () = {
                ::std::thread_local! {
                    static SLOT: $crate::component::Slot<Level> = const { $crate::component::Slot::closed() };
                }
                struct Component;

                impl $crate::component::plain::exports::sump::sink::sink::Guest for Component {
                    fn describe() -> $crate::component::Description {
                        let about = <Level as $crate::component::Plain>::about();
                        $crate::component::describe(about, env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
                    }

                    fn open(opening: $crate::component::Opening) -> Result<(), $crate::component::Failure> {
                        SLOT.with(|slot| slot.open(opening))
                    }

                    fn write(
                        batch: $crate::component::Batch,
                        context: $crate::component::Context,
                    ) -> Result<$crate::component::Report, $crate::component::Failure> {
                        SLOT.with(|slot| slot.write(batch, context))
                    }

                    fn close() -> Result<(), $crate::component::Failure> {
                        SLOT.with(|slot| slot.close())
                    }
                }

        $crate::component::plain::__export_sink!(Component with_types_in $crate::component::plain);
            };
        };
    };
}

/// Makes a component of an encoder.
#[doc(hidden)]
#[macro_export]
macro_rules! __encoder_component {
    ($level:ident, $encoder:ty) => {
        const _: () = {
            type Level = $crate::component::$level<$encoder>;
            // Checked natively as well, where the rest is left out.
            const _: fn() -> $crate::component::About = <Level as $crate::component::Encoding>::about;

            #[cfg(target_family = "wasm")]
            const _: () = {
                ::std::thread_local! {
                    static SLOT: $crate::component::EncoderSlot<Level> =
                        const { $crate::component::EncoderSlot::closed() };
                }
                struct Component;

                impl $crate::component::encoding::exports::sump::sink::encoder::Guest for Component {
                    fn describe() -> $crate::component::Description {
                        let about = <Level as $crate::component::Encoding>::about();
                        $crate::component::describe(about, env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
                    }

                    fn open(opening: $crate::component::Opening) -> Result<(), $crate::component::Failure> {
                        SLOT.with(|slot| slot.open(opening))
                    }

                    fn encode(
                        batch: $crate::component::Batch,
                    ) -> Result<$crate::component::Encoded, $crate::component::Failure> {
                        SLOT.with(|slot| slot.encode(batch))
                    }
                }

                $crate::component::encoding::__export_encoder!(
                    Component with_types_in $crate::component::encoding
                );
            };
        };
    };
}

/// Makes a component of an async sink.
#[doc(hidden)]
#[macro_export]
macro_rules! __async_component {
    ($level:ident, $sink:ty) => {
        const _: () = {
            type Level = $crate::component::$level<$sink>;
            // Checked natively as well, where the rest is left out.
            const _: fn() -> $crate::component::About = <Level as $crate::component::Overlapping>::about;

            #[cfg(target_family = "wasm")]
            const _: () = {
                ::std::thread_local! {
                    static SLOT: $crate::component::SharedSlot<Level> =
                        const { $crate::component::SharedSlot::closed() };
                }
                struct Component;

                impl $crate::component::overlapping::exports::sump::sink::async_sink::Guest for Component {
                    fn describe() -> $crate::component::Description {
                        let about = <Level as $crate::component::Overlapping>::about();
                        $crate::component::describe(about, env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
                    }

                    async fn open(opening: $crate::component::Opening) -> Result<(), $crate::component::Failure> {
                        let sink = $crate::component::open::<Level>(opening).await?;
                        SLOT.with(|slot| slot.put(sink));
                        Ok(())
                    }

                    async fn write(
                        batch: $crate::component::Batch,
                        context: $crate::component::Context,
                    ) -> Result<$crate::component::Report, $crate::component::Failure> {
                        let sink = SLOT.with(|slot| slot.get())?;
                        $crate::component::write::<Level>(sink, batch, context).await
                    }

                    async fn close() -> Result<(), $crate::component::Failure> {
                        let sink = SLOT.with(|slot| slot.take());
                        $crate::component::close::<Level>(sink).await
                    }
                }

                $crate::component::overlapping::__export_async_sink!(
                    Component with_types_in $crate::component::overlapping
                );
            };
        };
    };
}

/// Makes a component of an [`EventSink`](crate::EventSink): `sump_sdk::event_sink!(MySink);`. Once in a crate.
#[macro_export]
macro_rules! event_sink {
    ($sink:ty) => {
        $crate::__plain_component!(Events, $sink);
    };
}

/// Makes a component of a [`BatchSink`](crate::BatchSink): `sump_sdk::batch_sink!(MySink);`. Once in a crate.
#[macro_export]
macro_rules! batch_sink {
    ($sink:ty) => {
        $crate::__plain_component!(Batches, $sink);
    };
}

/// Makes a component of an [`AsyncEventSink`](crate::AsyncEventSink): `sump_sdk::async_event_sink!(MySink);`. Once in a
/// crate.
#[macro_export]
macro_rules! async_event_sink {
    ($sink:ty) => {
        $crate::__async_component!(AsyncEvents, $sink);
    };
}

/// Makes a component of an [`AsyncBatchSink`](crate::AsyncBatchSink): `sump_sdk::async_batch_sink!(MySink);`. Once in a
/// crate.
#[macro_export]
macro_rules! async_batch_sink {
    ($sink:ty) => {
        $crate::__async_component!(AsyncBatches, $sink);
    };
}

/// Makes a component of an [`Encoder`](crate::Encoder): `sump_sdk::encoder!(MyEncoder);`. Once in a crate.
#[macro_export]
macro_rules! encoder {
    ($encoder:ty) => {
        $crate::__encoder_component!(EncodedEvents, $encoder);
    };
}

/// Makes a component of a [`BatchEncoder`](crate::BatchEncoder): `sump_sdk::batch_encoder!(MyEncoder);`. Once in a crate.
#[macro_export]
macro_rules! batch_encoder {
    ($encoder:ty) => {
        $crate::__encoder_component!(EncodedBatches, $encoder);
    };
}
