//! The steps that are measured, each with what it needs made beforehand.

use std::hint::black_box;
use std::sync::Arc;

use anchorwatch::engine::Engine;
use anchorwatch_detectors::batch::{Baseline, BatchDetector};
use anchorwatch_detectors::binning::{Binning, CategoricalBinning, LANES, NumericBinning};
use anchorwatch_detectors::calibrated::{Budget, Budgets, Family, Law, Quantity, Sample, Watch, calibrate};
use anchorwatch_detectors::counts::{encode_sparse, visit_sparse};
use anchorwatch_detectors::latency;
use anyhow::Context as _;

use crate::world::{MINUTE, Producer, Shape, catalog, reference};

/// A step under a name that is also the folder of its results.
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) of: &'static str,
    pub(crate) run: Box<dyn FnMut()>,
}

fn step(name: &'static str, of: &'static str, run: impl FnMut() + 'static) -> Step {
    Step { name, of, run: Box::new(run) }
}

pub(crate) fn all() -> anyhow::Result<Vec<Step>> {
    Ok(vec![
        look_up("look_up_16", 16)?,
        look_up("look_up_256", 256)?,
        look_up("look_up_1024", 1_024)?,
        categories()?,
        step("latency_bucket", "one latency", {
            let mut ms = 1.0_f64;
            move || {
                ms = if ms > 5_000.0 { 1.0 } else { ms * 1.1 };
                black_box(latency::bucket(black_box(ms)));
            }
        }),
        ingest()?,
        step("pack_pane", "8,300 counters, one in sixteen in use", {
            let counts = pane();
            move || {
                black_box(encode_sparse(black_box(&counts)));
            }
        }),
        step("add_pane", "the same, packed, to a sum", {
            let (packed, mut sum) = (encode_sparse(&pane()), vec![0_u64; COUNTERS]);
            move || {
                let added = visit_sparse(black_box(&packed), COUNTERS, |slot, count| sum[slot] += count);
                debug_assert!(added.is_ok());
                black_box(&sum);
            }
        }),
        score("score_psi", BatchDetector::Psi)?,
        score("score_ks", BatchDetector::Ks)?,
        score("score_wasserstein", BatchDetector::Wasserstein)?,
        watch(),
    ])
}

const COUNTERS: usize = 8_300;

fn pane() -> Vec<u64> {
    (0..COUNTERS as u64).map(|slot| if slot * 7 % 16 == 0 { 1 + slot % 3 } else { 0 }).collect()
}

fn numbers(count: usize) -> Vec<f64> {
    let mut values: Vec<f64> = (0..count).map(|i| (i * 7_919 % 100_003) as f64 / 100.0).collect();
    values.sort_by(f64::total_cmp);
    values
}

fn look_up(name: &'static str, points: usize) -> anyhow::Result<Step> {
    let binning = NumericBinning::from_sorted_values(&numbers(10_000), points)?;
    let values: [f64; LANES] = std::array::from_fn(|lane| (lane * 131 % 1_000) as f64);
    Ok(step(name, "eight values in lock step", move || {
        black_box(binning.cells_of(black_box(values)));
    }))
}

fn categories() -> anyhow::Result<Step> {
    let names: Vec<String> = (0..64).map(|i| format!("category-{i}")).collect();
    let (binning, mut next) = (CategoricalBinning::new(names.clone())?, 0);
    Ok(step("look_up_category", "one of 64", move || {
        next = (next + 1) % names.len();
        black_box(binning.cell_of_bytes(black_box(names[next].as_bytes())));
    }))
}

/// Everything between a record and its counters, decoding included, in batches of 1,024 as the loop takes them.
fn ingest() -> anyhow::Result<Step> {
    let shape = Shape { subjects: 1, features: 20, segments: 0, horizons: 3, every: 1, calibrated: false };
    let reference = Arc::new(reference(shape)?);
    let mut engine = Engine::new(&shape.config("data")?);
    engine.set_catalog(&catalog(shape, &reference, |_| "reference".to_owned()));
    engine.assign("bench", 0, None);
    let mut producer = Producer::new(shape, 0);
    let record = producer.event(0, MINUTE);
    let payload = record.payload.map(<[u8]>::to_vec).context("a payload")?;
    let mut offset = 0;
    Ok(step("ingest_1024", "records of 20 features, to counters", move || {
        for _ in 0..1_024 {
            let record = anchorwatch::event::Record {
                topic: "bench",
                partition: 0,
                offset,
                timestamp: Some(MINUTE),
                appended_at: None,
                key: None,
                headers: &[],
                payload: Some(&payload),
            };
            engine.ingest(black_box(&record), MINUTE);
            offset += 1;
        }
        black_box(engine.watermark());
    }))
}

/// A window of 1,000 rows beside its reference: 256 cut points.
fn score(name: &'static str, detector: BatchDetector) -> anyhow::Result<Step> {
    let values = numbers(10_000);
    let binning = NumericBinning::from_sorted_values(&values, 256)?;
    let window: Vec<f64> = values.iter().step_by(10).map(|x| x * 1.1).collect();
    let (before, now) = (binning.count(&values), binning.count(&window));
    let binning = Binning::Numeric(binning);
    let baseline = Baseline::new(&binning, &before);
    Ok(step(name, "a column of 256 cut points, 1,000 rows", move || {
        let beside = baseline.beside(black_box(&binning), &before, &now);
        black_box(beside.and_then(|beside| beside.score(detector)));
    }))
}

/// A hundred quantities under the budget, in one window.
fn watch() -> Step {
    const HOUR: i64 = 3_600_000;
    let quantity = |column: usize| Quantity {
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
    let quantities: Vec<Quantity> = (0..100).map(quantity).collect();
    let sample = |window: usize, column: usize| {
        let mixed = (window * 7_919 + column * 104_729) % 1_009;
        Sample { sum: (mixed as f64 / 1_009.0 - 0.5) * 60.0, count: 500.0 }
    };
    let windows: Vec<Vec<Sample>> =
        (0..336).map(|window| (0..100).map(|column| sample(window, column)).collect()).collect();
    let starts: Vec<i64> = (0..336).map(|window| window * HOUR).collect();
    let (design, fits) = calibrate(&quantities, &windows, &starts, HOUR);
    let budgets = Budgets { warn: Budget { windows: 720.0 }, page: Budget { windows: 4_320.0 } };
    let watch = Watch::new(&quantities, fits, design, budgets);
    let (mut state, mut window) = (watch.state(), 336);
    step("watch_100", "quantities under the budget, one window", move || {
        black_box(watch.step(&mut state, &windows[window % 336], window as i64 * HOUR));
        window += 1;
    })
}
