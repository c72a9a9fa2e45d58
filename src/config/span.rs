//! Lengths of time as people write them: `90s`, `15m`, `24h`, `7d`.

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::subject::Millis;

/// A length of time in whole milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(Millis);

const ONE_DAY: Millis = 86_400_000;

const UNITS: [(&str, Millis); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", ONE_DAY)];

impl Span {
    /// A span of this many milliseconds.
    #[must_use]
    pub const fn from_millis(millis: Millis) -> Self {
        Self(millis)
    }

    /// A span of this many seconds.
    #[must_use]
    pub const fn from_secs(secs: Millis) -> Self {
        Self(secs * 1_000)
    }

    /// A span of this many minutes.
    #[must_use]
    pub const fn from_mins(mins: Millis) -> Self {
        Self(mins * 60_000)
    }

    /// A span of this many hours.
    #[must_use]
    pub const fn from_hours(hours: Millis) -> Self {
        Self(hours * 3_600_000)
    }

    /// Whole milliseconds.
    #[must_use]
    pub const fn millis(self) -> Millis {
        self.0
    }

    /// The same span for the standard library.
    #[must_use]
    pub const fn to_std(self) -> std::time::Duration {
        std::time::Duration::from_millis(self.0.unsigned_abs())
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // One day is written as people say it: 24h.
        let fits =
            |length: Millis| self.0 != 0 && self.0 % length == 0 && (self.0 > length || length < ONE_DAY);
        let (unit, length) = UNITS.iter().rev().find(|(_, length)| fits(*length)).unwrap_or(&("s", 1_000));
        write!(f, "{}{unit}", self.0 / length)
    }
}

/// Why a text is not a span.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a length of time: write a whole number and one of ms, s, m, h, d, for example `15m`")]
pub struct SpanError(String);

impl FromStr for Span {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let failed = || SpanError(text.to_owned());
        let split = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(failed)?;
        let (digits, unit) = text.split_at(split);
        let number: Millis = digits.parse().map_err(|_| failed())?;
        let (_, length) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(failed)?;
        number.checked_mul(*length).map(Self).ok_or_else(failed)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Span {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)$", "description": "A length of time: `90s`, `15m`, `24h`, `7d`."})
    }
}
