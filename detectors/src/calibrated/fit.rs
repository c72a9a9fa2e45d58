//! What the baseline says of one quantity: its mean with season, its variance inside a window and between windows, its
//! memory from window to window, and how bursty it is.

use serde::{Deserialize, Serialize};

use super::assumed::Assumed;
use super::memory::longest;
use super::quantity::{Law, Quantity, Sample};
use super::season::{SeasonDesign, weighted_regression};
use super::spread::{inflation, lost, memory_of_level, memory_of_noise, prediction, unsure};
use crate::distributions::normal_isf;

/// Fewest baseline windows with events for a quantity to be judged by how they differ.
pub const FEWEST_WINDOWS: usize = 5;

/// Fewest windows of a baseline that can show its windows to be steadier than independent events make them.
const FEWEST_TO_NARROW: f64 = 24.0;

/// Least part of the variance of independent events that is believed.
const NARROWEST: f64 = 0.02;

/// Part of the typical events of a window under which it is taken for no steadier than independent events.
const FEW: f64 = 0.25;

/// Part of [`FEW`] that is surely under it, in single precision, too.
const JUST_UNDER: f64 = 0.9999;

/// Standard deviations by which the events of a window may be fewer than usual before some are said to be left out.
const USUALLY_FEWER: f64 = 2.0;

/// F statistic from which a season is believed.
const SEASON_F: f64 = 2.0;

/// Fewest windows that can show a memory.
const FEWEST_FOR_MEMORY: f64 = 20.0;

/// Variance of windows, over that of counting, from which the wandering of their level is estimated.
const PLAIN: f64 = 2.0;

/// Variance between windows, over that of counting, from which a quantity is said to waver.
const WAVERING: f64 = 2.0;

/// The largest |z| that one window of a quantity may contribute when its baseline had bursts.
const CLIP_BURSTY: f64 = 2.5;

/// The same when the baseline is merely overdispersed or has memory.
pub(super) const CLIP_WAVERING: f64 = 3.5;

/// How the level of a column swings, for the quantities that follow from it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Swing {
    /// Memory from window to window.
    pub memory: f64,
    /// Factor by which its variance exceeds the part that the baseline shows.
    pub unseen: f64,
}

impl Swing {
    /// The wider of two.
    #[must_use]
    pub(super) fn max(self, other: Self) -> Self {
        Self { memory: self.memory.max(other.memory), unseen: self.unseen.max(other.unseen) }
    }
}

fn whole() -> f64 {
    1.0
}

/// A quantity as its baseline shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fit {
    /// Mean over the baseline, with the prior.
    pub mean: f64,
    /// Intercept and coefficients of the season, if the baseline has one.
    pub season: Option<Vec<f64>>,
    /// Least value of the prediction, for shares with a season.
    pub floor: Option<f64>,
    /// Variance of one event.
    pub variance: f64,
    /// Variance between windows beyond that of counting.
    pub between: f64,
    /// Variance between windows over the part of it that the baseline shows: above 1 where a level wanders for so long
    /// that the baseline may not hold its whole swing.
    #[serde(default = "whole")]
    pub unseen: f64,
    /// Factor on the variance that makes the baseline's own extremes look normal.
    pub stretch: f64,
    /// Memory, from window to window, of what varies between windows.
    pub memory: f64,
    /// Bound of one window's standardised residual, for quantities whose baseline is not plain noise.
    pub clip: Option<f64>,
    /// Largest standardised residual of the baseline.
    pub worst: f64,
    /// Variance of the mean itself, as estimated.
    pub error: f64,
    /// Of a slice's difference from the rest: variance of an event inside the slice and inside the rest of a window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inside: Option<f64>,
    /// Events behind the baseline.
    pub events: f64,
    /// Median events of a baseline window that has any.
    pub typical_count: f64,
    /// Events that its windows usually have, where they are steadier than independent events make them.
    #[serde(default)]
    pub usual: Option<UsualEvents>,
    /// What is assumed of it, where its baseline does not show how windows differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assumed: Option<Assumed>,
}

