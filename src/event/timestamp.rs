//! Event times as producers write them: epoch milliseconds, or an RFC 3339 text.

use super::Refusal;
use crate::subject::Millis;

/// Earliest plausible event time, 1973-03-03: a smaller number is epoch seconds sent as milliseconds.
const EARLIEST: Millis = 100_000_000_000;
/// Latest plausible event time, the year 5138: a larger number is micro- or nanoseconds.
const LATEST: Millis = 100_000_000_000_000;

const fn bad(problem: &'static str) -> Refusal {
    Refusal::BadTimestamp { problem }
}

/// Checks an epoch time in milliseconds: the event's own, or that of its record where it has none.
///
/// # Errors
/// When it is negative, or so small or large that it must be of another unit.
pub fn plausible(millis: Millis) -> Result<Millis, Refusal> {
    match millis {
        ..0 => Err(bad("negative")),
        0..EARLIEST => Err(bad("too small for epoch milliseconds; are these seconds?")),
        EARLIEST..LATEST => Ok(millis),
        LATEST.. => Err(bad("too large for epoch milliseconds; are these micro- or nanoseconds?")),
    }
}

/// Checks a floating-point epoch time in milliseconds; fractions are cut off.
pub(super) fn from_float(millis: f64) -> Result<Millis, Refusal> {
    if millis.is_finite() && millis.abs() < 1e18 {
        plausible(millis as Millis)
    } else {
        Err(bad("not a finite number of milliseconds"))
    }
}

/// Reads an RFC 3339 text such as `2013-04-01T00:00:00.123Z`.
pub(super) fn from_text(text: &str) -> Result<Millis, Refusal> {
    chrono::DateTime::parse_from_rfc3339(text)
        .map_err(|_| bad("neither epoch milliseconds nor an RFC 3339 time with zone"))
        .and_then(|time| plausible(time.timestamp_millis()))
}
