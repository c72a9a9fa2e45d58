//! Silences that people set, and maintenance windows of the configuration: alerts that are known and not told.
//!
//! Both are compared with event time, like everything about alerts, so that a replay is quiet where the first run was.

use serde::{Deserialize, Serialize};

use super::matcher::{Labels, Matcher, all_fit, parse_all};
use crate::config;
use crate::subject::Millis;

/// Most silences that are in force or to come.
pub const MAX_SILENCES: usize = 1_000;
/// Silences that are over and still shown.
const REMEMBERED: usize = 100;
const DAY: Millis = 86_400_000;
const MINUTE: Millis = 60_000;
/// 1970-01-01 was a Thursday.
const FIRST_WEEKDAY: i64 = 3;

/// A silence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Silence {
    pub(super) id: String,
    pub(super) matchers: Vec<Matcher>,
    /// Absent when it holds from the moment at which it was created.
    pub(super) starts_at: Option<Millis>,
    pub(super) ends_at: Millis,
    pub(super) by: String,
    pub(super) comment: String,
    /// Wall-clock time.
    pub(super) created_at: Millis,
    /// Wall-clock time at which somebody ended it early.
    #[serde(default)]
    pub(super) expired_at: Option<Millis>,
}

impl Silence {
    fn holds(&self, at: Millis) -> bool {
        self.expired_at.is_none() && self.starts_at.is_none_or(|from| from <= at) && at < self.ends_at
    }

    pub(super) fn is_over(&self, at: Millis) -> bool {
        self.expired_at.is_some() || self.ends_at <= at
    }
}

/// All silences; one document of the checkpoint.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Silences {
    pub(super) list: Vec<Silence>,
    /// Number of the next one.
    next: u64,
    #[serde(skip)]
    pub(super) dirty: bool,
}

impl Silences {
    /// The silence that keeps an alert back at this event time.
    pub(super) fn holding(&self, labels: &Labels, at: Millis) -> Option<&Silence> {
        self.list.iter().find(|one| one.holds(at) && all_fit(&one.matchers, labels))
    }

    /// Adds one under a fresh id; `None` when there are too many. `at` is the event time now.
    pub(super) fn add(&mut self, mut silence: Silence, at: Millis) -> Option<&Silence> {
        if self.list.iter().filter(|one| !one.is_over(at)).count() >= MAX_SILENCES {
            return None;
        }
        self.next += 1;
        silence.id = format!("s{}", self.next);
        self.list.push(silence);
        self.dirty = true;
        let surplus = self.list.iter().filter(|one| one.is_over(at)).count().saturating_sub(REMEMBERED);
        let mut left = surplus;
        self.list.retain(|one| {
            let goes = left > 0 && one.is_over(at);
            left -= usize::from(goes);
            !goes
        });
        self.list.last()
    }
}

/// When a maintenance window is open.
#[derive(Debug, Clone, PartialEq)]
enum Times {
    Once { start: Millis, end: Millis },
    Recurring { days: Vec<i64>, from: Millis, length: Millis, offset: Millis },
}

impl Times {
    fn hold(&self, at: Millis) -> bool {
        match self {
            Self::Once { start, end } => (*start..*end).contains(&at),
            Self::Recurring { days, from, length, offset } => {
                let local = at.saturating_add(*offset);
                // A window may have begun on the day before.
                [0, 1].into_iter().any(|back| {
                    let day = local.div_euclid(DAY) - back;
                    let weekday = (day + FIRST_WEEKDAY).rem_euclid(7);
                    let begin = day * DAY + from;
                    (days.is_empty() || days.contains(&weekday)) && (begin..begin + length).contains(&local)
                })
            }
        }
    }
}

/// A maintenance window.
#[derive(Debug, Clone)]
pub(super) struct Maintenance {
    pub(super) name: String,
    matchers: Vec<Matcher>,
    times: Times,
}

