//! What librdkafka has fetched, taken in batches.
//!
//! The partitions' queues are led into one of our own. While nothing is taken from it librdkafka stops to fetch, and the
//! consumer's queue, which has the group's affairs, is polled on: backpressure neither pauses a partition, which would
//! throw away what was fetched, nor costs the membership.

#![expect(unsafe_code, reason = "the safe interface gives one message a call, with an allocation or two for each")]

use std::collections::HashMap;
use std::ffi::{CStr, CString, c_void};
use std::ptr;
use std::sync::Arc;
use std::thread::Thread;

use rdkafka::bindings::{self as raw, rd_kafka_message_t, rd_kafka_queue_t, rd_kafka_t};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};

use super::columns::Event;
use super::context::Context;

/// Messages that are taken at once, at most.
const TOGETHER: usize = 4096;

/// A queue of messages. Whoever owns it owns the messages that were taken and not yet dropped.
pub(super) struct Fetched {
    queue: Queue,
    partitions: HashMap<(Arc<str>, i32), Queue>,
    /// Taken from the queue, and not yet from here: those from `next` on, each valid.
    messages: Vec<*mut rd_kafka_message_t>,
    next: usize,
    /// What the queue calls when it is not empty any more.
    _waker: Box<Thread>,
    /// The last to be dropped: the queues are part of it.
    consumer: Arc<BaseConsumer<Context>>,
}

/// SAFETY: librdkafka's objects may be used from any thread, and the messages are this one's alone.
unsafe impl Send for Fetched {}

/// One reference to a queue of librdkafka.
struct Queue(*mut rd_kafka_queue_t);

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: it is a reference of our own, and the client that it is of lives: see `Fetched::consumer`.
        unsafe { raw::rd_kafka_queue_destroy(self.0) }
    }
}

/// A message that was taken, or an error about a partition.
#[derive(Clone, Copy)]
pub(super) struct Message<'a>(&'a rd_kafka_message_t);

/// Tells messages of different partitions apart, while they live.
pub(super) type Token = (usize, i32);

impl Fetched {
    /// Leads nothing into it yet. `thread` is unparked when something has come.
    pub(super) fn new(consumer: Arc<BaseConsumer<Context>>, thread: Thread) -> Fetched {
        // SAFETY: the client lives.
        let queue = Queue(unsafe { raw::rd_kafka_queue_new(consumer.client().native_ptr()) });
        let waker = Box::new(thread);
        let opaque = ptr::from_ref(&*waker).cast_mut().cast();
        // SAFETY: the thread stays where it is until `drop` has taken the callback away.
        unsafe { raw::rd_kafka_queue_cb_event_enable(queue.0, Some(wake), opaque) };
        Fetched { queue, partitions: HashMap::new(), messages: Vec::new(), next: 0, _waker: waker, consumer }
    }

    /// Leads the messages of a partition here. Comes before it is assigned. Whether that was possible.
    pub(super) fn attach(&mut self, topic: &Arc<str>, number: i32) -> bool {
        let Ok(name) = CString::new(&**topic) else { return false };
        // SAFETY: the client lives, and the name for the time of the call.
        let queue =
            unsafe { raw::rd_kafka_queue_get_partition(self.consumer.client().native_ptr(), name.as_ptr(), number) };
        if queue.is_null() {
            return false;
        }
        let queue = Queue(queue);
        // SAFETY: both are references that we own.
        unsafe { raw::rd_kafka_queue_forward(queue.0, self.queue.0) };
        self.partitions.insert((topic.clone(), number), queue);
        true
    }

    /// The partition was taken away: what was taken of it and not yet used is dropped.
    pub(super) fn detach(&mut self, topic: &Arc<str>, number: i32) {
        self.partitions.remove(&(topic.clone(), number));
        let left = self.messages.split_off(self.next);
        for message in left {
            // SAFETY: it was taken, and is valid until it is destroyed.
            let own = unsafe { Message(&*message) };
            match own.number() == number && own.topic() == &**topic {
                true => destroy(message),
                false => self.messages.push(message),
            }
        }
    }

    /// Takes what has come, without waiting. Whether there is anything.
    pub(super) fn take(&mut self) -> bool {
        if self.next == self.messages.len() {
            self.clear();
            self.messages.reserve(TOGETHER);
            // SAFETY: there is room for so many pointers, and as many as are returned are written.
            unsafe {
                let taken = raw::rd_kafka_consume_batch_queue(self.queue.0, 0, self.messages.as_mut_ptr(), TOGETHER);
                self.messages.set_len(usize::try_from(taken).unwrap_or(0));
            }
        }
        self.next < self.messages.len()
    }

