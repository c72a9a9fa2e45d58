//! How long the level of a quantity remembers: the longest memory that its baseline does not contradict.
//!
//! A baseline shorter than the swings of its traffic shows a level that hardly moves from window to window, but not how
//! far it goes. Both follow from one model, a level with a memory of order one under the noise of counting, by the
//! likelihood that is left when the unknown mean and season are taken out (Patterson & Thompson 1971, "restricted"): a
//! season of two weeks takes much of a slow level along, and what it leaves looks quick and small. The estimate itself is
//! too short where a few swings are all that there is; so the upper limit of its likelihood interval is taken, with the
//! variance that belongs to it. Here is no threshold and no verdict.

/// Memories that are tried, in ascending order.
const MEMORIES: [f64; 14] = [0.0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.99];

/// Twice the log likelihood by which a memory may fall short of the best: a one-sided interval of 95 %.
const CONTRADICTED: f64 = 2.706;

/// Halvings of the interval in which the variance of the level is sought.
const STEPS: usize = 10;

/// Part of a regressor that is not that of others, up to which it follows from them.
const FOLLOWS: f64 = 1e-8;

/// Windows for each regressor from which a season takes too little along to be taken out: less than one in a hundred.
const MANY: usize = 100;

/// Factors on the variance seen in the baseline between which that of its level lies.
const LEAST: f64 = 1e-3;
const MOST: f64 = 1e2;

/// A level that wanders.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Wander {
    /// Correlation of neighbouring windows.
    pub(super) memory: f64,
    /// Variance of the level.
    pub(super) variance: f64,
}

/// The longest memory that windows with these means do not contradict, with the most likely variance of such a level.
/// `noise` is the variance of counting of each window, `rows` the regressors of the season that is taken out of them with
/// the constant; `residuals` are what is left of them by least squares.
pub(super) fn longest(residuals: &[f64], noise: &[f64], rows: &[Vec<f64>]) -> Wander {
    let windows = residuals.len().max(1) as f64;
    let seen = residuals.iter().map(|e| e * e).sum::<f64>() / windows;
    let season = rows.first().map_or(0, Vec::len);
    let rows = if residuals.len() < MANY * season { rows } else { &[] };
    let mut filter = Filter::new(rows.first().map_or(0, Vec::len) + 2);
    let mut most_likely = |memory| filter.most_likely((residuals, noise, rows), memory, seen.max(1e-12));
    let tried = MEMORIES.map(&mut most_likely);
    let best = tried.iter().map(|(_, fit)| *fit).fold(f64::NEG_INFINITY, f64::max);
    let longest = tried.iter().rev().find(|(_, fit)| 2.0 * (best - fit) <= CONTRADICTED);
    longest.map_or(Wander { memory: 0.0, variance: seen }, |(wander, _)| *wander)
}

/// What the likelihood keeps from window to window, one of each for every regressor: constant, season, and last the
/// residual itself.
struct Filter {
    levels: Vec<f64>,
    surprises: Vec<f64>,
    /// Sums of products of surprises over their variance, row by row, from the diagonal on.
    products: Vec<f64>,
}

impl Filter {
    fn new(width: usize) -> Self {
        Self { levels: vec![0.0; width], surprises: vec![0.0; width], products: vec![0.0; width * width] }
    }

    /// The most likely variance of a level with this memory, and its log likelihood: a golden section on the logarithm.
    fn most_likely(
        &mut self,
        baseline: (&[f64], &[f64], &[Vec<f64>]),
        memory: f64,
        seen: f64,
    ) -> (Wander, f64) {
        let mut at = |logarithm: f64| self.likelihood(baseline, Wander { memory, variance: logarithm.exp() });
        let section = (5.0_f64.sqrt() - 1.0) / 2.0;
        let (mut low, mut high) = ((LEAST * seen).ln(), (MOST * seen).ln());
        let (mut left, mut right) = (high - section * (high - low), low + section * (high - low));
        let (mut of_left, mut of_right) = (at(left), at(right));
        for _ in 0..STEPS {
            if of_left > of_right {
                (high, right, of_right) = (right, left, of_left);
                left = high - section * (high - low);
                of_left = at(left);
            } else {
                (low, left, of_left) = (left, right, of_right);
                right = low + section * (high - low);
                of_right = at(right);
            }
        }
        let (logarithm, fit) = if of_left > of_right { (left, of_left) } else { (right, of_right) };
        (Wander { memory, variance: logarithm.exp() }, fit)
    }

    /// Restricted log likelihood: a Kalman filter over the residuals, and over what is taken out of them.
    fn likelihood(&mut self, (residuals, noise, rows): (&[f64], &[f64], &[Vec<f64>]), wander: Wander) -> f64 {
        let Wander { memory, variance } = wander;
        let width = self.levels.len();
        self.levels.fill(0.0);
        self.products.fill(0.0);
        let (mut unsure, mut logarithms) = (variance, 0.0);
        for (window, (residual, noise)) in residuals.iter().zip(noise).enumerate() {
            let whole = unsure + noise;
            logarithms += whole.ln();
            let gain = unsure / whole;
            let row = rows.get(window).map_or(&[][..], Vec::as_slice);
            let values = std::iter::once(&1.0).chain(row).chain([residual]);
            for ((surprise, level), value) in self.surprises.iter_mut().zip(&mut self.levels).zip(values) {
                *surprise = value - *level;
                *level = memory * (*level + gain * *surprise);
            }
            for (place, line) in self.products.chunks_exact_mut(width).enumerate() {
                let scaled = self.surprises[place] / whole;
                let beside = line[place..].iter_mut().zip(&self.surprises[place..]);
                beside.for_each(|(sum, other)| *sum += scaled * other);
            }
            unsure = memory * memory * unsure * (1.0 - gain) + variance * (1.0 - memory * memory);
        }
        let (determinant, left) = eliminate(&mut self.products, width);
        -0.5 * (logarithms + determinant + left)
    }
}

