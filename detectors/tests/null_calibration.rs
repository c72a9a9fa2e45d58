//! How often the calibrated quantities alarm on streams in which nothing changes, against the budget that they were
//! given: the table of `benches/RESULTS.md`.
//!
//! Run by `cargo test --release -p anchorwatch-detectors --test null_calibration -- --ignored --nocapture`. Everything
//! is seeded, so the table comes out the same each time.

#![expect(clippy::unwrap_used, reason = "a binning that cannot be built is a failed test")]
#![expect(clippy::print_stdout, reason = "the table is what this test is run for")]

use anchorwatch_detectors::binning::NumericBinning;
use anchorwatch_detectors::calibrated::{
    Budget, Budgets, Family, Law, Loudness, Quantity, Sample, Watch, calibrate, orthonormal_scores,
    quantile_cells,
};

const HOUR: i64 = 3_600_000;
/// 1 January 2024, a Monday.
const BEGIN: i64 = 1_704_067_200_000;

const EVENTS: usize = 500;
const FEATURES: usize = 3;
const DEGREES: usize = 4;
const TAILS: [f64; 4] = [0.001, 0.005, 0.995, 0.999];
const WATCHED: usize = 10_000;
const BASELINES: [usize; 2] = [336, 48];
const RUNS: u64 = 20;

/// Windows between false alarms that the defaults allow when a window is an hour: 30 days and 180 days.
const WARN: f64 = 720.0;
const PAGE: f64 = 4_320.0;

/// Values of one window; `level` is what moves between windows, in standard deviations of an event.
type Draw = fn(&mut Source, level: f64) -> f64;

/// Traffic without any change.
struct Traffic {
    name: &'static str,
    draw: Draw,
    /// Autocorrelation of the level between windows, and its standard deviation.
    memory: f64,
    wander: f64,
    /// Amplitude of the day.
    season: f64,
}

const PLAIN: Traffic = Traffic { name: "", draw: |s, _| s.normal(), memory: 0.0, wander: 0.0, season: 0.0 };
const MOVED: Draw = |source, level| level + source.normal();

const TRAFFIC: [Traffic; 10] = [
    Traffic { name: "i.i.d., normal", ..PLAIN },
    Traffic { name: "heavy tails, t with 2 degrees", draw: |s, _| s.student_2(), ..PLAIN },
    Traffic { name: "heavy tails, Pareto 1.5", draw: |s, _| s.open().powf(-1.0 / 1.5), ..PLAIN },
    Traffic { name: "tied, whole numbers 0 to 4", draw: |s, _| (5.0 * s.open()).floor(), ..PLAIN },
    Traffic { name: "daily season of 0.5 sd", draw: MOVED, season: 0.5, ..PLAIN },
    Traffic { name: "overdispersed, 0.2 sd", draw: MOVED, wander: 0.2, ..PLAIN },
    Traffic { name: "AR 0.3 between windows, 0.2 sd", draw: MOVED, memory: 0.3, wander: 0.2, ..PLAIN },
    Traffic { name: "AR 0.7 between windows, 0.2 sd", draw: MOVED, memory: 0.7, wander: 0.2, ..PLAIN },
    Traffic { name: "AR 0.95 between windows, 0.2 sd", draw: MOVED, memory: 0.95, wander: 0.2, ..PLAIN },
    Traffic { name: "AR 0.98 between windows, 0.2 sd", draw: MOVED, memory: 0.98, wander: 0.2, ..PLAIN },
];

/// SplitMix64.
struct Source {
    state: u64,
}

impl Source {
    fn new(seed: u64) -> Self {
        Self { state: seed.wrapping_mul(0x2545_f491_4f6c_dd1d) }
    }

