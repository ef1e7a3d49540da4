//! What the sink needs of librdkafka that its safe wrapper does not offer, or only with an allocation for each event.
//!
//! Messages are handed over without copying their payloads: a batch is kept as long as librdkafka may read of it, which is
//! until it has reported each of its messages. Keys and headers it copies itself. `rd_kafka_produce_batch` would take many
//! messages in one call, but neither timestamps nor headers.
#![expect(unsafe_code, reason = "the C interface of librdkafka")]

use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char, c_void};
use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arrow_array::Array;
use rdkafka::ClientConfig;
use rdkafka::bindings as c;
use rdkafka::client::{Client, DefaultClientContext};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaType};
use tokio::sync::Notify;

use super::outcome::comes_again;
use crate::batch::Batch;

/// The partitioner says it: `RD_KAFKA_PARTITION_UA`, which the bindings lack.
const ANY_PARTITION: i32 = -1;

/// Topics that are kept open. Events may name any number of them.
const MAX_TOPICS: usize = 1000;

/// A client of librdkafka that produces. Dropping it takes as long as its threads need to end.
pub(super) struct Native {
    /// Those that were written to. They go before the client does.
    topics: Mutex<HashMap<Box<str>, Arc<Topic>>>,
    queue: Queue,
    client: Client<DefaultClientContext>,
    /// Goes last: until the client is gone it may read of their payloads.
    flights: Mutex<Vec<Option<Arc<Flight>>>>,
}

/// The queue on which the client tells what happens.
struct Queue(*mut c::rd_kafka_queue_t);

// SAFETY: librdkafka locks its queues itself.
unsafe impl Send for Queue {}
// SAFETY: as above.
unsafe impl Sync for Queue {}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: the reference is this one's, and the client is still there: it is dropped later.
        unsafe { c::rd_kafka_queue_destroy(self.0) }
    }
}

/// A topic of a client that is still there.
struct Topic(*mut c::rd_kafka_topic_t);

// SAFETY: librdkafka locks its topics itself.
unsafe impl Send for Topic {}
// SAFETY: as above.
unsafe impl Sync for Topic {}

impl Drop for Topic {
    fn drop(&mut self) {
        // SAFETY: the reference is this one's, and whoever has it does not outlive the client.
        unsafe { c::rd_kafka_topic_destroy(self.0) }
    }
}

/// What a message has beside the payload.
pub(super) struct Message<'a> {
    pub(super) topic: &'a str,
    pub(super) key: Option<&'a [u8]>,
    /// Milliseconds since the Unix epoch; 0 is now.
    pub(super) timestamp: i64,
    /// Left to the partitioner where there is none.
    pub(super) partition: Option<i32>,
    pub(super) headers: Option<MessageHeaders>,
}

/// Headers, until a message takes them.
pub(super) struct MessageHeaders(*mut c::rd_kafka_headers_t);

impl MessageHeaders {
    pub(super) fn new() -> MessageHeaders {
        // SAFETY: it has no requirements.
        MessageHeaders(unsafe { c::rd_kafka_headers_new(8) })
    }

    pub(super) fn add(&mut self, name: &[u8], value: Option<&[u8]>) {
        let (bytes, length) = value.map_or((ptr::null(), 0), |value| (value.as_ptr(), value.len()));
        // SAFETY: the headers are there, both texts are as long as is said, and all is copied.
        unsafe {
            c::rd_kafka_header_add(self.0, name.as_ptr().cast(), name.len() as isize, bytes.cast(), length as isize);
        }
    }
}

impl Drop for MessageHeaders {
    fn drop(&mut self) {
        // SAFETY: no message has taken them.
        unsafe { c::rd_kafka_headers_destroy(self.0) }
    }
}

/// How far a message that failed came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Persisted {
    /// No broker has it.
    No,
    /// It was sent, and no broker said that it does not have it.
    Perhaps,
    /// A broker has it.
    Yes,
}

/// A message that was not reported as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unwritten {
    pub(super) row: u32,
    pub(super) code: RDKafkaErrorCode,
    pub(super) persisted: Persisted,
}

/// What was told by the client's queue.
pub(super) enum Event {
    /// Messages were reported: there is room for others.
    Reports,
    /// The client has an error that is about no single message.
    Error { code: RDKafkaErrorCode, reason: String },
    /// A line of its log.
    Log { level: RDKafkaLogLevel, facility: String, line: String },
    /// Nothing of interest, or nothing within the time.
    Nothing,
}

/// What librdkafka says of a step of a transaction that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) code: RDKafkaErrorCode,
    pub(super) message: String,
}

