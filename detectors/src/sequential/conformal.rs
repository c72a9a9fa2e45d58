//! The conformal e-detector: Shiryaev–Roberts bets on ranks among all values seen so far.
//!
//! A value falls into one of a few ordered cells. Its randomised rank among the reference and the stream so far, itself
//! included, is `p = (values in lower cells + u · values in its cell) / values`, which is uniform and independent of all
//! ranks before it as long as reference and stream are exchangeable, whatever their law and their ties (Vovk et al.
//! 2021, *Retrain or not retrain*). Bets `1 + a (p - 1/2)` win when values move, `1 + a (12 (p - 1/2)² - 1)` when they
//! spread or shrink; see [`wealth`](crate::sequential::wealth) for what their wealth means. The pool of ranks must
//! include the stream: a fixed reference taken for exact triples the false alarms.
//!
//! `u` is a function of the stream's number and the value's, so a replay is the same to the bit. After an alarm the
//! wealth starts again from nothing; the pool stays, hence each run is as long as the first on average and a change that
//! lasts becomes, after some more alarms, the new normal.
//!
//! The cells must not depend on the values counted. Edges at quantiles of the counted reference itself cost a bias of
//! about one value per cell, which a reference of some hundred values per cell makes negligible.

use serde::{Deserialize, Serialize};

use super::parameters::{Parameter, Spec};
use super::wealth::{Renewal, Wealth};
use super::{Sequential, Signal, uniform};

const THRESHOLD: Parameter =
    Parameter::real("threshold", 1e5, 1.0, 1e300, "mean number of values to a false alarm, at least");
const CELLS: Parameter =
    Parameter::whole("cells", 20.0, 2.0, 1000.0, "cells of equal share that values are sorted into");
const WARM_UP: Parameter =
    Parameter::whole("warm_up", 200.0, 1.0, 1e5, "values that only decide where cells end");
const STREAM: Parameter =
    Parameter::whole("stream", 0.0, 0.0, 1e15, "number of the stream, which seeds the ranks of equal values");
const CUSUM: Parameter = Parameter::switch("cusum", "1 to accumulate bets by CUSUM, not Shiryaev–Roberts");

/// How to build it by name, without a reference: cells are learned from the first values.
pub(super) const SPEC: Spec = Spec {
    name: "e_detector",
    about: "conformal e-detector: mean time to a false alarm at least the threshold (Shin et al., Vovk et al.)",
    parameters: &[THRESHOLD, CELLS, WARM_UP, STREAM, CUSUM],
    build: |values| {
        let options = Options {
            alarm_at: values.get(&THRESHOLD),
            stream: values.count(&STREAM),
            renewal: if values.on(&CUSUM) { Renewal::Raise } else { Renewal::Add },
            ..Options::default()
        };
        let (cells, warm_up) = (values.count(&CELLS) as usize, values.count(&WARM_UP) as usize);
        Ok(Numeric {
            edges: Vec::new(),
            cells,
            learning: Some(Vec::new()),
            warm_up,
            ranks: Ranks::new(Vec::new(), &options),
        }
        .into())
    },
};

/// What the gambler does.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// The wealth that is an alarm; the mean number of values to a false alarm is at least this.
    pub alarm_at: f64,
    /// The number of the stream, which seeds the randomised ranks.
    pub stream: u64,
    /// Factors `a` of the bets on a shift; kept within -2 to 2.
    pub linear: Vec<f64>,
    /// Factors `a` of the bets on a change of spread; kept within -1/2 to 1.
    pub quadratic: Vec<f64>,
    /// How wealth is renewed.
    pub renewal: Renewal,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            alarm_at: 1e5,
            stream: 0,
            linear: vec![-1.6, -0.8, -0.4, -0.2, 0.2, 0.4, 0.8, 1.6],
            quadratic: vec![-0.45, -0.2, 0.2, 0.45, 0.9],
            renewal: Renewal::Add,
        }
    }
}

