//! Sequential detectors over the closed panes of a version: from the counts of a pane to the values that a detector is
//! fed, and from its signals to one reading a pane.
//!
//! A pane knows counts, not values: a number stands for the middle of its cell, or for the cell's rank in the reference.
//! So a detector sees what the cut points let through, at most `draws` values a pane, in an order by seed
//! (`anchorwatch_detectors::sequential::pane`). Not here: panes, alerts, what is remembered between panes.

use std::borrow::Cow;
use std::collections::BTreeMap;

use anchorwatch_detectors::binning::Binning;
use anchorwatch_detectors::latency::{BUCKETS, bucket, bucket_bounds, quantile};
use anchorwatch_detectors::sequential::conformal::{Numeric, Options};
use anchorwatch_detectors::sequential::pane::draw;
use anchorwatch_detectors::sequential::wealth::Renewal;
use anchorwatch_detectors::sequential::{self, Detector, Sequential as _, Signal};

use super::estimate::middle;
use super::moved::{Reader, moved_bins};
use crate::alert::Moved;
use crate::config::{SequentialRule, SequentialValues, WatchedBy};
use crate::reference::{Layout, Reference};

/// Name of the panes that sequential detectors are fed, among the horizons.
pub const SEQUENTIAL: &str = "sequential";

/// The same of windows of predictions whose labels came later.
pub const SEQUENTIAL_LABELS: &str = "sequential_labels";

/// Whether windows with this name were fed to sequential detectors.
#[must_use]
pub fn is_sequential(horizon: &str) -> bool {
    matches!(horizon, SEQUENTIAL | SEQUENTIAL_LABELS)
}

/// Values of the reference that the e-detector ranks against, at most.
const MOST_RANKED: usize = 10_000;

/// Fewest values of the reference from which the e-detector takes its cells; else it learns them from the stream.
const FEWEST_RANKED: usize = 1_000;

/// The pane whose number no pane has, for draws from the reference.
const REFERENCE_PANE: u64 = u64::MAX;

/// What a detector watches, as a pane counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watched {
    /// The column at this position.
    Column(usize),
    /// The latency.
    Latency,
    /// Right and wrong predictions, in this order.
    Error,
    /// Rows with and without a value of the column at this position.
    Missing(usize),
    /// Latencies up to this bucket, it included, and beyond it.
    LatencyOver(usize),
}

/// Why a version does not feed a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfed {
    /// The reference has no such column.
    #[error("no reference has that column")]
    NoColumn,
    /// The detector takes values between 0 and 1, and the column has others.
    #[error("it takes values between 0 and 1, and the column has others; `values: rank` gives such")]
    NotBounded,
}

/// What one pane brought.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fed {
    /// Values that the detector was fed.
    pub values: usize,
    /// Worst that it said.
    pub signal: Signal,
    /// Its statistic when it said so.
    pub statistic: f64,
    /// What the statistic is judged by.
    pub threshold: f64,
}

/// A detector's place in a version: what each cell stands for, and how panes are drawn from.
#[derive(Debug, Clone, PartialEq)]
pub struct Feed {
    /// What it watches.
    pub watched: Watched,
    /// What each cell stands for.
    values: Vec<f64>,
    draws: usize,
    /// Seeds order and draws; the same for all detectors on one thing of a version.
    stream: u64,
}

impl Feed {
    /// The feed of a rule in a version that is judged against this reference.
    ///
    /// # Errors
    /// When the reference has no such column, or one whose values the detector would cut off.
    pub fn new(
        rule: &SequentialRule,
        reference: &Reference,
        (model, version): (&str, &str),
    ) -> Result<Self, Unfed> {
        let place = |name: &str| {
            let found = reference.columns.iter().position(|column| column.name == name);
            found.ok_or(Unfed::NoColumn)
        };
        // FHDDM watches accuracy.
        let share = if rule.detector.starts_with("fhddm") { [1.0, 0.0] } else { [0.0, 1.0] };
        let (watched, values) = match rule.watched() {
            WatchedBy::Latency => (Watched::Latency, latencies(rule, reference)),
            WatchedBy::Error => (Watched::Error, share.to_vec()),
            WatchedBy::Missing(name) => (Watched::Missing(place(name)?), share.to_vec()),
            WatchedBy::LatencyOver(limit) => {
                (Watched::LatencyOver(bucket(limit).unwrap_or(BUCKETS - 1)), share.to_vec())
            }
            WatchedBy::Column(name) => {
                let column = place(name)?;
                (Watched::Column(column), of_column(rule, reference, column))
            }
        };
        let stream = hash([model, version, &rule.on]);
        let feed = Self { watched, values, draws: rule.draws as usize, stream };
        let within = |(value, count): (&f64, &u64)| *count == 0 || (0.0..=1.0).contains(value);
        let counts = feed.cells(&reference.layout(), &reference.profile);
        match rule.takes_shares() && !feed.values.iter().zip(&*counts).all(within) {
            true => Err(Unfed::NotBounded),
            false => Ok(feed),
        }
    }