/// Messages of one batch.
pub(super) struct Flight {
    batch: Batch,
    slot: u32,
    reports: Mutex<Reports>,
    done: Notify,
}

#[derive(Default)]
struct Reports {
    /// How many were handed over, once all are that will be.
    handed: Option<usize>,
    reported: usize,
    unwritten: Vec<Unwritten>,
}

impl Flight {
    /// Waits until each message that was handed over is reported, and gives those that were not written.
    pub(super) async fn landed(&self) -> Vec<Unwritten> {
        loop {
            {
                let mut reports = self.reports();
                if reports.handed == Some(reports.reported) {
                    return std::mem::take(&mut reports.unwritten);
                }
            }
            // A permit is kept where the notice came first.
            self.done.notified().await;
        }
    }

    fn reports(&self) -> MutexGuard<'_, Reports> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hands messages of a batch over. All that will be are, once it is dropped.
pub(super) struct Handing<'a> {
    native: &'a Native,
    flight: Arc<Flight>,
    handed: usize,
    /// The one that came last.
    topic: Option<Arc<Topic>>,
    topic_name: String,
}

impl Handing<'_> {
    /// Hands the event of a row over, which must be in the batch. The message loses its headers by that, unless it fails.
    pub(super) fn produce(&mut self, row: usize, message: &mut Message) -> Result<(), RDKafkaErrorCode> {
        let topic = match &self.topic {
            Some(topic) if self.topic_name == message.topic => topic,
            _ => {
                self.topic_name.clear();
                self.topic_name.push_str(message.topic);
                self.topic.insert(self.native.topic(message.topic)?)
            }
        };
        let payloads = self.flight.batch.payload();
        let payload = payloads.is_valid(row).then(|| payloads.value(row));
        let memory = |bytes: Option<&[u8]>| c::rd_kafka_vu_s__bindgen_ty_1 {
            mem: bytes.map_or(
                c::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 { ptr: ptr::null_mut(), size: 0 },
                |bytes| c::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 {
                    ptr: bytes.as_ptr().cast_mut().cast(),
                    size: bytes.len(),
                },
            ),
        };
        let opaque = opaque(self.flight.slot, row as u32);
        let headers = message.headers.as_ref().map_or(ptr::null_mut(), |headers| headers.0);
        let part = |vtype, u| c::rd_kafka_vu_t { vtype, u };
        use c::rd_kafka_vtype_t as kind;
        let parts = [
            part(kind::RD_KAFKA_VTYPE_RKT, c::rd_kafka_vu_s__bindgen_ty_1 { rkt: topic.0 }),
            part(kind::RD_KAFKA_VTYPE_VALUE, memory(payload)),
            part(kind::RD_KAFKA_VTYPE_KEY, memory(message.key)),
            part(kind::RD_KAFKA_VTYPE_TIMESTAMP, c::rd_kafka_vu_s__bindgen_ty_1 { i64_: message.timestamp }),
            part(kind::RD_KAFKA_VTYPE_OPAQUE, c::rd_kafka_vu_s__bindgen_ty_1 { ptr: opaque }),
            part(
                kind::RD_KAFKA_VTYPE_PARTITION,
                c::rd_kafka_vu_s__bindgen_ty_1 { i32_: message.partition.unwrap_or(ANY_PARTITION) },
            ),
            part(kind::RD_KAFKA_VTYPE_HEADERS, c::rd_kafka_vu_s__bindgen_ty_1 { headers }),
        ];
        let count = if message.headers.is_some() { parts.len() } else { parts.len() - 1 };
        // SAFETY: each part has the field that its type asks for. Without a flag the payload is neither copied nor freed:
        // the flight keeps it until the message is reported. Key and headers are copied or taken.
        let error = unsafe { c::rd_kafka_produceva(self.native.client.native_ptr(), parts.as_ptr(), count) };
        if !error.is_null() {
            // SAFETY: the error is there, and this one's. Headers of a message that was not taken are still the caller's.
            let code = unsafe {
                let code = c::rd_kafka_error_code(error);
                c::rd_kafka_error_destroy(error);
                code
            };
            return Err(code.into());
        }
        // The message has taken them.
        std::mem::forget(message.headers.take());
        self.handed += 1;
        Ok(())
    }

    pub(super) fn flight(&self) -> &Arc<Flight> {
        &self.flight
    }
}

impl Drop for Handing<'_> {
    fn drop(&mut self) {
        let landed = {
            let mut reports = self.flight.reports();
            reports.handed = Some(self.handed);
            reports.reported == self.handed
        };
        if landed {
            self.native.leave(&self.flight);
        }
    }
}

