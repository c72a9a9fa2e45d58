//! How often alarms really come, to be held against the stated budget. Here live the episodes and their count; what one
//! does about too many of them is not decided here.

use anchorwatch_detectors::calibrated::{Loudness, REMEMBERED};
use serde::{Deserialize, Serialize};

use super::Finding;

/// Alarms of one severity in windows that follow one another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Episodes {
    /// Runs of windows in which an alarm was on; each 48 windows of a longer run count anew.
    pub episodes: u64,
    /// Windows in which one was on.
    pub windows: u64,
    /// Windows for which the episode has been on.
    on_for: u64,
}

impl Episodes {
    /// Takes in whether an alarm is on in the next window.
    pub fn take(&mut self, alarms: bool) {
        if !alarms {
            self.on_for = 0;
            return;
        }
        // The watch remembers so many windows: an alarm that outlasts them has a new cause.
        self.episodes += u64::from(self.on_for.is_multiple_of(REMEMBERED as u64));
        self.on_for += 1;
        self.windows += 1;
    }
}

/// Windows that a watch has judged, and its alarms of each severity.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlarmTally {
    /// Windows judged.
    pub judged: u64,
    /// Alarms as loud as each of [`Loudness::ALL`] or louder.
    pub alarms: [Episodes; 2],
}

impl AlarmTally {
    /// Takes in what stood out in the next window.
    pub fn take<'a>(&mut self, findings: impl Iterator<Item = &'a Finding>) {
        let loudest = findings.map(|finding| finding.loudness).max();
        self.judged += 1;
        for (episodes, loudness) in self.alarms.iter_mut().zip(Loudness::ALL) {
            episodes.take(loudest.is_some_and(|loudest| loudest >= loudness));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_of_windows_is_one_episode_and_a_very_long_one_counts_anew() {
        let mut episodes = Episodes::default();
        let mut take = |windows: usize, alarms: bool| {
            (0..windows).for_each(|_| episodes.take(alarms));
            (episodes.episodes, episodes.windows)
        };
        assert_eq!(take(5, false), (0, 0));
        assert_eq!(take(REMEMBERED, true), (1, 48));
        assert_eq!(take(1, true), (2, 49));
        assert_eq!(take(1, false), (2, 49));
        assert_eq!(take(2, true), (3, 51));
    }
}
