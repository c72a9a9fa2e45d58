//! Bounded scores of a column's values: orthonormal polynomials of the mid-rank under the baseline, so that location,
//! spread, skew and shape follow from the counts of its cells.

/// Polynomials of degree 1 to `degrees` in the mid-rank of a cell, orthonormal under the baseline's shares: mean 0 and
/// variance 1 each, uncorrelated with one another. One row per degree, one score per cell; fewer rows when the baseline
/// has too few distinct values.
#[must_use]
pub fn orthonormal_scores(baseline: &[u64], degrees: usize) -> Vec<Vec<f64>> {
    let total: u64 = baseline.iter().sum();
    if total == 0 {
        return Vec::new();
    }
    let shares: Vec<f64> = baseline.iter().map(|n| *n as f64 / total as f64).collect();
    let mut below = 0.0;
    let ranks: Vec<f64> = shares
        .iter()
        .map(|share| {
            let middle = below + share / 2.0;
            below += share;
            2.0 * middle - 1.0
        })
        .collect();
    let dot =
        |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).zip(&shares).map(|((a, b), p)| a * b * p).sum() };
    let mut basis = vec![vec![1.0; ranks.len()]];
    for degree in 1..=degrees {
        let mut row: Vec<f64> = ranks.iter().map(|rank| rank.powi(degree as i32)).collect();
        for earlier in &basis {
            let along = dot(&row, earlier);
            row.iter_mut().zip(earlier).for_each(|(x, e)| *x -= along * e);
        }
        let length = dot(&row, &row).sqrt();
        if length < 1e-6 {
            break;
        }
        row.iter_mut().for_each(|x| *x /= length);
        basis.push(row);
    }
    basis.remove(0);
    basis
}

/// The first cell that lies wholly above the baseline's quantile `q`.
#[must_use]
pub fn quantile_cells(baseline: &[u64], q: f64) -> usize {
    let total: u64 = baseline.iter().sum();
    let mut below = 0;
    for (cell, count) in baseline.iter().enumerate() {
        below += count;
        if below as f64 >= q * total as f64 {
            return cell + 1;
        }
    }
    baseline.len()
}
