//! Burn rates of the latency objective: how fast each version uses up what the objective allows, in pairs of windows that
//! end at the edge. What a rate means is `anchorwatch_detectors::burn`; nothing happens without `latency.objective_ms`.
//!
//! Remembered are two numbers a pane for as long as the longest window, three days: 70 kB a version with panes of a minute.

use std::collections::BTreeMap;

use anchorwatch_detectors::burn::{Burn, BurnRule, BurnVerdict, Events, RULES};
use anchorwatch_detectors::latency::exceeding;
use serde::{Deserialize, Serialize};

use super::changed::Changed;
use super::{Engine, Progress, SubjectId};
use crate::alert::{AlertKind, Moved, Severity};
use crate::config::Config;
use crate::subject::Millis;
use crate::view::{Level, VerdictView, WindowView};

/// Names of this module's documents.
pub(super) const DOCUMENT_PREFIX: &str = "burn/";

/// Name of these windows among the horizons.
const BURN: &str = "burn_rate";

/// Name of the latency among the columns.
const COLUMN: &str = "latency";

/// Period of the error budget in seconds.
const PERIOD: u64 = 30 * 86_400;

/// Rules that are worth waking somebody.
const CRITICAL: usize = 2;

/// Panes of one version, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Panes(BTreeMap<i64, (u64, u64)>);

impl Panes {
    /// Events in panes from `from` on.
    fn since(&self, from: i64) -> Events {
        self.0.range(from..).fold(Events::default(), |sum, (_, (bad, total))| Events {
            bad: sum.bad + bad,
            total: sum.total + total,
        })
    }
}

/// The panes of all versions.
#[derive(Debug)]
pub(super) struct Burns {
    /// Milliseconds, and the share of predictions that must take less.
    objective: Option<(f64, f64)>,
    /// Fewest predictions of a long window that is judged.
    min_rows: u64,
    versions: BTreeMap<(String, String), Panes>,
    changed: Changed<(String, String)>,
}

impl Burns {
    /// Nothing remembered yet.
    pub(super) fn new(config: &Config) -> Self {
        let latency = &config.monitor.latency;
        let objective = latency.objective_ms.map(|limit| (limit, latency.target));
        let min_rows = config.windows.min_rows;
        Self { objective, min_rows, versions: BTreeMap::new(), changed: Changed::default() }
    }

    /// Adds a closed pane of a version, and judges every pair of windows that the pane is short enough for.
    fn take(
        &mut self,
        id: (String, String),
        (pane, pane_ms): (i64, Millis),
        (bad, total): (u64, u64),
        target: f64,
    ) -> Vec<(usize, Burn)> {
        let panes = self.versions.entry(id.clone()).or_default();
        panes.0.insert(pane, (bad, total));
        let length = |seconds: u64| i64::try_from(seconds).unwrap_or(0) * 1_000 / pane_ms.max(1);
        let longest = RULES.iter().map(|rule| length(rule.long_seconds)).max().unwrap_or(1);
        panes.0 = panes.0.split_off(&(pane + 1 - longest));
        let min_rows = self.min_rows;
        let judge = |(index, rule): (usize, &BurnRule)| {
            let (short, long) = (length(rule.short_seconds), length(rule.long_seconds));
            let fits = short > 0 && i64::try_from(rule.short_seconds).unwrap_or(0) * 1_000 % pane_ms == 0;
            let (short, long) = (panes.since(pane + 1 - short), panes.since(pane + 1 - long));
            let burn = rule.judge(short, long, target, PERIOD).filter(|_| fits && long.total >= min_rows)?;
            Some((index, burn))
        };
        let judged = RULES.iter().enumerate().filter_map(judge).collect();
        self.changed.note(id);
        judged
    }

    /// Forgets versions that are no longer watched.
    pub(super) fn retain(&mut self, watched: impl Fn(&str, &str) -> bool) {
        let gone = self.versions.keys().filter(|(model, version)| !watched(model, version));
        // Their documents go.
        gone.for_each(|id| self.changed.note(id.clone()));
        self.versions.retain(|(model, version), _| watched(model, version));
    }

    /// Fixes which documents [`Self::write_some`] writes.
    pub(super) fn begin_writing(&mut self) {
        self.changed.begin();
    }

