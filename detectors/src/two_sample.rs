//! Statistics of order between a reference and a window: how far apart two distribution functions are.
//!
//! Here live Kolmogorov–Smirnov and Kuiper with their p-values; [`rank`] holds Mann–Whitney, Cramér–von Mises and
//! Anderson–Darling; [`transport`] the Wasserstein distance. Not here: distances that ignore order
//! ([`crate::divergence`]), and tail probabilities as such ([`crate::distributions`]).
//!
//! Both profiles are counts over the same ordered cells, lowest first: the gap and tie cells of a
//! [`NumericBinning`](crate::NumericBinning), latency buckets, or the distinct values of two raw samples
//! ([`crate::samples::Pooled`]). Distribution functions are compared at the end of each cell, in integers.

use statrs::function::gamma::ln_gamma;

use crate::distributions::kolmogorov::{kolmogorov_sf, kstwo_sf};
use crate::distributions::lattice::{gcd, ks_two_sample_sf};

pub mod rank;
pub mod transport;

pub use crate::distributions::lattice::Alternative;
pub use rank::{MannWhitney, RankTest, cramer_von_mises, mann_whitney};
pub use transport::{WassersteinBounds, wasserstein};

/// Largest `n·m` for which the exact law of the Kolmogorov–Smirnov statistic is walked (some tens of milliseconds).
pub const EXACT_PATHS: u64 = 4_000_000;
/// Largest `n·m` for which [`Ks::p_value`] walks the exact law: a fraction of a millisecond.
const PROMPT_PATHS: u64 = 100_000;
/// Effective size from which [`Ks::p_value`] takes the corrected limit, whose cost does not grow with the size.
const LARGE: f64 = 1_000.0;
/// Effective size from which the corrected limit will do as long as it is at least [`ORDINARY`]: there it is within 6 %
/// of the exact law for unequal sizes, and what falls below is worked out by the finite law.
const MIDDLING: f64 = 40.0;
/// P-value down to which it does.
const ORDINARY: f64 = 1e-3;

/// The Kolmogorov–Smirnov distance of two profiles, with what its p-values need.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ks {
    /// `D`, the larger of the two differences, within 0 to 1.
    pub statistic: f64,
    /// Largest `F_reference - F_window`: how far the window lies to the right.
    pub d_plus: f64,
    /// Largest `F_window - F_reference`: how far the window lies to the left.
    pub d_minus: f64,
    /// Size of the reference.
    pub n: u64,
    /// Size of the window.
    pub m: u64,
}

/// The Kolmogorov–Smirnov distance, by integer arithmetic; `None` if a profile is empty or the cells differ in number.
///
/// Exact when each distinct reference value is a knot. With fewer knots it is a lower bound; see [`ks_uncertainty`].
///
/// ```
/// use anchorwatch_detectors::{two_sample::ks, NumericBinning};
/// let binning = NumericBinning::new(vec![1.0, 2.0, 3.0])?;
/// let distance = ks(&binning.count(&[1.0, 2.0, 3.0]), &binning.count(&[2.0, 4.0])).expect("neither is empty");
/// assert_eq!(distance.statistic, 0.5);
/// assert!((distance.p_exact().expect("small samples") - 0.9).abs() < 1e-12);
/// # Ok::<(), anchorwatch_detectors::BinningError>(())
/// ```
#[must_use]
pub fn ks(reference: &[u64], window: &[u64]) -> Option<Ks> {
    let walk = Walk::new(reference, window)?;
    let (highest, lowest) = walk.extremes(reference, window);
    let (d_plus, d_minus) = (walk.share(highest), walk.share(-lowest));
    Some(Ks { statistic: d_plus.max(d_minus), d_plus, d_minus, n: walk.n, m: walk.m })
}

/// What is certain about the distance when the reference has mass between its knots.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KsInterval {
    /// The distance found at the knots, which is attained.
    pub low: f64,
    /// The distance for the most adverse order of values inside the gaps.
    pub high: f64,
}

/// The certified interval of the Kolmogorov–Smirnov distance over the cells of a numeric binning.
///
/// Inside a gap the distribution functions may part by what the gap holds of either profile: the interval is no wider
/// than the largest smaller mass of any gap, hence no wider than the largest reference mass between knots, and of width
/// zero when each distinct reference value is a knot. `None` as for [`ks`].
#[must_use]
pub fn ks_uncertainty(reference: &[u64], window: &[u64]) -> Option<KsInterval> {
    let walk = Walk::new(reference, window)?;
    let (mut low, mut high) = (0, 0);
    for (cell, step) in walk.steps(reference, window).enumerate() {
        low = low.max(step.after.abs());
        if cell % 2 == 0 {
            high = high.max(step.before + step.up).max(step.down - step.before);
        }
    }
    Some(KsInterval { low: walk.share(low), high: walk.share(high.max(low)) })
}

