//! A reference artifact of any bytes is read or refused; one that is read encodes to one that reads the same.
#![no_main]

use anchorwatch::reference::{decode, encode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(reference) = decode(data) {
        let again = encode(&reference).expect("a reference that was read can be written");
        assert_eq!(decode(&again).expect("its own artifact"), reference);
    }
});
