//! What waits for its other half, made comparable: which chunk of a checkpoint it stands in depends on how partitions took turns.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// Bytes of an entry before the number of its cells: id, time, score and lane.
const PREDICTION: usize = 8 + 8 + 8 + 4;
/// Id, time and label.
const EARLY: usize = 8 + 8 + 8;

/// The documents, with all that waits of a model in one, in order.
pub(crate) fn in_order(documents: impl Iterator<Item = (String, Value)>) -> BTreeMap<String, Value> {
    let mut waiting: BTreeMap<String, BTreeSet<Vec<u8>>> = BTreeMap::new();
    let mut all = BTreeMap::new();
    for (name, value) in documents {
        let kinds = ["labels/prediction/", "labels/early/"];
        let Some(kind) = kinds.into_iter().find(|kind| name.starts_with(kind)) else {
            all.insert(name, value);
            continue;
        };
        let bytes = STANDARD.decode(value[2].as_str().expect("entries")).expect("base64");
        let of_model = waiting.entry(format!("{kind}{}", value[0])).or_default();
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let length = match kind {
                "labels/early/" => EARLY,
                _ => {
                    PREDICTION
                        + 2
                        + 2 * usize::from(u16::from_le_bytes([rest[PREDICTION], rest[PREDICTION + 1]]))
                }
            };
            let (entry, others) = rest.split_at(length);
            of_model.insert(entry.to_vec());
            rest = others;
        }
    }
    all.extend(waiting.into_iter().map(|(name, entries)| (name, json!(entries))));
    all
}
