//! A golden case as it stands in its file, and the comparison of what we got with what it wants.

use std::fmt;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};

/// One case; see the README beside the files.
#[derive(Deserialize)]
pub(crate) struct Case {
    pub(crate) id: String,
    pub(crate) tier: String,
    pub(crate) detector: String,
    #[serde(default)]
    pub(crate) data: String,
    #[serde(default)]
    pub(crate) params: Map<String, Value>,
    #[serde(default)]
    expected_statistic: Value,
    #[serde(default)]
    expected_p_value: Value,
    #[serde(default)]
    pub(crate) expected_extra: Map<String, Value>,
    #[serde(default)]
    tolerance: Tolerance,
    tolerance_p: Option<Tolerance>,
    /// All other keys: those of a stream's case.
    #[serde(flatten)]
    pub(crate) other: Map<String, Value>,
}

#[derive(Deserialize, Clone, Copy, Default)]
pub(crate) struct Tolerance {
    rel: f64,
    abs: f64,
}

/// How a case came out.
pub(crate) enum Verdict {
    /// Compared; the list says what differed.
    Judged(Vec<String>),
    /// Compared with a peer whose convention this crate offers by name; the list says what differed.
    Peer(Vec<String>),
    /// This crate has no such detector.
    NotOffered,
}

#[derive(Deserialize)]
struct File {
    cases: Vec<Case>,
}

/// All cases of a file.
pub(crate) fn read(folder: &Path, file: &str) -> Vec<Case> {
    let path = folder.join(format!("{file}.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let file: File =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    with_shared_values(file.cases)
}

/// A case may say in words that its values are those of the case before it.
fn with_shared_values(mut cases: Vec<Case>) -> Vec<Case> {
    let mut last = None;
    for case in &mut cases {
        match case.params.get_mut("values") {
            Some(values) if values.is_array() => last = Some(values.clone()),
            Some(values) => *values = last.clone().unwrap_or(Value::Null),
            None => {}
        }
    }
    cases
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} on {:?})", self.id, self.detector, self.data)
    }
}

/// A number of the files: `null` is NaN, infinities are strings.
pub(crate) fn number(value: &Value) -> f64 {
    match value {
        Value::Null => f64::NAN,
        Value::String(text) => text.parse().unwrap_or_else(|_| panic!("{text:?} is no number")),
        other => other.as_f64().unwrap_or_else(|| panic!("{other} is no number")),
    }
}

/// A list of numbers of the files.
pub(crate) fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap_or_else(|| panic!("{value} is no list")).iter().map(number).collect()
}

impl Case {
    /// A parameter's text, or nothing.
    pub(crate) fn text(&self, parameter: &str) -> &str {
        self.params.get(parameter).and_then(Value::as_str).unwrap_or("")
    }

    /// Whose convention the case follows.
    pub(crate) fn convention(&self) -> &str {
        self.other.get("convention").and_then(Value::as_str).unwrap_or("")
    }

    /// A parameter's numbers.
    pub(crate) fn list(&self, parameter: &str) -> Vec<f64> {
        numbers(self.params.get(parameter).unwrap_or(&Value::Null))
    }

    /// A parameter's number.
    pub(crate) fn param(&self, parameter: &str) -> f64 {
        number(self.params.get(parameter).unwrap_or(&Value::Null))
    }
}

/// Gathers what differs between what we got and what a case wants.
pub(crate) struct Check<'a> {
    case: &'a Case,
    errors: Vec<String>,
    compared: usize,
}

impl<'a> Check<'a> {
    pub(crate) fn new(case: &'a Case) -> Self {
        Self { case, errors: Vec::new(), compared: 0 }
    }

    pub(crate) fn statistic(&mut self, got: Option<f64>) -> &mut Self {
        self.compare("statistic", got, number(&self.case.expected_statistic), self.case.tolerance)
    }

    pub(crate) fn p_value(&mut self, got: Option<f64>) -> &mut Self {
        let tolerance = self.case.tolerance_p.unwrap_or(self.case.tolerance);
        self.compare("p", got, number(&self.case.expected_p_value), tolerance)
    }

    pub(crate) fn extra(&mut self, name: &str, got: Option<f64>) -> &mut Self {
        match self.case.expected_extra.get(name) {
            Some(want) => self.value(name, got, number(want)),
            None => self,
        }
    }

    pub(crate) fn extra_list(&mut self, name: &str, got: &[Option<f64>]) -> &mut Self {
        let Some(want) = self.case.expected_extra.get(name).map(numbers) else {
            return self;
        };
        self.holds(want.len() == got.len(), || format!("{name}: {} values, want {}", got.len(), want.len()));
        for (index, (&got, want)) in got.iter().zip(want).enumerate() {
            self.value(&format!("{name}[{index}]"), got, want);
        }
        self
    }

    /// What the case expects under a name, if anything.
    pub(crate) fn wanted(&self, name: &str) -> Option<&'a Value> {
        self.case.expected_extra.get(name)
    }

    /// Compares with the tolerance of the statistic.
    pub(crate) fn value(&mut self, name: &str, got: Option<f64>, want: f64) -> &mut Self {
        self.compare(name, got, want, self.case.tolerance)
    }

    pub(crate) fn equal<T: PartialEq + fmt::Debug>(&mut self, name: &str, got: &T, want: &T) -> &mut Self {
        self.holds(got == want, || format!("{name}: {got:?}, want {want:?}"))
    }

    pub(crate) fn holds(&mut self, holds: bool, error: impl FnOnce() -> String) -> &mut Self {
        self.compared += 1;
        if !holds {
            self.errors.push(error());
        }
        self
    }

    pub(crate) fn verdict(&mut self) -> Verdict {
        let compared = self.compared;
        self.holds(compared > 0, || "nothing was compared".to_owned());
        Verdict::Judged(std::mem::take(&mut self.errors))
    }

    fn compare(&mut self, name: &str, got: Option<f64>, want: f64, tolerance: Tolerance) -> &mut Self {
        let got = got.unwrap_or(f64::NAN);
        let close = if want.is_nan() {
            got.is_nan()
        } else if want.is_infinite() {
            got == want
        } else {
            (got - want).abs() <= tolerance.abs + tolerance.rel * want.abs()
        };
        self.holds(close, || format!("{name}: {got:e}, want {want:e}"))
    }
}