/// Two sizes whose product scales differences of distribution functions to integers.
#[derive(Clone, Copy)]
struct Walk {
    n: u64,
    m: u64,
}

/// One cell: the scaled difference `F_reference - F_window` before and after it, and the two parts of the change.
struct Step {
    before: i128,
    up: i128,
    down: i128,
    after: i128,
}

impl Walk {
    fn new(reference: &[u64], window: &[u64]) -> Option<Self> {
        let (n, m) = (crate::counts::total(reference), crate::counts::total(window));
        // Beyond 2^62 a product could leave the range of i128; no stream is that long.
        let fits = |size: u64| size > 0 && size < 1 << 62;
        (reference.len() == window.len() && fits(n) && fits(m)).then_some(Self { n, m })
    }

    fn steps(self, reference: &[u64], window: &[u64]) -> impl Iterator<Item = Step> {
        let mut difference = 0;
        reference.iter().zip(window).map(move |(&reference, &window)| {
            let before = difference;
            let up = i128::from(reference) * i128::from(self.m);
            let down = i128::from(window) * i128::from(self.n);
            difference += up - down;
            Step { before, up, down, after: difference }
        })
    }

    /// Largest and smallest scaled difference after any cell, with 0 before the first.
    fn extremes(self, reference: &[u64], window: &[u64]) -> (i128, i128) {
        let Some((n, m, _)) = self.in_64_bits() else {
            let (mut highest, mut lowest) = (0, 0);
            for step in self.steps(reference, window) {
                highest = highest.max(step.after);
                lowest = lowest.min(step.after);
            }
            return (highest, lowest);
        };
        let (mut difference, mut high, mut low) = (0_i64, 0, 0);
        for (&reference, &window) in reference.iter().zip(window) {
            difference += reference.cast_signed() * m - window.cast_signed() * n;
            high = high.max(difference);
            low = low.min(difference);
        }
        (i128::from(high), i128::from(low))
    }

    /// Both sizes and their product, if that fits: no part of a profile is larger than the whole, so that no scaled
    /// difference leaves the range that the product fits.
    fn in_64_bits(self) -> Option<(i64, i64, i64)> {
        let (n, m) = (i64::try_from(self.n).ok()?, i64::try_from(self.m).ok()?);
        Some((n, m, n.checked_mul(m)?))
    }

    fn share(self, scaled: i128) -> f64 {
        scaled as f64 / (i128::from(self.n) * i128::from(self.m)) as f64
    }
}

impl Ks {
    /// Kuiper's `V = D⁺ + D⁻`, which sees changes of spread as well as of location.
    #[must_use]
    pub fn kuiper(&self) -> f64 {
        self.d_plus + self.d_minus
    }

    /// The two-sided p-value at a cost that suits every column of every window, a fraction of a millisecond.
    ///
    /// Exact for small samples; else by the finite-size law or, from an effective size of a thousand, the corrected
    /// limit, which from a size of forty also stands for p-values that nothing hangs on. All stay within some ten per cent of the exact law where a decision could hang on it, which is far less
    /// than what a p-value says; [`Ks::p_exact`] has all digits.
    #[must_use]
    pub fn p_value(&self) -> f64 {
        let exact = if self.n.saturating_mul(self.m) <= PROMPT_PATHS { self.p_exact() } else { None };
        if let Some(exact) = exact {
            return exact;
        }
        let (size, corrected) = (self.effective_size(), self.p_corrected());
        let enough = size >= LARGE || size >= MIDDLING && corrected >= ORDINARY;
        if enough { corrected } else { self.p_finite().unwrap_or(corrected) }
    }

    /// The two-sided p-value by Kolmogorov's limit law at Vrbik's (2018) corrected argument, good to some four digits
    /// from a hundred values on unless it is tiny.
    #[must_use]
    pub fn p_corrected(&self) -> f64 {
        let size = self.effective_size();
        let z = size.sqrt() * self.statistic;
        if z == 0.0 { 1.0 } else { kolmogorov_sf(z + 1.0 / (6.0 * size.sqrt()) + (z - 1.0) / (4.0 * size)) }
    }

    /// The exact two-sided p-value; `None` if it would take more than [`EXACT_PATHS`] steps. Conservative with ties.
    #[must_use]
    pub fn p_exact(&self) -> Option<f64> {
        self.p_exact_for(Alternative::TwoSided)
    }

