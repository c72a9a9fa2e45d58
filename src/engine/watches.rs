//! Windows that are judged under the false-alarm budget: they do not overlap, and each version's watch takes them in one
//! after the other. Here lives what is remembered of them; which windows there are is `budgeted.rs`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use anchorwatch_detectors::calibrated::Loudness;

use super::sharing::Sharing;
use crate::config::{Config, Monitor, Tolerated, Untimed, Verdicts};
use crate::monitor::calibrated::{
    AlarmTally, BudgetDays, Counted, Episodes, Finding, Judged, ModelWatch, ModelWatchState, Seen, Topic,
    severity,
};
use crate::reference::Reference;
use crate::subject::Millis;
use crate::view::AlarmRateView;
use crate::window::Plan;

const DAY: f64 = 86_400_000.0;

/// Days for which rates of alarms are told.
const MONTH: f64 = 30.0;

/// What is watched of a reference, in which windows, and which findings are told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind {
    /// Name of the windows.
    pub(super) horizon: &'static str,
    /// Names of the documents.
    pub(super) prefix: &'static str,
    pub(super) make: fn(&Reference, BudgetDays) -> Option<ModelWatch>,
    pub(super) tells: fn(&Finding) -> bool,
}

/// What one step of a watch brought.
pub(super) struct Stepped {
    pub(super) watch: Arc<ModelWatch>,
    pub(super) judged: Judged,
    /// The windows that the watch remembers; empty if nothing stands out.
    pub(super) seen: Vec<Seen>,
}

/// Watches by reference, and what they remember by version.
#[derive(Debug)]
pub(super) struct Watches {
    kind: Kind,
    verdicts: Verdicts,
    untimed: Untimed,
    budget: BudgetDays,
    tolerated: Tolerated,
    show_categories: bool,
    window_ms: Millis,
    watches: HashMap<String, Option<Arc<ModelWatch>>>,
    /// By model and version: the reference that the state belongs to, and the state.
    states: BTreeMap<(String, String), (String, ModelWatchState)>,
    /// What alarmed so far, whatever the reference.
    tallies: BTreeMap<(String, String), AlarmTally>,
    dirty: BTreeSet<(String, String)>,
    /// Documents that were written ahead of the checkpoint; of a version that changed again the next text counts.
    written: BTreeMap<String, Option<String>>,
}

impl Watches {
    /// Watches of one kind, which have seen nothing.
    pub(super) fn new(monitor: &Monitor, kind: Kind) -> Self {
        let days = |span: crate::config::Span| span.millis() as f64 / DAY;
        Self {
            kind,
            verdicts: monitor.verdicts,
            untimed: monitor.untimed,
            budget: BudgetDays {
                warning: days(monitor.one_false_alarm_in.warning),
                critical: days(monitor.one_false_alarm_in.critical),
            },
            tolerated: monitor.tolerated,
            show_categories: monitor.show_categories,
            window_ms: monitor.window.millis(),
            watches: HashMap::new(),
            states: BTreeMap::new(),
            tallies: BTreeMap::new(),
            dirty: BTreeSet::new(),
            written: BTreeMap::new(),
        }
    }

    pub(super) fn verdicts(&self) -> Verdicts {
        self.verdicts
    }

    pub(super) fn show_categories(&self) -> bool {
        self.show_categories
    }

    /// Takes the window of a version that starts at `start` in, where `sharing` share the budget; `None` if nothing watches
    /// it.
    pub(super) fn step(
        &mut self,
        plan: &Plan,
        id: (String, String),
        (start, sharing): (Millis, u32),
        counted: Counted<'_>,
    ) -> Option<Stepped> {
        let watch = self.watch(plan)?;
        let known = self.states.remove(&id).filter(|(reference, _)| *reference == plan.reference_id);
        let (_, mut state) = known.unwrap_or_else(|| (plan.reference_id.clone(), watch.state()));
        let judged = watch.step_among(&mut state, start, counted, sharing);
        let tells = self.kind.tells;
        let told = || judged.findings.iter().filter(|finding| tells(finding));
        self.tallies.entry(id.clone()).or_default().take(told());
        let seen = match told().next() {
            Some(_) => watch.remembered(&state, counted, &judged),
            None => Vec::new(),
        };
        self.states.insert(id.clone(), (plan.reference_id.clone(), state));
        self.dirty.insert(id);
        Some(Stepped { watch, judged, seen })
    }

