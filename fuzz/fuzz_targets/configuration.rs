//! A configuration of any text is accepted or refused with reasons, and one that is accepted prints as one that is.
#![no_main]

use anchorwatch::config;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match config::parse(text, "fuzz.yaml") {
        Ok(config) => {
            let printed = serde_json::to_string(&config).expect("a configuration is JSON");
            assert_eq!(config::parse(&printed, "printed.yaml").expect("its own print"), config);
            let _ = anchorwatch::engine::Engine::new(&config);
        }
        Err(errors) => assert!(!errors.to_string().is_empty()),
    }
});
