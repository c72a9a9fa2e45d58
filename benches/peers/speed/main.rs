//! Anchorwatch beside the drift libraries of Python on one file of events: CPU time and memory for parsing, PSI and KS
//! of every feature, each in a process of its own, in turns, so that what else the machine does falls on all.
//!
//! `make peers`, or `ANCHORWATCH_PEERS=1 cargo bench --bench speed` once `deploy/local/setup.sh peers` has installed
//! them. The environment may change the number of events (`ANCHORWATCH_BENCH_EVENTS`) and of rounds
//! (`ANCHORWATCH_BENCH_ROUNDS`). What each peer is asked for stands in `peers.py`.
#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]

#[path = "../../journey/events.rs"]
mod events;
mod ours;
mod report;

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anchorwatch::reference::encode;
use anchorwatch::registry::{BaselineOptions, build};
use anyhow::{Context as _, ensure};
use serde_json::Value;

use events::{Stream, model};
use report::{Report, Row};

/// 1 October 2025, and the week before it for the baseline.
const START_MS: i64 = 1_759_276_800_000;
const BASELINE_ROWS: u64 = 10_000;
const BASELINE_MS: f64 = 7.0 * 86_400_000.0;
/// The events fill an hour.
const HOUR_MS: f64 = 3_600_000.0;
/// Events after the hour, minutes apart: they only move the watermark past its end.
const TAIL: u64 = 10;
/// Windows with fewer rows hold those few.
const SMALLEST: u64 = 1_000;
/// Set in a child process, to the length of its windows.
const CHILD: &str = "ANCHORWATCH_PEERS_WINDOW";

/// Whose turn it is: a name of `peers.py`, or Anchorwatch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Turn {
    name: &'static str,
    /// Virtual environment in the cache.
    venv: &'static str,
    /// Into how many windows the events are split.
    windows: u64,
    /// Whether it takes part in every round, or only in the first one.
    every_round: bool,
}

const OURS: &str = "Anchorwatch";

const fn peer(name: &'static str, venv: &'static str, windows: u64) -> Turn {
    Turn { name, venv, windows, every_round: true }
}

const TURNS: [Turn; 12] = [
    peer(OURS, "", 1),
    peer("frouros", "frouros", 1),
    peer("scouter-ml", "scouter-ml", 1),
    peer("alibi-detect", "alibi-detect", 1),
    peer("nannyml", "nannyml", 1),
    peer("whylogs", "whylogs", 1),
    peer("evidently", "evidently", 1),
    peer("river-adwin", "river", 1),
    Turn { every_round: false, ..peer("river-kswin", "river", 1) },
    peer("numpy", "frouros", 1),
    peer(OURS, "", 10),
    peer("evidently", "evidently", 10),
];

/// The files that all read.
struct Files {
    events: PathBuf,
    baseline: PathBuf,
    reference: PathBuf,
    count: u64,
}

fn main() -> anyhow::Result<()> {
    if let Ok(window) = std::env::var(CHILD) {
        let paths: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
        let [events, reference, ..] = paths.as_slice() else { anyhow::bail!("two files are read") };
        println!("{}", ours::run(events, reference, &window)?);
        return Ok(());
    }
    if std::env::var_os("ANCHORWATCH_PEERS").is_none() {
        println!("measures nothing unless run by `make peers`, which installs the peers");
        return Ok(());
    }
    let count = setting("ANCHORWATCH_BENCH_EVENTS", 100_000)?;
    let rounds = setting("ANCHORWATCH_BENCH_ROUNDS", 5)?.max(1);
    let folder = tempfile::tempdir()?;
    let files = write_files(folder.path(), count)?;
    let mut rows: Vec<Row> = TURNS.iter().map(|turn| Row::new(turn.name, turn.windows)).collect();
    for round in 0..rounds {
        for place in 0..TURNS.len() {
            let index = (place + usize::try_from(round)?) % TURNS.len();
            if round == 0 || TURNS[index].every_round {
                rows[index].answers.push(take(TURNS[index], &files)?);
            }
        }
        println!("round {} of {rounds} is over", round + 1);
    }
    let report = Report { rows, events: count, bytes: std::fs::metadata(&files.events)?.len() };
    println!("{report}");
    let results = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/RESULTS.md");
    report.save(&results).context("benches/RESULTS.md")
}