    /// Uniform between 0 and 1, never 0.
    fn open(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (((mixed ^ (mixed >> 31)) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    /// Box and Muller's method.
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.open().ln()).sqrt();
        radius * (std::f64::consts::TAU * self.open()).cos()
    }

    fn student_2(&mut self) -> f64 {
        self.normal() / (-self.open().ln()).sqrt()
    }
}

/// The windows of a stream, one after the other: the values of each feature.
struct Stream<'a> {
    traffic: &'a Traffic,
    source: Source,
    levels: [f64; FEATURES],
    window: usize,
}

impl<'a> Stream<'a> {
    fn new(traffic: &'a Traffic, seed: u64) -> Self {
        let mut source = Source::new(seed);
        let levels = std::array::from_fn(|_| source.normal());
        Self { traffic, source, levels, window: 0 }
    }

    fn next(&mut self) -> Vec<Vec<f64>> {
        let Traffic { draw, memory, wander, season, .. } = *self.traffic;
        let angle = std::f64::consts::TAU * self.window as f64 / 24.0;
        self.window += 1;
        let mut values = Vec::with_capacity(FEATURES);
        for feature in 0..FEATURES {
            let level = wander * self.levels[feature] + season * (angle + feature as f64).sin();
            values.push((0..EVENTS).map(|_| draw(&mut self.source, level)).collect());
            let fresh = (1.0 - memory * memory).sqrt() * self.source.normal();
            self.levels[feature] = memory * self.levels[feature] + fresh;
        }
        values
    }

    fn start(&self) -> i64 {
        BEGIN + self.window as i64 * HOUR
    }
}

/// A feature's cells with its quantities: scores by degree, and the cells of its tails.
struct Feature {
    binning: NumericBinning,
    scores: Vec<Vec<f64>>,
    tails: Vec<std::ops::Range<usize>>,
}

impl Feature {
    fn new(values: impl Iterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = values.collect();
        sorted.sort_by(f64::total_cmp);
        let deciles = NumericBinning::from_sorted_values(&sorted, 256).unwrap();
        let mut knots = deciles.knots().to_vec();
        knots.extend(TAILS.map(|q| sorted[(q * sorted.len() as f64) as usize]));
        knots.sort_by(f64::total_cmp);
        knots.dedup();
        let binning = NumericBinning::new(knots).unwrap();
        let counts = binning.count(&sorted);
        let tail = |q: f64| match q > 0.5 {
            true => quantile_cells(&counts, q)..counts.len(),
            false => 0..quantile_cells(&counts, q).saturating_sub(1),
        };
        let held = |cells: &std::ops::Range<usize>| {
            counts[cells.clone()].iter().sum::<u64>() as f64 >= 2e-4 * sorted.len() as f64
        };
        let tails = TAILS.map(tail).into_iter().filter(held).collect();
        Self { binning, scores: orthonormal_scores(&counts, DEGREES), tails }
    }

    fn quantities(&self, column: usize) -> Vec<Quantity> {
        let score = Quantity {
            law: Law::Mean { variance: 1.0 },
            family: Family::Marginal,
            rises_only: false,
            tolerance: None,
            prior: 0.0,
            column: Some(column),
            other_column: None,
            tail_of: None,
            borrows: false,
            score: None,
            part_of: None,
        };
        let tail = Quantity { law: Law::Share, family: Family::Rate, rises_only: true, ..score };
        self.scores.iter().map(|_| score).chain(self.tails.iter().map(|_| tail)).collect()
    }

    fn samples(&self, values: &[f64]) -> Vec<Sample> {
        let counts = self.binning.count(values);
        let count = values.len() as f64;
        let score = |scores: &Vec<f64>| Sample {
            sum: counts.iter().zip(scores).map(|(n, score)| *n as f64 * score).sum(),
            count,
        };
        let tail = |cells: &std::ops::Range<usize>| Sample {
            sum: counts[cells.clone()].iter().sum::<u64>() as f64,
            count,
        };
        self.scores.iter().map(score).chain(self.tails.iter().map(tail)).collect()
    }
}

