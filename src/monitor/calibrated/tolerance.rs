//! Which floors a baseline asks for: the smallest at which its own later windows, judged by what its earlier ones showed, stay
//! quiet under a budget. And what a floor costs: the smallest change that is noticed in time.

use anchorwatch_detectors::calibrated::{Law, Loudness, Sample};

use super::sensitivity::{Injected, delays};
use super::{BudgetDays, Counted, ModelWatch, Monitored, SeriesWindow, local};
use crate::config::Tolerated;
use crate::reference::Reference;
use crate::subject::Millis;

/// Steps of each decade of the sizes that are tried.
const STEPS: [f64; 10] = [1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0];

/// A setting of [`Tolerated`], with the quantities that it is a floor of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// Means of numbers.
    Deviations,
    /// Shares of faults.
    Rate,
    /// Shares of categories and labels.
    Level,
    /// Tails, as a part of their share.
    Tail,
}

impl Setting {
    /// All of them, in the order of the configuration.
    pub const ALL: [Self; 4] = [Self::Deviations, Self::Rate, Self::Level, Self::Tail];

    /// The setting behind a quantity's floor.
    #[must_use]
    pub(super) fn of(one: &Monitored) -> Self {
        match (one.quantity.law, one.kind) {
            (Law::Mean { .. }, _) => Self::Deviations,
            (Law::Share, "level" | "rare_levels" | "label_rate") => Self::Level,
            (Law::Share, "tail_high" | "tail_low" | "latency_above") => Self::Tail,
            (Law::Share, _) => Self::Rate,
        }
    }

    /// Name in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Deviations => "deviations",
            Self::Rate => "rate",
            Self::Level => "level",
            Self::Tail => "tail",
        }
    }

    /// Its value.
    #[must_use]
    pub const fn value(self, tolerated: &Tolerated) -> f64 {
        match self {
            Self::Deviations => tolerated.deviations,
            Self::Rate => tolerated.rate,
            Self::Level => tolerated.level,
            Self::Tail => tolerated.tail,
        }
    }

    /// Gives it another value.
    pub const fn set(self, tolerated: &mut Tolerated, value: f64) {
        match self {
            Self::Deviations => tolerated.deviations = value,
            Self::Rate => tolerated.rate = value,
            Self::Level => tolerated.level = value,
            Self::Tail => tolerated.tail = value,
        }
    }

    /// Kind of quantity by which a floor's cost is shown, the smallest change of it that is tried, and from where on a
    /// floor hides what anybody would want to know of: 0.3 standard deviations, five points, twice a tail.
    const fn bounds(self) -> (&'static str, f64, f64) {
        match self {
            Self::Deviations => ("location", 0.01, 0.3),
            Self::Rate => ("missing", 0.001, 0.05),
            Self::Level => ("level", 0.001, 0.05),
            Self::Tail => ("tail_high", 0.05, 1.0),
        }
    }

    fn injected(self, size: f64) -> Injected {
        match self {
            Self::Deviations => Injected::Deviations(size),
            Self::Rate | Self::Level => Injected::Share(size),
            Self::Tail => Injected::Part(size),
        }
    }
}

/// Round numbers from `least` up to `most`, which is left out.
fn sizes(least: f64, most: f64) -> Vec<f64> {
    let decade = |exponent: i32| {
        STEPS.iter().map(move |step| {
            // By way of its decimal digits: a configuration is to read 0.06, not 0.06000000000000001.
            format!("{step}e{exponent}").parse().unwrap_or(step * 10.0_f64.powi(exponent))
        })
    };
    (-4..2).flat_map(decade).filter(|size| (least..most).contains(size)).collect()
}

/// What a baseline asks for in one setting.
#[derive(Debug, Clone, PartialEq)]
pub struct Least {
    /// The setting.
    pub setting: Setting,
    /// The least floor that keeps the windows quiet; `None` if none does that leaves something to notice.
    pub floor: Option<f64>,
    /// The quantity that alarms in most windows with the next smaller floor, if there is one.
    pub because_of: Option<Monitored>,
}

