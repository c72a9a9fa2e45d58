//! One false-alarm budget for a model, split over everything that is watched of it.

use super::quantity::{Family, Quantity};
use crate::distributions::normal_isf;

/// Effective number of looks that the scan's lengths are worth: they overlap.
const LOOKS_OF_SCAN: f64 = 3.5;

/// A model's budget: on average at most one false alarm in this many windows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Budget {
    /// Average run length to a false alarm, in windows.
    pub windows: f64,
}

impl Budget {
    /// At most one false alarm every `days` when a window is `window_ms` long.
    #[must_use]
    pub fn per_days(days: f64, window_ms: i64) -> Self {
        Self { windows: (days * 86_400_000.0 / window_ms.max(1) as f64).max(1.0) }
    }

    /// The part of each of this many watches that share it evenly.
    #[must_use]
    pub fn among(self, sharing: u32) -> Self {
        Self { windows: self.windows * f64::from(sharing.max(1)) }
    }
}

/// Thresholds of one quantity.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thresholds {
    /// Of the scan's |z|.
    pub scan: f64,
    /// Of the e-detector's log statistic.
    pub evidence: f64,
    /// Chance per look and side that the scan's threshold leaves.
    pub chance: f64,
}

impl Thresholds {
    /// Threshold of the scan's |z| where this many watches share the budget evenly: the same chance over their number.
    #[must_use]
    pub fn scan_among(&self, sharing: u32) -> f64 {
        if sharing <= 1 {
            return self.scan;
        }
        normal_isf(self.chance / f64::from(sharing)).unwrap_or(f64::INFINITY)
    }
}

/// Thresholds of each quantity under a budget for all of them: by family, and evenly inside a family (Bonferroni).
#[must_use]
pub fn split(budget: Budget, quantities: &[Quantity]) -> Vec<Thresholds> {
    let size = |family: Family| quantities.iter().filter(|one| one.family == family).count().max(1) as f64;
    let sizes: Vec<(Family, f64)> = Family::ALL.iter().map(|family| (*family, size(*family))).collect();
    let of = |one: &Quantity| {
        let members = sizes.iter().find(|(family, _)| *family == one.family).map_or(1.0, |(_, size)| *size);
        let share = one.family.share() / members;
        let sides = if one.rises_only { 1.0 } else { 2.0 };
        let chance = share / budget.windows / LOOKS_OF_SCAN / sides;
        Thresholds {
            scan: normal_isf(chance).unwrap_or(f64::INFINITY),
            evidence: (budget.windows / share).ln(),
            chance,
        }
    };
    quantities.iter().map(of).collect()
}