/// Windows with an alarm and runs of such windows, of one loudness or a louder one.
#[derive(Default)]
struct Alarms {
    windows: usize,
    episodes: usize,
    on: bool,
}

impl Alarms {
    fn take(&mut self, on: bool) {
        self.windows += usize::from(on);
        self.episodes += usize::from(on && !self.on);
        self.on = on;
    }
}

/// Alarms of one run, warnings before pages, and the number of quantities.
fn run(traffic: &Traffic, baseline: usize, seed: u64) -> ([Alarms; 2], usize) {
    let mut stream = Stream::new(traffic, seed);
    let past: Vec<Vec<Vec<f64>>> = (0..baseline).map(|_| stream.next()).collect();
    let features: Vec<Feature> = (0..FEATURES)
        .map(|index| Feature::new(past.iter().flat_map(|window| window[index].iter().copied())))
        .collect();
    let quantities: Vec<Quantity> =
        (0..FEATURES).flat_map(|column| features[column].quantities(column)).collect();
    let samples = |window: &Vec<Vec<f64>>| -> Vec<Sample> {
        features.iter().zip(window).flat_map(|(feature, values)| feature.samples(values)).collect()
    };
    let windows: Vec<Vec<Sample>> = past.iter().map(samples).collect();
    let starts: Vec<i64> = (0..baseline).map(|window| BEGIN + window as i64 * HOUR).collect();
    let (design, fits) = calibrate(&quantities, &windows, &starts, HOUR);
    let budgets = Budgets { warn: Budget { windows: WARN }, page: Budget { windows: PAGE } };
    let watch = Watch::new(&quantities, fits, design, budgets);
    let mut state = watch.state();
    let mut alarms = [Alarms::default(), Alarms::default()];
    for _ in 0..WATCHED {
        let start = stream.start();
        let readings = watch.step(&mut state, &samples(&stream.next()), start);
        let loudest = readings.iter().filter_map(|reading| reading.alarm).max();
        for (alarms, loudness) in alarms.iter_mut().zip(Loudness::ALL) {
            alarms.take(loudest >= Some(loudness));
        }
    }
    (alarms, quantities.len())
}

#[test]
#[ignore = "measures for minutes; see the module's first lines"]
fn false_alarms_in_10_000_windows() {
    let allowed = |windows: f64| WATCHED as f64 / windows;
    println!(
        "| traffic | baseline windows | quantities | warnings: episodes | windows | pages: episodes | windows |"
    );
    println!("|---|---|---|---|---|---|---|");
    let mut over = Vec::new();
    println!("| budget | | | at most {:.1} | | at most {:.1} | |", allowed(WARN), allowed(PAGE));
    for traffic in &TRAFFIC {
        for baseline in BASELINES {
            let runs: Vec<_> = (0..RUNS).map(|seed| run(traffic, baseline, 1_000 + seed)).collect();
            let mean = |of: &dyn Fn(&Alarms) -> usize, loudness: usize| {
                let all: Vec<usize> = runs.iter().map(|(alarms, _)| of(&alarms[loudness])).collect();
                let most = all.iter().copied().max().unwrap_or_default();
                format!("{:.1} ({most})", all.iter().sum::<usize>() as f64 / RUNS as f64)
            };
            let columns: Vec<String> = (0..2)
                .flat_map(|loudness| [mean(&|a| a.episodes, loudness), mean(&|a| a.windows, loudness)])
                .collect();
            println!("| {} | {baseline} | {} | {} |", traffic.name, runs[0].1, columns.join(" | "));
            let episodes = |loudness: usize| {
                let all: usize = runs.iter().map(|(alarms, _)| alarms[loudness].episodes).sum();
                all as f64 / RUNS as f64
            };
            let kept = episodes(0) <= allowed(WARN) && episodes(1) <= allowed(PAGE);
            if !kept {
                over.push(format!("{} after {baseline} windows", traffic.name));
            }
        }
    }
    assert!(over.is_empty(), "over the budget: {over:?}");
}
