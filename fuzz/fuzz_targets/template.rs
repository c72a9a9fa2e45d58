//! A template of any text is refused with a reason or gives a body that is bounded and the same again.
#![no_main]

use std::path::Path;
use std::sync::OnceLock;

use anchorwatch::alert::Notification;
use anchorwatch::deliver::{MAX_BODY, Template};
use libfuzzer_sys::fuzz_target;

fn notification() -> &'static Notification {
    static TOLD: OnceLock<Notification> = OnceLock::new();
    TOLD.get_or_init(|| {
        serde_json::from_value(serde_json::json!({
            "key": "k", "group": "g", "transition": "firing", "model": "m\"", "version": "1.0.0", "kind": "drift",
            "severity": "warning", "summary": "drift of \u{1F6A8} x\n", "at": 2, "since": 1, "reference": "r",
            "findings": [{
                "segment": null, "column": "x", "detector": "psi", "statistic": 0.3, "threshold": 0.1,
                "p_value": 1e-9, "window": {"horizon": "1h", "start": 0, "end": 2, "rows": 100}, "since": 1,
                "moved": [{"bin": "(0, 1]", "from": 0.1, "to": 0.4}]
            }],
            "more_findings": 0, "link": "http://127.0.0.1/"
        }))
        .expect("a notification")
    })
}

fuzz_target!(|text: String| {
    for content_type in [None, Some("text/plain")] {
        let Ok(template) = Template::parse(Path::new("fuzz.j2"), text.clone(), content_type) else {
            continue;
        };
        match template.render(notification()) {
            Ok(body) => {
                assert!(body.len() <= MAX_BODY);
                assert_eq!(template.render(notification()).expect("the same again"), body);
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
});