/// Events that a window of some hour and weekday usually has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UsualEvents {
    coefficients: Vec<f64>,
    deviation: f64,
}

impl UsualEvents {
    fn new(counts: &[f64], rows: &[Vec<f64>]) -> Self {
        let seasonal = rows.first().is_some_and(|row| counts.len() > 4 * row.len());
        let none = vec![Vec::new(); counts.len()];
        let rows = if seasonal { rows } else { &none };
        let coefficients = weighted_regression(rows, counts, &vec![1.0; counts.len()]);
        let mut usual = Self { coefficients, deviation: 0.0 };
        let squares = counts.iter().zip(rows).map(|(count, row)| (count - usual.predict(row)).powi(2));
        usual.deviation = (squares.sum::<f64>() / counts.len().max(1) as f64).sqrt();
        usual
    }

    fn predict(&self, row: &[f64]) -> f64 {
        let Some((intercept, season)) = self.coefficients.split_first() else { return 0.0 };
        intercept + season.iter().zip(row).map(|(a, b)| a * b).sum::<f64>()
    }

    /// Part of the usual events that is missing, beyond what often is.
    fn left_out(&self, count: f64, row: &[f64]) -> f64 {
        let usual = self.predict(row);
        ((usual - USUALLY_FEWER * self.deviation - count) / usual.max(1.0)).clamp(0.0, 1.0)
    }
}

impl Fit {
    /// Fits a quantity on the windows of its baseline; `rows` are the regressors of each. `swing` is that of its column, if
    /// that is known to vary between windows, whether or not the quantity shows it itself. `None` when too few windows
    /// have events.
    #[must_use]
    pub fn new(
        quantity: &Quantity,
        windows: &[Sample],
        rows: &[Vec<f64>],
        design: SeasonDesign,
        swing: Option<Swing>,
    ) -> Option<Self> {
        let used: Vec<usize> = (0..windows.len()).filter(|&i| windows[i].count > 0.0).collect();
        if used.len() < FEWEST_WINDOWS {
            return None;
        }
        let counts: Vec<f64> = used.iter().map(|&i| windows[i].count).collect();
        let means: Vec<f64> = used.iter().map(|&i| windows[i].sum / windows[i].count).collect();
        let (total, hits) = (counts.iter().sum::<f64>(), used.iter().map(|&i| windows[i].sum).sum::<f64>());
        let (mean, variance, few) = match quantity.law {
            Law::Share => {
                let share = (hits + 0.5) / (total + 1.0) + quantity.prior;
                (share, share * (1.0 - share), hits < 3.0)
            }
            Law::Mean { variance } => (hits / total, variance, false),
        };
        let variance = variance.max(1e-12);
        let mut fit = Self {
            mean,
            season: None,
            floor: None,
            variance,
            between: 0.0,
            unseen: 1.0,
            stretch: 1.0,
            memory: 0.0,
            clip: None,
            worst: 0.0,
            error: 0.0,
            inside: None,
            events: windows.iter().map(|window| window.count).sum::<f64>().max(1.0),
            typical_count: median(&counts),
            usual: None,
            assumed: None,
        };
        let used_rows: Vec<Vec<f64>> = used.iter().map(|&i| rows[i].clone()).collect();
        let freedom = fit.fit_season(quantity, &used_rows, &means, &counts, design, total);
        let residuals: Vec<f64> = used_rows
            .iter()
            .zip(&means)
            .map(|(row, mean)| mean + quantity.prior - fit.predict(row))
            .collect();
        let season = if fit.season.is_some() { used_rows.as_slice() } else { &[] };
        fit.fit_spread(quantity, &residuals, &counts, (freedom, season), few, swing);
        if fit.stretch < 1.0 {
            fit.usual = Some(UsualEvents::new(&counts, &used_rows));
        }
        Some(fit)
    }