/// What a message is known by: the slot of its batch, and its row there.
fn opaque(slot: u32, row: u32) -> *mut c_void {
    const { assert!(usize::BITS == 64, "a slot and a row take 64 bits") };
    ptr::without_provenance_mut((slot as usize) << 32 | row as usize)
}

impl Native {
    pub(super) fn new(config: &ClientConfig) -> Result<Native, KafkaError> {
        let native = config.create_native_config()?;
        let events = c::RD_KAFKA_EVENT_DR | c::RD_KAFKA_EVENT_ERROR | c::RD_KAFKA_EVENT_LOG;
        // SAFETY: the configuration is there.
        unsafe { c::rd_kafka_conf_set_events(native.ptr(), events) };
        let client = Client::new(config, native, RDKafkaType::RD_KAFKA_PRODUCER, DefaultClientContext)?;
        // SAFETY: the client is there. The reference is given back before it goes.
        let queue = Queue(unsafe { c::rd_kafka_queue_get_main(client.native_ptr()) });
        Ok(Native { topics: Mutex::default(), queue, client, flights: Mutex::default() })
    }

    /// A topic by its name; whether there is one is not known before the first message.
    fn topic(&self, name: &str) -> Result<Arc<Topic>, RDKafkaErrorCode> {
        let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(topic) = topics.get(name) {
            return Ok(topic.clone());
        }
        if topics.len() == MAX_TOPICS {
            topics.clear();
        }
        let text = CString::new(name).map_err(|_| RDKafkaErrorCode::InvalidTopic)?;
        // SAFETY: client and name are there. Without a configuration of its own it takes the client's.
        let topic = unsafe { c::rd_kafka_topic_new(self.client.native_ptr(), text.as_ptr(), ptr::null_mut()) };
        if topic.is_null() {
            return Err(RDKafkaErrorCode::InvalidTopic);
        }
        let topic = Arc::new(Topic(topic));
        topics.insert(name.into(), topic.clone());
        Ok(topic)
    }

