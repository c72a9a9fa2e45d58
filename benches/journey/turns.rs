//! The consumers that are compared. Each reads the whole topic once, from its first record to its last.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anchorwatch::app::{JUDGE_FOR, MOST_EDGES_DUE, POLL_BATCH, POLL_WAIT, STEPS_AT_ONCE};
use anchorwatch::config::{Avro, Config};
use anchorwatch::engine::{CatalogEntry, Engine, Standing};
use anchorwatch::registry::wall_clock;
use anchorwatch::source::{BatchConsumer, Begin, Incoming, KafkaSource, Taken};
use anyhow::{Context as _, bail, ensure};
use rdkafka::consumer::{BaseConsumer, Consumer as _, DefaultConsumerContext};
use rdkafka::message::Message as _;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use rustix::time::{ClockId, clock_gettime};

use crate::{PARTITIONS, TOPIC};

/// Events between two checkpoints: those of ten seconds at ten thousand a second.
const CHECKPOINT_EVERY: u64 = 100_000;
/// Longest time without a record before a turn is given up.
const PATIENCE: Duration = Duration::from_secs(30);

/// What reads the topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// librdkafka alone: every record is fetched and dropped.
    RawPoll,
    /// The same by its batch call.
    RawBatch,
    /// Anchorwatch from Kafka to counts, panes closed and windows judged.
    Counts,
    /// The same, with the state packed for a checkpoint now and then.
    Checkpoints,
}

impl Turn {
    pub(crate) const ALL: [Self; 4] = [Self::RawPoll, Self::RawBatch, Self::Counts, Self::Checkpoints];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::RawPoll => "raw `BaseConsumer::poll`, dropped",
            Self::RawBatch => "raw batch call, dropped",
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
    /// The same before anything was measured: what is normal is worked out once for a reference.
    pub(crate) once: Duration,
    /// The part in which checkpoints were packed.
    pub(crate) packing: Duration,
    /// Windows judged.
    pub(crate) windows: u64,
    /// Bytes of counts in all checkpoints.
    pub(crate) packed_bytes: u64,
    /// Resident memory of the process in KiB when half of the events were read, and at the end.
    pub(crate) resident: [u64; 2],
}

/// What Anchorwatch has to do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Work {
    /// Events in the topic.
    pub(crate) events: u64,
    /// The first of them, which are not measured.
    pub(crate) warm: u64,
    /// Whether the state is packed for a checkpoint now and then.
    pub(crate) checkpoints: bool,
}

/// Resident memory of this process in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or_default()
}

fn clock(id: ClockId) -> Duration {
    let time = clock_gettime(id);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// CPU time of this thread.
pub(crate) fn thread_cpu() -> Duration {
    clock(ClockId::ThreadCPUTime)
}

/// Runs `work` and gives the CPU time that this thread spent on it.
fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let begun = thread_cpu();
    let done = work();
    (done, thread_cpu().saturating_sub(begun))
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

/// A consumer with librdkafka's own defaults, and its partitions.
fn raw(bootstrap: &str, topic: &str) -> anyhow::Result<(BaseConsumer, TopicPartitionList)> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "raw")
        .set("enable.auto.commit", "false")
        .create()?;
    let mut partitions = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        partitions.add_partition_offset(topic, partition, Offset::Beginning)?;
    }
    Ok((consumer, partitions))
}

/// Fetches and drops `events` records one by one; the first `warm` of them are not measured.
pub(crate) fn raw_poll(bootstrap: &str, events: u64, warm: u64) -> anyhow::Result<Spent> {
    let (consumer, partitions) = raw(bootstrap, TOPIC)?;
    let mut begun = clock(ClockId::ProcessCPUTime);
    consumer.assign(&partitions)?;
    let (mut read, mut patience) = (0, Patience::new());
    while read < events {
        let got = consumer.poll(POLL_WAIT).transpose().context("the raw consumer")?;
        if let Some(record) = &got {
            black_box(record.payload());
            read += 1;
            if read == warm {
                begun = clock(ClockId::ProcessCPUTime);
            }
        }
        if got.is_none() || read.is_multiple_of(POLL_BATCH as u64) {
            patience.check(got.is_some())?;
        }
    }
    let cpu = clock(ClockId::ProcessCPUTime).saturating_sub(begun);
    Ok(Spent { cpu, ..Spent::default() })
}

