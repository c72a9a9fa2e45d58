//! Burn rates of an error budget on paired windows: alarms that are neither slow nor forgetful.
//!
//! A service level objective allows a share `1 - slo` of bad events. A burn rate of 1 uses the budget up exactly in the
//! objective's period, 14.4 uses 2 % of thirty days in one hour. An alarm needs the rate in a long window (enough
//! evidence) *and* in a short one (it is still going on). Rules as in Google's SRE workbook, chapter 5. Not here: what a
//! bad event is, nor the windows themselves.

use serde::{Deserialize, Serialize};

use crate::latency::burn_rate;

/// Bad events and all events of one window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Events {
    /// Events that missed the objective.
    pub bad: u64,
    /// All events.
    pub total: u64,
}

/// Two windows and the burn rate that both must reach.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BurnRule {
    /// Length of the short window in seconds.
    pub short_seconds: u64,
    /// Length of the long window in seconds.
    pub long_seconds: u64,
    /// The burn rate at which both windows alarm, at least 0.
    pub rate: f64,
}

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// The workbook's rules for a budget of thirty days, most urgent first; the first two are worth a page.
pub const RULES: [BurnRule; 4] = [
    BurnRule { short_seconds: 5 * MINUTE, long_seconds: HOUR, rate: 14.4 },
    BurnRule { short_seconds: 30 * MINUTE, long_seconds: 6 * HOUR, rate: 6.0 },
    BurnRule { short_seconds: 2 * HOUR, long_seconds: DAY, rate: 3.0 },
    BurnRule { short_seconds: 6 * HOUR, long_seconds: 3 * DAY, rate: 1.0 },
];

/// What a rule says of its two windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BurnVerdict {
    /// Neither window reaches the rate.
    Calm,
    /// Only the short one: a burst that has not cost much yet.
    Starting,
    /// Both: the budget is burning now and has been for long enough.
    Burning,
    /// Only the long one: it has stopped.
    Over,
}

/// The burn rates of both windows and the verdict.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Burn {
    /// Burn rate of the short window, at least 0.
    pub short: f64,
    /// Burn rate of the long window, at least 0.
    pub long: f64,
    /// Share of the budget of `period` that the long window has used, at least 0.
    pub budget_used: f64,
    /// What follows.
    pub verdict: BurnVerdict,
}

impl BurnRule {
    /// Judges the counts of both windows against an objective such as `0.99`, with a budget for `period_seconds`.
    ///
    /// `None` if a window is empty or has more bad events than events, or `slo` is not within 0 to below 1.
    ///
    /// ```
    /// use anchorwatch_detectors::burn::{BurnVerdict, Events, RULES};
    /// let (short, long) = (Events { bad: 20, total: 100 }, Events { bad: 180, total: 1_200 });
    /// let burn = RULES[0].judge(short, long, 0.99, 30 * 86_400).expect("events in both windows");
    /// assert_eq!(burn.verdict, BurnVerdict::Burning);
    /// assert!((burn.short - 20.0).abs() < 1e-9 && (burn.long - 15.0).abs() < 1e-9);
    /// ```
    #[must_use]
    pub fn judge(&self, short: Events, long: Events, slo: f64, period_seconds: u64) -> Option<Burn> {
        let rate = |events: Events| burn_rate(events.bad, events.total, slo);
        let (short, long) = (rate(short)?, rate(long)?);
        // Rounding of `1 - slo` must not hide a rate that is reached exactly.
        let reached = |rate: f64| rate >= self.rate * (1.0 - 1e-12);
        let verdict = match (reached(short), reached(long)) {
            (false, false) => BurnVerdict::Calm,
            (true, false) => BurnVerdict::Starting,
            (true, true) => BurnVerdict::Burning,
            (false, true) => BurnVerdict::Over,
        };
        let budget_used = long * self.long_seconds as f64 / period_seconds.max(1) as f64;
        Some(Burn { short, long, budget_used, verdict })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_of_windows_has_its_verdict() {
        let (calm, hot) = (Events { bad: 1, total: 1_000 }, Events { bad: 600, total: 1_000 });
        let verdict = |short, long| RULES[1].judge(short, long, 0.9, 30 * DAY).unwrap().verdict;
        assert_eq!(verdict(calm, calm), BurnVerdict::Calm);
        assert_eq!(verdict(hot, calm), BurnVerdict::Starting);
        assert_eq!(verdict(hot, hot), BurnVerdict::Burning);
        assert_eq!(verdict(calm, hot), BurnVerdict::Over);
    }

    #[test]
    fn the_first_rule_spends_two_per_cent_of_a_month_in_an_hour() {
        let events = Events { bad: 144, total: 1_000 };
        let burn = RULES[0].judge(events, events, 0.99, 30 * DAY).unwrap();
        assert!((burn.budget_used - 0.02).abs() < 1e-9);
        assert_eq!(burn.verdict, BurnVerdict::Burning);
    }

    #[test]
    fn without_events_or_budget_there_is_no_rate() {
        let events = Events { bad: 1, total: 10 };
        assert_eq!(RULES[0].judge(Events::default(), events, 0.99, DAY), None);
        assert_eq!(RULES[0].judge(events, Events { bad: 2, total: 1 }, 0.99, DAY), None);
        assert_eq!(RULES[0].judge(events, events, 1.0, DAY), None);
    }
}
