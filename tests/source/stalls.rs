//! A client that fetches nothing although its log grows: first the partition is taken up anew, then the whole client is
//! made anew. The line to the broker swallows everything meanwhile; the patience is passed in, not waited for.

use std::time::Duration;

use anchorwatch::config::{self, Config};
use anchorwatch::engine::{Resume, record_hash};
use anchorwatch::source::{Begin, Incoming, KafkaSource, PartitionEnd};

use super::proxy::{Fault, Proxy};
use super::{PATIENCE, events, send};
use crate::support::{Kafka, wait_until};

const TOPIC: &str = "stalls";
const PATIENCE_OF_REASSIGNING: i64 = 60_000;
const PATIENCE_OF_REBUILDING: i64 = 180_000;

/// What was counted: offsets as they came, and where counting goes on.
#[derive(Debug, Default)]
struct Counted {
    offsets: Vec<i64>,
    last_hash: Option<u64>,
    /// Records that were read again to prove that the log is the same.
    proofs: usize,
}

impl Counted {
    fn resume(&self) -> Option<Resume> {
        let next_offset = self.offsets.last()? + 1;
        Some(Resume { next_offset, last_record_hash: self.last_hash })
    }

    fn poll(&mut self, source: &mut KafkaSource) {
        source.poll(Duration::from_millis(50), 64, |incoming| match incoming {
            Incoming::Record(record) => {
                self.offsets.push(record.offset);
                self.last_hash = Some(record_hash(&record));
            }
            Incoming::Earlier(_) => self.proofs += 1,
            Incoming::AtEnd { .. } => {}
        });
    }

    #[track_caller]
    fn poll_until(&mut self, source: &mut KafkaSource, records: usize) {
        wait_until(PATIENCE, &format!("{records} records"), || {
            self.poll(source);
            self.offsets.len() >= records
        });
    }

    fn discover(&self, source: &mut KafkaSource) -> usize {
        let begin = |_: &str, _| self.resume().map_or(Begin::Policy, Begin::At);
        source.discover(begin).expect("nothing is to be halted").new.len()
    }

    /// What the daemon does with the client's statistics, `now` into a standstill; the log ends at `end`.
    fn watch(&self, source: &mut KafkaSource, end: i64, now: i64) -> (usize, bool) {
        let ends = [PartitionEnd { topic: TOPIC.to_owned(), partition: 0, end, high: end, is_heard: true }];
        source.watch(&ends, now, |_, _| self.resume()).expect("librdkafka takes the partition back")
    }
}

#[test]
fn a_partition_that_stands_still_is_taken_up_anew_and_then_the_client_is_made_anew() {
    let proxy = Proxy::start();
    let kafka = Kafka::start_behind(proxy.port());
    proxy.towards(&kafka.proxied());
    kafka.create_topic(TOPIC, 1);
    let text = format!(
        "kafka: {{ bootstrap: \"127.0.0.1:{}\", topics: [{TOPIC}], start: earliest, properties: {{ \
         socket.timeout.ms: 60000, reconnect.backoff.max.ms: 200 }} }}\n",
        proxy.port()
    );
    let config: Config = config::parse(&text, "stalls.yaml").expect("a configuration");
    let mut source = KafkaSource::new(&config).expect("a client");
    let mut counted = Counted::default();
    wait_until(PATIENCE, "the partition to be found", || counted.discover(&mut source) == 1);
    send(&kafka, TOPIC, 0, events(0..100));
    counted.poll_until(&mut source, 100);

    // The line swallows what comes next; the log is known to have grown.
    proxy.set(Fault::Blackhole);
    send(&kafka, TOPIC, 0, events(100..200));
    counted.poll(&mut source);
    assert_eq!(counted.offsets.len(), 100, "the line does not swallow");
    // The first look learns that something came before it, the second that nothing has come since.
    assert_eq!(counted.watch(&mut source, 100, 0), (0, false));
    assert_eq!(counted.watch(&mut source, 200, 0), (0, false));
    assert_eq!(counted.watch(&mut source, 200, PATIENCE_OF_REASSIGNING - 1), (0, false));
    assert_eq!(counted.watch(&mut source, 200, PATIENCE_OF_REASSIGNING), (1, false), "taken up anew");
    assert_eq!(counted.watch(&mut source, 200, PATIENCE_OF_REASSIGNING + 1), (0, false), "once");
    assert!(source.is_assigned());

    // Mended now, it reads on behind the record that was counted last, which is proven to be the same.
    proxy.set(Fault::Reset);
    proxy.set(Fault::None);
    counted.poll_until(&mut source, 200);
    assert_eq!((counted.proofs, source.needs_reset()), (1, false));

    // The second time nothing helps until the client itself is made anew.
    proxy.set(Fault::Blackhole);
    send(&kafka, TOPIC, 0, events(200..300));
    assert_eq!(counted.watch(&mut source, 200, 1_000_000), (0, false));
    assert_eq!(counted.watch(&mut source, 300, 1_000_000), (0, false));
    assert_eq!(counted.watch(&mut source, 300, 1_000_000 + PATIENCE_OF_REASSIGNING), (1, false));
    assert_eq!(counted.watch(&mut source, 300, 1_000_000 + PATIENCE_OF_REBUILDING), (0, true), "made anew");
    assert!(!source.is_assigned(), "its partitions are to be found again");
    counted.poll(&mut source);
    assert_eq!(counted.offsets.len(), 200);
    proxy.set(Fault::Reset);
    proxy.set(Fault::None);
    wait_until(PATIENCE, "the partition to be found again", || counted.discover(&mut source) == 1);
    counted.poll_until(&mut source, 300);

    assert!(
        counted.offsets.iter().copied().eq(0..300),
        "each record once and in order: {:?}",
        counted.offsets
    );
    assert_eq!((counted.proofs, source.needs_reset()), (2, false));
}

#[test]
fn a_partition_that_is_held_back_does_not_stand_still() {
    let kafka = Kafka::shared();
    kafka.create_topic("held-back", 1);
    let text =
        format!("kafka: {{ bootstrap: \"{}\", topics: [held-back], start: earliest }}\n", kafka.bootstrap());
    let mut source =
        KafkaSource::new(&config::parse(&text, "held.yaml").expect("a configuration")).expect("a client");
    let mut counted = Counted::default();
    wait_until(PATIENCE, "the partition to be found", || counted.discover(&mut source) == 1);
    send(kafka, "held-back", 0, events(0..10));
    counted.poll_until(&mut source, 10);
    let ends =
        [PartitionEnd { topic: "held-back".to_owned(), partition: 0, end: 20, high: 20, is_heard: true }];
    let watch = |source: &mut KafkaSource, now| {
        source.watch(&ends, now, |_, _| counted.resume()).expect("no refusal")
    };
    assert_eq!(watch(&mut source, 0), (0, false));
    assert_eq!(watch(&mut source, 1), (0, false));
    source.pause();
    assert_eq!(watch(&mut source, 10 * PATIENCE_OF_REBUILDING), (0, false), "we hold it back ourselves");
    source.resume();
    assert_eq!(
        watch(&mut source, 11 * PATIENCE_OF_REBUILDING),
        (0, false),
        "patience begins with the end of the pause"
    );
    assert_eq!(watch(&mut source, 11 * PATIENCE_OF_REBUILDING + PATIENCE_OF_REASSIGNING), (1, false));
}
