//! All numeric columns of a window together: their means and covariances in the ranks of the reference, from the scores of
//! their cells and the sums of pairs that every window keeps.
//!
//! A column's score is the first orthonormal polynomial of its mid-rank (`reference::joint`): mean 0 and variance 1 over
//! the baseline, whatever its unit and tails. What the baseline says of pairs is in its calibration. Only columns of
//! which every pair is kept are in; the statistics themselves are `anchorwatch_detectors::multivariate`. Not here: what
//! single columns show, and segments, whose means are not those of the baseline.

use anchorwatch_detectors::calibrated::ASSUMED_DESIGN;
use anchorwatch_detectors::multivariate::{Gaussian, Pca, correlation_shift, hotelling};
use smol_str::SmolStr;

use super::{Judge, Judgement};
use crate::alert::{AlertKind, Moved};
use crate::config::{Multivariate, Rule};
use crate::reference::{Discrepancy, Layout, Reference};
use crate::view::{Level, VerdictView};
use crate::window::Plan;

/// Name of the columns together.
const COLUMN: &str = "multivariate";

/// Share of the variance that the components explain, that of NannyML.
const EXPLAINED: f64 = 0.65;

/// What a detector measured.
struct Measured {
    statistic: f64,
    /// Mean of the statistic without any change.
    by_chance: f64,
    p_value: Option<f64>,
    moved: Vec<Moved>,
}

/// Verdicts on all columns together; a fault of one of them keeps them back.
pub(super) fn judge(
    judge: &Judge,
    plan: &Plan,
    counts: &[u64],
    faulty: &[(SmolStr, SmolStr)],
) -> Vec<VerdictView> {
    let monitor = &judge.monitor;
    if monitor.detectors.multivariate.is_empty() {
        return Vec::new();
    }
    let reference = &plan.reference;
    let columns = complete(reference);
    let sides = baseline(reference, &columns).zip(of_window(plan, &columns, counts));
    let sides = sides.filter(|(_, window)| window.count >= judge.min_rows);
    let name = |column: &usize| reference.columns.get(*column).map_or("", |column| column.name.as_str());
    let fault = faulty.iter().find(|(faulty, _)| columns.iter().any(|column| name(column) == faulty));
    let embedded = embedded(plan, counts).filter(|(rows, _)| *rows >= judge.min_rows);
    let verdict = |detector: Multivariate| {
        let fault = match (&reference.joint.embedding, detector) {
            (Some(embedding), Multivariate::Mmd) => {
                faulty.iter().find(|(faulty, _)| embedding.columns().any(|column| name(&column) == faulty))
            }
            _ => fault,
        };
        let pair = |(a, b): (usize, usize)| {
            let [a, b] = [a, b].map(|at| columns.get(at).map_or("", name));
            format!("{a}:{b}")
        };
        let floor = monitor.floors.of_all(detector);
        let measured = match detector {
            Multivariate::Mmd => embedded.map(|(_, one)| of_embedding(one, floor, monitor.baseline_margin)),
            _ => sides.as_ref().and_then(|(r, w)| measure(detector, r, w, pair)),
        };
        let judgement = Judgement {
            detector: detector.as_str(),
            kind: AlertKind::Drift,
            rows: counts.get(Layout::ROWS).copied().unwrap_or(0),
            reference_rows: reference.profile.get(Layout::ROWS).copied().unwrap_or(0),
            statistic: measured.as_ref().map(|one| one.statistic),
            threshold: floor + measured.as_ref().map_or(0.0, |one| one.by_chance),
            p_value: measured.as_ref().and_then(|one| one.p_value),
            adjusted: measured.as_ref().and_then(|one| one.p_value),
        };
        let moved = measured.map_or_else(Vec::new, |one| one.moved);
        let verdict = judge.verdict((COLUMN, None), &judge.by_rule(judgement, floor), Vec::new());
        let shown = if verdict.level >= Level::Warning { moved } else { Vec::new() };
        VerdictView { inhibited_by: fault.map(|(_, fault)| fault.to_string()), moved: shown, ..verdict }
    };
    // Without a law of the residual its p-value says nothing, and a rule of p-values alone has no answer.
    let lawless = |one: &Multivariate| matches!(one, Multivariate::PcaReconstruction | Multivariate::Mmd);
    let answers = |one: &&Multivariate| {
        (!lawless(one) || monitor.rule != Rule::PValue)
            && (**one != Multivariate::Mmd || reference.joint.embedding.is_some())
    };
    monitor.detectors.multivariate.iter().filter(answers).map(|one| verdict(*one)).collect()
}

/// Rows of a window that is counted with random features, and its discrepancy from the baseline.
fn embedded(plan: &Plan, counts: &[u64]) -> Option<(u64, Discrepancy)> {
    let joint = &plan.reference.joint;
    let (rows, sums) = joint.features(&plan.layout, counts)?;
    Some((rows, joint.embedding.as_ref()?.discrepancy(rows, &sums)?))
}

/// What is over the floor, or over what windows of the baseline show, and over chance; those are squares that add up. Without
/// windows rows count half.
fn of_embedding(one: Discrepancy, floor: f64, margin: f64) -> Measured {
    let (normal, design) = match one.of_baseline {
        Some(largest) => (margin * largest, 1.0),
        None => (0.0, ASSUMED_DESIGN),
    };
    Measured {
        statistic: one.statistic,
        by_chance: ((floor * floor).max(normal) + design * one.by_chance).sqrt() - floor,
        p_value: None,
        moved: Vec::new(),
    }
}

