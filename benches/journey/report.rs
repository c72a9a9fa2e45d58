//! What is printed, and written to `benches/RESULTS.md`.

use std::fmt::{self, Write as _};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::of_avro::OfAvro;
use crate::turns::{Spent, Turn};
use crate::{EVENTS_OF_EACH, warm};

const BEGIN: &str = "<!-- journey: written by `make bench` -->";
const END: &str = "<!-- end of journey -->";

/// Everything measured, with what it was measured on.
pub(crate) struct Report {
    /// Events that each turn read.
    pub(crate) events: u64,
    /// Events per second of event time.
    pub(crate) rate: f64,
    /// Mean size of an event.
    pub(crate) mean_bytes: f64,
    /// Cells of the reference.
    pub(crate) counters: usize,
    /// Results of every round, by turn as [`Turn::ALL`] lists them.
    pub(crate) rounds: Vec<[Spent; Turn::ALL.len()]>,
    /// Best CPU time of an event in microseconds, by the number of models whose events take turns.
    pub(crate) models: Vec<(u64, f64)>,
    /// Resident memory in KiB of a process that only consumes, when half of the events were read and at the end.
    pub(crate) resident: [u64; 2],
    /// Instructions of an event from its bytes to its counters, where valgrind can tell.
    pub(crate) instructions: Option<u64>,
    /// The same events in Avro.
    pub(crate) avro: OfAvro,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "## The whole journey beside a raw consumer\n")?;
        writeln!(
            f,
            "{} events of {:.0} bytes in 4 partitions, {:.0} a second of event time; 14 numeric and 6 categorical \
             features, score, label, latency; {} counters a pane of one minute; windows of 15 m, 1 h, 6 h and 24 h.\n",
            self.events, self.mean_bytes, self.rate, self.counters
        )?;
        writeln!(
            f,
            "| | CPU µs an event: best | median | events/s of CPU | × raw poll | × raw batch |\n|---|---|---|---|---|---|"
        )?;
        let [poll, batch] = [Turn::RawPoll, Turn::RawBatch].map(|turn| self.best(turn, |spent| spent.cpu));
        for turn in Turn::ALL {
            let (best, median) = (self.best(turn, |spent| spent.cpu), self.median(turn, |spent| spent.cpu));
            let rate = (self.events - warm(self.events)) as f64 / best.as_secs_f64();
            let [poll, batch] = [poll, batch].map(|raw| best.as_secs_f64() / raw.as_secs_f64());
            let (best, median) = (self.micros(best), self.micros(median));
            let name = turn.name();
            writeln!(f, "| {name} | {best:.3} | {median:.3} | {rate:.0} | {poll:.2} | {batch:.2} |")?;
        }
        self.parts(f)?;
        writeln!(f, "\n{}", machine(self.rounds.len()))
    }
}