/// The least floor by setting at which `windows` raise no alarm of this loudness, judged against `reference`, which is to be
/// calibrated on earlier windows. `None` if the reference watches nothing.
#[must_use]
pub fn least_floors(
    reference: &Reference,
    (budget, sharing): (BudgetDays, u32),
    loudness: Loudness,
    windows: impl Iterator<Item = SeriesWindow>,
) -> Option<Vec<Least>> {
    let watch = ModelWatch::new(reference, budget)?;
    let sampled = |window: SeriesWindow| {
        let counted = Counted { whole: &window.whole, slices: &window.slices };
        (local(watch.time_zone, window.start), watch.samples(counted))
    };
    let windows: Vec<(Millis, Vec<Sample>)> = windows.map(sampled).collect();
    let candidates = Setting::ALL.map(|setting| {
        let (_, least, most) = setting.bounds();
        [vec![0.0], sizes(least, most)].concat()
    });
    // All settings at once: no quantity has a floor of two.
    let mut noisy_below = [0_usize; Setting::ALL.len()];
    let mut quiet_from = candidates.each_ref().map(Vec::len);
    let mut because_of = [None; Setting::ALL.len()];
    loop {
        let open: Vec<bool> = noisy_below.iter().zip(quiet_from).map(|(low, high)| *low < high).collect();
        if !open.contains(&true) {
            break;
        }
        let tried: Vec<usize> =
            noisy_below.iter().zip(quiet_from).map(|(low, high)| (low + high) / 2).collect();
        let mut tolerated = Tolerated::default();
        for (place, setting) in Setting::ALL.into_iter().enumerate() {
            let floor = candidates[place].get(tried[place]).or(candidates[place].last());
            setting.set(&mut tolerated, floor.copied().unwrap_or(0.0));
        }
        let alarming = alarming(reference, &windows, (budget, sharing), loudness, &tolerated)?;
        for (place, loudest) in alarming.into_iter().enumerate().filter(|(place, _)| open[*place]) {
            match loudest {
                None => quiet_from[place] = tried[place],
                Some(quantity) => {
                    noisy_below[place] = tried[place] + 1;
                    because_of[place] = Some(quantity);
                }
            }
        }
    }
    let least = |(place, setting): (usize, Setting)| Least {
        setting,
        floor: candidates[place].get(quiet_from[place]).copied(),
        because_of: because_of[place].and_then(|index: usize| watch.monitored.get(index)).cloned(),
    };
    Some(Setting::ALL.into_iter().enumerate().map(least).collect())
}

/// By setting the quantity that alarms in most of the windows.
fn alarming(
    reference: &Reference,
    windows: &[(Millis, Vec<Sample>)],
    (budget, sharing): (BudgetDays, u32),
    loudness: Loudness,
    tolerated: &Tolerated,
) -> Option<[Option<usize>; Setting::ALL.len()]> {
    let watch = ModelWatch::new(reference, budget)?.tolerating(tolerated);
    let mut state = watch.watch.state();
    let mut alarms = vec![0_usize; watch.monitored.len()];
    for (at, samples) in windows {
        let readings = watch.watch.step_among(&mut state, samples, *at, sharing);
        for (count, reading) in alarms.iter_mut().zip(&readings) {
            *count += usize::from(reading.alarm.is_some_and(|alarm| alarm >= loudness));
        }
    }
    Some(Setting::ALL.map(|setting| {
        let of_setting =
            |index: &usize| Setting::of(&watch.monitored[*index]) == setting && alarms[*index] > 0;
        (0..alarms.len()).rev().filter(of_setting).max_by_key(|index| alarms[*index])
    }))
}

/// The smallest round change of a setting's quantities that half of them notice within so many windows; `None` if there is no
/// such quantity, or they never do.
#[must_use]
pub fn smallest_noticed(
    watch: &ModelWatch,
    loudness: Loudness,
    setting: Setting,
    within: usize,
    start: Millis,
) -> Option<f64> {
    let (kind, least, most) = setting.bounds();
    let sizes = sizes(least, 10.0 * most);
    let is_late = |size: &f64| {
        let delays = delays(watch, loudness, kind, setting.injected(*size), start);
        let noticed =
            delays.iter().filter(|one| one.windows.is_some_and(|windows| windows <= within)).count();
        delays.is_empty() || 2 * noticed < delays.len()
    };
    sizes.get(sizes.partition_point(is_late)).copied()
}

#[cfg(test)]
#[path = "tolerance_tests.rs"]
mod tests;
