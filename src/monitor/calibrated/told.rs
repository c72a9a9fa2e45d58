//! What payloads and the API tell of a finding, bounded: the explanation of the window that was judged, and the command
//! that shows all of it. Names of slices and addresses of verdicts are made here, for the command line too.
//!
//! The bins and quantiles are those of the judged window alone: of earlier ones a watch remembers samples, not counts.

use url::form_urlencoded::Serializer;

use super::explain::{Explanation, Reader, Seen, explain_finding};
use super::verdicts::kind_text;
use super::{Finding, ModelWatch, Place};
use crate::alert::{DriftShare, Explained, MAX_EXPLAINED, MAX_FINDINGS, Moved, QuantileShift, SliceShift};
use crate::reference::{Reference, Slice};
use crate::subject::Millis;

/// Digits of a reference that are enough to call it.
const DIGITS: usize = 12;

/// Fewest rows of which quantiles are told: of fewer one would be somebody's value.
const FEWEST_ROWS: u64 = 100;

/// Longest command.
const LONGEST_COMMAND: usize = 400;

/// Where the judged events can be read again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Topic {
    /// The topic; `None` if there are several, of which nobody knows the right one.
    pub name: Option<String>,
    /// Field that splits the traffic, if it does.
    pub segment_field: Option<String>,
}

/// Tells of the findings of one window.
#[derive(Debug, Clone, Copy)]
pub struct Teller<'a> {
    /// Where and when it was judged.
    pub place: Place<'a>,
    /// What it was compared with.
    pub reference: &'a Reference,
    /// The watch that judged it.
    pub watch: &'a ModelWatch,
    /// The windows that the watch remembers, the judged one last.
    pub seen: &'a [Seen],
    /// Where its events are.
    pub topic: &'a Topic,
}

impl Teller<'_> {
    /// Bins that moved, and what stands behind a finding; `None` beyond the ten loudest of a window.
    #[must_use]
    pub fn tell(&self, finding: &Finding) -> Option<(Vec<Moved>, Explained)> {
        let findings = &self.seen.last()?.judged.findings;
        if !findings.iter().take(MAX_FINDINGS).any(|one| one == finding) {
            return None;
        }
        let reader = Reader::Subscriber { show_categories: self.place.show_categories };
        let told = explain_finding(self.reference, self.watch, self.seen, finding, reader)?;
        let explained = self.explained(finding, &told);
        Some((told.moved, explained))
    }

    fn explained(&self, finding: &Finding, told: &Explanation) -> Explained {
        let about = (finding.feature.as_str(), told.kind, told.about.as_ref());
        let quantiles = told.quantiles.iter().filter(|_| told.rows >= FEWEST_ROWS);
        Explained {
            kind: kind_text(self.reference, about, self.place.show_categories),
            mean: told.means.map(|(mean, _)| mean).filter(|x| x.is_finite()),
            expected: told.means.map(|(_, expected)| expected).filter(|x| x.is_finite()),
            run_windows: told.run,
            change_since: told.since.map(|since| self.start_of(since.windows)),
            quantiles: quantiles
                .filter(|(_, from, to)| from.is_finite() && to.is_finite())
                .map(|(quantile, from, to)| QuantileShift { quantile: *quantile, from: *from, to: *to })
                .collect(),
            shares: told
                .shares
                .iter()
                .filter(|one| one.share.is_finite())
                .take(MAX_EXPLAINED)
                .map(|one| DriftShare {
                    column: one.feature.clone(),
                    slice: one.slice.as_ref().map(|slice| slice_name(Some(slice))),
                    share: one.share,
                })
                .collect(),
            slices: told
                .slices
                .iter()
                .filter(|one| one.z.is_finite() && one.means.0.is_finite() && one.means.1.is_finite())
                .take(MAX_EXPLAINED)
                .map(|one| SliceShift {
                    slice: slice_name(Some(&one.slice)),
                    kind: one.kind.to_owned(),
                    mean: one.means.0,
                    expected: one.means.1,
                    z: one.z,
                })
                .collect(),
            // What follows is known where the whole window is.
            follows: Vec::new(),
            assumed: self.watch.is_assumed(),
            command: self.command(finding),
        }
    }

    /// Start of the window so many windows back, the judged one being the first.
    fn start_of(&self, windows: usize) -> Millis {
        let back = Millis::try_from(windows.saturating_sub(1)).unwrap_or(0);
        self.place.start - back * self.watch.window_ms()
    }

    /// `None` where the log alone does not show it, as of labels that came later.
    fn command(&self, finding: &Finding) -> Option<String> {
        let topic = self.topic.name.as_ref()?;
        let Place { model, version, reference_id, start, end, late_labels, sharing, .. } = self.place;
        if late_labels {
            return None;
        }
        let from = self.start_of(self.seen.len());
        let mut query = Serializer::new(String::new());
        query.append_pair("from", &from.to_string()).append_pair("to", &end.to_string());
        query.append_pair("model", model);
        if !matches!(finding.slice, Some(Slice::Version(_))) {
            query.append_pair("version", version);
        }
        let verdict = verdict_address(&finding.feature, start, finding.slice.as_ref());
        let events = format!("kafka:///{topic}?{}", query.finish());
        let field = self.topic.segment_field.as_deref().filter(|field| *field != "segment");
        let columns = field
            .map_or_else(String::new, |field| format!(" --columns {}", quoted(&format!("segment={field}"))));
        let versions = if sharing > 1 { format!(" --versions {sharing}") } else { String::new() };
        let command = format!(
            "anchorwatch explain {} --config anchorwatch.yaml --reference {}{versions} --events {}{columns}",
            quoted(&verdict),
            reference_id.get(..DIGITS).unwrap_or(reference_id),
            quoted(&events),
        );
        (command.len() <= LONGEST_COMMAND).then_some(command)
    }
}

/// Address of a verdict, as `explain` takes it.
#[must_use]
pub fn verdict_address(feature: &str, start: Millis, slice: Option<&Slice>) -> String {
    let suffix = match slice {
        None => String::new(),
        Some(Slice::Segment(value)) => format!("/segment={value}"),
        Some(Slice::Version(value)) => format!("/version={value}"),
    };
    format!("{feature}@{start}{suffix}")
}

/// A slice for people.
#[must_use]
pub fn slice_name(slice: Option<&Slice>) -> String {
    match slice {
        None => String::new(),
        Some(Slice::Segment(value)) => format!("segment {value}"),
        Some(Slice::Version(value)) => format!("version {value}"),
    }
}

/// A word as a shell takes it.
#[must_use]
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@+%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}