/// The e-detector on cells, numeric or categorical.
///
/// ```
/// use anchorwatch_detectors::sequential::conformal::{Options, Ranks};
/// use anchorwatch_detectors::sequential::Signal;
///
/// let reference = vec![500; 10];
/// let mut detector = Ranks::new(reference, &Options::default());
/// let delay = (1..1000).find(|_| detector.update(9) == Signal::Drift);
/// assert_eq!(delay, Some(25));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ranks {
    counts: Vec<u64>,
    linear: Vec<f64>,
    quadratic: Vec<f64>,
    /// One per bet, in the order of the factors.
    wealth: Vec<Wealth>,
    renewal: Renewal,
    alarm_at: f64,
    stream: u64,
    taken: u64,
    p: f64,
    signal: Signal,
}

impl Ranks {
    /// Starts from the reference's counts per cell; all zero is allowed, and the stream is then its own reference.
    ///
    /// Factors of bets beyond their range are brought back to it, NaN to 0; without any bet there is never an alarm.
    #[must_use]
    pub fn new(reference: Vec<u64>, options: &Options) -> Self {
        let within = |factors: &[f64], low: f64, high: f64| -> Vec<f64> {
            factors.iter().map(|a| if a.is_nan() { 0.0 } else { a.clamp(low, high) }).collect()
        };
        let linear = within(&options.linear, -2.0, 2.0);
        let quadratic = within(&options.quadratic, -0.5, 1.0);
        Self {
            counts: reference,
            wealth: vec![Wealth::default(); linear.len() + quadratic.len()],
            linear,
            quadratic,
            renewal: options.renewal,
            alarm_at: if options.alarm_at.is_nan() { 1.0 } else { options.alarm_at.clamp(1.0, f64::MAX) },
            stream: options.stream,
            taken: 0,
            p: 0.5,
            signal: Signal::Stable,
        }
    }

    /// Takes a value's cell; a cell that does not exist is ignored.
    pub fn update(&mut self, cell: usize) -> Signal {
        self.update_with(cell, uniform(self.stream, self.taken))
    }

    /// Takes a value's cell and the place of the value within it, `u`, which must be drawn evenly from 0 to 1.
    ///
    /// A `u` outside is ignored, value and all.
    pub fn update_with(&mut self, cell: usize, u: f64) -> Signal {
        if self.signal == Signal::Drift {
            self.restart();
        }
        if self.bet(cell, u) && self.statistic() >= self.alarm_at {
            self.signal = Signal::Drift;
        }
        self.signal
    }

    /// The randomised rank of the latest value, within 0 to 1; 1/2 before the first.
    #[must_use]
    pub fn p_value(&self) -> f64 {
        self.p
    }

    /// The mean wealth over all bets: evidence against "nothing has changed".
    #[must_use]
    pub fn wealth(&self) -> Wealth {
        Wealth::mean(&self.wealth)
    }

    /// The mean wealth as a number.
    #[must_use]
    pub fn statistic(&self) -> f64 {
        self.wealth().value()
    }

    /// Counts per cell, of the reference and the stream.
    #[must_use]
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// Starts with no wealth; the pool stays.
    fn restart(&mut self) {
        self.wealth.fill(Wealth::default());
        self.signal = Signal::Stable;
    }

    /// Counts the value and settles all bets on its rank; false if there is no such cell or place.
    fn bet(&mut self, cell: usize, u: f64) -> bool {
        if !(0.0..=1.0).contains(&u) {
            return false;
        }
        let Some(count) = self.counts.get_mut(cell) else { return false };
        *count = count.saturating_add(1);
        let own = *count as f64;
        self.taken = self.taken.wrapping_add(1);
        let sum = |counts: &[u64]| counts.iter().fold(0u64, |sum, &count| sum.saturating_add(count)) as f64;
        let below = sum(self.counts.get(..cell).unwrap_or_default());
        self.p = ((below + u * own) / sum(&self.counts)).min(1.0);
        let centred = self.p - 0.5;
        let square = 12.0 * centred * centred - 1.0;
        let shifts = self.linear.iter().map(|a| 1.0 + a * centred);
        let spreads = self.quadratic.iter().map(|a| 1.0 + a * square);
        for (wealth, factor) in self.wealth.iter_mut().zip(shifts.chain(spreads)) {
            *wealth = wealth.bet(factor, self.renewal);
        }
        true
    }
}

