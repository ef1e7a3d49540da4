//! A producer with the thread that hears what it tells.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use tokio::sync::{Notify, watch};

use super::native::{Event, Handing, Native};
use super::outcome::{self, Meaning};
use crate::batch::Batch;
use crate::kafka;
use crate::sink::Failure;

/// How long the thread waits at a time.
const POLL: Duration = Duration::from_secs(1);
/// The same once the producer is retired, which ends so much later at most.
const POLL_RETIRED: Duration = Duration::from_millis(20);

/// A producer. Once it is retired no message of it is sent any more.
pub(super) struct Producer {
    name: String,
    native: Native,
    /// Whether nothing may be written behind a message that comes again.
    ordered: bool,
    retired: AtomicBool,
    /// Held while messages are handed over, and while it is retired.
    open: Mutex<()>,
    /// Messages were reported: there is room for others.
    room: Notify,
    /// What keeps it from writing anything until an operator acts.
    halted: watch::Sender<Option<Failure>>,
    /// What it said last, to explain why messages are late.
    last_error: Mutex<Option<String>>,
    ended: watch::Sender<bool>,
}

impl Producer {
    /// Starts one. Its thread ends once it is retired and each of its messages is reported.
    pub(super) fn start(name: &str, config: &ClientConfig, ordered: bool) -> Result<Arc<Producer>, Failure> {
        let native = Native::new(config).map_err(|error| {
            let message = match error {
                KafkaError::ClientCreation(message) | KafkaError::ClientConfig(_, message, ..) => message,
                other => other.to_string(),
            };
            Failure::halted("client", format!("the client can't be made: {message}"))
        })?;
        let producer = Arc::new(Producer {
            name: name.to_owned(),
            native,
            ordered,
            retired: AtomicBool::new(false),
            open: Mutex::default(),
            room: Notify::new(),
            halted: watch::Sender::new(None),
            last_error: Mutex::default(),
            ended: watch::Sender::new(false),
        });
        let heard = producer.clone();
        let thread = thread::Builder::new().name("kafka-sink".into()).spawn(move || hear(heard));
        thread.map_err(|error| Failure::transient("thread", format!("no thread can be started: {error}")))?;
        Ok(producer)
    }

    /// The client itself.
    pub(super) fn native(&self) -> &Native {
        &self.native
    }

    /// Messages of a batch are going to be handed over.
    pub(super) fn enter(&self, batch: Batch) -> Handing<'_> {
        self.native.enter(batch)
    }

    /// As long as the guard is there it is not retired. None if it is.
    pub(super) fn keep_open(&self) -> Option<MutexGuard<'_, ()>> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        (!self.is_retired()).then_some(open)
    }

    /// Waits until there may be room for messages.
    pub(super) async fn room(&self) {
        self.room.notified().await;
    }

    /// Waits until it can't write anything before an operator acts.
    pub(super) async fn halted(&self) {
        // It says so itself: there is always somebody who could.
        self.halted.subscribe().wait_for(Option::is_some).await.ok();
    }

    /// What keeps it from writing anything until an operator acts, if something does.
    pub(super) fn why_halted(&self) -> Option<Failure> {
        self.halted.borrow().clone()
    }

    /// Whether it is of no use any more.
    pub(super) fn is_spent(&self) -> bool {
        self.is_retired() || self.halted.borrow().is_some()
    }

    fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }

    /// Whether somebody has it beside its thread and the instance.
    pub(super) fn is_in_use(self: &Arc<Producer>) -> bool {
        Arc::strong_count(self) > 2
    }

    /// What it said last, to explain why messages are late.
    pub(super) fn last_error(&self) -> Option<String> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Gives up all its messages, those that wait and those that were sent. Each is reported, none is sent from now on.
    pub(super) fn retire(&self) {
        {
            let _open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            self.retired.store(true, Ordering::Relaxed);
        }
        self.native.purge();
        self.native.wake();
    }

    /// Turns true once it is gone.
    pub(super) fn ended(&self) -> watch::Receiver<bool> {
        self.ended.subscribe()
    }

    fn tell(&self, event: Event) {
        match event {
            Event::Reports => self.room.notify_one(),
            Event::Log { level, facility, line } => kafka::log(&self.name, level, &facility, &line),
            Event::Error { code: RDKafkaErrorCode::Fatal, reason } => {
                // Messages that it has are reported as failed. It takes no others.
                kafka::log(&self.name, RDKafkaLogLevel::Error, "FATAL", &reason);
                self.remember(reason);
                self.retire();
            }
            Event::Error { code, reason } => {
                tracing::debug!(client = self.name, ?code, "{reason}");
                if outcome::meaning(code) == Meaning::Halted {
                    let failure = Failure::halted(outcome::code(code), outcome::message(code, &reason));
                    self.halted.send_if_modified(|halted| halted.replace(failure).is_none());
                }
                // That nobody is left says less than why the last one went.
                if code != RDKafkaErrorCode::AllBrokersDown || self.last_error().is_none() {
                    self.remember(reason);
                }
            }
            Event::Nothing => {}
        }
    }

    fn remember(&self, reason: String) {
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
    }
}

/// Hears what a producer tells until it is retired, idle and nobody else has it; then ends it, which takes its time.
fn hear(producer: Arc<Producer>) {
    loop {
        let retired = producer.is_retired();
        let failed = || {
            if producer.ordered && !producer.is_retired() {
                producer.retire();
            }
        };
        let event = producer.native.poll(if retired { POLL_RETIRED } else { POLL }, &failed);
        let quiet = matches!(event, Event::Nothing);
        producer.tell(event);
        if quiet && retired && producer.native.is_idle() && Arc::strong_count(&producer) == 1 {
            break;
        }
    }
    let ended = producer.ended.clone();
    drop(producer);
    ended.send_replace(true);
}
