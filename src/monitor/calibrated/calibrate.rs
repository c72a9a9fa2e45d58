//! Calibration of a baseline: its windows become samples, its samples fits. Where it has no windows, its rows together are
//! one sample, and how windows differ is assumed.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anchorwatch_detectors::binning::Binning;
use anchorwatch_detectors::calibrated::{
    self, ASSUMED_DESIGN, ASSUMED_SWING, Fit, Sample, SeasonDesign, VolumeFit, orthonormal_scores,
};

use super::quantities::{Monitored, monitored};
use super::sampler::{Counted, Inside, Sampler};
use crate::reference::{Calibration, Column, Joint, Layout, Reference, ResidualTerms, Role, Slice};
use crate::subject::Millis;

/// Most pairs of columns whose correlation is watched.
const MOST_PAIRS: usize = 136;

/// Most columns that are multiplied with the residual.
const MOST_CONCEPTS: usize = 64;

/// Windows below which a calibration is weak.
const FEW_WINDOWS: usize = 24;

/// Factor of unseen variance from which a column is said to wander, and the most columns that are named.
const UNSEEN: f64 = 2.0;
const MOST_NAMED: usize = 8;

const DAY: Millis = 86_400_000;

/// Counts of one window of a baseline, in the reference's live layout.
#[derive(Debug, Clone)]
pub struct SeriesWindow {
    /// First instant.
    pub start: Millis,
    /// Everything.
    pub whole: Vec<u64>,
    /// Each slice with events.
    pub slices: HashMap<Slice, Vec<u64>>,
}

/// A baseline as a sequence of windows.
#[derive(Debug)]
pub struct Series<I> {
    /// Length of a window.
    pub window_ms: Millis,
    /// Time zone whose days and weeks the traffic follows.
    pub time_zone: chrono_tz::Tz,
    /// Slices to be compared with the rest.
    pub slices: Vec<Slice>,
    /// Variance of one event, by joint term.
    pub term_variances: Vec<f64>,
    /// Windows in time order.
    pub windows: I,
}

/// Fits every monitored quantity of a reference on the windows of its baseline.
#[must_use]
pub fn calibrate(reference: &Reference, series: Series<impl Iterator<Item = SeriesWindow>>) -> Calibration {
    let monitored = monitored(reference, &series.slices, &series.term_variances);
    let quantities: Vec<_> = monitored.iter().map(|one| one.quantity).collect();
    let sampler = Sampler::new(reference);
    let (mut starts, mut samples, mut traffic) = (Vec::new(), Vec::<Vec<Sample>>::new(), Vec::new());
    let mut insides = vec![Inside::default(); monitored.len()];
    for window in series.windows {
        starts.push(super::local(series.time_zone, window.start));
        traffic.push(window.whole.get(Layout::ROWS).copied().unwrap_or(0) as f64);
        let counted = Counted { whole: &window.whole, slices: &window.slices };
        samples.push(sampler.samples(&monitored, counted, |_, _| None));
        for (all, inside) in insides.iter_mut().zip(sampler.insides(&monitored, counted)) {
            *all = all.and(inside);
        }
    }
    let (season, mut fits) = calibrated::calibrate(&quantities, &samples, &starts, series.window_ms);
    let mut assumptions = assumptions(&starts, series.window_ms);
    assumptions.extend(wandering(&monitored, &fits));
    for (fit, inside) in fits.iter_mut().zip(insides) {
        let variance = Some(inside.variance()).filter(|variance| variance.is_finite());
        fit.iter_mut().for_each(|fit| fit.inside = variance);
    }
    let fits: BTreeMap<_, _> =
        monitored.iter().zip(fits).filter_map(|(one, fit)| Some((one.key(), fit?))).collect();
    Calibration {
        window_ms: series.window_ms,
        windows: starts.len(),
        assumed: false,
        time_zone: series.time_zone.name().to_owned(),
        season,
        slices: series.slices,
        fits,
        volume: VolumeFit::new(&traffic, &starts, season),
        assumptions,
        calibrated_scores: None,
        sampling: None,
        confidence: None,
        losses: None,
        classes: None,
        quantile: None,
    }
}