/// The e-detector on a number, with cells between given edges or edges learned from the first values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Numeric {
    /// Upper ends of all cells but the last, which has none; a value at an end belongs to the cell below.
    edges: Vec<f64>,
    cells: usize,
    /// The first values, until there are enough to set edges.
    learning: Option<Vec<f64>>,
    warm_up: usize,
    ranks: Ranks,
}

impl Numeric {
    /// Starts from a reference sample: edges at its quantiles, its values in the pool. NaN and infinities are left out.
    ///
    /// Without a single finite value the edges are learned from the first 200 values of the stream.
    #[must_use]
    pub fn from_reference(reference: &[f64], cells: usize, options: &Options) -> Self {
        let mut sorted: Vec<f64> = reference.iter().copied().filter(|x| x.is_finite()).collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let edges = edges(&sorted, cells);
        let learning = sorted.is_empty().then(Vec::new);
        let mut counts = vec![0; if sorted.is_empty() { 0 } else { edges.len() + 1 }];
        for value in &sorted {
            if let Some(count) = counts.get_mut(cell(&edges, *value)) {
                *count += 1;
            }
        }
        Self { edges, cells, learning, warm_up: 200, ranks: Ranks::new(counts, options) }
    }

    /// The detector on cells inside.
    #[must_use]
    pub fn ranks(&self) -> &Ranks {
        &self.ranks
    }
}

/// Distinct order statistics that part a sorted sample into about equal cells.
fn edges(sorted: &[f64], cells: usize) -> Vec<f64> {
    let n = sorted.len();
    let rank = |i: usize| (i.saturating_mul(n)).div_ceil(cells.max(1)).max(1) - 1;
    let mut edges: Vec<f64> = (1..cells).filter_map(|i| sorted.get(rank(i)).copied()).collect();
    edges.dedup();
    edges
}

fn cell(edges: &[f64], value: f64) -> usize {
    edges.partition_point(|&edge| edge < value)
}

impl Sequential for Numeric {
    fn step(&mut self, value: f64) -> Signal {
        let Some(first) = &mut self.learning else {
            return self.ranks.update(cell(&self.edges, value));
        };
        first.push(value);
        if first.len() >= self.warm_up {
            first.sort_unstable_by(f64::total_cmp);
            self.edges = edges(first, self.cells);
            // What set the edges is not counted: it would rank differently from what comes after.
            self.ranks.counts = vec![0; self.edges.len() + 1];
            self.learning = None;
        }
        Signal::Stable
    }

    fn statistic(&self) -> f64 {
        self.ranks.statistic()
    }

    fn threshold(&self) -> f64 {
        self.ranks.alarm_at
    }
}

/// The alarm of a whole model: the mean wealth of its features, with the same guarantee however they depend.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Model {
    features: Vec<Ranks>,
    alarm_at: f64,
    signal: Signal,
}

impl Model {
    /// Takes the features' detectors; their own alarm levels play no role here. At least 1 is needed for an alarm.
    #[must_use]
    pub fn new(features: Vec<Ranks>, alarm_at: f64) -> Self {
        let alarm_at = if alarm_at.is_nan() { 1.0 } else { alarm_at.clamp(1.0, f64::MAX) };
        Self { features, alarm_at, signal: Signal::Stable }
    }

    /// Takes one cell per feature, in their order; a feature whose cell is missing or unknown stands still.
    pub fn update(&mut self, cells: &[usize]) -> Signal {
        if self.signal == Signal::Drift {
            self.features.iter_mut().for_each(Ranks::restart);
            self.signal = Signal::Stable;
        }
        for (feature, &cell) in self.features.iter_mut().zip(cells) {
            let u = uniform(feature.stream, feature.taken);
            feature.bet(cell, u);
        }
        if self.wealth().value() >= self.alarm_at {
            self.signal = Signal::Drift;
        }
        self.signal
    }

    /// The mean wealth over all features.
    #[must_use]
    pub fn wealth(&self) -> Wealth {
        let wealths: Vec<Wealth> = self.features.iter().map(Ranks::wealth).collect();
        Wealth::mean(&wealths)
    }

    /// Each feature's wealth, in their order: the largest is what the alarm is about.
    pub fn feature_wealths(&self) -> impl Iterator<Item = Wealth> {
        self.features.iter().map(Ranks::wealth)
    }
}