    /// Expected mean of a window with these regressors.
    #[must_use]
    pub fn predict(&self, row: &[f64]) -> f64 {
        match &self.season {
            None => self.mean,
            Some(season) => {
                let value = season[0] + season[1..].iter().zip(row).map(|(a, b)| a * b).sum::<f64>();
                self.floor.map_or(value, |floor| value.max(floor).min(1.0))
            }
        }
    }

    /// As many events of a window as say what it says. Windows may be steadier than independent events make them, as those of
    /// a timetable are; of one that is cut short, what is left is a sample of it, whose mean varies the more, the more is
    /// left out: a part `q` of `n` at random adds `q / n` to its variance, in units of that of an event (finite population),
    /// and a part that is missing in one piece, as through an outage, `q²`, as far as values go evenly with the time: that is
    /// what makes windows steady.
    pub(super) fn trusted(&self, sample: Sample, row: &[f64]) -> Sample {
        let left_out = self.usual.as_ref().map_or(0.0, |usual| usual.left_out(sample.count, row));
        if left_out <= 0.0 || sample.count <= 0.0 {
            return sample;
        }
        let at_random = (self.stretch + left_out).min(1.0) / sample.count;
        let in_one_piece = (1.0 - self.stretch).max(0.0) * left_out * left_out;
        let independent = 1.0 / (at_random + in_one_piece);
        // The count that has this precision, or less: between those of a whole window and of a few events there may be none.
        let (whole, few) = (self.stretch * independent, FEW * self.typical_count);
        let count = if whole >= few { whole } else { independent.min(JUST_UNDER * few) };
        let part = count.min(sample.count) / sample.count;
        Sample { sum: part * sample.sum, count: part * sample.count }
    }

    /// Precision of a window of `count` events: one over the variance of its mean.
    #[must_use]
    #[inline]
    pub fn precision(&self, count: f64) -> f64 {
        // What a whole window shows of its steadiness, a few events of it do not.
        let stretch = if count < FEW * self.typical_count { self.stretch.max(1.0) } else { self.stretch };
        let precision = count / ((self.of_event() + self.between * count) * stretch);
        if count > 0.0 { precision } else { 0.0 }
    }

    /// Variance of a mean of this precision, in units of the variance of an event.
    #[inline]
    pub(super) fn relative(&self, precision: f64) -> f64 {
        1.0 / (precision * self.variance)
    }

    /// Takes over what others show of how events clump: a typical window holds at least `clump` events for each independent
    /// one, and what is behind them has at least this memory.
    pub(super) fn borrow_clumping(&mut self, clump: f64, memory: f64) {
        // At most all events of a window say the same.
        let shared = ((clump - 1.0) / self.typical_count.max(1.0)).min(1.0);
        self.between = self.between.max(shared * self.variance);
        self.memory = self.memory.max(memory);
    }

    /// Correlation of two events of a window: the part of an event's variance that its window shares.
    pub(super) fn shared(&self) -> f64 {
        (self.between / self.variance).min(1.0)
    }

    /// Variance of a share's event.
    pub(super) fn own(&self) -> f64 {
        (self.mean * (1.0 - self.mean)).max(1e-9)
    }

    /// Events of a window of `count` that count as one independent event of a share.
    pub(super) fn clumping(&self, count: f64) -> f64 {
        self.design() + self.between * count / self.own()
    }

    /// Whether the baseline held windows far beyond what its other windows let expect.
    pub(super) fn is_bursty(&self) -> bool {
        self.clip.is_some_and(|clip| clip < CLIP_WAVERING)
    }

    /// Standard deviation of one event's score.
    #[must_use]
    pub fn deviation(&self) -> f64 {
        self.variance.sqrt()
    }