impl Report {
    /// What of the time went into windows and checkpoints, which depend on the rate and not on the events.
    fn parts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let closing = self.best(Turn::Counts, |spent| spent.closing);
        let packing = self.best(Turn::Checkpoints, |spent| spent.packing);
        let counts = self.best(Turn::Counts, |spent| spent.cpu.saturating_sub(spent.closing));
        let [poll, batch] = [Turn::RawPoll, Turn::RawBatch].map(|turn| self.best(turn, |spent| spent.cpu));
        let last = |turn: Turn| self.rounds.last().map_or_else(Spent::default, |round| round[turn as usize]);
        let (windows, packed) = (last(Turn::Counts).windows, last(Turn::Checkpoints).packed_bytes);
        writeln!(
            f,
            "\n- Without closing panes and judging windows: {:.3} µs an event, {:.2} × raw poll, {:.2} × raw batch.",
            self.micros(counts),
            counts.as_secs_f64() / poll.as_secs_f64(),
            counts.as_secs_f64() / batch.as_secs_f64()
        )?;
        writeln!(
            f,
            "- Closing panes and judging {windows} windows: {:.3} µs an event, {:.2} ms a window.",
            self.micros(closing),
            closing.as_secs_f64() * 1e3 / windows.max(1) as f64
        )?;
        writeln!(
            f,
            "- Packing checkpoints, {packed} bytes of counts in all: {:.3} µs an event.",
            self.micros(packing)
        )?;
        let once = self.best(Turn::Counts, |spent| spent.once);
        writeln!(
            f,
            "- Closing panes and judging in the first quarter, which is not measured and in which what is normal is worked out \
             once for the reference: {:.0} ms.",
            once.as_secs_f64() * 1e3
        )?;
        let [half, end] = self.resident.map(|kib| kib >> 10);
        writeln!(
            f,
            "- Resident memory of a process that does nothing else: {half} MiB after half of the events, {end} MiB at the end."
        )?;
        if let Some(instructions) = self.instructions {
            writeln!(
                f,
                "- Instructions an event, from its bytes to its counters, without Kafka: {instructions}."
            )?;
        }
        write!(f, "{}", self.avro)?;
        let of_models: Vec<String> =
            self.models.iter().map(|(models, micros)| format!("{models}: {micros:.3}")).collect();
        writeln!(
            f,
            "- CPU µs an event by the number of models whose events take turns, each seen before, all in one pane, {EVENTS_OF_EACH} of each of the most models: {}.",
            of_models.join(", ")
        )
    }

    fn micros(&self, spent: Duration) -> f64 {
        spent.as_secs_f64() * 1e6 / (self.events - warm(self.events)) as f64
    }

    fn sorted(&self, turn: Turn, part: impl Fn(&Spent) -> Duration) -> Vec<Duration> {
        let mut all: Vec<Duration> = self.rounds.iter().map(|round| part(&round[turn as usize])).collect();
        all.sort_unstable();
        all
    }

    fn best(&self, turn: Turn, part: impl Fn(&Spent) -> Duration) -> Duration {
        self.sorted(turn, part).first().copied().unwrap_or_default()
    }

    fn median(&self, turn: Turn, part: impl Fn(&Spent) -> Duration) -> Duration {
        let all = self.sorted(turn, part);
        all.get(all.len() / 2).copied().unwrap_or_default()
    }

    /// Writes the report into a file of results, in the place of the one before.
    pub(crate) fn save(&self, path: &Path) -> std::io::Result<()> {
        let before = std::fs::read_to_string(path).unwrap_or_else(|_| {
            "# Results of the benches\n\nCPU time, as `make bench` measured it last; see the note below each table.\n"
                .to_owned()
        });
        let (head, tail) = match (before.split_once(BEGIN), before.split_once(END)) {
            (Some((head, _)), Some((_, tail))) => (head, tail),
            _ => (before.as_str(), ""),
        };
        let mut text = String::new();
        // Writing into a string cannot fail.
        let _ = write!(
            text,
            "{}\n\n{BEGIN}\n{}\n{END}\n\n{}",
            head.trim_end(),
            self.to_string().trim_end(),
            tail.trim_start()
        );
        std::fs::write(path, text)
    }
}

/// Machine and versions, so that figures are not compared that cannot be.
fn machine(rounds: usize) -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = read("/proc/loadavg");
    let load: Vec<&str> = load.split(' ').take(3).collect();
    let rustc = Command::new("rustc").arg("--version").output();
    let rustc =
        rustc.map_or_else(|_| String::new(), |output| String::from_utf8_lossy(&output.stdout).into_owned());
    let (_, librdkafka) = rdkafka::util::get_rdkafka_version();
    format!(
        "CPU time of all threads of the consuming process, minimum and median of {rounds} rounds in turns, the first quarter of each turn left out; Kafka runs in \
         another process and is not counted. {} ({cores} cores), Linux {}, load average {} at the end; {}, librdkafka \
         {librdkafka}, Apache Kafka {}, Anchorwatch {}.",
        model.trim_start_matches([' ', '\t', ':']),
        read("/proc/sys/kernel/osrelease").trim(),
        load.join(" "),
        rustc.trim(),
        kafka_version(),
        env!("CARGO_PKG_VERSION"),
    )
}

/// Version of the broker that `deploy/local` starts.
fn kafka_version() -> &'static str {
    const POM: &str = include_str!("../../deploy/local/kafka/pom.xml");
    let version = |tag: &str| POM.split_once(&format!("<{tag}>")).and_then(|(_, rest)| rest.split_once('<'));
    version("kafka.version").map_or("of deploy/local/kafka/pom.xml", |(version, _)| version)
}