    /// The exact p-value for an alternative (`Less`: by `d_minus`, `Greater`: by `d_plus`), as [`Ks::p_exact`].
    #[must_use]
    pub fn p_exact_for(&self, alternative: Alternative) -> Option<f64> {
        let steps = self.n.checked_mul(self.m).filter(|&steps| steps > 0 && steps <= EXACT_PATHS)?;
        let lcm = steps / gcd(self.n, self.m);
        let h = (self.distance(alternative) * lcm as f64).round() as u64;
        ks_two_sample_sf(self.n, self.m, h, alternative)
    }

    /// The p-value that `SciPy` 1.17 gives for `method="exact"`, for parity.
    ///
    /// The same as [`Ks::p_exact_for`], but for one-sided alternatives with unequal sizes it falls back to
    /// [`Ks::p_hodges`] once the number of paths, `binomial(n + m, n)`, overflows.
    #[must_use]
    pub fn p_exact_as_scipy(&self, alternative: Alternative) -> Option<f64> {
        let (n, m) = (self.n as f64, self.m as f64);
        let ln_paths = ln_gamma(n + m + 1.0) - ln_gamma(n + 1.0) - ln_gamma(m + 1.0);
        if alternative != Alternative::TwoSided && self.n != self.m && ln_paths > f64::MAX.ln() {
            return Some(self.p_hodges(alternative));
        }
        self.p_exact_for(alternative)
    }

    /// The two-sided p-value by the one-sample law at the size `n·m/(n+m)`, rounded half to even: `SciPy`'s `asymp`.
    ///
    /// `None` where that size rounds to 0.
    #[must_use]
    pub fn p_finite(&self) -> Option<f64> {
        kstwo_sf(self.statistic, self.effective_size().round_ties_even() as u64)
    }

    /// The two-sided p-value by Kolmogorov's limit law.
    #[must_use]
    pub fn p_limit(&self) -> f64 {
        kolmogorov_sf(self.effective_size().sqrt() * self.statistic)
    }

    /// The one-sided p-value by Hodges' (1958) approximation; for `TwoSided`, [`Ks::p_finite`] or else the limit.
    #[must_use]
    pub fn p_hodges(&self, alternative: Alternative) -> f64 {
        if alternative == Alternative::TwoSided {
            return self.p_finite().unwrap_or_else(|| self.p_limit());
        }
        let (large, small) = (self.n.max(self.m) as f64, self.n.min(self.m) as f64);
        let z = self.effective_size().sqrt() * self.distance(alternative);
        let correction = 2.0 * z * (large + 2.0 * small) / (large * small * (large + small)).sqrt();
        (-2.0 * z * z - correction / 3.0).exp().clamp(0.0, 1.0)
    }

    /// The p-value of [`Ks::kuiper`] by the limit series with Stephens' (1970) finite-size factor.
    #[must_use]
    pub fn p_kuiper(&self) -> f64 {
        let root = self.effective_size().sqrt();
        kuiper_sf((root + 0.155 + 0.24 / root) * self.kuiper())
    }

    /// `n·m/(n+m)`, the size of one sample as informative as the two.
    #[must_use]
    pub fn effective_size(&self) -> f64 {
        let (n, m) = (self.n as f64, self.m as f64);
        n * m / (n + m)
    }

    fn distance(&self, alternative: Alternative) -> f64 {
        match alternative {
            Alternative::TwoSided => self.statistic,
            Alternative::Less => self.d_minus,
            Alternative::Greater => self.d_plus,
        }
    }
}

/// Kuiper's limit law `2 Σ (4k²x² - 1) e^(-2k²x²)`.
fn kuiper_sf(x: f64) -> f64 {
    if x < 0.4 {
        return 1.0;
    }
    let term = |k: i32| {
        let square = f64::from(k * k) * x * x;
        (4.0 * square - 1.0) * (-2.0 * square).exp()
    };
    (2.0 * (1..=50).map(term).sum::<f64>()).clamp(0.0, 1.0)
}

/// The Kolmogorov–Smirnov distance of one raw sample, sorted upwards, from a distribution function.
///
/// `None` if the sample is empty. Its p-value is [`kstwo_sf`] at the sample's size.
#[must_use]
pub fn ks_one_sample(sorted: &[f64], cdf: impl Fn(f64) -> f64) -> Option<f64> {
    let n = sorted.len() as f64;
    let distance = |(rank, &value): (usize, &f64)| {
        let expected = cdf(value);
        ((rank + 1) as f64 / n - expected).max(expected - rank as f64 / n)
    };
    sorted.iter().enumerate().map(distance).reduce(f64::max)
}

#[cfg(test)]
mod tests;
