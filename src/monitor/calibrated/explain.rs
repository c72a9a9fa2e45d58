//! What stands behind an alarm: which bins or categories moved and by how much, since when, how the model's drift is
//! shared among its columns, and in which slices it is concentrated. Pure functions of counts and readings.

use std::collections::HashMap;

use anchorwatch_detectors::batch::GROUPS;
use anchorwatch_detectors::binning::{Binning, NumericBinning};
use anchorwatch_detectors::calibrated::{Fit, REMEMBERED};
use anchorwatch_detectors::divergence::{group, quantile_groups};
use anchorwatch_detectors::latency::bucket_bounds;

use super::{About, Finding, Judged, LATENCY, ModelWatch, SeriesWindow};
use crate::alert::Moved;
pub use crate::monitor::moved::Reader;
use crate::monitor::moved::moved_bins;
use crate::reference::{ColumnCounts, Layout, Reference, Slice};

/// Quantiles that are compared.
pub const QUANTILES: [f64; 5] = [0.05, 0.25, 0.5, 0.75, 0.95];

/// Most bins and most slices that are told.
const MOST: usize = 5;

/// Least standard score of a slice against the rest that is told.
const LEAST_CONTRAST: f64 = 2.0;

/// Largest standardised residual that speaks for a change point at its word.
const LARGEST: f64 = 6.0;

/// A window with what was judged of it.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Its counts.
    pub window: SeriesWindow,
    /// Samples, readings and findings.
    pub judged: Judged,
}

/// Where a change began.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Since {
    /// Windows from the change to the last one, both counted.
    pub windows: usize,
    /// Root of twice the log likelihood ratio of a change there against none.
    pub strength: f64,
}

/// A column's share of what stands out.
#[derive(Debug, Clone, PartialEq)]
pub struct Share {
    /// Column.
    pub feature: String,
    /// Slice in which it stands out.
    pub slice: Option<Slice>,
    /// Part of the sum of squared heats.
    pub share: f64,
}

/// A slice against the rest of the same windows.
#[derive(Debug, Clone, PartialEq)]
pub struct Contrast {
    /// The slice.
    pub slice: Slice,
    /// What is contrasted.
    pub kind: &'static str,
    /// Difference to the rest (or share, for `missing`), and what the baseline lets expect of it.
    pub means: (f64, f64),
    /// Standard score of the whole run of windows.
    pub z: f64,
}

/// Everything that is told of one column at one window.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// What changed.
    pub kind: &'static str,
    /// Category, quantile or column that the kind is about.
    pub about: Option<About>,
    /// The finding, if the column alarms.
    pub finding: Option<Finding>,
    /// Standard score of the most telling run of windows, and its threshold.
    pub statistic: (f64, f64),
    /// Logarithm of the e-detector's statistic, and its threshold: it stays high for a while after a change is over.
    pub evidence: Option<(f64, f64)>,
    /// Windows of that run; where only the evidence is over its threshold, those since the change.
    pub run: usize,
    /// Mean over the run, and what the baseline lets expect of it.
    pub means: Option<(f64, f64)>,
    /// Events of the run.
    pub rows: u64,
    /// Bins, categories and faults whose share changed most.
    pub moved: Vec<Moved>,
    /// [`QUANTILES`] of the baseline and of the run; empty for categories.
    pub quantiles: Vec<(f64, f64, f64)>,
    /// Where the change began.
    pub since: Option<Since>,
    /// Shares of all columns that stand out.
    pub shares: Vec<Share>,
    /// Slices that differ most from the rest.
    pub slices: Vec<Contrast>,
}

/// Explains the last of these windows (oldest first, at most the last 48 matter) for one column, in one slice or in the
/// whole. `None` if the column is not watched there.
#[must_use]
pub fn explain(
    reference: &Reference,
    watch: &ModelWatch,
    seen: &[Seen],
    feature: &str,
    slice: Option<&Slice>,
    reader: Reader,
) -> Option<Explanation> {
    let found = &seen.last()?.judged.findings;
    let finding = found.iter().find(|one| one.feature == feature && one.slice.as_ref() == slice);
    explain_as(reference, watch, seen, (feature, slice, finding), reader)
}

/// Explains one finding of the last of these windows, as [`explain`] does.
#[must_use]
pub fn explain_finding(
    reference: &Reference,
    watch: &ModelWatch,
    seen: &[Seen],
    finding: &Finding,
    reader: Reader,
) -> Option<Explanation> {
    let what = (finding.feature.as_str(), finding.slice.as_ref(), Some(finding));
    explain_as(reference, watch, seen, what, reader)
}

