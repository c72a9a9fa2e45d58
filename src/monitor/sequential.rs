//! Sequential detectors over the closed panes of a version: from the counts of a pane to the values that a detector is
//! fed, and from its signals to one reading a pane.
//!
//! A pane knows counts, not values: a number stands for the middle of its cell, or for the cell's rank in the reference.
//! So a detector sees what the cut points let through, at most `draws` values a pane, in an order by seed
//! (`anchorwatch_detectors::sequential::pane`). Not here: panes, alerts, what is remembered between panes.

use std::collections::BTreeMap;

use anchorwatch_detectors::binning::Binning;
use anchorwatch_detectors::latency::{BUCKETS, bucket_bounds};
use anchorwatch_detectors::sequential::conformal::{Numeric, Options};
use anchorwatch_detectors::sequential::pane::draw;
use anchorwatch_detectors::sequential::wealth::Renewal;
use anchorwatch_detectors::sequential::{self, Detector, Sequential as _, Signal};

use super::estimate::middle;
use crate::config::{ON_ERROR, ON_LATENCY, SequentialRule, SequentialValues};
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
    /// The feed of a rule in a version that is judged against this reference; `None` if the reference has no such column.
    #[must_use]
    pub fn new(rule: &SequentialRule, reference: &Reference, (model, version): (&str, &str)) -> Option<Self> {
        let (watched, values) = match rule.on.as_str() {
            ON_LATENCY => (Watched::Latency, latencies(rule, reference)),
            // FHDDM watches accuracy.
            ON_ERROR if rule.detector.starts_with("fhddm") => (Watched::Error, vec![1.0, 0.0]),
            ON_ERROR => (Watched::Error, vec![0.0, 1.0]),
            name => {
                let column = reference.columns.iter().position(|column| column.name == name)?;
                (Watched::Column(column), of_column(rule, reference, column))
            }
        };
        let stream = hash([model, version, &rule.on]);
        Some(Self { watched, values, draws: rule.draws as usize, stream })
    }

    /// The detector at its beginning. Means and deviations that are not given are those of the reference.
    #[must_use]
    pub fn detector(&self, rule: &SequentialRule, reference: &Reference) -> Option<Detector> {
        let mut given = rule.parameters.clone();
        let counts = self.cells(&reference.layout(), &reference.profile);
        if matches!(rule.detector.as_str(), "cusum" | "ewma")
            && let Some((mean, sd)) = moments(&self.values, counts)
        {
            given.entry("mean".to_owned()).or_insert(mean);
            given.entry("sd".to_owned()).or_insert(sd);
        }
        if rule.detector == "e_detector" && !given.contains_key("warm_up") {
            let ranked: Vec<f64> = draw(counts, MOST_RANKED, self.stream, REFERENCE_PANE)
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
    pub fn cells<'a>(&self, layout: &Layout, counts: &'a [u64]) -> &'a [u64] {
        match self.watched {
            Watched::Column(column) => layout.column(counts, column).cells,
            Watched::Latency => layout.latency(counts),
            Watched::Error => &[],
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
