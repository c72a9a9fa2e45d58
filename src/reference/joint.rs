//! What counts per column cannot say: how score and label, and pairs of columns, go together. Each term is the sum of
//! a bounded score of one event, kept as an integer, so that it merges and subtracts exactly like a count.
//!
//! Here live the choice of terms and the amounts that one event adds. The scores of a column's cells are the first
//! orthonormal polynomial of its mid-rank under the baseline, in fixed point, stored with the reference: whoever counts
//! again gets the same integers.

use serde::{Deserialize, Serialize};

use super::{Embedding, Expected, Layout};

/// One in the fixed point of a column's scores.
pub(super) const SCORE_ONE: f64 = 1_024.0;

/// Largest score of a cell, in standard deviations.
const LARGEST_SCORE: f64 = 8.0;

/// One in the fixed point of a residual.
const RESIDUAL_ONE: f64 = 4_096.0;

/// What is added to a term so that it is never negative: more than the largest product. The sum of 10¹¹ events fits.
const BIAS: i64 = 1 << 27;

/// Terms of the residual between score and label.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ResidualTerms {
    /// Position of the score's column.
    pub score: usize,
    /// Position of the label's column.
    pub label: usize,
    /// Residuals are divided by this, and then bounded by 1: 1 for a label of 0 and 1.
    pub scale: f64,
    /// For each cell of the score, the standardised logit of its middle (or its rank score), in fixed point.
    pub slope: Vec<i32>,
    /// Columns whose scores are multiplied with the residual: which input has another effect than it had.
    pub columns: Vec<usize>,
    /// Name of the label that counts as 1; every other name is 0. Absent where labels are numbers or truth values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub positive: Option<String>,
    /// The quantile of the label, between 0 and 1, that the score foretells; absent if it foretells its mean, or nobody said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantile: Option<f64>,
}

/// Whether this is a share of which there is a quantile.
#[must_use]
pub fn is_quantile(share: f64) -> bool {
    share > 0.0 && share < 1.0
}

impl ResidualTerms {
    /// Label minus score over the scale, bounded, in fixed point.
    fn residual(&self, outcome: Outcome) -> i64 {
        let residual = ((outcome.label - outcome.score) / self.scale).clamp(-1.0, 1.0);
        (residual * RESIDUAL_ONE).round() as i64
    }
}

/// The terms of a reference.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Joint {
    /// For each column, the scores of its cells in fixed point; empty for columns without.
    pub scores: Vec<Vec<i32>>,
    /// Score against label, if the baseline has both.
    pub residual: Option<ResidualTerms>,
    /// Pairs of columns.
    pub pairs: Vec<(usize, usize)>,
    /// All columns together, where that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedding: Option<Embedding>,
    /// Whether the different values that are in no category are told apart; not in references made before they were.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub new_values: bool,
    /// What an event lets expect before its label, where that needs two columns; learned last, of the baseline's labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Expected>,
}

/// Moments of the residual itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Mean of label minus score.
    Calibration,
    /// Mean of the residual times the score's logit.
    Slope,
    /// Mean of the squared residual.
    Brier,
}

impl Moment {
    /// All, in the order of their counters.
    pub const ALL: [Self; 3] = [Self::Calibration, Self::Slope, Self::Brier];
}

/// What one event shows of score and label.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// The model's output.
    pub score: f64,
    /// The truth.
    pub label: f64,
}

impl Joint {
    /// Scores of a column's cells as fixed point, bounded.
    #[must_use]
    pub fn fixed(scores: &[f64]) -> Vec<i32> {
        scores.iter().map(|x| (x.clamp(-LARGEST_SCORE, LARGEST_SCORE) * SCORE_ONE).round() as i32).collect()
    }

    /// Number of terms: the residual's moments, then its columns, then the pairs, then the features of the embedding, then
    /// what is expected.
    #[must_use]
    pub fn terms(&self) -> usize {
        self.first_expected() + self.expected.as_ref().map_or(0, Expected::terms)
    }

    /// The first term of what is expected.
    fn first_expected(&self) -> usize {
        self.first_feature() + self.embedding.as_ref().map_or(0, Embedding::features)
    }

