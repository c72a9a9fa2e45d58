//! What an event costs between Kafka and the counts, without Kafka: from its bytes to the counters of its pane. Valgrind
//! tells the instructions, which are the same on a busy machine.

use std::process::Command;
use std::time::Duration;

use anchorwatch::app::POLL_BATCH;
use anchorwatch::config::Config;
use anchorwatch::engine::{CatalogEntry, Engine};
use anchorwatch::event::Record;
use anyhow::ensure;

use crate::START_MS;
use crate::events::Stream;

/// Tells this program to count so many events and to end.
pub(crate) const COUNT: &str = "--count";
/// Events in memory, which are counted again and again: so many, or four of each model.
const KEPT: usize = 2_048;
/// Events that a process under valgrind counts; the difference of both runs leaves out its start.
const COUNTED: [usize; 2] = [4_096, 12_288];

/// Counts so many events in batches as the daemon does; the models of the catalog take turns. Gives the CPU time, by
/// `clock`, of those that came after each model was met.
pub(crate) fn count(
    config: &Config,
    catalog: &[CatalogEntry],
    events: usize,
    clock: impl Fn() -> Duration,
) -> anyhow::Result<Duration> {
    let mut stream = Stream::new(2, START_MS, 1.0, catalog.len() as u64);
    let kept = KEPT.max(4 * catalog.len());
    let made: Vec<String> = (0..kept)
        .map(|_| {
            let mut json = String::new();
            stream.next_into(&mut json);
            json
        })
        .collect();
    let mut engine = Engine::new(config);
    engine.set_catalog(catalog);
    engine.assign("bench", 0, None);
    let record = |offset: usize| Record {
        topic: "bench",
        partition: 0,
        offset: i64::try_from(offset).unwrap_or(i64::MAX),
        timestamp: None,
        appended_at: None,
        key: None,
        headers: &[],
        payload: Some(made[offset % kept].as_bytes()),
    };
    let all = kept + events;
    let mut begun = Duration::ZERO;
    for first in (0..all).step_by(POLL_BATCH) {
        if first <= kept {
            begun = clock();
        }
        (first..all.min(first + POLL_BATCH)).for_each(|at| engine.ingest(&record(at), i64::MAX));
        engine.advance(0, 0);
    }
    let spent = clock().saturating_sub(begun);
    let law = engine.law();
    ensure!(law.counted == all as u64, "of {all} events not all were counted: {law:?}");
    Ok(spent)
}

/// Instructions an event, where valgrind can tell.
pub(crate) fn instructions(reference: &[u8]) -> Option<u64> {
    // Building one takes longer than everything else under valgrind.
    let file = tempfile::NamedTempFile::new().ok()?;
    std::fs::write(file.path(), reference).ok()?;
    let run = |events: usize| {
        let output = Command::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg(std::env::current_exe().ok()?)
            .args([COUNT, &events.to_string()])
            .arg(file.path())
            .output()
            .ok()?;
        if !output.status.success() {
            return None;
        }
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let line = said.lines().find(|line| line.contains("Collected"))?;
        line.split_whitespace().next_back()?.parse::<u64>().ok()
    };
    let (few, many) = (run(COUNTED[0])?, run(COUNTED[1])?);
    many.checked_sub(few).map(|more| more / (COUNTED[1] - COUNTED[0]) as u64)
}