/// Assumes of every monitored quantity of a reference how it varies from window to window. The series is of one window, which
/// holds all rows of the baseline; `why` says in a few words what the baseline lacks.
#[must_use]
pub fn assume(
    reference: &Reference,
    mut series: Series<impl Iterator<Item = SeriesWindow>>,
    why: &str,
) -> Calibration {
    let monitored = monitored(reference, &series.slices, &series.term_variances);
    let sampler = Sampler::new(reference);
    let fits = series.windows.next().map(|window| {
        let counted = Counted { whole: &window.whole, slices: &window.slices };
        let samples = sampler.samples(&monitored, counted, |_, _| None);
        let fits = monitored.iter().zip(samples).filter_map(|(one, sample)| {
            let fit = Fit::assumed(&one.quantity, sample)?;
            Some((one.key(), fit))
        });
        fits.collect()
    });
    let assumptions = vec![
        format!(
            "assumed, since {why}: without a change levels of numbers stay within {ASSUMED_SWING} standard deviations of a \
             row around the baseline's, a category of 20 % between 15 and 26 %, and {ASSUMED_DESIGN} rows of a window \
             say as much as one; the false-alarm budget holds as far as that does"
        ),
        format!("since {why}, nothing is known of traffic: a fall of it does not alert under the budget"),
    ];
    Calibration {
        window_ms: series.window_ms,
        windows: 0,
        assumed: true,
        time_zone: series.time_zone.name().to_owned(),
        season: SeasonDesign::new(series.window_ms, 0),
        slices: series.slices,
        fits: fits.unwrap_or_default(),
        volume: None,
        assumptions,
        calibrated_scores: None,
        sampling: None,
        confidence: None,
        losses: None,
        classes: None,
        quantile: None,
    }
}

