//! A fault and the drift that it makes are one cause: values in another unit lie beyond the usual range, and have moved too.
//! The fault is told and lists the drift of its column, which does not alert on its own while the fault's alert fires. A drift
//! that is stronger than the fault is news of its own: a summer that is hotter than the baseline is no fault.

use serde::{Deserialize, Serialize};

use super::CLEARED_AFTER;
use super::cause::Cause;
use super::findings::{Finding, is_fault};
use crate::reference::Slice;

/// Most faults that are remembered; of further ones the drift is told too.
const MOST: usize = 64;

/// A fault whose alert fires.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Fault {
    /// The strongest finding so far.
    most: Cause,
    /// Windows with events since it last stood out.
    quiet: u32,
}

/// The faults whose alerts fire, one a column and slice.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Faults(Vec<Fault>);

impl Faults {
    /// Takes in the findings of a window and says of each which fault it follows from. `unconfirmed` are faults that are
    /// over in this window and ask for a second one before they alert; `told` says which findings are told at all, `still`
    /// whether a fault of a column has not gone.
    pub(super) fn take(
        &mut self,
        findings: &[Finding],
        rows: u64,
        unconfirmed: &[Cause],
        told: impl Fn(&Finding) -> bool,
        still: impl Fn(&str, Option<&Slice>) -> bool,
    ) -> Vec<Option<Cause>> {
        for fault in self.0.iter_mut().filter(|_| rows > 0) {
            let there = still(&fault.most.feature, fault.most.slice.as_ref());
            fault.quiet = if there { 0 } else { fault.quiet + 1 };
        }
        for finding in findings.iter().filter(|finding| is_fault(finding.kind) && told(finding)) {
            let same =
                |fault: &Fault| fault.most.feature == finding.feature && fault.most.slice == finding.slice;
            let room = self.0.len() < MOST;
            match self.0.iter_mut().find(|fault| same(fault)) {
                Some(fault) if finding.heat < fault.most.heat => fault.quiet = 0,
                Some(fault) => *fault = Fault { most: Cause::of(finding, 1), quiet: 0 },
                None if room => self.0.push(Fault { most: Cause::of(finding, 1), quiet: 0 }),
                None => {}
            }
        }
        let follows = |finding: &Finding| {
            let known = self.0.iter().map(|fault| &fault.most).chain(unconfirmed);
            let behind =
                known.filter(|fault| !is_fault(finding.kind) && told(finding) && explains(fault, finding));
            behind.max_by(|a, b| a.heat.total_cmp(&b.heat)).cloned()
        };
        let parts = findings.iter().map(follows).collect();
        self.0.retain(|fault| fault.quiet < CLEARED_AFTER);
        parts
    }

    /// Bytes of memory that they take, but for those of their own fields.
    pub(super) fn bytes(&self) -> usize {
        self.0.capacity() * size_of::<Fault>() + self.0.iter().map(|fault| fault.most.bytes()).sum::<usize>()
    }
}

/// Whether drift is no more than what a fault of the same column makes of it. The rest that a slice is compared with holds the
/// other slices of its dimension.
fn explains(fault: &Cause, drift: &Finding) -> bool {
    let place = match (&fault.slice, &drift.slice) {
        (Some(fault), Some(drift)) => std::mem::discriminant(fault) == std::mem::discriminant(drift),
        _ => true,
    };
    place && fault.feature == drift.feature && drift.heat <= fault.heat
}

#[cfg(test)]
mod tests {
    use super::*;
    use anchorwatch_detectors::calibrated::Loudness;

    fn finding(kind: &'static str, segment: Option<&str>, heat: f64) -> Finding {
        Finding {
            feature: "amount".to_owned(),
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

    /// What the last of these findings follows from, in words.
    fn part(faults: &mut Faults, all: &[Finding], unconfirmed: &[Cause]) -> Option<String> {
        faults.take(all, 10, unconfirmed, |_| true, |_, _| false).pop()?.map(|cause| cause.text())
    }

    #[test]
    fn drift_of_a_column_follows_from_its_fault_unless_it_is_the_stronger_one() {
        let range = || finding("range", None, 8.0);
        let mut faults = Faults::default();
        let behind = Some("range of amount".to_owned());
        assert_eq!(part(&mut faults, &[finding("location", None, 3.0)], &[]), None, "there is no fault");
        assert_eq!(part(&mut faults, &[range(), finding("location", None, 3.0)], &[]), behind);
        assert_eq!(part(&mut faults, &[range(), finding("location", Some("north"), 3.0)], &[]), behind);
        assert_eq!(part(&mut faults, &[range(), finding("location", None, 9.0)], &[]), None);
        let other = Finding { feature: "age".to_owned(), ..finding("location", None, 3.0) };
        assert_eq!(part(&mut faults, &[range(), other], &[]), None, "another column");
        // It holds until the alert of the fault clears.
        for _ in 1..CLEARED_AFTER {
            assert_eq!(part(&mut faults, &[finding("location", None, 3.0)], &[]), behind);
        }
        let text = serde_json::to_string(&faults).expect("numbers and text");
        assert_eq!(serde_json::from_str::<Faults>(&text).expect("the same"), faults);
        part(&mut faults, &[finding("location", None, 3.0)], &[]);
        assert_eq!(part(&mut faults, &[finding("location", None, 3.0)], &[]), None);
    }

    #[test]
    fn drift_waits_for_a_fault_that_asks_for_a_second_window() {
        let mut faults = Faults::default();
        let coming = Cause::of(&finding("range", None, 4.0), 1);
        let drift = finding("location", None, 3.0);
        assert!(part(&mut faults, std::slice::from_ref(&drift), &[coming]).is_some());
        assert_eq!(part(&mut faults, &[drift], &[]), None, "it did not come");
    }

    #[test]
    fn a_fault_of_a_segment_explains_the_segments_that_lean_away_and_the_whole() {
        let mut faults = Faults::default();
        let missing = || finding("missing", Some("north"), 8.0);
        let behind = Some("missing of amount in segment north".to_owned());
        assert_eq!(part(&mut faults, &[missing(), finding("location", Some("south"), 3.0)], &[]), behind);
        assert_eq!(part(&mut faults, &[missing(), finding("location", None, 3.0)], &[]), behind);
    }
}
