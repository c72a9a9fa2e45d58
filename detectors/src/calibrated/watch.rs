//! All quantities of one model under one budget: fitted once, then stepped window by window.

use std::collections::HashMap;

use super::budget::{Budget, Thresholds, split};
use super::evidence::Evidence;
use super::fit::{Fit, Swing};
use super::history::{Judged, SPANS, Window, inflations};
use super::quantity::{Law, Quantity, Sample};
use super::season::SeasonDesign;
use super::state::WatchState;

/// Standard score by which the latest windows lean, at least, while evidence keeps an alarm on.
const LEAST_LEAN: f64 = 0.5;

/// How loud an alarm is; each has a budget of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Loudness {
    /// Worth a look in working hours.
    Warn,
    /// Worth waking somebody.
    Page,
}

impl Loudness {
    /// Both, quieter first.
    pub const ALL: [Self; 2] = [Self::Warn, Self::Page];
}

/// The false-alarm budgets of a model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Budgets {
    /// Of warnings.
    pub warn: Budget,
    /// Of pages.
    pub page: Budget,
}

/// A quantity with what its baseline says; immutable while its reference is in use.
#[derive(Debug, Clone)]
struct Watched {
    quantity: Quantity,
    fit: Fit,
    warn: Thresholds,
    page: Thresholds,
    tolerance: f64,
    inflation: [f64; SPANS.len()],
}

/// What is watched of one model version: fits and thresholds.
#[derive(Debug, Clone)]
pub struct Watch {
    design: SeasonDesign,
    watched: Vec<Option<Watched>>,
}

/// What a step says of one quantity.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Reading {
    /// Whether the quantity alarms in this window, and how loud.
    pub alarm: Option<Loudness>,
    /// How near the quantity is to the threshold of a page, by the stronger of both ways: at least 1 at a page.
    pub heat: f64,
    /// Signed standard score of the most telling span.
    pub z: f64,
    /// Threshold of |z| for a page.
    pub threshold: f64,
    /// Length of that span in windows.
    pub span: usize,
    /// Logarithm of the e-detector's statistic, and its threshold for a page.
    pub evidence: (f64, f64),
    /// Mean that the baseline predicts for this window.
    pub expected: f64,
}

/// Fits every quantity on the windows of a baseline: `windows[w][q]` is quantity `q` in the window that starts at
/// `starts[w]` (milliseconds, UTC), each `window_ms` long. A quantity that the baseline hardly shows has no fit.
#[must_use]
pub fn calibrate(
    quantities: &[Quantity],
    windows: &[Vec<Sample>],
    starts: &[i64],
    window_ms: i64,
) -> (SeasonDesign, Vec<Option<Fit>>) {
    let span = starts.first().zip(starts.last()).map_or(0, |(first, last)| last - first + window_ms);
    let design = SeasonDesign::new(window_ms, span);
    let rows: Vec<Vec<f64>> = starts.iter().map(|start| design.row(*start)).collect();
    let series = |index: usize| -> Vec<Sample> {
        windows.iter().map(|window| window.get(index).copied().unwrap_or_default()).collect()
    };
    let fit = |index: usize, swing| Fit::new(&quantities[index], &series(index), &rows, design, swing);
    let mut fits: Vec<Option<Fit>> = (0..quantities.len()).map(|index| fit(index, None)).collect();
    // Where one quantity of a column plainly varies between windows, the others do too, whether it shows or not.
    let mut swings: HashMap<usize, Swing> = HashMap::new();
    for (quantity, fit) in quantities.iter().zip(&fits).filter(|(quantity, _)| quantity.law != Law::Share) {
        if let (Some(column), Some(swing)) = (quantity.column, fit.as_ref().and_then(Fit::swing)) {
            let widest = swings.entry(column).or_insert(swing);
            *widest = widest.max(swing);
        }
    }
    for (index, quantity) in quantities.iter().enumerate() {
        if let Some(swing) = quantity.column.and_then(|column| swings.get(&column)) {
            fits[index] = fit(index, Some(*swing));
        }
    }
    let clumping = clumping(quantities, windows, &fits);
    for (quantity, fit) in quantities.iter().zip(&mut fits) {
        let factor = quantity.tail_of.and_then(|column| clumping.get(column).copied());
        if let (true, Some(fit), Some(factor)) =
            (quantity.borrows, fit, factor.filter(|factor| *factor > 1.5))
        {
            fit.between = (factor - 1.0) * fit.variance / fit.typical_count.max(1.0);
        }
    }
    (design, fits)
}

impl Watch {
    /// Watches these quantities with the fits of [`calibrate`]; one without a fit is never judged.
    #[must_use]
    pub fn new(
        quantities: &[Quantity],
        fits: Vec<Option<Fit>>,
        design: SeasonDesign,
        budgets: Budgets,
    ) -> Self {
        let (warn, page) = (split(budgets.warn, quantities), split(budgets.page, quantities));
        let fits = fits.into_iter().chain(std::iter::repeat(None));
        let watched = quantities.iter().zip(fits).zip(warn.into_iter().zip(page));
        let watched = watched.map(|((quantity, fit), (warn, page))| {
            let fit = fit?;
            let tolerance = quantity.tolerated(&fit);
            let inflation = inflations(&fit);
            Some(Watched { quantity: *quantity, fit, warn, page, tolerance, inflation })
        });
        Self { design, watched: watched.collect() }
    }

