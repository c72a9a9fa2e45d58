//! A state of any content is taken up or refused, and what was taken up can count, judge and be written again.
//!
//! The input: a byte for the kind of document, its text up to a NUL byte, then packed panes, NUL-separated.
#![no_main]

use anchorwatch::engine::{Engine, PaneRow, Position, Restored};
use anchorwatch::subject::Subject;
use anchorwatch_fuzz::{REFERENCE, configuration, record, reference, watch};
use libfuzzer_sys::fuzz_target;

const NOW: i64 = 1_767_571_200_000;
const NAMES: [&str; 4] = ["core", "actions", "troubles", "alerts/m/1.0.0"];
const CORE: &str = r#"{"law":{"read":1,"counted":1},"closed":29459515,"start":29459505,"watermark":null,"events":[],
    "plans":[{"model":"m","version":"1.0.0","plans":[[-9223372036854775808,"REFERENCE"]]}],"first_panes":[[0,29459505]]}"#;

fuzz_target!(|data: &[u8]| {
    let mut parts = data.split(|byte| *byte == 0);
    let document = parts.next().unwrap_or_default();
    let (kind, text) = document.split_first().unwrap_or((&0, &[]));
    let mut restored = Restored::default();
    restored.documents.insert("core".to_owned(), CORE.replace("REFERENCE", REFERENCE));
    if let Ok(text) = std::str::from_utf8(text)
        && !text.is_empty()
    {
        restored.documents.insert(NAMES[usize::from(*kind) % NAMES.len()].to_owned(), text.to_owned());
    }
    let subject = Subject { model: "m".into(), version: "1.0.0".into(), segment: None };
    restored.subjects = vec![(0, subject)];
    restored.panes = (29_459_505..)
        .zip(parts.take(8))
        .map(|(pane, counts)| PaneRow { subject: 0, pane, reference: REFERENCE.to_owned(), counts: counts.to_vec().into() })
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