/// Fetches and drops `events` records by the batch call.
pub(crate) fn raw_batch(bootstrap: &str, topic: &str, events: u64, warm: u64) -> anyhow::Result<Spent> {
    let (consumer, partitions) = raw(bootstrap, topic)?;
    let mut consumer: BatchConsumer<DefaultConsumerContext> = BatchConsumer::new(consumer)?;
    let mut begun = clock(ClockId::ProcessCPUTime);
    (0..PARTITIONS).for_each(|partition| consumer.divert(topic, partition));
    consumer.assign(&partitions)?;
    let (mut read, mut patience) = (0, Patience::new());
    while read < events {
        let before = read;
        consumer.take(POLL_WAIT, POLL_BATCH, |taken| {
            if let Taken::Message(record) = taken {
                black_box(record.payload());
                read += 1;
            }
        });
        if before < warm && read >= warm {
            begun = clock(ClockId::ProcessCPUTime);
        }
        patience.check(read > before)?;
    }
    let cpu = clock(ClockId::ProcessCPUTime).saturating_sub(begun);
    Ok(Spent { cpu, ..Spent::default() })
}

/// Reads, decodes, counts and judges the records of a topic as the daemon does, but keeps no state file.
pub(crate) fn anchorwatch(config: &Config, catalog: &[CatalogEntry], work: Work) -> anyhow::Result<Spent> {
    let mut journey = Journey { engine: Engine::new(config), spent: Spent::default() };
    journey.engine.set_catalog(catalog);
    if let Some(file) = config.events.avro.as_ref().and_then(|avro| avro.schema.as_deref()) {
        journey.engine.set_event_schema(Avro::read_schema(file).map_err(anyhow::Error::msg)?);
    }
    let mut source = KafkaSource::new(config)?;
    let mut begun = clock(ClockId::ProcessCPUTime);
    let assigned = source.discover(|_, _| Begin::Policy)?.new;
    ensure!(assigned.len() == usize::try_from(PARTITIONS)?, "the topic has {} partitions", assigned.len());
    for new in &assigned {
        journey.engine.assign(&new.topic, new.partition, new.at);
    }
    let (mut packed_at, mut patience) = (0, Patience::new());
    let (mut is_warm, mut is_halfway) = (work.warm == 0, false);
    while journey.engine.law().read < work.events {
        let taken = journey.read(&mut source);
        patience.check(taken > 0 || journey.engine.edges_due() > 0)?;
        journey.close();
        let read = journey.engine.law().read;
        if work.checkpoints && read >= packed_at + CHECKPOINT_EVERY {
            packed_at += CHECKPOINT_EVERY;
            journey.pack();
        }
        if !is_warm && read >= work.warm {
            is_warm = true;
            let once = journey.spent.closing;
            journey.spent = Spent { once, ..Spent::default() };
            begun = clock(ClockId::ProcessCPUTime);
        }
        if !is_halfway && read >= work.events / 2 {
            is_halfway = true;
            journey.spent.resident[0] = resident();
        }
    }
    while journey.close() {}
    if work.checkpoints {
        journey.pack();
    }
    journey.spent.cpu = clock(ClockId::ProcessCPUTime).saturating_sub(begun);
    journey.spent.resident[1] = resident();
    let law = journey.engine.law();
    if !law.holds() || law.read != work.events || law.counted != work.events {
        bail!("of {} events not all were counted: {law:?}; {:?}", work.events, source.take_errors());
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
        let due = engine.edges_due();
        let wait = if due > 0 { Duration::ZERO } else { POLL_WAIT };
        let most = if due > MOST_EDGES_DUE { 0 } else { POLL_BATCH };
        source.poll(wait, most, |incoming| match incoming {
            Incoming::Record(record) => engine.ingest(&record, now),
            Incoming::Earlier(record) => engine.remember(&record),
            Incoming::AtEnd { topic, partition } => engine.at_end(topic, partition, now),
        })
    }

    /// Judges for a while; whether more is due.
    fn close(&mut self) -> bool {
        let until = wall_clock() + JUDGE_FOR;
        let ((windows, standing), cpu) = timed(|| {
            let mut windows = 0;
            loop {
                let (progress, standing) = self.engine.advance_some(wall_clock(), STEPS_AT_ONCE);
                windows += progress.windows.len() as u64;
                if standing == Standing::Idle || wall_clock() >= until {
                    return (windows, standing);
                }
            }
        });
        // Without an edge that is due only what waits is counted.
        if windows > 0 || standing != Standing::Idle {
            self.spent.closing += cpu;
        }
        self.spent.windows += windows;
        standing != Standing::Idle
    }

    fn pack(&mut self) {
        let (checkpoint, cpu) = timed(|| self.engine.checkpoint());
        self.spent.packing += cpu;
        self.spent.packed_bytes +=
            checkpoint.panes.iter().map(|pane| pane.counts.packed().len() as u64).sum::<u64>();
        black_box(checkpoint);
    }
}
