//! A difference measured by what chance allows.

/// `difference / allowed`, kept finite and so that it is above 1, at 1 or below 1 exactly as the difference is above, at
/// or below what is allowed; never below 0.
pub(super) fn excess(difference: f64, allowed: f64) -> f64 {
    if difference > allowed {
        (difference / allowed).clamp(1.0 + f64::EPSILON, f64::MAX)
    } else if difference == allowed {
        1.0
    } else {
        (difference / allowed).clamp(0.0, 1.0 - f64::EPSILON)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quotient_never_contradicts_the_comparison() {
        let values = [0.0, 1e-320, 1e-9, 0.1, 0.1 + 1e-17, 0.3, 1.0, 1e200];
        for difference in values {
            for allowed in values {
                let got = excess(difference, allowed);
                assert_eq!(got > 1.0, difference > allowed, "{difference} {allowed}");
                assert_eq!(got >= 1.0, difference >= allowed, "{difference} {allowed}");
                assert!(got.is_finite() && excess(-difference, allowed + 1e-3) == 0.0);
            }
        }
    }
}