fn explain_as(
    reference: &Reference,
    watch: &ModelWatch,
    seen: &[Seen],
    (feature, slice, finding): (&str, Option<&Slice>, Option<&Finding>),
    reader: Reader,
) -> Option<Explanation> {
    let seen = &seen[seen.len().saturating_sub(REMEMBERED)..];
    let judged = &seen.last()?.judged;
    let monitored = watch.monitored();
    let of_feature = (0..monitored.len())
        .filter(|index| monitored[*index].feature == feature && monitored[*index].slice.as_ref() == slice);
    let index = match finding {
        Some(finding) => of_feature
            .clone()
            .find(|index| monitored[*index].kind == finding.kind && monitored[*index].about == finding.about),
        None => of_feature
            .max_by(|a, b| judged.readings[*a].heat.total_cmp(&judged.readings[*b].heat).then(b.cmp(a))),
    };
    let reading = index.and_then(|index| judged.readings.get(index));
    let since = index.and_then(|index| since_of(watch, seen, index));
    let scanned = finding.is_none_or(|one| one.statistic.abs() > one.threshold);
    let span = finding.map(|one| one.span).or(reading.map(|reading| reading.span))?;
    let run = since.filter(|_| !scanned).map_or(span, |since| since.windows).clamp(1, seen.len());
    let of_run = &seen[seen.len() - run..];
    let counts = sum_of(of_run, slice);
    let sides = Sides::new(reference, feature, slice, of_run);
    Some(Explanation {
        kind: finding.map(|one| one.kind).or(index.map(|index| monitored[index].kind))?,
        about: index.and_then(|index| monitored[index].about.clone()),
        statistic: finding
            .map(|one| (one.statistic, one.threshold))
            .or(reading.map(|reading| (reading.z, reading.threshold)))?,
        evidence: reading.map(|reading| reading.evidence),
        run,
        means: index
            .and_then(|index| means_of(watch, of_run, index))
            .map(|(mean, expected, _)| (mean, expected)),
        rows: counts.get(Layout::ROWS).copied().unwrap_or(0),
        moved: sides.as_ref().map_or_else(Vec::new, |sides| sides.moved(reader)),
        quantiles: sides.as_ref().map_or_else(Vec::new, Sides::quantiles),
        since,
        shares: shares(&judged.findings),
        slices: contrasts(watch, of_run, (feature, slice)),
        finding: finding.cloned(),
    })
}

/// Counts of a run of windows, of the whole or of a slice.
fn sum_of(run: &[Seen], slice: Option<&Slice>) -> Vec<u64> {
    let mut sum = Vec::new();
    for seen in run {
        let counts = match slice {
            None => Some(&seen.window.whole),
            Some(slice) => seen.window.slices.get(slice),
        };
        if let Some(counts) = counts {
            sum.resize(sum.len().max(counts.len()), 0);
            sum.iter_mut().zip(counts).for_each(|(sum, count): (&mut u64, &u64)| *sum += count);
        }
    }
    sum
}

/// What a column is compared with, and the run of windows.
struct Sides<'a> {
    reference: &'a Reference,
    column: Option<usize>,
    baseline: Vec<u64>,
    window: Vec<u64>,
}

impl<'a> Sides<'a> {
    /// `None` where there are no cells to compare, as of pairs. A segment is compared with its own baseline; a version,
    /// whose baseline is another one, with the rest of the same windows.
    fn new(reference: &'a Reference, feature: &str, slice: Option<&Slice>, run: &[Seen]) -> Option<Self> {
        let column = reference.columns.iter().position(|column| column.name == feature);
        if column.is_none() && feature != LATENCY {
            return None;
        }
        let window = sum_of(run, slice);
        let baseline = match slice {
            Some(Slice::Version(_)) => {
                let whole = sum_of(run, None);
                whole.iter().zip(&window).map(|(whole, part)| whole.saturating_sub(*part)).collect()
            }
            Some(Slice::Segment(value)) => reference.profile_of(Some(value)).to_vec(),
            None => reference.profile.clone(),
        };
        let least = reference.layout().len();
        (window.len() >= least && baseline.len() >= least).then_some(Self {
            reference,
            column,
            baseline,
            window,
        })
    }

