//! All quantities of one model under one budget: fitted once, then stepped window by window.

use std::collections::HashMap;

use super::budget::{Budget, Thresholds, split};
use super::evidence::Evidence;
use super::fit::{Fit, Swing};
use super::history::{Judged, SPANS, Scanned, Window, inflations};
use super::quantity::{Law, Quantity, Sample};
use super::season::SeasonDesign;
use super::state::{MOST_SHARING, WatchState};

/// Events of a window for each independent one from which extremes are said to clump.
const CLUMPS: f64 = 1.5;

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

impl Reading {
    /// What stands out with its threshold, on the scale of standard scores: the scan's most telling span, or the evidence
    /// if that is what is nearer to its threshold. The threshold is that of a warning if a warning is what it came to.
    #[must_use]
    pub fn strongest(&self) -> (f64, f64) {
        let evidence = self.evidence.0;
        let (threshold, limit) = match self.alarm {
            Some(Loudness::Warn) => self.warning,
            _ => (self.threshold, self.evidence.1),
        };
        if threshold <= 0.0 || limit <= 0.0 || evidence / limit <= self.z.abs() / threshold {
            return (self.z, threshold);
        }
        // A statistic of this logarithm is as rare as that standard score (Chernoff).
        let score = |logarithm: f64| (2.0 * logarithm.max(0.0)).sqrt();
        (if self.rises { score(evidence) } else { -score(evidence) }, score(limit))
    }
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
    /// Whether the evidence speaks for a rise.
    pub rises: bool,
    /// Logarithm of the e-detector's statistic, and its threshold for a page.
    pub evidence: (f64, f64),
    /// Thresholds of |z| and of that logarithm for a warning.
    pub warning: (f64, f64),
    /// Mean that the baseline predicts for this window, or the nearest that is assumed to be usual.
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
        let column = quantity.column.filter(|_| quantity.other_column.is_none());
        if let (Some(column), Some(swing)) = (column, fit.as_ref().and_then(Fit::swing)) {
            let widest = swings.entry(column).or_insert(swing);
            *widest = widest.max(swing);
        }
    }
    for (index, quantity) in quantities.iter().enumerate() {
        // A product of two columns goes with the level of either.
        let of_columns = [quantity.column, quantity.other_column].into_iter().flatten();
        let swing = of_columns.filter_map(|column| swings.get(&column)).copied().reduce(Swing::max);
        if swing.is_some() {
            fits[index] = fit(index, swing);
        }
    }
    borrow(quantities, windows, &mut fits);
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

    /// Tolerates this change of a quantity's mean from now on, instead of [`Quantity::tolerated`].
    pub fn tolerate(&mut self, quantity: usize, change: f64) {
        if let Some(Some(watched)) = self.watched.get_mut(quantity) {
            watched.tolerance = change;
        }
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
        let window = |window: &Window| {
            let sample = Sample { sum: f64::from(window.sum), count: f64::from(window.count) };
            (sample, f64::from(window.expected))
        };
        state.ring(quantity).map_or_else(Vec::new, |ring| ring.oldest_first().map(window).collect())
    }

    /// Takes in the window that starts at `start_ms`, one sample per quantity, and says what stands out. A state of
    /// another number of quantities begins anew.
    #[must_use]
    pub fn step(&self, state: &mut WatchState, samples: &[Sample], start_ms: i64) -> Vec<Reading> {
        self.step_among(state, samples, start_ms, 1)
    }

    /// The same where `sharing` watches (1 to 63) share the budget evenly in this window. The scan's thresholds are those of
    /// a part of the budget, and a process of the evidence starts with a part of its weight. A quantity that alarms keeps the
    /// threshold by which it does: one that comes to share the budget does not end the alarm of another.
    #[must_use]
    pub fn step_among(
        &self,
        state: &mut WatchState,
        samples: &[Sample],
        start_ms: i64,
        sharing: u32,
    ) -> Vec<Reading> {
        let mut shared = Shared { sharing: sharing.clamp(1, MOST_SHARING), known: Vec::new() };
        if state.len() != self.len() {
            *state = self.state();
        }
        let row = self.design.row(start_ms);
        state.advance();
        state.fetch();
        let one = |(index, (watched, sample)): (usize, (&Option<Watched>, &Sample))| {
            watched.as_ref().map_or_else(Reading::default, |watched| {
                let sample = watched.fit.trusted(*sample, &row);
                watched.step(state, index, sample, watched.fit.expected(sample, &row), &mut shared)
            })
        };
        self.watched.iter().zip(samples).enumerate().map(one).collect()
    }
}

