//! `anchorwatch demo`: the whole daemon on a real recorded stream, with an embedded broker and a local receiver.
//!
//! Nothing is faked but time: the same engine, state file, outbox and API as in production read seven months of flights
//! (`testdata/flights`) as fast as they can.

mod receiver;
mod report;

use std::io::{IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rdkafka::config::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use crate::app::{self, Daemon, Stop};
use crate::config::{self, Config};
use crate::registry::{BaselineOptions, Registry, build};
use crate::source::{EmbeddedBroker, TableEvents, TimedEvent};
use crate::view::Stage;

use receiver::Receiver;
use report::{Incident, Report, date};

static EVENTS: &[u8] = include_bytes!("../../../testdata/flights/events.parquet");
static REFERENCE: &[u8] = include_bytes!("../../../testdata/flights/reference.parquet");
static INCIDENTS: &str = include_str!("../../../testdata/flights/incidents.json");
static SETTINGS: &str = include_str!("demo.yaml");

const TOPIC: &str = "predictions";
const PARTITIONS: usize = 3;
/// Seven months in a minute: the sinks, which are our own, are told as fast as it is found out.
const AT_ONCE: &str = "rate_per_minute: 60000, burst: 1000";
/// Events that may wait in the embedded broker, which keeps about 5 MB a partition.
const AHEAD: u64 = 12_000;
const DRAIN: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Replays seven months of a real model: no Kafka, no configuration.
#[derive(Debug, Clone, Args)]
pub struct DemoCommand {
    /// What the last lines of standard output are.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
    /// Keep metrics, API and pages up after the replay until Ctrl-C.
    #[arg(long)]
    pub stay: bool,
}

/// Form of the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// A table for people.
    Table,
    /// One JSON object on the last line.
    Json,
}