/// Says which columns wander for longer than the baseline can show; `None` if none does.
fn wandering(monitored: &[Monitored], fits: &[Option<Fit>]) -> Option<String> {
    let unseen = |fit: &Option<Fit>| fit.as_ref().is_some_and(|fit| fit.unseen > UNSEEN);
    let of_whole = monitored
        .iter()
        .zip(fits)
        .filter(|(one, fit)| one.slice.is_none() && one.kind != "correlation" && unseen(fit));
    let columns: BTreeSet<&str> = of_whole.map(|(one, _)| one.feature.as_str()).collect();
    let names: Vec<&str> = columns.iter().copied().take(MOST_NAMED).collect();
    let more = match columns.len().saturating_sub(MOST_NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    (!names.is_empty()).then(|| {
        format!(
            "the baseline is shorter than the swings of {}{more}: only changes that are large for them alert",
            names.join(", ")
        )
    })
}

fn assumptions(starts: &[Millis], window_ms: Millis) -> Vec<String> {
    let span = starts.first().zip(starts.last()).map_or(0, |(first, last)| last - first + window_ms);
    let mut assumptions = Vec::new();
    if starts.len() < FEW_WINDOWS {
        assumptions.push(format!(
            "the baseline has only {} windows: how it varies between windows is hardly known",
            starts.len()
        ));
    }
    if window_ms < DAY && span < 3 * DAY {
        assumptions.push("the baseline is shorter than 3 days: no daily season is assumed".to_owned());
    }
    if span < 14 * DAY {
        assumptions.push("the baseline is shorter than 14 days: no weekly season is assumed".to_owned());
    }
    assumptions
}

/// The joint terms that a reference can count: score against label, and pairs of numeric columns. `profile` holds the
/// baseline's counts in the layout of the columns, `positive` is the name of the label that counts as 1, if names do.
#[must_use]
pub fn joint_terms(columns: &[Column], profile: &[u64], positive: Option<&str>) -> Joint {
    let layout = Layout::new(columns);
    let cells = |index: usize| layout.column(profile, index).cells;
    let numeric = |column: &Column| matches!(column.binning, Binning::Numeric(_));
    let scores: Vec<Vec<f64>> = columns
        .iter()
        .enumerate()
        .map(|(index, column)| {
            let scored = numeric(column) && column.role != Role::Label;
            let degrees = if scored { orthonormal_scores(cells(index), 1) } else { Vec::new() };
            degrees.into_iter().next().unwrap_or_default()
        })
        .collect();
    let place = |role: Role| columns.iter().position(|column| column.role == role);
    let scored: Vec<usize> = (0..columns.len()).filter(|index| !scores[*index].is_empty()).collect();
    let features = scored.iter().copied().filter(|index| columns[*index].role == Role::Feature);
    let residual = place(Role::Score).zip(place(Role::Label)).and_then(|(score, label)| {
        let scale = residual_scale(&columns[score], &columns[label], cells(label), positive)?;
        Some(ResidualTerms {
            score,
            label,
            scale,
            slope: Joint::fixed(&slope_scores(&columns[score], cells(score), &scores[score])),
            columns: features.take(MOST_CONCEPTS).collect(),
            positive: positive.map(str::to_owned),
            quantile: None,
        })
    });
    let mut pairs: Vec<(usize, usize)> = Vec::new();
    for (at, a) in scored.iter().enumerate() {
        pairs.extend(scored[at + 1..].iter().map(|b| (*a, *b)));
    }
    pairs.truncate(MOST_PAIRS);
    let scores = scores.iter().map(|scores| Joint::fixed(scores)).collect();
    let new_values = columns.iter().any(Column::tells_new_values);
    Joint { scores, residual, pairs, new_values, ..Joint::default() }
}

/// What residuals are divided by: 1 for labels of 0 and 1, else the spread of the label.
fn residual_scale(score: &Column, label: &Column, labels: &[u64], positive: Option<&str>) -> Option<f64> {
    let Binning::Numeric(_) = score.binning else { return None };
    match &label.binning {
        Binning::Categorical(categories) => {
            let binary = |name: &String| matches!(name.as_str(), "0" | "1" | "false" | "true");
            (positive.is_some() || categories.categories().iter().all(binary)).then_some(1.0)
        }
        Binning::Numeric(knots) => {
            let used: Vec<f64> = (0..labels.len())
                .filter(|cell| labels[*cell] > 0)
                .filter_map(|cell| knots.knots().get(cell.saturating_sub(1) / 2).copied())
                .collect();
            let (first, last) = (used.first()?, used.last()?);
            Some(if *first >= 0.0 && *last <= 1.0 { 1.0 } else { last - first }).filter(|scale| *scale > 0.0)
        }
    }
}

/// Standardised logit of the middle of each cell of a score between 0 and 1; the rank score of any other.
fn slope_scores(score: &Column, cells: &[u64], ranks: &[f64]) -> Vec<f64> {
    let Binning::Numeric(knots) = &score.binning else { return Vec::new() };
    let knots = knots.knots();
    let within = |x: &f64| (-1e-9..=1.0 + 1e-9).contains(x);
    let used = (0..cells.len()).filter(|cell| cells[*cell] > 0);
    let ends: Vec<f64> = used.filter_map(|cell| knots.get(cell.saturating_sub(1) / 2).copied()).collect();
    if !ends.iter().all(within) || ends.is_empty() {
        return if ranks.is_empty() { vec![0.0; cells.len()] } else { ranks.to_vec() };
    }
    let logit = |cell: usize| {
        let at = |index: usize| knots.get(index).copied();
        let middle = match cell % 2 {
            1 => at(cell / 2).unwrap_or(0.5),
            _ => {
                let (low, high) = (cell.checked_sub(2).and_then(|c| at(c / 2)), at(cell / 2));
                f64::midpoint(low.unwrap_or(0.0), high.unwrap_or(1.0))
            }
        };
        let p = middle.clamp(1e-4, 1.0 - 1e-4);
        (p / (1.0 - p)).ln()
    };
    let logits: Vec<f64> = (0..cells.len()).map(logit).collect();
    let total = cells.iter().sum::<u64>().max(1) as f64;
    let mean = logits.iter().zip(cells).map(|(x, n)| x * *n as f64).sum::<f64>() / total;
    let variance = logits.iter().zip(cells).map(|(x, n)| (x - mean).powi(2) * *n as f64).sum::<f64>() / total;
    let deviation = variance.sqrt().max(1e-9);
    logits.iter().map(|x| ((x - mean) / deviation).clamp(-3.0, 3.0)).collect()
}

/// Largest share of a slice that is compared with the rest: beyond it hardly a rest is left.
const MOST_OF_ALL: f64 = 0.95;

/// Slices of a baseline that are large enough to be compared with the rest, given their rows.
#[must_use]
pub fn slices_worth_watching(rows: &[(Slice, u64)], all: u64) -> Vec<Slice> {
    let enough = |(slice, rows): &&(Slice, u64)| {
        let (least, share) = match slice {
            Slice::Segment(_) => (100, 0.004),
            Slice::Version(_) => (1, 0.02),
        };
        *rows >= least && *rows as f64 >= share * all as f64 && *rows as f64 <= MOST_OF_ALL * all as f64
    };
    rows.iter().filter(enough).map(|(slice, _)| slice.clone()).collect()
}

#[cfg(test)]
#[path = "calibrate_tests.rs"]
mod tests;
