//! What a target that hangs or fails costs the counting: the same backlog is caught up with beside a well target, one
//! that hangs and one that answers 503, in turns.

use std::fs;
use std::time::{Duration, Instant};

use crate::outcome::Outcome;
use crate::support::{Kafka, Reply, wait_until};
use crate::world::World;
use crate::{PATIENCE, only_webhook, workload};

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
    let mut world = World::new("bench-ingest", Kafka::shared(), only_webhook);
    world.receiver.always("/webhook", target.reply());
    world.produce(&records);
    let begun = Instant::now();
    world.spawn(&[]);
    let pid = world.daemon().pid();
    wait_until(PATIENCE * 5, "the backlog to be counted and judged", || {
        world.read() == Some(records.len() as u64) && Outcome::read(&world.data()).is_judged()
    });
    let requests = world.receiver.requests_to("/webhook").len();
    Turn { wall: begun.elapsed().as_secs_f64(), cpu: cpu_of(pid), requests }
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
         turns each, in rotation.\n\n| the only target | wall, s | × well | CPU, s | × well | requests until then |\n\
         |---|---|---|---|---|---|\n",
        workload::stream().len()
    );
    for (target, turns) in Target::ALL.into_iter().zip(&turns) {
        let (its_wall, its_cpu) = (median(turns, |turn| turn.wall), median(turns, |turn| turn.cpu));
        text.push_str(&format!(
            "| {} | {its_wall:.2} | {:.3} | {its_cpu:.2} | {:.3} | {:.0} |\n",
            target.name(),
            its_wall / wall,
            its_cpu / cpu,
            median(turns, |turn| turn.requests as f64),
        ));
    }
    text
}
