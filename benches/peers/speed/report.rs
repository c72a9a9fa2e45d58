//! The table of all turns, and its place in `benches/RESULTS.md`.

use std::fmt;
use std::path::Path;

use serde_json::Value;

use crate::OURS;

const BEGIN: &str = "<!-- peers: written by `make peers` -->";
const END: &str = "<!-- end of peers -->";

/// One program with one number of windows.
pub(crate) struct Row {
    name: &'static str,
    windows: u64,
    /// What it said of each of its turns.
    pub(crate) answers: Vec<Value>,
}

impl Row {
    pub(crate) const fn new(name: &'static str, windows: u64) -> Self {
        Self { name, windows, answers: Vec::new() }
    }

    fn of(&self, answer: &Value, field: &str) -> f64 {
        answer[field].as_f64().unwrap_or(f64::NAN)
    }

    fn median(&self, figure: impl Fn(&Value) -> f64) -> f64 {
        let mut all: Vec<f64> = self.answers.iter().map(figure).collect();
        all.sort_by(f64::total_cmp);
        all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
    }

    fn events(&self) -> f64 {
        self.median(|answer| self.of(answer, "events"))
    }

    /// CPU seconds for a million events: of us the whole process, of a peer without its imports and its baseline.
    fn both(&self) -> f64 {
        let seconds = |answer: &Value| match answer.get("parse") {
            None => self.of(answer, "process"),
            Some(_) => self.of(answer, "parse") + self.of(answer, "compute"),
        };
        self.median(seconds) / self.events() * 1e6
    }

    fn part(&self, field: &str) -> Option<f64> {
        let known = self.answers.iter().all(|answer| answer.get(field).is_some());
        known.then(|| self.median(|answer| self.of(answer, field)) / self.events() * 1e6)
    }

    fn text(&self, field: &str) -> &str {
        self.answers.first().and_then(|answer| answer[field].as_str()).unwrap_or_default()
    }

    fn values(&self) -> String {
        let values = self.answers.last().and_then(|answer| answer["values"].as_object());
        let all = values.into_iter().flatten();
        let told: Vec<String> =
            all.map(|(name, value)| format!("{name} {:.5}", value.as_f64().unwrap_or(f64::NAN))).collect();
        told.join(", ")
    }
}

/// Everything that was measured.
pub(crate) struct Report {
    pub(crate) rows: Vec<Row>,
    pub(crate) events: u64,
    pub(crate) bytes: u64,
}

impl Report {
    fn ours(&self, windows: u64) -> f64 {
        let row = self.rows.iter().find(|row| row.name == OURS && row.windows == windows);
        row.map_or(f64::NAN, Row::both)
    }

    /// Writes the report into a file of results, in the place of the one before.
    pub(crate) fn save(&self, path: &Path) -> std::io::Result<()> {
        let before = std::fs::read_to_string(path)?;
        let section = format!("{BEGIN}\n{}\n{END}\n", self.to_string().trim_end());
        let text = match (before.split_once(BEGIN), before.split_once(END)) {
            (Some((head, _)), Some((_, tail))) => {
                format!("{head}{section}{}", tail.strip_prefix('\n').unwrap_or(tail))
            }
            _ => format!("{}\n\n{section}", before.trim_end()),
        };
        std::fs::write(path, text)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "## Parsing, PSI and KS beside the libraries of Python\n")?;
        writeln!(
            f,
            "{} JSON events of {} bytes, 14 numeric and 6 categorical features, against 10,000 rows. CPU seconds for a \
             million events.\n",
            self.events,
            self.bytes / self.events.max(1)
        )?;
        writeln!(
            f,
            "| | what it computes | windows | parse | compute | both | ÷ ours | whole process, s | peak MiB | turns |"
        )?;
        writeln!(f, "|---|---|---|---|---|---|---|---|---|---|")?;
        for row in &self.rows {
            let part = |field| row.part(field).map_or_else(String::new, |seconds| format!("{seconds:.2}"));
            writeln!(
                f,
                "| {} {} | {} | {} | {} | {} | {:.2} | {:.1} | {:.2} | {:.0} | {} |",
                row.name,
                row.text("version"),
                row.text("says"),
                row.windows,
                part("parse"),
                part("compute"),
                row.both(),
                row.both() / self.ours(row.windows),
                row.median(|answer| row.of(answer, "process")),
                row.median(|answer| row.of(answer, "peak_mib")),
                row.answers.len(),
            )?;
        }
        writeln!(
            f,
            "\nValues of the last window, to see that the same was computed (each has its own bins for PSI):\n"
        )?;
        for row in self.rows.iter().filter(|row| !row.values().is_empty()) {
            writeln!(f, "- {}, windows {}: {}", row.name, row.windows, row.values())?;
        }
        writeln!(f, "\n{NOTE} {}", machine())
    }
}

const NOTE: &str = "Medians of the turns, which were taken in rotation, each in a process of its own with one thread in every pool. \
     `both` is, for a peer, parsing with orjson and computing, without its imports and without loading the baseline; for \
     Anchorwatch it is the whole process, from its start to its end, with the reference read from the file that \
     `anchorwatch reference create` made once. `make peers` says it again.";

/// Machine and versions, so that figures are not compared that cannot be.
fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let load = read("/proc/loadavg");
    let load: Vec<&str> = load.split(' ').take(3).collect();
    format!(
        "{} ({} cores), Linux {}, load average {} at the end.",
        model.trim_start_matches([' ', '\t', ':']),
        std::thread::available_parallelism().map_or(0, usize::from),
        read("/proc/sys/kernel/osrelease").trim(),
        load.join(" "),
    )
}