    /// Messages of a batch are going to be handed over.
    pub(super) fn enter(&self, batch: Batch) -> Handing<'_> {
        let mut flights = self.flights();
        let slot = flights.iter().position(Option::is_none).unwrap_or_else(|| {
            flights.push(None);
            flights.len() - 1
        });
        let (reports, done) = (Mutex::default(), Notify::new());
        let flight = Arc::new(Flight { batch, slot: slot as u32, reports, done });
        flights[slot] = Some(flight.clone());
        Handing { native: self, flight, handed: 0, topic: None, topic_name: String::new() }
    }

    /// All its messages are reported: nobody reads of its payloads any more.
    fn leave(&self, flight: &Flight) {
        self.flights()[flight.slot as usize] = None;
        flight.done.notify_one();
    }

    /// Whether each message is reported.
    pub(super) fn is_idle(&self) -> bool {
        self.flights().iter().all(Option::is_none)
    }

    fn flights(&self) -> MutexGuard<'_, Vec<Option<Arc<Flight>>>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives all messages up, those that wait and those that were sent. Each is reported.
    pub(super) fn purge(&self) {
        let what = c::RD_KAFKA_PURGE_F_QUEUE | c::RD_KAFKA_PURGE_F_INFLIGHT | c::RD_KAFKA_PURGE_F_NON_BLOCKING;
        // SAFETY: the client is there.
        unsafe { c::rd_kafka_purge(self.client.native_ptr(), what) };
    }

    /// Takes a step of a transaction, which may wait. The reports of messages have to be polled meanwhile.
    pub(super) fn step(
        &self,
        step: impl FnOnce(*mut c::rd_kafka_t) -> *mut c::rd_kafka_error_t,
    ) -> Result<(), Trouble> {
        let error = step(self.client.native_ptr());
        if error.is_null() {
            return Ok(());
        }
        // SAFETY: the error is there, and this one's. Its text is copied.
        unsafe {
            let code = c::rd_kafka_error_code(error).into();
            let message = text(c::rd_kafka_error_string(error));
            c::rd_kafka_error_destroy(error);
            Err(Trouble { code, message })
        }
    }

    /// Why it is of no use any more, if so.
    pub(super) fn fatal(&self) -> Option<RDKafkaErrorCode> {
        // SAFETY: the client is there, and no text is asked for.
        let code = unsafe { c::rd_kafka_fatal_error(self.client.native_ptr(), ptr::null_mut(), 0) };
        match RDKafkaErrorCode::from(code) {
            RDKafkaErrorCode::NoError => None,
            code => Some(code),
        }
    }

    /// Ends a [`poll`](Self::poll) that waits, or the next one.
    pub(super) fn wake(&self) {
        // SAFETY: the queue is there.
        unsafe { c::rd_kafka_queue_yield(self.queue.0) }
    }

    /// Waits for what the client tells, and passes reports on to their flights. Before those hear of a message that is to be
    /// sent again, `failed` is called. One thread at a time.
    pub(super) fn poll(&self, within: Duration, failed: &dyn Fn()) -> Event {
        // SAFETY: the queue is there.
        let event = unsafe { c::rd_kafka_queue_poll(self.queue.0, within.as_millis() as i32) };
        if event.is_null() {
            return Event::Nothing;
        }
        // SAFETY: the event is there until it is destroyed, and nothing of it is kept beyond.
        unsafe {
            let told = self.read(event, failed);
            c::rd_kafka_event_destroy(event);
            told
        }
    }

    /// The event must be there.
    unsafe fn read(&self, event: *mut c::rd_kafka_event_t, failed: &dyn Fn()) -> Event {
        // SAFETY: the caller says that the event is there; each function is one for events of its type.
        unsafe {
            match c::rd_kafka_event_type(event) {
                c::RD_KAFKA_EVENT_DR => {
                    self.report(event, failed);
                    Event::Reports
                }
                c::RD_KAFKA_EVENT_ERROR => Event::Error {
                    code: c::rd_kafka_event_error(event).into(),
                    reason: text(c::rd_kafka_event_error_string(event)),
                },
                c::RD_KAFKA_EVENT_LOG => {
                    let (mut facility, mut line, mut level) = (ptr::null(), ptr::null(), 0);
                    c::rd_kafka_event_log(event, &raw mut facility, &raw mut line, &raw mut level);
                    Event::Log { level: level_of(level), facility: text(facility), line: text(line) }
                }
                _ => Event::Nothing,
            }
        }
    }

    /// Neighbours of one batch are counted together. The event must be one with reports.
    unsafe fn report(&self, event: *mut c::rd_kafka_event_t, failed: &dyn Fn()) {
        let mut flight: Option<Arc<Flight>> = None;
        let (mut written, mut unwritten) = (0, Vec::new());
        loop {
            // SAFETY: the event has reports, and each message lives as long as it.
            let message = unsafe { c::rd_kafka_event_message_next(event).as_ref() };
            let slot = message.map(|message| message._private.addr() >> 32);
            if flight.as_ref().map(|flight| flight.slot as usize) != slot {
                if let Some(flight) = flight.take() {
                    self.count(&flight, std::mem::take(&mut written), std::mem::take(&mut unwritten));
                }
                flight = slot.and_then(|slot| self.flights().get(slot)?.clone());
            }
            let Some(message) = message else { return };
            match RDKafkaErrorCode::from(message.err) {
                RDKafkaErrorCode::NoError => written += 1,
                code => {
                    // SAFETY: as above.
                    let status = unsafe { c::rd_kafka_message_status(message) };
                    let persisted = match status {
                        c::rd_kafka_msg_status_t::RD_KAFKA_MSG_STATUS_NOT_PERSISTED => Persisted::No,
                        c::rd_kafka_msg_status_t::RD_KAFKA_MSG_STATUS_POSSIBLY_PERSISTED => Persisted::Perhaps,
                        c::rd_kafka_msg_status_t::RD_KAFKA_MSG_STATUS_PERSISTED => Persisted::Yes,
                    };
                    let one = Unwritten { row: message._private.addr() as u32, code, persisted };
                    if comes_again(&one) {
                        failed();
                    }
                    unwritten.push(one);
                }
            }
        }
    }

    fn count(&self, flight: &Flight, written: usize, mut unwritten: Vec<Unwritten>) {
        let landed = {
            let mut reports = flight.reports();
            reports.reported += written + unwritten.len();
            reports.unwritten.append(&mut unwritten);
            reports.handed == Some(reports.reported)
        };
        if landed {
            self.leave(flight);
        }
    }
}

/// Nothing, or a text that ends with a zero, which is copied.
unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: the caller says that it is such a text.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// Those of syslog.
fn level_of(level: i32) -> RDKafkaLogLevel {
    match level {
        ..=2 => RDKafkaLogLevel::Critical,
        3 => RDKafkaLogLevel::Error,
        4 => RDKafkaLogLevel::Warning,
        5 => RDKafkaLogLevel::Notice,
        6 => RDKafkaLogLevel::Info,
        _ => RDKafkaLogLevel::Debug,
    }
}
