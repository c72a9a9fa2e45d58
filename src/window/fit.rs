//! Where the values of an event's shape go: which column each feature is, and where the segment stands.
//!
//! Producers repeat themselves, so this is found out once per shape and plan, and kept with the version.

use std::sync::Arc;

use super::count::{names_segment, segment_text};
use super::plan::Plan;
use super::rows::{Scan, value_of};
use crate::event::scan::Shape;
use crate::reference::CodeText;

/// Shapes that a version keeps; its producers hardly have more.
const KEPT: usize = 4;
/// No column.
const NONE: u32 = u32::MAX;

/// What is known of one shape under one plan.
#[derive(Debug)]
pub(super) struct Fit {
    shape: u32,
    plan: Arc<Plan>,
    columns: Vec<u32>,
    /// Place of the segment field in `segment`, and among the features.
    segment: [Option<usize>; 2],
}

impl Fit {
    fn new(plan: &Arc<Plan>, shape: &Shape, segment: Option<&str>) -> Self {
        let column = |(guess, name): (usize, &str)| {
            plan.feature(name, guess).and_then(|column| u32::try_from(column).ok()).unwrap_or(NONE)
        };
        let place = |names: &[Box<str>]| names.iter().position(|name| segment == Some(&**name));
        Self {
            shape: shape.id(),
            plan: Arc::clone(plan),
            columns: shape.features().iter().map(|name| &**name).enumerate().map(column).collect(),
            segment: [place(shape.segment()), place(shape.features())],
        }
    }

    /// Column of each feature of the shape; out of range for one that the reference does not know.
    pub(super) fn columns(&self) -> &[u32] {
        &self.columns
    }

    /// Value of the segment field, as [`super::count::segment_value`] finds it.
    pub(super) fn segment<'e>(&self, scan: Scan<'e>, text: &'e mut CodeText) -> Option<&'e str> {
        let Scan { scanned, payload } = scan;
        let [own, feature] = self.segment;
        let found = [(own, &scanned.segment), (feature, &scanned.features)];
        let values = found.into_iter().filter_map(|(place, values)| values.get(place?));
        let value = values.map(|found| value_of(found, payload)).find(names_segment)?;
        segment_text(value, text)
    }
}

/// The fits of one version, the latest first.
#[derive(Debug, Default)]
pub(super) struct Fits(Vec<Fit>);

impl Fits {
    /// The fit of a shape under a plan, made if it is new.
    pub(super) fn of(&mut self, plan: &Arc<Plan>, shape: &Shape, segment: Option<&str>) -> &Fit {
        let is = |fit: &Fit| fit.shape == shape.id() && Arc::ptr_eq(&fit.plan, plan);
        let place = match self.0.iter().position(is) {
            Some(place) => place,
            None => {
                self.0.truncate(KEPT - 1);
                self.0.insert(0, Fit::new(plan, shape, segment));
                0
            }
        };
        &self.0[place]
    }
}
