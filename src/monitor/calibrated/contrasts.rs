//! Versions of one model that serve in the same window, each against the others: one window a version, in which stands
//! what moved there and nowhere else. What concerns all of them, which is their traffic, stands in the window of the
//! version whose reference is used. Which versions can be compared is the engine's business.

use std::collections::BTreeMap;

use super::findings::VOLUME;
use super::verdicts::{Told, judged_verdict};
use super::{Finding, Judged, Place, VERSION_WINDOWS};
use crate::reference::{Reference, Slice};
use crate::view::{Level, WindowView};

/// Name of the comparison among the detectors.
const DETECTOR: &str = "version_contrast";

/// A window for each of these versions, with its rows and the reference that it is otherwise judged against.
#[must_use]
pub fn version_views(
    place: Place<'_>,
    reference: &Reference,
    judged: &Judged,
    versions: &BTreeMap<String, (u64, String)>,
    told: &Told<'_>,
) -> Vec<WindowView> {
    let window = |(version, (rows, reference_id)): (&String, &(u64, String))| {
        let slice = Slice::Version(version.clone());
        let leads = version == place.version;
        let concerns = |finding: &&Finding| {
            finding.slice.as_ref() == Some(&slice) || (leads && finding.feature == VOLUME)
        };
        let told = |finding: &Finding| {
            let mut verdict = judged_verdict(place, reference, (judged, finding), told);
            if finding.slice.is_some() {
                verdict.detector = DETECTOR.into();
            }
            verdict
        };
        let verdicts: Vec<_> = judged.findings.iter().filter(concerns).map(told).collect();
        WindowView {
            model: place.model.to_owned(),
            version: version.clone(),
            segment: None,
            horizon: VERSION_WINDOWS.to_owned(),
            start: place.start,
            end: place.end,
            rows: *rows,
            coverage: place.coverage,
            reference: reference_id.clone(),
            level: verdicts.iter().map(|verdict| verdict.level).max().unwrap_or(Level::Stable),
            verdicts,
            latency: None,
            columns: Vec::new(),
        }
    };
    versions.iter().map(window).collect()
}
