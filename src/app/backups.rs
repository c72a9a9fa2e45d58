//! Copies of the state, made beside the daemon's work: a read of the file by a connection of its own, then a transfer.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;

use super::clock::SteadyClock;
use super::troubles::{Damage, Damaged};
use super::vital::Vital;
use super::{Stop, in_one_line, wall_clock};
use crate::backup::{Manifest, Place};
use crate::config::{Backup, Span};
use crate::store::snapshot;
use crate::telemetry::Metrics;

/// Begins the name of a copy under way; the process that makes it ends it.
const SNAPSHOT: &str = "anchorwatch.db.snapshot-";

/// Time between two looks whether a copy is due.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Makes one copy and keeps the newest `keep`. Not from async code.
///
/// # Errors
/// When the state file cannot be read, or the place cannot be written.
pub fn back_up(data_dir: &Path, to: &str, keep: usize) -> anyhow::Result<Manifest> {
    let place = Place::open(to)?;
    let copy = data_dir.join(format!("{SNAPSHOT}{}", std::process::id()));
    // A daemon that was killed while it copied leaves its own behind.
    _ = std::fs::remove_file(&copy);
    let outcome = snapshot(data_dir, &copy).map_err(anyhow::Error::from).and_then(|taken| {
        let put = place.put(data_dir, (&copy, taken.schema), &taken.positions, (wall_clock(), keep));
        Ok(put?)
    });
    _ = std::fs::remove_file(&copy);
    outcome.with_context(|| format!("no copy was made to {}", place.name()))
}

/// Removes what processes that were killed while they copied left behind; one that still runs is copying.
pub(super) fn sweep(data_dir: &Path) {
    for entry in std::fs::read_dir(data_dir).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(of) = name.to_str().and_then(|name| name.strip_prefix(SNAPSHOT)) else { continue };
        let digits = of.find(|c: char| !c.is_ascii_digit()).unwrap_or(of.len());
        let process = &of[..digits];
        let runs = process != std::process::id().to_string() && Path::new("/proc").join(process).exists();
        if process.is_empty() || runs {
            continue;
        }
        match std::fs::remove_file(entry.path()) {
            Ok(()) => tracing::info!(file = %entry.path().display(), "what a copy left behind was removed"),
            Err(error) => tracing::warn!(file = %entry.path().display(), %error, "cannot be removed"),
        }
    }
}

/// Tells of manifests that cannot be read: whoever needs their copies should hear of it before.
fn look_at_copies(to: &str, damage: &Damage) {
    // What else is wrong with the place has been said by the copy that was not made.
    let Ok(found) = Place::open(to).and_then(|place| place.manifests()) else { return };
    let line = found.unreadable.first().map(|first| {
        let more = found.unreadable.len() - 1;
        let more = if more > 0 { format!(", and {more} more") } else { String::new() };
        format!("a copy of the state cannot be used: {first}{more}; look at the place, then remove it")
    });
    if let Some(line) = &line {
        tracing::error!("{line}");
    }
    damage.set(Damaged::Copies, line);
}

/// Starts the thread that makes a copy now and then; it ends with the daemon.
pub(super) fn spawn(
    data_dir: PathBuf,
    backup: Backup,
    (metrics, damage): (Arc<Metrics>, Damage),
    (stop, vital): (Stop, Vital),
) -> anyhow::Result<JoinHandle<()>> {
    let alive = vital.alive("the thread of the copies");
    let work = move || {
        let _alive = alive;
        let clock = SteadyClock::start();
        let mut due = clock.now() + Span::millis(backup.every);
        while !stop.is_requested() {
            std::thread::park_timeout(LOOK_EVERY);
            if clock.now() < due {
                continue;
            }
            due = clock.now() + Span::millis(backup.every);
            match back_up(&data_dir, &backup.to, backup.keep) {
                Ok(manifest) => {
                    metrics.backup_made(manifest.created);
                    tracing::info!(file = manifest.file, bytes = manifest.size, "the state was copied");
                }
                Err(error) => {
                    metrics.backup_failed();
                    let error = in_one_line(&error);
                    tracing::warn!("the state could not be copied; it is tried again: {error}");
                }
            }
            look_at_copies(&backup.to, &damage);
        }
    };
    std::thread::Builder::new().name("backup".to_owned()).spawn(work).context("the thread of the copies")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_killed_processes_left_behind_is_removed_and_a_copy_under_way_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        // The largest number that Linux gives a process is 2^22.
        let (gone, runs) = (format!("{SNAPSHOT}4194305"), format!("{SNAPSHOT}1"));
        let all = [gone.clone(), format!("{gone}-journal"), runs, "anchorwatch.db".to_owned()];
        for name in &all {
            std::fs::write(folder.path().join(name), b"left").expect("written");
        }
        sweep(folder.path());
        let left = all.map(|name| folder.path().join(name).exists());
        assert_eq!(left, [false, false, true, true]);
    }
}
