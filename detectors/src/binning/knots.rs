//! The choice of knots from a sorted baseline: forced order statistics, heavy values, and an even spread of the rest.
//!
//! Not here: checking knots that someone else chose, and the lookup; see the parent module.

use std::collections::BTreeSet;

use super::{BinningError, MAX_POINTS};

/// One distinct value of the baseline: the value and how often it occurs.
type Run = (f64, usize);

/// See [`super::NumericBinning::from_sorted_values`].
pub(super) fn choose(values: &[f64], points: usize) -> Result<Vec<f64>, BinningError> {
    if points == 0 {
        return Err(BinningError::NoPoints);
    }
    if points > MAX_POINTS {
        return Err(BinningError::TooMany { got: points });
    }
    check_sorted(values)?;
    let runs = distinct(values);
    if runs.len() <= points {
        return Ok(runs.into_iter().map(|(value, _)| value).collect());
    }
    let forced = forced(&runs, values.len(), points);
    let cap = smallest_cap(&runs, &forced, values.len(), points);
    Ok(spread(&runs, &forced, cap)
        .into_iter()
        .filter_map(|run| runs.get(run))
        .map(|&(value, _)| value)
        .collect())
}

fn check_sorted(values: &[f64]) -> Result<(), BinningError> {
    let mut previous = f64::NEG_INFINITY;
    for (index, &value) in values.iter().enumerate() {
        if !value.is_finite() {
            return Err(BinningError::NotFinite { index, value });
        }
        if value < previous {
            return Err(BinningError::OutOfOrder { index, value });
        }
        previous = value;
    }
    Ok(())
}

fn distinct(values: &[f64]) -> Vec<Run> {
    values.chunk_by(|a, b| a == b).filter_map(|run| run.first().map(|&value| (value, run.len()))).collect()
}

/// The runs that must be knots, most important first, until the budget is spent.
fn forced(runs: &[Run], n: usize, points: usize) -> BTreeSet<usize> {
    let ends: Vec<usize> = runs
        .iter()
        .scan(0, |seen, &(_, count)| {
            *seen += count;
            Some(*seen)
        })
        .collect();
    let quantile = |i: usize, of: usize| ends.partition_point(|&end| end < (i * n).div_ceil(of).max(1));
    let mut heavy: Vec<usize> = (0..runs.len()).filter(|&run| mass(runs, run) > n / points).collect();
    heavy.sort_by_key(|&run| std::cmp::Reverse(mass(runs, run)));
    let wanted = [0, runs.len() - 1]
        .into_iter()
        .chain((1..10).map(|i| quantile(i, 10)))
        .chain(heavy)
        .chain((1..20).map(|i| quantile(i, 20)));
    let mut chosen = BTreeSet::new();
    for run in wanted {
        if chosen.len() == points {
            break;
        }
        chosen.insert(run);
    }
    chosen
}

fn mass(runs: &[Run], run: usize) -> usize {
    runs.get(run).map_or(0, |&(_, count)| count)
}

/// The smallest largest gap mass for which the knots fit the budget; bisection, since fewer knots need a larger cap.
fn smallest_cap(runs: &[Run], forced: &BTreeSet<usize>, n: usize, points: usize) -> usize {
    let (mut low, mut high) = (0, n);
    while low < high {
        let middle = low + (high - low) / 2;
        if spread(runs, forced, middle).len() <= points {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

/// Walks upwards and makes a run a knot when it is forced or when the open gap would otherwise hold more than `cap`.
fn spread(runs: &[Run], forced: &BTreeSet<usize>, cap: usize) -> Vec<usize> {
    let mut open = 0;
    let mut knots = Vec::new();
    for (run, &(_, count)) in runs.iter().enumerate() {
        open += count;
        if open > cap || forced.contains(&run) {
            knots.push(run);
            open = 0;
        }
    }
    knots
}