/// Logarithm of the determinant of a symmetric matrix without its last row, and what that row has left on the diagonal
/// once the others are taken out of it. A row that follows from those before is passed over. What is left of the diagonal
/// is not looked at.
fn eliminate(matrix: &mut [f64], width: usize) -> (f64, f64) {
    let scale: Vec<f64> = (0..width).map(|place| matrix[place * width + place]).collect();
    let mut determinant = 0.0;
    for pivot in 0..width - 1 {
        let (above, below) = matrix.split_at_mut((pivot + 1) * width);
        let line = &above[pivot * width..];
        let head = line[pivot];
        if head <= FOLLOWS * scale[pivot] {
            continue;
        }
        determinant += head.ln();
        for (other, row) in (pivot + 1..).zip(below.chunks_exact_mut(width)) {
            let factor = line[other] / head;
            row[other..].iter_mut().zip(&line[other..]).for_each(|(x, above)| *x -= factor * above);
        }
    }
    (determinant, matrix[width * width - 1].max(0.0))
}

#[cfg(test)]
mod tests {
    use super::super::season::weighted_regression;
    use super::*;

    /// A level with this memory under noise, both of variance 1 and drawn from a fixed sequence.
    fn wandering(memory: f64, windows: usize) -> Vec<f64> {
        let mut state = 7_u64;
        let mut uniform = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1_u64 << 53) as f64
        };
        let mut normal = || (0..12).map(|_| uniform()).sum::<f64>() - 6.0;
        let mut level = normal();
        (0..windows)
            .map(|_| {
                level = memory * level + (1.0 - memory * memory).sqrt() * normal();
                level + normal()
            })
            .collect()
    }

    #[test]
    fn the_memory_of_a_long_baseline_is_found_and_hardly_exceeded() {
        let found = longest(&wandering(0.8, 2_000), &[1.0; 2_000], &[]);
        assert!((0.75..=0.9).contains(&found.memory), "{found:?}");
        assert!((0.7..1.5).contains(&found.variance), "{found:?}");
    }

    #[test]
    fn a_short_baseline_leaves_room_for_a_longer_memory() {
        let short = longest(&wandering(0.8, 48), &[1.0; 48], &[]);
        let long = longest(&wandering(0.8, 2_000), &[1.0; 2_000], &[]);
        assert!(short.memory > long.memory, "{short:?} {long:?}");
    }

    /// Weekday contrasts of hourly windows.
    fn weekdays(windows: usize) -> Vec<Vec<f64>> {
        let contrast =
            |window: usize, day| f64::from(window / 24 % 7 == day) - f64::from(window / 24 % 7 == 6);
        (0..windows).map(|window| (0..6).map(|day| contrast(window, day)).collect()).collect()
    }

    #[test]
    fn a_season_does_not_hide_how_far_a_level_goes() {
        let (rows, noise) = (weekdays(336), [1.0; 336]);
        let means = wandering(0.97, 336);
        let season = weighted_regression(&rows, &means, &noise);
        let predicted =
            |row: &[f64]| season[0] + season[1..].iter().zip(row).map(|(a, b)| a * b).sum::<f64>();
        let residuals: Vec<f64> = rows.iter().zip(&means).map(|(row, mean)| mean - predicted(row)).collect();
        let (hidden, known) = (longest(&residuals, &noise, &[]), longest(&residuals, &noise, &rows));
        assert!(hidden.memory < known.memory && hidden.variance < known.variance, "{hidden:?} {known:?}");
        // One that follows from the others changes nothing, however large the numbers are.
        let twice = |row: &Vec<f64>| row.iter().copied().chain([row[0] + row[2]]).collect::<Vec<f64>>();
        let (repeated, fine) = (rows.iter().map(twice).collect::<Vec<_>>(), [1e-6; 336]);
        let small: Vec<f64> = residuals.iter().map(|residual| residual / 1_000.0).collect();
        let (once, again) = (longest(&small, &fine, &rows), longest(&small, &fine, &repeated));
        assert!(
            once.memory == again.memory && (once.variance / again.variance - 1.0).abs() < 1e-3,
            "{once:?} {again:?}"
        );
        assert_eq!(once.memory, known.memory);
        // What is taken out of both the means and their residuals makes no difference.
        let of_means = longest(&means, &noise, &rows);
        assert!(of_means.memory == known.memory, "{of_means:?} {known:?}");
    }

    #[test]
    fn windows_that_vary_alone_have_little_memory() {
        let found = longest(&wandering(0.0, 1_000), &[1.0; 1_000], &[]);
        assert!(found.memory <= 0.2, "{found:?}");
    }
}
