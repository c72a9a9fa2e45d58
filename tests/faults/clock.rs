//! Case 13: the wall clock jumps to and fro and stands still while the daemon runs.

use std::fs;
use std::path::Path;

use crate::kills::pause;
use crate::support::{Kafka, Reply, http, wait_until};
use crate::world::{PATIENCE, World};
use crate::{invariants, workload};

/// Debian's libfaketime.
const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
/// Jumps in the order in which they happen; the last one freezes the clock.
const JUMPS: [&str; 7] = ["+0", "+1h", "-1h", "+1d", "-1d", "+0", "2026-06-01 00:00:00"];
/// Answers of one target that are failures at a jump by a day; so few that its breaker stays closed.
const FAILURES: usize = 2;

#[test]
fn jumps_of_the_clock_change_nothing() {
    assert!(Path::new(LIBRARY).exists(), "libfaketime is missing: deploy/local/setup.sh faults installs it");
    let records = workload::stream();
    let mut world = World::new("clock", Kafka::shared(), |_| {});
    let told = world.folder().join("now");
    fs::write(&told, JUMPS[0]).expect("a writable folder");
    let file = told.display().to_string();
    world.spawn(&[
        ("LD_PRELOAD", LIBRARY),
        ("FAKETIME_TIMESTAMP_FILE", &file),
        ("FAKETIME_NO_CACHE", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ]);
    world.daemon().wait_ready();
    for (chunk, jump) in records.chunks(records.len().div_ceil(JUMPS.len())).zip(JUMPS) {
        if jump.ends_with('d') {
            // What fails around a jump by a day must be neither given up nor delayed by it.
            world.receiver.next("/webhook", (0..FAILURES).map(|_| Reply::status(500)));
            world.scripted += FAILURES;
        }
        fs::write(&told, jump).expect("a writable folder");
        world.produce(chunk);
        // An order that is refused must not put off the next checkpoint until the clock has come there. It may stay without
        // an answer: the client's wait for records is one of those that libfaketime can draw out.
        let nobody_asked = "/api/v1/actions/0123456789abcdef0123456789abcdef/approve";
        if let Ok(refused) = http::post(&world.http, nobody_asked, r#"{"token": "x"}"#) {
            assert_eq!(refused.status, 404, "{}", refused.body);
        }
        pause(300);
        let all = world.produced.len();
        wait_until(PATIENCE, &format!("reading and saving after {jump}"), || {
            let saved = crate::outcome::Outcome::read(&world.data()).records();
            saved == Some(all as u64)
        });
        let alive = http::get(&world.http, "/livez").expect("an answer");
        assert_eq!(alive.status, 200, "not alive after {jump}: {}", alive.body);
    }
    // Requests go out while the clock stands still. The pointers to refused records may not: the C library under librdkafka
    // waits until a time of the clock, and libfaketime may move that between the asking and the waiting. So a new process,
    // on the clock of this machine, takes up what is left.
    world.wait_delivered(PATIENCE);
    world.kill();
    world.start();
    world.settle();
    invariants::check(&mut world);
    world.stop();
}