fn setting(name: &str, default: u64) -> anyhow::Result<u64> {
    let Ok(text) = std::env::var(name) else { return Ok(default) };
    let number = text.parse().ok().filter(|number| *number > 0);
    number.with_context(|| format!("{name} is no number above 0: {text:?}"))
}

/// Events, the baseline, and the reference that `anchorwatch reference create` makes of it once.
fn write_files(folder: &Path, count: u64) -> anyhow::Result<Files> {
    let baseline = folder.join("baseline.jsonl");
    let start = START_MS - BASELINE_MS as i64;
    write_events(
        &baseline,
        &mut Stream::new(1, start, BASELINE_MS / BASELINE_ROWS as f64, 1),
        BASELINE_ROWS,
        0,
    )?;
    let reference = folder.join("reference");
    let built = build(&BaselineOptions::new(&model(0), "1.0.0", &baseline))?;
    std::fs::write(&reference, encode(&built)?)?;
    let events = folder.join("events.jsonl");
    let spacing = HOUR_MS / count as f64;
    write_events(&events, &mut Stream::new(2, START_MS, spacing, 1), count, TAIL)?;
    Ok(Files { events, baseline, reference, count: count + TAIL })
}

fn write_events(path: &Path, stream: &mut Stream, count: u64, tail: u64) -> anyhow::Result<()> {
    let (mut file, mut json) = (BufWriter::new(File::create(path)?), String::new());
    for _ in 0..count {
        stream.next_into(&mut json);
        writeln!(file, "{json}")?;
    }
    let mut after = Stream::new(3, START_MS + (HOUR_MS * 1.25) as i64, 60_000.0, 1);
    for _ in 0..tail {
        after.next_into(&mut json);
        writeln!(file, "{json}")?;
    }
    Ok(file.flush()?)
}

/// One turn in a process of its own; it says itself what it cost.
fn take(turn: Turn, files: &Files) -> anyhow::Result<Value> {
    let mut command = if turn.name == OURS {
        let mut command = Command::new(std::env::current_exe()?);
        command.env(CHILD, if turn.windows == 1 { "1h" } else { "6m" });
        command.args([&files.events, &files.reference]);
        command
    } else {
        let python = cache()?.join(format!("peers-{}/bin/python", turn.venv));
        ensure!(python.exists(), "{} is missing: deploy/local/setup.sh peers installs it", python.display());
        let mut command = Command::new(python);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers/speed/peers.py");
        command.arg(script).arg(turn.name).args([&files.events, &files.baseline]);
        command.arg(files.count.div_ceil(turn.windows).to_string());
        command
    };
    for pool in [
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "RAYON_NUM_THREADS",
        "POLARS_MAX_THREADS",
    ] {
        command.env(pool, "1");
    }
    for quiet in ["DO_NOT_TRACK", "NML_DISABLE_USAGE_LOGGING", "WHYLOGS_NO_ANALYTICS"] {
        command.env(quiet, "1");
    }
    let output = command.stderr(Stdio::piped()).output().with_context(|| format!("{command:?}"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let complaint = || format!("{}: {}", turn.name, String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), complaint());
    serde_json::from_str(said.lines().last().unwrap_or_default()).with_context(complaint)
}

/// Where `deploy/local/setup.sh` keeps what it installed.
fn cache() -> anyhow::Result<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from);
    folder("ANCHORWATCH_CACHE")
        .or_else(|| folder("XDG_CACHE_HOME").map(|cache| cache.join("anchorwatch")))
        .or_else(|| folder("HOME").map(|home| home.join(".cache/anchorwatch")))
        .context("neither ANCHORWATCH_CACHE nor HOME is set")
}
