//! What it costs to decode one native event of 603 bytes: the scanner and the strict decoder beside sonic-rs and
//! serde_json, and the same in Avro beside apache-avro, all in turns on the same events, with CPU time and, where valgrind is installed, instructions.
//!
//! `cargo bench --bench decode`. The environment may change the rounds (`ANCHORWATCH_BENCH_ROUNDS`). Ratios compare
//! what was measured in one run; instructions are the same on a busy machine.
#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]

#[path = "../journey/avro.rs"]
mod avro;
mod decoders;
#[path = "../journey/events.rs"]
mod events;
mod peers;
mod report;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use decoders::{Decoder, Streams};
use report::{Report, Row};

/// Few enough for the second level of the cache: what memory costs is the same for all.
const EVENTS: usize = 1_500;
/// How often a round decodes them.
const REPEATS: usize = 8;
const ROUNDS: usize = 15;
/// Events that a process under valgrind decodes; the difference of both runs leaves out its start.
const COUNTED: [usize; 2] = [200, 700];
/// Tells this program that it runs under valgrind: name of a decoder, number of events.
const COUNT: &str = "--count";

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == COUNT) {
        let (name, events) = (arguments.get(at + 1), arguments.get(at + 2));
        return counted(name.context("no decoder")?, events.context("no number")?.parse()?);
    }
    if !arguments.iter().any(|argument| argument == "--bench") {
        println!("measures nothing unless run by `cargo bench`");
        return Ok(());
    }
    let rounds = match std::env::var("ANCHORWATCH_BENCH_ROUNDS") {
        Ok(text) => text.parse().context("ANCHORWATCH_BENCH_ROUNDS is not a number")?,
        Err(_) => ROUNDS,
    };
    let streams = Streams::new(EVENTS)?;
    let expected = Decoder::Strict.run(&streams, EVENTS)?;
    let mut spent = vec![Vec::new(); Decoder::ALL.len()];
    for _ in 0..rounds {
        for (decoder, spent) in Decoder::ALL.iter().zip(&mut spent) {
            let began = cpu();
            for _ in 0..REPEATS {
                let sum = decoder.run(&streams, EVENTS)?;
                ensure!(sum == expected, "{} reads something else", decoder.name());
            }
            spent.push(cpu().saturating_sub(began) / REPEATS as u32);
        }
    }
    let mut rows = Vec::new();
    for (decoder, spent) in Decoder::ALL.iter().zip(spent) {
        rows.push(Row { decoder: *decoder, spent, instructions: instructions(*decoder) });
    }
    let report = Report { events: EVENTS, mean_bytes: streams.mean_bytes(), rows };
    println!("{report}");
    Ok(report.save(Path::new("benches/RESULTS.md"))?)
}

/// CPU time of this thread.
fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// Decodes so many events; nothing else is in the difference of two runs but the events being made.
fn counted(name: &str, events: usize) -> anyhow::Result<()> {
    let streams = Streams::new(COUNTED[1])?;
    let decoder =
        Decoder::ALL.into_iter().find(|decoder| decoder.name() == name).context("no such decoder")?;
    std::hint::black_box(decoder.run(&streams, events)?);
    Ok(())
}

/// Instructions an event, where valgrind can tell.
fn instructions(decoder: Decoder) -> Option<u64> {
    let run = |events: usize| {
        let output = Command::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg(std::env::current_exe().ok()?)
            .args([COUNT, decoder.name(), &events.to_string()])
            .output()
            .ok()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let line = said.lines().find(|line| line.contains("Collected"))?;
        line.split_whitespace().next_back()?.parse::<u64>().ok()
    };
    let (few, many) = (run(COUNTED[0])?, run(COUNTED[1])?);
    many.checked_sub(few).map(|more| more / (COUNTED[1] - COUNTED[0]) as u64)
}
