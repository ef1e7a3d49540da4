//! Runs a sink or an encoder in `cargo test`, natively: no runtime, no WebAssembly, no network.
//!
//! ```
//! use sump_sdk::testing::{self, Harness};
//! use sump_sdk::{Context, Error, Event, EventSink, Kind, Opening};
//!
//! struct Loud;
//!
//! impl EventSink for Loud {
//!     type Config = sump_sdk::NoConfig;
//!
//!     fn open(_: Self::Config, _: &Opening) -> Result<Self, Error> {
//!         Ok(Self)
//!     }
//!
//!     fn process(&mut self, _: &Context, event: Event<'_>) -> Result<(), Error> {
//!         println!("{}!", event.text()?);
//!         Ok(())
//!     }
//! }
//!
//! let mut sink = Harness::events::<Loud>(serde_json::json!({})).unwrap();
//! let outcome = sink.write(testing::batch().text("hello").bytes([0xff]));
//! assert_eq!(outcome.written(), [0]);
//! assert_eq!(outcome.kind(1), Some(Kind::Rejected));
//! ```
mod batch;
mod encoding;
mod endpoint;
mod harness;
mod outcome;

use std::time::Duration;

pub use batch::BatchBuilder;
pub use encoding::Made;
pub use encoding::MadeValue;
pub use encoding::TestEncoder;
pub use endpoint::Endpoint;
pub use endpoint::Scripted;
pub use harness::Harness;
pub use outcome::Outcome;

use crate::context::Context;
use crate::context::Opening;

/// An empty batch to put events into.
pub fn batch() -> BatchBuilder {
    BatchBuilder::default()
}

/// A first attempt without order, in the pipeline `pipeline` and the sink `sink`. Change what the test is about.
pub fn context() -> Context {
    Context {
        pipeline: "pipeline".to_owned(),
        sink: "sink".to_owned(),
        batch_id: "00000000000000000000000000000001".to_owned(),
        attempt: 1,
        timeout: Duration::from_secs(30),
        ordered: false,
        traceparent: None,
    }
}

/// The first instance of the sink `sink` in the pipeline `pipeline`.
pub fn opening() -> Opening {
    Opening { pipeline: "pipeline".to_owned(), sink: "sink".to_owned(), instance: 0 }
}
