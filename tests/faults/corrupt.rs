//! Case 12: a state file that is damaged is noticed, or right; never silently wrong.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use anchorwatch::engine::Restored;
use anchorwatch::store::Store;
use rand::RngExt as _;
use rand::rngs::StdRng;
use rusqlite::Connection;
use rusqlite::types::Value;

use crate::outcome::Outcome;
use crate::support::{Kafka, http, wait_until};
use crate::world::{PATIENCE, World, copy};
use crate::{invariants, times, workload};

/// Damages a file; says how.
fn damage(file: &Path, rng: &mut StdRng) -> String {
    let mut bytes = fs::read(file).expect("the state file");
    let told = match rng.random_range(0..8) {
        0 => {
            let length = rng.random_range(0..bytes.len());
            bytes.truncate(length);
            format!("cut to {length} bytes")
        }
        1 => {
            let page = rng.random_range(0..bytes.len() / 4096);
            bytes[page * 4096..(page + 1) * 4096].fill(0);
            format!("page {page} zeroed")
        }
        2 => {
            let (from, to) =
                (rng.random_range(0..bytes.len() / 4096), rng.random_range(0..bytes.len() / 4096));
            bytes.copy_within(from * 4096..(from + 1) * 4096, to * 4096);
            format!("page {to} replaced by page {from}")
        }
        _ => {
            let count = rng.random_range(1..=64);
            for _ in 0..count {
                let at = rng.random_range(0..bytes.len());
                bytes[at] ^= 1 << rng.random_range(0..8);
            }
            format!("{count} bits flipped")
        }
    };
    fs::write(file, bytes).expect("a writable folder");
    told
}

/// Tables beside the counting. Left out are two that cannot make anything wrong: how much was dropped for want of space,
/// and the number that tells that the registry has changed.
const TABLES: [&str; 7] = ["outbox", "refused", "model", "version", "reference", "stage_change", "audit"];

/// All of a state file.
#[derive(PartialEq)]
struct All {
    counting: Restored,
    tables: Vec<Vec<Vec<Value>>>,
}

/// Every row of a table.
fn every_row(connection: &Connection, table: &str) -> rusqlite::Result<Vec<Vec<Value>>> {
    let mut select = connection.prepare(&format!("SELECT * FROM {table} ORDER BY rowid"))?;
    let width = select.column_count();
    let values = select.query_map([], |row| (0..width).map(|index| row.get(index)).collect())?;
    values.collect()
}

/// What a state file gives back, or `None` if it is refused, or if `audit verify` would find the trail broken.
fn taken_up(data: &Path) -> Option<All> {
    let read = || {
        let store = Store::open(data).ok()?;
        let counting = store.restore().ok()?;
        store.verify_audit(None).ok()?.ok()?;
        let connection = Connection::open(store.path()).ok()?;
        let tables = TABLES.iter().map(|table| every_row(&connection, table));
        Some(All { counting, tables: tables.collect::<Result<_, _>>().ok()? })
    };
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| panic!("a damaged state file causes a panic"))
}

/// Where two states differ.
fn difference(state: &All, right: &All) -> String {
    let pairs = TABLES.iter().zip(state.tables.iter().zip(&right.tables));
    let tables: Vec<_> = pairs.filter(|(_, (a, b))| a != b).map(|(table, _)| *table).collect();
    format!(
        "counting {}, tables {tables:?}",
        if state.counting == right.counting { "right" } else { "wrong" }
    )
}

