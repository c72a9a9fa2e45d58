//! Each hot step by itself, under criterion, and its instructions where valgrind is installed, so that a regression shows on a
//! busy machine too. Decoding has a bench of its own (`benches/decode`), and so has the whole journey.
//!
//! `cargo bench --bench steps`; `cargo bench --bench steps -- NAME` measures some of them and keeps nothing.
#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]

#[path = "../results.rs"]
#[expect(dead_code, reason = "criterion takes the medians")]
mod results;
mod steps;
#[path = "../scale/world.rs"]
#[expect(dead_code, reason = "no day lies behind a single step")]
mod world;

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use criterion::Criterion;
use steps::{Step, all};

/// How often a step is done in a process under valgrind; the difference of both runs leaves out its start.
const COUNTED: [u64; 2] = [50, 250];
/// Tells this program that it runs under valgrind: name of a step, how often.
const COUNT: &str = "--count";

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == COUNT) {
        let (name, times) = (arguments.get(at + 1), arguments.get(at + 2));
        let (name, times) = (name.context("no step")?, times.context("no number")?.parse::<u64>()?);
        let mut step = all()?.into_iter().find(|step| step.name == *name).context("no such step")?;
        (0..times).for_each(|_| (step.run)());
        return Ok(());
    }
    if !arguments.iter().any(|argument| argument == "--bench") {
        println!("measures nothing unless run by `cargo bench`");
        return Ok(());
    }
    let filter = arguments.iter().skip(1).find(|argument| !argument.starts_with('-'));
    let folder = tempfile::tempdir()?;
    let mut criterion = Criterion::default()
        .output_directory(folder.path())
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    let mut rows = Vec::new();
    for Step { name, of, mut run } in all()? {
        if filter.is_some_and(|filter| !name.contains(filter.as_str())) {
            continue;
        }
        criterion.bench_function(name, |bencher| bencher.iter(&mut run));
        rows.push((name, of, median_ns(folder.path(), name)?, instructions(name)));
    }
    if filter.is_some() {
        return Ok(());
    }
    let section = table(&rows)?;
    println!("{section}");
    results::save("steps", &section).context("benches/RESULTS.md")
}

/// What criterion found, in nanoseconds.
fn median_ns(folder: &Path, name: &str) -> anyhow::Result<f64> {
    let path = folder.join(name.replace(['/', '\\'], "_")).join("new/estimates.json");
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let estimates: serde_json::Value = serde_json::from_str(&text)?;
    estimates["median"]["point_estimate"].as_f64().context("criterion's median")
}

/// Instructions of a step, where valgrind can tell.
fn instructions(name: &str) -> Option<u64> {
    let run = |times: u64| {
        let output = Command::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg(std::env::current_exe().ok()?)
            .args([COUNT, name, &times.to_string()])
            .output()
            .ok()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let line = said.lines().find(|line| line.contains("Collected"))?;
        line.split_whitespace().next_back()?.parse::<u64>().ok()
    };
    let (few, many) = (run(COUNTED[0])?, run(COUNTED[1])?);
    many.checked_sub(few).map(|more| more / (COUNTED[1] - COUNTED[0]))
}

fn table(rows: &[(&str, &str, f64, Option<u64>)]) -> anyhow::Result<String> {
    let mut text = String::from(
        "## The hot steps by themselves\n\n\
         | step | of what | ns, median | instructions |\n|---|---|---|---|\n",
    );
    for (name, of, ns, instructions) in rows {
        let digits = usize::from(*ns < 100.0);
        let instructions = instructions.map_or_else(String::new, |count| count.to_string());
        writeln!(text, "| {name} | {of} | {ns:.digits$} | {instructions} |")?;
    }
    write!(
        text,
        "\nIn the cache, one after the other, by criterion's median; instructions are the same on a busy machine. {}",
        results::machine()
    )?;
    Ok(text)
}
