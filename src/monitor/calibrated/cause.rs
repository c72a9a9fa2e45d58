//! What comes first among the findings of a window: one fault upstream moves many columns, and the model's output with
//! them. The cause is named; what follows from it is listed, but does not alert on its own, as long as the cause's alert
//! fires.

use std::collections::BTreeSet;

use anchorwatch_detectors::calibrated::Loudness;
use serde::{Deserialize, Serialize};

use super::CLEARED_AFTER;
use super::findings::{Finding, is_fault};
use crate::reference::{Reference, Role, Slice};

/// Columns with the same fault from which it is one fault upstream.
const BURST: usize = 3;

/// The finding that explains others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cause {
    /// Column that shows it most.
    pub feature: String,
    /// What is wrong with it.
    pub kind: String,
    /// Where, if not everywhere.
    pub slice: Option<Slice>,
    /// Input columns that show the same.
    pub columns: usize,
    #[serde(with = "bits")]
    pub(super) heat: f64,
}

/// A number that is read back bit for bit, whatever it is.
pub(super) mod bits {
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(number: &f64, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(number.to_bits())
    }

    pub(super) fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<f64, D::Error> {
        u64::deserialize(from).map(f64::from_bits)
    }
}

impl Cause {
    /// A finding as the cause of others.
    pub(super) fn of(finding: &Finding, columns: usize) -> Self {
        Self {
            feature: finding.feature.clone(),
            kind: finding.kind.to_owned(),
            slice: finding.slice.clone(),
            columns,
            heat: finding.heat,
        }
    }

    /// Bytes of memory that it takes, but for those of its own fields.
    pub(super) fn bytes(&self) -> usize {
        let slice = self.slice.as_ref().map_or(0, |slice| match slice {
            Slice::Segment(value) | Slice::Version(value) => value.capacity(),
        });
        self.feature.capacity() + self.kind.capacity() + slice
    }

    /// The cause in a few words: `missing in 7 columns, visib most`.
    #[must_use]
    pub fn text(&self) -> String {
        let place = match &self.slice {
            None => String::new(),
            Some(Slice::Segment(value)) => format!(" in segment {value}"),
            Some(Slice::Version(value)) => format!(" in version {value}"),
        };
        match self.columns {
            0 | 1 => format!("{} of {}{place}", self.kind, self.feature),
            many => format!("{} of {many} columns{place}, {} most", self.kind, self.feature),
        }
    }
}

/// Names of the columns that a cause can lie in.
pub(super) fn inputs(reference: &Reference) -> BTreeSet<String> {
    let features = reference.columns.iter().filter(|column| column.role == Role::Feature);
    features.map(|column| column.name.clone()).collect()
}

/// The cause among the findings of a window, if an input stands out: a fault that several columns share; else what is
/// concentrated in a slice; else a fault; else the hottest drift. Only critical findings of inputs are causes.
#[must_use]
pub(super) fn cause<'a>(
    inputs: &BTreeSet<String>,
    findings: impl IntoIterator<Item = &'a Finding>,
) -> Option<Cause> {
    let inputs: Vec<&Finding> = findings
        .into_iter()
        .filter(|finding| finding.loudness == Loudness::Page && inputs.contains(&finding.feature))
        .collect();
    let same = |one: &Finding| {
        inputs.iter().filter(|other| other.kind == one.kind && other.slice == one.slice).count()
    };
    let rank = |one: &Finding| {
        let shared = is_fault(one.kind) && same(one) >= BURST;
        (shared, one.slice.is_some(), is_fault(one.kind))
    };
    let first = inputs.iter().max_by(|a, b| rank(a).cmp(&rank(b)).then(a.heat.total_cmp(&b.heat)))?;
    Some(Cause::of(first, same(first)))
}

/// The cause of the latest windows: an input whose alert still fires explains what follows from it, also in a window in
/// which it does not stand out itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct LatestCause {
    cause: Option<Cause>,
    /// Windows with events since it last stood out.
    quiet: u32,
}

impl LatestCause {
    /// Takes in the cause of a window, if there is one, and gives the one that holds.
    pub(super) fn take(&mut self, now: Option<Cause>, rows: u64) -> Option<Cause> {
        match now {
            Some(cause) => {
                (self.cause, self.quiet) = (Some(cause), 0);
            }
            None if rows > 0 => {
                self.quiet += 1;
                self.cause = self.cause.take().filter(|_| self.quiet < CLEARED_AFTER);
            }
            None => {}
        }
        self.cause.clone()
    }