    fn moved(&self, reader: Reader) -> Vec<Moved> {
        let layout = self.reference.layout();
        let mut moved = match self.column {
            None => moved_latencies(layout.latency(&self.baseline), layout.latency(&self.window)),
            Some(index) => {
                let column = &self.reference.columns[index];
                let (baseline, window) =
                    (layout.column(&self.baseline, index), layout.column(&self.window, index));
                let mut moved = moved_bins(column, baseline, window, reader);
                moved.extend(moved_faults(baseline, window));
                moved
            }
        };
        moved.sort_by(|a, b| (b.to - b.from).abs().total_cmp(&(a.to - a.from).abs()));
        moved.truncate(MOST);
        moved
    }

    fn quantiles(&self) -> Vec<(f64, f64, f64)> {
        let both = |q: f64| Some((q, self.quantile(&self.baseline, q)?, self.quantile(&self.window, q)?));
        QUANTILES.into_iter().filter_map(both).collect()
    }

    fn quantile(&self, counts: &[u64], q: f64) -> Option<f64> {
        let layout = self.reference.layout();
        match self.column {
            None => anchorwatch_detectors::latency::quantile(layout.latency(counts), q),
            Some(index) => match &self.reference.columns[index].binning {
                Binning::Numeric(knots) => quantile(knots, layout.column(counts, index).cells, q),
                Binning::Categorical(_) => None,
            },
        }
    }
}

/// Shares of rows without a value that can be counted.
fn moved_faults(baseline: ColumnCounts<'_>, window: ColumnCounts<'_>) -> Vec<Moved> {
    let (n, m) = (baseline.total() as f64, window.total() as f64);
    let faults = [
        ("missing", baseline.missing, window.missing),
        ("not finite", baseline.non_finite, window.non_finite),
        ("wrong type", baseline.wrong_type, window.wrong_type),
    ];
    let share = |count: u64, all: f64| if all > 0.0 { count as f64 / all } else { 0.0 };
    let moved = faults.into_iter().map(|(bin, from, to)| Moved {
        bin: bin.to_owned(),
        from: share(from, n),
        to: share(to, m),
    });
    moved.filter(|moved| moved.from != moved.to).collect()
}

/// Tenths of the baseline's latencies whose share changed.
fn moved_latencies(baseline: &[u64], window: &[u64]) -> Vec<Moved> {
    let (n, m) = (baseline.iter().sum::<u64>() as f64, window.iter().sum::<u64>() as f64);
    if n == 0.0 || m == 0.0 {
        return Vec::new();
    }
    let groups = quantile_groups(baseline, GROUPS);
    let sides = group(baseline, &groups).into_iter().zip(group(window, &groups));
    let ms = |x: f64| format!("{x:.3}").trim_end_matches('0').trim_end_matches('.').to_owned();
    let label = |range: &std::ops::Range<usize>| {
        let low = bucket_bounds(range.start).map_or(0.0, |(low, _)| low);
        match bucket_bounds(range.end) {
            Some((high, _)) => format!("{} to {} ms", ms(low), ms(high)),
            None => format!("from {} ms", ms(low)),
        }
    };
    let moved = groups.iter().zip(sides).map(|(range, (from, to))| Moved {
        bin: label(range),
        from: from as f64 / n,
        to: to as f64 / m,
    });
    moved.filter(|moved| moved.from != moved.to).collect()
}

/// A quantile read off cells: exact on a cut point, linear between two; the outermost cells count as their cut point.
#[must_use]
pub fn quantile(knots: &NumericBinning, cells: &[u64], q: f64) -> Option<f64> {
    let total: u64 = cells.iter().sum();
    let wanted = q * total as f64;
    let mut below = 0.0;
    for (cell, count) in cells.iter().enumerate().filter(|(_, count)| **count > 0) {
        let count = *count as f64;
        if below + count >= wanted {
            let (low, high) = knots.bounds(cell)?;
            return Some(match (low.is_finite(), high.is_finite()) {
                (true, true) => low + (high - low) * ((wanted - below) / count).clamp(0.0, 1.0),
                (true, false) => low,
                (false, true) => high,
                (false, false) => return None,
            });
        }
        below += count;
    }
    None
}

/// The split of these standardised residuals (oldest first) that a change of their mean from zero explains best, for
/// changes that last to the end and go the way of `sign`.
#[must_use]
pub fn since(residuals: &[f64], sign: f64) -> Option<Since> {
    let (mut sum, mut best) = (0.0, None::<Since>);
    for (index, residual) in residuals.iter().rev().enumerate() {
        sum += residual * sign.signum();
        let windows = index + 1;
        let strength = sum / (windows as f64).sqrt();
        if strength > best.map_or(0.0, |best| best.strength) {
            best = Some(Since { windows, strength });
        }
    }
    best
}

