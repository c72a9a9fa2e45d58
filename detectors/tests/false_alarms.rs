//! How often each detector alarms on streams without any change, and how soon it sees one: the figures of the guide.
//!
//! Run by `cargo test --release -p anchorwatch-detectors --test false_alarms -- --ignored --nocapture`. Everything is
//! seeded, so the tables come out the same each time.

#![expect(clippy::unwrap_used, reason = "a detector that cannot be built is a failed test")]
#![expect(clippy::print_stdout, reason = "the tables are what this test is run for")]

use std::collections::BTreeMap;

use anchorwatch_detectors::sequential::conformal::{Model, Numeric, Options, Ranks};
use anchorwatch_detectors::sequential::{Detector, Sequential, Signal, build, uniform};

/// A law without change: its name, its mean and deviation, and a value of it.
type Law = (&'static str, f64, f64, fn(&mut Source) -> f64);

const NUMBERS: [Law; 5] = [
    ("N(0,1)", 0.0, 1.0, |source| source.normal()),
    ("N(0.5,0.1)", 0.5, 0.1, |source| 0.5 + 0.1 * source.normal()),
    ("Exp(1)", 1.0, 1.0, |source| -source.next().max(1e-300).ln()),
    ("t3", 0.0, 1.732_050_807_568_877_2, Source::student_3),
    ("AR(1) 0.5", 0.0, 1.0, Source::autocorrelated),
];
const RATES: [Law; 3] = [
    ("0.05", 0.05, 0.217_944_947_177_033_7, |source| source.hit(0.05)),
    ("0.1", 0.1, 0.3, |source| source.hit(0.1)),
    ("0.3", 0.3, 0.458_257_569_495_584, |source| source.hit(0.3)),
];

const FOR_NUMBERS: [&str; 7] =
    ["adwin", "kswin", "page_hinkley", "cusum", "ewma", "e_detector", "cusum_frouros"];
const FOR_RATES: [&str; 12] = [
    "ddm",
    "eddm",
    "hddm_a",
    "hddm_w",
    "fhddm",
    "stepd",
    "ecdd_wt_frouros",
    "adwin",
    "cusum",
    "e_detector",
    "e_bounded_mean",
    "confidence_sequence",
];

/// Seeded values.
struct Source {
    stream: u64,
    index: u64,
    last: f64,
}

impl Source {
    fn new(stream: u64) -> Self {
        Self { stream, index: 0, last: 0.0 }
    }

    fn next(&mut self) -> f64 {
        self.index += 1;
        uniform(self.stream, self.index)
    }

    /// Box and Muller's method.
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.next().max(1e-300).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.next()).cos()
    }

    fn student_3(&mut self) -> f64 {
        let squares: f64 = (0..3).map(|_| self.normal().powi(2)).sum();
        self.normal() / (squares / 3.0).sqrt()
    }

    fn autocorrelated(&mut self) -> f64 {
        self.last = 0.5 * self.last + 0.75f64.sqrt() * self.normal();
        self.last
    }

    fn hit(&mut self, p: f64) -> f64 {
        f64::from(u8::from(self.next() < p))
    }
}

/// The detector with its defaults, told the law's mean and deviation where it asks for them.
fn detector(name: &str, mean: f64, sd: f64) -> Detector {
    let given: &[(&str, f64)] = match name {
        "cusum" | "ewma" => &[("mean", mean), ("sd", sd)],
        "e_bounded_mean" | "confidence_sequence" => &[("at_most", mean)],
        _ => &[],
    };
    let given: BTreeMap<String, f64> =
        given.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
    build(name, &given).unwrap()
}

/// FHDDM watches right answers, all others errors.
fn seen_by(name: &str, value: f64) -> f64 {
    if name == "fhddm" { 1.0 - value } else { value }
}

const EVENTS: u64 = 100_000;
const RUNS: u64 = 20;

fn false_alarms(name: &str, (_, mean, sd, draw): &Law) -> f64 {
    let mut alarms = 0;
    for run in 0..RUNS {
        let mut source = Source::new(1_000 + run);
        let mut detector = detector(name, *mean, *sd);
        for _ in 0..EVENTS {
            let value = seen_by(name, draw(&mut source));
            alarms += u32::from(detector.update(value) == Signal::Drift);
        }
    }
    f64::from(alarms) / RUNS as f64
}

#[test]
#[ignore = "measures for a minute; see the module's first lines"]
fn false_alarms_per_100_000_values() {
    for (names, laws) in [(&FOR_NUMBERS[..], &NUMBERS[..]), (&FOR_RATES[..], &RATES[..])] {
        let heads: Vec<&str> = laws.iter().map(|law| law.0).collect();
        println!("| detector | {} |", heads.join(" | "));
        for name in names {
            let rates: Vec<String> =
                laws.iter().map(|law| format!("{:.2}", false_alarms(name, law))).collect();
            println!("| {name} | {} |", rates.join(" | "));
        }
    }
}

/// How many values until the first alarm after value 2,000, the median and the share seen within 5,000.
fn delay(name: &str, mean: f64, sd: f64, draw: impl Fn(&mut Source, bool) -> f64) -> String {
    let runs = 100;
    let mut delays: Vec<u32> = Vec::new();
    for run in 0..runs {
        let mut source = Source::new(9_000 + run);
        let mut detector = detector(name, mean, sd);
        for _ in 0..2_000 {
            let value = draw(&mut source, false);
            detector.update(seen_by(name, value));
        }
        let found = (1..=5_000u32).find(|_| {
            let value = draw(&mut source, true);
            detector.update(seen_by(name, value)) == Signal::Drift
        });
        delays.extend(found);
    }
    delays.sort_unstable();
    let share = delays.len() as u64 * 100 / runs;
    let median = delays.get(delays.len() / 2).map_or("-".to_owned(), u32::to_string);
    if share == 100 { median } else { format!("{median} ({share} %)") }
}

