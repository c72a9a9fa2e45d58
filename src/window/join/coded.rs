//! What a prediction said and what came true, as the join keeps them: a number each. Of several classes that is a code of
//! the class's name, the same whatever version or reference it was read by; which class it is of the baseline's is looked up
//! when a label meets its prediction.

use std::collections::HashMap;

use anchorwatch_detectors::binning::Binning;

use super::hash;
use crate::reference::{CodeText, Column, Outcome, Reference, Role, Value};
use crate::window::Plan;
use crate::window::count::{outcome, truth};

/// Most classes that a baseline's label may have.
const MOST_CLASSES: usize = 32;

/// The least code. Codes are finite, and larger than any score or label that is a number.
const LEAST_CODE: u64 = 0x7fe0_0000_0000_0000;

impl Plan {
    /// Whether predictions and labels name one of several classes.
    #[must_use]
    pub fn names_classes(&self) -> bool {
        self.classes
    }

    /// Whether events have something that a label can be compared with.
    #[must_use]
    pub fn has_outcomes(&self) -> bool {
        self.reference.joint.residual.is_some() || self.classes
    }

    /// What an event predicted, by its score or, among several classes, by the class that it names. `None` if it has none
    /// that can be compared with a label.
    #[must_use]
    pub fn said(&self, score: Option<Value<'_>>, prediction: Option<Value<'_>>) -> Option<f64> {
        if self.classes { self.code(self.prediction()?, prediction?) } else { truth(score?) }
    }

    /// What a label says, in the same terms.
    #[must_use]
    pub fn came_true(&self, label: Value<'_>) -> Option<f64> {
        if self.classes { self.code(self.label()?, label) } else { outcome(&self.reference.joint, label) }
    }

    fn code(&self, column: usize, value: Value<'_>) -> Option<f64> {
        let column = self.reference.columns.get(column)?;
        (column.slot(value) < column.binning.cells()).then_some(())?;
        match value {
            Value::Text(name) => Some(code(name)),
            Value::Bool(truth) => Some(code(if truth { "true" } else { "false" })),
            Value::Number(number) => Some(code(CodeText::default().of(number))),
            Value::Missing | Value::Nested => None,
        }
    }
}

/// Whether a baseline has predictions and labels that are names of classes, and nothing to compare but these.
pub(in crate::window) fn tells_classes(reference: &Reference) -> bool {
    let categories = |role| {
        let column = reference.columns.iter().find(|column| column.role == role)?;
        match &column.binning {
            Binning::Categorical(categories) => Some((column.kind, categories.categories().len())),
            Binning::Numeric(_) => None,
        }
    };
    let both = categories(Role::Prediction).zip(categories(Role::Label));
    reference.joint.residual.is_none()
        && both
            .is_some_and(|((said, _), (came, classes))| said == came && (2..=MOST_CLASSES).contains(&classes))
}

fn code(name: &str) -> f64 {
    f64::from_bits(LEAST_CODE | (hash(name) >> 12))
}

/// Whether this is the code of a name, and no number.
pub(super) fn is_code(value: f64) -> bool {
    value >= f64::from_bits(LEAST_CODE)
}

/// The classes of a baseline's label by their codes, numbered in its order.
#[derive(Debug, Default)]
pub(super) struct Classes {
    numbers: HashMap<u64, u16>,
    names: Vec<String>,
}

impl Classes {
    /// None if labels do not name classes.
    pub(super) fn of(reference: &Reference) -> Self {
        let is_label = |column: &&Column| column.role == Role::Label;
        let label = reference.columns.iter().find(is_label).filter(|_| tells_classes(reference));
        let Some(Binning::Categorical(categories)) = label.map(|column| &column.binning) else {
            return Self::default();
        };
        let names = categories.categories().to_vec();
        let number =
            |(number, name): (usize, &String)| Some((code(name).to_bits(), u16::try_from(number).ok()?));
        Self { numbers: names.iter().enumerate().filter_map(number).collect(), names }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    pub(super) fn name(&self, class: u16) -> Option<&str> {
        self.names.get(usize::from(class)).map(String::as_str)
    }

    /// Numbers in place of codes. Names that the baseline does not have are one class more; where a prediction and its label are
    /// two of them that differ, what came true is yet another, so that the prediction is wrong.
    pub(super) fn numbered(&self, Outcome { score, label }: Outcome) -> (u16, u16) {
        let number = |code: f64| self.numbers.get(&code.to_bits()).copied();
        let unknown = u16::try_from(self.names.len()).unwrap_or(u16::MAX - 1);
        match (number(score), number(label)) {
            (None, None) if score != label => (unknown, unknown.saturating_add(1)),
            (said, came) => (said.unwrap_or(unknown), came.unwrap_or(unknown)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes(names: [&str; 3]) -> Classes {
        let numbers = names.iter().zip(0..).map(|(name, number)| (code(name).to_bits(), number)).collect();
        Classes { numbers, names: names.map(str::to_owned).to_vec() }
    }

    #[test]
    fn names_that_the_baseline_lacks_are_right_only_if_they_are_the_same() {
        let classes = classes(["cat", "dog", "owl"]);
        let numbered =
            |said: &str, came: &str| classes.numbered(Outcome { score: code(said), label: code(came) });
        assert_eq!(numbered("dog", "dog"), (1, 1));
        assert_eq!(numbered("owl", "cat"), (2, 0));
        assert_eq!(numbered("yak", "yak"), (3, 3));
        assert_eq!(numbered("yak", "gnu"), (3, 4));
        assert_eq!(numbered("cat", "gnu"), (0, 3));
        assert_eq!(numbered("gnu", "cat"), (3, 0));
        assert_eq!((classes.name(2), classes.name(3)), (Some("owl"), None));
    }

    #[test]
    fn codes_are_told_from_numbers() {
        for name in ["", "0", "a", "a longer name of a class", "ß"] {
            let code = code(name);
            assert!(code.is_finite() && is_code(code), "{name}");
        }
        assert!([0.0, 1.0, -1e308, 1e300].iter().all(|number| !is_code(*number)));
    }
}
