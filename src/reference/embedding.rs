//! All columns of a row as a few numbers: random Fourier features (Rahimi and Recht 2007) of the scores of its cells. Their
//! sums are joint terms like those of pairs, whole numbers that merge and subtract, so that the maximum mean discrepancy
//! between a window and the baseline can be read off its counters. Directions follow from the seed that is kept.

use anchorwatch_detectors::multivariate::RandomFeatures;
use serde::{Deserialize, Serialize};

/// Most features of a row.
pub const MOST_FEATURES: usize = 512;

/// One in the fixed point of a feature.
const FEATURE_ONE: f64 = 1_048_576.0;

/// Chance passes what is allowed for it in so many windows.
const SELDOM: f64 = 1e-3;

/// What chance is allowed, in means of the squared discrepancy, where a reference does not say: that of few directions.
const ALLOWED: f64 = 4.0;

/// Part of the rows of a usual window of the baseline from which one says how windows differ.
const ENOUGH: f64 = 0.25;

/// Angles are whole numbers, 2³² of which are a turn, so that sums of them go round by themselves.
const TURN: f64 = 4_294_967_296.0;

/// Bits of an angle that choose a cosine; the others interpolate to the next, which errs by less than a unit of a feature.
const CHOOSE: u32 = 12;
const BETWEEN: u32 = 32 - CHOOSE;

/// What of an embedding is kept in a reference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Stored {
    seed: u64,
    sigma: f64,
    features: usize,
    /// For each column, the scores of its cells as in [`super::Joint`]; empty for columns that are left out.
    scores: Vec<Vec<i32>>,
    /// Mean of each feature over the baseline, and its rows.
    mean: Vec<f64>,
    rows: u64,
    /// Largest squared discrepancy of a window of the baseline beyond what chance adds; absent without windows.
    between: Option<f64>,
    /// What chance is allowed, as a squared discrepancy of one row; absent in references made before it was worked out.
    #[serde(default)]
    seldom: Option<f64>,
}

/// Features of rows, and what the baseline says of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub struct Embedding {
    stored: Stored,
    /// By column in use: its position, and what a score of one adds to the angle of each feature.
    weights: Vec<(usize, Vec<u32>)>,
    phases: Vec<u32>,
    cosines: Vec<i32>,
}

impl From<Stored> for Embedding {
    fn from(stored: Stored) -> Self {
        let used: Vec<usize> = (0..stored.scores.len()).filter(|at| !stored.scores[*at].is_empty()).collect();
        let features = stored.features.min(MOST_FEATURES);
        let random = RandomFeatures::new(used.len(), features, stored.sigma, stored.seed);
        let turns = |radians: f64| {
            let turns = radians / std::f64::consts::TAU;
            ((turns - turns.floor()) * TURN).round() as u64 as u32
        };
        let directions = || random.iter().flat_map(RandomFeatures::directions);
        let weights = used.iter().enumerate().map(|(place, column)| {
            let of_one = |(weights, _): (&[f64], f64)| turns(weights[place] / super::joint::SCORE_ONE);
            (*column, directions().map(of_one).collect())
        });
        let weights = weights.collect();
        let phases = directions().map(|(_, phase)| turns(phase)).collect();
        let cosine = |place: u32| {
            let angle = f64::from(place) / f64::from(1_u32 << CHOOSE) * std::f64::consts::TAU;
            (angle.cos() * FEATURE_ONE).round() as i32
        };
        let cosines = (0..=1 << CHOOSE).map(cosine).collect();
        Self { weights, phases, cosines, stored }
    }
}

impl From<Embedding> for Stored {
    fn from(embedding: Embedding) -> Self {
        embedding.stored
    }
}

