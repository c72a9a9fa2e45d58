//! Traffic against its own season: only a fall alarms, and only over several windows.
//!
//! Counts are judged on the scale of square roots, where the variance of counting does not depend on their mean (Anscombe
//! 1948). A window counts for at most three standard deviations, however few events it has: a holiday or a storm empties
//! a few windows of any baseline, traffic that is lost stays away. What windows of the same day share is estimated like
//! the memory of any level, and a run of windows must fall short by half as much again as the worst run of its length in
//! the baseline.

use serde::{Deserialize, Serialize};

use super::fit::{median, quantile};
use super::history::{REMEMBERED, SPANS};
use super::season::{SeasonDesign, weighted_regression};
use super::spread::{inflation, memory_of_level};

/// Standard score under which no run of windows alarms.
const LEAST: f64 = 5.0;

/// How much worse than the worst run of the baseline a run must be.
const WORSE: f64 = 1.5;

/// Standard deviations that one window counts for at most.
const CLIP: f64 = 3.0;

/// Part of the baseline that a run may span.
const RUNS: usize = 4;

/// Standard score by which the latest quarter of a run must fall short.
const LEAST_LEAN: f64 = 1.0;

/// Longest run that is looked for in references without runs of their own.
const LONGEST_OF_OLD: usize = 8;

/// Rounds in which hours and weekdays are fitted in turn.
const ROUNDS: usize = 4;

/// Standard deviation of the root of a Poisson count.
const OF_COUNTING: f64 = 0.5;

/// Median of a normal deviate's size, and its 99th percentile.
const MEDIAN_SIZE: f64 = 0.674_489_75;
const HUNDREDTH: f64 = 2.326_347_87;

/// The number of events of a window as the baseline predicts it, on the scale of square roots.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VolumeFit {
    coefficients: Vec<f64>,
    /// Used instead of the coefficients where the baseline is long enough.
    #[serde(default)]
    rhythm: Option<Rhythm>,
    scale: f64,
    /// Standard deviation between windows, as a part of the prediction; unknown in older references, whose scale is all.
    #[serde(default)]
    spread: Option<f64>,
    /// Memory of the shortfall from window to window.
    #[serde(default)]
    memory: f64,
    /// The baseline's worst fall over each of the scan's spans that it holds several of.
    #[serde(default)]
    worst: Vec<f64>,
    /// Standard score over which a fall alarms, at least.
    threshold: f64,
}

/// Traffic by the window of the day and the day of the week: rates multiply, so the roots do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Rhythm {
    of_day: Vec<f64>,
    of_week: Vec<f64>,
}

/// A run of windows that fall short together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fall {
    /// Its standard score.
    pub score: f64,
    /// The score over which it alarms.
    pub threshold: f64,
    /// Its windows.
    pub span: usize,
}

impl Rhythm {
    /// Medians in turn, which neither a few bursts nor a few holidays move.
    fn new(roots: &[f64], starts: &[i64], design: SeasonDesign) -> Self {
        let (windows, days) = (design.windows_of_day(), 7);
        let mut rhythm = Self { of_day: vec![median(roots); windows], of_week: vec![1.0; days] };
        let places: Vec<(usize, usize)> = starts.iter().map(|start| design.place(*start)).collect();
        for _ in 0..ROUNDS {
            for window in 0..windows {
                let here = places.iter().zip(roots).filter(|((of_day, _), _)| *of_day == window);
                let values: Vec<f64> =
                    here.map(|((_, day), root)| root / rhythm.of_week[*day].max(1e-9)).collect();
                if !values.is_empty() {
                    rhythm.of_day[window] = median(&values);
                }
            }
            for day in 0..days {
                let here = places.iter().zip(roots).filter(|((_, of_week), _)| *of_week == day);
                let expected = here.map(|((window, _), root)| (rhythm.of_day[*window], *root));
                let mut parts: Vec<(f64, f64)> = expected
                    .filter(|(usual, _)| *usual > 1.0)
                    .map(|(usual, root)| (root / usual, usual))
                    .collect();
                if !parts.is_empty() {
                    rhythm.of_week[day] = weighted_median(&mut parts);
                }
            }
        }
        rhythm
    }
}

