//! Events of any bytes, one a line: what the scanner takes, the strict decoder takes with the same fields, to the last
//! bit of a number. The scanner remembers the lines before.
#![no_main]

use anchorwatch::event::scan::Scanner;
use anchorwatch::event::{Event, Limits, decode};
use libfuzzer_sys::fuzz_target;

const LIMITS: Limits = Limits { max_bytes: 2_048, max_features: 12, max_depth: 4 };

/// As text, in which the sign of zero tells; names sorted, because their order means nothing.
fn told(mut event: Event<'_>) -> String {
    if let Some(features) = &mut event.features {
        features.sort_by(|a, b| a.0.cmp(&b.0));
    }
    event.segment.sort_by(|a, b| a.0.cmp(&b.0));
    format!("{event:?}")
}

fuzz_target!(|data: &[u8]| {
    let mut scanner = Scanner::new(LIMITS);
    for line in data.split(|byte| *byte == b'\n') {
        let Some(scanned) = scanner.scan(line).cloned() else { continue };
        let strict = decode(line, &LIMITS).expect("what is taken is an event");
        assert_eq!(scanned.is_feedback(), strict.is_feedback());
        assert_eq!(told(scanned.event(line, scanner.shape(scanned.shape))), told(strict));
    }
});
