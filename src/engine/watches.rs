//! Windows that are judged under the false-alarm budget: they do not overlap, and each version's watch takes them in one
//! after the other. Here lives what is remembered of them; which windows there are is `budgeted.rs`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use anchorwatch_detectors::calibrated::Loudness;

use super::sharing::Sharing;
use crate::config::{Config, Monitor, Tolerated, Untimed, Verdicts};
use crate::monitor::calibrated::{
    AlarmTally, BLOCKS, BudgetDays, Counted, Episodes, Finding, Judged, ModelWatch, ModelWatchState, Seen,
    Topic, json_of_about, severity,
};
use crate::reference::Reference;
use crate::subject::Millis;
use crate::view::AlarmRateView;
use crate::window::Plan;
use crate::workers;

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
    /// Names of the documents with the windows that are remembered.
    pub(super) windows: &'static str,
    pub(super) make: fn(&Reference, BudgetDays) -> Option<ModelWatch>,
    pub(super) tells: fn(&Finding) -> bool,
}

impl Kind {
    /// Whether a document of this name is one of its own.
    pub(super) fn owns(&self, name: &str) -> bool {
        name.starts_with(self.prefix) || name.starts_with(self.windows)
    }

    /// The documents of a version, as far as they changed: all go with its memory.
    fn documents(
        &self,
        (model, version): &(String, String),
        kept: Option<&Kept>,
        tally: AlarmTally,
    ) -> Vec<(String, Option<String>)> {
        let head = format!("{}{model}/{version}", self.prefix);
        let of_block = |block: usize| format!("{}{block}/{model}/{version}", self.windows);
        let Some(kept) = kept else {
            return (0..BLOCKS).map(of_block).chain([head]).map(|name| (name, None)).collect();
        };
        let Memory::Live(state) = &kept.memory else { return Vec::new() };
        let text = state
            .encode()
            .and_then(|state| json_of_about(&(model, version, &kept.reference, &state, tally), state.len()));
        // Numbers and text are always written; and windows without their head would be of no use.
        let Ok(text) = text else { return Vec::new() };
        let blocks = (0..BLOCKS).filter(|block| kept.unwritten & 1 << block != 0);
        let windows = blocks.filter_map(|block| {
            let windows = state.encode_block(block);
            let text = json_of_about(&(model, version, block, &windows), windows.len());
            Some((of_block(block), Some(text.ok()?)))
        });
        windows.chain([(head, Some(text))]).collect()
    }
}

/// What is remembered of a version.
#[derive(Debug)]
struct Kept {
    /// The reference that it belongs to.
    reference: String,
    memory: Memory,
    /// Blocks of windows that no document holds yet, a bit each.
    unwritten: u32,
}

/// Every block.
const ALL: u32 = (1 << BLOCKS) - 1;

#[derive(Debug)]
enum Memory {
    Live(Box<ModelWatchState>),
    /// As a checkpoint held it: read when its next window is judged, so that a start does not wait for thousands.
    Stored(String),
}

impl Memory {
    /// The state, and the blocks that must be written again; `None` if it cannot be read.
    fn read(self, blocks: &BTreeMap<usize, String>) -> Option<(Box<ModelWatchState>, u32)> {
        match self {
            Self::Live(state) => Some((state, 0)),
            Self::Stored(text) => {
                let state = ModelWatchState::decode(&text, |block| blocks.get(&block).map(String::as_str))?;
                // An earlier version wrote no blocks.
                Some((Box::new(state), if blocks.is_empty() { ALL } else { 0 }))
            }
        }
    }
}

/// What one step of a watch brought.
pub(super) struct Stepped {
    pub(super) watch: Arc<ModelWatch>,
    pub(super) judged: Judged,
    /// The windows that the watch remembers; empty if nothing stands out.
    pub(super) seen: Vec<Seen>,
}

/// A version's watch with its memory, for one window.
pub(super) struct Step {
    watch: Arc<ModelWatch>,
    id: (String, String),
    kept: Kept,
    blocks: BTreeMap<usize, String>,
    tally: AlarmTally,
    tells: fn(&Finding) -> bool,
}

