//! The e-detector of one quantity: a mixture of Shiryaev–Roberts processes over sizes of the change (Shin, Ramdas &
//! Rinaldo, "E-detectors"). If the baseline's model is right, the mean time until the statistic passes `A` is at least
//! `A` windows, at whatever moment one looks.
//!
//! Where several watches share a budget, a window starts a process with the weight `w = 1/k` instead of 1, `k` being their
//! number: `R ← (R + w)·bet`. `R` less the sum of the weights is a martingale whatever `k` was from window to window, so the
//! weights of a watch add up to at least `A` before it alarms on average; and the weights of all watches of a window
//! add up to 1. So all of them together alarm no more often than one that has the budget alone, and what one has gathered
//! does not change when another begins.
//!
//! The processes are kept in single precision: they are bounded by [`MOST`], far below where adding 1 would be lost, and a
//! rounding by a part in ten millions is nothing beside the threshold.

use super::fit::Fit;
use super::quantity::{Law, Quantity, Sample};
use super::spread::skew;

/// Effects betted on, in standard deviations of a window.
const EFFECTS: [f64; 4] = [0.5, 1.0, 2.0, 4.0];

/// Ratios of rates betted on.
const RISES: [f64; 4] = [1.25, 2.0, 5.0, 25.0];
const FALLS: [f64; 4] = [0.8, 0.5, 0.25, 0.05];

/// Most that a process comes to, `e^18`, so that it comes down again once the change is over.
const MOST: f64 = 65_659_969.0;

/// Largest standardised residual that a bet takes at its word.
const LARGEST: f64 = 6.0;

/// Standard errors of the baseline's own mean within which nothing is bet on.
const UNSURE: f64 = 2.0;

/// State of one quantity's processes, rises before falls.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Evidence {
    processes: [f32; 2 * EFFECTS.len()],
    predicted: f32,
}

impl Evidence {
    /// Numbers of a state.
    pub(super) const NUMBERS: usize = 2 * EFFECTS.len() + 1;

    /// Bytes of a state whose processes were written as logarithms, in double precision.
    pub(super) const BYTES_OF_LOGARITHMS: usize = Self::NUMBERS * size_of::<f64>();

    /// The state as numbers.
    pub(super) fn numbers(&self) -> [f32; Self::NUMBERS] {
        let mut numbers = [self.predicted; Self::NUMBERS];
        numbers[..self.processes.len()].copy_from_slice(&self.processes);
        numbers
    }

    /// The state of these numbers.
    pub(super) fn of_numbers(numbers: [f32; Self::NUMBERS]) -> Self {
        let mut evidence = Self { predicted: numbers[Self::NUMBERS - 1], ..Self::default() };
        evidence.processes.copy_from_slice(&numbers[..Self::NUMBERS - 1]);
        evidence
    }

    /// Reads [`Self::BYTES_OF_LOGARITHMS`] bytes back.
    pub(super) fn decode_logarithms(bytes: &[u8]) -> Option<Self> {
        let mut numbers = bytes.chunks_exact(8).map(|chunk| chunk.try_into().map(f64::from_le_bytes));
        let mut evidence = Self::default();
        for process in &mut evidence.processes {
            *process = numbers.next()?.ok()?.exp().min(MOST) as f32;
        }
        evidence.predicted = numbers.next()?.ok()? as f32;
        Some(evidence)
    }

    /// Takes in one window, whose mean the baseline expects to be `expected`; `sharing` watches (at least 1) share the
    /// budget in it.
    pub fn step(
        &mut self,
        quantity: &Quantity,
        fit: &Fit,
        sample: Sample,
        (expected, tolerance): (f64, f64),
        sharing: u32,
    ) {
        if sample.count <= 0.0 {
            return;
        }
        let change = sample.sum / sample.count - expected;
        let precision = fit.precision(sample.count);
        let tempered = match quantity.law {
            Law::Share if !fit.is_bursty() => change * skew(change, expected),
            Law::Share => change,
            Law::Mean { .. } => quantity.of_few(change, sample.count / precision, sample.count),
        };
        let standard = tempered * precision.sqrt();
        let standard = quantity.unskewed(standard, fit.relative(precision), sample.count);
        let bets = match (quantity.law, fit.clip) {
            (Law::Share, None) => count_bets(quantity, fit, sample, expected, tolerance),
            _ => self.mean_bets(quantity, fit, sample, standard, tolerance),
        };
        let start = 1.0 / f64::from(sharing.max(1));
        for (process, bet) in self.processes.iter_mut().zip(bets) {
            *process = ((f64::from(*process) + start) * bet.exp()).min(MOST) as f32;
        }
    }

    /// Logarithm of the mean of all processes.
    #[must_use]
    pub fn log_statistic(&self) -> f64 {
        (sum(&self.processes) / self.processes.len() as f64).ln()
    }

    /// Whether the evidence speaks for a rise rather than a fall.
    #[must_use]
    pub fn rises(&self) -> bool {
        sum(&self.processes[..EFFECTS.len()]) >= sum(&self.processes[EFFECTS.len()..])
    }

    fn mean_bets(
        &mut self,
        quantity: &Quantity,
        fit: &Fit,
        sample: Sample,
        standard: f64,
        tolerance: f64,
    ) -> [f64; 8] {
        let limit = fit.clip.unwrap_or(LARGEST).min(LARGEST);
        let (gain, deviation) = fit.prediction();
        let predicted = f64::from(self.predicted);
        let surprise = standard - predicted;
        self.predicted = (fit.memory * (predicted + gain * surprise)) as f32;
        let fresh = (surprise / deviation).clamp(-limit, limit);
        let slack = (tolerance + UNSURE * fit.error.sqrt()) * fit.precision(sample.count).sqrt();
        let mut bets = [0.0; 8];
        for (index, effect) in EFFECTS.iter().enumerate() {
            bets[index] = effect * (fresh - slack) - effect * effect / 2.0;
            if !quantity.rises_only {
                bets[index + 4] = effect * (-fresh - slack) - effect * effect / 2.0;
            }
        }
        bets
    }
}

fn count_bets(quantity: &Quantity, fit: &Fit, sample: Sample, expected: f64, tolerance: f64) -> [f64; 8] {
    let Sample { sum: hits, count } = sample;
    let p = expected.clamp(1e-9, 1.0 - 1e-9);
    let unsure = UNSURE * (p / fit.events).sqrt();
    let weight = (1.0 - fit.memory) / (1.0 + fit.memory) / fit.clumping(count);
    let bet = |null: f64, ratio: f64| {
        let other = (ratio * null).min(0.999);
        weight * (hits * (other / null).ln() + (count - hits) * ((1.0 - other) / (1.0 - null)).ln())
    };
    let mut bets = [0.0; 8];
    for index in 0..4 {
        bets[index] = bet((p + unsure + tolerance).clamp(1e-9, 0.999), RISES[index]);
        if !quantity.rises_only {
            bets[index + 4] = bet((p - unsure - tolerance).clamp(1e-9, 1.0 - 1e-9), FALLS[index]);
        }
    }
    bets
}

fn sum(processes: &[f32]) -> f64 {
    processes.iter().copied().map(f64::from).sum()
}