impl Maintenance {
    pub(super) fn holds(&self, labels: &Labels, at: Millis) -> bool {
        self.times.hold(at) && all_fit(&self.matchers, labels)
    }
}

/// Windows of a configuration that was checked; one that cannot be read is never open.
pub(super) fn maintenance(settings: &config::Alerts) -> Vec<Maintenance> {
    let window = |one: &config::Maintenance| {
        let matchers = parse_all(&one.matchers).ok()?;
        Some(Maintenance { name: one.name.clone(), matchers, times: times(one).ok()? })
    };
    settings.maintenance.iter().filter_map(window).collect()
}

/// What is wrong with the times of a maintenance window: the field, what stands there, what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimesError {
    /// Name of the field.
    pub field: &'static str,
    /// What is wrong.
    pub what: String,
    /// What would be right.
    pub expected: &'static str,
}

/// Checks the times of a maintenance window.
///
/// # Errors
/// With what is wrong with them.
pub fn check_times(window: &config::Maintenance) -> Result<(), TimesError> {
    times(window).map(|_| ())
}

fn times(window: &config::Maintenance) -> Result<Times, TimesError> {
    let missing = |field| TimesError {
        field,
        what: "missing".to_owned(),
        expected: "either `from` and `to`, or `start` and `end`",
    };
    let recurring = window.from.is_some() || window.to.is_some() || !window.days.is_empty();
    if !recurring && (window.start.is_some() || window.end.is_some()) {
        let start = instant("start", window.start.as_deref().ok_or_else(|| missing("start"))?)?;
        let end = instant("end", window.end.as_deref().ok_or_else(|| missing("end"))?)?;
        if end <= start {
            let what = "is not after `start`".to_owned();
            return Err(TimesError { field: "end", what, expected: "a later instant" });
        }
        return Ok(Times::Once { start, end });
    }
    for (field, given) in [("start", &window.start), ("end", &window.end)] {
        if given.is_some() {
            let what = "stands beside `from`, `to` or `days`".to_owned();
            return Err(TimesError {
                field,
                what,
                expected: "two windows, a recurring one and one that comes once",
            });
        }
    }
    let from = time_of_day("from", window.from.as_deref().ok_or_else(|| missing("from"))?)?;
    let to = time_of_day("to", window.to.as_deref().ok_or_else(|| missing("to"))?)?;
    let length = if to > from { to - from } else { to + DAY - from };
    let days = window.days.iter().map(|day| *day as i64).collect();
    let offset = window.utc_offset.as_deref().map_or(Ok(0), utc_offset)?;
    Ok(Times::Recurring { days, from, length, offset })
}

fn instant(field: &'static str, text: &str) -> Result<Millis, TimesError> {
    chrono::DateTime::parse_from_rfc3339(text).map(|time| time.timestamp_millis()).map_err(|_| TimesError {
        field,
        what: format!("`{text}` is not an instant"),
        expected: "a time with zone such as `2026-11-22T18:00:00Z`",
    })
}

fn time_of_day(field: &'static str, text: &str) -> Result<Millis, TimesError> {
    hours_and_minutes(text).filter(|(hours, _)| *hours < 24).map(|(h, m)| (h * 60 + m) * MINUTE).ok_or_else(
        || TimesError {
            field,
            what: format!("`{text}` is not a time of day"),
            expected: "`00:00` to `23:59`",
        },
    )
}

fn utc_offset(text: &str) -> Result<Millis, TimesError> {
    let signed = match text.split_at_checked(1) {
        Some(("+", rest)) => hours_and_minutes(rest).map(|(h, m)| (h, m, 1)),
        Some(("-", rest)) => hours_and_minutes(rest).map(|(h, m)| (h, m, -1)),
        _ => None,
    };
    let known = signed.filter(|(hours, ..)| *hours <= 14).map(|(h, m, sign)| sign * (h * 60 + m) * MINUTE);
    known.ok_or_else(|| TimesError {
        field: "utc_offset",
        what: format!("`{text}` is not an offset"),
        expected: "`+02:00` or `-05:00`; a zone with summer time has no fixed offset",
    })
}