    /// Events and sum of each term of what is expected of a window.
    pub fn expected_sums<'a>(
        &'a self,
        layout: &'a Layout,
        counts: &'a [u64],
    ) -> impl Iterator<Item = (f64, f64)> + 'a {
        (self.first_expected()..self.terms()).map(|term| self.sum(layout, counts, term))
    }

    /// The first term that is a feature of the embedding.
    fn first_feature(&self) -> usize {
        self.residual_terms() + self.pairs.len()
    }

    /// Rows of a window, and the sum of each feature of the embedding over them; `None` if there is no embedding.
    #[must_use]
    pub fn features(&self, layout: &Layout, counts: &[u64]) -> Option<(u64, Vec<f64>)> {
        let features = 0..self.embedding.as_ref()?.features();
        let sums: Vec<(f64, f64)> =
            features.map(|feature| self.sum(layout, counts, self.first_feature() + feature)).collect();
        let rows = sums.first().map_or(0, |(rows, _)| *rows as u64);
        Some((rows, sums.into_iter().map(|(_, sum)| sum).collect()))
    }

    /// Number of counters: events and sum of each term.
    #[must_use]
    pub fn len(&self) -> usize {
        2 * self.terms()
    }

    /// Whether there are no terms.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.terms() == 0
    }

    /// Number of terms of the residual, which stand before the pairs.
    #[must_use]
    pub fn residual_terms(&self) -> usize {
        self.residual.as_ref().map_or(0, |terms| Moment::ALL.len() + terms.columns.len())
    }

    /// Whether the terms fit these columns, given the number of cells of each.
    #[must_use]
    pub fn fits(&self, cells: &[usize]) -> bool {
        let scored = |column: &usize| {
            self.scores
                .get(*column)
                .zip(cells.get(*column))
                .is_some_and(|(scores, cells)| scores.len() == *cells)
        };
        let residual = self.residual.as_ref().is_none_or(|terms| {
            cells.get(terms.score).is_some_and(|cells| *cells == terms.slope.len())
                && terms.label < cells.len()
                && terms.scale.is_finite()
                && terms.scale > 0.0
                && terms.quantile.is_none_or(is_quantile)
                && terms.columns.iter().all(scored)
        });
        let embedding = self.embedding.as_ref().is_none_or(|embedding| embedding.fits(cells));
        let expected = self.expected.as_ref().is_none_or(|expected| expected.fits(cells));
        residual && embedding && expected && self.pairs.iter().all(|(a, b)| scored(a) && scored(b))
    }

    /// What one event adds to the counters of the residual's mean and of its square, without any column; nothing if score
    /// and label are not compared.
    #[must_use]
    pub fn moments(&self, outcome: Outcome) -> Option<[(usize, u64); 4]> {
        let residual = self.residual.as_ref()?.residual(outcome);
        let (first, third) = (2 * Moment::Calibration as usize, 2 * Moment::Brier as usize);
        let [events, sum] = Self::added(1, residual);
        let [_, squares] = Self::added(1, residual * residual);
        Some([(first, events), (first + 1, sum), (third, events), (third + 1, squares)])
    }

    /// Hands out each term that one event has, as an integer. `cells` gives the cell of each column, `usize::MAX` where
    /// the value is none.
    pub fn each(&self, cells: &[usize], outcome: Option<Outcome>, mut put: impl FnMut(usize, i64)) {
        if let Some(outcome) = outcome {
            self.each_of_residual(cells, outcome, &mut put);
        }
        let first = self.residual_terms();
        for (index, (a, b)) in self.pairs.iter().enumerate() {
            if let Some((a, b)) = self.score(cells, *a).zip(self.score(cells, *b)) {
                put(first + index, a * b);
            }
        }
        if let Some(embedding) = &self.embedding {
            let first = self.first_feature();
            embedding.each(cells, |feature, value| put(first + feature, value));
        }
        self.each_expected(|column| cells.get(column).copied().unwrap_or(usize::MAX), put);
    }

    /// Of [`Self::each`] the terms of what is expected alone.
    pub fn each_expected(&self, cell: impl Fn(usize) -> usize, mut put: impl FnMut(usize, i64)) {
        if let Some(expected) = &self.expected {
            let first = self.first_expected();
            expected.each(cell, |term, value| put(first + term, value));
        }
    }

    fn score(&self, cells: &[usize], column: usize) -> Option<i64> {
        let scores = self.scores.get(column)?;
        scores.get(*cells.get(column)?).map(|score| i64::from(*score))
    }

    fn each_of_residual(&self, cells: &[usize], outcome: Outcome, put: &mut impl FnMut(usize, i64)) {
        let Some(terms) = &self.residual else { return };
        let residual = terms.residual(outcome);
        put(0, residual);
        if let Some(slope) = cells.get(terms.score).and_then(|cell| terms.slope.get(*cell)) {
            put(1, residual * i64::from(*slope));
        }
        put(2, residual * residual);
        for (index, column) in terms.columns.iter().enumerate() {
            if let Some(score) = self.score(cells, *column) {
                put(Moment::ALL.len() + index, residual * score);
            }
        }
    }

    /// What events that have a term, with this sum of its integers, add to its two counters.
    #[must_use]
    pub fn added(events: u64, sum: i64) -> [u64; 2] {
        [events, u64::try_from(sum + events as i64 * BIAS).unwrap_or(0)]
    }

    /// Hands out what one event adds to which of the joint counters.
    pub fn add(&self, cells: &[usize], outcome: Option<Outcome>, mut put: impl FnMut(usize, u64)) {
        self.each(cells, outcome, |term, value| {
            let [events, sum] = Self::added(1, value);
            put(2 * term, events);
            put(2 * term + 1, sum);
        });
    }

    /// The same of the residual's terms alone, for a label that comes after its event was counted.
    pub fn add_residual(&self, cells: &[usize], outcome: Outcome, mut put: impl FnMut(usize, u64)) {
        self.each_of_residual(cells, outcome, &mut |term, value| {
            let [events, sum] = Self::added(1, value);
            put(2 * term, events);
            put(2 * term + 1, sum);
        });
    }

    /// What one stands for in the integers of a column's scores.
    #[must_use]
    pub const fn one_of_scores(&self) -> f64 {
        SCORE_ONE
    }

    /// What one stands for in the integers of a term.
    #[must_use]
    pub fn one(&self, term: usize) -> f64 {
        let residual = self.residual_terms();
        match term {
            _ if term >= self.first_expected() => self.expected.as_ref().map_or(1.0, Expected::one),
            _ if term >= self.first_feature() => Embedding::one(),
            _ if term >= residual => SCORE_ONE * SCORE_ONE,
            0 => RESIDUAL_ONE,
            2 => RESIDUAL_ONE * RESIDUAL_ONE,
            _ => RESIDUAL_ONE * SCORE_ONE,
        }
    }

    /// The two counters that [`Self::sum`] reads as these events and this sum.
    #[must_use]
    pub fn counters(&self, term: usize, events: u64, sum: f64) -> [u64; 2] {
        let biased = i128::from(events) * i128::from(BIAS) + (sum * self.one(term)).round() as i128;
        [events, u64::try_from(biased).unwrap_or(0)]
    }

    /// Events that have a term, and its sum over them.
    #[must_use]
    pub fn sum(&self, layout: &Layout, counts: &[u64], term: usize) -> (f64, f64) {
        let at = |place: usize| counts.get(layout.joint(place)).copied().unwrap_or(0);
        let (events, sum) = (at(2 * term), at(2 * term + 1));
        let unbiased = i128::from(sum) - i128::from(events) * i128::from(BIAS);
        (events as f64, unbiased as f64 / self.one(term))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joint() -> Joint {
        Joint {
            scores: vec![vec![-1_024, 1_024], vec![-2_048, 0, 2_048], vec![]],
            residual: Some(ResidualTerms {
                score: 1,
                label: 2,
                scale: 1.0,
                slope: vec![-1_024, 0, 1_024],
                columns: vec![0],
                positive: None,
                quantile: None,
            }),
            pairs: vec![(0, 1)],
            embedding: None,
            expected: None,
            new_values: false,
        }
    }

    #[test]
    fn a_quantile_leaves_references_without_one_as_they_were() {
        // As references had it before.
        let text = r#"{"score":1,"label":2,"scale":1.0,"slope":[-1024,0,1024],"columns":[0]}"#;
        let terms: ResidualTerms = serde_json::from_str(text).expect("terms");
        assert_eq!(Some(&terms), joint().residual.as_ref());
        assert_eq!(serde_json::to_string(&terms).expect("text"), text, "so their address stays");
        let with = |quantile| {
            Joint { residual: Some(ResidualTerms { quantile, ..terms.clone() }), ..joint() }.fits(&[2, 3, 3])
        };
        assert!(with(None) && with(Some(0.9)));
        assert!([0.0, 1.0, -0.1, f64::NAN].iter().all(|refused| !with(Some(*refused))));
    }

    #[test]
    fn sums_of_signed_products_come_back_from_unsigned_counters() {
        let joint = joint();
        assert!(joint.fits(&[2, 3, 3]) && !joint.fits(&[2, 2, 3]));
        let layout = Layout::of_joint_only(joint.len());
        let mut counts = vec![0_u64; layout.len()];
        let events = [([0, 2, 1], 0.75, 0.0), ([1, 0, 1], 0.25, 1.0), ([usize::MAX, 2, 1], 0.5, 1.0)];
        for (cells, score, label) in events {
            joint.add(&cells, Some(Outcome { score, label }), |place, amount| {
                counts[layout.joint(place)] += amount;
            });
        }
        let sum = |term| joint.sum(&layout, &counts, term);
        assert_eq!(sum(Moment::Calibration as usize), (3.0, 0.5));
        assert_eq!(sum(Moment::Slope as usize), (3.0, -0.75 - 0.75 + 0.5));
        assert_eq!(sum(Moment::Brier as usize), (3.0, 0.5625 + 0.5625 + 0.25));
        assert_eq!(sum(3), (2.0, 0.75 + 0.75));
        assert_eq!(sum(4), (2.0, -2.0 - 2.0));
        let [events, biased] = joint.counters(4, 2, -4.0);
        assert_eq!([events, biased], [counts[layout.joint(8)], counts[layout.joint(9)]]);
    }
}