impl Watched {
    fn step(
        &self,
        state: &mut WatchState,
        index: usize,
        sample: Sample,
        expected: f64,
        shared: &mut Shared,
    ) -> Reading {
        let sharing = state.alarms_among(index).map_or(shared.sharing, |before| before.min(shared.sharing));
        let scan = [&self.warn, &self.page].map(|thresholds| shared.scan(thresholds, sharing));
        let scan_of = |loudness: Loudness| scan[usize::from(loudness == Loudness::Page)];
        state.put(
            index,
            Window { sum: sample.sum as f32, count: sample.count as f32, expected: expected as f32 },
        );
        let judged = Judged {
            quantity: &self.quantity,
            fit: &self.fit,
            tolerance: self.tolerance,
            threshold: scan[0],
            inflation: &self.inflation,
        };
        let scanned = state.ring(index).map_or_else(Scanned::default, |ring| judged.scan(ring));
        let evidence: &mut Evidence = state.evidence(index);
        evidence.step(&self.quantity, &self.fit, sample, (expected, self.tolerance), shared.sharing);
        let statistic = evidence.log_statistic();
        // What was gathered long ago does not keep an alarm on once the latest windows no longer lean that way.
        let evidence_rises = evidence.rises();
        let leans = if evidence_rises { scanned.recent > LEAST_LEAN } else { scanned.recent < -LEAST_LEAN };
        let size = scanned.z.abs();
        // A window without events of the quantity says nothing of it.
        let empty = sample.count <= 0.0;
        let alarm = Loudness::ALL.into_iter().rev().filter(|_| !empty).find(|loudness| {
            let thresholds = self.thresholds(*loudness);
            let hot = size > scan_of(*loudness);
            let before = state.was_hot(index, *loudness);
            (hot && (self.fit.clip.is_none() || before)) || (leans && statistic > thresholds.evidence)
        });
        for loudness in Loudness::ALL.into_iter().filter(|_| !empty) {
            state.set_hot(index, loudness, size > scan_of(loudness));
        }
        if !empty {
            state.set_alarms_among(index, alarm.map(|_| sharing));
        }
        Reading {
            alarm,
            heat: (size / scan[1]).max(statistic / self.page.evidence),
            z: scanned.z,
            threshold: scan[1],
            span: scanned.span,
            rises: evidence_rises,
            evidence: (statistic, self.page.evidence),
            warning: (scan[0], self.warn.evidence),
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

/// How many share the budget in a window, and the thresholds that follow: one for each family and side.
struct Shared {
    sharing: u32,
    known: Vec<(u64, u32, f64)>,
}

impl Shared {
    fn scan(&mut self, thresholds: &Thresholds, sharing: u32) -> f64 {
        if sharing <= 1 {
            return thresholds.scan;
        }
        let chance = thresholds.chance.to_bits();
        let known = self.known.iter().find(|(one, among, _)| (*one, *among) == (chance, sharing));
        if let Some((_, _, scan)) = known {
            return *scan;
        }
        let scan = thresholds.scan_among(sharing);
        self.known.push((chance, sharing, scan));
        scan
    }
}

/// Rare shares take over what commoner ones show: tails and what lies beyond them from the tails of their column, the
/// shares of slices from those of the whole.
fn borrow(quantities: &[Quantity], windows: &[Vec<Sample>], fits: &mut [Option<Fit>]) {
    let clumping = clumping(quantities, windows, fits);
    for (quantity, fit) in quantities.iter().zip(&mut *fits) {
        let Some((fit, column)) = fit.as_mut().zip(quantity.tail_of) else { continue };
        let Some(clump) = clumping.get(column).copied().filter(|clump| *clump > CLUMPS) else { continue };
        fit.borrow_clumping(clump, 0.0);
    }
    for (index, quantity) in quantities.iter().enumerate() {
        let Some(whole) = quantity.part_of.and_then(|part_of| fits.get(part_of)).cloned().flatten() else {
            continue;
        };
        if let Some(fit) = &mut fits[index] {
            let clump = 1.0 + whole.shared() * fit.typical_count.max(1.0);
            fit.borrow_clumping(clump, if clump > 1.0 { whole.memory } else { 0.0 });
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
        let clump = squares / (used.len() as f64 - 1.0).max(1.0);
        // A few clumps show their size vaguely.
        let shown = used.iter().filter(|sample| sample.sum > 0.0).count().max(1) as f64;
        let vague = if clump > CLUMPS { 1.0 + (2.0 / shown).sqrt() } else { 1.0 };
        clumping[column] = clumping[column].max(clump * vague);
    }
    clumping
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
