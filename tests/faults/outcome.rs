//! All that a state file remembers, without its own numbering, without names of topics and without the wall clock.
#![allow(dead_code, reason = "the tests of faults use all of it, the bench beside Alertmanager a part")]

#[path = "../support/waiting.rs"]
mod waiting;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anchorwatch::engine::Position;
use anchorwatch::store::Store;
use serde_json::Value;

/// A row of the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) state: String,
    pub(crate) attempt: u32,
    pub(crate) last_error: Option<String>,
    /// About an action, or about what ailed the daemon itself: what is held, sent and confirmed depends on when the
    /// target answered, and nothing ails a daemon that is left alone. Two runs may differ in it.
    pub(crate) of_this_run: bool,
}

/// What is compared between two runs over the same records.
#[derive(Debug, Default, Clone)]
pub(crate) struct Outcome {
    pub(crate) panes: BTreeMap<(String, i64), (String, Vec<u8>)>,
    pub(crate) positions: BTreeMap<i32, (i64, Option<i64>, Option<u64>)>,
    pub(crate) documents: BTreeMap<String, Value>,
    pub(crate) outbox: BTreeMap<(String, String), Row>,
    pub(crate) audit: BTreeSet<(i64, String, String, String)>,
    pub(crate) pointers_waiting: usize,
}

fn positions(positions: Vec<Position>) -> BTreeMap<i32, (i64, Option<i64>, Option<u64>)> {
    let place = |p: Position| (p.partition, (p.next_offset, p.max_event_time, p.last_record_hash));
    positions.into_iter().map(place).collect()
}

impl Outcome {
    /// Next offsets on disk.
    pub(crate) fn positions_of(data: &Path) -> BTreeMap<i32, i64> {
        // A damaged or locked file is the matter of whoever asks for all of it.
        let Ok(store) = Store::open(data) else { return BTreeMap::new() };
        let Ok(state) = store.restore() else { return BTreeMap::new() };
        state.positions.into_iter().map(|position| (position.partition, position.next_offset)).collect()
    }

    /// Reads a state folder.
    pub(crate) fn read(data: &Path) -> Self {
        let mut store = Store::open(data).expect("the state file");
        let state = store.restore().expect("its content");
        let names: BTreeMap<u32, String> =
            state.subjects.iter().map(|(id, subject)| (*id, subject.to_string())).collect();
        let panes = state.panes.into_iter().map(|row| {
            ((names[&row.subject].clone(), row.pane), (row.reference, row.counts.packed().into_owned()))
        });
        let documents = state.documents.into_iter().map(|(name, text)| {
            let value = serde_json::from_str(&without_topic(&text)).expect("a JSON document");
            let value = match name.as_str() {
                "core" => comparable_core(value, &names),
                // Which requests are held because another is not over yet depends on when that was answered.
                "actions" => Value::Null,
                _ => value,
            };
            (name, value)
        });
        let audit = store.audit(usize::MAX).expect("the audit trail").into_iter().map(|entry| entry.row);
        // What became of a request depends on when its target answered, and so does what is held because of it.
        let of_action =
            |what: &str| ["action", "retrain", "rollback"].iter().any(|begin| what.starts_with(begin));
        let decided = audit.filter(|row| !of_action(&row.what));
        let outbox = store.list_outbox(None, usize::MAX).expect("the outbox").into_iter().map(|row| {
            let own = ["action", "state_full", "target_down", "action_unknown", "stalled", "gap", "no_data"];
            let of_this_run = ["retrain", "rollback"].contains(&row.target.as_str())
                || own.iter().any(|kind| row.flow.starts_with(&format!("anchorwatch/{kind}/")));
            let (state, attempt, last_error) = (row.state, row.attempt, row.last_error);
            ((row.key, row.target), Row { state, attempt, last_error, of_this_run })
        });
        Self {
            panes: panes.collect(),
            positions: positions(state.positions),
            documents: waiting::in_order(documents),
            outbox: outbox.collect(),
            audit: decided.map(|row| (row.at, row.what, row.key, row.detail)).collect(),
            pointers_waiting: store.refused_pending(usize::MAX, 0).expect("pointers").rows.len(),
        }
    }

    /// Records accounted for.
    pub(crate) fn records(&self) -> Option<u64> {
        self.documents.get("core")?["law"]["read"].as_u64()
    }

    /// Whether every pane is closed that the slowest partition has passed.
    pub(crate) fn is_judged(&self) -> bool {
        const PANE: i64 = 60_000;
        const LATENESS: i64 = 120_000;
        let slowest = self.positions.values().map(|(_, newest, _)| *newest).min().flatten();
        let closed = self.documents.get("core").and_then(|core| core["closed"].as_i64());
        slowest
            .is_none_or(|newest| closed.is_some_and(|closed| closed >= (newest - LATENESS).div_euclid(PANE)))
    }

    /// Keys of everything that was decided from the records alone, with the target.
    pub(crate) fn keys(&self) -> BTreeSet<(String, String)> {
        self.outbox.iter().filter(|(_, row)| !row.of_this_run).map(|(key, _)| key.clone()).collect()
    }
}

/// Numbers of subjects depend on which partition was read first: names do not.
fn comparable_core(mut core: Value, names: &BTreeMap<u32, String>) -> Value {
    let by_name: BTreeMap<&str, &Value> = core["first_panes"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|pair| {
            let id = pair[0].as_u64().and_then(|id| u32::try_from(id).ok()).expect("a subject");
            (names[&id].as_str(), &pair[1])
        })
        .collect();
    let by_name = serde_json::to_value(by_name).expect("JSON");
    core["first_panes"] = by_name;
    core
}

/// The same without the name of the topic, in which each run has its own: it stands in the commands of findings.
fn without_topic(text: &str) -> String {
    let mut parts = text.split("kafka:///");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |all, part| all + "kafka:///" + part.find('?').map_or(part, |at| &part[at..]))
}
