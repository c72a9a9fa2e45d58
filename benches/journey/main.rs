//! The whole journey, from Kafka to counts, beside a raw librdkafka consumer of the same topic in the same process.
//!
//! A real Apache Kafka on loopback gets a topic of four partitions, filled before anything is measured. Then the
//! consumers take turns, so that what else the machine does falls on all of them. What counts is CPU time, and the ratio
//! to the raw consumer: neither says much on another machine.
//!
//! `cargo bench --bench journey`. The environment may change the number of events
//! (`ANCHORWATCH_BENCH_EVENTS`), how many of them there are in a second of event time (`ANCHORWATCH_BENCH_RATE`), and the
//! number of rounds (`ANCHORWATCH_BENCH_ROUNDS`).
#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]

mod alone;
#[expect(dead_code, reason = "the bench of decoding writes events in more ways")]
mod avro;
mod counted;
mod events;
mod of_avro;
mod report;
#[path = "../../tests/support/mod.rs"]
mod support;
mod turns;

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anchorwatch::action::VersionFacts;
use anchorwatch::config::{self, Config};
use anchorwatch::engine::CatalogEntry;
use anchorwatch::reference::{Reference, ReferenceId, decode, encode};
use anchorwatch::registry::{BaselineOptions, build};
use anchorwatch::window::WatchedVersion;
use anyhow::Context as _;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseRecord, Producer as _};

use events::{Stream, model};
use mimalloc::MiMalloc;
use of_avro::OfAvro;
use report::Report;
use support::Kafka;
use turns::{Spent, Turn, Work};

/// As the program has it.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const TOPIC: &str = "predictions";
const PARTITIONS: i32 = 4;
/// 1 October 2025, and the week before it for the baseline.
const START_MS: i64 = 1_759_276_800_000;
const BASELINE_ROWS: u64 = 10_000;
const BASELINE_MS: i64 = 7 * 86_400_000;
const FLUSH: Duration = Duration::from_secs(60);
/// Numbers of models whose events take turns.
const MODELS: [u64; 3] = [1, 100, 10_000];
/// Events of such a topic: so many, or [`EVENTS_OF_EACH`]. Those of the first quarter are not measured, so that what a
/// model costs once does not count.
const EVENTS_OF_MODELS: u64 = 1_000_000;
/// Events of each model, all in one pane, whose memory is claimed by the first of them. A minute of a million events a
/// second has 6,000 of each of the most models.
const EVENTS_OF_EACH: u64 = 400;
const ROUNDS_OF_MODELS: usize = 3;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == counted::COUNT) {
        let events: usize = arguments.get(at + 1).context("no number of events")?.parse()?;
        let config = configuration("127.0.0.1:9", TOPIC)?;
        let number = |place: usize| arguments.get(at + place).and_then(|text| text.parse::<usize>().ok());
        let file = arguments.get(at + 2).filter(|path| *path != "--bench" && number(2).is_none());
        let models = number(if file.is_some() { 3 } else { 2 }).unwrap_or(1);
        // Under valgrind, which knows no clock of a thread, the reference is not built but read.
        let reference = file.map_or_else(baseline, |path| Ok(decode(&std::fs::read(path)?)?))?;
        let catalog = catalog(reference)?;
        let catalog = &catalog[..models.min(catalog.len())];
        if file.is_some() {
            return counted::count(&config, catalog, events, || Duration::ZERO).map(|_| ());
        }
        let spent = counted::count(&config, catalog, events, turns::thread_cpu)?;
        println!("{:.1} ns of CPU an event", spent.as_secs_f64() * 1e9 / events as f64);
        return Ok(());
    }
    if let Some(at) = arguments.iter().position(|argument| argument == alone::ALONE) {
        return alone::consume(&arguments[at + 1..]);
    }
    if !arguments.iter().any(|argument| argument == "--bench") {
        println!("measures nothing unless run by `cargo bench`");
        return Ok(());
    }
    let events = setting("ANCHORWATCH_BENCH_EVENTS", 300_000)?;
    let rate = setting("ANCHORWATCH_BENCH_RATE", 1_000)? as f64;
    let rounds = setting("ANCHORWATCH_BENCH_ROUNDS", 7)?.max(1);
    let reference = baseline()?;
    let counters = reference.layout().len();
    let instructions = counted::instructions(&encode(&reference)?);
    let kafka = Kafka::start();
    let mean_bytes = fill(&kafka, TOPIC, events, rate, 1)?;
    let config = configuration(kafka.bootstrap(), TOPIC)?;
    let resident = alone::resident(kafka.bootstrap(), events, &encode(&reference)?)?;
    let catalog = catalog(reference)?;
    let mut report = Report {
        events,
        resident,
        rate,
        mean_bytes,
        counters,
        rounds: Vec::new(),
        models: Vec::new(),
        instructions,
        avro: OfAvro::default(),
    };
    // The first round only warms the caches of the broker and of this process.
    for round in 0..=rounds {
        let spent = one_round(round, &config, &catalog[..1], events)?;
        if round > 0 {
            report.rounds.push(spent);
        }
    }
    report.avro = OfAvro::measure(&kafka, &catalog[..1], (events, rate, rounds))?;
    report.models = of_models(&kafka, &catalog)?;
    println!("{report}");
    let results = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/RESULTS.md");
    report.save(&results).context("benches/RESULTS.md")
}

