//! From an event to the counters it increments.

use std::borrow::Cow;
use std::sync::Arc;

use anchorwatch_detectors::latency;

use super::Windows;
use super::plan::Plan;
use crate::event::{Event, Scalar};
use crate::reference::{Layout, Outcome, Value, code_text};

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
        let number = |scalar: Option<&Scalar<'_>>| scalar.and_then(|scalar| truth(scalar.value()));
        let outcome = number(event.score.as_ref())
            .zip(number(event.label.as_ref()))
            .map(|(score, label)| Outcome { score, label });
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

impl Windows {
    /// Model, version and plan of the last event that was counted, and the cells of its values.
    #[must_use]
    pub fn last_counted(&self) -> Option<(&str, &str, &Arc<Plan>, &[usize])> {
        let (index, plan) = self.counted.as_ref()?;
        let state = self.versions.get(*index)?;
        Some((&state.model, &state.version, plan, self.slots.cells()))
    }

    /// Segment of an event; `None` if it has none, or the traffic is not split.
    #[must_use]
    pub fn segment_of<'e>(&self, event: &'e Event<'_>) -> Option<Cow<'e, str>> {
        segment_value(event, &self.settings.segments.as_ref()?.field)
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

/// Value of the segment field: in `segment`, or else among the features.
pub(super) fn segment_value<'e>(event: &'e Event<'_>, field: &str) -> Option<Cow<'e, str>> {
    let find = |fields: &'e [(Cow<'_, str>, Scalar<'_>)]| {
        fields.iter().find(|(name, _)| name == field).and_then(|(_, value)| text_of(value))
    };
    find(&event.segment).or_else(|| event.features.as_deref().and_then(find))
}

fn text_of<'e>(value: &'e Scalar<'_>) -> Option<Cow<'e, str>> {
    match value {
        Scalar::Text(text) if text.len() <= crate::event::MAX_NAME_BYTES => Some(Cow::Borrowed(text)),
        Scalar::Number(number) if number.is_finite() => Some(Cow::Owned(code_text(*number))),
        Scalar::Bool(truth) => Some(Cow::Borrowed(if *truth { "true" } else { "false" })),
        _ => None,
    }
}
