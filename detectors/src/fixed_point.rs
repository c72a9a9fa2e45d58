//! Sums of real numbers kept as integers, so that they merge and subtract exactly in any order.
//!
//! A sum of `f64` depends on the order of its terms and cannot be taken back; a sum of integers does not and can. Here is
//! the one conversion between the two. Not here: sums per gap of a column, whose unit depends on its knots
//! ([`crate::gap_tie`]).
//!
//! * adding the same values in any order and grouping gives the same sum.
//! * subtracting what was added restores the sum before, bit for bit.

/// A single value is cut off at this power of two of units, so that `2^31` of them fit an `i128`.
const VALUE_BITS: i32 = 96;

/// The unit `2^exponent` in which real numbers are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FixedPoint {
    exponent: i32,
}

impl FixedPoint {
    /// Units of `2^exponent`, held within -900 to 900.
    #[must_use]
    pub const fn new(exponent: i32) -> Self {
        let exponent = if exponent < -900 { -900 } else { exponent };
        Self { exponent: if exponent > 900 { 900 } else { exponent } }
    }

    /// The nearest whole number of units; values beyond `2^96` units are cut off there, NaN is 0.
    #[must_use]
    pub fn units(self, value: f64) -> i128 {
        let limit = 2f64.powi(VALUE_BITS);
        (value * 2f64.powi(-self.exponent)).clamp(-limit, limit).round() as i128
    }

    /// The real number that so many units are.
    #[must_use]
    pub fn value(self, units: i128) -> f64 {
        units as f64 * 2f64.powi(self.exponent)
    }
}

/// Adds one list of sums to another, term by term; what one has beyond the other is left alone.
pub(crate) fn merge_sums(into: &mut [i128], from: &[i128]) {
    for (into, from) in into.iter_mut().zip(from) {
        *into = into.wrapping_add(*from);
    }
}

/// Takes one list of sums from another, the inverse of [`merge_sums`].
pub(crate) fn subtract_sums(into: &mut [i128], from: &[i128]) {
    for (into, from) in into.iter_mut().zip(from) {
        *into = into.wrapping_sub(*from);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_number_counts_nothing() {
        let unit = FixedPoint::new(-40);
        assert_eq!((unit.units(f64::NAN), unit.units(f64::INFINITY)), (0, 1 << VALUE_BITS));
        assert_eq!(unit.value(unit.units(-1.5)), -1.5);
    }

    proptest! {
        #[test]
        fn x1_x2_sums_commute_and_go_back(values in proptest::collection::vec(any::<f64>(), 0..50)) {
            let units: Vec<i128> = values.iter().map(|&value| FixedPoint::new(-60).units(value)).collect();
            let mut forward = [0];
            units.iter().for_each(|&unit| merge_sums(&mut forward, &[unit]));
            let mut backward = [0];
            units.iter().rev().for_each(|&unit| merge_sums(&mut backward, &[unit]));
            prop_assert_eq!(forward, backward);
            units.iter().for_each(|&unit| subtract_sums(&mut forward, &[unit]));
            prop_assert_eq!(forward, [0]);
        }
    }
}