    /// How often each version alarmed, beside what its part of the budget allows.
    pub(super) fn rates<'a>(&'a self, sharing: &'a Sharing) -> impl Iterator<Item = AlarmRateView> + 'a {
        let budgets = self.budget.budgets(self.window_ms);
        let window_days = self.window_ms as f64 / DAY;
        self.tallies.iter().flat_map(move |((model, version), tally)| {
            let rate = move |(loudness, alarms): (Loudness, Episodes)| {
                let budget = match loudness {
                    Loudness::Warn => budgets.warn,
                    Loudness::Page => budgets.page,
                };
                let share = sharing.share(model, version);
                let days = tally.judged as f64 * window_days;
                AlarmRateView {
                    model: model.clone(),
                    version: version.clone(),
                    horizon: self.kind.horizon.to_owned(),
                    severity: severity(loudness).to_owned(),
                    windows: tally.judged,
                    episodes: alarms.episodes,
                    windows_with_alarm: alarms.windows,
                    allowed_per_30d: share * MONTH / (budget.windows * window_days),
                    observed_per_30d: (days > 0.0).then(|| alarms.episodes as f64 * MONTH / days),
                }
            };
            Loudness::ALL.into_iter().zip(tally.alarms).map(rate)
        })
    }

    /// Whether the classical verdicts of a version alert: they do where nothing else would.
    pub(super) fn classical_alerts(&mut self, plan: &Plan) -> bool {
        match self.verdicts {
            Verdicts::Calibrated => self.watch(plan).is_none(),
            Verdicts::Classical | Verdicts::Both => true,
        }
    }

    /// Forgets what belongs to references and versions that are no longer in use.
    pub(super) fn retain(&mut self, in_use: impl Fn(&str) -> bool, watched: impl Fn(&str, &str) -> bool) {
        self.watches.retain(|reference, _| in_use(reference));
        let known = self.states.keys().chain(self.tallies.keys());
        // Their documents go.
        self.dirty.extend(known.filter(|(model, version)| !watched(model, version)).cloned());
        self.states.retain(|(model, version), _| watched(model, version));
        self.tallies.retain(|(model, version), _| watched(model, version));
    }

    /// The watch against a plan's reference; `None` if that has no calibration for windows of this length, or an assumed one
    /// where the classical detectors are to judge instead.
    fn watch(&mut self, plan: &Plan) -> Option<Arc<ModelWatch>> {
        if let Some(known) = self.watches.get(&plan.reference_id) {
            return known.clone();
        }
        let watch = (self.kind.make)(&plan.reference, self.budget);
        let watch = watch.filter(|watch| self.untimed == Untimed::Assumed || !watch.is_assumed());
        let watch = watch.and_then(|watch| watch.over_windows_of(self.window_ms));
        let watch = watch.map(|watch| Arc::new(watch.tolerating(&self.tolerated)));
        self.watches.insert(plan.reference_id.clone(), watch.clone());
        watch
    }

    /// Writes the document of one version ahead of the next checkpoint: packing thousands there would keep records waiting.
    /// False if there was none.
    pub(super) fn write_one(&mut self) -> bool {
        let Some(id) = self.dirty.pop_first() else { return false };
        let name = format!("{}{}/{}", self.kind.prefix, id.0, id.1);
        let text = match self.states.get(&id) {
            None => Some(None),
            Some((reference, state)) => {
                let tally = self.tallies.get(&id).copied().unwrap_or_default();
                let packed = state.encode().ok();
                let document = packed.map(|state| (id.0, id.1, reference, state, tally));
                document.and_then(|document| serde_json::to_string(&document).ok()).map(Some)
            }
        };
        self.written.extend(text.map(|text| (name, text)));
        true
    }

    /// Documents of the versions whose state changed since the last call; one without text is to be deleted.
    pub(super) fn take_documents(&mut self) -> BTreeMap<String, Option<String>> {
        while self.write_one() {}
        std::mem::take(&mut self.written)
    }

    /// Takes a document back. A state that cannot be read begins anew.
    pub(super) fn restore(&mut self, text: &str) -> Result<(), serde_json::Error> {
        type Names = (String, String, String, String);
        let read: Result<(String, String, String, String, AlarmTally), _> = serde_json::from_str(text);
        // Before alarms were counted there were four parts.
        let (model, version, reference, state, tally) = match read {
            Ok(parts) => parts,
            Err(_) => {
                let (model, version, reference, state): Names = serde_json::from_str(text)?;
                (model, version, reference, state, AlarmTally::default())
            }
        };
        self.tallies.insert((model.clone(), version.clone()), tally);
        if let Some(state) = ModelWatchState::decode(&state) {
            self.states.insert((model, version), (reference, state));
        }
        Ok(())
    }
}

/// Where the events of this configuration can be read again.
pub(super) fn topic(config: &Config) -> Topic {
    let name = match config.kafka.topics.as_slice() {
        [topic] => Some(topic.clone()),
        _ => None,
    };
    Topic { name, segment_field: config.segments.as_ref().map(|segments| segments.field.clone()) }
}
