//! Reading event times of a baseline, and the lengths its windows can have.

use std::collections::HashSet;

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime};

use super::source::Cell;
use crate::subject::Millis;

const MINUTE: Millis = 60_000;
const HOUR: Millis = 60 * MINUTE;
const DAY: Millis = 24 * HOUR;

/// Possible lengths of a baseline window, shortest first.
pub(super) const LENGTHS: [Millis; 9] =
    [MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 7 * DAY];

/// The instant a cell stands for: an Arrow time, an epoch number or a date text; without a zone it is UTC.
pub(super) fn instant(cell: Cell<'_>) -> Option<Millis> {
    match cell {
        Cell::Time(ms) => Some(ms),
        Cell::Number(x) => epoch(x),
        Cell::Text(text) | Cell::Raw(text) => parse(text),
        Cell::Missing | Cell::Bool(_) | Cell::Nested => None,
    }
}

/// Epoch seconds, milliseconds, microseconds or nanoseconds, told apart by size (seconds until the year 5138).
fn epoch(x: f64) -> Option<Millis> {
    let size = x.abs();
    let ms = match size {
        _ if size < 1e11 => x * 1e3,
        _ if size < 1e14 => x,
        _ if size < 1e17 => x / 1e3,
        _ if size < 1e20 => x / 1e6,
        _ => return None,
    };
    Some(ms.floor() as Millis)
}

fn parse(text: &str) -> Option<Millis> {
    let text = text.trim();
    date(text).or_else(|| text.parse().ok().filter(|x: &f64| x.is_finite()).and_then(epoch))
}

/// A date or a date with a time of day, as RFC 3339 or as databases print it.
pub(super) fn date(text: &str) -> Option<Millis> {
    if text.len() < 10 || !text.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.timestamp_millis());
    }
    for format in ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M"] {
        if let Ok(time) = NaiveDateTime::parse_from_str(text, format) {
            return Some(time.and_utc().timestamp_millis());
        }
    }
    if let Ok(time) = DateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f%:z") {
        return Some(time.timestamp_millis());
    }
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    Some(day.and_time(NaiveTime::MIN).and_utc().timestamp_millis())
}

/// What the first reading learns about the time column: its range and how many windows each length would need.
#[derive(Debug)]
pub(super) struct TimeSurvey {
    /// First and last instant.
    pub(super) range: Option<(Millis, Millis)>,
    /// Rows without a readable time, and the first of them.
    pub(super) unreadable: u64,
    /// First row without a readable time.
    pub(super) first_unreadable: Option<u64>,
    most: usize,
    starts: [Option<HashSet<Millis>>; LENGTHS.len()],
    last: [Millis; LENGTHS.len()],
}

impl TimeSurvey {
    pub(super) fn new(most: usize) -> Self {
        Self {
            range: None,
            unreadable: 0,
            first_unreadable: None,
            most,
            starts: std::array::from_fn(|_| Some(HashSet::new())),
            last: [Millis::MIN; LENGTHS.len()],
        }
    }

    pub(super) fn push(&mut self, row: u64, cell: Cell<'_>) {
        let Some(at) = instant(cell) else {
            self.unreadable += 1;
            self.first_unreadable.get_or_insert(row);
            return;
        };
        let (first, last) = self.range.unwrap_or((at, at));
        self.range = Some((first.min(at), last.max(at)));
        for ((length, starts), last) in LENGTHS.iter().zip(&mut self.starts).zip(&mut self.last) {
            let start = at.div_euclid(*length);
            let Some(known) = starts.as_mut().filter(|_| *last != start) else { continue };
            *last = start;
            known.insert(start);
            if known.len() > self.most {
                *starts = None;
            }
        }
    }

    /// The shortest length with at most `most` windows that hold rows.
    pub(super) fn length(&self, most: usize) -> Option<Millis> {
        let fits = |starts: &Option<HashSet<Millis>>| starts.as_ref().is_some_and(|s| s.len() <= most);
        self.range?;
        LENGTHS.iter().zip(&self.starts).find(|(_, starts)| fits(starts)).map(|(length, _)| *length)
    }
}