impl Embedding {
    /// Features of rows in directions that follow from `seed`, for the Gaussian kernel of width `sigma`; `scores` are those
    /// of each column's cells in fixed point, empty for columns that are left out, and `sample` those of some rows of the
    /// baseline, without such columns, which say how much chance may do.
    #[must_use]
    pub fn new(features: usize, sigma: f64, seed: u64, scores: Vec<Vec<i32>>, sample: &[Vec<f64>]) -> Self {
        let used = scores.iter().filter(|scores| !scores.is_empty()).count();
        let random = RandomFeatures::new(used, features.min(MOST_FEATURES), sigma, seed);
        let seldom = random.and_then(|random| random.seldom(sample, SELDOM));
        let (mean, rows, between) = (Vec::new(), 0, None);
        Stored { seed, sigma, features, scores, mean, rows, between, seldom }.into()
    }

    /// What the squared discrepancy of one row seldom passes by chance; that of many is so many times less.
    fn seldom(&self) -> f64 {
        self.stored.seldom.unwrap_or_else(|| ALLOWED * self.noise())
    }

    /// Number of features.
    #[must_use]
    pub fn features(&self) -> usize {
        self.phases.len()
    }

    /// Columns that are looked at, by position.
    pub fn columns(&self) -> impl Iterator<Item = usize> + '_ {
        self.weights.iter().map(|(column, _)| *column)
    }

    /// Whether the scores fit columns of so many cells.
    pub(super) fn fits(&self, cells: &[usize]) -> bool {
        let fits = |(scores, cells): (&Vec<i32>, &usize)| scores.is_empty() || scores.len() == *cells;
        self.stored.scores.len() == cells.len()
            && self.stored.scores.iter().zip(cells).all(fits)
            && self.features() == self.stored.features
            && (self.stored.mean.is_empty() || self.stored.mean.len() == self.features())
    }

    /// What one stands for in the integers of a feature.
    pub(super) const fn one() -> f64 {
        FEATURE_ONE
    }

    /// Hands out each feature of a row, as an integer: the cosine of its angle. A column without a cell counts as its mean.
    pub(super) fn each(&self, cells: &[usize], mut put: impl FnMut(usize, i64)) {
        let mut angles = [0_u32; MOST_FEATURES];
        let angles = &mut angles[..self.phases.len()];
        angles.copy_from_slice(&self.phases);
        for (column, weights) in &self.weights {
            let score = cells.get(*column).and_then(|cell| self.stored.scores[*column].get(*cell));
            let score = score.copied().unwrap_or(0).cast_unsigned();
            let both = angles.iter_mut().zip(weights);
            both.for_each(|(angle, weight)| *angle = angle.wrapping_add(score.wrapping_mul(*weight)));
        }
        for (feature, angle) in angles.iter().enumerate() {
            put(feature, self.cosine(*angle));
        }
    }

    fn cosine(&self, angle: u32) -> i64 {
        let place = (angle >> BETWEEN) as usize;
        let at = |place: usize| self.cosines.get(place).map_or(0, |cosine| i64::from(*cosine));
        let (low, high) = (at(place), at(place + 1));
        low + (((high - low) * i64::from(angle & ((1 << BETWEEN) - 1))) >> BETWEEN)
    }

    /// The same, knowing what the baseline shows: the sum of each feature over windows of so many rows, those without times
    /// as one, and whether they are windows.
    #[must_use]
    pub fn learned(mut self, windows: &[(u64, Vec<f64>)], timed: bool) -> Self {
        let rows: u64 = windows.iter().map(|(rows, _)| rows).sum();
        let sum = |feature: usize| windows.iter().filter_map(|(_, sums)| sums.get(feature)).sum::<f64>();
        self.stored.rows = rows;
        self.stored.mean = (0..self.features()).map(|feature| sum(feature) / rows.max(1) as f64).collect();
        let usual = rows as f64 / windows.len().max(1) as f64;
        let beyond = |(rows, sums): &(u64, Vec<f64>)| {
            let rows_ = *rows as f64;
            (rows_ > ENOUGH * usual).then(|| (self.square(*rows, sums) - self.seldom() / rows_).max(0.0))
        };
        let between = windows.iter().filter_map(beyond).reduce(f64::max);
        self.stored.between = between.filter(|_| timed);
        self
    }

    /// Squared distance of the mean features of so many rows with these sums from the baseline's.
    fn square(&self, rows: u64, sums: &[f64]) -> f64 {
        let rows = rows.max(1) as f64;
        let squares = sums.iter().zip(&self.stored.mean).map(|(sum, mean)| (sum / rows - mean).powi(2));
        2.0 / self.features().max(1) as f64 * squares.sum::<f64>()
    }

    /// Variance of one row's features around their means, together.
    fn noise(&self) -> f64 {
        let squares: f64 = self.stored.mean.iter().map(|mean| mean * mean).sum();
        (1.0 - 2.0 / self.features().max(1) as f64 * squares).max(0.0)
    }

    /// The discrepancy of a window of so many rows with these sums, beside what chance and the baseline's windows make of it.
    /// `None` without a baseline, or rows.
    #[must_use]
    pub fn discrepancy(&self, rows: u64, sums: &[f64]) -> Option<Discrepancy> {
        let known = self.stored.rows > 0 && rows > 0 && sums.len() == self.features();
        known.then(|| Discrepancy {
            statistic: self.square(rows, sums).sqrt(),
            by_chance: self.seldom() * (1.0 / rows as f64 + 1.0 / self.stored.rows as f64),
            of_baseline: self.stored.between,
        })
    }
}

