//! One change of a column is one alert, wherever it shows: in the whole, in the slice that moved, and in the slices whose
//! rest holds it. The place where it shows most is told; elsewhere it is a part of that, as long as its alert fires.

use serde::{Deserialize, Serialize};

use super::CLEARED_AFTER;
use super::cause::Cause;
use super::findings::{Finding, is_fault};
use crate::reference::Slice;

/// Most columns whose changes are remembered; of further ones every place is told.
const MOST: usize = 64;

/// How much stronger than the change of its slice the whole must be to be news.
const MUCH_STRONGER: f64 = 1.5;

/// How much stronger a slice that leans away from the one that was told must be, so that it is the one that moved after all:
/// by less they take turns, as chance has it.
const CLEARLY_STRONGER: f64 = 1.2;

/// Where a column changed most.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Change {
    /// The strongest finding so far.
    most: Cause,
    rises: bool,
    /// Windows with events since it last stood out there.
    quiet: u32,
}

impl Change {
    /// Whether what stands out elsewhere in the column is a part of this change.
    fn holds(&self, finding: &Finding) -> bool {
        let stronger = finding.heat / self.most.heat;
        match (&self.most.slice, &finding.slice) {
            // A slice that moved more than the whole is where the change is; any other has moved along.
            (None, Some(_)) => stronger <= 1.0,
            (Some(_), None) => stronger <= MUCH_STRONGER,
            // The rest that it is compared with holds the slice that moved.
            (Some(most), Some(other)) => {
                let one_dimension = std::mem::discriminant(most) == std::mem::discriminant(other);
                let leans_away = self.rises != (finding.statistic > 0.0);
                most != other && one_dimension && leans_away && stronger <= CLEARLY_STRONGER
            }
            (None, None) => false,
        }
    }
}

/// The changes whose alerts fire, one a column.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Changes(Vec<Change>);

impl Changes {
    /// Takes in the findings of a window and says of each what it is a part of; `told` says which are told at all, `still`
    /// whether a column has not come back to what the baseline shows.
    pub(super) fn take(
        &mut self,
        findings: &[Finding],
        rows: u64,
        told: impl Fn(&Finding) -> bool,
        still: impl Fn(&str, Option<&Slice>) -> bool,
    ) -> Vec<Option<Cause>> {
        for change in self.0.iter_mut().filter(|_| rows > 0) {
            let there = still(&change.most.feature, change.most.slice.as_ref());
            change.quiet = if there { 0 } else { change.quiet + 1 };
        }
        let parts = findings.iter().map(|one| told(one).then(|| self.part(one)).flatten()).collect();
        self.0.retain(|change| change.quiet < CLEARED_AFTER);
        parts
    }

    fn part(&mut self, finding: &Finding) -> Option<Cause> {
        if is_fault(finding.kind) {
            return None;
        }
        let rises = finding.statistic > 0.0;
        let Some(change) = self.0.iter_mut().find(|change| change.most.feature == finding.feature) else {
            if self.0.len() < MOST {
                self.0.push(Change { most: Cause::of(finding, 1), rises, quiet: 0 });
            }
            return None;
        };
        if change.holds(finding) {
            // A change that shows elsewhere has not gone.
            change.quiet = 0;
            return Some(change.most.clone());
        }
        if change.most.slice == finding.slice {
            change.quiet = 0;
        }
        if finding.heat >= change.most.heat {
            *change = Change { most: Cause::of(finding, 1), rises, quiet: 0 };
        }
        None
    }

