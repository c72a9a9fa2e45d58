//! What verdicts under the false-alarm budget cost: the CPU time of judging one window of 1,000 subjects with 20
//! features each, as when a pane closes for all of them at once, and the bytes that each of them remembers.
//!
//! `cargo bench --bench watch` writes the table of `benches/RESULTS.md`. The environment may change the number of subjects (`ANCHORWATCH_BENCH_SUBJECTS`).
#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anchorwatch::monitor::calibrated::{BudgetDays, Counted, ModelWatch, ModelWatchState, SeriesWindow};
use anchorwatch::registry::{BaselineOptions, build, read_series};
use anyhow::Context as _;

const HOUR: i64 = 3_600_000;
/// 1 January 2024, a Monday.
const START_MS: i64 = 1_704_067_200_000;
const NUMERIC: usize = 14;
const CATEGORICAL: usize = 6;
const SEGMENTS: u64 = 10;
const EVENTS: usize = 200;
const BASELINE_WINDOWS: usize = 72;
const BEGIN: &str = "<!-- watch: written by `cargo bench --bench watch` -->";
const END: &str = "<!-- end of watch -->";
/// Windows that warm the memory up, and windows that are measured.
const WARM: usize = 50;
const MEASURED: usize = 10;

fn main() -> anyhow::Result<()> {
    if !std::env::args().any(|argument| argument == "--bench") {
        println!("measures nothing unless run by `cargo bench`");
        return Ok(());
    }
    let subjects = match std::env::var("ANCHORWATCH_BENCH_SUBJECTS") {
        Ok(text) => text.parse().context("ANCHORWATCH_BENCH_SUBJECTS is not a number")?,
        Err(_) => 1_000,
    };
    let mut table = format!(
        "## Verdicts under the budget\n\n{subjects} subjects of {NUMERIC} numeric and {CATEGORICAL} categorical features, \
         score, label and latency, when a window ends for all of them: CPU time of judging, least and median of {MEASURED} \
         windows.\n\n| | quantities | CPU ms, all subjects: best | median | µs a subject | bytes a subject | bytes \
         written |\n|---|---|---|---|---|---|---|\n"
    );
    for (name, segments) in [("no segments", 1), ("10 segments against the rest", SEGMENTS)] {
        writeln!(table, "| {name} | {} |", measured(subjects, segments)?)?;
    }
    let build =
        if cfg!(debug_assertions) { " Built without optimisation: these are upper bounds." } else { "" };
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: Vec<&str> = load.split(' ').take(3).collect();
    writeln!(
        table,
        "\nCPU time of one thread (load average {} at the end), Anchorwatch {}. Panes and their sums are not in it; bytes \
         are those of the watch's state, the last 48 windows of each quantity. Bytes written are what a \
         checkpoint brings to the state file after a window, packed.{build}",
        load.join(" "),
        env!("CARGO_PKG_VERSION"),
    )?;
    print!("{table}");
    save(&Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/RESULTS.md"), &table)
}

/// Puts the table into the file of results, in the place of the one before.
fn save(path: &Path, table: &str) -> anyhow::Result<()> {
    let before = std::fs::read_to_string(path).context("benches/RESULTS.md")?;
    let (head, tail) = match (before.split_once(BEGIN), before.split_once(END)) {
        (Some((head, _)), Some((_, tail))) => (head, tail),
        _ => (before.as_str(), "\n"),
    };
    let text = format!("{}\n\n{BEGIN}\n{}\n{END}{tail}", head.trim_end(), table.trim_end());
    std::fs::write(path, text).context("benches/RESULTS.md")
}

/// The cells of a row of the table.
fn measured(subjects: usize, segments: u64) -> anyhow::Result<String> {
    let folder = tempfile::tempdir()?;
    let options = |name: &str, windows: usize, seed: u64| -> anyhow::Result<BaselineOptions> {
        let path = folder.path().join(name);
        write(&path, windows, segments, seed)?;
        Ok(BaselineOptions::new("bench", "1.0.0", path))
    };
    let reference = build(&options("baseline.csv", BASELINE_WINDOWS, 1)?)?;
    let watch = ModelWatch::new(&reference, BudgetDays::default()).context("the baseline has times")?;
    let slices = reference.calibration.as_ref().map(|one| one.slices.clone()).unwrap_or_default();
    let series =
        read_series(&reference, &slices, &options("live.csv", WARM + MEASURED, 2)?, HOUR, "judging")?;
    let windows: Vec<SeriesWindow> = series.windows(None).collect();
    let mut state = watch.state();
    for window in &windows[..WARM.min(windows.len())] {
        step(&watch, &mut state, window);
    }
    let mut states = vec![state; subjects];
    let mut spent: Vec<Duration> = Vec::new();
    for window in windows.iter().skip(WARM) {
        let began = cpu();
        states.iter_mut().for_each(|state| step(&watch, state, window));
        spent.push(cpu().saturating_sub(began));
    }
    spent.sort();
    let (best, median) = (spent.first().context("no window")?, spent[spent.len() / 2]);
    let millis = |time: Duration| time.as_secs_f64() * 1e3;
    Ok(format!(
        "{} | {:.1} | {:.1} | {:.1} | {} | {}",
        watch.monitored().len(),
        millis(*best),
        millis(median),
        millis(*best) * 1e3 / subjects as f64,
        states[0].bytes(),
        written_of_a_window(&states[0])?,
    ))
}

/// Bytes that a checkpoint writes after a window.
fn written_of_a_window(state: &ModelWatchState) -> anyhow::Result<usize> {
    Ok(state.encode()?.len() + state.encode_block(state.newest_block()).len())
}

fn step(watch: &ModelWatch, state: &mut ModelWatchState, window: &SeriesWindow) {
    let counted = Counted { whole: &window.whole, slices: &window.slices };
    std::hint::black_box(watch.step(state, window.start, counted));
}

fn write(path: &Path, windows: usize, segments: u64, seed: u64) -> anyhow::Result<()> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f64 / (1_u64 << 31) as f64
    };
    let mut csv = "ts,segment,score,label,latency_ms".to_owned();
    (0..NUMERIC).for_each(|i| write!(csv, ",n{i}").unwrap_or_default());
    (0..CATEGORICAL).for_each(|i| write!(csv, ",c{i}").unwrap_or_default());
    csv.push('\n');
    for event in 0..windows * EVENTS {
        let ts = START_MS + event as i64 * (HOUR / EVENTS as i64);
        let (segment, score) = ((next() * segments as f64) as u64, next());
        let label = u8::from(next() < score);
        write!(csv, "{ts},s{segment},{score:.5},{label},{:.2}", 5.0 + 20.0 * next())?;
        for _ in 0..NUMERIC {
            write!(csv, ",{:.5}", next() + next() + next())?;
        }
        for _ in 0..CATEGORICAL {
            write!(csv, ",v{}", (next() * next() * 10.0) as u8)?;
        }
        csv.push('\n');
    }
    Ok(std::fs::write(path, csv)?)
}

/// CPU time of this thread.
fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}