/// The columns, in their order, of which the reference keeps every pair.
fn complete(reference: &Reference) -> Vec<usize> {
    let pairs = &reference.joint.pairs;
    let mut columns: Vec<usize> = Vec::new();
    let paired = |a: usize, b: usize| pairs.contains(&(a, b));
    for column in 0..reference.columns.len() {
        let known = pairs.iter().any(|(a, b)| *a == column || *b == column);
        if known && columns.iter().all(|before| paired(*before, column)) {
            columns.push(column);
        }
    }
    columns
}

/// Covariances from variances and means of products, and the means.
fn gaussian(count: u64, mean: Vec<f64>, second: impl Fn(usize, usize) -> Option<f64>) -> Option<Gaussian> {
    let columns = mean.len();
    let row = |i: usize| {
        let cell = |j: usize| Some(second(i.min(j), i.max(j))? - mean[i] * mean[j]);
        (0..columns).map(cell).collect::<Option<Vec<f64>>>()
    };
    let covariance = (0..columns).map(row).collect::<Option<_>>()?;
    (columns >= 2).then_some(Gaussian { count, mean, covariance })
}

/// What the baseline shows; `None` without a calibration, or with fewer than two columns.
fn baseline(reference: &Reference, columns: &[usize]) -> Option<Gaussian> {
    let fits = &reference.calibration.as_ref()?.fits;
    let rows = reference.profile.get(Layout::ROWS).copied()?;
    gaussian(rows, vec![0.0; columns.len()], |i, j| {
        if i == j {
            return Some(1.0);
        }
        let [a, b] = [i, j].map(|at| reference.columns.get(columns[at]).map_or("", |one| one.name.as_str()));
        fits.get(&format!("{a}:{b}/correlation")).map(|fit| fit.mean)
    })
}

/// What a window shows; `None` if one of the pairs never came together.
fn of_window(plan: &Plan, columns: &[usize], counts: &[u64]) -> Option<Gaussian> {
    let (reference, layout) = (&plan.reference, &plan.layout);
    let joint = &reference.joint;
    let one = reference.joint.one_of_scores();
    let moments = columns.iter().map(|column| {
        let scores = joint.scores.get(*column)?;
        let cells = layout.column(counts, *column).cells;
        let sum = |power: i32| -> f64 {
            let terms = scores.iter().zip(cells);
            terms.map(|(score, count)| (f64::from(*score) / one).powi(power) * *count as f64).sum()
        };
        let count = cells.iter().sum::<u64>();
        (count > 0).then(|| (count, sum(1) / count as f64, sum(2) / count as f64))
    });
    let moments: Vec<(u64, f64, f64)> = moments.collect::<Option<_>>()?;
    let fewest = moments.iter().map(|(count, ..)| *count).min()?;
    let means = moments.iter().map(|(_, mean, _)| *mean).collect();
    gaussian(fewest, means, |i, j| {
        if i == j {
            return Some(moments[i].2);
        }
        let pair = (columns[i], columns[j]);
        let term = joint.residual_terms() + joint.pairs.iter().position(|known| *known == pair)?;
        let (events, sum) = joint.sum(layout, counts, term);
        (events > 0.0).then(|| sum / events)
    })
}

fn measure(
    detector: Multivariate,
    reference: &Gaussian,
    window: &Gaussian,
    pair: impl Fn((usize, usize)) -> String,
) -> Option<Measured> {
    let (n, m, d) = (reference.count as f64, window.count as f64, reference.dimensions() as f64);
    let scale = 1.0 / n + 1.0 / m;
    let measured = match detector {
        Multivariate::HotellingT2 => {
            let test = hotelling(reference, window)?;
            Measured {
                // `T²` has about `d` as its mean without a change.
                statistic: (test.t2 * scale).sqrt(),
                by_chance: (d * scale).sqrt(),
                p_value: Some(test.p_value),
                moved: Vec::new(),
            }
        }
        Multivariate::PcaReconstruction => {
            let pca = Pca::of_gaussian(reference, EXPLAINED)?;
            let (usual, now) = (pca.mean_square_residual(reference)?, pca.mean_square_residual(window)?);
            let left = pca.eigenvalues().get(pca.kept()..).unwrap_or_default();
            // The variance of a normal row's squared residual is twice the sum of the squared eigenvalues left out.
            let deviation = (2.0 * left.iter().map(|value| value.powi(2)).sum::<f64>() * scale).sqrt();
            Measured {
                statistic: ((now / usual).sqrt() - 1.0).abs(),
                by_chance: deviation / usual / 2.0,
                p_value: None,
                moved: Vec::new(),
            }
        }
        Multivariate::CorrelationShift => {
            let shift = correlation_shift(reference, window)?;
            let (i, j) = shift.pair;
            let (from, to) = (reference.correlation(i, j)?, window.correlation(i, j)?);
            let pairs = d * (d - 1.0) / 2.0;
            Measured {
                statistic: (to - from).abs(),
                // The largest of as many normal values (Cramér 1946), each of a correlation of 0.
                by_chance: (2.0 * pairs.max(2.0).ln() * scale).sqrt(),
                p_value: Some(shift.p_value),
                moved: vec![Moved { bin: pair(shift.pair), from, to }],
            }
        }
        // It is no matter of means and covariances.
        Multivariate::Mmd => return None,
    };
    measured.statistic.is_finite().then_some(measured)
}