/// A folder that is removed in the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> anyhow::Result<Self> {
        let path = std::env::temp_dir().join(format!("anchorwatch-demo-{}", std::process::id()));
        std::fs::create_dir_all(&path)
            .with_context(|| format!("cannot make the folder {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left in the temporary folder is the system's to remove.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl DemoCommand {
    /// Runs the demo.
    ///
    /// # Errors
    /// When a port or the temporary folder cannot be had, or the daemon fails.
    pub fn run(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        let begun = now();
        let folder = Folder::new()?;
        let incidents: Vec<Incident> = serde_json::from_str(INCIDENTS)?;
        let receiver = Receiver::start()?;
        let broker = EmbeddedBroker::start(TOPIC, i32::try_from(PARTITIONS)?)?;
        register(&folder.0)?;
        let config = configuration(&folder.0, &broker.bootstrap(), &receiver)?;
        let stop = Stop::default();
        let mut daemon = app::start(&config, &stop)?;
        daemon.stop_on_signals()?;
        self.say(out, &format!(
            "Flights from New York, March to September 2013, scored by a model trained on January and February.\n\
             metrics http://{0}/metrics   page http://{0}/   webhooks received on http://{1}\n",
            daemon.address, receiver.address
        ))?;
        let events = events()?;
        let told = self.replay(&events, &broker.bootstrap(), &daemon, &stop, &receiver, out)?;
        self.drain(&events, &daemon, &stop)?;
        self.tell(&receiver, told, out, &ProgressBar::hidden())?;
        let seconds = begun.elapsed().as_secs_f64();
        let (notifications, webhooks) = receiver
            .look(|received| (received.notifications.clone(), received.requests.values().sum::<u64>()));
        let report = Report::new(&incidents, &notifications, events.len() as u64, seconds, webhooks);
        match self.output {
            Output::Table => report.write(out)?,
            Output::Json => writeln!(out, "{}", serde_json::to_string(&report)?)?,
        }
        if self.stay && !stop.is_requested() {
            self.say(out, &format!("metrics and pages stay on http://{} until Ctrl-C", daemon.address))?;
        } else {
            stop.request();
        }
        daemon.wait()
    }

    fn say(&self, out: &mut dyn Write, line: &str) -> std::io::Result<()> {
        match self.output {
            Output::Table => writeln!(out, "{line}"),
            Output::Json => Ok(()),
        }
    }

    /// Produces as the daemon consumes; tells of notifications as they arrive. Returns how many were told.
    fn replay(
        &self,
        events: &[TimedEvent],
        bootstrap: &str,
        daemon: &Daemon,
        stop: &Stop,
        receiver: &Receiver,
        out: &mut dyn Write,
    ) -> anyhow::Result<usize> {
        let producer: BaseProducer =
            ClientConfig::new().set("bootstrap.servers", bootstrap).set("linger.ms", "5").create()?;
        let bar = self.bar(events.len());
        let mut told = 0;
        for (index, event) in events.iter().enumerate() {
            while index as u64 >= daemon.board.status().law.read + AHEAD {
                if stop.is_requested() {
                    anyhow::bail!("stopped before the end of the stream");
                }
                producer.flush(LOOK_EVERY).or_else(|error| match error.rdkafka_error_code() {
                    Some(rdkafka::error::RDKafkaErrorCode::OperationTimedOut) => Ok(()),
                    _ => Err(error),
                })?;
                std::thread::park_timeout(LOOK_EVERY);
                told = self.tell(receiver, told, out, &bar)?;
                bar.set_position(index as u64);
                bar.set_message(date(event.ts));
            }
            send(&producer, index, event)?;
        }
        producer.flush(DRAIN)?;
        bar.finish_and_clear();
        Ok(told)
    }

    fn bar(&self, events: usize) -> ProgressBar {
        let shown = self.output == Output::Table && std::io::stderr().is_terminal();
        let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(events as u64), target);
        let style = ProgressStyle::with_template("{msg} {wide_bar} {human_pos}/{human_len} {per_sec}");
        bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
    }

    fn tell(
        &self,
        receiver: &Receiver,
        told: usize,
        out: &mut dyn Write,
        bar: &ProgressBar,
    ) -> std::io::Result<usize> {
        let lines: Vec<String> = receiver.look(|received| {
            let new = received.notifications.iter().skip(told);
            new.map(|one| format!("{}  {:<8} {}", date(one.at), one.transition.as_str(), one.summary))
                .collect()
        });
        bar.suspend(|| lines.iter().try_for_each(|line| self.say(out, line)))?;
        Ok(told + lines.len())
    }

    /// Waits until every event is counted, every window judged that is complete, and every delivery confirmed.
    fn drain(&self, events: &[TimedEvent], daemon: &Daemon, stop: &Stop) -> anyhow::Result<()> {
        let deadline = now() + DRAIN;
        loop {
            let status = daemon.board.status();
            let waiting = daemon.store().call_blocking(|store| store.outbox_stats())?;
            let settled = waiting.iter().all(|stats| stats.pending == 0 && stats.inflight == 0);
            let judged = status.law.read >= events.len() as u64 && status.edges_due == 0;
            if judged && settled {
                return Ok(());
            }
            if now() >= deadline || stop.is_requested() {
                let (read, all) = (status.law.read, events.len());
                anyhow::bail!("the stream was not read to its end: {read} of {all} events");
            }
            std::thread::park_timeout(LOOK_EVERY);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the demo times itself")]
fn now() -> Instant {
    Instant::now()
}

fn send(producer: &BaseProducer, index: usize, event: &TimedEvent) -> anyhow::Result<()> {
    let partition = i32::try_from(index % PARTITIONS)?;
    let mut record = BaseRecord::<(), [u8]>::to(TOPIC).partition(partition).payload(&event.json);
    loop {
        match producer.send(record) {
            Ok(()) => break,
            Err((error, back))
                if error.rdkafka_error_code() == Some(rdkafka::error::RDKafkaErrorCode::QueueFull) =>
            {
                record = back;
                producer.poll(LOOK_EVERY);
            }
            Err((error, _)) => return Err(error.into()),
        }
    }
    producer.poll(Duration::ZERO);
    Ok(())
}

fn events() -> anyhow::Result<Vec<TimedEvent>> {
    let table = TableEvents { model: "flights", version: "1.0.0", segment: Some("origin"), feedback: true };
    Ok(table.read(EVENTS)?)
}

/// Two versions on the same baseline: the one that serves, and the one before it, to which a rollback returns.
fn register(folder: &Path) -> anyhow::Result<()> {
    let baseline = folder.join("reference.parquet");
    std::fs::write(&baseline, REFERENCE)?;
    let mut registry = Registry::open(&folder.join("data"))?;
    for version in ["0.9.0", "1.0.0"] {
        let mut options = BaselineOptions::new("flights", version, &baseline);
        options.time_zone = chrono_tz::America::New_York;
        options.segment_field = Some("origin".to_owned());
        options.positive_label = Some("late".to_owned());
        registry.add_reference(&build(&options)?)?;
        registry.set_stage("flights", version, Stage::Production, false)?;
    }
    Ok(())
}

fn configuration(folder: &Path, bootstrap: &str, receiver: &Receiver) -> anyhow::Result<Config> {
    let url = format!("http://{}", receiver.address);
    let secret = |name: &str, value: &str| -> anyhow::Result<String> {
        let path = folder.join(name);
        std::fs::write(&path, value)?;
        Ok(path.display().to_string())
    };
    let slack = secret("slack", &format!("{url}/slack"))?;
    let pagerduty = secret("pagerduty", "0123456789abcdef0123456789abcdef")?;
    let signing = secret("signing", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")?;
    let data = folder.join("data");
    let text = format!(
        "{SETTINGS}\
         data_dir: \"{}\"\n\
         kafka: {{ bootstrap: \"{bootstrap}\", topics: [{TOPIC}] }}\n\
         http: {{ listen: \"127.0.0.1:0\" }}\n\
         checkpoint: {{ every: 2s }}\n\
         sinks:\n\
         - {{ name: slack, type: slack, url: {{ file: \"{slack}\" }}, {AT_ONCE} }}\n\
         - {{ name: pagerduty, type: pagerduty, url: \"{url}/pagerduty\", routing_key: {{ file: \"{pagerduty}\" }}, \
              min_severity: critical, {AT_ONCE} }}\n\
         - {{ name: webhook, type: webhook, url: \"{url}/webhook\", secret: {{ file: \"{signing}\" }}, {AT_ONCE} }}\n\
         action_guards: {{ deploy_grace: 0s }}\n\
         actions:\n\
         - {{ name: retrain, kind: retrain, url: \"{url}/retrain\", on: [drift], mode: auto, cooldown: 7d, max_evidence_age: 36500d, \
              secret: {{ file: \"{signing}\" }} }}\n\
         - {{ name: rollback, kind: rollback, url: \"{url}/rollback\", on: [latency], mode: auto, cooldown: 7d, max_evidence_age: 36500d, \
              secret: {{ file: \"{signing}\" }} }}\n",
        data.display()
    );
    Ok(config::parse(&text, "demo.yaml")?)
}
