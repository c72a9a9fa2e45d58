//! Case 3: the protocol by which counts and offsets become durable, under every order of reading, judging, saving and
//! crashing that a seed gives. The store is a map here; the laws are the same: one transaction a checkpoint, one checkpoint
//! under way, and after a crash reading goes on where the saved offsets say.
//!
//! The same schedules with a flaw in the protocol must not all end well: a model that no flaw breaks shows nothing.
//! `ANCHORWATCH_FAULTS=long` walks 200,000 schedules instead of 2,000, `ANCHORWATCH_SCHEDULES` as many as it says.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use anchorwatch::alert::Delivery;
use anchorwatch::config::Config;
use anchorwatch::engine::{Checkpoint, Engine, Restored};

use super::{NOW, START, Sent, apply, catalog, random, record, reference, settings};

const PARTITIONS: usize = 2;
const RECORDS: i64 = 90;
const SECOND: i64 = 1_000;

/// A way to get the protocol wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    /// Offsets are those of the moment of writing, not those of the counts.
    OffsetsAhead,
    /// Offsets are written in a transaction of their own, after the counts.
    OffsetsLater,
    /// Counts are written in a transaction of their own, after the offsets.
    CountsLater,
    /// What a process had under way when it ended is written after its successor has begun to write.
    TwoWriters,
    /// After a crash the last record is read once more.
    ReadsAgain,
}

const FLAWS: [Flaw; 5] =
    [Flaw::OffsetsAhead, Flaw::OffsetsLater, Flaw::CountsLater, Flaw::TwoWriters, Flaw::ReadsAgain];

/// Two partitions with an event every few seconds; in the second half one column drifts, so that something is told.
fn records(seed: u64) -> Vec<Vec<Sent>> {
    let mut choose = random(seed ^ 0x5eed);
    let one = |partition: usize, offset: i64, choose: &mut dyn FnMut(u64) -> i64| {
        let ts = START + offset * 10 * SECOND - choose(30) * SECOND;
        let x = if offset > RECORDS / 2 { 9 } else { choose(10) };
        let country = ["DE", "FR"][usize::from(choose(3) == 0)];
        let json = match choose(40) {
            0 => "no event".to_owned(),
            _ => format!(
                r#"{{"model":"m","version":"1.0.0","ts":{ts},"features":{{"x":{x},"country":"{country}"}}}}"#
            ),
        };
        Sent { partition: i32::try_from(partition).expect("small"), offset, json }
    };
    (0..PARTITIONS)
        .map(|partition| (0..RECORDS).map(|offset| one(partition, offset, &mut choose)).collect())
        .collect()
}

/// What is durable, and how often each notification was decided.
#[derive(Debug, Default)]
struct Saved {
    state: Restored,
    told: BTreeMap<(String, String), usize>,
}

impl Saved {
    fn write(&mut self, checkpoint: Checkpoint) {
        for row in &checkpoint.outbox {
            if let Delivery::Notification(notification) = &row.delivery {
                *self.told.entry((notification.key.clone(), row.target.clone())).or_default() += 1;
            }
        }
        apply(&mut self.state, checkpoint);
    }

    fn next(&self, partition: usize) -> usize {
        let of = |p: &&anchorwatch::engine::Position| usize::try_from(p.partition) == Ok(partition);
        let saved = self.state.positions.iter().find(of).map_or(0, |position| position.next_offset);
        usize::try_from(saved).expect("an offset")
    }
}

/// What must not depend on the schedule.
#[derive(Debug, PartialEq, Eq)]
struct Observed {
    panes: BTreeMap<(String, i64), Vec<u8>>,
    next: Vec<usize>,
    law: String,
    told: BTreeMap<(String, String), usize>,
}

struct Walk<'a> {
    log: &'a [Vec<Sent>],
    flaw: Option<Flaw>,
    engine: Engine,
    next: [usize; PARTITIONS],
    saved: Saved,
    /// A checkpoint that was taken and is not durable yet.
    under_way: Option<Checkpoint>,
    /// The second transaction of a flaw.
    later: Option<Checkpoint>,
    /// What a process that ended had under way.
    stale: Option<Checkpoint>,
}

impl<'a> Walk<'a> {
    fn new(log: &'a [Vec<Sent>], flaw: Option<Flaw>) -> Self {
        let saved = Saved::default();
        let engine = begun(&saved);
        Self { log, flaw, engine, next: [0; PARTITIONS], saved, under_way: None, later: None, stale: None }
    }

    fn read(&mut self, partition: usize, count: usize) {
        for sent in self.log[partition].iter().skip(self.next[partition]).take(count) {
            self.engine.ingest(&record(sent), NOW);
            self.next[partition] += 1;
        }
    }

    fn judge(&mut self) {
        let (_, more) = self.engine.advance(NOW, usize::MAX);
        assert!(!more && self.engine.law().holds());
    }

    fn take(&mut self) {
        if self.under_way.is_none() {
            self.under_way = Some(self.engine.checkpoint());
        }
    }

