//! Records by the thousand: librdkafka's batch call, which the safe wrapper does not offer, behind a safe interface.
//!
//! This is the only file with `unsafe`; each block says why it holds. Here live a queue of our own, the diversion of
//! partitions into it, and the records of one batch while they are borrowed. Not here: what records mean, and news of
//! the client (errors, statistics, logs, tokens), which still come by the safe poll of the consumer's own queue: the
//! batch call would throw them away. Why it is worth it: `docs/decisions/0036-batches-by-the-c-call.md`.
#![expect(
    unsafe_code,
    reason = "rdkafka has no batch call; it saves a quarter of the cost of fetching a record"
)]

use std::ffi::{CStr, CString};
use std::marker::PhantomData;
use std::ops::Deref;
use std::ptr::{self, NonNull};
use std::time::Duration;

use rdkafka::bindings as native;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::Timestamp;
use rdkafka::types::{RDKafkaMessage, RDKafkaQueue, RDKafkaRespErr};

/// Most records of one batch.
pub const MOST: usize = 1_024;

/// A consumer whose records come in batches; everything else of it is used through [`Deref`].
pub struct BatchConsumer<C: ConsumerContext> {
    /// Made by `rd_kafka_queue_new` of `consumer`'s client, destroyed once, before it.
    queue: NonNull<RDKafkaQueue>,
    consumer: BaseConsumer<C>,
}

// SAFETY: a queue is bound to no thread (librdkafka locks it), and `consumer` may be sent by itself.
unsafe impl<C: ConsumerContext> Send for BatchConsumer<C> where BaseConsumer<C>: Send {}

impl<C: ConsumerContext> BatchConsumer<C> {
    /// Takes a consumer of which no partition is assigned yet.
    ///
    /// # Errors
    /// When librdkafka makes no queue.
    pub fn new(consumer: BaseConsumer<C>) -> KafkaResult<Self> {
        // SAFETY: the client lives as long as `consumer`, which is borrowed.
        let queue = unsafe { native::rd_kafka_queue_new(consumer.client().native_ptr()) };
        let queue = NonNull::new(queue).ok_or_else(|| KafkaError::ClientCreation("no queue".to_owned()))?;
        Ok(Self { queue, consumer })
    }

    /// Makes the records of a partition come by [`BatchConsumer::take`]. Must be said before the partition is assigned,
    /// and again until something came of it: when an earlier assignment ends, which happens in the background,
    /// librdkafka undoes the diversion, and keeps what it fetches until this is said once more.
    pub fn divert(&self, topic: &str, partition: i32) {
        // No topic's name holds a NUL.
        let Ok(topic) = CString::new(topic) else { return };
        let client = self.consumer.client().native_ptr();
        // SAFETY: the client lives as long as `self`, and `topic` is NUL-terminated and copied by the call.
        let from = unsafe { native::rd_kafka_queue_get_partition(client, topic.as_ptr(), partition) };
        let Some(from) = NonNull::new(from) else { return };
        // SAFETY: `from` was just made and is destroyed here, once; `self.queue` lives as long as `self`. librdkafka
        // counts references of its own to what stands behind both, so the diversion outlives `from`.
        unsafe {
            native::rd_kafka_queue_forward(from.as_ptr(), self.queue.as_ptr());
            native::rd_kafka_queue_destroy(from.as_ptr());
        }
    }

    /// Waits up to `wait` for a full batch, at most `most` of [`MOST`], and hands over what came in the order of each
    /// partition. Gives how many there were.
    pub fn take(&mut self, wait: Duration, most: usize, mut each: impl FnMut(Taken<'_>)) -> usize {
        let mut messages = [ptr::null_mut(); MOST];
        let wait = wait.as_millis().try_into().unwrap_or(i32::MAX);
        // SAFETY: the queue lives, and librdkafka writes at most as many pointers as the array has places.
        let taken = unsafe {
            let most = most.min(MOST);
            native::rd_kafka_consume_batch_queue(self.queue.as_ptr(), wait, messages.as_mut_ptr(), most)
        };
        // A negative number is an error of the call, of which there is none for a queue that lives.
        let taken = usize::try_from(taken).unwrap_or(0).min(MOST);
        let batch = Batch(&messages[..taken]);
        let mut topic = Topic { of: ptr::null_mut(), name: "" };
        for message in batch.0.iter().filter_map(|message| NonNull::new(*message)) {
            each(Taken::of(message, &mut topic, &batch));
        }
        taken
    }
}

impl<C: ConsumerContext> Deref for BatchConsumer<C> {
    type Target = BaseConsumer<C>;

    fn deref(&self) -> &Self::Target {
        &self.consumer
    }
}

impl<C: ConsumerContext> Drop for BatchConsumer<C> {
    fn drop(&mut self) {
        // SAFETY: nobody else destroys the queue or holds its pointer. The client lives: fields are dropped after this.
        // No message of the queue is borrowed, since `take` borrows `self` for as long.
        unsafe { native::rd_kafka_queue_destroy(self.queue.as_ptr()) }
    }
}

/// The messages of one batch: valid until this is dropped, which destroys each of them once, on a panic too.
struct Batch<'m>(&'m [*mut RDKafkaMessage]);

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        for message in self.0.iter().filter(|message| !message.is_null()) {
            // SAFETY: `rd_kafka_consume_batch_queue` gave each of them to us, once, and whatever borrows from one
            // borrows from this batch.
            unsafe { native::rd_kafka_message_destroy(*message) }
        }
    }
}

/// Name of the topic of the last message: nearly all of a batch share it.
struct Topic<'b> {
    of: *mut native::rd_kafka_topic_t,
    name: &'b str,
}

