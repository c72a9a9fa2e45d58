//! Case 11: a full disk, and a disk that fails.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rand::RngExt as _;
use serde_json::Value;

use crate::kills::pause;
use crate::support::{Kafka, Reply, wait_until};
use crate::workload;
use crate::world::{PATIENCE, World, copy};
use crate::{invariants, times};

/// A small file system of its own, gone when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts it on a folder that must exist; `None` where this process may not mount, and whoever runs the tests says so:
    /// a case that checks nothing must not pass unseen.
    fn mount(folder: &Path, size: &str) -> Option<Self> {
        let option = format!("size={size}");
        let told = Command::new("mount").args(["-t", "tmpfs", "-o", &option, "tmpfs"]).arg(folder).output();
        let done = told.as_ref().is_ok_and(|output| output.status.success());
        let may_not = std::env::var("ANCHORWATCH_NO_MOUNT").is_ok_and(|value| value == "1");
        assert!(
            done || may_not,
            "no file system can be mounted (ANCHORWATCH_NO_MOUNT=1 leaves it out): {told:?}"
        );
        done.then(|| Self(folder.to_owned()))
    }

    /// Fills it until nothing fits any more; returns the file to be removed.
    fn fill(&self) -> PathBuf {
        let ballast = self.0.join("ballast");
        let block = vec![0; 16 << 10];
        let mut file = fs::File::create(&ballast).expect("a file on the small disk");
        while std::io::Write::write_all(&mut file, &block).is_ok() {}
        ballast
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_pauses_reading_and_an_emptied_one_resumes_it() {
    let records = workload::stream();
    let mut world = World::new("full_disk", Kafka::shared(), |_| {});
    let data = world.data();
    let kept = world.folder().join("kept");
    copy(&data, &kept);
    let Some(disk) = SmallDisk::mount(&data, "24m") else {
        eprintln!("this process may not mount a file system: the case is left to failing_writes_and_syncs");
        return;
    };
    copy(&kept, &data);
    world.start();
    let fillings = times(2, 50);
    for chunk in records.chunks(records.len().div_ceil(fillings)) {
        let ballast = disk.fill();
        world.produce(chunk);
        pause(2_500);
        assert!(!world.daemon().has_ended(), "a full disk ended the process: {}", world.logs());
        fs::remove_file(ballast).expect("the ballast");
        let all = world.produced.len();
        wait_until(PATIENCE, "reading to go on", || world.read() == Some(all as u64));
    }
    world.settle();
    invariants::check(&mut world);
    world.stop();
    drop(disk);
}

/// Complaints in the log, each with how often it was said.
fn complaints(log: &str) -> BTreeMap<String, usize> {
    let mut said = BTreeMap::new();
    for line in log.lines() {
        let parsed = serde_json::from_str::<Value>(line).unwrap_or_default();
        if parsed["level"] == "INFO" {
            // News of what went on until the disk was full.
            continue;
        }
        // What is no line of the log would fill a disk as well.
        *said.entry(parsed["message"].as_str().unwrap_or(line).to_owned()).or_default() += 1;
    }
    said
}

#[test]
#[expect(clippy::disallowed_methods, reason = "each line may be said once a minute: the minutes are counted")]
fn a_full_disk_does_not_fill_the_log() {
    let records = workload::stream();
    let mut world = World::new("full_log", Kafka::shared(), |_| {});
    let data = world.data();
    let kept = world.folder().join("kept");
    copy(&data, &kept);
    let Some(disk) = SmallDisk::mount(&data, "24m") else {
        eprintln!(
            "this process may not mount a file system: left to each_kind_is_said_once_a_minute_and_the_rest_is_counted"
        );
        return;
    };
    copy(&kept, &data);
    // Answers come while the disk is full, and cannot be recorded.
    world.receiver.always("/slack", Reply::ok().after(Duration::from_secs(3)));
    world.start();
    let (first, rest) = records.split_at(records.len() / 2);
    world.produce(first);
    world.receiver.wait_for_requests("/slack", 1, PATIENCE);
    let (before, begun) = (world.daemon().stderr().len(), std::time::Instant::now());
    let ballast = disk.fill();
    world.produce(rest);
    let failures = times(12, 240) as f64;
    wait_until(3 * PATIENCE, "many checkpoints to fail", || {
        let failed = world.daemon().metric("anchorwatch_checkpoint_failures_total");
        failed.is_some_and(|failed| failed >= failures)
    });
    let log = world.daemon().stderr().split_off(before);
    let most = 1 + usize::try_from(begun.elapsed().as_secs() / 60).expect("few minutes");
    let said = complaints(&log);
    let flood: Vec<_> = said.iter().filter(|(_, times)| **times > most).collect();
    assert!(flood.is_empty(), "said more than {most} times while the disk was full: {flood:?}");
    assert!(said.keys().any(|message| message.contains("cannot be written")), "nothing was said: {said:?}");
    assert!(log.len() < 16_384 * most, "{} bytes of log: {said:?}", log.len());
    eprintln!("{} failures, {} lines of {} kinds", failures, log.lines().count(), said.len());
    world.receiver.always("/slack", Reply::ok());
    fs::remove_file(ballast).expect("the ballast");
    world.settle();
    invariants::check(&mut world);
    world.stop();
    drop(disk);
}

#[test]
fn a_start_on_a_full_disk_delivers_what_was_under_way_when_there_is_room() {
    let records = workload::stream();
    let mut world = World::new("full_start", Kafka::shared(), |_| {});
    let data = world.data();
    let kept = world.folder().join("kept");
    copy(&data, &kept);
    let Some(disk) = SmallDisk::mount(&data, "24m") else {
        eprintln!(
            "this process may not mount a file system: left to a_start_on_a_full_disk_delivers_as_soon_as_there_is_room"
        );
        return;
    };
    copy(&kept, &data);
    world.receiver.always("/slack", Reply::ok().after(Duration::from_secs(8)));
    world.start();
    world.produce(&records);
    world.receiver.wait_for_requests("/slack", 1, PATIENCE);
    let ballast = disk.fill();
    world.kill();
    world.receiver.always("/slack", Reply::ok());
    world.spawn(&[]);
    wait_until(PATIENCE, "deliveries to wait for room", || {
        world.logs().contains("deliveries have not begun: they wait for the state file")
    });
    assert!(!world.daemon().has_ended(), "a full disk ended the process: {}", world.logs());
    fs::remove_file(ballast).expect("the ballast");
    world.settle();
    invariants::check(&mut world);
    world.stop();
    drop(disk);
}

#[test]
fn failing_writes_and_syncs_never_damage_the_state() {
    if Command::new("strace").arg("-V").output().is_err() {
        panic!("strace is missing: deploy/local/setup.sh faults installs it");
    }
    let mut rng = workload::rng("strace");
    let records = workload::stream();
    let mut world = World::new("failing_disk", Kafka::shared(), |_| {});
    let trials = times(6, 500);
    for (number, chunk) in records.chunks(records.len().div_ceil(trials)).enumerate() {
        let first = rng.random_range(5..60);
        let last = first + rng.random_range(0..12);
        let inject = match number % 3 {
            0 => format!("inject=pwrite64:error=ENOSPC:when={first}..{last}"),
            1 => format!("inject=fsync,fdatasync:error=EIO:when={}..{}", 2 + number % 7, 3 + number % 7),
            _ => format!("inject=pwrite64:error=EIO:when={first}..{last}"),
        };
        eprintln!("{inject}");
        let log = world.folder().join("strace");
        let log = log.display().to_string();
        let under =
            ["strace", "-D", "-f", "-q", "-o", &log, "-e", "trace=pwrite64,fsync,fdatasync", "-e", &inject];
        world.spawn_under(&under, &[]);
        world.produce(chunk);
        // It waits and goes on, or it ends with an error; either way nothing is lost.
        let all = world.produced.len() as u64;
        wait_until(PATIENCE, "all to be read or the end", || {
            world.read() == Some(all) || world.daemon().has_ended()
        });
        pause(400);
        if world.daemon().has_ended() {
            let status = world.wait_end();
            assert!(!status.success(), "a failing disk is no orderly end");
        } else {
            world.kill();
        }
    }
    world.start();
    world.settle();
    invariants::check(&mut world);
    world.stop();
}