fn setting(name: &str, default: u64) -> anyhow::Result<u64> {
    let Ok(text) = std::env::var(name) else { return Ok(default) };
    let number = text.parse().ok().filter(|number| *number > 0);
    number.with_context(|| format!("{name} is no number above 0: {text:?}"))
}

/// Events of each turn that are read before anything is measured: what a reference costs once is told by itself.
fn warm(events: u64) -> u64 {
    events / 4
}

/// Every consumer once, another one first each time.
fn one_round(
    round: u64,
    config: &Config,
    catalog: &[CatalogEntry],
    events: u64,
) -> anyhow::Result<[Spent; Turn::ALL.len()]> {
    let mut spent = [Spent::default(); Turn::ALL.len()];
    for place in 0..Turn::ALL.len() {
        let turn = Turn::ALL[(place + usize::try_from(round)?) % Turn::ALL.len()];
        spent[turn as usize] = match turn {
            Turn::RawPoll => turns::raw_poll(&config.kafka.bootstrap, events, warm(events))?,
            Turn::RawBatch => turns::raw_batch(&config.kafka.bootstrap, TOPIC, events, warm(events))?,
            Turn::Counts => {
                turns::anchorwatch(config, catalog, Work { events, warm: warm(events), checkpoints: false })?
            }
            Turn::Checkpoints => {
                turns::anchorwatch(config, catalog, Work { events, warm: warm(events), checkpoints: true })?
            }
        };
    }
    Ok(spent)
}

/// Events of a topic with so many models.
fn events_of(models: u64) -> u64 {
    EVENTS_OF_MODELS.max(EVENTS_OF_EACH * models)
}

/// CPU time of an event in microseconds, by the number of models whose events take turns. All fall into one pane, so
/// that nothing is judged.
fn of_models(kafka: &Kafka, catalog: &[CatalogEntry]) -> anyhow::Result<Vec<(u64, f64)>> {
    let mut best = vec![f64::INFINITY; MODELS.len()];
    for models in MODELS {
        let events = events_of(models);
        fill(kafka, &format!("models-{models}"), events, events as f64 / 30.0, models)?;
    }
    for _ in 0..ROUNDS_OF_MODELS {
        for (models, best) in MODELS.iter().zip(&mut best) {
            let config = configuration(kafka.bootstrap(), &format!("models-{models}"))?;
            let events = events_of(*models);
            let work = Work { events, warm: warm(events), checkpoints: false };
            let catalog = &catalog[..usize::try_from(*models)?];
            let spent = turns::anchorwatch(&config, catalog, work)?;
            *best = best.min(spent.cpu.as_secs_f64() * 1e6 / (events - warm(events)) as f64);
        }
    }
    Ok(MODELS.into_iter().zip(best).collect())
}