    /// Watches only the quantities for which `keep` is true, each with the thresholds that it has among all of them.
    pub fn retain(&mut self, keep: &[bool]) {
        let mut keep = keep.iter();
        self.watched.retain(|_| keep.next().copied().unwrap_or(false));
    }

    /// Number of quantities.
    #[must_use]
    pub fn len(&self) -> usize {
        self.watched.len()
    }

    /// Whether there is nothing to watch.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.watched.is_empty()
    }

    /// What the baseline says of a quantity.
    #[must_use]
    pub fn fit(&self, quantity: usize) -> Option<&Fit> {
        self.watched.get(quantity)?.as_ref().map(|watched| &watched.fit)
    }

    /// The regressors in use.
    #[must_use]
    pub fn design(&self) -> SeasonDesign {
        self.design
    }

    /// A memory of nothing.
    #[must_use]
    pub fn state(&self) -> WatchState {
        WatchState::new(self.len())
    }

    /// What a state remembers of a quantity: its sample in each of the last 48 windows, with the mean that the baseline
    /// predicted for it, oldest first. In single precision.
    #[must_use]
    pub fn remembered(&self, state: &WatchState, quantity: usize) -> Vec<(Sample, f64)> {
        let window = |window: Window| {
            let sample = Sample { sum: f64::from(window.sum), count: f64::from(window.count) };
            (sample, f64::from(window.expected))
        };
        let mut windows: Vec<_> = state.newest_first(quantity).map(window).collect();
        windows.reverse();
        windows
    }

    /// Takes in the window that starts at `start_ms`, one sample per quantity, and says what stands out. A state of
    /// another number of quantities begins anew.
    #[must_use]
    pub fn step(&self, state: &mut WatchState, samples: &[Sample], start_ms: i64) -> Vec<Reading> {
        if state.len() != self.len() {
            *state = self.state();
        }
        let row = self.design.row(start_ms);
        state.advance();
        let one = |(index, (watched, sample)): (usize, (&Option<Watched>, &Sample))| {
            watched.as_ref().map_or_else(Reading::default, |watched| {
                watched.step(state, index, *sample, watched.fit.predict(&row))
            })
        };
        self.watched.iter().zip(samples).enumerate().map(one).collect()
    }
}

impl Watched {
    fn step(&self, state: &mut WatchState, index: usize, sample: Sample, expected: f64) -> Reading {
        state.put(
            index,
            Window { sum: sample.sum as f32, count: sample.count as f32, expected: expected as f32 },
        );
        let judged = Judged {
            quantity: &self.quantity,
            fit: &self.fit,
            tolerance: self.tolerance,
            threshold: self.warn.scan,
            inflation: &self.inflation,
        };
        let scanned = judged.scan(state.newest_first(index));
        let evidence: &mut Evidence = state.evidence(index);
        evidence.step(&self.quantity, &self.fit, sample, expected, self.tolerance);
        let statistic = evidence.log_statistic();
        // What was gathered long ago does not keep an alarm on once the latest windows no longer lean that way.
        let leans = if evidence.rises() { scanned.recent > LEAST_LEAN } else { scanned.recent < -LEAST_LEAN };
        let size = scanned.z.abs();
        // A window without events of the quantity says nothing of it.
        let empty = sample.count <= 0.0;
        let alarm = Loudness::ALL.into_iter().rev().filter(|_| !empty).find(|loudness| {
            let thresholds = self.thresholds(*loudness);
            let hot = size > thresholds.scan;
            let before = state.was_hot(index, *loudness);
            (hot && (self.fit.clip.is_none() || before)) || (leans && statistic > thresholds.evidence)
        });
        for loudness in Loudness::ALL.into_iter().filter(|_| !empty) {
            state.set_hot(index, loudness, size > self.thresholds(loudness).scan);
        }
        Reading {
            alarm,
            heat: (size / self.page.scan).max(statistic / self.page.evidence),
            z: scanned.z,
            threshold: self.page.scan,
            span: scanned.span,
            evidence: (statistic, self.page.evidence),
            expected,
        }
    }

    fn thresholds(&self, loudness: Loudness) -> &Thresholds {
        match loudness {
            Loudness::Warn => &self.warn,
            Loudness::Page => &self.page,
        }
    }
}

/// Largest dispersion of the tails of each column: how much more its extremes clump than single events would.
fn clumping(quantities: &[Quantity], windows: &[Vec<Sample>], fits: &[Option<Fit>]) -> Vec<f64> {
    let columns = quantities.iter().filter_map(|one| one.tail_of).max().map_or(0, |last| last + 1);
    let mut clumping = vec![1.0_f64; columns];
    for (index, (quantity, fit)) in quantities.iter().zip(fits).enumerate() {
        let (Some(column), Some(fit), false) = (quantity.tail_of, fit, quantity.borrows) else { continue };
        let used: Vec<Sample> = windows
            .iter()
            .filter_map(|window| window.get(index).copied())
            .filter(|sample| sample.count > 0.0)
            .collect();
        let squares: f64 = used
            .iter()
            .map(|sample| (sample.sum / sample.count - fit.mean).powi(2) * sample.count / fit.variance)
            .sum();
        clumping[column] = clumping[column].max(squares / (used.len() as f64 - 1.0).max(1.0));
    }
    clumping
}