    /// The detector at its beginning. Means and deviations that are not given are those of the reference.
    #[must_use]
    pub fn detector(&self, rule: &SequentialRule, reference: &Reference) -> Option<Detector> {
        let mut given = rule.parameters.clone();
        let counts = self.cells(&reference.layout(), &reference.profile);
        if matches!(rule.detector.as_str(), "cusum" | "ewma")
            && let Some((mean, sd)) = moments(&self.values, &counts)
        {
            given.entry("mean".to_owned()).or_insert(mean);
            given.entry("sd".to_owned()).or_insert(sd);
        }
        if rule.detector == "e_detector" && !given.contains_key("warm_up") {
            let ranked: Vec<f64> = draw(&counts, MOST_RANKED, self.stream, REFERENCE_PANE)
                .into_iter()
                .filter_map(|cell| self.values.get(cell).copied())
                .collect();
            if ranked.len() >= FEWEST_RANKED {
                return Some(self.ranks(&given, &ranked));
            }
        }
        sequential::build(&rule.detector, &given).ok()
    }

    fn ranks(&self, given: &BTreeMap<String, f64>, ranked: &[f64]) -> Detector {
        let usual = Options::default();
        let of = |name: &str| given.get(name).copied();
        let options = Options {
            alarm_at: of("threshold").unwrap_or(usual.alarm_at),
            stream: of("stream").map_or(self.stream, |stream| stream as u64),
            renewal: if of("cusum") == Some(1.0) { Renewal::Raise } else { Renewal::Add },
            ..usual
        };
        Numeric::from_reference(ranked, of("cells").unwrap_or(20.0) as usize, &options).into()
    }

    /// Its counters among those of a pane or a profile; none for errors, which are counted apart.
    #[must_use]
    pub fn cells<'a>(&self, layout: &Layout, counts: &'a [u64]) -> Cow<'a, [u64]> {
        match self.watched {
            Watched::Column(column) => Cow::Borrowed(layout.column(counts, column).cells),
            Watched::Latency => Cow::Borrowed(layout.latency(counts)),
            Watched::Error => Cow::Borrowed(&[]),
            Watched::Missing(column) => {
                let counts = layout.column(counts, column);
                Cow::Owned(vec![counts.total() - counts.missing, counts.missing])
            }
            Watched::LatencyOver(bucket) => {
                let (up_to, over) = layout.latency(counts).split_at((bucket + 1).min(BUCKETS));
                Cow::Owned(vec![up_to.iter().sum(), over.iter().sum()])
            }
        }
    }

    /// Where values of a pane lie that did not in the reference; empty for errors, of which a reference knows none.
    #[must_use]
    pub fn moved(&self, reference: &Reference, layout: &Layout, counts: &[u64], show: bool) -> Vec<Moved> {
        let (own, profile) = (reference.layout(), &reference.profile);
        let share = |bin: &str| {
            let of = |cells: &[u64]| match cells {
                [no, yes] if no + yes > 0 => *yes as f64 / (no + yes) as f64,
                _ => 0.0,
            };
            let (from, to) = (of(&self.cells(&own, profile)), of(&self.cells(layout, counts)));
            vec![Moved { bin: bin.to_owned(), from, to }]
        };
        match self.watched {
            Watched::Column(column) => reference.columns.get(column).map_or_else(Vec::new, |known| {
                let (usual, now) = (own.column(profile, column), layout.column(counts, column));
                moved_bins(known, usual, now, Reader::Subscriber { show_categories: show })
            }),
            Watched::Latency => {
                let [usual, now] = [own.latency(profile), layout.latency(counts)];
                let of = |q: f64| {
                    let (from, to) = quantile(usual, q).zip(quantile(now, q))?;
                    Some(Moved { bin: format!("p{} (ms)", 100.0 * q), from, to })
                };
                [0.5, 0.95].into_iter().filter_map(of).collect()
            }
            Watched::Missing(_) => share("missing"),
            Watched::LatencyOver(_) => share("over the limit"),
            Watched::Error => Vec::new(),
        }
    }

    /// Feeds the detector one pane.
    pub fn feed(&self, detector: &mut Detector, cells: &[u64], pane: i64) -> Fed {
        let mut fed = Fed {
            values: 0,
            signal: Signal::Stable,
            statistic: detector.statistic(),
            threshold: detector.threshold(),
        };
        let drawn = draw(cells, self.draws, self.stream, pane.cast_unsigned());
        for value in drawn.into_iter().filter_map(|cell| self.values.get(cell)) {
            let signal = detector.update(*value);
            fed.values += 1;
            if signal >= fed.signal {
                (fed.signal, fed.statistic, fed.threshold) =
                    (signal, detector.statistic(), detector.threshold());
            }
        }
        fed
    }
}

