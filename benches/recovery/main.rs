//! How long a start takes after `kill -9` with ten thousand subjects, until counting can go on: the state file is checked
//! and read, references are decoded, panes are taken up, all threads are there.
//!
//! `cargo bench --bench recovery`. Each start is a process of its own on a state that was left behind without a stop, its
//! log not yet copied into the file. Kafka is not there, so the time until the first record arrives is not in it.
#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]

#[path = "../results.rs"]
mod results;
#[path = "../scale/world.rs"]
mod world;

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use anchorwatch::app::{self, Stop};
use anchorwatch::engine::Checkpoint;
use anchorwatch::reference::Reference;
use anchorwatch::registry::Registry;
use anchorwatch::store::Store;
use anyhow::{Context as _, ensure};
use results::median;
use rustix::time::{ClockId, clock_gettime};
use world::Shape;

const USUAL: Shape =
    Shape { subjects: 10_000, features: 20, segments: 9, horizons: 3, every: 1, calibrated: false };
const CASES: [(&str, Shape); 7] = [
    ("1,000 subjects = 100 versions × (whole and 9 segments)", Shape { subjects: 1_000, ..USUAL }),
    ("10,000 subjects = 100 versions × (whole and 99 segments)", Shape { segments: 99, ..USUAL }),
    ("**10,000 subjects** = 1,000 versions × (whole and 9 segments)", USUAL),
    ("the same, each reference with the hours of a month", Shape { calibrated: true, ..USUAL }),
    ("10,000 subjects = 10,000 versions", Shape { segments: 0, ..USUAL }),
    ("10,000 versions, an event of each in an hour", Shape { segments: 0, every: 60, ..USUAL }),
    (
        "10,000 versions, each reference with the hours of a month",
        Shape { segments: 0, calibrated: true, ..USUAL },
    ),
];

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let argument = |name: &str| {
        let place = arguments.iter().position(|argument| argument == name)?;
        Some((arguments.get(place + 1)?.parse::<usize>().ok()?, arguments.get(place + 2)?.clone()))
    };
    if let Some((case, folder)) = argument("--prepare") {
        return prepare(CASES[case].1, Path::new(&folder));
    }
    if let Some((case, folder)) = argument("--start") {
        return start(CASES[case].1, &folder);
    }
    if !arguments.iter().any(|argument| argument == "--bench") {
        println!("measures nothing unless run by `cargo bench`");
        return Ok(());
    }
    let rounds = match std::env::var("ANCHORWATCH_BENCH_ROUNDS") {
        Ok(text) => text.parse().context("ANCHORWATCH_BENCH_ROUNDS is not a number")?,
        Err(_) => 5,
    };
    let mut text = String::from(
        "## A start after `kill -9`\n\n20 features of 256 cut points, score, latency; panes of a minute; horizons of 15m, 1h \
         and 24h, a full day behind each subject, an event a minute of each version.\n\n\
         | | state file, MiB | seconds until counting can go on | CPU seconds |\n|---|---|---|---|\n",
    );
    for (case, (name, _)) in CASES.iter().enumerate() {
        let folder = tempfile::tempdir()?;
        child("--prepare", case, folder.path())?;
        let mut figures: [Vec<f64>; 2] = Default::default();
        for _ in 0..rounds {
            let taken = child("--start", case, folder.path())?;
            figures.iter_mut().zip(taken).for_each(|(all, figure)| all.push(figure));
        }
        let size = |name: &str| folder.path().join(name).metadata().map_or(0, |found| found.len());
        let bytes = size("anchorwatch.db") + size("anchorwatch.db-wal");
        let [wall, cpu] = figures.map(median);
        writeln!(text, "| {name} | {:.0} | {wall:.2} | {cpu:.2} |", bytes as f64 / 1_048_576.0)?;
    }
    write!(
        text,
        "\nMedians of {rounds} starts. Not in it: connecting to Kafka. Others share the machine, hence the CPU time beside the \
         clock's. {}",
        results::machine()
    )?;
    println!("{text}");
    results::save("recovery", &text).context("benches/RESULTS.md")
}

fn child(what: &str, case: usize, folder: &Path) -> anyhow::Result<Vec<f64>> {
    let mut command = Command::new(std::env::current_exe()?);
    let output = command.arg(what).arg(case.to_string()).arg(folder).output()?;
    ensure!(output.status.success(), "{what} {case}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    Ok(text.split_whitespace().filter_map(|figure| figure.parse().ok()).collect())
}

/// Leaves a state behind as a daemon that was killed does.
fn prepare(shape: Shape, folder: &Path) -> anyhow::Result<()> {
    let reference = world::reference(shape)?;
    let mut registry = Registry::open(folder)?;
    let mut ids = Vec::new();
    for version in 0..shape.versions() {
        // The first of its version is the active one.
        let id = registry.add_reference(&Reference { model: world::name(version), ..reference.clone() })?;
        ids.push(id.as_str().to_owned());
    }
    drop(registry);
    let state = world::day(shape, &Arc::new(reference), |version| ids[version].clone())?;
    let checkpoint = Checkpoint {
        subjects: state.subjects,
        panes: state.panes,
        positions: state.positions,
        documents: state.documents.into_iter().map(|(name, text)| (name, Some(text))).collect(),
        ..Checkpoint::default()
    };
    let mut store = Store::open(folder)?;
    store.apply(&checkpoint)?;
    // Without closing anything, as a kill would.
    std::process::exit(0);
}

#[expect(clippy::disallowed_methods, reason = "it is the clock's time that a restart is judged by")]
fn start(shape: Shape, folder: &str) -> anyhow::Result<()> {
    let config = shape.config(folder)?;
    let (began, cpu) = (std::time::Instant::now(), process_cpu());
    let daemon = app::start(&config, &Stop::default())?;
    let (wall, cpu) = (began.elapsed(), process_cpu().saturating_sub(cpu));
    println!("{} {}", wall.as_secs_f64(), cpu.as_secs_f64());
    drop(daemon);
    std::process::exit(0);
}

/// CPU time of all threads of this process.
fn process_cpu() -> std::time::Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    std::time::Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}
