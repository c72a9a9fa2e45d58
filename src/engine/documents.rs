//! The core's own document in the checkpoint, and taking everything up again.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Engine, RestoreError, RestoreReport, Restored, SubjectNumber};
use crate::monitor::CALIBRATION_DOCUMENTS;
use crate::reference::Reference;
use crate::subject::Millis;
use crate::view::{EventCount, LawCounters};
use crate::window::{Arrivals, JOIN_DOCUMENTS, KnownVersion, Partitions, Plan};
use crate::workers;

pub(super) const CORE: &str = "core";
pub(super) const ACTIONS: &str = "actions";
pub(super) const GAPS: &str = "gaps";
pub(super) const TROUBLES: &str = "troubles";

#[derive(Debug, Default, Serialize, Deserialize)]
struct Core<'a> {
    law: LawCounters,
    closed: Option<i64>,
    start: Option<i64>,
    watermark: Option<Millis>,
    events: Vec<EventCount>,
    plans: Vec<VersionPlans<'a>>,
    first_panes: Vec<(SubjectNumber, i64)>,
    /// Every number below this one was given to a subject; absent in files of earlier versions.
    #[serde(default)]
    next_subject: SubjectNumber,
}

/// What the core's own document says, as it stood when the checkpoint was taken.
#[derive(Debug, Clone)]
pub struct CoreDocument {
    law: LawCounters,
    closed: Option<i64>,
    start: Option<i64>,
    watermark: Option<Millis>,
    versions: Vec<KnownVersion>,
    first_panes: Vec<(SubjectNumber, i64)>,
    next_subject: SubjectNumber,
}

impl CoreDocument {
    /// Its name among the documents.
    pub const NAME: &str = CORE;

    pub(super) fn of(engine: &Engine) -> Self {
        Self {
            law: engine.law.clone(),
            closed: engine.windows.closed(),
            start: engine.windows.start(),
            watermark: engine.watermark,
            versions: engine.windows.known_versions().collect(),
            first_panes: engine.windows.first_panes().collect(),
            next_subject: engine.windows.next_subject(),
        }
    }

    /// Writes it.
    #[must_use]
    pub fn text(&self) -> String {
        let events = |known: &KnownVersion| EventCount {
            model: known.model.to_string(),
            version: known.version.to_string(),
            events: known.arrivals.events,
            out_of_order: known.arrivals.out_of_order,
            newest: known.arrivals.newest,
        };
        let core = Core {
            law: self.law.clone(),
            closed: self.closed,
            start: self.start,
            watermark: self.watermark,
            events: self.versions.iter().map(events).collect(),
            plans: self.versions.iter().map(VersionPlans::of).collect(),
            first_panes: self.first_panes.clone(),
            next_subject: self.next_subject,
        };
        serde_json::to_string(&core).unwrap_or_default()
    }
}

impl PartialEq for CoreDocument {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct VersionPlans<'a> {
    model: Cow<'a, str>,
    version: Cow<'a, str>,
    /// First pane and reference.
    plans: Vec<(i64, Cow<'a, str>)>,
}

impl<'a> VersionPlans<'a> {
    fn of(known: &'a KnownVersion) -> Self {
        let plans = known.plans.entries().map(|(from, id)| (from, id.into())).collect();
        Self { model: (&*known.model).into(), version: (&*known.version).into(), plans }
    }
}

pub(super) fn restore(
    engine: &mut Engine,
    restored: Restored,
    mut load: impl FnMut(&str) -> Option<Arc<Reference>>,
) -> Result<RestoreReport, RestoreError> {
    let mut report = RestoreReport::default();
    let mut first_panes = Vec::new();
    for (name, text) in &restored.documents {
        let failed = |source| RestoreError { name: name.clone(), source };
        match name.as_str() {
            CORE => {
                let core: Core<'_> = serde_json::from_str(text).map_err(failed)?;
                first_panes.clone_from(&core.first_panes);
                restore_core(engine, core, &mut load);
            }
            GAPS => engine.completeness.restore(text).map_err(failed)?,
            TROUBLES => {
                engine.troubles = serde_json::from_str(text).map_err(failed)?;
                engine.share_troubles();
            }
            ACTIONS => engine.actions.restore(text).map_err(failed)?,
            name if name.starts_with(CALIBRATION_DOCUMENTS) => engine.judge.restore(name, text),
            name if super::budgeted::CALIBRATED_WATCH.owns(name) => {
                engine.watches.restore(name, text).map_err(failed)?;
            }
            name if super::budgeted::VERSION_WATCH.owns(name) => {
                engine.versions.restore(name, text).map_err(failed)?;
            }
            name if super::labels::PERFORMANCE_WATCH.owns(name) => {
                engine.labels.watches.restore(name, text).map_err(failed)?;
            }
            name if name.starts_with(super::sequences::DOCUMENT_PREFIX) => {
                engine.sequences.restore(text).map_err(failed)?;
            }
            name if name.starts_with(super::sharing::DOCUMENT_PREFIX) => {
                engine.sharing.restore(text).map_err(failed)?;
            }
            name if name.starts_with(super::burn::DOCUMENT_PREFIX) => {
                engine.burns.restore(text).map_err(failed)?;
            }
            // They need the plans of the core: below.
            name if name.starts_with(JOIN_DOCUMENTS) => {}
            name => {
                engine.alerts.restore(name, text).map_err(failed)?;
            }
        }
    }
    let windows = &engine.windows;
    let plan = |model: &str, version: &str, reference: &str| windows.plan_of(model, version, reference);
    let joined = engine.labels.join.restore(&restored.documents, plan);
    joined.map_err(|(name, source)| RestoreError { name, source })?;
    engine.partitions = Partitions::restore(restored.positions);
    let mut subjects = restored.subjects;
    subjects.sort_by_key(|(number, _)| *number);
    for (number, subject) in subjects {
        engine.windows.restore_subject(number, subject);
    }
    for (number, pane) in first_panes {
        engine.windows.restore_first_pane(number, pane);
    }
    (report.panes, report.panes_left_out) = engine.windows.restore_panes(restored.panes);
    Ok(report)
}

fn restore_core(engine: &mut Engine, core: Core<'_>, load: &mut impl FnMut(&str) -> Option<Arc<Reference>>) {
    engine.law = core.law;
    engine.watermark = core.watermark;
    engine.windows.restore_closed(core.closed, core.start);
    engine.windows.restore_next_subject(core.next_subject);
    engine.alerts.resume_at(core.closed.map(|edge| edge * engine.windows.settings().pane_ms));
    let named = core.plans.iter().flat_map(|version| &version.plans).map(|(_, id)| &**id);
    let ids: BTreeSet<&str> = named.collect();
    let known = ids.into_iter().filter_map(|id| Some((id.to_owned(), load(id)?))).collect();
    let laid_out = workers::each(workers::available(), known, |(id, reference): (String, Arc<Reference>)| {
        (id.clone(), Arc::new(Plan::new(id, reference)))
    });
    let laid_out: HashMap<String, Arc<Plan>> = laid_out.into_iter().collect();
    for version in core.plans {
        let plan = |(from, id): (i64, Cow<'_, str>)| Some((from, Arc::clone(laid_out.get(&*id)?)));
        let plans = version.plans.into_iter().filter_map(plan).collect();
        engine.windows.restore_plans(&version.model, &version.version, plans);
    }
    for count in core.events {
        let EventCount { events, out_of_order, newest, .. } = count;
        let arrivals = Arrivals { events, out_of_order, newest };
        engine.windows.restore_arrivals(&count.model, &count.version, arrivals);
    }
}