    /// Gives the degrees of freedom that the mean and the season took.
    fn fit_season(
        &mut self,
        quantity: &Quantity,
        rows: &[Vec<f64>],
        means: &[f64],
        counts: &[f64],
        design: SeasonDesign,
        total: f64,
    ) -> f64 {
        let (width, windows) = (design.len(), means.len());
        if width == 0 || windows <= 4 * width {
            return 1.0;
        }
        let mut season = weighted_regression(rows, means, counts);
        let predicted =
            |row: &Vec<f64>| season[0] + season[1..].iter().zip(row).map(|(a, b)| a * b).sum::<f64>();
        let squares = |at: &dyn Fn(usize) -> f64| -> f64 {
            (0..windows).map(|i| counts[i] * (means[i] - at(i)).powi(2)).sum()
        };
        let (flat, seasonal) = (squares(&|_| self.mean), squares(&|i| predicted(&rows[i])));
        let (width, windows) = (width as f64, windows as f64);
        let f = (flat - seasonal) / width / (seasonal / (windows - width - 1.0)).max(1e-12);
        if f <= SEASON_F {
            return 1.0;
        }
        season[0] += quantity.prior;
        self.season = Some(season);
        if quantity.law == Law::Share {
            self.floor = Some((0.5 / total).max(0.02 * self.mean));
        }
        width + 1.0
    }

    /// The swing of its level, if windows vary plainly more than counting does.
    #[must_use]
    pub(super) fn swing(&self) -> Option<Swing> {
        let wavers = self.between * self.typical_count > WAVERING * self.variance;
        wavers.then_some(Swing { memory: self.memory, unseen: self.unseen })
    }

    /// Part of a window's variance that has the memory.
    fn part(&self) -> f64 {
        let between = self.between * self.typical_count;
        if between > 0.0 { between / (between + self.of_event()) } else { 1.0 }
    }

    /// Variance of a sum of `length` windows over that of independent ones.
    #[must_use]
    pub fn inflation(&self, length: usize) -> f64 {
        1.0 + self.part() * (inflation(self.memory, length) - 1.0)
    }

    /// Gain and standard deviation of the prediction of a standardised window from those before.
    pub(super) fn prediction(&self) -> (f64, f64) {
        prediction(self.memory, self.part())
    }

    /// Largest standardised difference between a window of the baseline and what those before let expect of it.
    fn worst_surprise(&self, standard: &[f64]) -> f64 {
        let (gain, deviation) = self.prediction();
        let (mut predicted, mut worst) = (0.0, 0.0_f64);
        for z in standard {
            let surprise = z - predicted;
            predicted = self.memory * (predicted + gain * surprise);
            worst = worst.max(surprise.abs() / deviation);
        }
        worst
    }

    fn fit_spread(
        &mut self,
        quantity: &Quantity,
        residuals: &[f64],
        counts: &[f64],
        (freedom, season): (f64, &[Vec<f64>]),
        few: bool,
        swing: Option<Swing>,
    ) {
        let windows = residuals.len() as f64;
        let left = (windows - freedom).max(1.0);
        let squares = residuals.iter().zip(counts).map(|(e, n)| e * e * n / self.variance);
        let dispersion = squares.sum::<f64>() / left;
        if !few && (swing.is_some() || dispersion > 1.0 + (2.0 / windows).sqrt()) {
            self.fit_level(residuals, counts, season, (dispersion, left), swing);
        } else if !few {
            if windows >= FEWEST_TO_NARROW && quantity.law != Law::Share {
                // Events of a window that share their value make its mean steadier than independent ones would. Where most
                // are alike and few far off, windows look steadier by chance, too.
                let excess = quantity.score.map_or(0.0, |score| score.excess.max(0.0) / self.typical_count);
                let error = ((2.0 + excess) / left).sqrt();
                self.stretch = (dispersion * (1.0 + 2.0 * error)).clamp(NARROWEST, 1.0);
            }
            if windows > FEWEST_FOR_MEMORY {
                self.memory = memory_of_noise(&self.standard(residuals, counts));
            }
        }
        let standard = self.standard(residuals, counts);
        self.fit_bursts(&standard, few);
        let precision: f64 = counts.iter().map(|n| self.precision(*n)).sum();
        self.error = self.inflation(residuals.len()) / precision.max(1e-12);
    }