/// A window's maximum mean discrepancy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Discrepancy {
    /// Distance of the mean features.
    pub statistic: f64,
    /// What its square seldom passes by chance alone.
    pub by_chance: f64,
    /// What the square of the baseline's most different window is beyond that; absent without windows.
    pub of_baseline: Option<f64>,
}

#[cfg(test)]
mod tests {
    use anchorwatch_detectors::multivariate::FeatureSums;

    use super::super::Joint;
    use super::*;

    const SCORES: [[f64; 4]; 2] = [[-1.4, -0.4, 0.5, 1.3], [-1.0, -0.9, 0.2, 1.7]];

    fn embedding() -> Embedding {
        let fixed = SCORES.map(|scores| Joint::fixed(&scores));
        // A column that is left out stands between the two.
        Embedding::new(64, 0.8, 7, vec![fixed[0].clone(), Vec::new(), fixed[1].clone()], &[])
    }

    /// Rows of cells of both columns.
    fn rows(seed: usize) -> impl Iterator<Item = [usize; 2]> {
        (0..300).map(move |row| [(row * 7 + seed) % 4, (row * row + seed * row) % 4])
    }

    fn sums(embedding: &Embedding, seed: usize) -> (u64, Vec<f64>) {
        let mut sums = vec![0_i64; embedding.features()];
        for [a, b] in rows(seed) {
            embedding.each(&[a, 3, b], |feature, value| sums[feature] += value);
        }
        (300, sums.iter().map(|sum| *sum as f64 / FEATURE_ONE).collect())
    }

    #[test]
    fn sums_in_panes_are_those_of_the_batch_detector() {
        let random = RandomFeatures::new(2, 64, 0.8, 7).expect("a sound kernel");
        // Scores as they are kept.
        let score = |column: usize, cell: usize| {
            f64::from(Joint::fixed(&SCORES[column])[cell]) / super::super::joint::SCORE_ONE
        };
        let batch = |seed: usize| {
            let mut batch = FeatureSums::new(&random);
            for [a, b] in rows(seed) {
                batch.add(&random, &[score(0, a), score(1, b)]).expect("finite");
            }
            batch
        };
        let embedding = embedding();
        let learned = embedding.clone().learned(&[sums(&embedding, 1)], true);
        let (rows, of_window) = sums(&embedding, 2);
        let found = learned.discrepancy(rows, &of_window).expect("rows");
        // The batch estimate is unbiased: it leaves out what rows have in common with themselves.
        let unbiased = batch(1).mmd2(&batch(2)).expect("rows");
        let biased = found.statistic.powi(2);
        assert!((biased - unbiased).abs() < 2.0 / 299.0 * 1.01, "{biased} {unbiased}");
        let near = |a: f64, b: f64| (a - b).abs() < 1e-5;
        let scale = (2.0 / 64.0_f64).sqrt();
        let mean = random.of_row(&[score(0, 1), score(1, 2)]).expect("finite");
        embedding.each(&[1, usize::MAX, 2], |feature, value| {
            assert!(near(mean[feature], scale * value as f64 / FEATURE_ONE), "{feature}");
        });
    }

