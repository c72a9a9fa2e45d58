//! Labels of an alert, and conditions on them: `kind="drift"`, `model=~"fraud|churn"`, with Alertmanager's meaning.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

/// Labels of an alert by name; one that is absent counts as empty.
pub type Labels = BTreeMap<String, String>;

/// Labels that every alert has by itself, though some may be empty.
pub const OWN_LABELS: [&str; 6] = ["model", "version", "kind", "severity", "segment", "feature"];

/// Longest text of a matcher.
const MAX_TEXT: usize = 1_024;
/// Bytes that a compiled expression may take.
const MAX_REGEX: usize = 256 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Is,
    IsNot,
    Fits,
    FitsNot,
}

impl Operator {
    /// Longer ones first, so that `=~` is not read as `=`.
    const ALL: [(Self, &str); 4] =
        [(Self::Fits, "=~"), (Self::FitsNot, "!~"), (Self::IsNot, "!="), (Self::Is, "=")];

    fn as_str(self) -> &'static str {
        Self::ALL.into_iter().find(|(one, _)| *one == self).map_or("=", |(_, text)| text)
    }
}

/// A condition on one label.
///
/// ```
/// use anchorwatch::alert::{Labels, Matcher};
/// let matcher: Matcher = "kind=~\"drift|latency\"".parse()?;
/// assert!(matcher.fits(&Labels::from([("kind".to_owned(), "drift".to_owned())])));
/// assert!(!matcher.fits(&Labels::from([("kind".to_owned(), "drifted".to_owned())])), "the whole value must fit");
/// # Ok::<(), anchorwatch::alert::MatcherError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Matcher {
    label: String,
    operator: Operator,
    value: String,
    regex: Option<Regex>,
}

/// Why a text is not a matcher.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MatcherError {
    /// It is not `label operator value`.
    #[error(
        "`{0}` is not a matcher: write a label, one of =, !=, =~, !~ and a value, for example `kind=drift`"
    )]
    Form(String),
    /// The expression cannot be compiled.
    #[error("`{text}` has no usable regular expression: {problem}")]
    Regex {
        /// The whole matcher.
        text: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl Matcher {
    /// Name of the label.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Whether these labels fit.
    #[must_use]
    pub fn fits(&self, labels: &Labels) -> bool {
        self.fits_value(labels.get(&self.label).map_or("", String::as_str))
    }

    /// Whether a value of the label fits.
    #[must_use]
    pub fn fits_value(&self, value: &str) -> bool {
        let by_regex = || self.regex.as_ref().is_some_and(|regex| regex.is_match(value));
        match self.operator {
            Operator::Is => value == self.value,
            Operator::IsNot => value != self.value,
            Operator::Fits => by_regex(),
            Operator::FitsNot => !by_regex(),
        }
    }

    /// The one value that fits, if there is only one.
    #[must_use]
    pub fn only_value(&self) -> Option<&str> {
        (self.operator == Operator::Is).then_some(self.value.as_str())
    }
}

/// Whether all of these conditions hold; none always hold.
#[must_use]
pub fn all_fit(matchers: &[Matcher], labels: &Labels) -> bool {
    matchers.iter().all(|matcher| matcher.fits(labels))
}

/// Reads a list of matchers.
///
/// # Errors
/// With the first text that is none.
pub fn parse_all(texts: &[String]) -> Result<Vec<Matcher>, MatcherError> {
    texts.iter().map(|text| text.parse()).collect()
}

impl FromStr for Matcher {
    type Err = MatcherError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let form = || MatcherError::Form(text.chars().take(80).collect());
        let at = text.find(['=', '!']).filter(|_| text.len() <= MAX_TEXT).ok_or_else(form)?;
        let (label, rest) = (text[..at].trim(), &text[at..]);
        let found = Operator::ALL.into_iter().find(|(_, sign)| rest.starts_with(sign));
        let (operator, sign) = found.ok_or_else(form)?;
        let value = rest[sign.len()..].trim();
        let quoted = value.strip_prefix('"');
        let value = match quoted {
            Some(inner) => inner.strip_suffix('"').ok_or_else(form)?,
            None => value,
        };
        if !is_label(label) {
            return Err(form());
        }
        let regex = match operator {
            Operator::Fits | Operator::FitsNot => Some(
                anchored(value).map_err(|problem| MatcherError::Regex { text: text.to_owned(), problem })?,
            ),
            Operator::Is | Operator::IsNot => None,
        };
        Ok(Self { label: label.to_owned(), operator, value: value.to_owned(), regex })
    }
}

/// Whether a text can be the name of a label.
#[must_use]
pub fn is_label(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn anchored(pattern: &str) -> Result<Regex, String> {
    let whole = RegexBuilder::new(&format!("^(?:{pattern})$")).size_limit(MAX_REGEX).build();
    // Of several lines the last says what is wrong; the others draw the pattern.
    whole.map_err(|error| error.to_string().lines().last().unwrap_or_default().trim().to_owned())
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}\"{}\"", self.label, self.operator.as_str(), self.value)
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        (&self.label, self.operator, &self.value) == (&other.label, other.operator, &other.value)
    }
}

impl Serialize for Matcher {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Matcher {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn operators_mean_what_they_mean_in_alertmanager() {
        let given = labels(&[("model", "fraud"), ("team", "")]);
        for (text, fits) in [
            ("model=fraud", true),
            ("model = \"fraud\"", true),
            ("model!=fraud", false),
            ("model=~fra.*", true),
            ("model=~rau", false),
            ("model=~a|fraud", true),
            ("model!~churn|other", true),
            ("team=", true),
            ("absent=\"\"", true),
            ("absent!=x", true),
            ("absent=~.+", false),
        ] {
            let matcher: Matcher = text.parse().expect(text);
            assert_eq!(matcher.fits(&given), fits, "{text}");
            assert_eq!(matcher.to_string().parse(), Ok(matcher), "{text}");
        }
    }

    #[test]
    fn a_text_that_is_no_matcher_is_refused_with_an_example() {
        for text in ["", "model", "=x", "mo del=x", "model=\"x", "model!x", "1a=b"] {
            let error = text.parse::<Matcher>().expect_err(text).to_string();
            assert!(error.contains("for example `kind=drift`"), "{error}");
        }
        let error = "model=~(".parse::<Matcher>().expect_err("open").to_string();
        assert!(error.contains("unclosed group"), "{error}");
    }
}
