//! The little linear algebra that the statistics here need: a solver, and eigenvectors of symmetric matrices.
//!
//! Matrices are lists of rows of equal length. Dimensions are tens, not thousands. Not here: anything statistical.

/// Sweeps after which the rotations of Jacobi's method have long converged.
const SWEEPS: usize = 100;

/// Solves `A x = b` by Gaussian elimination with row pivots.
///
/// `None` if `A` is not square, has another size than `b`, or is singular to about twelve digits.
///
/// ```
/// use anchorwatch_detectors::multivariate::linear::solve;
/// assert_eq!(solve(&[vec![2.0, 0.0], vec![1.0, 1.0]], &[4.0, 5.0]), Some(vec![2.0, 3.0]));
/// assert_eq!(solve(&[vec![1.0, 1.0], vec![1.0, 1.0]], &[1.0, 2.0]), None);
/// ```
#[must_use]
pub fn solve(matrix: &[Vec<f64>], right: &[f64]) -> Option<Vec<f64>> {
    let size = right.len();
    if matrix.len() != size || matrix.iter().any(|row| row.len() != size) {
        return None;
    }
    // Columns of very different units are brought to one, or the test for singularity would be one of units.
    let column_scale = |column: usize| matrix.iter().fold(0.0f64, |max, row| max.max(row[column].abs()));
    let scales: Vec<f64> = (0..size).map(column_scale).collect();
    let mut rows: Vec<Vec<f64>> = matrix
        .iter()
        .zip(right)
        .map(|(row, right)| row.iter().zip(&scales).map(|(x, scale)| x / scale).chain([*right]).collect())
        .collect();
    for row in &mut rows {
        let largest = row.iter().take(size).fold(0.0f64, |max, x| max.max(x.abs()));
        row.iter_mut().for_each(|x| *x /= largest);
    }
    let solution: Vec<f64> =
        eliminated(rows, 1e-12)?.iter().zip(&scales).map(|(x, scale)| x / scale).collect();
    solution.iter().all(|x| x.is_finite()).then_some(solution)
}

/// The same, `None` as soon as a pivot is not above `smallest`, in the matrix's own unit.
pub(crate) fn solve_above(matrix: &[Vec<f64>], right: &[f64], smallest: f64) -> Option<Vec<f64>> {
    let size = right.len();
    if matrix.len() != size || matrix.iter().any(|row| row.len() != size) {
        return None;
    }
    let rows = matrix.iter().zip(right).map(|(row, right)| row.iter().copied().chain([*right]).collect());
    eliminated(rows.collect(), smallest).filter(|solution| solution.iter().all(|x| x.is_finite()))
}

/// Gauss' elimination with partial pivoting; the right side is the last column.
fn eliminated(mut rows: Vec<Vec<f64>>, smallest: f64) -> Option<Vec<f64>> {
    let size = rows.len();
    for column in 0..size {
        let pivot =
            (column..size).max_by(|&a, &b| rows[a][column].abs().total_cmp(&rows[b][column].abs()))?;
        rows.swap(column, pivot);
        let (done, rest) = rows.split_at_mut(column + 1);
        let pivot = &done[column];
        // NaN is what zero columns and rows have become.
        if pivot[column].is_nan() || pivot[column].abs() <= smallest {
            return None;
        }
        for row in rest {
            let factor = row[column] / pivot[column];
            row.iter_mut().zip(pivot).skip(column).for_each(|(x, p)| *x -= factor * p);
        }
    }
    let mut solution = vec![0.0; size];
    for place in (0..size).rev() {
        let known: f64 = (place + 1..size).map(|k| rows[place][k] * solution[k]).sum();
        solution[place] = (rows[place][size] - known) / rows[place][place];
    }
    Some(solution)
}

/// The quadratic form `d' A⁻¹ d`; `None` as for [`solve`].
#[must_use]
pub fn inverse_form(matrix: &[Vec<f64>], d: &[f64]) -> Option<f64> {
    Some(dot(d, &solve(matrix, d)?))
}

/// The inner product; what one vector has beyond the other is left out.
#[must_use]
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// One eigenvalue and its vector of length 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Eigen {
    /// The eigenvalue.
    pub value: f64,
    /// The eigenvector, its largest component positive.
    pub vector: Vec<f64>,
}