impl VolumeFit {
    /// Fits the counts of the baseline's windows, which start at `starts`; `None` of fewer than five windows.
    #[must_use]
    pub fn new(counts: &[f64], starts: &[i64], design: SeasonDesign) -> Option<Self> {
        if counts.len() < 5 || counts.len() != starts.len() {
            return None;
        }
        let roots: Vec<f64> = counts.iter().map(|n| root(*n)).collect();
        let seasonal = !design.is_empty() && counts.len() > 4 * design.len();
        let row = |start: &i64| if seasonal { design.row(*start) } else { Vec::new() };
        let rows: Vec<Vec<f64>> = starts.iter().map(row).collect();
        let mut fit = Self {
            coefficients: weighted_regression(&rows, &roots, &vec![1.0; roots.len()]),
            rhythm: design.has_weekdays().then(|| Rhythm::new(&roots, starts, design)),
            scale: 1.0,
            spread: None,
            memory: 0.0,
            worst: Vec::new(),
            threshold: LEAST,
        };
        let predicted: Vec<f64> = starts.iter().map(|start| fit.predict(*start, design)).collect();
        fit.spread = Some(spread(&roots, &predicted));
        let shortfalls = |fit: &Self| -> Vec<f64> {
            counts.iter().zip(starts).map(|(count, start)| fit.shortfall(*count, *start, design)).collect()
        };
        let mut sorted = shortfalls(&fit);
        sorted.sort_by(f64::total_cmp);
        // Bursts are no falls: what lies above the prediction does not widen what lies below.
        fit.scale = (quantile(&sorted, 0.99) / HUNDREDTH).max(1.0);
        let clipped: Vec<f64> = shortfalls(&fit).iter().map(|one| one.clamp(-CLIP, CLIP)).collect();
        fit.memory = memory_of_level(&clipped, 1.0);
        let longest = counts.len() / RUNS;
        fit.worst = vec![0.0; SPANS.iter().filter(|span| **span > 1 && **span <= longest).count()];
        let mut worst = fit.worst.clone();
        for last in 0..clipped.len() {
            let newest_first = clipped[..=last].iter().rev().copied();
            for (worst, fall) in worst.iter_mut().zip(fit.falls(newest_first)) {
                *worst = worst.max(fall.score);
            }
        }
        fit.worst = worst;
        Some(fit)
    }

    /// How far a window of `count` events that starts at `start` falls short, in standard deviations; negative above the
    /// prediction.
    #[must_use]
    pub fn shortfall(&self, count: f64, start: i64, design: SeasonDesign) -> f64 {
        let predicted = self.predict(start, design);
        let deviation = self.spread.map_or(1.0, |spread| deviation(predicted, spread));
        (predicted - root(count)) / deviation / self.scale
    }

    /// The fall that ends with the newest window and is furthest over its threshold, or nearest to it; `shortfalls` come
    /// newest first.
    #[must_use]
    pub fn worst_fall(&self, shortfalls: impl Iterator<Item = f64>) -> Option<Fall> {
        let over = |fall: &Fall| fall.score / fall.threshold;
        self.falls(shortfalls).into_iter().max_by(|a, b| over(a).total_cmp(&over(b)))
    }

    /// The run of each span.
    fn falls(&self, shortfalls: impl Iterator<Item = f64>) -> Vec<Fall> {
        let spans = SPANS.iter().copied().filter(|span| *span > 1);
        let spans: Vec<usize> = match self.spread {
            None => spans.filter(|span| *span <= LONGEST_OF_OLD).collect(),
            Some(_) => spans.take(self.worst.len()).collect(),
        };
        let mut sums = vec![0.0];
        for shortfall in shortfalls.take(REMEMBERED) {
            let before = sums.last().copied().unwrap_or(0.0);
            sums.push(before + shortfall.clamp(-CLIP, CLIP));
        }
        let fall = |(index, span): (usize, &usize)| {
            let (sum, latest) = (*sums.get(*span)?, (span / 4).max(1));
            let leans = sums[latest] / (latest as f64).sqrt() > LEAST_LEAN;
            let score = sum / (*span as f64 * inflation(self.memory, *span)).sqrt();
            let threshold = self.threshold.max(WORSE * self.worst.get(index).copied().unwrap_or(0.0));
            Some(Fall { score: if leans { score } else { 0.0 }, threshold, span: *span })
        };
        spans.iter().enumerate().filter_map(fall).collect()
    }

    fn predict(&self, start: i64, design: SeasonDesign) -> f64 {
        if let Some(rhythm) = &self.rhythm {
            let (window, day) = design.place(start);
            let usual = rhythm.of_day.get(window).copied().unwrap_or_else(|| median(&rhythm.of_day));
            return usual * rhythm.of_week.get(day).copied().unwrap_or(1.0);
        }
        let Some((intercept, season)) = self.coefficients.split_first() else { return 0.0 };
        let season: f64 = season.iter().zip(design.row(start)).map(|(a, b)| a * b).sum();
        (intercept + season).max(root(0.0))
    }
}

/// Standard deviation of a root whose prediction is this.
fn deviation(predicted: f64, spread: f64) -> f64 {
    (OF_COUNTING * OF_COUNTING + (spread * predicted).powi(2)).sqrt()
}

