//! The same faults for Anchorwatch and for its peers that can be run here, side by side: what is lost, what arrives, how
//! often, how late. And what a target that hangs or fails costs the counting.
//!
//! `make peers`, or `ANCHORWATCH_PEERS=1 cargo bench --bench reliability` once `deploy/local/setup.sh peers` has
//! installed the collector of Evidently, writes the tables of `benches/RESULTS.md`.
#![expect(clippy::expect_used, clippy::print_stdout, reason = "a bench ends by saying what is wrong")]
#![expect(clippy::disallowed_methods, reason = "a bench measures time")]

mod alertmanager;
mod collector;
mod ingest;
#[path = "../../../tests/faults/outcome.rs"]
mod outcome;
#[path = "../../../tests/support/mod.rs"]
mod support;
#[path = "../../../tests/faults/workload.rs"]
mod workload;
#[path = "../../../tests/faults/world.rs"]
mod world;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use support::{Receiver, wait_until};

const PATIENCE: Duration = Duration::from_secs(120);

/// A line of a table.
struct Bar {
    what: String,
    peer: String,
    ours: String,
}

fn main() {
    if std::env::var_os("ANCHORWATCH_PEERS").is_none() {
        println!("measures nothing unless run by `make peers`, which installs the peers");
        return;
    }
    let told = alertmanager::bars();
    let (evidently, collected) = collector::bars();
    let ingest = ingest::table();
    let text = format!(
        "### Beside Alertmanager\n\n{}\n### Beside the collector of Evidently\n\n{}\n### What a bad target costs the \
         counting\n\n{ingest}\n{NOTE}\n\n{}; Evidently {evidently}; Anchorwatch {}.",
        table("Alertmanager", &told),
        table("Evidently collector", &collected),
        alertmanager::version(),
        env!("CARGO_PKG_VERSION"),
    );
    println!("{text}");
    save(&text);
}

fn table(peer: &str, bars: &[Bar]) -> String {
    let head = format!("| | {peer} | Anchorwatch |\n|---|---|---|\n");
    let line = |Bar { what, peer, ours }: &Bar| format!("| {what} | {peer} | {ours} |\n");
    head + &bars.iter().map(line).collect::<String>()
}

fn pause(time: Duration) {
    let begun = Instant::now();
    wait_until(time + PATIENCE, "time to pass", || begun.elapsed() >= time);
}

fn only_webhook(config: &mut Value) {
    let sinks = config["sinks"].as_array().expect("sinks").clone();
    config["sinks"] = sinks.into_iter().filter(|sink| sink["name"] == "webhook").collect();
    config["actions"] = json!([]);
}

/// How often each notification arrived.
fn times(receiver: &Receiver) -> BTreeMap<String, usize> {
    let mut times = BTreeMap::new();
    for request in receiver.requests_to("/webhook") {
        *times.entry(request.header("idempotency-key").to_owned()).or_default() += 1;
    }
    times
}

const BEGIN: &str = "<!-- reliability: written by `cargo bench --bench reliability` -->";
const END: &str = "<!-- end of reliability -->";
const NOTE: &str = "Measured on one machine, one after the other, each process killed and started again by the same code \
     (`benches/peers/reliability`). Prometheus repeats an alert to Alertmanager every minute or so: where the table says \
     lost, it is told once the sender repeats it. The collector keeps its window in memory and has no setting to do \
     otherwise; who sends to it must send again. Libraries without a service of their own (river, frouros, whylogs, \
     alibi-detect, NannyML) keep no state over the end of a process unless their user does, and are not listed; Scouter's \
     server cannot be had from a package registry. Whether window counts are equal after 1,000 kills is a test of ours \
     (`kill_9_at_random_moments_loses_and_doubles_nothing`); no peer has such a test.";

fn save(text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/RESULTS.md");
    let before = std::fs::read_to_string(&path).expect("benches/RESULTS.md");
    let section = format!("{BEGIN}\n## Faults, side by side\n\n{text}\n{END}\n");
    let after = match (before.split_once(BEGIN), before.split_once(END)) {
        (Some((head, _)), Some((_, tail))) => {
            format!("{head}{section}{}", tail.strip_prefix('\n').unwrap_or(tail))
        }
        _ => format!("{}\n\n{section}", before.trim_end()),
    };
    std::fs::write(&path, after).expect("benches/RESULTS.md");
}