/// Eigenvalues and vectors of a symmetric matrix, largest first, by Jacobi's (1846) rotations; the cost is some `10 n³`.
///
/// `None` if the matrix is not square or not finite. Only the upper triangle is read.
#[must_use]
pub fn eigen_symmetric(matrix: &[Vec<f64>]) -> Option<Vec<Eigen>> {
    let size = matrix.len();
    if matrix.iter().any(|row| row.len() != size || row.iter().any(|x| !x.is_finite())) {
        return None;
    }
    let at = |i: usize, j: usize| matrix[i.min(j)][i.max(j)];
    let mut a: Vec<Vec<f64>> = (0..size).map(|i| (0..size).map(|j| at(i, j)).collect()).collect();
    // Row `i` of `vectors` becomes the vector of the eigenvalue that ends up in place `i` of the diagonal.
    let mut vectors: Vec<Vec<f64>> =
        (0..size).map(|i| (0..size).map(|j| f64::from(u8::from(i == j))).collect()).collect();
    for _ in 0..SWEEPS {
        let off: f64 =
            (0..size).flat_map(|i| (0..i).map(move |j| (i, j))).map(|(i, j)| a[i][j].powi(2)).sum();
        let all: f64 = a.iter().flatten().map(|x| x * x).sum();
        if off <= 1e-32 * all {
            break;
        }
        for q in 1..size {
            for p in 0..q {
                rotate(&mut a, &mut vectors, p, q);
            }
        }
    }
    let mut pairs: Vec<Eigen> = vectors
        .into_iter()
        .enumerate()
        .map(|(i, vector)| Eigen { value: a[i][i], vector: upright(vector) })
        .collect();
    pairs.sort_by(|a, b| b.value.total_cmp(&a.value));
    Some(pairs)
}

/// The rotation in the plane of `p < q` that makes their off-diagonal element vanish.
fn rotate(a: &mut [Vec<f64>], vectors: &mut [Vec<f64>], p: usize, q: usize) {
    if a[p][q] == 0.0 {
        return;
    }
    let theta = (a[q][q] - a[p][p]) / (2.0 * a[p][q]);
    let t = if theta.is_finite() { theta.signum() / (theta.abs() + theta.hypot(1.0)) } else { 0.0 };
    let c = 1.0 / t.hypot(1.0);
    let s = t * c;
    for row in a.iter_mut() {
        (row[p], row[q]) = (c * row[p] - s * row[q], s * row[p] + c * row[q]);
    }
    for matrix in [a, vectors] {
        let (low, high) = matrix.split_at_mut(q);
        for (x, y) in low[p].iter_mut().zip(&mut high[0]) {
            (*x, *y) = (c * *x - s * *y, s * *x + c * *y);
        }
    }
}

/// The vector or its opposite, so that the largest component is positive: a vector's sign means nothing.
fn upright(vector: Vec<f64>) -> Vec<f64> {
    let largest = vector.iter().copied().max_by(|a, b| a.abs().total_cmp(&b.abs()));
    let sign = if largest.is_some_and(|x| x < 0.0) { -1.0 } else { 1.0 };
    vector.into_iter().map(|x| sign * x).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn square(size: usize) -> impl Strategy<Value = Vec<Vec<f64>>> {
        proptest::collection::vec(proptest::collection::vec(-5.0f64..5.0, size), size)
    }

    #[test]
    fn odd_shapes_are_refused() {
        assert_eq!(solve(&[vec![1.0]], &[1.0, 2.0]), None);
        assert_eq!(solve(&[vec![0.0]], &[1.0]), None);
        assert_eq!(solve(&[vec![f64::NAN]], &[1.0]), None);
        assert_eq!(solve(&[], &[]), Some(vec![]));
        assert_eq!(eigen_symmetric(&[vec![1.0, 2.0]]), None);
        assert_eq!(eigen_symmetric(&[vec![f64::INFINITY]]), None);
        assert_eq!(eigen_symmetric(&[]), Some(vec![]));
    }

    #[test]
    fn units_do_not_make_a_matrix_singular() {
        let solution = solve(&[vec![1e-20, 0.0], vec![0.0, 1e20]], &[1e-20, 3e20]).unwrap();
        assert!((solution[0] - 1.0).abs() < 1e-12 && (solution[1] - 3.0).abs() < 1e-12);
    }

    proptest! {
        #[test]
        fn solutions_solve(matrix in square(4), right in proptest::collection::vec(-5.0f64..5.0, 4)) {
            if let Some(solution) = solve(&matrix, &right) {
                let size: f64 = solution.iter().map(|x| x.abs()).sum::<f64>() + 1.0;
                for (row, right) in matrix.iter().zip(&right) {
                    prop_assert!((dot(row, &solution) - right).abs() < 1e-9 * size);
                }
            }
        }

        #[test]
        fn eigenvectors_are_only_stretched(matrix in square(5)) {
            let symmetric: Vec<Vec<f64>> =
                (0..5).map(|i| (0..5).map(|j| matrix[i.min(j)][i.max(j)]).collect()).collect();
            let pairs = eigen_symmetric(&symmetric).unwrap();
            let trace: f64 = (0..5).map(|i| symmetric[i][i]).sum();
            prop_assert!((pairs.iter().map(|pair| pair.value).sum::<f64>() - trace).abs() < 1e-10);
            for pair in &pairs {
                prop_assert!((dot(&pair.vector, &pair.vector) - 1.0).abs() < 1e-12);
                for (row, x) in symmetric.iter().zip(&pair.vector) {
                    prop_assert!((dot(row, &pair.vector) - pair.value * x).abs() < 1e-10);
                }
            }
        }
    }
}
