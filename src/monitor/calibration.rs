//! What is normal for a window of a given length: the largest deviation that windows of the baseline itself show.
//!
//! A window of a day differs from two months of baseline by weather, weekday and campaign, not only by chance; a
//! threshold that knows only sampling noise would alarm every day. So each statistic is also computed for every
//! baseline window of the horizon's length against the whole baseline, and the threshold is at least
//! `monitor.baseline_margin` times the largest. Without a time column, or with fewer than [`MIN_WINDOWS`] such
//! windows, only the configured floors hold.

use anchorwatch_detectors::batch::Baseline;
use anchorwatch_detectors::latency;
use serde::{Deserialize, Serialize};

use super::faults::{FaultKind, ReferenceSide, Sides};
use crate::config::{Detector, Monitor};
use crate::reference::{BaselineWindow, Layout, Reference, WindowsUnread};
use crate::subject::Millis;

/// Baseline windows of a horizon's length below which they say too little about what is normal.
pub(super) const MIN_WINDOWS: usize = 8;
/// Steps per window length at which the baseline is cut into overlapping windows.
const STEPS: i64 = 4;

/// Largest values over the baseline windows of one length.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Baseline windows behind the figures; 0 if there were too few.
    pub windows: usize,
    columns: Vec<ColumnCalibration>,
    latency_ratios: Vec<f64>,
    latency_exceeded: f64,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct ColumnCalibration {
    effects: Vec<(Detector, f64)>,
    faults: [f64; FaultKind::ALL.len()],
}

impl Calibration {
    /// Computes the figures for windows of `length_ms` with at least `min_rows` rows.
    ///
    /// # Errors
    /// When the windows of the baseline cannot be read.
    pub fn of(
        reference: &Reference,
        length_ms: Millis,
        min_rows: u64,
        monitor: &Monitor,
    ) -> Result<Self, WindowsUnread> {
        let layout = reference.layout();
        let mut calibration = Self {
            columns: vec![ColumnCalibration::default(); reference.columns.len()],
            latency_ratios: vec![0.0; monitor.latency.quantiles.len()],
            ..Self::default()
        };
        let Some(window_ms) = reference.window_ms else { return Ok(calibration) };
        let windows = reference.windows.read()?;
        let columns = reference.columns.iter().enumerate();
        let baselines: Vec<Baseline> = columns
            .map(|(index, column)| {
                Baseline::new(&column.binning, layout.column(&reference.profile, index).cells)
            })
            .collect();
        for_each_window(&windows, window_ms, length_ms, layout.len(), |counts| {
            if counts[Layout::ROWS] >= min_rows {
                calibration.windows += 1;
                calibration.take(reference, &baselines, &layout, counts, monitor);
            }
        });
        if calibration.windows < MIN_WINDOWS {
            return Ok(Self { columns: Vec::new(), latency_ratios: Vec::new(), ..Self::default() });
        }
        Ok(calibration)
    }

    fn take(
        &mut self,
        reference: &Reference,
        baselines: &[Baseline],
        layout: &Layout,
        counts: &[u64],
        monitor: &Monitor,
    ) {
        for ((index, column), baseline) in reference.columns.iter().enumerate().zip(baselines) {
            let (whole, window) = (layout.column(&reference.profile, index), layout.column(counts, index));
            let into = &mut self.columns[index];
            let sides = Sides::new(column, (whole, ReferenceSide::new(whole)), window);
            for kind in FaultKind::ALL {
                let rate = if kind == FaultKind::Unseen {
                    sides.unseen_elsewhere()
                } else {
                    sides.rate(kind).unwrap_or(0.0)
                };
                into.faults[kind as usize] = into.faults[kind as usize].max(rate);
            }
            let Some(comparison) = baseline.beside(&column.binning, whole.cells, window.cells) else {
                continue;
            };
            for detector in super::detectors_of(monitor, column) {
                let Some(effect) = comparison.statistic(detector.batch()) else { continue };
                match into.effects.iter_mut().find(|(known, _)| known == detector) {
                    Some((_, largest)) => *largest = largest.max(effect),
                    None => into.effects.push((*detector, effect)),
                }
            }
        }
        self.take_latency(layout.latency(&reference.profile), layout.latency(counts), monitor);
    }

    fn take_latency(&mut self, whole: &[u64], window: &[u64], monitor: &Monitor) {
        for (largest, q) in self.latency_ratios.iter_mut().zip(&monitor.latency.quantiles) {
            if let (Some(normal), Some(now)) = (latency::quantile(whole, *q), latency::quantile(window, *q)) {
                *largest = largest.max(now / normal);
            }
        }
        if let Some(share) = monitor.latency.objective_ms.and_then(|limit| latency::exceeding(window, limit))
        {
            self.latency_exceeded = self.latency_exceeded.max(share);
        }
    }

    /// Largest effect of a detector on a column, 0 if uncalibrated.
    #[must_use]
    pub(super) fn effect(&self, column: usize, detector: Detector) -> f64 {
        let effects = self.columns.get(column).map_or(&[][..], |column| &column.effects);
        effects.iter().find(|(known, _)| *known == detector).map_or(0.0, |(_, largest)| *largest)
    }

    /// Largest share of a fault in a column, 0 if uncalibrated.
    #[must_use]
    pub(super) fn fault(&self, column: usize, kind: FaultKind) -> f64 {
        self.columns.get(column).map_or(0.0, |column| column.faults[kind as usize])
    }

    /// Largest ratio of a latency quantile to the whole baseline's, by position in the configured quantiles.
    #[must_use]
    pub(super) fn latency_ratio(&self, quantile: usize) -> f64 {
        self.latency_ratios.get(quantile).copied().unwrap_or(0.0)
    }
}

/// Length of the stretches of the baseline that say what is normal for windows of `length_ms`.
pub(super) fn judged_length(length_ms: Millis, window_ms: Millis) -> Millis {
    length_ms.max(window_ms)
}

/// Calls `take` with the counts of overlapping stretches of the baseline of `length_ms`, or of single baseline windows
/// if those are longer.
fn for_each_window(
    windows: &[BaselineWindow],
    window_ms: Millis,
    length_ms: Millis,
    len: usize,
    mut take: impl FnMut(&[u64]),
) {
    let (Some(first), Some(last)) = (windows.first(), windows.last()) else { return };
    let length = judged_length(length_ms, window_ms);
    let step = (length / STEPS / window_ms).max(1) * window_ms;
    let (mut entering, mut leaving) = (0, 0);
    let mut total = vec![0; len];
    let mut start = first.start;
    while start + length <= last.start + window_ms {
        while let Some(window) = windows.get(entering).filter(|window| window.start < start + length) {
            window.each(len, |slot, count| total[slot] += count);
            entering += 1;
        }
        while let Some(window) = windows.get(leaving).filter(|window| window.start < start) {
            if leaving < entering {
                // It entered before.
                window.each(len, |slot, count| total[slot] -= count);
            }
            leaving += 1;
        }
        take(&total);
        start += step;
    }
}