#[test]
#[ignore = "measures for a minute; see the module's first lines"]
fn delays_after_a_change() {
    println!("| detector | +0.25 sd | +0.5 sd | +1 sd | sd x 1.5 |");
    for name in FOR_NUMBERS {
        let shifts = [0.25, 0.5, 1.0].map(|shift| {
            delay(name, 0.0, 1.0, move |source, changed| source.normal() + if changed { shift } else { 0.0 })
        });
        let spread =
            delay(name, 0.0, 1.0, |source, changed| source.normal() * if changed { 1.5 } else { 1.0 });
        println!("| {name} | {} | {spread} |", shifts.join(" | "));
    }
    println!("| detector | 0.1 to 0.15 | to 0.2 | to 0.3 |");
    for name in FOR_RATES {
        let after = [0.15, 0.2, 0.3].map(|rate| {
            delay(name, 0.1, 0.3, move |source, changed| source.hit(if changed { rate } else { 0.1 }))
        });
        println!("| {name} | {} |", after.join(" | "));
    }
}

#[test]
#[ignore = "measures for a minute; see the module's first lines"]
fn charts_whose_mean_and_deviation_are_estimated() {
    for (name, size) in [("cusum", 1_000), ("cusum", 10_000), ("ewma", 1_000), ("ewma", 10_000)] {
        let (runs, mut alarms) = (100, 0);
        for run in 0..runs {
            let mut source = Source::new(3_000 + run);
            let reference: Vec<f64> = (0..size).map(|_| source.normal()).collect();
            let mean = reference.iter().sum::<f64>() / f64::from(size);
            let squares: f64 = reference.iter().map(|x| (x - mean).powi(2)).sum();
            let mut detector = detector(name, mean, (squares / f64::from(size - 1)).sqrt());
            alarms += (0..EVENTS).filter(|_| detector.update(source.normal()) == Signal::Drift).count();
        }
        println!("{name}, reference of {size}: {:.2} alarms per 100,000", alarms as f64 / runs as f64);
    }
}

/// The mean number of values to a false alarm at a threshold of 10,000, which it must not fall below.
#[test]
#[ignore = "measures for a minute; see the module's first lines"]
fn the_e_detector_keeps_its_promise() {
    let options = |stream| Options { alarm_at: 1e4, stream, ..Options::default() };
    let runs = 300u64;
    let cut = 100_000;
    let report = |what: &str, first: &mut dyn FnMut(u64) -> u32| {
        let total: u64 = (0..runs).map(|run| u64::from(first(run))).sum();
        let mean = total as f64 / runs as f64;
        println!("{what}: mean run {mean:.0}");
        assert!(mean > 9_000.0, "{what}");
    };
    for size in [300, 1_000, 5_000] {
        report(&format!("reference of {size}, N(0,1)"), &mut |run| {
            let mut source = Source::new(50_000 + run);
            let reference: Vec<f64> = (0..size).map(|_| source.normal()).collect();
            let mut detector = Numeric::from_reference(&reference, 20, &options(run));
            (1..cut).find(|_| detector.update(source.normal()) == Signal::Drift).unwrap_or(cut)
        });
    }
    report("cells learned from 200 values, N(0,1)", &mut |run| {
        let mut source = Source::new(60_000 + run);
        let given = BTreeMap::from([("threshold".to_owned(), 1e4), ("stream".to_owned(), run as f64)]);
        let mut detector = build("e_detector", &given).unwrap();
        (1..cut).find(|_| detector.update(source.normal()) == Signal::Drift).unwrap_or(cut)
    });
    report("a rate of exactly its limit, 0.3", &mut |run| {
        let mut source = Source::new(65_000 + run);
        let given = BTreeMap::from([("threshold".to_owned(), 1e4), ("at_most".to_owned(), 0.3)]);
        let mut detector = build("e_bounded_mean", &given).unwrap();
        (1..cut).find(|_| detector.update(source.hit(0.3)) == Signal::Drift).unwrap_or(cut)
    });
    report("four categories, reference of 1,000", &mut |run| {
        let mut source = Source::new(70_000 + run);
        let mut counts = vec![0; 4];
        (0..1_000).for_each(|_| counts[(source.next() * 4.0) as usize] += 1);
        let mut detector = Ranks::new(counts, &options(run));
        let mut update = || detector.update((source.next() * 4.0) as usize);
        (1..cut).find(|_| update() == Signal::Drift).unwrap_or(cut)
    });
    report("model of 10 features, correlated 0.8, reference of 1,000", &mut |run| {
        let mut source = Source::new(80_000 + run);
        let cells = |source: &mut Source| -> Vec<usize> {
            let common = 0.8f64.sqrt() * source.normal();
            // Twenty cells between -2 and 2.
            let cell = |x: f64| ((x + 2.0) * 5.0).clamp(0.0, 19.0) as usize;
            (0..10).map(|_| cell(common + 0.2f64.sqrt() * source.normal())).collect()
        };
        let mut counts = vec![vec![0; 20]; 10];
        for _ in 0..1_000 {
            cells(&mut source).into_iter().zip(&mut counts).for_each(|(cell, counts)| counts[cell] += 1);
        }
        let features =
            counts.into_iter().zip(0..).map(|(c, i)| Ranks::new(c, &options(run * 10 + i))).collect();
        let mut model = Model::new(features, 1e4);
        let mut update = || model.update(&cells(&mut source));
        (1..cut).find(|_| update() == Signal::Drift).unwrap_or(cut)
    });
}
