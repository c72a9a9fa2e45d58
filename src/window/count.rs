//! Step 4 of 10 for unusual events and feedback: from one event to the counters it increments. Usual ones go by
//! `batch.rs`, with the same counts.

use anchorwatch_detectors::latency;

use super::plan::Plan;
use crate::event::{Event, MAX_NAME_BYTES, Scalar};
use crate::reference::{CodeText, Joint, Layout, Outcome, Value};

/// What one event adds to which counters; kept between events so that nothing is allocated.
#[derive(Debug, Default)]
pub(super) struct Slots {
    additions: Vec<(usize, u64)>,
    /// Cell of each column; `usize::MAX` where the event has no value for one.
    cells: Vec<usize>,
    seen: Vec<bool>,
    /// Column of the feature at each place of the last event: producers repeat their order.
    order: Vec<usize>,
}

impl Slots {
    pub(super) fn as_slice(&self) -> &[(usize, u64)] {
        &self.additions
    }

    /// Cell of each column; `usize::MAX` where the event has no value for one.
    pub(super) fn cells(&self) -> &[usize] {
        &self.cells
    }

    /// The same, for whoever fills them from elsewhere.
    pub(super) fn cells_mut(&mut self) -> &mut Vec<usize> {
        &mut self.cells
    }

    /// Finds the counters; false if there are none, which is feedback without a label column.
    pub(super) fn fill(&mut self, plan: &Plan, event: &Event<'_>) -> bool {
        self.additions.clear();
        self.cells.clear();
        self.cells.resize(plan.layout.columns(), usize::MAX);
        if let Some(label) = &event.label
            && let Some(column) = plan.label()
        {
            self.push(plan, column, label.value());
        }
        if event.is_feedback() {
            return !self.additions.is_empty();
        }
        self.additions.push((Layout::ROWS, 1));
        self.features(plan, event);
        if let Some(column) = plan.score() {
            self.push(plan, column, event.score.as_ref().map_or(Value::Missing, Scalar::value));
        }
        if let Some(column) = plan.prediction() {
            self.push(plan, column, event.prediction.as_ref().map_or(Value::Missing, Scalar::value));
        }
        self.latency(plan, event.latency_ms);
        self.joint(plan, event);
        true
    }

    fn joint(&mut self, plan: &Plan, event: &Event<'_>) {
        let score = event.score.as_ref().and_then(|score| truth(score.value()));
        let label = event.label.as_ref().and_then(|label| outcome(&plan.reference.joint, label.value()));
        let outcome = score.zip(label).map(|(score, label)| Outcome { score, label });
        let additions = &mut self.additions;
        plan.reference.joint.add(&self.cells, outcome, |place, amount| {
            additions.push((plan.layout.joint(place), amount));
        });
    }

    fn push(&mut self, plan: &Plan, column: usize, value: Value<'_>) {
        let slot = plan.reference.columns[column].slot(value);
        if slot < plan.reference.columns[column].binning.cells() {
            self.cells[column] = slot;
        }
        self.additions.push((plan.layout.index(column, slot), 1));
        // The cell of what is in no category is the last one.
        if slot + 1 == plan.reference.columns[column].binning.cells()
            && plan.layout.new_value(column, 0).is_some()
            && let Some(place) = plan.reference.columns[column].new_value(value)
            && let Some(counter) = plan.layout.new_value(column, place)
        {
            self.additions.push((counter, 1));
        }
    }

    fn features(&mut self, plan: &Plan, event: &Event<'_>) {
        self.seen.clear();
        self.seen.resize(plan.layout.columns(), false);
        for (place, (name, value)) in event.features.iter().flatten().enumerate() {
            if self.order.len() <= place {
                self.order.push(place);
            }
            // Features that the reference does not know are not counted: there is nothing to compare them with.
            let Some(column) = plan.feature(name, self.order[place]) else { continue };
            self.order[place] = column;
            self.seen[column] = true;
            self.push(plan, column, value.value());
        }
        for &column in plan.feature_columns() {
            if !self.seen[column] {
                self.push(plan, column, Value::Missing);
            }
        }
    }

    fn latency(&mut self, plan: &Plan, latency_ms: Option<f64>) {
        let index = match latency_ms {
            None => plan.layout.latency_missing(),
            Some(millis) => latency::bucket(millis)
                .map_or(plan.layout.latency_invalid(), |bucket| plan.layout.latency_bucket(bucket)),
        };
        self.additions.push((index, 1));
    }
}

/// A score or label as a number; truth values are 0 and 1.
pub(crate) fn truth(value: Value<'_>) -> Option<f64> {
    match value {
        Value::Number(x) => Some(x).filter(|x| x.is_finite()),
        Value::Bool(truth) => Some(f64::from(u8::from(truth))),
        Value::Text("0" | "false") => Some(0.0),
        Value::Text("1" | "true") => Some(1.0),
        Value::Text(_) | Value::Missing | Value::Nested => None,
    }
}

/// A label as a number: of names, the one that the reference takes for the positive class is 1.
pub(crate) fn outcome(joint: &Joint, label: Value<'_>) -> Option<f64> {
    let positive = joint.residual.as_ref().and_then(|terms| terms.positive.as_deref());
    match (positive, label) {
        (Some(positive), Value::Text(name)) => Some(f64::from(u8::from(name == positive))),
        (_, label) => truth(label),
    }
}

/// Value of the segment field: in `segment`, or else among the features.
pub(super) fn segment_value<'e>(
    event: &'e Event<'_>,
    field: &str,
    text: &'e mut CodeText,
) -> Option<&'e str> {
    let of = |fields: &'e [(std::borrow::Cow<'_, str>, Scalar<'_>)]| {
        let found = fields.iter().find(|(name, _)| name == field)?;
        Some(found.1.value()).filter(names_segment)
    };
    let value = of(&event.segment).or_else(|| event.features.as_deref().and_then(of))?;
    segment_text(value, text)
}

/// Whether a value can name a segment.
pub(super) fn names_segment(value: &Value<'_>) -> bool {
    match value {
        Value::Text(text) => text.len() <= MAX_NAME_BYTES,
        Value::Number(number) => number.is_finite(),
        Value::Bool(_) => true,
        Value::Missing | Value::Nested => false,
    }
}

/// Name of the segment that a value names.
pub(super) fn segment_text<'e>(value: Value<'e>, text: &'e mut CodeText) -> Option<&'e str> {
    match value {
        Value::Text(name) => Some(name),
        Value::Number(number) => Some(text.of(number)),
        Value::Bool(truth) => Some(if truth { "true" } else { "false" }),
        Value::Missing | Value::Nested => None,
    }
}
