//! The same journey with the same events in Avro, beside a raw consumer of its own topic.

use std::fmt;
use std::time::Duration;

use anchorwatch::config::Config;
use anchorwatch::engine::CatalogEntry;

use crate::avro::{Features, Writer};
use crate::events::Stream;
use crate::support::Kafka;
use crate::turns::{self, Work};
use crate::{PARTITIONS, START_MS, configuration, produce, warm};

const TOPIC: &str = "in-avro";

/// What was measured.
#[derive(Debug, Default)]
pub(crate) struct OfAvro {
    events: u64,
    mean_bytes: f64,
    /// CPU time of each round: the raw batch call, and from Kafka to counts.
    rounds: Vec<[Duration; 2]>,
}

impl OfAvro {
    /// Fills a topic, and takes turns.
    pub(crate) fn measure(
        kafka: &Kafka,
        catalog: &[CatalogEntry],
        (events, rate, rounds): (u64, f64, u64),
    ) -> anyhow::Result<Self> {
        let mut stream = Stream::new(2, START_MS + 10_000, 1_000.0 / rate, 1);
        let mut json = String::new();
        stream.next_into(&mut json);
        let writer = Writer::new(Features::Record, &serde_json::from_str(&json)?)?;
        let mut stream = Stream::new(2, START_MS + 10_000, 1_000.0 / rate, 1);
        let mut bytes = 0;
        produce(kafka, TOPIC, events, |_| {
            stream.next_into(&mut json);
            let event = writer.write(&serde_json::from_str(&json)?)?;
            bytes += event.len();
            Ok(event)
        })?;
        let config = Self::configured(kafka, &writer)?;
        let mut measured = Self { events, mean_bytes: bytes as f64 / events as f64, rounds: Vec::new() };
        // The first round only warms the caches.
        for round in 0..=rounds {
            let raw = turns::raw_batch(kafka.bootstrap(), TOPIC, events, warm(events))?;
            let work = Work { events, warm: warm(events), checkpoints: false };
            let counts = turns::anchorwatch(&config.0, catalog, work)?;
            if round > 0 {
                measured.rounds.push([raw.cpu, counts.cpu]);
            }
        }
        Ok(measured)
    }

    /// A configuration with the schema in a file, which stays as long as the folder.
    fn configured(kafka: &Kafka, writer: &Writer) -> anyhow::Result<(Config, tempfile::TempDir)> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("event.avsc");
        std::fs::write(&file, writer.text())?;
        let mut config = configuration(kafka.bootstrap(), TOPIC)?;
        config.events.format = anchorwatch::config::EventFormat::Avro;
        config.events.avro = Some(anchorwatch::config::Avro { schema: Some(file), registry: None });
        Ok((config, folder))
    }

    fn sorted(&self, turn: usize) -> Vec<f64> {
        let micros =
            |spent: Duration| spent.as_secs_f64() * 1e6 / (self.events - warm(self.events)).max(1) as f64;
        let mut all: Vec<f64> = self.rounds.iter().map(|round| micros(round[turn])).collect();
        all.sort_by(f64::total_cmp);
        all
    }
}

impl fmt::Display for OfAvro {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [raw, counts] = [0, 1].map(|turn| self.sorted(turn));
        let best = |all: &[f64]| all.first().copied().unwrap_or_default();
        let median = |all: &[f64]| all.get(all.len() / 2).copied().unwrap_or_default();
        writeln!(
            f,
            "- The same events in Avro, {:.0} bytes with features in a record, in {PARTITIONS} partitions: {:.3} µs an event at \
             best, {:.3} at the median; {:.0} events/s of CPU; {:.2} × the raw batch call on their own topic ({:.3}; {:.3}), \
             medians {:.2} ×.",
            self.mean_bytes,
            best(&counts),
            median(&counts),
            1e6 / best(&counts),
            best(&counts) / best(&raw),
            best(&raw),
            median(&raw),
            median(&counts) / median(&raw),
        )
    }
}
