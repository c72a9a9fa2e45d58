//! What is kept of labels, made comparable: in which chunk of a checkpoint something waits, and by which number a version is known
//! there, depends on how partitions took turns.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// Bytes of an entry before the number of its cells: id, time, score and lane.
const PREDICTION: usize = 8 + 8 + 8 + 4;
/// Id, time and label.
const EARLY: usize = 8 + 8 + 8;

/// The documents, with all that waits of a model in one, in order, and what is kept of labels by version and reference instead
/// of numbers, which are given in the order of arrival.
pub(crate) fn in_order(documents: impl Iterator<Item = (String, Value)>) -> BTreeMap<String, Value> {
    let mut all: BTreeMap<String, Value> = documents.collect();
    let lanes = lanes(all.get("labels/state"));
    let of_labels: Vec<String> = all.keys().filter(|name| name.starts_with("labels/")).cloned().collect();
    let mut waiting: BTreeMap<String, BTreeSet<Vec<u8>>> = BTreeMap::new();
    let of_lane = |number: u64| lanes.get(&number).cloned().unwrap_or_default();
    for name in of_labels {
        let Some(mut value) = all.remove(&name) else { continue };
        let parts: Vec<&str> = name.split('/').collect();
        match parts[1] {
            "state" => {
                let known = value["lanes"].as_array_mut().expect("lanes");
                known.iter_mut().for_each(|lane| lane["number"] = Value::Null);
                known.sort_by_key(Value::to_string);
                all.insert(name, value);
            }
            "pane" | "delays" => {
                let lane = of_lane(value[0].as_u64().expect("a number"));
                value[0] = Value::Null;
                all.insert(format!("labels/{}/{lane}/{}", parts[1], parts.get(3).unwrap_or(&"")), value);
            }
            kind => {
                let bytes = STANDARD.decode(value[2].as_str().expect("entries")).expect("base64");
                let of_model = waiting.entry(format!("labels/{kind}/{}", value[0])).or_default();
                of_model.extend(entries(&bytes, kind == "early", &of_lane));
            }
        }
    }
    all.extend(waiting.into_iter().map(|(name, entries)| (name, json!(entries))));
    all
}

/// Model, version and reference of each number.
fn lanes(state: Option<&Value>) -> BTreeMap<u64, String> {
    let lanes = state.and_then(|state| state["lanes"].as_array());
    let named = |lane: &Value| {
        let name = format!("{} {} {}", lane["model"], lane["version"], lane["reference"]);
        Some((lane["number"].as_u64()?, name))
    };
    lanes.into_iter().flatten().filter_map(named).collect()
}

/// The entries of a chunk, each with the name of its lane in place of the number.
fn entries(mut rest: &[u8], early: bool, of_lane: &impl Fn(u64) -> String) -> Vec<Vec<u8>> {
    let mut entries = Vec::new();
    while !rest.is_empty() {
        let cells = |at: usize| 2 + 2 * usize::from(u16::from_le_bytes([rest[at], rest[at + 1]]));
        let length = if early { EARLY } else { PREDICTION + cells(PREDICTION) };
        let (entry, others) = rest.split_at(length);
        let (head, tail) = entry.split_at(EARLY);
        let lane = tail.first_chunk().map(|number| of_lane(u64::from(u32::from_le_bytes(*number))));
        let behind = tail.get(4..).unwrap_or_default();
        entries.push([head, lane.unwrap_or_default().as_bytes(), behind].concat());
        rest = others;
    }
    entries
}
