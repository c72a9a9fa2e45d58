//! Exact two-sample laws of the Kolmogorov–Smirnov statistic, by walking the lattice of all orders of two samples.
//!
//! Not here: when the exact law is worth its `n·m` steps; see [`crate::two_sample::Ks::p_value`].

/// Steps beyond which a limit law is as good and memory would be wasted.
const MOST_STEPS: u64 = 100_000_000;
/// Mass below this is dropped: it cannot show in a result, and numbers near the end of the range are slow.
const LEAST_MASS: f64 = 1e-290;

/// Which difference counts as extreme.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alternative {
    /// The first distribution function lies above or below the second.
    TwoSided,
    /// The first lies below: the first sample tends to larger values.
    Less,
    /// The first lies above: the first sample tends to smaller values.
    Greater,
}

/// The chance that two samples of sizes `n` and `m` from one continuous law differ by at least `h / lcm(n, m)`.
///
/// A path steps through the pooled order; the mass of paths that touch the boundary is added up where they first do,
/// so small probabilities keep their digits. Takes `n·m` steps at most. With ties the p-value is conservative. `None`
/// if a sample is empty or if there would be more than a hundred million steps.
///
/// ```
/// use anchorwatch_detectors::distributions::lattice::{ks_two_sample_sf, Alternative};
/// assert_eq!(ks_two_sample_sf(1, 1, 1, Alternative::TwoSided), Some(1.0));
/// assert_eq!(ks_two_sample_sf(1, 1, 1, Alternative::Greater), Some(0.5));
/// ```
#[must_use]
pub fn ks_two_sample_sf(n: u64, m: u64, h: u64, alternative: Alternative) -> Option<f64> {
    n.checked_mul(m).filter(|steps| (1..=MOST_STEPS).contains(steps))?;
    if h == 0 {
        return Some(1.0);
    }
    let divisor = gcd(n, m);
    // Rows run over the smaller sample, so that one row of the larger is kept.
    let (rows, columns, swapped) = if n <= m { (n, m, false) } else { (m, n, true) };
    let (row_step, column_step) = (i128::from(columns / divisor), i128::from(rows / divisor));
    let side = if swapped { mirrored(alternative) } else { alternative };
    let h = i128::from(h);
    let outside = |row: u64, column: u64| {
        let difference = i128::from(row) * row_step - i128::from(column) * column_step;
        match side {
            Alternative::TwoSided => difference.abs() >= h,
            Alternative::Less => -difference >= h,
            Alternative::Greater => difference >= h,
        }
    };
    Some(touching_mass(rows, columns, outside).clamp(0.0, 1.0))
}

fn mirrored(alternative: Alternative) -> Alternative {
    match alternative {
        Alternative::TwoSided => Alternative::TwoSided,
        Alternative::Less => Alternative::Greater,
        Alternative::Greater => Alternative::Less,
    }
}

/// The probability that a uniformly random path from (0, 0) to (rows, columns) touches a point `outside`.
///
/// Only the stretch of each row that paths can still reach is visited, so a narrow band costs little.
fn touching_mass(rows: u64, columns: u64, outside: impl Fn(u64, u64) -> bool) -> f64 {
    let width = usize::try_from(columns).unwrap_or(usize::MAX - 1) + 1;
    let mut line = vec![0.0; width];
    let mut touched = 0.0;
    // `line[column]` holds the mass that comes from the row before, all of it within `first..end`.
    let (mut first, mut end) = (0, 1);
    for row in 0..=rows {
        let rows_left = (rows - row) as f64;
        let mut from_left = if row == 0 { 1.0 } else { 0.0 };
        let (start, mut reached) = (first, first);
        first = width;
        for (column, slot) in line.iter_mut().enumerate().skip(start) {
            if column >= end && from_left == 0.0 {
                break;
            }
            let mass = *slot + from_left;
            (*slot, from_left) = (0.0, 0.0);
            if mass < LEAST_MASS {
                continue;
            }
            if outside(row, column as u64) {
                touched += mass;
            } else {
                let columns_left = (columns - column as u64) as f64;
                let left = (rows_left + columns_left).max(1.0);
                *slot = mass * (rows_left / left);
                from_left = mass * (columns_left / left);
                first = first.min(column);
                reached = column + 1;
            }
        }
        end = reached;
    }
    touched
}

/// The greatest common divisor; `gcd(0, b) = b`.
#[must_use]
pub fn gcd(a: u64, b: u64) -> u64 {
    let (mut a, mut b) = (a, b);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}