/// A reference of generated rows, built from a file as `anchorwatch reference create` builds it.
fn baseline() -> anyhow::Result<Reference> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("baseline.jsonl");
    let spacing = BASELINE_MS as f64 / BASELINE_ROWS as f64;
    let mut stream = Stream::new(1, START_MS - BASELINE_MS, spacing, 1);
    let (mut file, mut json) = (std::io::BufWriter::new(std::fs::File::create(&path)?), String::new());
    for _ in 0..BASELINE_ROWS {
        stream.next_into(&mut json);
        writeln!(file, "{json}")?;
    }
    file.flush()?;
    Ok(build(&BaselineOptions::new(&model(0), "1.0.0", &path))?)
}

/// As many models as are ever read, all with the same reference.
fn catalog(reference: Reference) -> anyhow::Result<Vec<CatalogEntry>> {
    let reference_id = ReferenceId::of(&encode(&reference)?).to_string();
    let reference = Arc::new(reference);
    let entry = |number| CatalogEntry {
        watched: WatchedVersion {
            model: model(number),
            version: "1.0.0".to_owned(),
            reference_id: reference_id.clone(),
            reference: Arc::clone(&reference),
            takes_feedback: false,
        },
        facts: VersionFacts { current: true, ..VersionFacts::default() },
    };
    Ok((0..MODELS.into_iter().max().unwrap_or(1)).map(entry).collect())
}

fn configuration(bootstrap: &str, topic: &str) -> anyhow::Result<Config> {
    let text = format!(
        "kafka: {{ bootstrap: \"{bootstrap}\", topics: [{topic}], start: earliest }}\n\
         windows: {{ pane: 1m, horizons: [{{ length: 15m }}, {{ length: 1h }}, {{ length: 6h }}, {{ length: 24h }}] }}\n"
    );
    Ok(config::parse(&text, "bench.yaml")?)
}

/// Fills the topic; returns the mean size of an event.
fn fill(kafka: &Kafka, topic: &str, events: u64, rate: f64, models: u64) -> anyhow::Result<f64> {
    let mut stream = Stream::new(2, START_MS + 10_000, 1_000.0 / rate, models);
    let (mut json, mut bytes) = (String::new(), 0);
    produce(kafka, topic, events, |_| {
        stream.next_into(&mut json);
        bytes += json.len();
        Ok(json.clone().into_bytes())
    })?;
    Ok(bytes as f64 / events as f64)
}

/// Fills a topic with so many events.
fn produce(
    kafka: &Kafka,
    topic: &str,
    events: u64,
    mut make: impl FnMut(u64) -> anyhow::Result<Vec<u8>>,
) -> anyhow::Result<()> {
    kafka.create_topic(topic, PARTITIONS);
    let producer = kafka.producer();
    for event in 0..events {
        let payload = make(event)?;
        let partition = i32::try_from(event % u64::from(PARTITIONS.unsigned_abs()))?;
        let mut record = BaseRecord::<(), [u8]>::to(topic).partition(partition).payload(&payload);
        while let Err((error, back)) = producer.send(record) {
            let full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
            anyhow::ensure!(full, "an event cannot be produced: {error}");
            producer.flush(FLUSH)?;
            record = back;
        }
    }
    producer.flush(FLUSH)?;
    let stored: i64 = kafka.offsets(topic).iter().map(|(first, next)| next - first).sum();
    anyhow::ensure!(stored.unsigned_abs() == events, "{stored} of {events} events are in the topic");
    Ok(())
}