/// What each cell of a column stands for: the middle of a number's cell, or the cell's rank.
fn of_column(rule: &SequentialRule, reference: &Reference, column: usize) -> Vec<f64> {
    let Some(known) = reference.columns.get(column) else { return Vec::new() };
    match (&known.binning, rule.values) {
        (Binning::Numeric(knots), SequentialValues::Value) => {
            (0..known.binning.cells()).map(|cell| middle(knots.knots(), cell)).collect()
        }
        _ => ranks(reference.layout().column(&reference.profile, column).cells),
    }
}

/// Middles of the latency's buckets in milliseconds, or their ranks.
fn latencies(rule: &SequentialRule, reference: &Reference) -> Vec<f64> {
    if rule.values == SequentialValues::Rank && reference.has_latency {
        return ranks(reference.layout().latency(&reference.profile));
    }
    let middle = |bucket| bucket_bounds(bucket).map_or(0.0, |(low, high)| f64::midpoint(low, high));
    (0..BUCKETS).map(middle).collect()
}

/// Share of the reference below a cell, and half of the cell's own.
fn ranks(cells: &[u64]) -> Vec<f64> {
    let all = cells.iter().sum::<u64>().max(1) as f64;
    let mut below = 0.0;
    let rank = |count: &u64| {
        let middle = below + *count as f64 / 2.0;
        below += *count as f64;
        middle / all
    };
    cells.iter().map(rank).collect()
}

/// Mean and standard deviation of what the cells stand for; `None` if they have no spread.
fn moments(values: &[f64], counts: &[u64]) -> Option<(f64, f64)> {
    let used = || values.iter().zip(counts).filter(|(value, count)| **count > 0 && value.is_finite());
    let all: f64 = used().map(|(_, count)| *count as f64).sum();
    let mean = used().map(|(value, count)| value * *count as f64).sum::<f64>() / all;
    let squares: f64 = used().map(|(value, count)| (value - mean).powi(2) * *count as f64).sum();
    let sd = (squares / all).sqrt();
    (sd.is_finite() && sd > 0.0).then_some((mean, sd))
}

/// A number for some names, the same in every build (FNV-1a; a zero byte ends each name).
fn hash(names: [&str; 3]) -> u64 {
    let bytes = names.into_iter().flat_map(|name| name.bytes().chain([0]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rank_is_the_share_below_and_half_of_its_own() {
        assert_eq!(ranks(&[2, 0, 4, 2]), [0.125, 0.25, 0.5, 0.875]);
        assert_eq!(ranks(&[0, 0]), [0.0, 0.0]);
    }

    #[test]
    fn the_moments_are_those_of_the_cells_in_use() {
        assert_eq!(moments(&[1.0, 5.0, f64::NAN], &[3, 1, 0]), Some((2.0, 3.0_f64.sqrt())));
        assert_eq!(moments(&[1.0, 5.0], &[3, 0]), None, "no spread");
        assert_eq!(moments(&[1.0], &[0]), None);
    }
}
