//! A state of any content is taken up or refused, and what was taken up can count, judge and be written again.
//!
//! The input: a byte for the kind of document, its text up to a NUL byte, then packed panes, NUL-separated.
#![no_main]

use anchorwatch::engine::{Engine, PaneRow, Position, Restored};
use anchorwatch::subject::Subject;
use anchorwatch_fuzz::{REFERENCE, configuration, record, reference, watch};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use libfuzzer_sys::fuzz_target;

const NOW: i64 = 1_767_571_200_000;
/// Every kind of document; the last two hold entries in a code of their own, of which the input is the bytes.
const NAMES: [&str; 18] = [
    "core",
    "actions",
    "troubles",
    "alerts/m/1.0.0",
    "gaps",
    "alert-groups/m",
    "alert-silences",
    "alert-digests",
    "watch/m/1.0.0",
    "version-watch/m/1.0.0",
    "performance-watch/m/1.0.0",
    "sequential/m/1.0.0",
    "burn/m/1.0.0",
    "labels/state",
    "labels/pane/0/1767571200000",
    "labels/other",
    "labels/prediction/m/0",
    "labels/early/m/0",
];
const CODED: [&str; 2] = ["labels/prediction/", "labels/early/"];
/// A place for what the join's other documents hold.
const LANES: &str = r#"{"edge":1767571200000,"lanes":[{"number":0,"model":"m","version":"1.0.0","reference":"REFERENCE",
    "next":1767571200000,"latest":null}],"fates":{}}"#;
const CORE: &str = r#"{"law":{"read":1,"counted":1},"closed":29459515,"start":29459505,"watermark":null,"events":[],
    "plans":[{"model":"m","version":"1.0.0","plans":[[-9223372036854775808,"REFERENCE"]]}],"first_panes":[[0,29459505]]}"#;

fuzz_target!(|data: &[u8]| {
    let is_nul = |byte: &u8| *byte == 0;
    let mut parts = data.split(is_nul);
    let document = parts.next().unwrap_or_default();
    let (kind, text) = document.split_first().unwrap_or((&0, &[]));
    let mut restored = Restored::default();
    restored.documents.insert("core".to_owned(), CORE.replace("REFERENCE", REFERENCE));
    restored.documents.insert("labels/state".to_owned(), LANES.replace("REFERENCE", REFERENCE));
    let name = NAMES[usize::from(*kind) % NAMES.len()];
    if CODED.iter().any(|coded| name.starts_with(coded)) {
        // Its code has zero bytes: all that is left of the input.
        let entries = STANDARD.encode(data.get(1..).unwrap_or_default());
        restored.documents.insert(name.to_owned(), format!(r#"["m",0,"{entries}"]"#));
        parts = data[data.len()..].split(is_nul);
    } else if let Ok(text) = std::str::from_utf8(text)
        && !text.is_empty()
    {
        restored.documents.insert(name.to_owned(), text.to_owned());
    }
    let subject = Subject { model: "m".into(), version: "1.0.0".into(), segment: None };
    restored.subjects = vec![(0, subject)];
    restored.panes = (29_459_505..)
        .zip(parts.take(8))
        .map(|(pane, counts)| PaneRow { subject: 0, pane, reference: REFERENCE.to_owned(), counts: counts.into() })
        .collect();
    restored.positions = vec![Position {
        topic: "events".to_owned(),
        partition: 0,
        next_offset: 1,
        max_event_time: Some(NOW),
        last_record_hash: None,
    }];
    let mut engine = Engine::new(configuration());
    if engine.restore(restored, |id| (id == REFERENCE).then(reference)).is_err() {
        return;
    }
    watch(&mut engine);
    for (offset, ts) in (1..).zip([NOW, NOW + 60_000, NOW + 600_000]) {
        let event = format!(r#"{{"model":"m","version":"1.0.0","ts":{ts},"features":{{"x":1,"c":"a"}}}}"#);
        engine.ingest(&record(offset, Some(event.as_bytes())), NOW + 600_000);
        let _ = engine.advance(NOW + 600_000, 64);
    }
    let _ = engine.checkpoint();
});
