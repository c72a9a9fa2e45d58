//! Latency of a window: quantiles against the reference, and the share over the objective.

use anchorwatch_detectors::counts::total;
use anchorwatch_detectors::distributions::binomial_sf;
use anchorwatch_detectors::latency::{exceeding, quantile};

use super::Judge;
use super::calibration::Calibration;
use crate::alert::{AlertKind, Moved};
use crate::view::{LatencyQuantile, LatencyView, Level, VerdictView};
use crate::window::Plan;

/// Name of the pseudo-column.
pub(super) const COLUMN: &str = "latency";

/// What every window needs again of a reference's latencies.
#[derive(Debug)]
pub(super) struct KnownLatency {
    rows: u64,
    /// For each configured quantile its milliseconds, and the share that exceeds them.
    quantiles: Vec<(Option<f64>, Option<f64>)>,
}

impl KnownLatency {
    pub(super) fn new(quantiles: &[f64], plan: &Plan) -> Self {
        let counts = plan.layout.latency(&plan.reference.profile);
        let of = |q: &f64| {
            let ms = quantile(counts, *q);
            (ms, ms.and_then(|ms| exceeding(counts, ms)))
        };
        Self { rows: total(counts), quantiles: quantiles.iter().map(of).collect() }
    }
}

/// Quantiles of the window beside the reference's, and the verdicts on them.
pub(super) fn judge(
    judge: &Judge,
    plan: &Plan,
    (calibration, known): (&Calibration, &KnownLatency),
    counts: &[u64],
) -> (Option<LatencyView>, Vec<VerdictView>) {
    let settings = &judge.monitor.latency;
    let window = plan.layout.latency(counts);
    let (rows, reference_rows) = (total(window), known.rows);
    if rows == 0 {
        return (None, Vec::new());
    }
    let mut view = LatencyView::default();
    let mut verdicts = Vec::new();
    for (index, (q, (reference_ms, exceeds))) in
        settings.quantiles.iter().copied().zip(known.quantiles.iter().copied()).enumerate()
    {
        let Some(value_ms) = quantile(window, q) else { continue };
        view.quantiles.push(LatencyQuantile { quantile: q, value_ms, reference_ms });
        let Some(reference_ms) = reference_ms.filter(|ms| *ms > 0.0) else { continue };
        let over = exceeding(window, reference_ms).unwrap_or(0.0);
        let ratio = value_ms / reference_ms;
        let threshold = settings.factor.max(calibration.latency_ratio(index) * judge.monitor.baseline_margin);
        let normal = exceeds.unwrap_or(1.0 - q).max(1.0 - q);
        let p_value = binomial_sf((over * rows as f64).round() as u64, rows, normal);
        let moved = vec![Moved { bin: format!("p{} (ms)", 100.0 * q), from: reference_ms, to: value_ms }];
        let verdict = Reading { detector: quantile_name(q), statistic: ratio, threshold, p_value, moved };
        verdicts.push(verdict.judged(judge, rows, reference_rows));
    }
    if let Some(limit) = settings.objective_ms {
        let share = exceeding(window, limit);
        view.objective_exceeded = share;
        let allowed = 1.0 - settings.target;
        let p_value =
            share.and_then(|share| binomial_sf((share * rows as f64).round() as u64, rows, allowed));
        let moved = vec![Moved { bin: format!("over {limit} ms"), from: allowed, to: share.unwrap_or(0.0) }];
        let statistic = share.unwrap_or(0.0);
        let reading =
            Reading { detector: "objective".to_owned(), statistic, threshold: allowed, p_value, moved };
        verdicts.push(reading.judged(judge, rows, reference_rows));
    }
    (Some(view), verdicts)
}

fn quantile_name(q: f64) -> String {
    format!("p{}", (1_000.0 * q).round() / 10.0).replace('.', "_")
}

struct Reading {
    detector: String,
    statistic: f64,
    threshold: f64,
    p_value: Option<f64>,
    moved: Vec<Moved>,
}

impl Reading {
    fn judged(self, judge: &Judge, rows: u64, reference_rows: u64) -> VerdictView {
        let level = if rows < judge.min_rows {
            Level::Insufficient
        } else {
            judge.level(self.statistic, self.threshold, self.p_value)
        };
        let enough = level != Level::Insufficient;
        VerdictView {
            column: COLUMN.into(),
            role: None,
            detector: self.detector.into(),
            statistic: enough.then_some(self.statistic),
            threshold: enough.then_some(self.threshold),
            p_value: self.p_value.filter(|_| enough),
            adjusted_p_value: self.p_value.filter(|_| enough),
            rows,
            reference_rows,
            level,
            kind: AlertKind::Latency,
            severity: None,
            inhibited_by: None,
            moved: self.moved,
            explained: None,
        }
    }
}
