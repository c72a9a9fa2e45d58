//! How cost and memory grow with subjects, features, segments and horizons, and how long an edge of panes keeps the
//! reading of records waiting when ten thousand subjects end there at once.
//!
//! `cargo bench --bench scale`, all in one process each, without Kafka or a state file. `ANCHORWATCH_BENCH_SUBJECTS` is the
//! most subjects of a case, `ANCHORWATCH_BENCH_ROUNDS` how often each case runs.
#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]

#[path = "../results.rs"]
mod results;
mod run;
mod world;

use std::fmt::Write as _;
use std::process::Command;

use anyhow::{Context as _, ensure};
use results::median;
use run::FIGURES;
use world::Shape;

const USUAL: Shape =
    Shape { subjects: 10_000, features: 20, segments: 0, horizons: 3, every: 1, calibrated: false };

const CASES: [(&str, Shape); 16] = [
    ("1 subject", Shape { subjects: 1, ..USUAL }),
    ("100 subjects", Shape { subjects: 100, ..USUAL }),
    ("1,000 subjects", Shape { subjects: 1_000, ..USUAL }),
    ("**10,000 subjects**", USUAL),
    ("**10,000, judged under the budget too**", Shape { calibrated: true, ..USUAL }),
    ("20,000 subjects", Shape { subjects: 20_000, ..USUAL }),
    ("10,000, an event in 10 minutes", Shape { every: 10, ..USUAL }),
    ("10,000, an event in an hour", Shape { every: 60, ..USUAL }),
    ("10,000 = 1,000 × (whole and 9 segments)", Shape { segments: 9, ..USUAL }),
    ("10,000 = 100 × (whole and 99 segments)", Shape { segments: 99, ..USUAL }),
    ("1,000, 5 features", Shape { subjects: 1_000, features: 5, ..USUAL }),
    ("1,000, 100 features", Shape { subjects: 1_000, features: 100, ..USUAL }),
    ("200, 500 features", Shape { subjects: 200, features: 500, ..USUAL }),
    ("1,000, horizon 15m", Shape { subjects: 1_000, horizons: 1, ..USUAL }),
    ("1,000, horizons 15m, 1h", Shape { subjects: 1_000, horizons: 2, ..USUAL }),
    ("1,000, horizons 15m, 1h, 24h, 7d", Shape { subjects: 1_000, horizons: 4, ..USUAL }),
];

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(place) = arguments.iter().position(|argument| argument == "--case") {
        let number: usize = arguments.get(place + 1).context("a case")?.parse()?;
        let (_, shape) = CASES.get(number).context("a case")?;
        let figures = run::measure(*shape)?;
        println!("{}", figures.map(|figure| figure.to_string()).join(" "));
        return Ok(());
    }
    if !arguments.iter().any(|argument| argument == "--bench") {
        println!("measures nothing unless run by `cargo bench`");
        return Ok(());
    }
    let (rounds, most) =
        (setting("ANCHORWATCH_BENCH_ROUNDS", 5)?, setting("ANCHORWATCH_BENCH_SUBJECTS", 20_000)?);
    let cases: Vec<usize> = (0..CASES.len()).filter(|case| CASES[*case].1.subjects <= most).collect();
    let mut figures: Vec<[Vec<f64>; FIGURES]> = CASES.map(|_| Default::default()).into();
    for _ in 0..rounds {
        for case in &cases {
            let taken = one(*case)?;
            figures[*case].iter_mut().zip(taken).for_each(|(all, figure)| all.push(figure));
        }
    }
    let section = table(&cases, &figures, rounds)?;
    println!("{section}");
    results::save("scale", &section).context("benches/RESULTS.md")
}

fn setting(name: &str, default: usize) -> anyhow::Result<usize> {
    let Ok(text) = std::env::var(name) else { return Ok(default) };
    let number = text.parse().ok().filter(|number| *number > 0);
    number.with_context(|| format!("{name} is no number above 0: {text:?}"))
}

/// A case in a process of its own, so that memory is its own.
fn one(case: usize) -> anyhow::Result<[f64; FIGURES]> {
    let output = Command::new(std::env::current_exe()?).arg("--case").arg(case.to_string()).output()?;
    ensure!(output.status.success(), "case {case}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    let figures: Result<Vec<f64>, _> = text.split_whitespace().map(str::parse).collect();
    figures?.try_into().ok().context("as many figures as are measured")
}

fn table(cases: &[usize], figures: &[[Vec<f64>; FIGURES]], rounds: usize) -> anyhow::Result<String> {
    let mut text = String::from(
        "## How cost and memory grow\n\n20 features of 256 cut points, score, latency; panes of a minute; horizons of 15m, \
         1h and 24h, a full day behind each subject; an event a minute of each version, unless said otherwise. All versions \
         share one reference, which is not counted. Where nothing else is said it has no times, and nothing is judged under \
         the budget; where it has, the edge of all horizons is also one of an hour that is.\n\n\
         | | KiB a subject | with the latest verdicts | CPU µs an event | edge of 15m: CPU ms | of 15m, 1h | of all | by the clock until its last \
         verdict | until it is done | longest stall, CPU ms | the same by the clock | checkpoint taken, CPU ms | packed by the writer | status shown, CPU ms |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for case in cases {
        let (name, _) = CASES[*case];
        let figure = |place: usize| median(figures[*case][place].clone());
        write!(text, "| {name} |")?;
        for place in 0..FIGURES {
            let digits = if figure(place) < 10.0 { 2 } else { usize::from(figure(place) < 100.0) };
            write!(text, " {:.digits$} |", figure(place))?;
        }
        text.push('\n');
    }
    write!(
        text,
        "\nMedians of {rounds} rounds in turns, each case in a process of its own. An edge is from the watermark's passing until \
         everything is judged, published to the board and the metrics as the daemon does, told, and written for the checkpoint; a stall is the longest time \
         between two polls, checkpoints included: it ends after 10 ms, when the step at hand is done. CPU time of all threads, since \
         others share the machine, where nothing else is said. {}",
        results::machine()
    )?;
    Ok(text)
}