#[test]
fn a_damaged_state_file_is_refused_or_right() {
    let mut rng = workload::rng("corrupt");
    let records = workload::stream();
    let mut world = World::new("corrupt", Kafka::shared(), |_| {});
    world.start();
    world.produce(&records[..records.len() / 2]);
    world.settle();
    world.stop();
    let right = taken_up(&world.data()).expect("the state of an orderly end");
    let written =
        |table: &str| TABLES.iter().position(|name| *name == table).map(|at| right.tables[at].len());
    for table in ["outbox", "version", "reference", "stage_change", "audit"] {
        assert!(written(table).is_some_and(|rows| rows > 0), "nothing in `{table}` that could be damaged");
    }
    let copied = world.folder().join("damaged");
    let (mut refused, mut unharmed, mut wrong) = (0, 0, Vec::new());
    for _ in 0..times(100, 5_000) {
        let _ = fs::remove_dir_all(&copied);
        fs::create_dir_all(&copied).expect("a writable folder");
        fs::copy(world.data().join("anchorwatch.db"), copied.join("anchorwatch.db")).expect("a copy");
        let how = damage(&copied.join("anchorwatch.db"), &mut rng);
        match taken_up(&copied) {
            None => refused += 1,
            Some(state) if state == right => unharmed += 1,
            Some(state) => wrong.push(format!("{how}: {}", difference(&state, &right))),
        }
    }
    eprintln!("{refused} refused, {unharmed} unharmed, {} wrong", wrong.len());
    assert!(wrong.is_empty(), "silently wrong: {wrong:?}");
}

#[test]
fn a_daemon_on_a_damaged_state_file_says_so_or_goes_on_as_before() {
    let mut rng = workload::rng("damaged start");
    let records = workload::stream();
    let mut world = World::new("damaged_start", Kafka::shared(), |_| {});
    world.start();
    world.produce(&records[..records.len() / 2]);
    world.settle();
    world.stop();
    let kept = world.folder().join("kept");
    copy(&world.data(), &kept);
    let right = Outcome::read(&world.data());
    let mut said = 0;
    for _ in 0..times(5, 100) {
        let how = damage(&world.data().join("anchorwatch.db"), &mut rng);
        world.spawn(&[]);
        let mut ended = false;
        wait_until(PATIENCE, "a start or a refusal", || {
            ended = world.daemon().has_ended();
            ended || http::get(&world.http, "/readyz").is_ok_and(|answer| answer.status == 200)
        });
        world.forget_positions();
        if ended {
            assert!(!world.wait_end().success());
        } else {
            world.kill();
        }
        let admitted = world.logs().contains("damaged");
        said += usize::from(admitted);
        assert!(admitted || Outcome::read(&world.data()).panes == right.panes, "silently wrong: {how}");
        world.forget_logs();
        fs::remove_dir_all(world.data()).expect("the state");
        copy(&kept, &world.data());
        world.forget_positions();
    }
    eprintln!("{said} starts told of damage");
}

#[test]
fn an_older_state_and_a_lost_log_are_made_up_for_from_kafka() {
    let records = workload::stream();
    let mut world = World::new("older", Kafka::shared(), |_| {});
    world.start();
    world.produce(&records[..records.len() / 3]);
    world.wait_read(world.produced.len());
    world.kill();
    let older = world.folder().join("older");
    copy(&world.data(), &older);
    world.start();
    world.produce(&records[records.len() / 3..]);
    world.wait_read(world.produced.len());
    world.kill();
    fs::remove_dir_all(world.data()).expect("the state");
    copy(&older, &world.data());
    world.forget_positions();
    world.put_back += 1;
    // The log that SQLite had not yet carried into the file is gone as well.
    let _ = fs::remove_file(world.data().join("anchorwatch.db-wal"));
    let _ = fs::remove_file(world.data().join("anchorwatch.db-shm"));
    world.spawn(&[]);
    let mut ended = false;
    wait_until(PATIENCE, "a start or a refusal", || {
        ended = world.daemon().has_ended();
        ended || world.read() == Some(world.produced.len() as u64)
    });
    if ended {
        let status = world.wait_end();
        let log = world.logs();
        assert!(!status.success() && log.contains("anchorwatch.db"), "a refusal names the file: {log}");
        // Whoever takes the file away gets everything from Kafka.
        fs::remove_file(world.data().join("anchorwatch.db")).expect("the file that was refused");
        world.forget_positions();
        world.start();
        world.wait_read(world.produced.len());
        world.stop();
        return;
    }
    world.crashes += 1; // what was told after the older state is told again
    world.settle();
    invariants::check(&mut world);
    world.stop();
}