    /// Bytes of memory that it takes, but for those of its own fields.
    pub(super) fn bytes(&self) -> usize {
        self.cause.as_ref().map_or(0, Cause::bytes)
    }
}

/// Whether a finding follows from the cause: drift of the model's output, or of two columns together, that is weaker.
#[must_use]
pub(super) fn follows(reference: &Reference, finding: &Finding, cause: &Cause) -> bool {
    let output = reference.columns.iter().any(|column| {
        column.name == finding.feature && matches!(column.role, Role::Score | Role::Prediction)
    });
    let of_pair = finding.kind == "correlation";
    (output || of_pair) && !is_fault(finding.kind) && finding.heat <= cause.heat
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{Column, ColumnKind, Joint, Provenance};
    use anchorwatch_detectors::binning::{Binning, NumericBinning};

    fn reference() -> Reference {
        let column = |name: &str, role| Column {
            name: name.to_owned(),
            role,
            kind: ColumnKind::Numeric,
            required: true,
            single_precision: false,
            binning: Binning::Numeric(NumericBinning::new(vec![0.0]).expect("one knot")),
            usual: None,
            unseen_beyond: 0.0,
            notes: Vec::new(),
        };
        let inputs = ["a", "b", "c", "d"].map(|name| column(name, Role::Feature));
        Reference {
            model: "m".to_owned(),
            version: "1.0.0".to_owned(),
            columns: inputs.into_iter().chain([column("score", Role::Score)]).collect(),
            has_latency: false,
            profile: Vec::new(),
            window_ms: None,
            windows: Default::default(),
            segment_field: None,
            segments: std::collections::BTreeMap::new(),
            joint: Joint::default(),
            calibration: None,
            provenance: Provenance::default(),
        }
    }

    fn finding(feature: &str, kind: &'static str, segment: Option<&str>, heat: f64) -> Finding {
        Finding {
            feature: feature.to_owned(),
            kind,
            about: None,
            slice: segment.map(|value| Slice::Segment(value.to_owned())),
            loudness: Loudness::Page,
            heat,
            statistic: heat,
            threshold: 1.0,
            span: 1,
            means: None,
            rows: 1.0,
        }
    }

    #[test]
    fn a_fault_of_many_columns_comes_before_the_drift_that_follows_from_it() {
        let missing = ["a", "b", "c"].map(|name| finding(name, "missing", None, 2.0));
        let all: Vec<Finding> = missing
            .into_iter()
            .chain([finding("d", "location", None, 9.0), finding("score", "spread", None, 1.5)])
            .collect();
        let found = cause(&inputs(&reference()), &all).expect("a cause");
        assert_eq!(found.text(), "missing of 3 columns, c most");
        assert!(follows(&reference(), &all[4], &found), "the score moves with its inputs");
        assert!(!follows(&reference(), &all[3], &found), "another input does not");
    }

    #[test]
    fn a_slice_comes_before_the_whole_and_outputs_alone_have_no_cause() {
        let all = [finding("a", "location", None, 3.0), finding("a", "location", Some("DE"), 1.2)];
        assert_eq!(
            cause(&inputs(&reference()), &all).expect("a cause").text(),
            "location of a in segment DE"
        );
        assert_eq!(cause(&inputs(&reference()), &[finding("score", "location", None, 3.0)]), None);
        let score = finding("score", "location", None, 4.0);
        let weak = cause(&inputs(&reference()), &all).expect("a cause");
        assert!(!follows(&reference(), &score, &weak), "what is stronger than the cause is no consequence");
    }

    #[test]
    fn a_cause_explains_the_score_until_its_alert_clears() {
        let found = cause(&inputs(&reference()), &[finding("a", "location", None, 3.0)]);
        let mut latest = LatestCause::default();
        assert_eq!(latest.take(found.clone(), 10), found);
        for _ in 1..CLEARED_AFTER {
            assert_eq!(latest.take(None, 10), found, "quiet windows do not end it at once");
            assert_eq!(latest.take(None, 0), found, "windows without events say nothing");
        }
        assert_eq!(latest.take(None, 10), None);
    }

    #[test]
    fn a_cause_is_read_back_as_it_was_written() {
        for heat in [0.1 + 0.2, f64::INFINITY] {
            let mut latest = LatestCause::default();
            latest.take(cause(&inputs(&reference()), &[finding("a", "range", Some("DE"), heat)]), 10);
            latest.take(None, 10);
            let text = serde_json::to_string(&latest).expect("numbers and text");
            assert_eq!(serde_json::from_str::<LatestCause>(&text).expect("the same"), latest);
        }
    }
}