/// The spread between windows, as a part of the prediction, under which half of the residuals are as large as half of
/// normal ones are.
fn spread(roots: &[f64], predicted: &[f64]) -> f64 {
    let typical = |spread: f64| {
        let sizes: Vec<f64> =
            roots.iter().zip(predicted).map(|(y, p)| (y - p).abs() / deviation(*p, spread)).collect();
        median(&sizes)
    };
    let (mut low, mut high) = (0.0, 2.0);
    for _ in 0..30 {
        let middle = f64::midpoint(low, high);
        if typical(middle) > MEDIAN_SIZE { low = middle } else { high = middle }
    }
    high
}

/// The value below which half of the weight lies, of pairs of value and weight.
fn weighted_median(pairs: &mut [(f64, f64)]) -> f64 {
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    let half = pairs.iter().map(|(_, weight)| weight).sum::<f64>() / 2.0;
    let mut below = 0.0;
    let mut halves = pairs.iter().skip_while(|(_, weight)| {
        below += weight;
        below < half
    });
    halves.next().or(pairs.last()).map_or(1.0, |(value, _)| *value)
}

fn root(count: f64) -> f64 {
    (count + 0.375).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    /// Events of the hours of some weeks: a day in a sine, calm Sundays, and a burst every forty hours.
    fn hours(weeks: i64) -> (Vec<f64>, Vec<i64>) {
        let starts: Vec<i64> = (0..weeks * 168).map(|hour| hour * HOUR).collect();
        let count = |start: &i64| {
            let hour = start / HOUR;
            let day = 200.0 * (1.0 + 0.7 * (std::f64::consts::TAU * hour as f64 / 24.0).sin());
            let week = if (hour / 24 + 3) % 7 == 6 { 0.6 } else { 1.0 };
            let noise = (hour * 7_919 % 101 - 50) as f64 / 50.0 * 1.7 * (day * week).sqrt();
            (day * week + noise) * if hour % 40 == 17 { 4.0 } else { 1.0 }
        };
        (starts.iter().map(count).collect(), starts)
    }

    /// Windows until a fall alarms, if only this part of the traffic comes from the first window after the baseline on.
    fn noticed_after(part: f64, windows: usize) -> Option<usize> {
        let (counts, starts) = hours(6);
        let baseline = 3 * 168;
        let design = SeasonDesign::new(HOUR, baseline as i64 * HOUR);
        let fit = VolumeFit::new(&counts[..baseline], &starts[..baseline], design).expect("a fit");
        let mut shortfalls: Vec<f64> = Vec::new();
        (baseline..baseline + windows).position(|at| {
            shortfalls.insert(0, fit.shortfall(part * counts[at], starts[at], design));
            let fall = fit.worst_fall(shortfalls.iter().copied());
            fall.is_some_and(|fall| fall.score > fall.threshold)
        })
    }

    #[test]
    fn traffic_that_is_lost_alarms_within_hours_though_the_baseline_has_bursts() {
        assert_eq!(noticed_after(1.0, 400), None);
        assert!(noticed_after(0.5, 400).is_some_and(|windows| (1..8).contains(&windows)));
        assert!(noticed_after(0.0, 400).is_some_and(|windows| (1..8).contains(&windows)));
    }

    #[test]
    fn a_holiday_such_as_the_baseline_held_is_no_news() {
        let (mut counts, starts) = hours(6);
        let design = SeasonDesign::new(HOUR, 3 * 168 * HOUR);
        for day in [4, 30] {
            counts[24 * day..24 * (day + 1)].iter_mut().for_each(|count| *count /= 4.0);
        }
        let fit = VolumeFit::new(&counts[..3 * 168], &starts[..3 * 168], design).expect("a fit");
        let falls = (3 * 168..counts.len()).map(|last| {
            let newest_first = (0..=last).rev().map(|at| fit.shortfall(counts[at], starts[at], design));
            fit.worst_fall(newest_first).is_some_and(|fall| fall.score > fall.threshold)
        });
        assert_eq!(falls.filter(|alarms| *alarms).count(), 0);
    }

    #[test]
    fn a_fit_of_an_older_reference_is_read() {
        let fit: VolumeFit =
            serde_json::from_str(r#"{"coefficients":[20.0],"scale":0.5,"threshold":6.0}"#).expect("a fit");
        let design = SeasonDesign::new(HOUR, 48 * HOUR);
        let fall = |count: f64| {
            let shortfall = fit.shortfall(count, 0, design);
            fit.worst_fall([shortfall; 8].into_iter()).expect("runs of several windows")
        };
        assert!(fall(100.0).score > 6.0 && fall(400.0).score < 1.0);
        assert_eq!(fall(100.0).threshold, 6.0);
    }
}