    #[test]
    fn a_window_like_the_baseline_differs_by_chance_and_a_value_that_is_missing_counts_as_the_mean() {
        let embedding = embedding();
        let (rows, same) = sums(&embedding, 1);
        let learned = embedding.clone().learned(&[(rows, same.clone())], false);
        let found = learned.discrepancy(rows, &same).expect("rows");
        assert!(
            found.statistic < 1e-9 && found.by_chance > 0.005 && found.of_baseline.is_none(),
            "{found:?}"
        );
        assert_eq!(embedding.discrepancy(rows, &same), None, "nothing was learned");
        let mut missing = 0;
        embedding.each(&[usize::MAX; 3], |_, value| missing += i64::from(value != 0));
        assert!(missing > 50);
        assert_eq!(learned.columns().collect::<Vec<_>>(), [0, 2]);
    }

    /// Numbers without a clock: the same at every run.
    struct Chance(u64);

    impl Chance {
        fn uniform(&mut self) -> f64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 40) as f64 / 16_777_216.0
        }

        fn below(&mut self, limit: usize) -> usize {
            ((self.uniform() * limit as f64) as usize).min(limit - 1)
        }
    }

    /// Chance passes what is allowed for it as seldom as is said, with few columns and with many.
    #[test]
    fn windows_like_the_baseline_seldom_pass_what_chance_is_allowed() {
        let mut chance = Chance(11);
        for (columns, seed) in [(2_usize, 9), (2, 10), (2, 12), (12, 9), (12, 10)] {
            let scores: Vec<f64> = (0..32).map(|cell| (f64::from(cell) - 15.5) / 9.233).collect();
            let sigma = 1.3 * (columns as f64).sqrt();
            let row =
                |chance: &mut Chance| -> Vec<usize> { (0..columns).map(|_| chance.below(32)).collect() };
            let sample: Vec<Vec<f64>> =
                (0..400).map(|_| row(&mut chance).iter().map(|cell| scores[*cell]).collect()).collect();
            let embedding = Embedding::new(32, sigma, seed, vec![Joint::fixed(&scores); columns], &sample);
            let window = |chance: &mut Chance, rows: usize| {
                let mut sums = vec![0_i64; embedding.features()];
                for _ in 0..rows {
                    embedding.each(&row(chance), |feature, value| sums[feature] += value);
                }
                (rows as u64, sums.iter().map(|sum| *sum as f64 / FEATURE_ONE).collect::<Vec<_>>())
            };
            let learned = embedding.clone().learned(&[window(&mut chance, 20_000)], false);
            let passed = |(rows, sums): (u64, Vec<f64>)| {
                learned.discrepancy(rows, &sums).is_some_and(|one| one.statistic.powi(2) > one.by_chance)
            };
            let over = (0..10_000).filter(|_| passed(window(&mut chance, 60))).count();
            eprintln!("{columns} columns, seed {seed}: passed by {over} of 10,000");
            assert!((1..=20).contains(&over), "{over} of 10,000 with {columns} columns");
        }
    }

    #[test]
    fn an_embedding_comes_back_from_its_seed() {
        let learned = embedding().learned(&[sums(&embedding(), 3)], true);
        let text = serde_json::to_string(&learned).expect("JSON");
        assert_eq!(serde_json::from_str::<Embedding>(&text).expect("an embedding"), learned);
        assert!(learned.fits(&[4, 9, 4]) && !learned.fits(&[4, 9, 5]) && !learned.fits(&[4, 9]));
    }
}
