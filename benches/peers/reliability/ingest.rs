//! What a target that hangs or fails costs the counting and the other targets: the same backlog is caught up with beside a
//! well target, one that hangs and one that answers 503, in turns; a second target is always well.

use std::fs;
use std::time::{Duration, Instant};

use crate::outcome::Outcome;
use crate::support::{Kafka, Reply, wait_until};
use crate::world::World;
use crate::{PATIENCE, workload};

/// The target that is always well.
const OTHER: &str = "slack";

const ROUNDS: usize = 5;

/// How the target of a turn behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Well,
    Hangs,
    Fails,
}

impl Target {
    const ALL: [Self; 3] = [Self::Well, Self::Hangs, Self::Fails];

    const fn name(self) -> &'static str {
        match self {
            Self::Well => "answers 200 at once",
            Self::Hangs => "hangs for 30 s",
            Self::Fails => "answers 503",
        }
    }

    fn reply(self) -> Reply {
        match self {
            Self::Well => Reply::ok(),
            Self::Hangs => Reply::ok().after(Duration::from_secs(30)),
            Self::Fails => Reply::status(503),
        }
    }
}

/// One backlog caught up with.
#[derive(Debug, Clone, Copy)]
struct Turn {
    /// From the start of the process to the last record counted and judged.
    wall: f64,
    /// CPU of the process until then.
    cpu: f64,
    /// Requests that the target had got until then.
    requests: usize,
    /// 99 of 100 deliveries to the other target took no longer from the decision to the answer, in seconds.
    other_p99: f64,
}

fn both_targets(config: &mut serde_json::Value) {
    let sinks = config["sinks"].as_array().expect("sinks").clone();
    let kept = |sink: &serde_json::Value| sink["name"] == "webhook" || sink["name"] == OTHER;
    config["sinks"] = sinks.into_iter().filter(kept).collect();
    config["actions"] = serde_json::json!([]);
}

/// Seconds from each decision to the answer of the other target, once it was told everything.
fn delays_of_other(world: &World<'_>) -> Vec<f64> {
    wait_until(PATIENCE, "the other target to be told", || {
        let outcome = Outcome::read(&world.data());
        outcome.outbox.iter().all(|((_, target), row)| target != OTHER || row.state == "delivered")
    });
    let file = rusqlite::Connection::open(world.data().join("anchorwatch.db")).expect("the state file");
    let asked =
        "SELECT (settled_at - decided_at) / 1000.0 FROM outbox WHERE target = ?1 AND settled_at IS NOT NULL";
    let mut statement = file.prepare(asked).expect("a table of deliveries");
    let delays = statement.query_map([OTHER], |row| row.get(0)).expect("deliveries");
    let mut delays: Vec<f64> = delays.map(|delay| delay.expect("a time")).collect();
    delays.sort_by(f64::total_cmp);
    delays
}

/// User and system time of a process, in seconds.
fn cpu_of(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("a running process");
    let fields: Vec<&str> = stat.rsplit_once(')').expect("a name").1.split_whitespace().collect();
    let ticks: f64 = fields[11..13].iter().map(|ticks| ticks.parse::<f64>().expect("ticks")).sum();
    ticks / 100.0
}

fn turn(target: Target) -> Turn {
    let records = workload::stream();
    let mut world = World::new("bench-ingest", Kafka::shared(), both_targets);
    world.receiver.always("/webhook", target.reply());
    world.produce(&records);
    let begun = Instant::now();
    world.spawn(&[]);
    let pid = world.daemon().pid();
    wait_until(PATIENCE * 5, "the backlog to be counted and judged", || {
        world.read() == Some(records.len() as u64) && Outcome::read(&world.data()).is_judged()
    });
    let requests = world.receiver.requests_to("/webhook").len();
    let (wall, cpu) = (begun.elapsed().as_secs_f64(), cpu_of(pid));
    let delays = delays_of_other(&world);
    let other_p99 = delays.get(delays.len() * 99 / 100).or(delays.last()).copied().unwrap_or_default();
    Turn { wall, cpu, requests, other_p99 }
}

fn median(turns: &[Turn], of: impl Fn(&Turn) -> f64) -> f64 {
    let mut all: Vec<f64> = turns.iter().map(of).collect();
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

/// The table, of medians.
pub(crate) fn table() -> String {
    let mut turns: [Vec<Turn>; Target::ALL.len()] = Default::default();
    for round in 0..ROUNDS {
        for place in 0..Target::ALL.len() {
            let index = (place + round) % Target::ALL.len();
            turns[index].push(turn(Target::ALL[index]));
        }
    }
    let (wall, cpu) = (median(&turns[0], |turn| turn.wall), median(&turns[0], |turn| turn.cpu));
    let mut text = format!(
        "A backlog of {} records, from the start of the process until all are counted and judged; medians of {ROUNDS} \
         turns each, in rotation.\n\n| one of two targets | wall, s | × well | CPU, s | × well | requests until then | p99 of the other \
         target, s |\n|---|---|---|---|---|---|---|\n",
        workload::stream().len()
    );
    for (target, turns) in Target::ALL.into_iter().zip(&turns) {
        let (its_wall, its_cpu) = (median(turns, |turn| turn.wall), median(turns, |turn| turn.cpu));
        text.push_str(&format!(
            "| {} | {its_wall:.2} | {:.3} | {its_cpu:.2} | {:.3} | {:.0} | {:.2} |\n",
            target.name(),
            its_wall / wall,
            its_cpu / cpu,
            median(turns, |turn| turn.requests as f64),
            median(turns, |turn| turn.other_p99),
        ));
    }
    text
}