    /// What was taken and not used, in order.
    pub(super) fn left(&self) -> impl Iterator<Item = Message<'_>> {
        // SAFETY: these were taken, and are valid until they are destroyed.
        self.messages[self.next..].iter().map(|message| Message(unsafe { &**message }))
    }

    /// The first `messages` of what is left were used.
    pub(super) fn used(&mut self, messages: usize) {
        self.next = (self.next + messages).min(self.messages.len());
        if self.next == self.messages.len() {
            self.clear();
        }
    }

    /// Drops all messages; none is left.
    fn clear(&mut self) {
        self.messages.drain(..).for_each(destroy);
        self.next = 0;
    }

    /// The end of a partition's log, as the last fetch told it.
    pub(super) fn log_end(&self, topic: &str, number: i32) -> Option<u64> {
        let topic = CString::new(topic).ok()?;
        let (mut low, mut high) = (-1, -1);
        // SAFETY: the client lives, and what is pointed at for the time of the call.
        let told = unsafe {
            raw::rd_kafka_get_watermark_offsets(
                self.consumer.client().native_ptr(),
                topic.as_ptr(),
                number,
                &raw mut low,
                &raw mut high,
            )
        };
        u64::try_from(high).ok().filter(|_| told == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR)
    }
}

impl Drop for Fetched {
    fn drop(&mut self) {
        self.clear();
        // SAFETY: the queue is our own. After this nobody calls back.
        unsafe { raw::rd_kafka_queue_cb_event_enable(self.queue.0, None, ptr::null_mut()) };
    }
}

/// A message that was taken, once.
fn destroy(message: *mut rd_kafka_message_t) {
    // SAFETY: it was taken from a queue, and nobody has destroyed it.
    unsafe { raw::rd_kafka_message_destroy(message) }
}

/// SAFETY: `thread` is what was registered with it.
unsafe extern "C" fn wake(_: *mut rd_kafka_t, thread: *mut c_void) {
    let thread: *const Thread = thread.cast();
    // SAFETY: see above.
    unsafe { (*thread).unpark() }
}

impl<'a> Message<'a> {
    /// The same for messages of the same partition.
    pub(super) fn token(self) -> Token {
        (self.0.rkt as usize, self.0.partition)
    }

    /// The name of the topic.
    pub(super) fn topic(self) -> &'a str {
        // SAFETY: a message holds its topic, whose name ends with a zero and stays.
        let name = unsafe {
            match self.0.rkt.is_null() {
                true => return "",
                false => CStr::from_ptr(raw::rd_kafka_topic_name(self.0.rkt)),
            }
        };
        name.to_str().unwrap_or_default()
    }

    /// The number of the partition.
    pub(super) fn number(self) -> i32 {
        self.0.partition
    }

    /// Where it is no message: what is wrong with the partition.
    pub(super) fn error(self) -> Option<(RDKafkaErrorCode, String)> {
        if self.0.err == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return None;
        }
        // SAFETY: it is valid, and the text as long as it is, or for good.
        let text = unsafe {
            let text = raw::rd_kafka_message_errstr(self.0);
            if text.is_null() { String::new() } else { CStr::from_ptr(text).to_string_lossy().into_owned() }
        };
        Some((self.0.err.into(), text))
    }

    /// Bytes of payload and key.
    pub(super) fn bytes(self) -> usize {
        self.0.len + self.0.key_len
    }
}

impl Event for Message<'_> {
    fn payload(&self) -> Option<&[u8]> {
        bytes(self.0.payload, self.0.len)
    }

    fn key(&self) -> Option<&[u8]> {
        bytes(self.0.key, self.0.key_len)
    }

    /// Of a topic without timestamps, from before Kafka 0.10, the beginning of the epoch.
    fn timestamp(&self) -> i64 {
        // SAFETY: it is valid, and who asks for no type gets none.
        let millis = unsafe { raw::rd_kafka_message_timestamp(self.0, ptr::null_mut()) };
        millis.max(0)
    }

    fn position(&self) -> u64 {
        self.0.offset as u64
    }

    fn each_header(&self, mut each: impl FnMut(&[u8], Option<&[u8]>)) {
        let mut headers = ptr::null_mut();
        // SAFETY: they are parsed at the first call and belong to the message; there are none unless it says so.
        let told = unsafe { raw::rd_kafka_message_headers(self.0, &raw mut headers) };
        if told != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return;
        }
        for index in 0.. {
            let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
            // SAFETY: what is given out belongs to the message.
            let told =
                unsafe { raw::rd_kafka_header_get_all(headers, index, &raw mut name, &raw mut value, &raw mut size) };
            if told != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                return;
            }
            // SAFETY: a name ends with a zero.
            let name = unsafe { CStr::from_ptr(name) };
            each(name.to_bytes(), bytes(value, size));
        }
    }
}

/// Bytes of a message, which live as long as it does; null is none at all.
fn bytes<'a>(start: *const c_void, len: usize) -> Option<&'a [u8]> {
    // SAFETY: librdkafka gives a pointer to so many bytes, or null.
    (!start.is_null()).then(|| unsafe { std::slice::from_raw_parts(start.cast(), len) })
}
