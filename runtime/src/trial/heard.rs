//! What is logged while a component is tried: what it prints itself, and what the runtime says of it.

use std::fmt::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry;

/// Where records of what components print come from.
const PRINTED: &str = "sump::guest";

/// See the module. Cloning gives the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard(Arc<Mutex<Records>>);

/// Records of one trial.
#[derive(Clone, Debug, Default)]
pub(super) struct Records {
    /// The lines that the component printed.
    pub(super) printed: Vec<String>,
    /// Warnings of the runtime, such as of what was denied.
    pub(super) warned: Vec<String>,
}

impl Heard {
    /// Hears all that is logged on this thread while `run` goes on.
    pub(super) fn during<T>(&self, run: impl FnOnce() -> T) -> T {
        tracing::subscriber::with_default(registry().with(self.clone()), run)
    }

    /// What was heard since this was last called.
    pub(super) fn take(&self) -> Records {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<S: Subscriber> Layer<S> for Heard {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let is_printed = metadata.target() == PRINTED;
        if !is_printed && *metadata.level() > tracing::Level::WARN {
            return;
        }
        let mut line = Message(String::new());
        event.record(&mut line);
        let mut records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if is_printed { records.printed.push(line.0) } else { records.warned.push(line.0) }
    }
}

/// The message of a record, without its other fields.
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            // Writing into a string does not fail.
            write!(self.0, "{value:?}").ok();
        }
    }
}