fn since_of(watch: &ModelWatch, seen: &[Seen], index: usize) -> Option<Since> {
    let fit = watch.fit(index)?;
    let residuals: Vec<f64> = seen.iter().filter_map(|one| residual(fit, one, index)).collect();
    let sign = seen.last()?.judged.readings.get(index)?.z;
    since(&residuals, if sign == 0.0 { residuals.iter().sum() } else { sign })
}

fn residual(fit: &Fit, seen: &Seen, index: usize) -> Option<f64> {
    let (sample, reading) = (seen.judged.samples.get(index)?, seen.judged.readings.get(index)?);
    if sample.count <= 0.0 {
        return Some(0.0);
    }
    let limit = fit.clip.unwrap_or(LARGEST);
    let standard = (sample.sum / sample.count - reading.expected) * fit.precision(sample.count).sqrt();
    Some(standard.clamp(-limit, limit))
}

/// Mean of a quantity over a run of windows, its expectation, and the standard score of the difference.
fn means_of(watch: &ModelWatch, run: &[Seen], index: usize) -> Option<(f64, f64, f64)> {
    let fit = watch.fit(index)?;
    let (mut sum, mut count, mut expected, mut weighted, mut precision) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for seen in run {
        let (sample, reading) = (seen.judged.samples.get(index)?, seen.judged.readings.get(index)?);
        if sample.count > 0.0 {
            sum += sample.sum;
            count += sample.count;
            expected += sample.count * reading.expected;
            let weight = fit.precision(sample.count);
            precision += weight;
            weighted += weight * (sample.sum / sample.count - reading.expected);
        }
    }
    (count > 0.0).then(|| (sum / count, expected / count, weighted / precision.sqrt()))
}

/// Parts of the sum of squared heats, the largest first. A column that stands out as broken and as drifted counts once in a
/// place, by what stands out most: both say the same of it.
#[must_use]
pub fn shares(findings: &[Finding]) -> Vec<Share> {
    let mut strongest: HashMap<(&str, Option<&Slice>), f64> = HashMap::new();
    for finding in findings {
        let part = strongest.entry((finding.feature.as_str(), finding.slice.as_ref())).or_default();
        *part = part.max(finding.heat.powi(2));
    }
    // In the order of the findings, so that a replay tells the same.
    let mut shares: Vec<Share> = findings
        .iter()
        .filter_map(|finding| {
            let share = strongest.remove(&(finding.feature.as_str(), finding.slice.as_ref()))?;
            Some(Share { feature: finding.feature.clone(), slice: finding.slice.clone(), share })
        })
        .collect();
    let total: f64 = shares.iter().map(|one| one.share).sum();
    shares.iter_mut().for_each(|one| one.share /= total.max(f64::MIN_POSITIVE));
    shares.sort_by(|a, b| b.share.total_cmp(&a.share));
    shares
}

/// Slices in which the column differs most from the rest, the largest standard score first. Of two slices that are the rest of
/// one another the scores are the same but for rounding: the one that is explained comes first.
fn contrasts(
    watch: &ModelWatch,
    run: &[Seen],
    (feature, explained): (&str, Option<&Slice>),
) -> Vec<Contrast> {
    let of_feature = watch.monitored().iter().enumerate().filter(|(_, one)| one.feature == feature);
    let mut contrasts: Vec<Contrast> = of_feature
        .filter_map(|(index, one)| {
            let (mean, expected, z) = means_of(watch, run, index)?;
            Some(Contrast { slice: one.slice.clone()?, kind: one.kind, means: (mean, expected), z })
        })
        .collect();
    contrasts.retain(|contrast| contrast.z.abs() >= LEAST_CONTRAST);
    let is_explained = |contrast: &Contrast| Some(&contrast.slice) == explained;
    contrasts.sort_by(|a, b| {
        let [a_size, b_size] = [a, b].map(|contrast| contrast.z.abs() as f32);
        b_size.total_cmp(&a_size).then(is_explained(b).cmp(&is_explained(a)))
    });
    contrasts.truncate(MOST);
    contrasts
}

#[cfg(test)]
#[path = "explain_tests.rs"]
mod tests;
