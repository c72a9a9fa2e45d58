//! Records of any bytes, one a line: none causes a panic, and each is counted, late, future, unmatched or refused (L-1).
#![no_main]

use anchorwatch_fuzz::{engine, record};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut engine = engine();
    let mut read = 0;
    for line in data.split(|byte| *byte == b'\n') {
        engine.ingest(&record(read, (line != b"null").then_some(line)), 1_767_571_200_000);
        read += 1;
        let _ = engine.advance(1_767_571_200_000, 16);
    }
    assert_eq!(engine.law().read, read.unsigned_abs());
    assert!(engine.law().holds(), "L-1: {:?}", engine.law());
    let checkpoint = engine.checkpoint();
    assert_eq!(checkpoint.positions[0].next_offset, read);
});
