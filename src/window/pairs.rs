//! Joint terms of many rows at once. The terms of pairs are products of small scores, so rows are taken by the block: a
//! score per row and column, then one sum of products per pair. The sums are those that [`Joint::add`] makes event by
//! event, since both are whole numbers.
//!
//! What the block cannot hold, an event with its label or a reference of larger scores, takes [`Joint::add`].

use super::plan::Plan;
use crate::reference::{Joint, Outcome};

/// Rows of a block.
pub(super) const ROWS: usize = 64;

/// Rows that are taken one by one.
const FEW: usize = 4;

/// No score: further from 0 than any.
const ABSENT: i32 = i32::MIN;

/// Largest score in a block: [`ROWS`] products of two fit 32 bits.
const LARGEST: i32 = 5_792;

/// Pairs of a plan's columns by their place among those with scores.
#[derive(Debug)]
pub(super) struct Pairs {
    /// Position of each column with scores, and the scores of its cells.
    columns: Vec<(usize, Box<[i16]>)>,
    pairs: Vec<(u32, u32)>,
}

impl Pairs {
    /// `None` if a score is too large for a block, or rows are embedded, one by one.
    pub(super) fn new(joint: &Joint) -> Option<Self> {
        if joint.embedding.is_some() {
            return None;
        }
        let mut of_pairs: Vec<usize> = joint.pairs.iter().flat_map(|(a, b)| [*a, *b]).collect();
        of_pairs.sort_unstable();
        of_pairs.dedup();
        let narrow = |score: &i32| i16::try_from(*score).ok().filter(|_| score.abs() <= LARGEST);
        let scores = |column: &usize| {
            let scores: Option<Box<[i16]>> = joint.scores.get(*column)?.iter().map(narrow).collect();
            Some((*column, scores?))
        };
        let columns: Vec<(usize, Box<[i16]>)> = of_pairs.iter().map(scores).collect::<Option<_>>()?;
        let place =
            |column: usize| of_pairs.binary_search(&column).ok().and_then(|at| u32::try_from(at).ok());
        let pairs = joint.pairs.iter().map(|(a, b)| Some((place(*a)?, place(*b)?)));
        Some(Self { pairs: pairs.collect::<Option<_>>()?, columns })
    }
}

/// Scores of a block's rows, kept so that nothing is allocated.
#[derive(Debug, Default)]
pub(super) struct Block {
    /// Of each column with scores, by row; 0 where the row has no cell.
    scores: Vec<[i16; ROWS]>,
    /// Of each column with scores, the rows that have a cell.
    present: Vec<u64>,
    cells: Vec<usize>,
    /// Scores of a single row.
    row: Vec<i32>,
}

impl Block {
    /// Hands out what at most [`ROWS`] rows, looked up before, add to which of the joint counters.
    pub(super) fn add<'r>(
        &mut self,
        plan: &Plan,
        rows: impl ExactSizeIterator<Item = &'r [u64]>,
        mut put: impl FnMut(usize, u64),
    ) {
        let joint = &plan.reference.joint;
        let pairs = plan.pairs.as_ref();
        if rows.len() <= FEW {
            return rows.for_each(|row| self.add_row(plan, row, &mut put));
        }
        let columns = pairs.map_or(0, |pairs| pairs.columns.len());
        self.scores.clear();
        self.scores.resize(columns, [0; ROWS]);
        self.present.clear();
        self.present.resize(columns, 0);
        for (place, row) in rows.take(ROWS).enumerate() {
            let outcome = plan.rows.outcome(row).map(|(score, label)| Outcome { score, label });
            match pairs.filter(|_| outcome.is_none()) {
                Some(pairs) => {
                    self.take_in(plan, pairs, place, row);
                    add_expected(plan, row, &mut put);
                }
                None => {
                    self.cells.clear();
                    let cell = |column: usize| plan.rows.cell(column, row[column]);
                    self.cells.extend((0..plan.layout.columns()).map(cell));
                    joint.add(&self.cells, outcome, &mut put);
                }
            }
        }
        if let Some(pairs) = pairs {
            self.sums(joint, pairs, put);
        }
    }

    /// Hands out what a single row adds: a block of its own would cost more.
    fn add_row(&mut self, plan: &Plan, row: &[u64], put: &mut impl FnMut(usize, u64)) {
        let joint = &plan.reference.joint;
        let outcome = plan.rows.outcome(row).map(|(score, label)| Outcome { score, label });
        let Some(pairs) = plan.pairs.as_ref().filter(|_| outcome.is_none()) else {
            self.cells.clear();
            let cell = |column: usize| plan.rows.cell(column, row[column]);
            self.cells.extend((0..plan.layout.columns()).map(cell));
            return joint.add(&self.cells, outcome, put);
        };
        let score = |(column, of_cells): &(usize, Box<[i16]>)| {
            of_cells.get(plan.rows.cell(*column, row[*column])).map_or(ABSENT, |score| i32::from(*score))
        };
        self.row.clear();
        self.row.extend(pairs.columns.iter().map(score));
        let first = joint.residual_terms();
        for (term, (a, b)) in (first..).zip(&pairs.pairs) {
            let (a, b) = (self.row[*a as usize], self.row[*b as usize]);
            if a != ABSENT && b != ABSENT {
                let [events, sum] = Joint::added(1, i64::from(a * b));
                put(2 * term, events);
                put(2 * term + 1, sum);
            }
        }
        add_expected(plan, row, put);
    }

    fn take_in(&mut self, plan: &Plan, pairs: &Pairs, place: usize, row: &[u64]) {
        let columns = pairs.columns.iter().zip(&mut self.scores).zip(&mut self.present);
        for (((column, of_cells), scores), present) in columns {
            if let Some(score) = of_cells.get(plan.rows.cell(*column, row[*column])) {
                scores[place] = *score;
                *present |= 1 << place;
            }
        }
    }

    fn sums(&self, joint: &Joint, pairs: &Pairs, mut put: impl FnMut(usize, u64)) {
        let first = joint.residual_terms();
        for (term, (a, b)) in (first..).zip(&pairs.pairs) {
            let (a, b) = (*a as usize, *b as usize);
            let events = (self.present[a] & self.present[b]).count_ones();
            if events > 0 {
                let products = self.scores[a].iter().zip(&self.scores[b]);
                let sum: i32 = products.map(|(a, b)| i32::from(*a) * i32::from(*b)).sum();
                let [events, sum] = Joint::added(u64::from(events), i64::from(sum));
                put(2 * term, events);
                put(2 * term + 1, sum);
            }
        }
    }
}

/// Hands out what a row adds to the terms of what is expected.
fn add_expected(plan: &Plan, row: &[u64], put: &mut impl FnMut(usize, u64)) {
    let cell = |column: usize| row.get(column).map_or(usize::MAX, |value| plan.rows.cell(column, *value));
    plan.reference.joint.each_expected(cell, |term, value| {
        let [events, sum] = Joint::added(1, value);
        put(2 * term, events);
        put(2 * term + 1, sum);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_a_full_block_fit() {
        let most = i64::from(LARGEST) * i64::from(LARGEST) * ROWS as i64;
        assert!(i32::try_from(most).is_ok());
    }
}
