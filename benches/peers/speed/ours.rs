//! Anchorwatch on the same file: each line through the engine as a record of a partition, panes closed and windows
//! judged as the daemon does, in a process of its own like every peer.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anchorwatch::action::VersionFacts;
use anchorwatch::config::{self, Config};
use anchorwatch::engine::{CatalogEntry, Engine};
use anchorwatch::event::Record;
use anchorwatch::reference::{ReferenceId, decode};
use anchorwatch::registry::wall_clock;
use anchorwatch::view::WindowView;
use anchorwatch::window::WatchedVersion;
use anyhow::{Context as _, ensure};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Map, Value, json};

/// As the daemon polls.
const BATCH: i64 = 1_024;
const PANES_AT_ONCE: usize = 16;

/// CPU time of this process since it began, all threads.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn peak_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().split(' ').next());
    peak.and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}

/// The daemon's own settings but for the windows, which end where those of the peers end.
fn configuration(window: &str) -> anyhow::Result<Config> {
    let text = format!(
        "kafka: {{ bootstrap: \"127.0.0.1:9\", topics: [events] }}\n\
         windows: {{ pane: 1m, horizons: [{{ length: {window}, every: {window} }}] }}\n"
    );
    Ok(config::parse(&text, "bench.yaml")?)
}

/// Reads the events, judges every window of this length, and gives what it cost.
pub(crate) fn run(events: &Path, reference: &Path, window: &str) -> anyhow::Result<Value> {
    let bytes = std::fs::read(reference).context("the reference")?;
    let reference = decode(&bytes)?;
    let mut engine = Engine::new(&configuration(window)?);
    engine.set_catalog(&[CatalogEntry {
        watched: WatchedVersion {
            model: reference.model.clone(),
            version: reference.version.clone(),
            reference_id: ReferenceId::of(&bytes).to_string(),
            reference: Arc::new(reference),
            takes_feedback: false,
        },
        facts: VersionFacts { current: true, ..VersionFacts::default() },
    }]);
    engine.assign("events", 0, None);
    let mut judged: Vec<WindowView> = Vec::new();
    let mut close = |engine: &mut Engine| {
        let (progress, more) = engine.advance(wall_clock(), PANES_AT_ONCE);
        judged.extend(progress.windows);
        more
    };
    let mut lines = BufReader::with_capacity(1 << 20, File::open(events)?);
    let (mut line, mut offset) = (Vec::new(), 0);
    while lines.read_until(b'\n', &mut line)? > 0 {
        let payload = line.strip_suffix(b"\n").unwrap_or(&line);
        engine.ingest(&record(payload, offset), wall_clock());
        line.clear();
        offset += 1;
        if offset % BATCH == 0 {
            close(&mut engine);
        }
    }
    while close(&mut engine) {}
    let law = engine.law();
    ensure!(law.counted == offset.unsigned_abs(), "of {offset} events not all were counted: {law:?}");
    answer(&judged, law.counted)
}

fn record(payload: &[u8], offset: i64) -> Record<'_> {
    Record {
        topic: "events",
        partition: 0,
        offset,
        timestamp: None,
        appended_at: None,
        key: None,
        headers: &[],
        payload: Some(payload),
    }
}

fn answer(judged: &[WindowView], events: u64) -> anyhow::Result<Value> {
    // Verdicts under the false-alarm budget are told as a window of their own, without the statistics of the peers.
    let has_psi = |window: &WindowView| window.verdicts.iter().any(|one| one.detector == "psi");
    let full = |window: &&WindowView| window.rows >= crate::SMALLEST && has_psi(window);
    let judged: Vec<&WindowView> = judged.iter().filter(full).collect();
    let last = judged.last().context("no window was judged")?;
    let mut values = Map::new();
    for (detector, column) in [("psi", "income"), ("psi", "country"), ("ks", "income")] {
        let verdict = last.verdicts.iter().find(|one| one.detector == detector && one.column == column);
        let statistic = verdict.and_then(|one| one.statistic).context("no statistic")?;
        values.insert(format!("{detector} {column}"), json!(statistic));
    }
    Ok(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "says": "everything that the daemon does with them: PSI of 20, KS of 14 columns, data faults, latency, verdicts",
        "events": events,
        "windows": judged.len(),
        "process": cpu().as_secs_f64(),
        "peak_mib": peak_mib(),
        "values": values,
    }))
}
