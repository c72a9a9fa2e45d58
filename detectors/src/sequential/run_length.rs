//! How long control charts run on average without a change, and the limits that make them run that long.
//!
//! The CUSUM by Siegmund's approximation (Siegmund 1985, *Sequential Analysis*, corrected diffusion), within some
//! percent of the exact value; the EWMA by the Markov chain of Brook and Evans 1972, as Lucas and Saccucci 1990 apply it
//! to the EWMA. Both for independent normal values whose mean and deviation are known exactly: heavier tails, dependence
//! or an estimated mean make false alarms more frequent.

use crate::distributions::normal_sf;

/// Siegmund's correction for the overshoot of a normal walk, at both ends together.
const OVERSHOOT: f64 = 1.166;
/// States of the chain on one side of the middle.
const STATES: usize = 50;
/// Width beyond which no normal value goes.
const WIDEST: f64 = 8.0;
/// Steps of a search, after which it is as exact as it can get.
const STEPS: usize = 200;

/// Mean number of standard normal values until a one-sided CUSUM with slack `k` exceeds `h`; both in deviations.
#[must_use]
pub fn cusum_run_length(k: f64, h: f64) -> f64 {
    let b = h + OVERSHOOT;
    let x = 2.0 * k * b;
    // Where the exponential leaves nothing after subtraction, its series does.
    if x < 1e-4 { b * b * (1.0 + x / 3.0) } else { (x.exp() - 1.0 - x) / (2.0 * k * k) }
}

/// The limit `h` at which a CUSUM with slack `k` runs for `run_length` values on average, one- or two-sided.
#[must_use]
pub fn cusum_limit(k: f64, run_length: f64, two_sided: bool) -> f64 {
    // Two sides alarm independently enough: their rates add up.
    let target = if two_sided { 2.0 * run_length } else { run_length };
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..STEPS {
        if cusum_run_length(k, high) >= target {
            break;
        }
        high *= 2.0;
    }
    for _ in 0..STEPS {
        let middle = f64::midpoint(low, high);
        if cusum_run_length(k, middle) < target {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

/// Mean number of standard normal values until an EWMA of weight `lambda`, started at 0, leaves its two-sided limit.
///
/// The limit is `width` asymptotic deviations of the EWMA, `width · sqrt(lambda / (2 - lambda))`.
#[must_use]
pub fn ewma_run_length(lambda: f64, width: f64) -> f64 {
    let limit = width * (lambda / (2.0 - lambda)).sqrt();
    let step = 2.0 * limit / (2 * STATES + 1) as f64;
    // State k stands for both values at distance k·step from the middle: the chart is symmetric.
    solve(std::array::from_fn(|from| chain_row(lambda, step, from)))
}

/// The width at which a two-sided EWMA of weight `lambda` runs for `run_length` values on average.
#[must_use]
pub fn ewma_width(lambda: f64, run_length: f64) -> f64 {
    // The logarithm of the run length is nearly a parabola in the width, so false position closes in within a few steps.
    let miss = |width: f64| ewma_run_length(lambda, width).ln() - run_length.ln();
    let (mut low, mut high) = ((0.0, -run_length.ln()), (1.0, miss(1.0)));
    while high.1 < 0.0 && high.0 < WIDEST {
        (low, high) = (high, (high.0 + 1.0, miss(high.0 + 1.0)));
    }
    for _ in 0..STEPS {
        if high.0 - low.0 < 1e-9 {
            break;
        }
        let share = (low.1 / (low.1 - high.1)).clamp(0.05, 0.95);
        let middle = low.0 + share * (high.0 - low.0);
        let at = miss(middle);
        if at < 0.0 {
            low = (middle, at);
        } else {
            high = (middle, at);
        }
    }
    high.0
}

/// One row of the system `(1 - Q) run lengths = 1`, with the right side at its end.
fn chain_row(lambda: f64, step: f64, from: usize) -> [f64; STATES + 2] {
    let centre = (1.0 - lambda) * step * from as f64;
    let above = |half_steps: f64| normal_sf((half_steps * step / 2.0 - centre) / lambda);
    std::array::from_fn(|to| {
        let reach = 2.0 * to as f64;
        let one = above(reach - 1.0) - above(reach + 1.0);
        let other = if to > 0 { above(-reach - 1.0) - above(1.0 - reach) } else { 0.0 };
        if to > STATES { 1.0 } else { f64::from(u8::from(to == from)) - one - other }
    })
}

/// The first unknown of a diagonally dominant system whose rows end with their right side; dominance makes pivoting
/// needless.
fn solve(mut rows: [[f64; STATES + 2]; STATES + 1]) -> f64 {
    let right = STATES + 1;
    // Unknowns go from the last down, so that the first remains.
    for unknown in (1..=STATES).rev() {
        let pivot = rows[unknown];
        for row in rows.iter_mut().take(unknown) {
            let factor = row[unknown] / pivot[unknown];
            for (value, above) in row.iter_mut().zip(pivot).take(unknown) {
                *value -= factor * above;
            }
            row[right] -= factor * pivot[right];
        }
    }
    rows[0][right] / rows[0][0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cusum_run_lengths_are_those_of_the_tables() {
        // Montgomery, Introduction to Statistical Quality Control, two-sided, k = 1/2: h = 4 gives 168, h = 5 gives 465.
        for (h, run_length) in [(4.0, 168.0), (5.0, 465.0)] {
            assert!((cusum_run_length(0.5, h) / 2.0 / run_length - 1.0f64).abs() < 0.01);
            assert!((cusum_limit(0.5, run_length, true) - h).abs() < 0.02);
        }
        assert!((cusum_run_length(1e-9, 3.0) - 4.166f64.powi(2)).abs() < 1e-6);
        assert!((cusum_run_length(1e-5, 3.9) / cusum_run_length(1.1e-5, 3.9) - 1.0f64).abs() < 1e-4);
    }

    #[test]
    fn ewma_widths_are_those_of_lucas_and_saccucci() {
        // Their table for a run length of 500.
        for (lambda, width) in [(0.05, 2.615), (0.1, 2.814), (0.2, 2.962), (0.4, 3.054), (1.0, 3.090)] {
            let got = ewma_width(lambda, 500.0);
            assert!((got - width).abs() < 0.004, "{lambda}: {got}, want {width}");
        }
    }

    #[test]
    fn every_run_length_offered_has_a_limit() {
        for lambda in [0.01, 0.05, 0.3, 1.0] {
            for run_length in [10.0, 1e3, 1e5, 1e7] {
                let width = ewma_width(lambda, run_length);
                assert!(
                    (ewma_run_length(lambda, width) / run_length - 1.0).abs() < 1e-3,
                    "{lambda} {run_length}"
                );
            }
        }
        for k in [0.01, 0.5, 3.0] {
            for run_length in [10.0, 1e3, 1e9] {
                let h = cusum_limit(k, run_length, false);
                assert!(h < 1e-9 || (cusum_run_length(k, h) / run_length - 1.0).abs() < 1e-6);
            }
        }
    }
}