    /// Bytes of memory that they take, but for those of their own fields.
    pub(super) fn bytes(&self) -> usize {
        self.0.capacity() * size_of::<Change>()
            + self.0.iter().map(|change| change.most.bytes()).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anchorwatch_detectors::calibrated::Loudness;

    fn finding(segment: Option<&str>, heat: f64, statistic: f64) -> Finding {
        Finding {
            feature: "distance".to_owned(),
            kind: "location",
            about: None,
            slice: segment.map(|value| Slice::Segment(value.to_owned())),
            loudness: Loudness::Page,
            heat,
            statistic,
            threshold: 5.0,
            span: 1,
            means: None,
            rows: 1.0,
        }
    }

    /// What the only finding of a window is a part of, in words.
    fn part(changes: &mut Changes, one: Finding) -> Option<String> {
        changes.take(&[one], 10, |_| true, |_, _| false).remove(0).map(|cause| cause.text())
    }

    #[test]
    fn a_change_in_one_segment_is_told_once_though_the_rest_of_the_others_holds_it() {
        let mut changes = Changes::default();
        let there = Some("location of distance in segment north".to_owned());
        assert_eq!(part(&mut changes, finding(Some("north"), 1.4, 6.0)), None);
        assert_eq!(part(&mut changes, finding(Some("south"), 1.1, -5.5)), there, "it leans the other way");
        assert_eq!(part(&mut changes, finding(None, 1.2, 5.5)), there, "the whole holds the segment");
        assert_eq!(part(&mut changes, finding(Some("north"), 1.2, 5.5)), None, "its own alert goes on");
        assert_eq!(
            part(&mut changes, finding(Some("east"), 1.1, 5.5)),
            None,
            "a segment that moves along is news"
        );
        assert_eq!(part(&mut changes, finding(None, 4.0, 20.0)), None, "so is much more in the whole");
    }

    #[test]
    fn a_slice_that_leans_away_is_told_only_if_it_is_clearly_the_one_that_moved() {
        let mut changes = Changes::default();
        assert_eq!(part(&mut changes, finding(Some("north"), 1.4, 6.0)), None);
        assert!(part(&mut changes, finding(Some("south"), 1.6, -7.0)).is_some(), "they take turns");
        assert_eq!(part(&mut changes, finding(Some("south"), 1.8, -8.0)), None);
        assert!(part(&mut changes, finding(Some("north"), 1.5, 6.0)).is_some(), "now it is the other's part");
    }

    #[test]
    fn a_segment_that_moves_more_than_the_whole_is_told_and_one_that_moves_less_is_not() {
        let mut changes = Changes::default();
        assert_eq!(part(&mut changes, finding(None, 1.5, 6.0)), None);
        assert!(part(&mut changes, finding(Some("north"), 1.4, 6.0)).is_some());
        assert_eq!(part(&mut changes, finding(Some("south"), 1.6, 7.0)), None);
    }

    #[test]
    fn a_change_is_forgotten_when_its_alert_has_cleared() {
        let mut changes = Changes::default();
        part(&mut changes, finding(Some("north"), 1.4, 6.0));
        for _ in 1..CLEARED_AFTER {
            changes.take(&[], 10, |_| true, |_, _| false);
            changes.take(&[], 0, |_| true, |_, _| false);
        }
        assert!(part(&mut changes, finding(None, 1.2, 5.5)).is_some(), "still remembered, and there again");
        for _ in 0..CLEARED_AFTER {
            changes.take(&[], 10, |_| true, |_, _| false);
        }
        assert_eq!(part(&mut changes, finding(None, 1.2, 5.5)), None);
    }

    #[test]
    fn a_change_that_is_still_there_is_not_forgotten_however_long_it_lasts() {
        let mut changes = Changes::default();
        part(&mut changes, finding(Some("north"), 1.4, 6.0));
        let north = |_: &str, slice: Option<&Slice>| slice.is_some();
        for _ in 0..10 * CLEARED_AFTER {
            changes.take(&[], 10, |_| true, north);
        }
        assert!(part(&mut changes, finding(None, 1.2, 5.5)).is_some());
    }

    #[test]
    fn what_is_not_told_here_holds_nothing_back() {
        let mut changes = Changes::default();
        changes.take(&[finding(None, 5.0, 20.0)], 10, |one| one.slice.is_some(), |_, _| false);
        assert_eq!(part(&mut changes, finding(Some("north"), 1.4, 6.0)), None);
    }

    #[test]
    fn faults_are_told_wherever_they_are() {
        let mut changes = Changes::default();
        let fault = |segment| Finding { kind: "missing", ..finding(segment, 2.0, 6.0) };
        assert_eq!(part(&mut changes, fault(None)), None);
        assert_eq!(part(&mut changes, fault(Some("north"))), None);
    }
}