    /// Writes the documents of at most so many versions ahead of the next checkpoint; gives how many.
    pub(super) fn write_some(&mut self, most: usize) -> usize {
        let Self { versions, changed, .. } = self;
        changed.write_some(most, |id| {
            let name = format!("{DOCUMENT_PREFIX}{}/{}", id.0, id.1);
            let text = versions.get(&id).map(|panes| serde_json::to_string(&(&id.0, &id.1, panes)));
            Some((name, text.transpose().ok()?))
        })
    }

    /// Documents of the versions that changed since the last call.
    pub(super) fn take_documents(&mut self) -> BTreeMap<String, Option<String>> {
        self.changed.begin();
        self.write_some(usize::MAX);
        self.changed.take_written()
    }

    /// Takes a document back.
    pub(super) fn restore(&mut self, text: &str) -> Result<(), serde_json::Error> {
        let (model, version, panes): (String, String, Panes) = serde_json::from_str(text)?;
        if self.objective.is_some() {
            self.versions.insert((model, version), panes);
        }
        Ok(())
    }
}

impl Engine {
    /// Whether there is an objective whose error budget can burn.
    pub(super) fn has_objective(&self) -> bool {
        self.burns.objective.is_some()
    }

    /// Judges how fast the latency's error budget of a subject burns, in the windows that end at this edge; `coverage` is
    /// that of the pane which has just closed.
    pub(super) fn judge_burn_rate(
        &mut self,
        id: SubjectId,
        edge: i64,
        coverage: f64,
        progress: &mut Progress,
    ) {
        let Some((limit, target)) = self.burns.objective else { return };
        let pane_ms = self.windows.settings().pane_ms;
        let Some(subject) = self.windows.subject(id).filter(|subject| subject.segment.is_none()).cloned()
        else {
            return;
        };
        let Some((plan, counts)) = self.windows.sum(id, edge - 1, edge) else { return };
        let buckets = plan.layout.latency(&counts);
        let total: u64 = buckets.iter().sum();
        let bad = exceeding(buckets, limit).map_or(0, |share| (share * total as f64).round() as u64);
        let name = (subject.model.to_string(), subject.version.to_string());
        let judged = self.burns.take(name, (edge - 1, pane_ms), (bad, total), target);
        let verdicts: Vec<VerdictView> =
            judged.into_iter().map(|(index, burn)| verdict(index, burn, total)).collect();
        if verdicts.is_empty() {
            return;
        }
        let view = WindowView {
            model: subject.model.to_string(),
            version: subject.version.to_string(),
            segment: None,
            horizon: BURN.to_owned(),
            start: (edge - 1) * pane_ms,
            end: edge * pane_ms,
            rows: total,
            coverage,
            reference: plan.reference_id.clone(),
            level: verdicts.iter().map(|verdict| verdict.level).max().unwrap_or_default(),
            verdicts,
            latency: None,
            columns: Vec::new(),
        };
        self.alerts.observe(&view);
        progress.windows.push(view);
    }
}

fn verdict(index: usize, Burn { short, long, verdict, .. }: Burn, rows: u64) -> VerdictView {
    let rule = RULES.get(index).copied().unwrap_or(RULES[0]);
    let hours = |seconds: u64| match seconds % 3_600 {
        0 => format!("{} h", seconds / 3_600),
        _ => format!("{} min", seconds / 60),
    };
    let burning = verdict == BurnVerdict::Burning;
    let moved = [(rule.short_seconds, short), (rule.long_seconds, long)];
    let moved =
        moved.map(|(seconds, to)| Moved { bin: format!("burn in {}", hours(seconds)), from: 1.0, to });
    VerdictView {
        column: COLUMN.into(),
        role: None,
        detector: format!("burn_rate_{}", hours(rule.long_seconds).replace(' ', "")).into(),
        statistic: Some(short.min(long)),
        threshold: Some(rule.rate),
        p_value: None,
        adjusted_p_value: None,
        rows,
        reference_rows: 0,
        level: match verdict {
            BurnVerdict::Burning => Level::Drift,
            BurnVerdict::Calm | BurnVerdict::Starting | BurnVerdict::Over => Level::Stable,
        },
        kind: AlertKind::Latency,
        severity: burning.then_some(if index < CRITICAL { Severity::Critical } else { Severity::Warning }),
        inhibited_by: None,
        moved: if burning { moved.into() } else { Vec::new() },
        explained: None,
    }
}
