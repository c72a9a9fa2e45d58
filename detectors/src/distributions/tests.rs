//! Tails fall, intervals hold their estimate, laws agree where they meet, and nothing panics.

use std::hint::black_box;

use proptest::prelude::*;

use super::cramer_von_mises::{limit_cdf, two_sample_exact_sf};
use super::kolmogorov::{kolmogorov_sf, kstwo_sf, smirnov_sf};
use super::lattice::{Alternative, ks_two_sample_sf};
use super::*;

/// Numbers that break careless code.
const STRANGE: [f64; 10] =
    [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, -1.0, 1.0, 5e-324, f64::MAX, f64::EPSILON];

#[test]
fn no_argument_makes_a_law_panic() {
    for x in STRANGE {
        black_box((normal_sf(x), normal_isf(x), kolmogorov_sf(x), limit_cdf(x)));
        for y in STRANGE {
            black_box((chi_square_sf(x, y), chi_square_isf(x, y), student_two_sided(x, y)));
            black_box((incomplete_beta(x, y, 0.5), incomplete_beta(2.0, x, y)));
        }
        for n in [0, 1, 2, 139, 140, 141, 100_001, u64::MAX] {
            black_box((kstwo_sf(x, n), smirnov_sf(x, n), two_sample_exact_sf(x, n, 3)));
            black_box((binomial_sf(n / 2, n, x), clopper_pearson(n / 3, n, x), wilson(n / 3, n, x)));
        }
    }
    assert_eq!(clopper_pearson(2, 1, 0.95), None);
    for (n, m) in [(0, 1), (u64::MAX, 1), (u64::MAX, u64::MAX), (1 << 20, 1 << 20)] {
        assert_eq!(ks_two_sample_sf(n, m, 1, Alternative::Less), None);
    }
}

#[test]
fn the_finite_law_joins_smoothly_where_methods_change() {
    for n in [141u64, 500, 5_000, 50_000, 200_000] {
        let size = n as f64;
        // Where the matrix gives way to the expansion, and the expansion to the one-sided tail.
        for d in [(1.4 / size).powf(2.0 / 3.0), (2.2 / size).sqrt()] {
            let (below, above) =
                (kstwo_sf(d * (1.0 - 1e-9), n).unwrap(), kstwo_sf(d * (1.0 + 1e-9), n).unwrap());
            // The expansion leaves out terms of the order 1/n², the tail paths that touch both sides.
            let allowed = 0.2 / (size * size) + 3e-7;
            assert!((below - above).abs() < allowed, "{n} {d} {below} {above}");
        }
    }
}

#[test]
fn the_exact_two_sample_law_tends_to_the_limit() {
    let exact = ks_two_sample_sf(1_000, 1_000, 61, Alternative::TwoSided).unwrap();
    assert!((exact - kolmogorov_sf(500f64.sqrt() * 0.061)).abs() < 1e-3);
}

#[test]
fn textbook_values() {
    assert!((normal_sf(1.959_963_984_540_054) - 0.025).abs() < 1e-15);
    assert!((normal_sf(-8.0) + normal_sf(8.0) - 1.0).abs() < 1e-15);
    assert!((normal_sf(8.0) / 6.220_960_574_271_786e-16 - 1.0).abs() < 1e-12);
    assert!((normal_isf(0.025).unwrap() - 1.959_963_984_540_054).abs() < 1e-14);
    assert_eq!((normal_isf(0.5), normal_isf(0.0)), (Some(0.0), Some(f64::INFINITY)));
    assert!((chi_square_isf(0.05, 9.0).unwrap() - 16.918_977_604_620_45).abs() < 1e-9);
    assert!((student_two_sided(2.228_138_852, 10.0).unwrap() - 0.05).abs() < 1e-9);
    assert!((binomial_sf(2, 3, 0.5).unwrap() - 0.5).abs() < 1e-12);
    assert!((smirnov_sf(0.5, 1).unwrap() - 0.5).abs() < 1e-12);
}

proptest! {
    #[test]
    fn tails_fall(a in 0.0f64..40.0, b in 0.0f64..40.0, df in 0.5f64..300.0, n in 1u64..2_000) {
        let (low, high) = (a.min(b), a.max(b));
        let falls = |p: f64, q: f64| (0.0..=1.0).contains(&p) && (0.0..=1.0).contains(&q) && q <= p + 1e-9;
        prop_assert!(falls(normal_sf(low), normal_sf(high)));
        prop_assert!(falls(kolmogorov_sf(low / 20.0), kolmogorov_sf(high / 20.0)));
        prop_assert!(falls(1.0 - limit_cdf(low / 20.0), 1.0 - limit_cdf(high / 20.0)));
        prop_assert!(falls(chi_square_sf(low, df).unwrap(), chi_square_sf(high, df).unwrap()));
        prop_assert!(falls(student_two_sided(low, df).unwrap(), student_two_sided(high, df).unwrap()));
        prop_assert!(falls(smirnov_sf(low / 40.0, n).unwrap(), smirnov_sf(high / 40.0, n).unwrap()));
        // Methods of the finite law differ by some 1e-7 where they meet.
        prop_assert!(kstwo_sf(high / 40.0, n).unwrap() <= kstwo_sf(low / 40.0, n).unwrap() + 1e-6);
    }

    #[test]
    fn intervals_hold_the_observed_share_and_the_exact_one_is_wider(trials in 1u64..3_000, part in 0.0f64..=1.0) {
        let successes = (part * trials as f64) as u64;
        let share = successes as f64 / trials as f64;
        for confidence in [0.5, 0.95, 0.999] {
            for interval in [clopper_pearson, wilson].map(|f| f(successes, trials, confidence).unwrap()) {
                prop_assert!(0.0 <= interval.low && interval.low <= share + 1e-12);
                prop_assert!(share <= interval.high + 1e-12 && interval.high <= 1.0);
            }
        }
    }

    #[test]
    fn binomial_tails_are_sums(trials in 1u64..30, successes in 0u64..32, p in 0.01f64..0.99) {
        let mut mass = (1.0 - p).powi(trials as i32);
        let mut tail = 0.0;
        for k in 0..=trials {
            if k >= successes {
                tail += mass;
            }
            mass *= (trials - k) as f64 / (k + 1) as f64 * p / (1.0 - p);
        }
        prop_assert!((binomial_sf(successes, trials, p).unwrap() - tail).abs() < 1e-9);
    }
}
