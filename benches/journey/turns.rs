//! The consumers that are compared. Each reads the whole topic once, from its first record to its last.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anchorwatch::config::Config;
use anchorwatch::engine::{CatalogEntry, Engine};
use anchorwatch::registry::wall_clock;
use anchorwatch::source::{Begin, Incoming, KafkaSource};
use anyhow::{Context as _, bail, ensure};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use rustix::time::{ClockId, clock_gettime};

use crate::{PARTITIONS, TOPIC};

/// As the daemon polls.
const POLL_WAIT: Duration = Duration::from_millis(20);
const POLL_BATCH: usize = 1_024;
const PANES_AT_ONCE: usize = 16;
/// Events between two checkpoints: those of ten seconds at ten thousand a second.
const CHECKPOINT_EVERY: u64 = 100_000;
/// Longest time without a record before a turn is given up.
const PATIENCE: Duration = Duration::from_secs(30);

/// What reads the topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// librdkafka alone: every record is fetched and dropped.
    RawPoll,
    /// Anchorwatch from Kafka to counts, panes closed and windows judged.
    Counts,
    /// The same, with the state packed for a checkpoint now and then.
    Checkpoints,
}

impl Turn {
    pub(crate) const ALL: [Self; 3] = [Self::RawPoll, Self::Counts, Self::Checkpoints];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::RawPoll => "raw `BaseConsumer::poll`, dropped",
            Self::Counts => "Anchorwatch, Kafka to counts",
            Self::Checkpoints => "the same, with checkpoints packed",
        }
    }
}

/// CPU time of one turn, of all threads of this process, and what was done in it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Spent {
    /// All of it.
    pub(crate) cpu: Duration,
    /// The part in which panes were closed and windows judged.
    pub(crate) closing: Duration,
    /// The part in which checkpoints were packed.
    pub(crate) packing: Duration,
    /// Windows judged.
    pub(crate) windows: u64,
    /// Bytes of counts in all checkpoints.
    pub(crate) packed_bytes: u64,
}

fn clock(id: ClockId) -> Duration {
    let time = clock_gettime(id);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Runs `work` and gives the CPU time that this thread spent on it.
fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let begun = clock(ClockId::ThreadCPUTime);
    let done = work();
    (done, clock(ClockId::ThreadCPUTime).saturating_sub(begun))
}

/// Fails a turn that no longer gets records.
struct Patience(Instant);

impl Patience {
    #[expect(clippy::disallowed_methods, reason = "a broker lives in real time")]
    fn new() -> Self {
        Self(Instant::now())
    }

    fn check(&mut self, got: bool) -> anyhow::Result<()> {
        if got {
            *self = Self::new();
        }
        ensure!(self.0.elapsed() < PATIENCE, "no record for {PATIENCE:?}");
        Ok(())
    }
}

/// Fetches and drops `events` records with librdkafka's own defaults.
pub(crate) fn raw_poll(bootstrap: &str, events: u64) -> anyhow::Result<Spent> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "raw")
        .set("enable.auto.commit", "false")
        .create()?;
    let begun = clock(ClockId::ProcessCPUTime);
    let mut partitions = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        partitions.add_partition_offset(TOPIC, partition, Offset::Beginning)?;
    }
    consumer.assign(&partitions)?;
    let (mut read, mut patience) = (0, Patience::new());
    while read < events {
        let got = consumer.poll(POLL_WAIT).transpose().context("the raw consumer")?;
        if let Some(record) = &got {
            black_box(record.payload());
            read += 1;
        }
        if got.is_none() || read.is_multiple_of(POLL_BATCH as u64) {
            patience.check(got.is_some())?;
        }
    }
    let cpu = clock(ClockId::ProcessCPUTime).saturating_sub(begun);
    Ok(Spent { cpu, ..Spent::default() })
}

/// Reads, decodes, counts and judges `events` records as the daemon does, but keeps no state file.
pub(crate) fn anchorwatch(
    config: &Config,
    catalog: &[CatalogEntry],
    events: u64,
    checkpoints: bool,
) -> anyhow::Result<Spent> {
    let mut journey = Journey { engine: Engine::new(config), spent: Spent::default() };
    journey.engine.set_catalog(catalog);
    let mut source = KafkaSource::new(config)?;
    let begun = clock(ClockId::ProcessCPUTime);
    let assigned = source.discover(|_, _| Begin::Policy)?.new;
    ensure!(assigned.len() == usize::try_from(PARTITIONS)?, "the topic has {} partitions", assigned.len());
    for new in &assigned {
        journey.engine.assign(&new.topic, new.partition, new.at);
    }
    let (mut packed_at, mut patience) = (0, Patience::new());
    while journey.engine.law().read < events {
        let taken = journey.read(&mut source);
        patience.check(taken > 0)?;
        journey.close();
        if checkpoints && journey.engine.law().read >= packed_at + CHECKPOINT_EVERY {
            packed_at += CHECKPOINT_EVERY;
            journey.pack();
        }
    }
    while journey.close() {}
    if checkpoints {
        journey.pack();
    }
    journey.spent.cpu = clock(ClockId::ProcessCPUTime).saturating_sub(begun);
    let law = journey.engine.law();
    if !law.holds() || law.read != events || law.counted != events {
        bail!("of {events} events not all were counted: {law:?}; {:?}", source.take_errors());
    }
    Ok(journey.spent)
}

struct Journey {
    engine: Engine,
    spent: Spent,
}

impl Journey {
    fn read(&mut self, source: &mut KafkaSource) -> usize {
        let (engine, now) = (&mut self.engine, wall_clock());
        source.poll(POLL_WAIT, POLL_BATCH, |incoming| match incoming {
            Incoming::Record(record) => engine.ingest(&record, now),
            Incoming::Earlier(record) => engine.remember(&record),
            Incoming::AtEnd { topic, partition } => engine.at_end(topic, partition, now),
        })
    }

    fn close(&mut self) -> bool {
        let ((progress, more), cpu) = timed(|| self.engine.advance(wall_clock(), PANES_AT_ONCE));
        self.spent.closing += cpu;
        self.spent.windows += progress.windows.len() as u64;
        more
    }

    fn pack(&mut self) {
        let (checkpoint, cpu) = timed(|| self.engine.checkpoint());
        self.spent.packing += cpu;
        self.spent.packed_bytes +=
            checkpoint.panes.iter().map(|pane| pane.counts.packed().len() as u64).sum::<u64>();
        black_box(checkpoint);
    }
}