/// What one place of a batch holds.
#[derive(Debug)]
pub enum Taken<'b> {
    /// A record.
    Message(RawMessage<'b>),
    /// The position of the partition has reached the end of its log.
    End {
        /// Topic name.
        topic: &'b str,
        /// Partition number.
        partition: i32,
    },
    /// Something is wrong with a partition.
    Failed {
        /// librdkafka's code.
        code: RDKafkaErrorCode,
        /// What it says of it.
        reason: &'b str,
    },
}

impl<'b> Taken<'b> {
    fn of(message: NonNull<RDKafkaMessage>, topic: &mut Topic<'b>, batch: &'b Batch<'_>) -> Self {
        // SAFETY: the message is one of `batch`, which is not dropped for `'b`; nobody writes to these fields.
        let (code, of, partition) =
            unsafe { ((*message.as_ptr()).err, (*message.as_ptr()).rkt, (*message.as_ptr()).partition) };
        if of != topic.of {
            *topic = Topic { of, name: name_of(of, batch) };
        }
        let raw = RawMessage { message, topic: topic.name, partition, batch: PhantomData };
        match code {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Self::Message(raw),
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__PARTITION_EOF => Self::End { topic: raw.topic, partition },
            // The payload of such a message is the reason.
            code => Self::Failed {
                code: code.into(),
                reason: raw.payload().and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default(),
            },
        }
    }
}

/// The topic is kept by each message of the batch that names it, so its name lives as long as they do.
fn name_of<'b>(topic: *mut native::rd_kafka_topic_t, _: &'b Batch<'_>) -> &'b str {
    if topic.is_null() {
        return "";
    }
    // SAFETY: the topic is that of a message of the batch, and not null; its name is NUL-terminated and never changes.
    let name = unsafe { CStr::from_ptr(native::rd_kafka_topic_name(topic)) };
    // Kafka allows nothing but ASCII.
    name.to_str().unwrap_or_default()
}

/// A record while its batch is borrowed.
#[derive(Debug, Clone, Copy)]
pub struct RawMessage<'b> {
    message: NonNull<RDKafkaMessage>,
    topic: &'b str,
    partition: i32,
    batch: PhantomData<&'b RDKafkaMessage>,
}

impl<'b> RawMessage<'b> {
    /// Topic name.
    #[must_use]
    pub fn topic(&self) -> &'b str {
        self.topic
    }

    /// Partition number.
    #[must_use]
    pub fn partition(&self) -> i32 {
        self.partition
    }

    /// Offset in the partition.
    #[must_use]
    pub fn offset(&self) -> i64 {
        // SAFETY: the message lives for `'b`.
        unsafe { (*self.message.as_ptr()).offset }
    }

    /// Record value; `None` is a tombstone.
    #[must_use]
    pub fn payload(&self) -> Option<&'b [u8]> {
        // SAFETY: the message lives for `'b`.
        let (start, len) = unsafe { ((*self.message.as_ptr()).payload, (*self.message.as_ptr()).len) };
        self.bytes(start, len)
    }

    /// Record key.
    #[must_use]
    pub fn key(&self) -> Option<&'b [u8]> {
        // SAFETY: the message lives for `'b`.
        let (start, len) = unsafe { ((*self.message.as_ptr()).key, (*self.message.as_ptr()).key_len) };
        self.bytes(start, len)
    }

    /// `start` and `len` are a pair that librdkafka gave for this message.
    fn bytes(&self, start: *const std::ffi::c_void, len: usize) -> Option<&'b [u8]> {
        // SAFETY: librdkafka points at `len` bytes that live, unchanged, as long as the message, or at null.
        (!start.is_null()).then(|| unsafe { std::slice::from_raw_parts(start.cast::<u8>(), len) })
    }

    /// When it was made, or written.
    #[must_use]
    pub fn timestamp(&self) -> Timestamp {
        let mut kind = native::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message lives, and `kind` is written before the call returns.
        let at = unsafe { native::rd_kafka_message_timestamp(self.message.as_ptr(), &raw mut kind) };
        match kind {
            _ if at == -1 => Timestamp::NotAvailable,
            native::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE => Timestamp::NotAvailable,
            native::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_CREATE_TIME => Timestamp::CreateTime(at),
            native::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME => {
                Timestamp::LogAppendTime(at)
            }
        }
    }

    /// Headers that have a value, in their order. They are parsed only when this is called.
    #[must_use]
    pub fn headers(&self) -> Vec<(&'b str, &'b [u8])> {
        let mut headers = ptr::null_mut();
        // SAFETY: the message lives, and keeps its headers, which are parsed once and then stay where they are. Messages
        // are borrowed by one thread at a time: `RawMessage` holds a pointer and so cannot be sent.
        let found = unsafe { native::rd_kafka_message_headers(self.message.as_ptr(), &raw mut headers) };
        if found != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR || headers.is_null() {
            return Vec::new();
        }
        // SAFETY: `headers` belongs to the message, which lives.
        let count = unsafe { native::rd_kafka_header_cnt(headers) };
        (0..count).filter_map(|index| self.header(headers, index)).collect()
    }

    /// `headers` are those of this message.
    fn header(&self, headers: *mut native::rd_kafka_headers_t, index: usize) -> Option<(&'b str, &'b [u8])> {
        let (mut name, mut value, mut len) = (ptr::null(), ptr::null(), 0);
        // SAFETY: `headers` belongs to the message; the three places are written if there is such a header.
        let found = unsafe {
            native::rd_kafka_header_get_all(headers, index, &raw mut name, &raw mut value, &raw mut len)
        };
        if found != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR || name.is_null() {
            return None;
        }
        // SAFETY: a header's name is NUL-terminated and lives as long as the message.
        let name = unsafe { CStr::from_ptr(name) }.to_str().ok()?;
        Some((name, self.bytes(value, len)?))
    }
}