fn hours_and_minutes(text: &str) -> Option<(i64, i64)> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |text: &str| {
        (text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit()))
            .then(|| text.parse().ok())
            .flatten()
    };
    Some((number(hours)?, number(minutes)?)).filter(|(_, minutes): &(i64, i64)| *minutes < 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Weekday;

    fn window() -> config::Maintenance {
        config::Maintenance {
            name: "w".to_owned(),
            matchers: Vec::new(),
            days: Vec::new(),
            from: None,
            to: None,
            utc_offset: None,
            start: None,
            end: None,
        }
    }

    fn at(text: &str) -> Millis {
        instant("", text).expect(text)
    }

    #[test]
    fn a_window_over_midnight_belongs_to_the_day_on_which_it_begins() {
        let night = config::Maintenance {
            days: vec![Weekday::Fri],
            from: Some("22:00".to_owned()),
            to: Some("04:00".to_owned()),
            utc_offset: Some("+02:00".to_owned()),
            ..window()
        };
        let times = times(&night).expect("good");
        // 2026-11-20 is a Friday; 22:00+02:00 is 20:00Z.
        for (text, open) in [
            ("2026-11-20T19:59:59Z", false),
            ("2026-11-20T20:00:00Z", true),
            ("2026-11-21T01:59:59Z", true),
            ("2026-11-21T02:00:00Z", false),
            ("2026-11-21T20:00:00Z", false),
            ("2026-11-20T01:00:00Z", false),
        ] {
            assert_eq!(times.hold(at(text)), open, "{text}");
        }
    }

    #[test]
    fn a_window_that_comes_once_has_both_ends_and_a_recurring_one_both_times() {
        let once = config::Maintenance {
            start: Some("2026-11-22T00:00:00Z".to_owned()),
            end: Some("2026-11-22T06:00:00+01:00".to_owned()),
            ..window()
        };
        let open = times(&once).expect("good");
        assert!(open.hold(at("2026-11-22T04:59:59Z")) && !open.hold(at("2026-11-22T05:00:00Z")));
        let field = |window: &config::Maintenance| times(window).expect_err("bad").field;
        assert_eq!(field(&window()), "from");
        assert_eq!(field(&config::Maintenance { end: None, ..once.clone() }), "end");
        assert_eq!(field(&config::Maintenance { from: Some("1:00".to_owned()), ..once }), "start");
        let odd = |from: &str, to: &str| config::Maintenance {
            from: Some(from.to_owned()),
            to: Some(to.to_owned()),
            ..window()
        };
        assert_eq!((field(&odd("1:00", "02:00")), field(&odd("01:00", "24:00"))), ("from", "to"));
        let zone = config::Maintenance { utc_offset: Some("CET".to_owned()), ..odd("01:00", "02:00") };
        assert_eq!(field(&zone), "utc_offset");
    }

    #[test]
    fn silences_are_bounded_and_the_oldest_that_are_over_go_first() {
        let silence = |ends_at| Silence {
            id: String::new(),
            matchers: vec!["model=m".parse().expect("good")],
            starts_at: None,
            ends_at,
            by: "me".to_owned(),
            comment: String::new(),
            created_at: 0,
            expired_at: None,
        };
        let mut silences = Silences::default();
        for _ in 0..150 {
            silences.add(silence(5), 10);
        }
        assert_eq!(silences.list.len(), REMEMBERED);
        assert_eq!(silences.list[0].id, "s51");
        for _ in 0..MAX_SILENCES {
            assert!(silences.add(silence(20), 10).is_some());
        }
        assert!(silences.add(silence(20), 10).is_none());
        assert!(silences.add(silence(40), 30).is_some(), "the others are over");
    }
}
