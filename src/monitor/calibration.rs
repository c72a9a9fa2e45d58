//! What is normal for a window of a given length: the largest deviation that windows of the baseline itself show.
//!
//! A window of a day differs from two months of baseline by weather, weekday and campaign, not only by chance; a
//! threshold that knows only sampling noise would alarm every day. So each statistic is also computed for every
//! baseline window of the horizon's length against the whole baseline, and the threshold is at least
//! `monitor.baseline_margin` times the largest. Without a time column, or with fewer than [`MIN_WINDOWS`] such
//! windows, only the configured floors hold.

use std::ops::Range;

use anchorwatch_detectors::batch::Baseline;
use anchorwatch_detectors::latency;
use serde::{Deserialize, Serialize};

use super::faults::{FaultKind, ReferenceSide, Sides};
use crate::config::{Detector, Monitor};
use crate::reference::{BaselineWindow, Column, ColumnCounts, Layout, Reference, WindowsUnread};
use crate::subject::Millis;
use crate::workers;

/// Baseline windows of a horizon's length below which they say too little about what is normal.
pub(super) const MIN_WINDOWS: usize = 8;
/// Parts in which the windows of a baseline are shared out among threads.
const PARTS: i64 = 16;
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

impl ColumnCalibration {
    fn raise(&mut self, detector: Detector, effect: f64) {
        match self.effects.iter_mut().find(|(known, _)| *known == detector) {
            Some((_, largest)) => *largest = largest.max(effect),
            None => self.effects.push((detector, effect)),
        }
    }
}

/// The whole of a baseline, as every window of it is held against it.
struct Whole<'a> {
    layout: &'a Layout,
    columns: Vec<WholeColumn<'a>>,
    /// Milliseconds of each configured quantile.
    latency: Vec<Option<f64>>,
}

struct WholeColumn<'a> {
    column: &'a Column,
    counts: ColumnCounts<'a>,
    side: ReferenceSide,
    baseline: Baseline,
}

impl<'a> Whole<'a> {
    fn new(reference: &'a Reference, layout: &'a Layout, monitor: &Monitor) -> Self {
        let columns = reference.columns.iter().enumerate().map(|(index, column)| {
            let counts = layout.column(&reference.profile, index);
            let (side, baseline) = (ReferenceSide::new(counts), Baseline::new(&column.binning, counts.cells));
            WholeColumn { column, counts, side, baseline }
        });
        let latency = layout.latency(&reference.profile);
        let quantiles = monitor.latency.quantiles.iter();
        Self {
            layout,
            columns: columns.collect(),
            latency: quantiles.map(|q| latency::quantile(latency, *q)).collect(),
        }
    }
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
        let whole = Whole::new(reference, &layout, monitor);
        let stretches = Stretches::new(&windows, window_ms, length_ms);
        let parts = workers::each(workers::available(), stretches.parts(), |part| {
            let mut of_part = calibration.clone();
            stretches.each(part, layout.len(), |counts| {
                if counts[Layout::ROWS] >= min_rows {
                    of_part.windows += 1;
                    of_part.take(&whole, counts, monitor);
                }
            });
            of_part
        });
        parts.into_iter().for_each(|part| calibration.merge(part));
        if calibration.windows < MIN_WINDOWS {
            return Ok(Self { columns: Vec::new(), latency_ratios: Vec::new(), ..Self::default() });
        }
        Ok(calibration)
    }

    fn take(&mut self, whole: &Whole<'_>, counts: &[u64], monitor: &Monitor) {
        for ((index, known), into) in whole.columns.iter().enumerate().zip(&mut self.columns) {
            let window = whole.layout.column(counts, index);
            let sides = Sides::new(known.column, (known.counts, known.side), window);
            for kind in FaultKind::ALL {
                let rate = if kind == FaultKind::Unseen {
                    sides.unseen_elsewhere()
                } else {
                    sides.rate(kind).unwrap_or(0.0)
                };
                into.faults[kind as usize] = into.faults[kind as usize].max(rate);
            }
            let beside = known.baseline.beside(&known.column.binning, known.counts.cells, window.cells);
            let Some(comparison) = beside else { continue };
            for detector in super::judgement::detectors_of(monitor, known.column) {
                if let Some(effect) = comparison.statistic(detector.batch()) {
                    into.raise(*detector, effect);
                }
            }
        }
        let window = whole.layout.latency(counts);
        let quantiles = whole.latency.iter().zip(&monitor.latency.quantiles);
        for (largest, (normal, q)) in self.latency_ratios.iter_mut().zip(quantiles) {
            if let (Some(normal), Some(now)) = (normal, latency::quantile(window, *q)) {
                *largest = largest.max(now / normal);
            }
        }
        if let Some(share) = monitor.latency.objective_ms.and_then(|limit| latency::exceeding(window, limit))
        {
            self.latency_exceeded = self.latency_exceeded.max(share);
        }
    }

    /// Takes in what other windows of the same baseline show.
    fn merge(&mut self, other: Self) {
        self.windows += other.windows;
        for (into, column) in self.columns.iter_mut().zip(other.columns) {
            for (largest, rate) in into.faults.iter_mut().zip(column.faults) {
                *largest = largest.max(rate);
            }
            column.effects.into_iter().for_each(|(detector, effect)| into.raise(detector, effect));
        }
        for (largest, ratio) in self.latency_ratios.iter_mut().zip(other.latency_ratios) {
            *largest = largest.max(ratio);
        }
        self.latency_exceeded = self.latency_exceeded.max(other.latency_exceeded);
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

/// Overlapping stretches of a baseline that are as long as the windows that are judged, or single baseline windows if those
/// are longer.
struct Stretches<'a> {
    windows: &'a [BaselineWindow],
    length: Millis,
    step: Millis,
    /// Start of the first one, and how many there are.
    first: Millis,
    count: i64,
}

impl<'a> Stretches<'a> {
    fn new(windows: &'a [BaselineWindow], window_ms: Millis, length_ms: Millis) -> Self {
        let length = judged_length(length_ms, window_ms);
        let step = (length / STEPS / window_ms).max(1) * window_ms;
        let ends = windows.first().zip(windows.last());
        let (first, room) = ends
            .map_or((0, -1), |(first, last)| (first.start, last.start + window_ms - length - first.start));
        let count = if room < 0 { 0 } else { room / step + 1 };
        Self { windows, length, step, first, count }
    }

    /// Numbers of the stretches, in parts for several threads.
    fn parts(&self) -> Vec<Range<i64>> {
        let part = self.count.div_euclid(PARTS) + 1;
        (0..PARTS).map(|place| place * part..((place + 1) * part).min(self.count)).collect()
    }

    /// Calls `take` with the counts of these stretches, one after the other.
    fn each(&self, part: Range<i64>, len: usize, mut take: impl FnMut(&[u64])) {
        let at = |start: Millis| self.windows.partition_point(|window| window.start < start);
        let mut total = vec![0; len];
        let begins = |number: i64| self.first + number * self.step;
        let (mut leaving, mut entering) = (at(begins(part.start)), at(begins(part.start)));
        for start in part.map(begins) {
            let (from, to) = (at(start), at(start + self.length));
            for window in &self.windows[entering..to] {
                window.each(len, |slot, count| total[slot] += count);
            }
            for window in &self.windows[leaving..from] {
                window.each(len, |slot, count| total[slot] -= count);
            }
            (leaving, entering) = (from, to);
            take(&total);
        }
    }
}
