//! Reading that is held back and goes on, at any moment: between two records, at the end of a log, while more is written.

use std::collections::BTreeMap;
use std::time::Duration;

use anchorwatch::config::{self, Config};
use anchorwatch::source::{Begin, Incoming, KafkaSource};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::{PATIENCE, send};
use crate::support::{Kafka, wait_until};

const TOPICS: [&str; 2] = ["pauses-a", "pauses-b"];
const PARTITIONS: i32 = 2;
const STEPS: usize = 500;

/// Offsets in the order in which they came, by topic and partition.
#[derive(Default)]
struct Came(BTreeMap<(String, i32), Vec<i64>>);

impl Came {
    fn poll(&mut self, source: &mut KafkaSource, wait: Duration, most: usize) -> usize {
        source.poll(wait, most, |incoming| match incoming {
            Incoming::Record(record) => {
                self.0.entry((record.topic.to_owned(), record.partition)).or_default().push(record.offset);
            }
            Incoming::Earlier(record) => panic!("{} was never counted", record.offset),
            Incoming::AtEnd { .. } => {}
        })
    }

    fn records(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }
}

fn reading(kafka: &Kafka) -> KafkaSource {
    let text = format!(
        "kafka: {{ bootstrap: \"{}\", topics: [{}], start: earliest }}\n",
        kafka.bootstrap(),
        TOPICS.join(", ")
    );
    let config: Config = config::parse(&text, "pauses.yaml").expect("a configuration");
    KafkaSource::new(&config).expect("a client")
}

#[test]
fn whatever_the_moment_of_a_pause_every_record_comes_once_and_in_order() {
    let kafka = Kafka::shared();
    TOPICS.iter().for_each(|topic| kafka.create_topic(topic, PARTITIONS));
    let mut source = reading(kafka);
    let found = source.discover(|_, _| Begin::Policy).expect("partitions");
    assert_eq!(found.new.len(), TOPICS.len() * PARTITIONS as usize);
    let seed = rand::rng().random();
    eprintln!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let (mut came, mut produced) = (Came::default(), 0);
    for _ in 0..STEPS {
        match rng.random_range(0..6) {
            0 => {
                let records = rng.random_range(1..6);
                let topic = TOPICS[rng.random_range(0..TOPICS.len())];
                let events = (0..records).map(|i| super::event(i, super::NOON));
                send(kafka, topic, rng.random_range(0..PARTITIONS), events);
                produced += records as usize;
            }
            1 => source.pause(),
            2 => source.resume(),
            _ => {
                let wait = Duration::from_millis(rng.random_range(0..12));
                let taken = came.poll(&mut source, wait, rng.random_range(0..20));
                assert!(taken == 0 || !source.is_paused(), "nothing comes while records are held back");
            }
        }
    }
    source.resume();
    wait_until(PATIENCE, "the rest", || {
        came.poll(&mut source, Duration::from_millis(20), 1_024);
        came.records() >= produced
    });
    for ((topic, partition), offsets) in &came.0 {
        assert!(offsets.iter().copied().eq(0..offsets.len() as i64), "{topic}/{partition}: {offsets:?}");
    }
    assert_eq!(came.records(), produced);
    assert!(!source.needs_reset(), "nothing came in the queue of the news");
}
