//! A stream without drift out of a baseline's windows: the stationary bootstrap (Politis and Romano 1994) of runs of
//! consecutive windows, each taken up at the same hour as where it is put, so that season and autocorrelation stay while
//! whatever trend the baseline has is mixed up.

use std::collections::HashMap;

use super::random::SplitMix64;
use crate::subject::Millis;

const DAY: Millis = 86_400_000;
const WEEK: Millis = 7 * DAY;

/// Baselines at least this long are resampled by the hour of the week, as calibration then knows weekdays.
const LONG_ENOUGH_FOR_WEEKS: Millis = 2 * WEEK;

/// Mean length of a run when windows are a day or longer.
const DAYS_IN_RUN: f64 = 7.0;

/// Where a window is put, and which of the baseline's windows is put there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) start: Millis,
    pub(super) source: usize,
}

/// A timeline of `windows` windows that begins with the baseline; `starts` are those of the baseline's windows.
pub(super) fn resample(
    starts: &[Millis],
    window_ms: Millis,
    windows: usize,
    random: &mut SplitMix64,
) -> Vec<Placed> {
    let (Some(first), Some(last)) = (starts.first(), starts.last()) else { return Vec::new() };
    let period = match last - first + window_ms {
        span if span >= LONG_ENOUGH_FOR_WEEKS && WEEK % window_ms == 0 => WEEK,
        _ if window_ms < DAY && DAY % window_ms == 0 => DAY,
        _ => window_ms,
    };
    let mut by_phase: HashMap<Millis, Vec<usize>> = HashMap::new();
    for (index, start) in starts.iter().enumerate() {
        by_phase.entry(start.rem_euclid(period)).or_default().push(index);
    }
    let end_of_run = 1.0 / (DAY as f64 / window_ms as f64).max(DAYS_IN_RUN);
    let mut placed: Vec<Placed> = Vec::with_capacity(windows);
    for start in (0..windows as i64).map(|index| first + index * window_ms) {
        let goes_on = placed.last().map(|before| before.source).filter(|source| {
            let follows = starts.get(source + 1).is_some_and(|next| *next == starts[*source] + window_ms);
            follows && random.uniform() >= end_of_run
        });
        let source = match goes_on {
            Some(source) => source + 1,
            None => {
                let same_hour = by_phase.get(&start.rem_euclid(period));
                let drawn = random.below(same_hour.map_or(starts.len(), Vec::len) as u64) as usize;
                same_hour.and_then(|list| list.get(drawn)).copied().unwrap_or(drawn)
            }
        };
        placed.push(Placed { start, source });
    }
    placed
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Millis = 3_600_000;

    #[test]
    fn windows_keep_their_hour_and_mostly_their_neighbours_and_a_seed_repeats_them() {
        let starts: Vec<Millis> = (5..5 + 10 * 24).map(|hour| hour * HOUR).collect();
        let draw = |seed| resample(&starts, HOUR, 1_000, &mut SplitMix64::new(seed));
        let placed = draw(1);
        assert_eq!(placed.len(), 1_000);
        assert!(placed.iter().all(|one| (one.start - starts[one.source]) % DAY == 0));
        let followed = placed.windows(2).filter(|pair| pair[1].source == pair[0].source + 1).count();
        assert!((900..990).contains(&followed), "{followed}");
        assert_eq!(placed, draw(1));
        assert_ne!(placed, draw(2));
    }

    #[test]
    fn long_baselines_keep_the_weekday_too_and_gaps_end_a_run() {
        let starts: Vec<Millis> =
            (0..21 * 24).filter(|hour| hour % 100 != 7).map(|hour| hour * HOUR).collect();
        let placed = resample(&starts, HOUR, 2_000, &mut SplitMix64::new(9));
        let off = placed.iter().filter(|one| (one.start - starts[one.source]) % WEEK != 0).count();
        assert_eq!(off, 0);
        assert!(resample(&[], HOUR, 5, &mut SplitMix64::new(1)).is_empty());
    }
}