impl Step {
    /// Takes the window that starts at `start` in, where `sharing` share the budget.
    pub(super) fn step(self, (start, sharing): (Millis, u32), counted: Counted<'_>) -> (Self, Stepped) {
        let Self { watch, id, kept, blocks, mut tally, tells } = self;
        let (mut state, unwritten) =
            kept.memory.read(&blocks).unwrap_or_else(|| (Box::new(watch.state()), ALL));
        let judged = watch.step_among(&mut state, start, counted, sharing);
        let told = || judged.findings.iter().filter(|finding| tells(finding));
        tally.take(told());
        let seen = match told().next() {
            Some(_) => watch.remembered(&state, counted, &judged),
            None => Vec::new(),
        };
        let unwritten = kept.unwritten | unwritten | 1 << state.newest_block();
        let kept = Kept { memory: Memory::Live(state), unwritten, ..kept };
        let stepped = Stepped { watch: Arc::clone(&watch), judged, seen };
        (Self { watch, id, kept, blocks: BTreeMap::new(), tally, tells }, stepped)
    }
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
    /// By model and version.
    states: BTreeMap<(String, String), Kept>,
    /// Blocks of windows as a checkpoint held them, of versions whose memory was not read yet.
    blocks: HashMap<(String, String), BTreeMap<usize, String>>,
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
            blocks: HashMap::new(),
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
        let (step, stepped) = self.begin(plan, id)?.step((start, sharing), counted);
        self.end(step);
        Some(stepped)
    }

    /// Gives out what is remembered of a version, for its next window: [`Watches::end`] takes it back. `None` if nothing
    /// watches it.
    pub(super) fn begin(&mut self, plan: &Plan, id: (String, String)) -> Option<Step> {
        let watch = self.watch(plan)?;
        let blocks = self.blocks.remove(&id).unwrap_or_default();
        let kept = self.states.remove(&id).filter(|kept| kept.reference == plan.reference_id);
        let kept = kept.unwrap_or_else(|| Kept {
            reference: plan.reference_id.clone(),
            memory: Memory::Live(Box::new(watch.state())),
            unwritten: ALL,
        });
        let tally = self.tallies.get(&id).copied().unwrap_or_default();
        Some(Step { watch, id, kept, blocks, tally, tells: self.kind.tells })
    }

    /// Takes back what a version's watch remembers after its window.
    pub(super) fn end(&mut self, step: Step) {
        self.tallies.insert(step.id.clone(), step.tally);
        self.states.insert(step.id.clone(), step.kept);
        self.dirty.insert(step.id);
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
                    horizon: self.kind.horizon,
                    severity: severity(loudness),
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
        self.blocks.retain(|(model, version), _| watched(model, version));
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

    /// Writes the documents of at most `most` versions ahead of the next checkpoint: packing thousands there would keep
    /// records waiting. Gives how many, 0 if there was none.
    pub(super) fn write_some(&mut self, most: usize, threads: usize) -> usize {
        let mut due = Vec::with_capacity(most.min(self.dirty.len()));
        while due.len() < most
            && let Some(id) = self.dirty.pop_first()
        {
            due.push(id);
        }
        let done = due.len();
        let (states, tallies, kind) = (&self.states, &self.tallies, self.kind);
        let texts = workers::each(threads, due, |id| {
            let tally = tallies.get(&id).copied().unwrap_or_default();
            (kind.documents(&id, states.get(&id), tally), id)
        });
        for (texts, id) in texts {
            self.written.extend(texts);
            if let Some(kept) = self.states.get_mut(&id) {
                kept.unwritten = 0;
            }
        }
        done
    }

    /// Documents of the versions whose state changed since the last call; one without text is to be deleted.
    pub(super) fn take_documents(&mut self) -> BTreeMap<String, Option<String>> {
        while self.write_some(usize::MAX, 1) > 0 {}
        std::mem::take(&mut self.written)
    }

    /// Takes a document back, in any order. A state that cannot be read begins anew.
    pub(super) fn restore(&mut self, name: &str, text: &str) -> Result<(), serde_json::Error> {
        type Names = (String, String, String, String);
        if name.starts_with(self.kind.windows) {
            let (model, version, block, windows): (String, String, usize, String) =
                serde_json::from_str(text)?;
            self.blocks.entry((model, version)).or_default().insert(block, windows);
            return Ok(());
        }
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
        let kept = Kept { reference, memory: Memory::Stored(state), unwritten: 0 };
        self.states.insert((model, version), kept);
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
