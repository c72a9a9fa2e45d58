//! What is printed, and written to `benches/RESULTS.md`.

use std::fmt::{self, Write as _};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::decoders::Decoder;

const BEGIN: &str = "<!-- decode: written by `cargo bench --bench decode` -->";
const END: &str = "<!-- end of decode -->";

/// What one decoder took.
pub(crate) struct Row {
    pub(crate) decoder: Decoder,
    /// CPU time of each round.
    pub(crate) spent: Vec<Duration>,
    /// Instructions an event; `None` without valgrind.
    pub(crate) instructions: Option<u64>,
}

/// Everything measured.
pub(crate) struct Report {
    /// Events of a round.
    pub(crate) events: usize,
    pub(crate) mean_bytes: [f64; 2],
    pub(crate) rows: Vec<Row>,
}

impl Row {
    /// Nanoseconds an event: the best round and the median.
    fn nanos(&self, events: usize) -> (f64, f64) {
        let mut all = self.spent.clone();
        all.sort_unstable();
        let nanos = |spent: Option<&Duration>| {
            spent.copied().unwrap_or_default().as_secs_f64() * 1e9 / events.max(1) as f64
        };
        (nanos(all.first()), nanos(all.get(all.len() / 2)))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "## Decoding one event\n")?;
        writeln!(
            f,
            "{} events of {:.0} bytes of JSON, {:.0} of Avro with features in a record, in the cache: 14 numeric and 6 \
             categorical features, score, label, latency, three segment fields.\n",
            self.events, self.mean_bytes[0], self.mean_bytes[1]
        )?;
        writeln!(
            f,
            "| | CPU ns an event: best | median | events/s of CPU | ÷ sonic-rs or apache-avro (best; median) | instructions |"
        )?;
        writeln!(f, "|---|---|---|---|---|---|")?;
        let fastest = |libraries: &[Decoder]| {
            let rows = self.rows.iter().filter(|row| libraries.contains(&row.decoder));
            rows.map(|row| row.nanos(self.events))
                .fold((f64::MAX, f64::MAX), |least, nanos| (least.0.min(nanos.0), least.1.min(nanos.1)))
        };
        let sonic = fastest(&[Decoder::SonicNames, Decoder::SonicStruct]);
        let avro = fastest(&[Decoder::AvroTree]);
        for row in &self.rows {
            let base = if row.decoder.is_avro() { avro } else { sonic };
            let (best, median) = row.nanos(self.events);
            let instructions = row.instructions.map_or_else(|| "–".to_owned(), |count| count.to_string());
            writeln!(
                f,
                "| {} | {best:.0} | {median:.0} | {:.0} | {:.2}; {:.2} | {instructions} |",
                row.decoder.name(),
                1e9 / best,
                best / base.0,
                median / base.1,
            )?;
        }
        writeln!(
            f,
            "\nJSON beside the faster of the two uses of sonic-rs, Avro beside apache-avro. {}",
            machine(self.rows.first().map_or(0, |row| row.spent.len()))
        )
    }
}

impl Report {
    /// Writes the report into a file of results, in the place of the one before or at its end.
    pub(crate) fn save(&self, path: &Path) -> std::io::Result<()> {
        let before = std::fs::read_to_string(path)?;
        let (head, tail) = match (before.split_once(BEGIN), before.split_once(END)) {
            (Some((head, _)), Some((_, tail))) => (head, tail.trim_start_matches('\n')),
            _ => (before.as_str(), ""),
        };
        let mut text = format!("{}\n\n{BEGIN}\n{}\n{END}\n", head.trim_end(), self.to_string().trim_end());
        if !tail.is_empty() {
            // Writing into a string cannot fail.
            let _ = write!(text, "\n{tail}");
        }
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
        rustc.map_or_else(|_| String::new(), |said| String::from_utf8_lossy(&said.stdout).into_owned());
    format!(
        "CPU time of the thread, minimum and median of {rounds} rounds in turns. {} ({cores} cores), load average {} at \
         the end; {}.",
        model.trim_start_matches([' ', '\t', ':']),
        load.join(" "),
        rustc.trim(),
    )
}