    fn write(&mut self) {
        let Some(mut checkpoint) = self.under_way.take() else { return };
        if let Some(later) = self.later.take() {
            self.saved.write(later);
        }
        match self.flaw {
            Some(Flaw::OffsetsAhead) => {
                for position in &mut checkpoint.positions {
                    let partition = usize::try_from(position.partition).expect("small");
                    position.next_offset = i64::try_from(self.next[partition]).expect("an offset");
                }
            }
            Some(Flaw::OffsetsLater) => {
                let positions = std::mem::take(&mut checkpoint.positions);
                self.later = Some(Checkpoint { positions, ..Checkpoint::default() });
            }
            Some(Flaw::CountsLater) => {
                let panes = std::mem::take(&mut checkpoint.panes);
                self.later = Some(Checkpoint { panes, ..Checkpoint::default() });
            }
            Some(Flaw::TwoWriters | Flaw::ReadsAgain) | None => {}
        }
        self.saved.write(checkpoint);
        if let Some(stale) = self.stale.take() {
            self.saved.write(stale);
        }
    }

    fn crash(&mut self) {
        let under_way = self.under_way.take();
        if self.flaw == Some(Flaw::TwoWriters) {
            self.stale = under_way;
        }
        self.later = None;
        self.engine = begun(&self.saved);
        for (partition, next) in self.next.iter_mut().enumerate() {
            let saved = self.saved.next(partition);
            assert!(saved <= *next || self.flaw.is_some(), "offsets ahead of what was read");
            *next = if self.flaw == Some(Flaw::ReadsAgain) { saved.saturating_sub(1) } else { saved };
        }
    }

    fn end(mut self) -> Observed {
        (0..PARTITIONS).for_each(|partition| self.read(partition, usize::MAX));
        self.judge();
        // What is under way, what came after it, and the second transaction of that.
        for _ in 0..3 {
            self.take();
            self.write();
        }
        let subjects: BTreeMap<_, _> = self
            .saved
            .state
            .subjects
            .iter()
            .map(|(number, subject)| (*number, subject.to_string()))
            .collect();
        let panes = self.saved.state.panes.iter();
        Observed {
            panes: panes
                .map(|row| ((subjects[&row.subject].clone(), row.pane), row.counts.packed().into_owned()))
                .collect(),
            next: (0..PARTITIONS).map(|partition| self.saved.next(partition)).collect(),
            law: format!("{:?}", self.engine.law()),
            told: self.saved.told,
        }
    }
}

/// A process that begins on what is durable.
fn begun(saved: &Saved) -> Engine {
    // Reading them takes longer than counting.
    static SETTINGS: LazyLock<Config> = LazyLock::new(settings);
    let mut engine = Engine::new(&SETTINGS);
    let report = engine.restore(saved.state.clone(), |_| Some(reference())).expect("its own documents");
    assert_eq!(report.panes_left_out, 0);
    engine.set_catalog(&catalog());
    (0..PARTITIONS).for_each(|partition| {
        engine.assign("t", i32::try_from(partition).expect("small"), None);
    });
    engine
}

/// One schedule: crashes are as frequent as checkpoints.
fn walk(log: &[Vec<Sent>], seed: u64, flaw: Option<Flaw>) -> Observed {
    let mut choose = random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut walk = Walk::new(log, flaw);
    let steps = 12 + choose(28);
    for _ in 0..steps {
        match choose(10) {
            0..4 => {
                let (partition, count) = (choose(PARTITIONS as u64), 1 + choose(16));
                walk.read(usize::try_from(partition).expect("small"), usize::try_from(count).expect("small"));
            }
            4..6 => walk.judge(),
            6 => walk.take(),
            7 | 8 => walk.write(),
            _ => walk.crash(),
        }
    }
    walk.end()
}

fn schedules() -> u64 {
    let given = std::env::var("ANCHORWATCH_SCHEDULES").ok().and_then(|text| text.parse().ok());
    let long = std::env::var("ANCHORWATCH_FAULTS").is_ok_and(|form| form == "long");
    given.unwrap_or(if long { 200_000 } else { 2_000 })
}

fn first_seed() -> u64 {
    let given = std::env::var("ANCHORWATCH_SEED").ok().and_then(|text| text.parse().ok());
    given.unwrap_or_else(|| rand::random_range(0..1_000_000))
}

#[test]
fn every_order_of_reading_judging_saving_and_crashing_ends_in_the_same_state() {
    const OF_ONE_LOG: u64 = 50;
    let first = first_seed();
    for logs in 0..schedules() / OF_ONE_LOG {
        let log = records(first + logs);
        let calm = Walk::new(&log, None).end();
        assert!(!calm.told.is_empty(), "the log is to make something told");
        assert!(calm.told.values().all(|times| *times == 1));
        for one in 0..OF_ONE_LOG {
            let seed = first + logs * OF_ONE_LOG + one;
            let observed = walk(&log, seed, None);
            assert!(observed == calm, "ANCHORWATCH_SEED={first}: schedule {seed} of log {logs} differs");
        }
    }
}

#[test]
fn no_flaw_of_the_protocol_stays_unseen() {
    let first = first_seed();
    let log = records(first);
    let calm = Walk::new(&log, None).end();
    for flaw in FLAWS {
        // An assertion of the core that objects has noticed it as well.
        let ended = |one| std::panic::catch_unwind(|| walk(&log, first + one, Some(flaw)));
        let unseen = (0..200).filter(|one| ended(*one).is_ok_and(|observed| observed == calm)).count();
        let seen = 200 - unseen;
        eprintln!("{flaw:?}: {seen} of 200 schedules end otherwise");
        assert!(seen > 0, "ANCHORWATCH_SEED={first}: {flaw:?} is not noticed");
    }
}