    /// Residuals in standard deviations of their windows.
    fn standard(&self, residuals: &[f64], counts: &[f64]) -> Vec<f64> {
        residuals.iter().zip(counts).map(|(e, n)| e * self.precision(*n).sqrt()).collect()
    }

    /// Variance and memory of a level that varies between windows, whose variance is `dispersion` times that of
    /// counting, with `left` degrees of freedom.
    fn fit_level(
        &mut self,
        residuals: &[f64],
        counts: &[f64],
        season: &[Vec<f64>],
        (dispersion, left): (f64, f64),
        swing: Option<Swing>,
    ) {
        let windows = residuals.len() as f64;
        let part = (1.0 - 1.0 / (dispersion * (1.0 + (2.0 / windows).sqrt()))).max(0.0);
        let mut level = 0.0;
        if windows > FEWEST_FOR_MEMORY {
            self.memory = memory_of_level(&self.standard(residuals, counts), part);
            // Of a level that hardly stands out from the noise nobody can tell how long it lasts.
            if dispersion > PLAIN {
                let noise: Vec<f64> = counts.iter().map(|n| self.variance / n).collect();
                let wander = longest(residuals, &noise, season);
                self.memory = self.memory.max(wander.memory);
                level = wander.variance;
            }
        }
        self.memory = self.memory.max(swing.map_or(0.0, |swing| swing.memory));
        let whole = dispersion.max(1.0) / (1.0 - lost(self.memory, part, residuals.len()));
        let upper = whole * unsure(left, self.memory, part);
        let typical = (counts.iter().map(|n| n.ln()).sum::<f64>() / windows).exp();
        let shown = (dispersion.max(1.0) * unsure(left, 0.0, part) - 1.0) * self.variance / typical;
        self.between = ((upper - 1.0) * self.variance / typical).max(level);
        self.unseen = if shown > 0.0 { (self.between / shown).max(1.0) } else { 1.0 };
        if let Some(swing) = swing.filter(|swing| swing.unseen > self.unseen) {
            // What follows from a level follows from its square, too: from the spread of ranks to the tails.
            self.between = self.between.max(swing.unseen.powi(2) * shown);
        }
    }

    /// How bursty the windows of the baseline were, and what one window may therefore say.
    fn fit_bursts(&mut self, standard: &[f64], few: bool) {
        let windows = standard.len() as f64;
        self.worst = standard.iter().fold(0.0, |worst: f64, z| worst.max(z.abs()));
        let plausible = normal_isf(0.02 / (2.0 * windows)).unwrap_or(3.0).max(3.0);
        let bursts = self.worst.max(self.worst_surprise(standard)) > plausible;
        self.clip = if !few && windows >= 24.0 && bursts {
            Some(CLIP_BURSTY)
        } else if self.between > 0.0 || self.memory > 0.0 {
            Some(CLIP_WAVERING)
        } else {
            None
        };
        if windows >= 100.0 && self.between > 0.0 {
            let mut sizes: Vec<f64> = standard.iter().map(|z| z.abs()).collect();
            sizes.sort_by(f64::total_cmp);
            self.stretch = (quantile(&sizes, 0.98) / 2.326).max(1.0).powi(2);
        }
    }
}

/// Median; zero of nothing.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    quantile(&sorted, 0.5)
}

/// Quantile of sorted values by linear interpolation; zero of nothing.
pub(super) fn quantile(sorted: &[f64], q: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let at = q * last as f64;
    let below = at.floor() as usize;
    let above = (below + 1).min(last);
    sorted[below] + (at - below as f64) * (sorted[above] - sorted[below])
}
