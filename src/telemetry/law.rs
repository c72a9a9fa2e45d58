//! Counters that survive a restart: the engine publishes absolute values, the scrape shows them as counters.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounterVec, Opts};

use super::families::{PERSISTED, PREFIX, Spec};
use crate::event::Refusal;
use crate::view::{AlarmRateView, EventCount, JoinView, LawCounters, StatusView};
use crate::window::NotAdmitted;

/// Shows the latest published values; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct LawCollector {
    descriptions: Vec<Desc>,
    /// What was published last.
    latest: Arc<Mutex<Arc<StatusView>>>,
}

type Rows = Vec<(Vec<String>, u64)>;

impl LawCollector {
    pub(super) fn new() -> Result<Self, prometheus::Error> {
        let describe = |spec: &Spec| {
            let labels = spec.labels.iter().map(|&label| label.to_owned()).collect();
            Desc::new(spec.name.to_owned(), spec.help.to_owned(), labels, HashMap::new())
        };
        let descriptions = PERSISTED.iter().map(describe).collect::<Result<_, _>>()?;
        Ok(Self { descriptions, latest: Arc::default() })
    }

    pub(super) fn publish(&self, status: Arc<StatusView>) {
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = status;
    }
}

impl Collector for LawCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let latest = Arc::clone(&self.latest.lock().unwrap_or_else(PoisonError::into_inner));
        PERSISTED.iter().flat_map(|spec| family(spec, rows(spec, &latest)).unwrap_or_default()).collect()
    }
}

fn rows(spec: &Spec, status: &StatusView) -> Rows {
    let StatusView { law, events, joins, alarm_rates: rates, .. } = status;
    let one = |value| vec![(Vec::new(), value)];
    match spec.name.strip_prefix(PREFIX).unwrap_or_default() {
        "events_total" => {
            let row = |count: &EventCount| (vec![count.model.clone(), count.version.clone()], count.events);
            events.iter().map(row).collect()
        }
        "events_out_of_order_total" => {
            let row =
                |count: &EventCount| (vec![count.model.clone(), count.version.clone()], count.out_of_order);
            events.iter().map(row).collect()
        }
        "labels_total" => joined(joins, |join| {
            [("joined", join.joined), ("unmatched", join.unmatched), ("repeated", join.repeated)]
        }),
        "predictions_unlabelled_total" => {
            joined(joins, |join| [("expired", join.expired), ("dropped", join.dropped), ("late", join.late)])
        }
        "alarm_episodes_total" => rated(rates, |rate| rate.episodes),
        "alarm_windows_total" => rated(rates, |rate| rate.windows_with_alarm),
        "budget_windows_judged_total" => judged(rates),
        "records_read_total" => one(law.read),
        "records_counted_total" => one(law.counted),
        "records_refused_total" => refused(law),
        "records_not_admitted_total" => not_admitted(law),
        "refused_pointers_dropped_total" => one(law.pointers_dropped),
        "records_late_total" => one(law.late),
        "records_future_total" => one(law.future),
        "records_unmatched_total" => one(law.unmatched),
        "records_duplicate_total" => one(law.duplicate),
        _ => Vec::new(),
    }
}

/// One row per model and fate.
fn joined(joins: &[JoinView], fates: impl Fn(&JoinView) -> [(&'static str, u64); 3]) -> Rows {
    let rows =
        |join: &JoinView| fates(join).map(|(fate, count)| (vec![join.model.clone(), fate.to_owned()], count));
    joins.iter().flat_map(rows).collect()
}

/// One row per version, horizon and severity.
fn rated(rates: &[AlarmRateView], value: impl Fn(&AlarmRateView) -> u64) -> Rows {
    let row = |rate: &AlarmRateView| {
        let labels = [rate.model.as_str(), rate.version.as_str(), rate.horizon, rate.severity];
        (labels.map(str::to_owned).to_vec(), value(rate))
    };
    rates.iter().map(row).collect()
}

/// One row per version and horizon: the severities have judged the same windows.
fn judged(rates: &[AlarmRateView]) -> Rows {
    let row = |rate: &AlarmRateView| {
        let labels = [rate.model.as_str(), rate.version.as_str(), rate.horizon];
        (labels.map(str::to_owned).to_vec(), rate.windows)
    };
    rates.iter().map(row).collect::<BTreeMap<_, _>>().into_iter().collect()
}

/// Every known reason from the first scrape on, so that a rate sees the first refusal.
fn refused(law: &LawCounters) -> Rows {
    let mut counts: BTreeMap<&str, u64> = Refusal::REASONS.into_iter().map(|reason| (reason, 0)).collect();
    counts.extend(law.refused.iter().map(|(reason, count)| (reason.as_ref(), *count)));
    counts.into_iter().map(|(reason, count)| (vec![reason.to_owned()], count)).collect()
}

/// Every known reason, as of refusals.
fn not_admitted(law: &LawCounters) -> Rows {
    let count = |reason: NotAdmitted| law.not_admitted.get(reason.as_str()).copied().unwrap_or(0);
    NotAdmitted::ALL.into_iter().map(|reason| (vec![reason.as_str().to_owned()], count(reason))).collect()
}

fn family(spec: &Spec, rows: Rows) -> Result<Vec<MetricFamily>, prometheus::Error> {
    let counters = IntCounterVec::new(Opts::new(spec.name, spec.help), spec.labels)?;
    for (labels, value) in rows {
        counters.get_metric_with_label_values(&labels)?.inc_by(value);
    }
    Ok(counters.collect())
}
